"""Days end: every account's closing is kept, whether it moves again or not."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.ledger.audit import check_ledger
from core.ledger.daily_closings import close_days, read_posted_balances
from core.ledger.ledger import Ledger
from core.ledger.planner import format_day
from core.ledger.types import Balance, Submission
from tests.core.ledger.accounts import BOUGHT, GIFT, give, hold, settle
from tests.support.databases import TestClock


async def test_a_past_day_can_be_told(ledger: Ledger, store: Database, clock: TestClock) -> None:
    await ledger.submit(give("g1", 100))
    await ledger.submit(hold("ask/1", 60))
    clock.advance(days=1)
    await ledger.submit(settle("ask/1", 50))
    clock.advance(days=3)
    await ledger.submit(give("g2", 7))
    codes = [GIFT.code, BOUGHT.code]
    told = {
        day: (await read_posted_balances(store, codes, f"2026-03-{day:02}"))[GIFT.code]
        for day in range(7)
        if day
    }
    assert told == {
        1: Balance(0, 0, 0, 100),
        2: Balance(0, 50, 0, 100),
        3: Balance(0, 50, 0, 100),
        4: Balance(0, 50, 0, 100),
        5: Balance(0, 50, 0, 107),
        6: Balance(0, 50, 0, 107),
    }
    assert (await read_posted_balances(store, codes, "2026-02-28")) == {
        GIFT.code: Balance(),
        BOUGHT.code: Balance(),
    }


async def test_closing_days_is_safe_to_do_twice(
    ledger: Ledger, store: Database, clock: TestClock
) -> None:
    await ledger.submit(give("g1", 100))
    await ledger.submit(give("b1", 100, BOUGHT))
    assert await close_days(store, ledger, clock, "2026-03-01") == 0
    clock.advance(days=1)
    await ledger.submit(give("g2", 100))
    assert await close_days(store, ledger, clock, "2026-03-02") == 1
    assert await close_days(store, ledger, clock, "2026-03-02") == 0
    rows = await store.fetch(sa.select(schema.closing.c.day, schema.closing.c.credits_posted))
    assert sorted(map(tuple, rows)) == [
        ("2026-03-01", 0),
        ("2026-03-01", 100),
        ("2026-03-01", 100),
    ]
    with pytest.raises(ValueError, match="still to come"):
        await close_days(store, ledger, clock, "2026-03-03")


async def test_quiet_accounts_are_closed_once_however_often_days_are_closed(
    ledger: Ledger, store: Database, clock: TestClock
) -> None:
    await ledger.submit(give("g1", 100))
    for _ in range(5):
        clock.advance(days=1)
        today = format_day(clock.now_ms() // 86_400_000)
        await close_days(store, ledger, clock, today)
        assert await close_days(store, ledger, clock, today) == 0
        assert (await check_ledger(store)).findings == ()
    rows = await store.fetch(sa.select(schema.closing.c.day))
    assert [row.day for row in rows] == ["2026-03-01"] * 2, "each of the two accounts once"
    await ledger.submit(give("g2", 7))
    clock.advance(days=1)
    await close_days(store, ledger, clock, format_day(clock.now_ms() // 86_400_000))
    assert (await check_ledger(store)).findings == ()
    told = [
        (await read_posted_balances(store, [GIFT.code], f"2026-03-{day:02}"))[
            GIFT.code
        ].credits_posted
        for day in (1, 2, 5, 6, 7)
    ]
    assert told == [100, 100, 100, 107, 107]


async def test_days_that_are_closed_at_once_are_each_closed(
    store: Database, clock: TestClock
) -> None:
    """Three processes, one of them a day behind, close the same account in one batch."""
    held, free = threading.Event(), threading.Event()

    def phase(name: str) -> None:
        if name == "begun":
            held.set()
            assert free.wait(60)

    ledger = Ledger(store, clock)
    await ledger.start()
    await ledger.submit(give("g1", 100))
    await ledger.stop()
    clock.advance(days=2)
    today = clock.now_ms() // DAY_MS
    ledger = Ledger(store, clock, on_phase=phase)
    await ledger.start()
    first = asyncio.create_task(ledger.submit(Submission("first", ())))
    assert await asyncio.to_thread(held.wait, 60)
    closed = [ledger.close_accounts([GIFT.code], day) for day in (today - 1, today, today)]
    waiting = [asyncio.create_task(one) for one in closed]
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(first, *waiting)
    await ledger.submit(give("g2", 7))
    told = [
        (await read_posted_balances(store, [GIFT.code], f"2026-03-0{day}"))[GIFT.code].posted
        for day in (1, 2, 3)
    ]
    assert told == [100, 100, 107]
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()


async def test_a_clock_that_goes_back_changes_no_closed_day(
    ledger: Ledger, store: Database, clock: TestClock
) -> None:
    await ledger.submit(give("g1", 100))
    clock.advance(days=1)
    await close_days(store, ledger, clock, "2026-03-02")
    clock.advance(days=-1)
    await ledger.submit(give("g2", 5))
    assert (await read_posted_balances(store, [GIFT.code], "2026-03-01"))[GIFT.code].posted == 100
    assert (await read_posted_balances(store, [GIFT.code], "2026-03-02"))[GIFT.code].posted == 105
    assert (await check_ledger(store)).findings == ()
