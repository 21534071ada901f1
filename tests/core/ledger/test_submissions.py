"""What submissions do: moves, plans, holds, ids, floors; on each kind of database."""

from __future__ import annotations

import pytest

from core.ledger.ledger import Ledger
from core.ledger.types import (
    Account,
    AccountMismatch,
    AtMost,
    Balance,
    BalanceLimit,
    Capped,
    Cascade,
    Entry,
    HoldNotFound,
    HoldResolved,
    IdempotencyConflict,
    InsufficientFunds,
    LedgerUnavailable,
    Move,
    Settle,
    SettleTooMuch,
    Submission,
    SweepOwed,
    TransferKind,
)
from core.money import Credits, NanoUsd
from tests.core.ledger.accounts import BOUGHT, GIFT, ISSUED, OWED, SPENT, give, hold, settle


async def test_settling_less_than_the_hold_returns_the_rest(ledger: Ledger) -> None:
    await ledger.submit(give("g", 100))
    await ledger.submit(hold("ask/1", 80))
    assert (await ledger.read_balances([GIFT]))["user/1/gift"] == Balance(80, 0, 0, 100)
    receipt = await ledger.submit(settle("ask/1", 30))
    assert receipt.sum_entry("credits") == 30
    assert await ledger.read_balances([GIFT, SPENT]) == {
        "user/1/gift": Balance(0, 30, 0, 100),
        "spent/gpt-4": Balance(0, 0, 0, 30),
    }


async def test_a_cascade_draws_pockets_in_order_and_settles_them_in_that_order(
    ledger: Ledger,
) -> None:
    await ledger.submit(give("g", 10))
    await ledger.submit(give("b", 100, BOUGHT))
    held = await ledger.submit(hold("ask/1", 60))
    assert [(t.debit, t.amount, t.kind) for t in held.transfers] == [
        ("user/1/gift", 10, TransferKind.PENDING),
        ("user/1/bought", 50, TransferKind.PENDING),
    ]
    settled = await ledger.submit(settle("ask/1", 10))
    assert [(t.debit, t.amount, t.kind) for t in settled.transfers] == [
        ("user/1/gift", 10, TransferKind.POST),
        ("user/1/bought", 50, TransferKind.VOID),
    ]
    assert settled.sum_entry("credits") == 10


async def test_what_is_not_there_is_refused_with_its_figures(ledger: Ledger) -> None:
    await ledger.submit(give("g", 100))
    await ledger.submit(hold("ask/1", 40))
    with pytest.raises(InsufficientFunds) as refused:
        await ledger.submit(hold("ask/2", 61))
    refusal = refused.value
    assert (refusal.entry, refusal.need, refusal.available, refusal.held) == (
        "credits",
        Credits(61),
        Credits(60),
        Credits(40),
    )
    assert await ledger.find_receipt("ask/2") is None


async def test_the_same_again_is_the_first_receipt_before_funds_are_checked(
    ledger: Ledger,
) -> None:
    await ledger.submit(give("g", 100))
    first = await ledger.submit(hold("ask/1", 100))
    again = await ledger.submit(hold("ask/1", 100))
    assert again.existed
    assert again.transfers == first.transfers
    assert (await ledger.find_receipt("ask/1")) == again


async def test_the_same_id_with_other_entries_is_a_conflict(ledger: Ledger) -> None:
    await ledger.submit(give("g", 100))
    with pytest.raises(IdempotencyConflict):
        await ledger.submit(give("g", 101))


async def test_a_refused_entry_undoes_those_before_it(ledger: Ledger) -> None:
    await ledger.submit(give("g", 100))
    linked = Submission(
        "linked",
        (
            Move("first", GIFT, SPENT, Credits(60), pending=True),
            Move("second", GIFT, SPENT, Credits(60)),
        ),
    )
    with pytest.raises(InsufficientFunds):
        await ledger.submit(linked)
    assert (await ledger.read_balances([GIFT]))["user/1/gift"] == Balance(0, 0, 0, 100)
    with pytest.raises(HoldNotFound):
        await ledger.submit(Submission("s", (Settle("x", "linked/first", Credits(0)),)))


async def test_a_hold_ends_once(ledger: Ledger) -> None:
    await ledger.submit(give("g", 100))
    await ledger.submit(hold("ask/1", 50))
    with pytest.raises(SettleTooMuch):
        await ledger.submit(settle("ask/1", 51))
    await ledger.submit(settle("ask/1", 0))
    with pytest.raises(HoldResolved):
        await ledger.submit(
            Submission("other", (Settle("credits", "ask/1/credits", Credits(5)),)),
        )
    with pytest.raises(HoldNotFound):
        await ledger.submit(settle("ask/2", 1))
    assert (await ledger.read_balances([GIFT]))["user/1/gift"] == Balance(0, 0, 0, 100)


async def test_at_most_and_sweep_take_what_there_is(ledger: Ledger) -> None:
    await ledger.submit(give("g", 30))
    await ledger.submit(give("b", 5, BOUGHT))
    await ledger.submit(Submission("owe", (Move("owe", OWED, ISSUED, Credits(50)),)))
    swept = await ledger.submit(Submission("sweep", (SweepOwed("repay", (GIFT, BOUGHT), OWED),)))
    assert [(t.debit, t.amount) for t in swept.transfers] == [
        ("user/1/gift", 30),
        ("user/1/bought", 5),
    ]
    nothing = await ledger.submit(
        Submission("take", (AtMost("take", GIFT, SPENT, Credits(10)),)),
    )
    assert nothing.transfers == ()
    await ledger.submit(give("g2", 100))
    rest = await ledger.submit(Submission("sweep2", (SweepOwed("repay", (GIFT,), OWED),)))
    assert rest.sum_entry("repay") == 15
    with pytest.raises(InsufficientFunds):
        await ledger.submit(Submission("over", (Move("repay", GIFT, OWED, Credits(1)),)))


async def test_a_receipt_tells_the_balances_it_was_asked_to_watch(ledger: Ledger) -> None:
    receipt = await ledger.submit(
        Submission("g", (Move("gift", ISSUED, GIFT, Credits(7)),), watch=(GIFT, BOUGHT, ISSUED))
    )
    assert receipt.balances == {
        "user/1/gift": Balance(0, 0, 0, 7),
        "user/1/bought": Balance(),
        "issued/grant": Balance(0, 7, 0, 0),
    }


async def test_an_account_stays_what_it_is(ledger: Ledger) -> None:
    await ledger.submit(give("g", 7))
    dollars = Account("user/1/gift", NanoUsd)
    with pytest.raises(AccountMismatch):
        await ledger.submit(
            Submission("x", (Move("x", dollars, Account("other", NanoUsd), NanoUsd(1)),))
        )


@pytest.mark.parametrize(
    "entries",
    [
        (Move("a", ISSUED, GIFT, Credits(0)),),
        (Move("a", ISSUED, GIFT, Credits(-1)),),
        (Move("a", GIFT, GIFT, Credits(1)),),
        (Move("a/b", ISSUED, GIFT, Credits(1)),),
        (Move("", ISSUED, GIFT, Credits(1)),),
        (Move("a", ISSUED, GIFT, Credits(1)), Move("a", ISSUED, GIFT, Credits(1))),
        (Cascade("a", (), GIFT, Credits(1)),),
        (Cascade("a", (GIFT, BOUGHT), GIFT, Credits(1)),),
        (AtMost("a", GIFT, SPENT, Credits(-1)),),
        (Settle("a", "b/c", Credits(-1)),),
        (Settle("a", "b", Credits(1)),),
        (SweepOwed("a", (GIFT,), BOUGHT),),
        (SweepOwed("a", (), OWED),),
        (SweepOwed("a", tuple(GIFT._replace(code=f"user/{n}/gift") for n in range(11)), OWED),),
        tuple(Move(f"a{n}", ISSUED, GIFT, Credits(1)) for n in range(201)),
        (Move("a", Account("", Credits), GIFT, Credits(1)),),
        (
            Move("a", ISSUED, GIFT, Credits(1)),
            Move(
                "b",
                Account("issued/grant", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS),
                GIFT,
                Credits(1),
            ),
        ),
    ],
)
async def test_bugs_are_told_before_anything_queues(ledger: Ledger, entries: tuple) -> None:  # type: ignore[type-arg]
    with pytest.raises(ValueError, match=r"\w"):
        await ledger.submit(Submission("bug", entries))


@pytest.mark.parametrize("id_", ["", "x" * 201, "a\0b"])
async def test_an_id_that_no_database_keeps_is_told_before_it_queues(
    ledger: Ledger, id_: str
) -> None:
    with pytest.raises(ValueError, match="not a submission id"):
        await ledger.submit(Submission(id_, ()))


async def test_any_character_is_kept_as_it_is(ledger: Ledger) -> None:
    names = ["{}", 'a"b', '","', "\\", "\\x41", "NULL", "é漢", "a,b", " "]
    for text in names:
        await ledger.submit(Submission(text, (Move(text, ISSUED, GIFT, Credits(1), pending=True),)))
        found = await ledger.find_receipt(text)
        assert found is not None
        assert [transfer.entry for transfer in found.transfers] == [text]
    post = tuple([Settle(text, f"{text}/{text}", Credits(1)) for text in names])
    await ledger.submit(Submission("all", post))
    assert (await ledger.read_balances([GIFT]))[GIFT.code] == Balance(0, 0, 0, len(names))


async def test_units_do_not_mix(ledger: Ledger) -> None:
    with pytest.raises(TypeError):
        await ledger.submit(Submission("bug", (Move("a", ISSUED, GIFT, NanoUsd(1)),)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "entry",
    [
        Cascade("a", (GIFT,), SPENT, NanoUsd(1)),  # type: ignore[arg-type]
        SweepOwed("a", (Account("cash", NanoUsd),), OWED),  # type: ignore[arg-type]
    ],
)
async def test_nor_do_those_of_several_accounts(ledger: Ledger, entry: Entry) -> None:
    with pytest.raises(TypeError, match="units differ"):
        await ledger.submit(Submission("bug", (entry,)))


async def test_a_hold_is_settled_in_its_own_unit(ledger: Ledger) -> None:
    await ledger.submit(give("g", 100))
    await ledger.submit(hold("ask/1", 50))
    with pytest.raises(AccountMismatch):
        await ledger.submit(Submission("s", (Settle("s", "ask/1/credits", NanoUsd(50)),)))
    await ledger.submit(settle("ask/1", 50))
    assert (await ledger.read_balances([GIFT]))[GIFT.code] == Balance(0, 50, 0, 100)


async def test_no_more_is_repaid_than_is_owed(ledger: Ledger) -> None:
    await ledger.submit(give("g", 100))
    await ledger.submit(Submission("owe", (Move("owe", OWED, ISSUED, Credits(50)),)))
    over = Credits(51)
    for entry in (
        Cascade("repay", (GIFT, BOUGHT), OWED, over),
        Capped("repay", GIFT, OWED, over, Credits(1_000)),
    ):
        with pytest.raises(InsufficientFunds):
            await ledger.submit(Submission("over", (entry,)))
    exactly = Cascade("repay", (GIFT, BOUGHT), OWED, Credits(50))
    await ledger.submit(Submission("repaid", (exactly,)))
    assert (await ledger.read_balances([OWED]))[OWED.code].posted == 0


async def test_a_stopped_ledger_refuses(ledger: Ledger) -> None:
    await ledger.stop()
    with pytest.raises(LedgerUnavailable):
        await ledger.submit(give("g", 1))
