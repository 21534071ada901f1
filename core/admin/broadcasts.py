"""Broadcasts to everybody: queued as notifications, so many at a time, until one is stopped.

Notifications are delivered by whichever process has their reader's platform, and only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from core import ids
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.notification import OPERATORS, Facts, delete_notifications, notification_row

#: The kind of its notifications; their facts name the broadcast.
BROADCAST: Final = "broadcast"
#: And of the one to operators when everybody was told.
BROADCAST_DONE: Final = "broadcast_done"
#: And of those meanwhile to whoever began it, who sees them in the card that it began with.
BROADCAST_PROGRESS: Final = "broadcast_progress"
#: The card of a long one is written anew so many times at most, and every so many people.
_PROGRESS_TIMES: Final = 10
_PROGRESS_PEOPLE: Final = 200
#: Seconds between two rounds, and how many may wait for delivery: 20 a second, below what platforms
#: accept of a bot (Telegram: 30), so that other notifications needn't wait.
ROUND_SECONDS: Final = 2.0
WAITING_MAX: Final = 40
_ATTEMPTS_MAX: Final = 20


class BroadcastInProgress(Refusal):
    """Another broadcast is still being sent."""

    code: ClassVar[str] = "broadcast_runs"


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A broadcast as its row says, with counts of recipients (see `core.db.tables.admin`)."""

    id: str
    text: str
    state: str
    created_at: int
    total: int
    sent: int
    failed: int
    #: The card that tells how far it is: a place's code and a message's id, or empty.
    place: str
    shown_in: str


class Broadcasts:
    """Starts, queues and stops broadcasts, one at a time."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def count_recipients(self) -> int:
        """How many people a broadcast would reach."""
        rows = await self._db.fetch(
            sa.select(sa.func.count()).select_from(schema.person).where(*_IS_ACTIVE_PERSON)
        )
        return int(rows[0][0])

    async def start_broadcast(
        self,
        cause: str,
        text: str,
        *,
        actor: str,
        companion: Companion,
        place: str = "",
        shown_in: str = "",
    ) -> Broadcast:
        """Starts a broadcast, once for each `cause`, with `companion` in the same submission; the
        message `shown_in` of a place will tell how far it is. Raises `BroadcastInProgress`."""
        now = self._clock.now_ms()
        row = {
            "id": ids.derive_id("brd", now, cause),
            "text": text,
            "by": actor,
            "created_at": now,
            "state": "sending",
            "reached": "",
            "total": await self.count_recipients(),
            "sent": 0,
            "failed": 0,
            "place": place,
            "shown_in": shown_in,
        }
        if not await self._ledger.try_record(Insert(schema.broadcast, row), companion):
            raise BroadcastInProgress
        return await self.get(str(row["id"]))

    async def get(self, broadcast: str) -> Broadcast:
        """A broadcast by its id."""
        rows = await self._rows(schema.broadcast.c.id == broadcast)
        return rows[0]

    async def find_newest(self) -> Broadcast | None:
        """The newest broadcast, running or not; None where there was none."""
        rows = await self._rows()
        return rows[0] if rows else None

    async def stop(self, broadcast: str, *, companion: Companion) -> Broadcast:
        """Stops a broadcast: nobody else is notified."""
        key = {"id": broadcast}
        await self._ledger.try_record(  # refused when it has ended
            Update(schema.broadcast, key, {"state": "stopped"}, _SENDING),
            delete_notifications(kind=BROADCAST),
            companion,
        )
        return await self.get(broadcast)

    async def queue_next(self) -> None:
        """A job: queues the running broadcast for the next people."""
        for broadcast in await self._db.fetch(
            sa.select(schema.broadcast).where(schema.broadcast.c.state == "sending")
        ):
            waiting = await self._count_waiting()
            people = await self._list_next_recipients(broadcast.reached, WAITING_MAX - waiting)
            if people:
                await self._queue(broadcast, people)
            elif not waiting:
                await self._finish(broadcast)

    async def record_unreached(self, broadcast_id: str) -> None:
        """Counts a person whose chats all refused the broadcast."""
        for _ in range(_ATTEMPTS_MAX):
            broadcast = await self.get(broadcast_id)
            key, change = {"id": broadcast_id}, {"failed": broadcast.failed + 1}
            if await self._ledger.try_record(
                Update(schema.broadcast, key, change, {"failed": broadcast.failed})
            ):
                return

    # --- helpers --------------------------------------------------------------------------------

    async def _queue(self, broadcast: sa.Row[Any], people: Sequence[str]) -> None:
        sent = broadcast.sent + len(people)
        change = {"reached": people[-1], "sent": sent}
        expected = {**_SENDING, "reached": broadcast.reached}
        step = max(_PROGRESS_PEOPLE, broadcast.total // _PROGRESS_TIMES)
        has_progress = broadcast.shown_in and sent // step > broadcast.sent // step
        progress = (self._progress_notification(broadcast, sent),) if has_progress else ()
        await self._ledger.try_record(
            Update(schema.broadcast, {"id": broadcast.id}, change, expected),
            *(
                notification_row(
                    self._clock,
                    cause_id=f"{broadcast.id}/{person}",
                    person=person,
                    kind=BROADCAST,
                    facts={"broadcast": broadcast.id},
                )
                for person in people
            ),
            *progress,
        )

    def _progress_notification(self, broadcast: sa.Row[Any], sent: int) -> Insert:
        platform, chat, *_ = broadcast.place.split(":")
        return notification_row(
            self._clock,
            cause_id=f"{broadcast.id}/{sent}",
            person=f"{platform}:{chat}",
            kind=BROADCAST_PROGRESS,
            facts=_card_facts(broadcast),
        )

    async def _finish(self, broadcast: sa.Row[Any]) -> None:
        """Everybody was told: so are the operators."""
        await self._ledger.try_record(
            Update(schema.broadcast, {"id": broadcast.id}, {"state": "done"}, _SENDING),
            notification_row(
                self._clock,
                cause_id=f"{broadcast.id}/done",
                person=OPERATORS,
                kind=BROADCAST_DONE,
                facts=_card_facts(broadcast),
            ),
        )

    async def _count_waiting(self) -> int:
        table = schema.notice.c
        rows = await self._db.fetch(
            sa.select(sa.func.count())
            .select_from(schema.notice)
            .where(table.due_at.is_not(None), table.kind == BROADCAST)
        )
        return int(rows[0][0])

    async def _list_next_recipients(self, reached: str, limit: int) -> list[str]:
        table = schema.person.c
        if limit <= 0:
            return []
        rows = await self._db.fetch(
            sa.select(table.id)
            .where(*_IS_ACTIVE_PERSON, table.id > reached)
            .order_by(table.id)
            .limit(limit)
        )
        return [row.id for row in rows]

    async def _rows(self, *where: sa.ColumnElement[bool]) -> list[Broadcast]:
        table = schema.broadcast
        rows = await self._db.fetch(
            sa.select(table).where(*where).order_by(table.c.id.desc()).limit(1)
        )
        return [
            Broadcast(
                id=row.id,
                text=row.text,
                state=row.state,
                created_at=row.created_at,
                total=row.total,
                sent=row.sent,
                failed=row.failed,
                place=row.place,
                shown_in=row.shown_in,
            )
            for row in rows
        ]


def _card_facts(broadcast: sa.Row[Any]) -> Facts:
    return {
        "broadcast": broadcast.id,
        "place": broadcast.place,
        "message": broadcast.shown_in,
    }


_SENDING: Final = {"state": "sending"}
_IS_ACTIVE_PERSON: Final = (
    schema.person.c.merged_into.is_(None),
    schema.person.c.erased_at.is_(None),
)
