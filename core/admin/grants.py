"""Grants: Credits that an admin gives, with a reason, always as gift."""

from __future__ import annotations

from core import chart
from core.admin_log import logged
from core.clock import Clock
from core.ledger.ledger import Ledger
from core.ledger.types import Receipt, Submission
from core.money import Credits
from core.users.types import Person


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
