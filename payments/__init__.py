"""Payments: everything that moves cash. Orders become Credits here, and refunds take them back."""

from __future__ import annotations

from payments.cashier import Cashier, Receipt
from payments.codes import Card, Codes, Fresh, any_codes
from payments.crediting import PAID, REFUNDED, Crediting
from payments.disputes import DISPUTE_ENDED, DISPUTED
from payments.evidence import Evidence, facts_of
from payments.gateways import Accepts, Gateway
from payments.inbox import UNWORKED, Inbox
from payments.offer import BadAmount, Given, Offer, Pack
from payments.orders import Orders
from payments.payouts import Disbursed, Disburser, Payouts
from payments.promising import Promises
from payments.promotion_codes import CodeRefused, Granted, PromotionCodes
from payments.refunding import EarlierRefund, NothingToRefund, RefundUnsure, refundable
from payments.routes import payment_routes
from payments.sharing import FRIEND_BOUGHT, FRIEND_REFUNDED
from payments.types import (
    CardsStopped,
    Cash,
    CheckoutRefused,
    Dispute,
    Forged,
    GatewayUnavailable,
    NoDispute,
    NotGivenBack,
    Order,
    Payment,
    PaymentRefused,
    Purchase,
    Refunded,
    RefundRefused,
    TakenBack,
    TooManyOrders,
    UnknownOrder,
)

__all__ = [
    "DISPUTED",
    "DISPUTE_ENDED",
    "FRIEND_BOUGHT",
    "FRIEND_REFUNDED",
    "PAID",
    "REFUNDED",
    "UNWORKED",
    "Accepts",
    "BadAmount",
    "Card",
    "CardsStopped",
    "Cash",
    "Cashier",
    "CheckoutRefused",
    "CodeRefused",
    "Codes",
    "Crediting",
    "Disbursed",
    "Disburser",
    "Dispute",
    "EarlierRefund",
    "Evidence",
    "Forged",
    "Fresh",
    "Gateway",
    "GatewayUnavailable",
    "Given",
    "Granted",
    "Inbox",
    "NoDispute",
    "NotGivenBack",
    "NothingToRefund",
    "Offer",
    "Order",
    "Orders",
    "Pack",
    "Payment",
    "PaymentRefused",
    "Payouts",
    "Promises",
    "PromotionCodes",
    "Purchase",
    "Receipt",
    "RefundRefused",
    "RefundUnsure",
    "Refunded",
    "TakenBack",
    "TooManyOrders",
    "UnknownOrder",
    "any_codes",
    "facts_of",
    "payment_routes",
    "refundable",
]
