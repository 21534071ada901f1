"""Notices: told once they are due, again when nobody could be reached, and to each owner once."""

from __future__ import annotations

import asyncio

from core.db import schema
from core.db.database import Database
from core.jobs.notifications import Notification, NotificationQueue
from core.ledger.ledger import Ledger
from core.notification import OPERATORS, notification_row
from tests.support.databases import TestClock


class Reader:
    """Who is told, by one process."""

    def __init__(
        self, store: Database, ledger: Ledger, clock: TestClock, owners: list[str]
    ) -> None:
        self.told: list[tuple[str, str]] = []
        self.away: set[str] = set()
        self.notices = NotificationQueue(
            ledger=ledger, deliver=self._tell, list_operators=lambda: owners
        )

    async def _tell(self, one: Notification) -> None:
        if one.person in self.away:
            raise ConnectionError
        self.told.append((one.person, str(one.facts["what"])))


async def written(ledger: Ledger, clock: TestClock, what: str) -> None:
    row = notification_row(
        clock, cause_id=what, person=OPERATORS, kind="news", facts={"what": what}
    )
    await ledger.record(row)


async def test_each_owner_is_told_once(store: Database, ledger: Ledger, clock: TestClock) -> None:
    reader = Reader(store, ledger, clock, ["discord:2", "telegram:1"])
    await written(ledger, clock, "a")
    for _ in range(4):
        await reader.notices.deliver_due()
    assert sorted(reader.told) == [("discord:2", "a"), ("telegram:1", "a")]


async def test_several_processes_tell_each_owner_once(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    owners = ["discord:2", "telegram:1", "telegram:3"]
    readers = [Reader(store, ledger, clock, owners) for _ in range(4)]
    for what in "abcde":
        await written(ledger, clock, what)
    for _ in range(3):
        await asyncio.gather(*(reader.notices.deliver_due() for reader in readers))
    told = sorted(each for reader in readers for each in reader.told)
    assert told == sorted((owner, what) for owner in owners for what in "abcde")


async def test_who_is_away_is_told_later_and_nobody_else_again(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    reader = Reader(store, ledger, clock, ["telegram:1", "telegram:3"])
    reader.away = {"telegram:3"}
    await written(ledger, clock, "a")
    for _ in range(3):
        await reader.notices.deliver_due()
        clock.advance(seconds=20)
    assert reader.told == [("telegram:1", "a")]
    reader.away.clear()
    clock.advance(seconds=600)
    await reader.notices.deliver_due()
    assert reader.told == [("telegram:1", "a"), ("telegram:3", "a")]


async def test_where_nobody_owns_the_service_yet_it_waits(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    owners: list[str] = []
    reader = Reader(store, ledger, clock, owners)
    reader.away = {OPERATORS}
    await written(ledger, clock, "a")
    await reader.notices.deliver_due()
    owners.append("telegram:1")
    clock.advance(seconds=40)
    for _ in range(2):
        await reader.notices.deliver_due()
    assert reader.told == [("telegram:1", "a")]
    rows = await store.fetch(schema.notice.select())
    assert {row.due_at for row in rows} == {None}
