"""Payments: everything that moves cash. Orders become Credits here, and refunds take them back."""

from __future__ import annotations

from payments.crediting import Crediting
from payments.offer import BadAmount, Given, Offer, Pack
from payments.orders import Orders
from payments.types import (
    CardsStopped,
    Cash,
    Dispute,
    GatewayUnavailable,
    Order,
    Payment,
    PaymentRefused,
    Refunded,
    TooManyOrders,
    UnknownOrder,
)

__all__ = [
    "BadAmount",
    "CardsStopped",
    "Cash",
    "Crediting",
    "Dispute",
    "GatewayUnavailable",
    "Given",
    "Offer",
    "Order",
    "Orders",
    "Pack",
    "Payment",
    "PaymentRefused",
    "Refunded",
    "TooManyOrders",
    "UnknownOrder",
]
