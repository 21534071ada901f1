"""Giving money back: written down before the gateway is asked, so that nothing is given back twice
whatever happens to the answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.errors import Refusal
from core.money import Stars
from core.notification import OPERATORS, notification_row
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway
from payments.orders import Orders, remaining_cash
from payments.types import (
    Cash,
    GatewayUnavailable,
    Order,
    PaymentMismatch,
    RefundDeclined,
    RefundUnsupported,
)

#: The kind of notification to operators about a refund that a crash had cut off.
REFUND_FINISHED: Final = "refund_finished"
REFUND_REQUESTED: Final = "refund-asked"
_FINISHED_EVENTS: Final = ("refund-given", "refund-refused", "refund-looked-up")
#: Of figures of a refund that was begun: how much of which payment.
PART_PREFIX: Final = "payment "
#: Gateways know a refund by our idempotency key for a day at least (Stripe keeps keys for 24
#: hours). Later they are only asked what they gave back.
_KEY_LIFETIME_MS: Final = 20 * 3_600_000


class NothingToRefund(Refusal):
    """That much of the order isn't there to be given back."""

    code: ClassVar[str] = "nothing_to_refund"

    def __init__(self, order: str, remaining: Cash) -> None:
        self.order, self.remaining = order, remaining


class EarlierRefund(Refusal):
    """Nobody knew what became of an earlier refund of this order; now it is known, and nothing more
    was given back. `refunded` is what went back of the order in all."""

    code: ClassVar[str] = "earlier_refund"

    def __init__(self, order: str, refunded: Cash) -> None:
        self.order, self.refunded = order, refunded


class RefundOutcomeUnknown(GatewayUnavailable):
    """The gateway didn't answer: whether the money went back isn't known. The next refund of the
    order finds out first."""

    code: ClassVar[str] = "refund_unsure"

    def __init__(self, gateway: str, order: str) -> None:
        super().__init__(gateway)
        self.order = order


@dataclass(frozen=True, slots=True)
class _RefundRequest:
    """A refund as it was written down: its cause, and how much of which payment."""

    cause: str
    at: int
    parts: tuple[tuple[str, int], ...]


def refundable_cash(order: Order) -> Cash:
    """What of an order's cash can be given back."""
    return type(order.paid)(max(0, remaining_cash(order)))


class Refunds:
    """The service that refunds orders for the operator; what gateways give back by themselves is
    handled by `Fulfillment`."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        orders: Orders,
        fulfillment: Fulfillment,
        db: Database,
        clock: Clock,
    ) -> None:
        self._gateways, self._orders, self._fulfillment = gateways, orders, fulfillment
        self._db, self._clock = db, clock

    async def refund_order(self, order: Order, amount: Cash, *, cause: str) -> Order:
        """Gives a payer money back, once a cause, newest payment first. Raises `NothingToRefund`,
        `RefundUnsupported`, `EarlierRefund`, `RefundOutcomeUnknown`."""
        provider = self._gateways.get(order.gateway)
        if provider is None:
            raise GatewayUnavailable(order.gateway)
        requests, finished_causes = _parse_requests(await self._orders.list_events(order.id))
        if cause in finished_causes:
            return await self._orders.get(order.id)
        unfinished = [one for one in requests if one.cause not in finished_causes]
        for request in unfinished:
            await self._resume_request(provider, order, request)
        updated = await self._orders.get(order.id)
        if unfinished:
            if [one.cause for one in unfinished] == [cause]:
                return updated
            raise EarlierRefund(order.id, updated.refunded)
        available = refundable_cash(updated)
        if amount.units > available.units or amount.units <= 0:
            raise NothingToRefund(order.id, available)
        parts = await self._split_amount(updated, amount)
        if (given := sum(units for _, units in parts)) < amount.units:
            raise NothingToRefund(order.id, type(amount)(given))
        facts = {f"{PART_PREFIX}{payment}": units for payment, units in parts}
        await self._orders.record_intent(order, REFUND_REQUESTED, cause=cause, **facts)
        await self._execute_request(
            provider, order, _RefundRequest(cause, self._clock.now_ms(), tuple(parts))
        )
        return await self._orders.get(order.id)

    async def list_open_requests(self, order: Order) -> list[int]:
        """When each refund of this order was begun of which nobody knows the end (ms UTC)."""
        return [one.at for one in await self._list_unfinished(order)]

    async def finish_requests(self, order: Order, *, before_ms: int) -> None:
        """Ends the refunds that were begun before that and not ended: each is asked for again, once
        a cause, or looked up. Raises `RefundOutcomeUnknown`."""
        provider = self._gateways.get(order.gateway)
        if provider is None:
            return
        for request in await self._list_unfinished(order):
            if request.at > before_ms:
                continue
            refusal = ""
            try:
                await self._resume_request(provider, order, request)
            except (RefundDeclined, RefundUnsupported, PaymentMismatch) as refused:
                refusal = refused.code
            notification = notification_row(
                self._clock,
                cause_id=f"refund/{request.cause}/finished",
                person=OPERATORS,
                kind=REFUND_FINISHED,
                facts={
                    "order": order.id,
                    "unit": order.paid.NAME,
                    "amount": sum(units for _, units in request.parts),
                    "refusal": refusal,
                },
            )
            await self._orders.record_event(
                order, "refund-finished", notification, cause=request.cause
            )

    async def _list_unfinished(self, order: Order) -> list[_RefundRequest]:
        requests, finished = _parse_requests(await self._orders.list_events(order.id))
        return [one for one in requests if one.cause not in finished]

    async def _resume_request(
        self, provider: Gateway, order: Order, request: _RefundRequest
    ) -> None:
        if self._clock.now_ms() - request.at < _KEY_LIFETIME_MS:
            await self._execute_request(provider, order, request)
            return
        for event in await provider.fetch_order(order):
            await self._fulfillment.handle(event)
        await self._orders.record_event(order, "refund-looked-up", cause=request.cause)

    async def _execute_request(
        self, provider: Gateway, order: Order, request: _RefundRequest
    ) -> None:
        try:
            for payment, units in request.parts:
                part = type(order.paid)(units)
                for event in await provider.refund_payment(
                    order, payment, part, f"{request.cause}/{payment}"
                ):
                    await self._fulfillment.handle(event)
        except (RefundDeclined, RefundUnsupported, PaymentMismatch):
            await self._orders.record_event(order, "refund-refused", cause=request.cause)
            raise
        except GatewayUnavailable:
            raise RefundOutcomeUnknown(order.gateway, order.id) from None
        await self._orders.record_event(order, "refund-given", cause=request.cause)

    async def _split_amount(self, order: Order, amount: Cash) -> list[tuple[str, int]]:
        """How much goes back of which payment. Raises `RefundUnsupported`: Stars go back payment by
        payment, each as a whole."""
        rest, parts = amount.units, []
        for payment, available in await self._list_refundable_payments(order):
            part = min(rest, available)
            if part <= 0:
                continue
            if isinstance(amount, Stars) and part != available:
                raise RefundUnsupported(order.id, "whole")
            parts.append((payment, part))
            rest -= part
        return parts

    async def _list_refundable_payments(self, order: Order) -> list[tuple[str, int]]:
        """The gateway's ids of the order's payments, the newest first, and what of each is left;
        what was lost by a dispute is gone. What an older row says of no payment is the newest's."""
        paid, back, dispute = schema.payment, schema.refund, schema.dispute
        payments = await self._db.fetch(
            sa.select(paid.c.external, paid.c.amount)
            .where(paid.c.order == order.id)
            .order_by(paid.c.at.desc())
        )
        refunds = await self._db.fetch(
            sa.select(back.c.payment, back.c.amount).where(
                back.c.order == order.id, back.c.failed_at.is_(None)
            )
        )
        losses = await self._db.fetch(
            sa.select(dispute.c.payment, dispute.c.amount).where(
                dispute.c.order == order.id, dispute.c.state == "lost"
            )
        )
        gone: Counter[str] = Counter()
        for row in (*refunds, *losses):
            gone[row.payment or ""] += row.amount
        of_unknown_payment = gone.pop("", 0)
        found = []
        for row in payments:
            left = max(0, row.amount - gone[row.external])
            used = min(of_unknown_payment, left)
            of_unknown_payment -= used
            if left > used:
                found.append((row.external, left - used))
        return found


def _parse_requests(
    history: Iterable[tuple[int, str, Mapping[str, Any]]],
) -> tuple[Sequence[_RefundRequest], frozenset[str]]:
    """Every refund that was asked for, and the causes of those that are over."""
    requests, finished = [], set()
    for at, what, facts in history:
        if what == REFUND_REQUESTED:
            parts = [
                (name.removeprefix(PART_PREFIX), int(units))
                for name, units in facts.items()
                if name.startswith(PART_PREFIX)
            ]
            requests.append(_RefundRequest(str(facts["cause"]), at, tuple(parts)))
        elif what in _FINISHED_EVENTS:
            finished.add(str(facts["cause"]))
    return requests, frozenset(finished)
