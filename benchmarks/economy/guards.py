"""Each farm's guard, and how it is switched off: then the farm has to pay, or it wasn't the guard
that stopped it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.economy.town import ANSWER, OFFER, WELCOMES_A_DAY, policy_of
from benchmarks.economy.year import Outcome, played
from core.admin.abuse_check import ScenarioName
from core.earnings.types import EarningPolicy
from core.money import Credits, NanoUsd
from payments.offer import Offer
from tests.core.earnings import removed_guards as off


@dataclass(frozen=True, slots=True)
class Guard:
    """What stops a farm, in words, and the same without it."""

    what: str
    off: Callable[[], AbstractContextManager[Any]] = nullcontext
    profile: str = "safe"
    policy: EarningPolicy | None = None
    offer: Offer = OFFER
    welcomes_a_day: int = WELCOMES_A_DAY


GUARDS: Final[dict[ScenarioName, Guard]] = {
    "wash": Guard("a bought Credit becomes $0.0081 at most", off.paid_above_par),
    "programs": Guard("a bought Credit becomes $0.0081 at most", off.paid_above_par),
    "bonus": Guard("a bonus is a gift, and a gift brings no cash", off.gifts_are_cash),
    "twice": Guard("what is asked for is held at once", off.holds_nothing_earned),
    "linked": Guard("who is linked is one, and earns nothing by own asks", off.own_asks_count),
    "idle-key": Guard("each key's worth is its own", off.one_pot_for_all_keys),
    "bought": Guard("only what was earned is withdrawn", lambda: off.pays_out("bought")),
    "gifts": Guard("what a gift pays for becomes a gift", off.gifts_are_cash),
    "welcome": Guard("so many people get it a day", welcomes_a_day=1_000),
    "advance": Guard("what nothing covers is owed", off.nothing_is_due),
    "advance-to-friend": Guard("an advance becomes a friend's gift", off.gifts_are_cash),
    "withdraw-and-revoke": Guard(
        "a claw-back takes what was not sent", off.debtors_are_paid, profile="brief"
    ),
    "lowered": Guard("the Credits of dollars that go, go", off.dollars_go_alone),
    "false-budget": Guard(
        "what nobody can verify is lent once a person, up to a sum",
        policy=replace(policy_of("safe"), advance_unverified=Credits(10**9)),
    ),
    "same-key-twice": Guard("a key is known again", off.keys_are_forgotten),
    "cheap-answers": Guard("what vests is what was charged", lambda: off.vests_as_valued(ANSWER)),
    "chargeback": Guard("after a chargeback 120 days not by card", off.cards_never_stop),
    "withdrawn": Guard("what was used of a purchase stays paid", off.used_goes_back),
    "dispute": Guard("hold days, and a no where the risk card advises it", profile="brief"),
    "referral": Guard(
        "ten percent of a friend's top-up, as a gift", offer=replace(OFFER, inviter_percent=50)
    ),
    "dying-referral": Guard("an inviter's part comes with use", off.inviters_get_the_rest),
    "unpaid-work": Guard("what nobody pays has a budget a person", off.unpaid_work_is_free),
}


async def compared(name: ScenarioName, months: int) -> tuple[Outcome, Outcome]:
    """What a farm brings with its guard, and without."""
    guard = GUARDS[name]
    on = await played("safe", 1, months, names=[name], honest=False)
    with guard.off():
        off = await played(
            guard.profile,
            1,
            months,
            names=[name],
            honest=False,
            policy=guard.policy,
            offer=guard.offer,
            welcomes_a_day=guard.welcomes_a_day,
        )
    return on.farms[0], off.farms[0]


def pays(on: Outcome, off: Outcome) -> bool:
    """Whether more is taken without the guard: cash, answers, or either with less of it owed."""
    return off.cash > NanoUsd(0) or off.answers > on.answers or _taken(off) > _taken(on)


def _taken(one: Outcome) -> NanoUsd:
    return one.cash + one.answers - one.owed
