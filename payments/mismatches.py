"""Payments that don't fit the order that they name: another sum, another payer, another checkout.
Nothing is credited. Operators are told once an order and reason, and whoever paid another sum reads
so, rather than a day later that their order has expired.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.notification import OPERATORS, make_lasting, notification_row
from core.users.service import find_survivor
from payments.orders import Orders
from payments.types import Payment, PaymentMismatch

#: The kind of notification to operators about what gateways say that nothing will come of.
UNPROCESSED: Final = "unworked"
#: And to a buyer who paid something else than their order asked.
PAID_OTHERWISE: Final = "paid_otherwise"
#: Where the buyer is who paid, and what they paid isn't what was asked.
_BUYERS_REASONS: Final = frozenset({"amount", "unit"})


def unprocessed_row(clock: Clock, message: str, verdict: str, order: str) -> Insert:
    """The notification that tells operators of a message of which nothing will come: one an order
    and verdict, where it names an order, however often it is told."""
    cause = f"unworked/{order}/{verdict}" if order else f"unworked/{message}"
    facts = {"message": message, "verdict": verdict, "order": order}
    row = notification_row(
        clock, cause_id=cause, person=OPERATORS, kind=UNPROCESSED, facts=facts, once=True
    )
    return make_lasting(row)


class Mismatches:
    """The service that tells of payments which don't fit their order."""

    def __init__(self, *, orders: Orders, ledger: Ledger) -> None:
        self._orders, self._db, self._ledger, self._clock = orders, ledger.db, ledger, ledger.clock

    async def report(self, payment: Payment, refused: PaymentMismatch) -> None:
        """Tells operators, and the buyer where they paid something else; each once. The order is
        *on its way* then, until somebody has decided: it doesn't expire."""
        order = await self._orders.get(payment.order)
        message = f"{payment.gateway}/{payment.id}"
        await self._ledger.record(unprocessed_row(self._clock, message, refused.verdict, order.id))
        if refused.reason not in _BUYERS_REASONS or order.gateway != payment.gateway:
            return
        cause = f"{PAID_OTHERWISE}/{message}"
        person, _ = await find_survivor(self._db, order.person)
        facts: dict[str, str | int] = {
            "order": order.id,
            "unit": payment.amount.NAME,
            "paid": payment.amount.units,
        }
        told = notification_row(
            self._clock, cause_id=cause, person=person, kind=PAID_OTHERWISE, facts=facts, once=True
        )
        if await self._is_told(told):
            return
        if not await self._orders.mark_processing(order, told):
            with suppress(CompanionRefused):  # another process tells it
                await self._ledger.record(told)

    async def _is_told(self, row: Insert) -> bool:
        table = schema.notice
        found = await self._db.fetch(sa.select(table.c.id).where(table.c.id == row.row["id"]))
        return bool(found)
