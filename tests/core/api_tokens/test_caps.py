"""A day's cap holds however many asks come at once, and takes all that fits."""

from __future__ import annotations

import asyncio
import itertools

import pytest
import sqlalchemy as sa
from hypothesis import given, settings, strategies as st

from core.api_tokens.caps import as_day_number, build_cap_hold, build_cap_release
from core.api_tokens.repository import DAYS_KEPT
from core.api_tokens.service import ApiTokens
from core.asks.api_calls import TokenCap
from core.db import schema
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, Submission
from core.money import Credits
from core.pool.vault import Vault
from tests.core.ledger.accounts import give
from tests.support.databases import TestClock

CAP = TokenCap("tok_1", 20_000, Credits(1_000))


def hold(n: int, cap: TokenCap, amount: int) -> Submission:
    given = give(f"g{n}", 1)
    return Submission(given.id, given.entries, (build_cap_hold(cap, Credits(amount)),))


async def measure(store: Database) -> int:
    (row,) = await store.fetch(sa.select(schema.api_spending.c.credits))
    return int(row.credits)


async def make_tokens(ledger: Ledger) -> ApiTokens:
    return ApiTokens(ledger=ledger, vault=await Vault.open([bytes(32)], ledger.db, ledger))


@pytest.mark.parametrize("amount", [1, 7, 30, 999, 1_000, 1_001])
async def test_of_200_at_once_as_many_succeed_as_the_cap_has_room_for(
    ledger: Ledger, store: Database, amount: int
) -> None:
    tokens = await make_tokens(ledger)
    await tokens.prepare_day(CAP.token, CAP.day)
    answers = await asyncio.gather(
        *[ledger.submit(hold(n, CAP, amount)) for n in range(200)], return_exceptions=True
    )
    refused = [one for one in answers if isinstance(one, BaseException)]
    fits = min(200, CAP.per_day.units // amount)
    assert len(answers) - len(refused) == fits
    for one in refused:
        assert isinstance(one, CompanionRefused)
        assert one.table == "api_spending"
    assert await measure(store) == fits * amount
    assert await tokens.measure_day(CAP.token, CAP.day) == Credits(fits * amount)


async def test_what_was_not_charged_is_there_again(ledger: Ledger, store: Database) -> None:
    tokens = await make_tokens(ledger)
    await tokens.prepare_day(CAP.token, CAP.day)
    await ledger.submit(hold(1, CAP, 900))
    with pytest.raises(CompanionRefused):
        await ledger.submit(hold(2, CAP, 101))
    await ledger.record(build_cap_release(CAP.token, CAP.day, Credits(850)))
    await ledger.submit(hold(2, CAP, 101))
    assert await measure(store) == 151
    # A lower cap stops the next hold, never a settlement.
    lower = TokenCap(CAP.token, CAP.day, Credits(10))
    with pytest.raises(CompanionRefused):
        await ledger.submit(hold(3, lower, 1))
    await ledger.record(build_cap_release(CAP.token, CAP.day, Credits(101)))
    assert await measure(store) == 50


async def test_days_and_tokens_are_counted_apart(ledger: Ledger) -> None:
    tokens = await make_tokens(ledger)
    caps = [TokenCap(token, day, Credits(5)) for token in ("a", "b") for day in (1, 2)]
    for cap in caps:
        await tokens.prepare_day(cap.token, cap.day)
        await tokens.prepare_day(cap.token, cap.day)
    for n, cap in enumerate(caps):
        await ledger.submit(hold(n, cap, 5))
    with pytest.raises(CompanionRefused):
        await ledger.submit(hold(9, caps[0], 1))
    # A day that nobody prepared lets nothing through.
    with pytest.raises(CompanionRefused):
        await ledger.submit(hold(10, TokenCap("a", 3, Credits(5)), 1))
    assert await tokens.measure_day("a", 3) == Credits(0)


async def test_a_prepared_day_keeps_what_is_counted(ledger: Ledger) -> None:
    first, second = await make_tokens(ledger), await make_tokens(ledger)
    await first.prepare_day(CAP.token, CAP.day)
    await ledger.submit(hold(1, CAP, 400))
    await second.prepare_day(CAP.token, CAP.day)
    assert await second.measure_day(CAP.token, CAP.day) == Credits(400)


async def test_days_that_no_cap_reads_any_more_go(
    ledger: Ledger, store: Database, clock: TestClock
) -> None:
    tokens = await make_tokens(ledger)
    today = as_day_number(clock.now_ms())
    days = [today - DAYS_KEPT - 5, today - DAYS_KEPT - 1, today - DAYS_KEPT, today - 1, today]
    for day, token in itertools.product(days, ("a", "b")):
        await tokens.prepare_day(token, day)
        await ledger.submit(hold(day * 2 + (token == "b"), TokenCap(token, day, Credits(5)), 5))
    await tokens.delete_old_days()
    table = schema.api_spending.c
    rows = await store.fetch(sa.select(table.token, table.day).order_by(table.day, table.token))
    assert [(row.token, row.day) for row in rows] == [
        (token, day) for day in days[2:] for token in ("a", "b")
    ]
    assert await tokens.measure_day("a") == Credits(5)


@settings(max_examples=50)
@given(st.integers(0, 4_000_000_000_000))
def test_a_day_is_a_day_in_utc(at_ms: int) -> None:
    day = as_day_number(at_ms)
    assert day * 86_400_000 <= at_ms < (day + 1) * 86_400_000
