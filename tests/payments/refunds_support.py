"""What tests of refunds share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from core.money import NanoUsd
from payments.gateways.voucher import VoucherGateway
from payments.types import Cash, GatewayEvent, GatewayUnavailable, Order, Refund, RefundDeclined


@dataclass
class Lossy(VoucherGateway):
    """A gateway that gives back once a key, and whose answers get lost when `loses` says so."""

    loses: list[bool] = field(default_factory=list)
    refuses: bool = False
    given: dict[str, Refund] = field(default_factory=dict)
    #: Keys are forgotten after a day.
    forgets: bool = False

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        assert isinstance(amount, NanoUsd)
        if self.refuses:
            raise RefundDeclined("sandbox", "no money")
        known = None if self.forgets else self.given.get(cause)
        if known is None:
            id_ = f"re_{len(self.given)}"
            known = self.given[f"{cause}{id_ if self.forgets else ''}"] = Refund(
                "sandbox", id_, payment, amount
            )
        assert (known.payment, known.amount) == (payment, amount), "a key is one refund's"
        if self.loses and self.loses.pop(0):
            raise GatewayUnavailable("sandbox")
        return (known,)

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        return tuple(self.given.values())

    async def list_late_payments(self) -> Mapping[str, Cash]:
        return {}

    @property
    def back(self) -> int:
        """Dollars that went back in all."""
        return sum(one.amount.units for one in self.given.values()) // 1_000_000_000
