"""Each farm's guard, and how it is switched off: then the farm has to pay, or it wasn't the guard
that stopped it.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest.mock import patch

from benchmarks.economy.town import ANSWER, OFFER, policy_of
from core import chart
from core.asking import settling
from core.desk.economy import Name
from core.earning import Policy, closing, payouts, vesting
from core.pool import Vault
from core.units import Credits, NanoUsd
from payments import Offer


@dataclass(frozen=True, slots=True)
class Guard:
    """What stops a farm, in words, and the same without it."""

    what: str
    off: Callable[[], AbstractContextManager[Any]] = nullcontext
    profile: str = "safe"
    policy: Policy | None = None
    offer: Offer = OFFER


def _gifts_are_cash() -> AbstractContextManager[Any]:
    return patch.object(chart, "was_paid", lambda _: True)


def _paid_above_par() -> AbstractContextManager[Any]:
    return patch.object(payouts, "RATE", NanoUsd(12_000_000))


@contextlib.contextmanager
def _nothing_is_due() -> Iterator[None]:
    rest = closing.Closing._rest

    async def forgiving(self: closing.Closing, one: Any) -> Any:
        found = await rest(self, one)
        return None if found is None else replace(found, due=Credits(0))

    with patch.object(closing.Closing, "_rest", forgiving):
        yield


@contextlib.contextmanager
def _keys_are_forgotten() -> Iterator[None]:
    numbers = itertools.count(1)
    fresh = lambda *_: f"forgotten-{next(numbers)}".encode()  # noqa: E731
    with patch.object(Vault, "fingerprint", fresh):
        yield


def _vests_as_valued() -> AbstractContextManager[Any]:
    def valued(key: Any, terms: Any, **_: Any) -> Any:
        whole = Credits(ANSWER)
        return vesting(key, terms, asker="", charge=whole, paid=whole)

    return patch.object(settling, "vesting", valued)


GUARDS: Final[dict[Name, Guard]] = {
    "wash": Guard("a bought Credit becomes $0.0081 at most", _paid_above_par),
    "bonus": Guard("a bonus is a gift, and a gift brings no cash", _gifts_are_cash),
    "gifts": Guard("what a gift pays for becomes a gift", _gifts_are_cash),
    "advance": Guard("what nothing covers is owed", _nothing_is_due),
    "advance-to-friend": Guard("an advance becomes a friend's gift", _gifts_are_cash),
    "false-budget": Guard(
        "what nobody can verify is lent once a person, up to a sum",
        policy=replace(policy_of("safe"), advance_unverified=Credits(10**9)),
    ),
    "same-key-twice": Guard("a key is known again", _keys_are_forgotten),
    "cheap-answers": Guard("what vests is what was charged", _vests_as_valued),
    "dispute": Guard("hold days, and a no where the risk card advises it", profile="brief"),
    "referral": Guard(
        "ten percent of a friend's top-up, as a gift", offer=replace(OFFER, inviter_percent=50)
    ),
}
