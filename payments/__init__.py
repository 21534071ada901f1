"""Payments: everything that moves cash. Orders become Credits here, and refunds take them back."""

from __future__ import annotations

from payments.cashier import Cashier, NothingToRefund
from payments.crediting import PAID, REFUNDED, Crediting
from payments.gateways import Gateway
from payments.inbox import Inbox
from payments.offer import BadAmount, Given, Offer, Pack
from payments.orders import Orders
from payments.payouts import Disbursed, Disburser, Payouts
from payments.routes import payment_routes
from payments.types import (
    CardsStopped,
    Cash,
    Dispute,
    Forged,
    GatewayUnavailable,
    NotGivenBack,
    Order,
    Payment,
    PaymentRefused,
    Refunded,
    TooManyOrders,
    UnknownOrder,
)

__all__ = [
    "PAID",
    "REFUNDED",
    "BadAmount",
    "CardsStopped",
    "Cash",
    "Cashier",
    "Crediting",
    "Disbursed",
    "Disburser",
    "Dispute",
    "Forged",
    "Gateway",
    "GatewayUnavailable",
    "Given",
    "Inbox",
    "NotGivenBack",
    "NothingToRefund",
    "Offer",
    "Order",
    "Orders",
    "Pack",
    "Payment",
    "PaymentRefused",
    "Payouts",
    "Refunded",
    "TooManyOrders",
    "UnknownOrder",
    "payment_routes",
]
