"""How an order stands, what it gives for what is left of its cash, and how it is changed."""

from __future__ import annotations

from typing import Any

from core.db import schema
from core.db.writes import Update
from core.money import Credits, NanoUsd
from payments.offer import Given, Offer
from payments.types import Order


def standing(order: Order) -> Given:
    """What is given for an order as it stands."""
    return Given(order.bought, order.bonus)


def left(order: Order) -> int:
    """What of its cash was neither given back nor lost, in its unit."""
    return order.paid.units - order.refunded.units - order.lost.units


def given_for(order: Order, paid: int, offer: Offer) -> Given:
    """What is given for an order of which so much is paid and left. Nothing until it is paid in
    full; what is paid above is worth the free rate. `offer` counts for orders that kept none."""
    paid = max(0, paid)
    if order.state != "credited" and paid < order.amount.units:
        return Given(Credits(0), Credits(0))
    offer = order.offer or offer
    value = NanoUsd(order.value.units * min(paid, order.amount.units) // order.amount.units)
    given = offer.given(value)
    surplus = paid - order.amount.units
    if surplus > 0:
        more = offer.free(NanoUsd(order.value.units * surplus // order.amount.units))
        return Given(given.bought + more.bought, given.bonus + more.bonus)
    return given


def changed(order: Order, change: dict[str, Any]) -> Update:
    """The order's new figures, while nobody else has changed it since it was read."""
    expected = {
        "state": order.state,
        "paid": order.paid.units,
        "refunded": order.refunded.units,
        "lost": order.lost.units,
        "bought": order.bought.units,
        "bonus": order.bonus.units,
        "share": order.share.units,
        "dispute": order.dispute or None,
        "dispute_state": order.dispute_state,
    }
    return Update(schema.order, {"id": order.id}, change, expected)
