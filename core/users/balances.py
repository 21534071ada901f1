"""Balances: all that a person can spend; what they owe, repaid out of whatever they have, also
while they ask nothing; and Credits that an admin gives, with a reason, always as a gift.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from core import chart, ids
from core.admin_log import logged
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.ledger.ledger import Ledger
from core.ledger.types import Account, Receipt, Submission
from core.money import Credits
from core.users.types import Person


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


class Debts:
    """The chore."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock

    async def repay(self) -> None:
        """Everybody who owes something and has something pays."""
        account = schema.account.c
        for row in await self._store.fetch(
            sa.select(account.code).where(
                account.code.like("owed/%"), account.debits_posted > account.credits_posted
            )
        ):
            person = row.code.removeprefix("owed/")
            pockets = await self._ledger.balances(chart.pockets(person))
            if any(balance.available > 0 for balance in pockets.values()):
                cause = f"owed/{person}/{ids.new('rep', self._clock.now_ms())}"
                await self._ledger.submit(Submission(cause, (chart.repay_owed(person),)))


async def grant(
    ledger: Ledger,
    clock: Clock,
    *,
    cause: str,
    person: Person,
    amount: Credits,
    actor: str,
    reason: str,
) -> Receipt:
    """Gives `amount` to `person`, what they owe first; the same `cause` (a button, a command's id)
    gives it once."""
    row = logged(
        clock,
        actor=actor,
        act="grant",
        before={},
        after={"person": person.id, "credits": amount.units, "reason": reason},
    )
    return await ledger.submit(
        Submission(
            f"grant/{cause}",
            (chart.gift(person.id, "grant", amount), chart.repay_owed(person.id)),
            (row,),
            watch=chart.pockets(person.id),
        )
    )
