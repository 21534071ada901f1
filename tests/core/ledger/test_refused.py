"""A refused submission leaves no trace: neither in the database nor for its neighbours."""

from __future__ import annotations

import asyncio
import threading

import pytest

from core.db.database import Database
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.ledger.types import (
    Account,
    AccountMismatch,
    AtMost,
    Balance,
    BalanceLimit,
    BalanceTooLarge,
    HoldNotFound,
    HoldResolved,
    InsufficientFunds,
    LedgerRefusal,
    Move,
    Settle,
    Submission,
    SubmissionReceipt,
)
from core.money import Credits, NanoUsd
from tests.core.ledger.accounts import BOUGHT, GIFT, ISSUED, SPENT, give, hold, settle
from tests.support.databases import TestClock

WATCHED = (GIFT, BOUGHT, ISSUED, SPENT)
TOO_MUCH = Move("too much", BOUGHT, SPENT, Credits(10**6))
LOOK = Submission("look", (), watch=WATCHED)
GHOST = Submission("ghost", (Settle("s", "bad/m", Credits(1)),))


class Gate:
    """Stops the writer in its first batch, so that what comes meanwhile makes one batch."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, phase: str) -> None:
        if phase == "begun":
            self.reached.set()
            assert self.open.wait(60)


async def in_one_batch(
    store: Database, clock: TestClock, *submissions: Submission
) -> list[SubmissionReceipt | BaseException]:
    """What each is answered, in a ledger of their own that takes them all at once."""
    gate = Gate()
    ledger = Ledger(store, clock, on_phase=gate)
    await ledger.start()
    first = asyncio.create_task(ledger.submit(Submission("first", ())))
    assert await asyncio.to_thread(gate.reached.wait, 60)
    rest = [asyncio.create_task(ledger.submit(one)) for one in submissions]
    await asyncio.sleep(0)
    gate.open.set()
    await first
    answers = await asyncio.gather(*rest, return_exceptions=True)
    await ledger.stop()
    return answers


@pytest.mark.parametrize(
    "entries",
    [
        (Settle("s", "ask/1/credits", Credits(30)), TOO_MUCH),
        (Settle("s", "ask/1/credits", Credits(0)), TOO_MUCH),
        (Move("m", ISSUED, GIFT, Credits(5)), AtMost("a", GIFT, SPENT, Credits(9)), TOO_MUCH),
        (Move("m", GIFT, SPENT, Credits(5), pending=True), TOO_MUCH),
        (
            Move("m", GIFT, SPENT, Credits(5), pending=True),
            Settle("s", "bad/m", Credits(3)),
            Settle("t", "ask/1/credits", Credits(80)),
            TOO_MUCH,
        ),
    ],
)
@pytest.mark.parametrize("days", [0, 1])
async def test_a_refused_submission_leaves_no_trace(
    store: Database,
    clock: TestClock,
    entries: tuple,  # type: ignore[type-arg]
    days: int,
) -> None:
    ledger = Ledger(store, clock)
    await ledger.start()
    for submission in (give("g", 100), hold("ask/1", 80)):
        await ledger.submit(submission)
    before = await ledger.read_balances(WATCHED)
    await ledger.stop()
    clock.advance(days=days)
    bad = Submission("bad", entries)
    answers = await in_one_batch(store, clock, bad, LOOK, GHOST, settle("ask/1", 30), bad)
    refused, looked, ghost, settled, again = answers
    assert isinstance(refused, InsufficientFunds)
    assert isinstance(looked, SubmissionReceipt)
    assert looked.balances == before
    assert isinstance(ghost, HoldNotFound)
    assert isinstance(settled, SubmissionReceipt)
    assert settled.sum_entry("credits") == 30
    assert isinstance(again, LedgerRefusal)
    assert (await check_ledger(store)).findings == ()
    assert (await check_ledger(store)).holds == 0
    ledger = Ledger(store, clock)
    await ledger.start()
    assert await ledger.find_receipt("bad") is None
    assert (await ledger.read_balances([GIFT]))[GIFT.code] == Balance(0, 30, 0, 100)
    await ledger.stop()


HUGE = 1 << 50
PURSE, OTHER = Account("purse", Credits), Account("issued/other", Credits)


async def test_sums_past_63_bits_are_refused_to_their_submitter(
    store: Database, clock: TestClock
) -> None:
    """After 40 of them 8,000 × 2^50 are there; 192 more fit."""
    big = tuple(Move(f"m{n}", ISSUED, PURSE, Credits(HUGE)) for n in range(200))
    held = tuple(e._replace(pending=True) for e in big[:100])
    others = tuple(e._replace(debit=OTHER) for e in big)
    small = Move("m", ISSUED, GIFT, Credits(7))
    ledger = Ledger(store, clock)
    await ledger.start()
    for number in range(40):
        await ledger.submit(Submission(f"big/{number}", big))
    await ledger.submit(Submission("held", held))
    await ledger.stop()
    answers = await in_one_batch(
        store,
        clock,
        Submission("before", (small,)),
        Submission("too much", big),
        Submission("too much held", held),
        Submission("too much of others", others),
        Submission("after", (small,)),
        Submission("settled", (Settle("s", "held/m0", Credits(HUGE)),)),
    )
    refused = BalanceTooLarge
    receipt = SubmissionReceipt
    kinds = (receipt, refused, refused, refused, receipt, receipt)
    assert tuple(map(type, answers)) == kinds
    assert (await check_ledger(store)).findings == ()


async def test_a_refused_submission_says_nothing_of_accounts(
    store: Database, clock: TestClock
) -> None:
    """The first use says an account's unit and limit; another process may have heard of it."""
    wrong = Account("new/1", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)
    right, cash = Account("new/1", NanoUsd), Account("cash/x", NanoUsd)
    ledgers = [Ledger(store, clock), Ledger(store, clock)]
    for ledger in ledgers:
        await ledger.start()
    for number, ledger in enumerate(ledgers):
        with pytest.raises(InsufficientFunds):
            await ledger.submit(Submission(f"bad{number}", (Move("m", wrong, PURSE, Credits(1)),)))
    for number, ledger in enumerate(ledgers):
        await ledger.submit(Submission(f"good{number}", (Move("m", cash, right, NanoUsd(5)),)))
        with pytest.raises(AccountMismatch):
            await ledger.submit(Submission(f"late{number}", (Move("m", wrong, PURSE, Credits(1)),)))
    for ledger in ledgers:
        await ledger.stop()
    assert (await check_ledger(store)).findings == ()


async def test_what_opens_and_ends_in_one_batch_leaves_no_hold(
    store: Database, clock: TestClock
) -> None:
    answers = await in_one_batch(
        store, clock, give("g", 100), hold("ask/1", 60), settle("ask/1", 50), settle("ask/1", 50)
    )
    assert [type(answer) for answer in answers] == [SubmissionReceipt] * 4
    found = await check_ledger(store)
    assert (found.findings, found.holds) == ((), 0)
    ledger = Ledger(store, clock)
    await ledger.start()
    assert (await ledger.read_balances([GIFT]))[GIFT.code] == Balance(0, 50, 0, 100)
    with pytest.raises(HoldResolved):
        await ledger.submit(Submission("other", (Settle("s", "ask/1/credits", Credits(1)),)))
    await ledger.stop()
