"""What the database may do to the ledger: fill up, go away, be busy; nothing told is lost."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest

from core.clock import DAY_MS
from core.db.connections import DatabaseAddress
from core.db.database import Database
from core.db.errors import DatabaseUnavailable
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.ledger.sqlite import SqliteSession
from core.ledger.types import LedgerBusy, LedgerRefusal, LedgerUnavailable
from core.ledger.writer import Writer
from tests.core.ledger.accounts import GIFT, give
from tests.support.databases import Postgres, TestClock

FILL = """
import asyncio, resource, sys
from core.clock import SystemClock
from core.ledger.ledger import Ledger
from core.ledger.types import LedgerUnavailable
from core.db.database import Database
from tests.core.ledger.accounts import give

async def main(url):
    db = await Database.open(url, kind=None, clock=SystemClock())
    ledger = Ledger(db, SystemClock())
    await ledger.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    refused = 0
    for number in range(100_000):
        try:
            await ledger.submit(give(f"g{number:06}" + "x" * 100, 1))
        except LedgerUnavailable:
            refused += 1
            if refused == 3:
                break
        else:
            print(number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    for number in range(number, number + 5):
        await ledger.submit(give(f"g{number:06}" + "x" * 100, 1))
        print(number)
    await ledger.stop()
    await db.close()
    print("end", refused)

asyncio.run(main(sys.argv[1]))
"""


async def test_a_full_disk_loses_nothing_and_ends(sqlite_url: str, clock: TestClock) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FILL, sqlite_url],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    *acknowledged, end = done.stdout.splitlines()
    assert end == "end 3"
    assert len(acknowledged) > 20
    store = await Database.open(sqlite_url, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    for number in acknowledged:
        assert (await ledger.submit(give(f"g{int(number):06}" + "x" * 100, 1))).existed
    balance = (await ledger.read_balances([GIFT]))[GIFT.code]
    await ledger.stop()
    assert balance.posted == (await check_ledger(store)).transfers == len(set(acknowledged))
    assert (await check_ledger(store)).findings == ()
    await store.close()


async def test_a_lost_connection_is_told_and_then_mended(
    postgres: Postgres, postgres_url: str, clock: TestClock
) -> None:
    store = await Database.open(postgres_url, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    await ledger.submit(give("g1", 5))
    with psycopg.connect(postgres.uri, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()",
            (_database(postgres_url),),
        )
    with pytest.raises(LedgerUnavailable):
        await ledger.submit(give("g2", 5))
    await ledger.submit(give("g2", 5))
    assert (await ledger.submit(give("g1", 5))).existed
    assert (await ledger.read_balances([GIFT]))[GIFT.code].posted == 10
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()
    await store.close()


def _database(url: str) -> str:
    return url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]


async def test_a_commit_of_unknown_outcome_is_read_again(
    store: Database, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks right after the commit: what was written is acknowledged anyway."""
    from core.ledger.postgres import PostgresSession
    from core.ledger.sqlite import SqliteSession

    breaking = threading.Event()

    def breaks_after(session: type) -> None:
        commit = session.commit  # type: ignore[attr-defined]

        def broken(self: object) -> None:
            commit(self)
            if breaking.is_set():
                breaking.clear()
                raise psycopg.OperationalError("the connection is gone")

        monkeypatch.setattr(session, "commit", broken)

    breaks_after(PostgresSession)
    breaks_after(SqliteSession)
    ledger = Ledger(store, clock)
    await ledger.start()
    breaking.set()
    receipt = await ledger.submit(give("g1", 5))
    assert (receipt.existed, receipt.sum_entry("gift")) == (False, 5)
    assert (await ledger.read_balances([GIFT]))[GIFT.code].posted == 5
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()


async def test_more_than_may_wait_is_refused_at_once(store: Database, clock: TestClock) -> None:
    held, free = threading.Event(), threading.Event()

    def phase(name: str) -> None:
        if name == "begun":
            held.set()
            free.wait(60)

    ledger = Ledger(store, clock, queue_max=3, on_phase=phase)
    await ledger.start()
    waiting = [asyncio.create_task(ledger.submit(give(f"g{n}", 1))) for n in range(5)]
    await asyncio.to_thread(held.wait, 60)
    free.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(answer, LedgerBusy) for answer in answers] == [False] * 3 + [True] * 2
    await ledger.stop()
    assert (await check_ledger(store)).transfers == 3


async def test_stopping_does_what_was_accepted(store: Database, clock: TestClock) -> None:
    ledger = Ledger(store, clock, batch_max=4)
    await ledger.start()
    waiting = [asyncio.create_task(ledger.submit(give(f"g{n:02}", 1))) for n in range(30)]
    await asyncio.sleep(0)
    await ledger.stop()
    receipts = await asyncio.gather(*waiting)
    assert len(receipts) == (await check_ledger(store)).transfers == 30
    with pytest.raises(LedgerUnavailable):
        await ledger.submit(give("late", 1))


async def test_who_stops_waiting_does_not_stop_the_work(store: Database, clock: TestClock) -> None:
    ledger = Ledger(store, clock)
    await ledger.start()
    task = asyncio.create_task(ledger.submit(give("g1", 1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await ledger.submit(give("g1", 1))).existed
    await ledger.stop()


async def test_a_busy_file_is_told_as_unavailable(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.db import connections

    monkeypatch.setattr(connections, "_COMMON", ("PRAGMA busy_timeout=1",))
    store = await Database.open(sqlite_url, kind=None, clock=clock)
    other = connections.open_sqlite(store.address, write=True)
    ledger = Ledger(store, clock)
    await ledger.start()
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerRefusal) as refused:
        await ledger.submit(give("g1", 1))
    assert isinstance(refused.value, LedgerUnavailable)
    other.execute("COMMIT")
    assert not (await ledger.submit(give("g1", 1))).existed
    await ledger.stop()
    other.close()
    await store.close()


async def test_a_file_that_is_gone_is_not_made_again(sqlite_url: str, clock: TestClock) -> None:
    store = await Database.open(sqlite_url, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    await ledger.start()
    await ledger.stop()
    await store.close()
    await asyncio.to_thread(file.unlink)
    again = Ledger(store, clock)
    await again.start()
    with pytest.raises(LedgerUnavailable):
        await again.submit(give("g1", 1))
    await again.stop()
    assert not await asyncio.to_thread(file.exists)


async def test_a_bug_is_raised_to_its_callers_and_the_writer_goes_on(
    store: Database, clock: TestClock
) -> None:
    broken = threading.Event()
    broken.set()

    def phase(name: str) -> None:
        if name == "written" and broken.is_set():
            raise ZeroDivisionError

    ledger = Ledger(store, clock, on_phase=phase)
    await ledger.start()
    with pytest.raises(ZeroDivisionError):
        await ledger.submit(give("g1", 5))
    broken.clear()
    assert not (await ledger.submit(give("g1", 5))).existed
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()


async def test_a_commit_that_nobody_can_look_for_is_told_as_unavailable(
    store: Database, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks right after the commit, and there is no other to ask."""
    from core.db import connections
    from core.ledger.postgres import PostgresSession
    from core.ledger.sqlite import SqliteSession

    ledger = Ledger(store, clock)
    await ledger.start()
    await ledger.submit(give("g1", 5))

    def refuse(address: DatabaseAddress, **_: object) -> object:
        raise DatabaseUnavailable(address.display_name)

    with monkeypatch.context() as patched:
        for session in (PostgresSession, SqliteSession):

            def broken(self: object, commit: Callable[[object], None] = session.commit) -> None:
                commit(self)
                raise psycopg.OperationalError("the connection is gone")

            patched.setattr(session, "commit", broken)
        patched.setattr(connections, "open_sqlite", refuse)
        patched.setattr(connections, "open_postgres", refuse)
        with pytest.raises(LedgerUnavailable):
            await ledger.submit(give("g2", 5))
        assert ledger.is_failing
        with pytest.raises(LedgerUnavailable):
            await ledger.submit(give("g3", 5))
    assert (await ledger.submit(give("g2", 5))).existed
    assert not (await ledger.submit(give("g3", 5))).existed
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()


async def test_a_connection_to_a_file_that_breaks_is_mended(
    sqlite_url: str, clock: TestClock
) -> None:
    """Whatever is asked first is told as unavailable, and the next finds a new connection."""
    store = await Database.open(sqlite_url, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    await ledger.submit(give("g1", 5))
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: ledger.submit(give("g2", 5)),
        lambda: ledger.read_balances([GIFT]),
        lambda: ledger.correct_day(clock.now_ms() // DAY_MS),
    ]
    for ask in asked:
        _break_connection(ledger)
        with pytest.raises(LedgerUnavailable):
            await ask()
        await ask()
    assert (await ledger.submit(give("g2", 5))).existed
    assert (await ledger.read_balances([GIFT]))[GIFT.code].posted == 10
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()
    await store.close()


def _break_connection(ledger: Ledger) -> None:
    """The writer waits for work: nobody else has its connection in hand."""
    assert ledger._writer is not None
    session = ledger._writer._session
    assert isinstance(session, SqliteSession)
    session._db.close()


async def test_upkeep_that_fails_costs_no_submission(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def tidy_up(session: SqliteSession) -> None:
        session._db.close()
        tried.set()
        session._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    monkeypatch.setattr(SqliteSession, "tidy_up", tidy_up)
    store = await Database.open(sqlite_url, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    for number in range(3):
        tried.clear()
        await ledger.submit(give(f"g{number}", 1))
        assert await asyncio.to_thread(tried.wait, 60)
    await ledger.stop()
    assert (await check_ledger(store)).transfers == 3
    await store.close()


def test_a_loop_that_ends_first_takes_no_write_with_it(sqlite_url: str, clock: TestClock) -> None:
    """A process that ends while the writer writes: nobody hears of it, and it is written."""
    held, free = threading.Event(), threading.Event()

    def phase(name: str) -> None:
        if name == "begun":
            held.set()
            assert free.wait(60)

    async def begin() -> Writer:
        store = await Database.open(sqlite_url, kind=None, clock=clock)
        ledger = Ledger(store, clock, on_phase=phase)
        await ledger.start()
        task = asyncio.create_task(ledger.submit(give("g1", 1)))
        assert await asyncio.to_thread(held.wait, 60)
        task.cancel()
        await store.close()
        assert ledger._writer is not None
        return ledger._writer

    writer = asyncio.run(begin())
    free.set()
    writer._queue.put(None)
    writer._thread.join(60)
    assert not writer._thread.is_alive()

    async def look() -> int:
        store = await Database.open(sqlite_url, kind=None, clock=clock)
        found = await check_ledger(store)
        await store.close()
        assert found.findings == ()
        return found.transfers

    assert asyncio.run(look()) == 1
