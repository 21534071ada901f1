"""Promising: what the shop's offer is for somebody, with what their tier and a promotion bring.

An order keeps what it was promised. A limited promotion has a place for it from then on, which is
free again when the order ends unpaid.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

import sqlalchemy as sa

from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete
from core.pricing.deals import Deals
from core.pricing.promotions import Promotion
from payments.offer import Offer
from payments.types import Order


@dataclass(frozen=True, slots=True)
class Promise:
    """An offer for somebody, and the promotion in it, if any."""

    offer: Offer
    promotion: Promotion | None = None


class Promises:
    """Everybody's offers."""

    def __init__(self, offer: Offer, deals: Deals) -> None:
        """`offer` is what everyone is offered at least."""
        self._offer, self._deals = offer, deals

    async def to(self, person: str, *, without: Collection[str] = ()) -> Promise:
        """What they are offered now; `without` some promotions, by id."""
        await self._deals.know(person)
        bonus = self._deals.bonus(person, without=without)
        promotion = bonus.promotion
        offer = replace(
            self._offer,
            tier=bonus.tier,
            tier_percent=bonus.tier_percent,
            promotion="" if promotion is None else promotion.id,
            promotion_percent=0 if promotion is None else promotion.percent,
        )
        return Promise(offer, promotion)

    def kept(
        self, promise: Promise, person: str, order: str
    ) -> AbstractAsyncContextManager[tuple[Companion, ...]]:
        """See `Promotions.use`."""
        return self._deals.promotions.use(promise.promotion, person, order)

    def changed(self, person: str) -> None:
        """Their tier may be another one now."""
        self._deals.forget(person)


async def given_up(store: Store, order: Order) -> tuple[dict[str, str], tuple[Companion, ...]]:
    """What of an order's row changes when it ends unpaid, and what goes with it: somebody else may
    have the place that it had in a limited promotion."""
    if order.offer is None or not order.offer.promotion:
        return {}, ()
    table = schema.promotion_use
    if not await store.fetch(sa.select(table.c.cause).where(table.c.cause == order.id)):
        return {}, ()
    less = replace(order.offer, promotion="", promotion_percent=0)
    return {"offer": less.text()}, (Delete(table, {"cause": order.id}),)
