"""The updates that chat platforms sent, from before they are acknowledged until they are worked.

A process that is killed leaves its rows behind; another one takes them over once it is known to be
gone, or their lease has lapsed, and works them again. So working an update must charge nothing
twice: asks have their ids from the platform's, and a button knows which press used it up.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, final

import sqlalchemy as sa

from core.admin.erasure import ErasureScope
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Companion, Delete, Insert, Update, UpdateAll
from core.errors import Refusal, describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.pool.vault import SealedColumn, Vault
from core.processes import select_abandoned

_log = logging.getLogger(__name__)

#: So long a row is left to the process that works it; it renews that well before.
LEASE_MS: Final = 15_000
RENEWAL_SECONDS: Final = 4.0
#: How often rows are looked for that a process left behind.
RECOVERY_SECONDS: Final = 1.5
#: A row is taken over so often at most: what ends every process that works it ends with it.
_TRIES_MAX: Final = 20
#: Older rows are no use to anybody.
_RETENTION_MS: Final = DAY_MS
_BATCH_SIZE: Final = 100
#: What the vault seals of updates.
KEPT_UPDATES: Final = (
    SealedColumn(schema.chat_update, "id", "sealed", lambda row: f"update/{row.id}"),
)
#: A deletion that fails is tried again by the next renewal.
_FORGOTTEN_MAX: Final = 10_000

#: Works an update that another process left behind, as if it had come now.
WorkUpdate = Callable[["ReceivedUpdate"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ReceivedUpdate:
    """A received update has an id that is the same when it comes again, its sender's id on the
    platform, and its content as it came."""

    id: str
    platform: str
    sender: str
    content: Mapping[str, Any] = field(repr=False)


@final
class UpdateInbox:
    """The inbox stores updates, forgets them when they are worked, and hands over what a process
    left behind."""

    def __init__(self, *, ledger: Ledger, vault: Vault, process_id: str) -> None:
        self._db, self._ledger, self._vault, self._clock = ledger.db, ledger, vault, ledger.clock
        self._process_id = process_id
        self._workers: dict[str, WorkUpdate] = {}
        #: Those that are worked here: their rows' leases are renewed.
        self._working: set[str] = set()
        #: Worked, their rows not deleted yet.
        self._worked: set[str] = set()
        self._deletions: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many updates are worked here, of those that are stored."""
        return len(self._working)

    def register_worker(self, platform: str, work: WorkUpdate) -> None:
        """From now on what was left behind of this platform's updates is worked here."""
        self._workers[platform] = work

    def unregister_worker(self, platform: str) -> None:
        """Its front end ends: others work what it leaves."""
        self._workers.pop(platform, None)

    async def store(self, update: ReceivedUpdate) -> bool:
        """Keeps an update: when this returns it is safe to acknowledge. False where it is kept
        already, and worked by whoever keeps it. Raises a refusal where it can't be written."""
        if update.id in self._working:
            return False
        now = self._clock.now_ms()
        content = json.dumps(update.content, ensure_ascii=True).encode()
        row = {
            "id": update.id,
            "platform": update.platform,
            "sender": f"{update.platform}:{update.sender}",
            "received_at": now,
            "sealed": self._vault.seal(f"update/{update.id}", content),
            "owner": self._process_id,
            "lease_until": now + LEASE_MS,
            "tries": 0,
        }
        self._working.add(update.id)
        try:
            await self._ledger.record(Insert(schema.chat_update, row))
        except CompanionRefused:
            self._working.discard(update.id)
            return False
        except BaseException:
            self._working.discard(update.id)
            raise
        return True

    def forget(self, *ids: str) -> None:
        """These were worked: their rows are deleted soon, one write for all that end together."""
        known = self._working.intersection(ids)
        if not known:
            return
        self._working -= known
        self._worked |= known
        if not self._deletions:
            self._start_deletion()

    async def renew_leases(self) -> None:
        """A job: this process lives and works them."""
        if self._worked and not self._deletions:
            self._start_deletion()
        if not self._working:
            return
        until = {"lease_until": self._clock.now_ms() + LEASE_MS}
        await self._ledger.record(UpdateAll(schema.chat_update, {"owner": self._process_id}, until))

    async def work_left_updates(self) -> int:
        """A job: takes over what a process left behind that is gone; gives how many that were."""
        table, now = schema.chat_update, self._clock.now_ms()
        if not self._workers:
            return 0
        is_abandoned = await select_abandoned(self._db, table, self._process_id, now)
        rows = await self._db.fetch(
            sa.select(table)
            .where(is_abandoned, table.c.platform.in_(tuple(self._workers)))
            # A platform's numbers as text: the longer one is the later one.
            .order_by(table.c.received_at, sa.func.length(table.c.id), table.c.id)
            .limit(_BATCH_SIZE)
        )
        count = 0
        for row in rows:
            # One that is worked here still, by a process that was held up, is renewed soon.
            if row.id not in self._working | self._worked and await self._claim(row):
                count += 1
                await self._work(row)
        return count

    async def release(self) -> None:
        """This process ends: what it didn't work is free for others at once."""
        while self._deletions:
            await asyncio.gather(*self._deletions)
        if self._working:
            _log.info("%s updates are left to whoever comes next", len(self._working))
        self._working.clear()
        await self._ledger.record(
            UpdateAll(schema.chat_update, {"owner": self._process_id}, {"lease_until": 0})
        )

    async def delete_old(self) -> None:
        """A job: deletes what nobody could work for a day."""
        table = schema.chat_update
        rows = await self._db.fetch(
            sa.select(table.c.id)
            .where(table.c.received_at < self._clock.now_ms() - _RETENTION_MS)
            .limit(1_000)
        )
        if rows:
            await self._ledger.record(*(Delete(table, {"id": row.id}) for row in rows))

    async def _claim(self, row: sa.Row[Any]) -> bool:
        table = schema.chat_update
        if row.tries >= _TRIES_MAX:
            _log.error("an update was given up: every process that worked it ended")
            await self._ledger.record(Delete(table, {"id": row.id}))
            return False
        change = {
            "owner": self._process_id,
            "lease_until": self._clock.now_ms() + LEASE_MS,
            "tries": row.tries + 1,
        }
        expected = {"owner": row.owner, "lease_until": row.lease_until}
        self._working.add(row.id)
        try:
            await self._ledger.record(Update(table, {"id": row.id}, change, expected))
        except BaseException as failure:
            self._working.discard(row.id)
            if isinstance(failure, CompanionRefused):  # another process was first
                return False
            raise
        return True

    async def _work(self, row: sa.Row[Any]) -> None:
        try:
            content = json.loads(self._vault.unseal(f"update/{row.id}", bytes(row.sealed)))
            sender = row.sender.partition(":")[2]
            await self._workers[row.platform](ReceivedUpdate(row.id, row.platform, sender, content))
        except Exception as failure:  # noqa: BLE001 - one update's oddity is no other's
            _log.error("an update could not be worked again: %s", describe_failure(failure))
            self.forget(row.id)

    def _start_deletion(self) -> None:
        task = asyncio.get_running_loop().create_task(self._delete_worked(), name="updates worked")
        self._deletions.add(task)
        task.add_done_callback(self._deletions.discard)

    async def _delete_worked(self) -> None:
        """Until none is left: what is worked during a write shares the next one."""
        while self._worked:
            ids = tuple(self._worked)[:_BATCH_SIZE]
            try:
                await self._ledger.record(Delete(schema.chat_update, {"id": ids}))
            except Refusal as refusal:
                _log.warning("worked updates could not be deleted: %s", describe_failure(refusal))
                while len(self._worked) > _FORGOTTEN_MAX:
                    self._worked.pop()
                return
            self._worked.difference_update(ids)


def build_chat_erasure(scope: ErasureScope) -> list[Companion]:
    """What front ends keep of people deleted: updates, buttons, forms where they are alone."""
    senders = tuple(f"{platform}:{id_}" for platform, id_ in scope.identities)
    places = scope.private_places
    return [
        *([Delete(schema.chat_update, {"sender": senders})] if senders else ()),
        *([Delete(schema.prompt, {"place": places})] if places else ()),
        Delete(schema.button, {"person": scope.person_ids}),
    ]
