"""The service without one of its guards: what stops a farm has to be what makes it pay once it is
gone. Each is a context; `attack` runs a test with the guard on and off.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from core import chart
from core.asks import settlement
from core.asks.types import Question
from core.asks.unpaid_work import UnpaidWorkBudget
from core.earnings import payouts, termination
from core.earnings.contributions import build_vesting
from core.earnings.types import Contribution
from core.earnings.withdrawals import Withdrawals
from core.ledger.types import Account, AtMost, BalanceLimit, Entry, Move
from core.money import Credits, NanoUsd
from core.pool import router
from core.pool.vault import Vault
from payments.cancellations import CancellationPlan, Cancellations
from payments.offer import Entitlement
from payments.orders import Orders, remaining_cash
from payments.types import Order

Test = Callable[..., Awaitable[None]]
Off = Callable[[], AbstractContextManager[Any]]

guarded = pytest.mark.parametrize("guard", [True, False], ids=["guarded", "unguarded"])


def attack(off: Off) -> Callable[[Test], Test]:
    """A test that runs twice, with `guard` as it is and without it."""

    def decorated(test: Test) -> Test:
        @functools.wraps(test)
        async def run(*, guard: bool, **more: Any) -> None:
            with nullcontext() if guard else off():
                await test(guard=guard, **more)

        return guarded(run)

    return decorated


# --- what is asked for nothing ------------------------------------------------------------------


def unpaid_work_is_free() -> AbstractContextManager[Any]:
    """Nobody counts what answers cost that nobody pays for."""

    async def restrict_question(_: object, question: Question) -> Question:
        return question

    return patch.object(UnpaidWorkBudget, "restrict_question", restrict_question)


# --- what use of a key brings -------------------------------------------------------------------


def gifts_are_cash() -> AbstractContextManager[Any]:
    """Whatever an asker pays with becomes earned."""
    return patch.object(chart, "is_paid_pocket", lambda _: True)


def vests_as_valued(whole: int) -> AbstractContextManager[Any]:
    """An answer vests what it was valued at, not what was charged for it."""

    def valued(key: Any, terms: Any, **_: Any) -> Any:
        return build_vesting(key, terms, asker="", charge=Credits(whole), paid=Credits(whole))

    return patch.object(settlement, "build_vesting", valued)


@contextlib.contextmanager
def own_asks_count() -> Iterator[None]:
    """Whoever asks may be served by their own key, and earns of it."""
    fits = router._can_serve

    def anybodys(record: Any, route: Any, wish: Any, *more: Any) -> bool:
        return fits(record, route, replace(wish, asker=""), *more)

    def earns(key: Any, terms: Any, *, asker: str, charge: Credits, paid: Credits) -> Any:
        return build_vesting(key, terms, asker="", charge=charge, paid=paid)

    with (
        patch.object(router, "_can_serve", anybodys),
        patch.object(settlement, "build_vesting", earns),
    ):
        yield


@contextlib.contextmanager
def one_pot_for_all_keys() -> Iterator[None]:
    """What waits to vest is in one account for all contributions."""
    pot = Account("key/all/unvested", Credits, BalanceLimit.DEBITS_WITHIN_CREDITS)
    shared = lambda _: pot  # noqa: E731
    with patch.object(chart, "unvested_credits", shared):
        yield


# --- how a contribution begins and ends ---------------------------------------------------------


@contextlib.contextmanager
def keys_are_forgotten() -> Iterator[None]:
    """No key, and no account at a supplier, is known again."""
    numbers = itertools.count(1)
    fresh = lambda *_: f"forgotten-{next(numbers)}".encode()  # noqa: E731
    with patch.object(Vault, "fingerprint", fresh):
        yield


@contextlib.contextmanager
def nothing_is_due() -> Iterator[None]:
    """What was spent in advance and nothing covers is forgiven."""
    rest = termination.ContributionTermination._calculate_remainder

    async def forgiving(self: termination.ContributionTermination, one: Contribution) -> Any:
        found = await rest(self, one)
        return None if found is None else replace(found, due=Credits(0))

    with patch.object(termination.ContributionTermination, "_calculate_remainder", forgiving):
        yield


def dollars_go_alone() -> AbstractContextManager[Any]:
    """Whoever takes dollars back keeps their Credits."""
    return patch.object(termination, "_calculate_returned_credits", lambda *_: Credits(0))


@contextlib.contextmanager
def inviters_get_the_rest() -> Iterator[None]:
    """What a contribution would have brought its inviter is theirs, used or not."""
    end, ended = termination.ContributionTermination._close, chart.end_contribution

    async def generous(self: termination.ContributionTermination, one: Contribution) -> None:
        def entries(*given: Any, **figures: Any) -> tuple[Entry, ...]:
            theirs = chart.pocket(one.inviter, "gift")
            rest = AtMost("inviting", chart.referral_reserve(one.key), theirs, one.credited)
            return (rest, *ended(*given, **figures)[1:])

        with patch.object(chart, "end_contribution", entries) if one.inviter else nullcontext():
            await end(self, one)

    with patch.object(termination.ContributionTermination, "_close", generous):
        yield


# --- cashing out --------------------------------------------------------------------------------


def paid_above_par() -> AbstractContextManager[Any]:
    """A Credit is paid out for more than it was bought for."""
    return patch.object(payouts, "PAYOUT_RATE", NanoUsd(12_000_000))


@contextlib.contextmanager
def pays_out(pocket: chart.Pocket) -> Iterator[None]:
    """This pocket is withdrawn instead of what was earned."""
    real = chart.pocket

    def swapped(person: str, _: chart.Pocket) -> Account[Credits]:
        return real(person, pocket)

    with patch.object(chart, "pocket", swapped):
        yield


def holds_nothing_earned() -> AbstractContextManager[Any]:
    """A withdrawal holds Credits, but none of those that were earned."""

    def elsewhere(_: str, amount: Credits, __: Credits) -> tuple[Entry, ...]:
        paid, source = amount.share_down(9, 10), chart.issued("grant")
        return (
            Move("redeemed", source, chart.redeemed_credits(), paid, pending=True),
            Move("fee", source, chart.payout_fee(), amount - paid, pending=True),
        )

    return patch.object(chart, "hold_withdrawal", elsewhere)


@contextlib.contextmanager
def debtors_are_paid() -> Iterator[None]:
    """Whoever owes or disputes withdraws as anybody, and what waits is not cancelled."""

    async def nothing(*_: Any, **__: Any) -> None:
        return None

    async def none_cancelled(*_: Any) -> tuple[list[Any], list[Any]]:
        return [], []

    with (
        patch.object(Withdrawals, "check_may_withdraw", nothing),
        patch.object(Withdrawals, "cancel_for_debtors", nothing),
        patch.object(Withdrawals, "plan_cancellation", none_cancelled),
    ):
        yield


def cards_never_stop() -> AbstractContextManager[Any]:
    """Whoever had their bank take a payment back pays by card again."""

    async def never(*_: Any) -> None:
        return None

    return patch.object(Orders, "get_card_pause_end", never)


def used_goes_back() -> AbstractContextManager[Any]:
    """Whoever withdraws from a purchase has all of its money back, whatever they used."""

    async def plan(_: object, order: Order, *, is_over: bool) -> CancellationPlan:
        del is_over
        cash = type(order.paid)(remaining_cash(order))
        nothing = Entitlement(Credits(0), Credits(0))
        return CancellationPlan(order, cash, nothing, Credits(0), needs_operator=False)

    return patch.object(Cancellations, "_plan", plan)
