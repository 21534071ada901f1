"""Purses: all that a person can spend, which is what they see as their balance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core import chart
from core.ledger.ledger import Ledger
from core.ledger.types import Account
from core.money import Credits


@dataclass(frozen=True, slots=True)
class Purse:
    """What is there to spend, and what running asks reserve."""

    have: Credits
    held: Credits


class Purses:
    """The pockets of people, with what they may spend of their contributions in advance."""

    def __init__(self, *, ledger: Ledger, advances: Callable[[str], tuple[str, ...]]) -> None:
        """`advances` tells a person's keys that lend to them."""
        self._ledger, self._advances = ledger, advances

    def accounts(self, person: str) -> tuple[Account[Credits], ...]:
        """All that a person's asks draw on, in order."""
        return chart.purse(person, self._advances(person))

    async def of(self, person: str) -> Purse:
        """A person's, now."""
        balances = (await self._ledger.balances(self.accounts(person))).values()
        return Purse(
            Credits(sum(balance.available for balance in balances)),
            Credits(sum(balance.held for balance in balances)),
        )
