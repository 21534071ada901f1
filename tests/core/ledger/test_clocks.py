"""Clocks that leap, go back, hang or differ: the books' day is one, and moves by two witnesses."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from hypothesis import given, settings, strategies as st

from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.db.writes import Delete
from core.ledger.audit import check_ledger
from core.ledger.book_day import BookClock, BookDay
from core.ledger.daily_closings import close_days, read_posted_balances
from core.ledger.ledger import Ledger
from core.ledger.planner import format_day
from core.ledger.types import Account, Move, Submission, SubmissionReceipt
from core.money import Credits
from tests.core.ledger.accounts import BOUGHT, GIFT, give, hold, settle
from tests.support.databases import NOON_MS, TestClock
from tests.support.size import size

TODAY = NOON_MS // DAY_MS
DECADE = 3_650


@dataclass
class WrongClock(TestClock):
    """The system's clock differs from the steady one by `off_ms`."""

    __test__ = False
    off_ms: int = 0
    hangs_at: int | None = None

    def now_ms(self) -> int:
        return self.at_ms + self.off_ms if self.hangs_at is None else self.hangs_at

    def leap(self, days: int) -> None:
        self.off_ms += days * DAY_MS


async def test_accounts_that_count_ahead_only_warn(
    store: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Books of a version that had no day of its own: others aren't dragged along."""
    clock = WrongClock()
    ledger = await started(store, clock)
    await ledger.submit(give("g0", 1))
    await ledger.stop()
    clock.leap(DECADE)
    await _forget_day(store, clock)
    ledger = await started(store, clock)
    await ledger.submit(give("g1", 2))
    await ledger.stop()
    clock.leap(-DECADE)
    await _forget_day(store, clock)
    caplog.set_level(logging.WARNING)
    caplog.clear()
    ledger = await started(store, clock)
    await ledger.submit(elsewhere("e1"))
    assert (await booked_days(store))[-1] == TODAY
    assert caplog.messages == []
    await ledger.submit(give("g2", 4))
    assert (await booked_days(store))[-1] == TODAY + DECADE
    assert ["3650 days ahead" in one for one in caplog.messages] == [True]
    await ledger.submit(elsewhere("e2"))
    assert (await booked_days(store))[-1] == TODAY
    await _forget_day(store, clock)
    assert await ledger.correct_day(TODAY) == 2
    await ledger.submit(give("g3", 8))
    assert (await booked_days(store))[-1] == TODAY
    clock.advance(days=1)
    await close_days(store, ledger, clock, format_day(TODAY + 1))
    told = await read_posted_balances(store, [GIFT.code], format_day(TODAY))
    assert told[GIFT.code].posted == 15
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()


async def _forget_day(store: Database, clock: TestClock) -> None:
    ledger = await started(store, clock)
    await ledger.record(Delete(schema.book_day, {"id": 1}))
    await ledger.stop()


def elsewhere(cause: str) -> Submission:
    """Between accounts that no other submission here locks."""
    one, other = Account("one", Credits), Account("other", Credits)
    return Submission(cause, (Move("m", one, other, Credits(1)),))


async def booked_days(store: Database) -> list[int]:
    rows = await store.fetch(sa.select(schema.submission.c.at).order_by(schema.submission.c.seq))
    return [row.at // DAY_MS for row in rows]


async def started(store: Database, clock: TestClock, **more: Callable[[str], None]) -> Ledger:
    ledger = Ledger(store, clock, **more)  # type: ignore[arg-type]
    await ledger.start()
    return ledger


async def is_exact(store: Database) -> None:
    assert (await check_ledger(store)).findings == ()
    days = await booked_days(store)
    assert days == sorted(days)


async def test_a_leap_ahead_dates_nothing_ahead(store: Database) -> None:
    clock = WrongClock()
    ledger = await started(store, clock)
    await ledger.submit(give("before", 1))
    clock.leap(DECADE)
    await ledger.submit(give("while", 2))
    clock.leap(-DECADE)
    clock.advance(seconds=60)
    await ledger.submit(give("after", 4))
    assert await booked_days(store) == [TODAY] * 3
    clock.advance(days=1)
    await ledger.submit(give("next", 8))
    assert (await booked_days(store))[-1] == TODAY + 1
    told = await read_posted_balances(store, [GIFT.code], format_day(TODAY))
    assert told[GIFT.code].posted == 7
    await ledger.stop()
    await is_exact(store)


async def test_one_wrong_process_dates_nothing_ahead(store: Database) -> None:
    right, wrong = WrongClock(), WrongClock()
    wrong.leap(DECADE)
    ledgers = [await started(store, right), await started(store, wrong)]
    for number, (ledger, day) in enumerate(itertools.product(ledgers, range(3))):
        for clock in (right, wrong):
            clock.at_ms = NOON_MS + day * DAY_MS
        await ledger.submit(give(f"g{number}", 1))
    assert await booked_days(store) == [TODAY, TODAY + 1] + [TODAY + 2] * 4
    for ledger in ledgers:
        await ledger.stop()
    # A process that starts with it is as wrong.
    ledger = await started(store, wrong)
    await ledger.submit(give("again", 1))
    await ledger.stop()
    assert (await booked_days(store))[-1] == TODAY + 2
    await is_exact(store)


async def test_a_clock_that_goes_back_or_hangs_is_told_the_day(store: Database) -> None:
    clock = WrongClock()
    ledger = await started(store, clock)
    await ledger.submit(give("g1", 1))
    clock.leap(-400)
    await ledger.submit(give("g2", 1))
    clock.leap(400)
    clock.hangs_at = clock.at_ms
    clock.advance(days=1)
    await ledger.submit(give("g3", 1))
    assert await booked_days(store) == [TODAY] * 3
    ledger.hear_time(clock.at_ms)
    await ledger.submit(give("g4", 1))
    assert (await booked_days(store))[-1] == TODAY + 1, "two others agree"
    await ledger.stop()
    await is_exact(store)


async def test_a_machine_that_starts_anew_waits_for_a_witness(
    store: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ledger = await started(store, TestClock())
    await ledger.submit(give("g1", 1))
    await ledger.stop()

    class NewClock(TestClock):
        __test__ = False

        def monotonic(self) -> float:
            return 5.0

    clock = NewClock(NOON_MS + 3 * DAY_MS)
    caplog.set_level(logging.WARNING)
    ledger = await started(store, clock)
    await ledger.submit(give("g2", 1))
    await ledger.submit(give("g3", 1))
    assert (await booked_days(store))[-1] == TODAY
    assert [one.message for one in caplog.records if "3 days ahead" in one.message][1:] == []
    ledger.hear_time(clock.at_ms - 86_400_000)  # one that waited
    ledger.hear_time(clock.at_ms - 2_000)
    ledger.hear_time(clock.at_ms - 90_000_000)
    await ledger.submit(give("g4", 1))
    assert (await booked_days(store))[-1] == TODAY + 3
    await ledger.stop()
    await is_exact(store)


async def test_the_database_is_a_witness(postgres_url: str) -> None:
    """Of whoever starts anew, on a server with a clock."""
    store = await Database.open(postgres_url, kind="live", clock=TestClock())
    real = time.time_ns() // 1_000_000
    ledger = await started(store, TestClock())
    await ledger.submit(give("g1", 1))
    await ledger.stop()
    ledger = await started(store, WrongClock(at_ms=5_000, off_ms=real - 5_000))
    await ledger.submit(give("g2", 1))
    await ledger.stop()
    assert (await booked_days(store))[-1] == real // DAY_MS
    await is_exact(store)
    await store.close()


async def test_a_closed_day_is_sealed_for_quiet_accounts_too(store: Database) -> None:
    clock, late = TestClock(), WrongClock()
    late.leap(-1)
    ledger, other = await started(store, clock), await started(store, late)
    await ledger.submit(give("g1", 100))
    for each in (clock, late):
        each.advance(days=2)
    await ledger.submit(give("b1", 1, BOUGHT))
    await close_days(store, ledger, clock, format_day(TODAY + 2))
    seen = await read_posted_balances(store, [GIFT.code], format_day(TODAY + 1))
    # By its own clock, it is yesterday; on that day nothing moved here.
    await other.submit(give("g2", 5))
    assert await read_posted_balances(store, [GIFT.code], format_day(TODAY + 1)) == seen
    assert await booked_days(store) == [TODAY, TODAY + 2, TODAY + 2]
    for each_ledger in (ledger, other):
        await each_ledger.stop()
    await is_exact(store)


async def test_a_day_waits_for_a_batch_that_hangs(store: Database) -> None:
    slow, clock = TestClock(), TestClock()
    reached, go_on = threading.Event(), threading.Event()

    def hang(phase: str) -> None:
        if phase == "begun":
            reached.set()
            assert go_on.wait(60)

    hung, ledger = await started(store, slow, on_phase=hang), await started(store, clock)
    await ledger.submit(give("b0", 1, BOUGHT))
    late = asyncio.create_task(hung.submit(give("g1", 1)))
    assert await asyncio.to_thread(reached.wait, 60)
    clock.advance(days=1)
    others = asyncio.create_task(ledger.submit(elsewhere("e1")))
    if store.dialect == "postgresql":  # a file has one writer at a time
        assert isinstance(await others, SubmissionReceipt)
        assert await booked_days(store) == [TODAY] * 2, "the day isn't over for everybody"
    go_on.set()
    await asyncio.gather(late, others)
    clock.advance(seconds=2)
    await ledger.submit(elsewhere("e2"))
    assert (await booked_days(store))[-1] == TODAY + 1
    for each in (hung, ledger):
        await each.stop()
    await is_exact(store)


async def test_a_day_that_was_opened_ahead_is_corrected(store: Database) -> None:
    """Two wrong witnesses, or the first clock of all: an entry takes the books back."""
    clock = WrongClock()
    ledger = await started(store, clock)
    await ledger.submit(give("g1", 1))
    await ledger.submit(give("b1", 1, BOUGHT))
    clock.leap(DECADE)
    ledger.hear_time(clock.now_ms())
    await ledger.submit(give("g2", 2))
    clock.advance(days=1)
    await close_days(store, ledger, clock, format_day(TODAY + DECADE + 1))
    await ledger.submit(give("g3", 4))
    assert await booked_days(store) == [TODAY, TODAY, TODAY + DECADE, TODAY + DECADE + 1]
    clock.leap(-DECADE)
    before = await store.fetch(sa.select(schema.transfer).order_by(schema.transfer.c.seq))
    assert await ledger.correct_day(TODAY + 1) >= 2
    assert await store.fetch(sa.select(schema.transfer).order_by(schema.transfer.c.seq)) == before
    assert (await check_ledger(store)).findings == ()
    await ledger.submit(give("g4", 8))
    await ledger.submit(give("b2", 1, BOUGHT))
    clock.advance(days=1)
    await close_days(store, ledger, clock, format_day(TODAY + 2))
    await ledger.submit(give("g5", 16))
    days = [format_day(TODAY + day) for day in range(-1, 3)]
    stood = [(await read_posted_balances(store, [GIFT.code], day))[GIFT.code] for day in days]
    assert [balance.posted for balance in stood] == [0, 1, 15, 31]
    assert (await check_ledger(store)).findings == ()
    # A second time, to a day before what was corrected.
    assert await ledger.correct_day(TODAY) >= 2
    assert (await check_ledger(store)).findings == ()
    await ledger.submit(give("g6", 32))
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "close", "hold", "leap", "hang", "wake", "time", "restart"]),
        st.integers(0, 1),
        st.sampled_from([-DECADE, -2, -1, 1, 2, DECADE]),
    ),
    min_size=1,
    max_size=25,
)


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_no_story_of_two_clocks_dates_anything_ahead(
    kind: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("sqlite_url" if kind == "sqlite" else "postgres_url")
    numbers = itertools.count()

    @settings(max_examples=size(small=15, full=150))
    @given(STEPS)
    def told(steps: list[tuple[str, int, int]]) -> None:
        asyncio.run(_live(url, steps, numbers))

    told()


async def _live(url: str, steps: list[tuple[str, int, int]], numbers: itertools.count[int]) -> None:
    store = await Database.open(url, kind="live", clock=TestClock())
    clocks = [WrongClock(), WrongClock()]
    rows = await store.fetch(sa.select(schema.book_day))
    base = rows[0].at if rows else NOON_MS
    for clock in clocks:
        clock.at_ms = base
    ledgers = [await started(store, clock) for clock in clocks]
    await ledgers[0].submit(give(f"s{next(numbers)}", 5))
    for what, who, days in steps:
        clock, ledger, n = clocks[who], ledgers[who], next(numbers)
        match what:
            case "submit":
                await ledger.submit(give(f"s{n}", 1, (GIFT, BOUGHT)[n % 2]))
            case "hold":
                await ledger.submit(hold(f"ask/{n}", 1))
                await ledger.submit(settle(f"ask/{n}", 1))
            case "close":
                day = min(clock.now_ms() // DAY_MS, TODAY + 10 * DECADE)
                await close_days(store, ledger, clock, format_day(max(0, day)))
            case "leap" if clock.hangs_at is None:
                clock.leap(days)
            case "hang":
                clock.hangs_at = clock.now_ms()
            case "wake":
                clock.hangs_at, clock.off_ms = None, 0
            case "time":
                for each in clocks:
                    each.advance(days=abs(days) if abs(days) < DECADE else 0)
            case "restart":
                await ledger.stop()
                ledgers[who] = await started(store, clock)
    right = clocks[0].at_ms // DAY_MS
    assert max(await booked_days(store)) <= right
    for clock in clocks:
        clock.hangs_at, clock.off_ms = None, 0
    await ledgers[0].submit(give(f"s{next(numbers)}", 1))
    assert (await booked_days(store))[-1] == right
    for ledger in ledgers:
        await ledger.stop()
    await is_exact(store)
    await store.close()


@given(
    st.lists(st.integers(-DECADE, DECADE), min_size=1, max_size=8),
    st.integers(0, 40),
    st.booleans(),
)
def test_one_witness_moves_nothing(leaps: list[int], days: int, has_database: bool) -> None:
    clock = WrongClock()
    clock_of_books = BookClock(clock)
    opened = BookDay(TODAY, NOON_MS, int(clock.monotonic() * 1000))
    clock.advance(days=days)
    for leap in leaps:
        clock.off_ms = leap * DAY_MS + 3_600_000 * 7
        database = clock.at_ms if has_database else None
        day = clock_of_books.choose_day(opened, lambda now=database: now)
        assert day == (TODAY + days if has_database else TODAY)
