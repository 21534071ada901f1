"""Each farm's guard, and how it is switched off: then the farm has to pay, or it wasn't the guard
that stopped it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.economy.town import ANSWER, OFFER, policy_of
from core.desk.economy import Name
from core.earning import Policy
from core.units import Credits
from payments import Offer
from tests.core.earning import unguarded as off


@dataclass(frozen=True, slots=True)
class Guard:
    """What stops a farm, in words, and the same without it."""

    what: str
    off: Callable[[], AbstractContextManager[Any]] = nullcontext
    profile: str = "safe"
    policy: Policy | None = None
    offer: Offer = OFFER


GUARDS: Final[dict[Name, Guard]] = {
    "wash": Guard("a bought Credit becomes $0.0081 at most", off.paid_above_par),
    "bonus": Guard("a bonus is a gift, and a gift brings no cash", off.gifts_are_cash),
    "gifts": Guard("what a gift pays for becomes a gift", off.gifts_are_cash),
    "advance": Guard("what nothing covers is owed", off.nothing_is_due),
    "advance-to-friend": Guard("an advance becomes a friend's gift", off.gifts_are_cash),
    "false-budget": Guard(
        "what nobody can verify is lent once a person, up to a sum",
        policy=replace(policy_of("safe"), advance_unverified=Credits(10**9)),
    ),
    "same-key-twice": Guard("a key is known again", off.keys_are_forgotten),
    "cheap-answers": Guard("what vests is what was charged", lambda: off.vests_as_valued(ANSWER)),
    "dispute": Guard("hold days, and a no where the risk card advises it", profile="brief"),
    "referral": Guard(
        "ten percent of a friend's top-up, as a gift", offer=replace(OFFER, inviter_percent=50)
    ),
}
