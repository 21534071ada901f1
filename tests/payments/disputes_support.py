"""What tests of disputes share."""

from __future__ import annotations

from core.money import parse_usd
from payments.types import Dispute, Order, Payment, Refund
from tests.payments.conftest import Shop

USD = 1_000_000_000


def disputed(payment: str, amount: str, state: str, id_: str = "dp_1") -> Dispute:
    return Dispute("sandbox", id_, payment, parse_usd(amount), state)  # type: ignore[arg-type]


def refunded(payment: str, amount: str, id_: str = "re_1") -> Refund:
    return Refund("sandbox", id_, payment, parse_usd(amount))


async def paid_twice(shop: Shop, person: str) -> Order:
    """An order of $10 with two payments, `p1` and `p2`."""
    order = await shop.order(person, parse_usd("10"), gateway="sandbox")
    for id_ in ("p1", "p2"):
        paid = Payment("sandbox", id_, order.id, parse_usd("10"), parse_usd("0"), any_amount=True)
        order = await shop.crediting.credit_payment(paid)
    return order
