"""Other writers in the way, on PostgreSQL: rows that somebody holds, holds that appear between two
reads, a day that is held up; and more accounts than a process remembers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
import pytest_asyncio

from core.db import postgres_connection
from core.db.database import Database
from core.ledger import postgres as postgres_session
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.ledger.postgres import PostgresSession
from core.ledger.types import LedgerUnavailable, Move, Submission
from core.money import Credits
from tests.core.ledger.accounts import BOUGHT, GIFT, ISSUED, give, hold, settle
from tests.support.databases import TestClock

OTHER = ISSUED._replace(code="issued/other")


@pytest_asyncio.fixture
async def server(
    postgres_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    """A database whose locks nobody waits for long; at the end its books are right."""
    options = postgres_connection._OPTIONS
    monkeypatch.setattr(postgres_connection, "_OPTIONS", f"{options} -c lock_timeout=50")
    opened = await Database.open(postgres_url, kind=None, clock=clock)
    yield opened
    assert (await check_ledger(opened)).findings == ()
    await opened.close()


@contextmanager
def holding(store: Database, statement: str) -> Iterator[None]:
    """Somebody else's transaction that doesn't end, and what it locks."""
    with psycopg.connect(store.address.conninfo) as other:
        other.execute(statement)  # type: ignore[call-overload]
        yield
        other.rollback()


async def test_a_row_that_somebody_holds_stops_only_those_who_need_it(
    server: Database, clock: TestClock
) -> None:
    ledger = Ledger(server, clock)
    await ledger.start()
    await ledger.submit(give("g1", 5))
    free = Submission("free", (Move("m", OTHER, BOUGHT, Credits(7)),))
    with holding(server, f"SELECT 1 FROM account WHERE code = '{GIFT.code}' FOR UPDATE"):
        answers = await asyncio.gather(
            ledger.submit(give("g2", 5)), ledger.submit(free), return_exceptions=True
        )
    assert isinstance(answers[0], LedgerUnavailable)
    assert not isinstance(answers[1], BaseException)
    assert await ledger.find_receipt("g2") is None
    assert not (await ledger.submit(give("g2", 5))).existed
    balances = await ledger.read_balances([GIFT, BOUGHT])
    assert [balances[one.code].posted for one in (GIFT, BOUGHT)] == [10, 7]
    await ledger.stop()


async def test_books_without_a_day_wait_until_they_may_have_one(
    server: Database, clock: TestClock
) -> None:
    ledger = Ledger(server, clock)
    await ledger.start()
    day = f"SELECT pg_advisory_xact_lock_shared({postgres_session._DAY_LOCK})"
    with holding(server, day), pytest.raises(LedgerUnavailable):
        await ledger.submit(give("g1", 5))
    assert not (await ledger.submit(give("g1", 5))).existed
    await ledger.stop()


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """So many times a hold isn't there when its accounts are looked for, and is a moment later."""
    left = 0
    find = PostgresSession._find_hold_accounts

    def look(session: PostgresSession, db: object, names: list[str]) -> set[int]:
        nonlocal left
        if names and left:
            left -= 1
            return set()
        return find(session, db, names)  # type: ignore[arg-type]

    def appear_late(times: int) -> None:
        nonlocal left
        left = times

    monkeypatch.setattr(PostgresSession, "_find_hold_accounts", look)
    return appear_late


async def test_a_hold_that_appears_between_two_reads_is_settled(
    server: Database, clock: TestClock, unseen: Callable[[int], None]
) -> None:
    ledger = Ledger(server, clock)
    await ledger.start()
    await ledger.submit(give("g1", 100))
    await ledger.submit(hold("ask/1", 60))
    unseen(2)
    assert (await ledger.submit(settle("ask/1", 50))).sum_entry("credits") == 50
    await ledger.stop()


async def test_holds_that_keep_appearing_are_no_endless_loop(
    server: Database, clock: TestClock, unseen: Callable[[int], None]
) -> None:
    ledger = Ledger(server, clock)
    await ledger.start()
    await ledger.submit(give("g1", 100))
    await ledger.submit(hold("ask/1", 60))
    unseen(1_000)
    with pytest.raises(LedgerUnavailable):
        await ledger.submit(settle("ask/1", 50))
    unseen(0)
    assert (await ledger.submit(settle("ask/1", 50))).sum_entry("credits") == 50
    await ledger.stop()


async def test_more_accounts_and_holds_than_are_remembered(
    server: Database, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_session, "_CACHED_MAX", 3)
    ledger = Ledger(server, clock)
    await ledger.start()
    for number in range(9):
        pocket = GIFT._replace(code=f"user/other{number}/gift")
        await ledger.submit(give(f"g{number}", 5, pocket))
    await ledger.submit(give("g", 100))
    for number in range(9):
        await ledger.submit(hold(f"ask/{number}", 5))
    session = ledger._writer._session  # type: ignore[union-attr]
    assert isinstance(session, PostgresSession)
    assert len(session._hold_accounts) <= 4
    assert len(session._ids) <= 3 + 4
    for number in range(9):
        await ledger.submit(settle(f"ask/{number}", 4))
    assert (await ledger.read_balances([GIFT]))[GIFT.code].posted == 100 - 9 * 4
    await ledger.stop()
