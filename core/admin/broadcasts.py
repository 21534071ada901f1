"""Broadcasts to everybody: queued as notifications, so many at a time, until one is stopped.

Notifications are delivered by whichever process has their reader's platform, and only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from core import ids
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.notification import notice

#: The kind of its notifications; their facts name the broadcast.
BROADCAST: Final = "broadcast"
#: Seconds between two rounds, and how many may wait for delivery: 20 a second, below what platforms
#: accept of a bot (Telegram: 30), so that other notifications needn't wait.
ROUND_SECONDS: Final = 2.0
WAITING_MOST: Final = 40
_TRIES: Final = 20


class BroadcastRuns(Refusal):
    """Another broadcast is still being sent."""

    code: ClassVar[str] = "broadcast_runs"


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A broadcast as its row says, with counts of recipients (see `core.db.tables.limits`)."""

    id: str
    text: str
    state: str
    created_at: int
    total: int
    sent: int
    failed: int


class Broadcasts:
    """Starts, queues and stops broadcasts, one at a time."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock

    async def reach(self) -> int:
        """How many people a broadcast would reach."""
        rows = await self._store.fetch(
            sa.select(sa.func.count()).select_from(schema.person).where(*_HERE)
        )
        return int(rows[0][0])

    async def begin(self, cause: str, text: str, *, by: str, also: Companion) -> Broadcast:
        """Starts a broadcast, once for each `cause`, with `companion` in the same submission;
        raises `BroadcastInProgress`."""
        now = self._clock.now_ms()
        row = {
            "id": ids.derived("brd", now, cause),
            "text": text,
            "by": by,
            "created_at": now,
            "state": "sending",
            "reached": "",
            "total": await self.reach(),
            "sent": 0,
            "failed": 0,
        }
        try:
            await self._ledger.record(Insert(schema.broadcast, row), also)
        except CompanionRefused:
            raise BroadcastRuns from None
        return await self.get(str(row["id"]))

    async def get(self, broadcast: str) -> Broadcast:
        """A broadcast by its id."""
        rows = await self._rows(schema.broadcast.c.id == broadcast)
        return rows[0]

    async def newest(self) -> Broadcast | None:
        """The newest broadcast, running or not; None where there was none."""
        rows = await self._rows()
        return rows[0] if rows else None

    async def stop(self, broadcast: str, *, also: Companion) -> Broadcast:
        """Stops a broadcast: nobody else is notified."""
        key = {"id": broadcast}
        await self._change(  # refused when it has ended
            Update(schema.broadcast, key, {"state": "stopped"}, _SENDING),
            Delete(schema.notice, {"kind": BROADCAST}),
            also,
        )
        return await self.get(broadcast)

    async def work(self) -> None:
        """A job: queues the running broadcast for the next people."""
        for one in await self._store.fetch(
            sa.select(schema.broadcast).where(schema.broadcast.c.state == "sending")
        ):
            waiting = await self._waiting()
            people = await self._next(one.reached, WAITING_MOST - waiting)
            if people:
                await self._queue(one, people)
            elif not waiting:
                key = {"id": one.id}
                await self._change(Update(schema.broadcast, key, {"state": "done"}, _SENDING))

    async def unreached(self, broadcast: str) -> None:
        """Counts a person whose chats all refused the broadcast."""
        for _ in range(_TRIES):
            one = await self.get(broadcast)
            key, change = {"id": broadcast}, {"failed": one.failed + 1}
            if await self._change(Update(schema.broadcast, key, change, {"failed": one.failed})):
                return

    # --- helpers --------------------------------------------------------------------------------

    async def _queue(self, one: sa.Row[Any], people: Sequence[str]) -> None:
        change = {"reached": people[-1], "sent": one.sent + len(people)}
        expect = {**_SENDING, "reached": one.reached}
        await self._change(
            Update(schema.broadcast, {"id": one.id}, change, expect),
            *(
                notice(
                    self._clock,
                    cause_id=f"{one.id}/{person}",
                    person=person,
                    kind=BROADCAST,
                    facts={"broadcast": one.id},
                )
                for person in people
            ),
        )

    async def _waiting(self) -> int:
        table = schema.notice.c
        rows = await self._store.fetch(
            sa.select(sa.func.count())
            .select_from(schema.notice)
            .where(table.due_at.is_not(None), table.kind == BROADCAST)
        )
        return int(rows[0][0])

    async def _next(self, reached: str, most: int) -> list[str]:
        table = schema.person.c
        if most <= 0:
            return []
        rows = await self._store.fetch(
            sa.select(table.id).where(*_HERE, table.id > reached).order_by(table.id).limit(most)
        )
        return [row.id for row in rows]

    async def _change(self, *companions: Companion) -> bool:
        """Records companions; False when others have changed the row since it was read."""
        try:
            await self._ledger.record(*companions)
        except CompanionRefused:
            return False
        return True

    async def _rows(self, *where: sa.ColumnElement[bool]) -> list[Broadcast]:
        table = schema.broadcast
        rows = await self._store.fetch(
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
            )
            for row in rows
        ]


_SENDING: Final = {"state": "sending"}
_HERE: Final = (schema.person.c.merged_into.is_(None), schema.person.c.erased_at.is_(None))
