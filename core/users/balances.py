"""Balances: all that a person can spend; what they owe, repaid out of whatever they have, even
while they ask nothing; and Credits that an admin gives, with a reason, always as a gift.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from core import chart, ids
from core.admin_log import admin_log_row
from core.clock import Clock
from core.db import schema
from core.ledger.ledger import Ledger
from core.ledger.types import Account, Submission, SubmissionReceipt
from core.money import Credits
from core.users.types import Person


@dataclass(frozen=True, slots=True)
class SpendableBalance:
    """What a person can spend now, and what their running asks hold, in Credits."""

    available: Credits
    held: Credits


class Balances:
    """Reads what each person can spend: their pockets, then advances on their contributions."""

    def __init__(
        self, *, ledger: Ledger, list_lending_keys: Callable[[str], tuple[str, ...]]
    ) -> None:
        """`list_lending_keys` gives the ids of a person's keys that lend them an advance."""
        self._ledger, self._list_lending_keys = ledger, list_lending_keys

    def list_accounts(self, person: str) -> tuple[Account[Credits], ...]:
        """The accounts that a person's asks draw on, in the order in which they pay."""
        return chart.spendable_accounts(person, self._list_lending_keys(person))

    async def for_user(self, person: str) -> SpendableBalance:
        """What a person can spend now."""
        balances = (await self._ledger.read_balances(self.list_accounts(person))).values()
        return SpendableBalance(
            Credits(sum(balance.available for balance in balances)),
            Credits(sum(balance.held for balance in balances)),
        )


class DebtRepayment:
    """The job that repays what people owe out of whatever they have."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def repay_all(self) -> None:
        """Repays for every person who owes Credits and has some."""
        account = schema.account.c
        for row in await self._db.fetch(
            sa.select(account.code).where(
                account.code.like("owed/%"), account.debits_posted > account.credits_posted
            )
        ):
            person = row.code.removeprefix("owed/")
            balances = await self._ledger.read_balances(chart.pockets(person))
            if any(balance.available > 0 for balance in balances.values()):
                cause = f"owed/{person}/{ids.new_id('rep', self._clock.now_ms())}"
                await self._ledger.submit(Submission(cause, (chart.repay_owed(person),)))


async def grant_gift(
    ledger: Ledger,
    clock: Clock,
    *,
    cause: str,
    person: Person,
    amount: Credits,
    actor: str,
    reason: str,
) -> SubmissionReceipt:
    """Gives `amount` to `person`, what they owe first; the same `cause` (a button, a command's id)
    gives it once."""
    row = admin_log_row(
        clock,
        actor=actor,
        act="grant",
        before={},
        after={"person": person.id, "credits": amount.units, "reason": reason},
    )
    return await ledger.submit(
        Submission(
            f"grant/{cause}",
            (chart.give_gift(person.id, "grant", amount), chart.repay_owed(person.id)),
            (row,),
            watch=chart.pockets(person.id),
        )
    )
