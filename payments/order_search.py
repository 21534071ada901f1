"""Orders found by whatever names them, every movement of their cash, and what disputes hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from core import chart
from core.db import schema
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pricing.tiers import select_merged_ids
from payments.orders import Orders
from payments.types import Cash, Order, UnknownOrder


@dataclass(frozen=True, slots=True)
class CashReceipt:
    """A receipt records cash that came in, or that was given back (`is_refund`)."""

    #: As people read it: `pay_…`, `rfd_…`.
    id: str
    order: str
    #: The gateway's id of it.
    external_id: str
    amount: Cash
    #: When, in milliseconds UTC.
    at_ms: int
    is_refund: bool
    #: It didn't reach the payer after all.
    has_failed: bool


class OrderSearch:
    """The search for orders, and for the receipts of what was paid and given back."""

    def __init__(self, *, ledger: Ledger, orders: Orders) -> None:
        self._db, self._ledger, self._orders = ledger.db, ledger, orders

    async def find_order(self, id_: str) -> Order:
        """By the order's id, a receipt of a payment or a refund, a dispute's id, or what its
        gateway calls any of them; raises `UnknownOrder`."""
        order = schema.order.c
        selects = [sa.select(order.id).where(sa.or_(order.id == id_, order.external == id_))]
        for columns in (schema.payment.c, schema.refund.c, schema.dispute.c):
            is_named = sa.or_(columns.id == id_, columns.external == id_)
            selects.append(sa.select(columns.order).where(is_named))
        rows = await self._db.fetch(sa.select(sa.union(*selects).subquery()).limit(1))
        if not id_ or not rows:
            raise UnknownOrder(id_)
        return await self._orders.get(rows[0][0])

    async def list_receipts(self, orders: Sequence[Order]) -> list[CashReceipt]:
        """Every movement of these orders' cash, the oldest first."""
        units = {order.id: type(order.paid) for order in orders}
        found = []
        for table, is_refund in ((schema.payment, False), (schema.refund, True)):
            rows = await self._db.fetch(sa.select(table).where(table.c.order.in_(units)))
            found += [
                CashReceipt(
                    row.id,
                    row.order,
                    row.external,
                    units[row.order](row.amount),
                    row.at,
                    is_refund=is_refund,
                    has_failed=is_refund and row.failed_at is not None,
                )
                for row in rows
            ]
        return sorted(found, key=lambda receipt: (receipt.at_ms, receipt.id))

    async def list_held_credits(self, person: str) -> list[tuple[str, Credits]]:
        """This person's orders that are disputed now, the oldest first, and how many of their
        Credits are held for each."""
        table = schema.order
        rows = await self._db.fetch(
            sa.select(table.c.id)
            .where(table.c.person.in_(select_merged_ids(person)), table.c.dispute_state == "open")
            .order_by(table.c.id)
        )
        held = []
        for row in rows:
            accounts = [
                chart.disputed_credits(row.id, "bought"),
                chart.disputed_credits(row.id, "gift"),
            ]
            balances = await self._ledger.read_balances(accounts)
            held.append((row.id, Credits(sum(one.available for one in balances.values()))))
        return held
