"""Counting with shares, and reserving below a cap: what vesting and payouts are made of."""

from __future__ import annotations

import asyncio
import random

import pytest

from core.ledger.ledger import Ledger
from core.ledger.types import (
    Account,
    Accrue,
    AtMost,
    BalanceLimit,
    Capped,
    InsufficientFunds,
    Move,
    Settle,
    Share,
    Submission,
)
from core.money import Credits
from tests.core.ledger.accounts import GIFT, ISSUED, OWED, SPENT, give

SOURCE, COUNTER = Account("use", Credits), Account("use/1", Credits)
WAITING = Account("key/1/unvested", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)
LINE = Account("key/1/advance", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)
EARNED = Account("user/1/earned", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)


def used(
    cause: str, amount: int, *, level: int = 0, fills: bool = True, part: tuple[int, int] = (9, 10)
) -> Submission:
    filled = ((LINE, Credits(level)),) if fills else ()
    share = Share(*part, WAITING, filled, EARNED)
    return Submission(cause, (Accrue("use", SOURCE, COUNTER, Credits(amount), (share,)),))


def out(cause: str, amount: int, *, cap: int = 100) -> Submission:
    return Submission(cause, (Capped("out", EARNED, SPENT, Credits(amount), Credits(cap)),))


async def posted(ledger: Ledger, *accounts: Account[Credits]) -> list[int]:
    balances = await ledger.read_balances(accounts)
    return [balances[account.code].posted for account in accounts]


@pytest.mark.parametrize("seed", range(4))
async def test_however_a_count_is_split_its_share_is_the_same(ledger: Ledger, seed: int) -> None:
    await ledger.submit(give("n", 10_000, WAITING))
    chance = random.Random(seed)
    parts = [chance.randint(1, 40) for _ in range(100)]
    await asyncio.gather(*(ledger.submit(used(f"u{n}", part)) for n, part in enumerate(parts)))
    whole = sum(parts) * 9 // 10
    assert await posted(ledger, WAITING, EARNED, COUNTER) == [10_000 - whole, whole, sum(parts)]


async def test_what_was_spent_in_advance_is_covered_first(ledger: Ledger) -> None:
    await ledger.submit(give("n", 100, WAITING))
    await ledger.submit(give("line", 50, LINE))
    await ledger.submit(Submission("spent", (Move("spent", LINE, SPENT, Credits(30)),)))
    await ledger.submit(used("u1", 20, level=50, part=(1, 1)))
    assert await posted(ledger, WAITING, LINE, EARNED) == [80, 40, 0]
    await ledger.submit(used("u2", 20, level=50, part=(1, 1)))
    assert await posted(ledger, WAITING, LINE, EARNED) == [60, 50, 10]
    # What an open ask holds of the line isn't spent.
    held = Move("held", LINE, SPENT, Credits(50), pending=True)
    await ledger.submit(Submission("ask", (held,)))
    await ledger.submit(used("u3", 20, level=50, part=(1, 1)))
    assert await posted(ledger, WAITING, LINE, EARNED) == [40, 50, 30]


async def test_it_moves_what_there_is_and_counts_on(ledger: Ledger) -> None:
    await ledger.submit(give("n", 5, WAITING))
    receipt = await ledger.submit(used("u1", 100))
    assert receipt.sum_entry("use") == 105
    await ledger.submit(used("u2", 7))
    assert await posted(ledger, WAITING, EARNED, COUNTER) == [0, 5, 107]
    assert (await ledger.submit(used("u1", 100))).existed


async def test_into_what_is_owed_only_as_far_as_it_is(ledger: Ledger) -> None:
    await ledger.submit(give("n", 100, WAITING))
    await ledger.submit(Submission("debt", (Move("debt", OWED, ISSUED, Credits(8)),)))
    share = Share(1, 2, WAITING, (), OWED)
    await ledger.submit(Submission("u1", (Accrue("use", SOURCE, COUNTER, Credits(60), (share,)),)))
    assert await posted(ledger, WAITING, OWED) == [92, 0]


async def test_several_shares_of_one_count(ledger: Ledger) -> None:
    await ledger.submit(give("n", 100, WAITING))
    shares = (Share(9, 10, WAITING, (), EARNED), Share(45, 1_000, ISSUED, (), GIFT))
    for number in range(30):
        entry = Accrue("use", SOURCE, COUNTER, Credits(3), shares)
        await ledger.submit(Submission(f"u{number}", (entry,)))
    assert await posted(ledger, EARNED, GIFT) == [81, 4]


async def test_what_a_bug_could_submit_is_told_before_it_queues(ledger: Ledger) -> None:
    share = Share(9, 10, WAITING, (), EARNED)
    wrong = [
        Accrue("use", SOURCE, COUNTER, Credits(0), (share,)),
        Accrue("use", SOURCE, COUNTER, Credits(1), ()),
        Accrue("use", SOURCE, WAITING, Credits(1), (share,)),
        Accrue("use", SOURCE, COUNTER, Credits(1), (share._replace(numerator=11),)),
        Accrue("use", SOURCE, COUNTER, Credits(1), (share._replace(credit=WAITING),)),
        Capped("out", EARNED, SPENT, Credits(1), Credits(-1)),
    ]
    for number, entry in enumerate(wrong):
        with pytest.raises(ValueError, match=entry.name):
            await ledger.submit(Submission(f"w{number}", (entry,)))


async def test_only_what_was_there_at_an_earlier_time_may_go(ledger: Ledger) -> None:
    await ledger.submit(give("early", 100, EARNED))
    await ledger.submit(Submission("used", (Move("used", EARNED, SPENT, Credits(30)),)))
    await ledger.submit(give("late", 500, EARNED))
    with pytest.raises(InsufficientFunds) as refused:
        await ledger.submit(out("p1", 71))
    assert refused.value.available == Credits(70)
    outcomes = await asyncio.gather(
        *(ledger.submit(out(f"q{n}", 40)) for n in range(3)),
        return_exceptions=True,
    )
    taken = [n for n, one in enumerate(outcomes) if not isinstance(one, InsufficientFunds)]
    assert len(taken) == 1, "what is reserved counts"
    # What comes back may go again; what was posted is gone.
    await ledger.submit(Submission("void", (Settle("out", f"q{taken[0]}/out", Credits(0)),)))
    await ledger.submit(out("q9", 70))
    await ledger.submit(Submission("sent", (Settle("out", "q9/out", Credits(70)),)))
    assert await posted(ledger, EARNED) == [500]
    with pytest.raises(InsufficientFunds):
        await ledger.submit(out("q10", 1))


async def test_a_cap_never_lets_an_account_below_its_floor(ledger: Ledger) -> None:
    await ledger.submit(give("e", 10, EARNED))
    await ledger.submit(Submission("s", (AtMost("s", EARNED, SPENT, Credits(4)),)))
    with pytest.raises(InsufficientFunds):
        await ledger.submit(out("p", 7, cap=1_000))
