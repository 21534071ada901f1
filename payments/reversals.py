"""Purchases that their service gave back as a whole, and may give again: Telegram's payments,
Discord's entitlements.

A reversal has no id of its own, so its refund goes by its payment's. One that was undone and comes
again is another refund: `<payment>/1`, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from payments.types import UNITS, Refund, Reversal, StorePurchase, UnknownOrder

#: So often one payment may go back; no service was seen to do it twice.
_TIMES_MAX: Final = 10


class Reversals:
    """The repository of reversals: it reads which refund each of them is."""

    def __init__(self, *, db: Database) -> None:
        self._db = db

    async def find_refund(self, reversal: Reversal) -> Refund:
        """The refund that a reversal is: the one that stands, else a new one. Raises
        `UnknownOrder`."""
        table = schema.payment
        rows = await self._db.fetch(
            sa.select(table.c.unit, table.c.amount).where(
                table.c.gateway == reversal.gateway, table.c.external == reversal.payment
            )
        )
        if not rows:
            raise UnknownOrder(reversal.payment)
        amount = UNITS[rows[0].unit](rows[0].amount)
        known = await self._list_refunds(reversal.gateway, reversal.payment)
        name = f"{reversal.payment}/{len(known)}" if known else reversal.payment
        standing = next((str(row.external) for row in known if row.failed_at is None), name)
        return Refund(reversal.gateway, standing, reversal.payment, amount)

    async def find_undone(self, purchase: StorePurchase) -> Refund | None:
        """The refund of a purchase that its store has again, as one that failed; None where none
        stands."""
        known = await self._list_refunds(purchase.gateway, purchase.id)
        standing = [str(row.external) for row in known if row.failed_at is None]
        if not standing:
            return None
        return Refund(purchase.gateway, standing[0], purchase.id, purchase.value, failed=True)

    async def _list_refunds(self, gateway: str, payment: str) -> Sequence[sa.Row[Any]]:
        table = schema.refund.c
        names = [payment, *(f"{payment}/{number}" for number in range(1, _TIMES_MAX))]
        return await self._db.fetch(
            sa.select(table.external, table.failed_at).where(
                table.gateway == gateway, table.external.in_(names)
            )
        )
