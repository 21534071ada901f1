"""Giving money back: written down before the gateway is asked, so that nothing is given back twice
whatever happens to the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.errors import Refusal
from core.money import Stars
from payments.fulfillment import Crediting
from payments.gateways.base import Gateway
from payments.orders import Orders, left
from payments.types import (
    Cash,
    GatewayUnavailable,
    NotGivenBack,
    Order,
    PaymentRefused,
    RefundRefused,
)

ASKED: Final = "refund-asked"
_OVER: Final = ("refund-given", "refund-refused", "refund-looked-up")
_PART: Final = "payment "
#: Gateways know a refund by our idempotency key for a day at least (Stripe keeps keys for 24
#: hours). Later they are only asked what they gave back.
_KNOWN_MS: Final = 20 * 3_600_000


class NothingToRefund(Refusal):
    """That much of the order isn't there to be given back."""

    code: ClassVar[str] = "nothing_to_refund"

    def __init__(self, order: str, left: Cash) -> None:
        self.order, self.left = order, left


class EarlierRefund(Refusal):
    """Nobody knew what became of an earlier refund of this order; now it is known, and nothing more
    was given back. `refunded` is what went back of the order in all."""

    code: ClassVar[str] = "earlier_refund"

    def __init__(self, order: str, given: Cash) -> None:
        self.order, self.given = order, given


class RefundUnsure(GatewayUnavailable):
    """The gateway didn't answer: whether the money went back isn't known. The next refund of the
    order finds out first."""

    code: ClassVar[str] = "refund_unsure"

    def __init__(self, gateway: str, order: str) -> None:
        super().__init__(gateway)
        self.order = order


@dataclass(frozen=True, slots=True)
class _Intent:
    """A refund as it was written down: its cause, and how much of which payment."""

    cause: str
    at: int
    parts: tuple[tuple[str, int], ...]


def refundable(order: Order) -> Cash:
    """What of an order's cash can be given back."""
    return type(order.paid)(max(0, left(order)))


class Refunds:
    """The service that refunds orders for the operator; what gateways give back by themselves is
    handled by `Fulfillment`."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        orders: Orders,
        crediting: Crediting,
        store: Store,
        clock: Clock,
    ) -> None:
        self._gateways, self._orders, self._crediting = gateways, orders, crediting
        self._store, self._clock = store, clock

    async def refund(self, order: Order, amount: Cash, *, cause: str) -> Order:
        """Gives a payer money back, once a cause, newest payment first. Raises `NothingToRefund`,
        `RefundUnsupported`, `EarlierRefund`, `RefundOutcomeUnknown`."""
        at = self._gateways.get(order.gateway)
        if at is None:
            raise GatewayUnavailable(order.gateway)
        asked, over = _intents(await self._orders.history(order.id))
        if cause in over:
            return await self._orders.get(order.id)
        waiting = [one for one in asked if one.cause not in over]
        for one in waiting:
            await self._again(at, order, one)
        after = await self._orders.get(order.id)
        if waiting:
            if [one.cause for one in waiting] == [cause]:
                return after
            raise EarlierRefund(order.id, after.refunded)
        there = refundable(after)
        if amount.units > there.units or amount.units <= 0:
            raise NothingToRefund(order.id, there)
        parts = await self._parts(after, amount)
        facts = {f"{_PART}{payment}": units for payment, units in parts}
        await self._orders.noted(order, ASKED, cause=cause, **facts)
        await self._give(at, order, _Intent(cause, self._clock.now_ms(), tuple(parts)))
        return await self._orders.get(order.id)

    async def _again(self, at: Gateway, order: Order, one: _Intent) -> None:
        if self._clock.now_ms() - one.at < _KNOWN_MS:
            await self._give(at, order, one)
            return
        for news in await at.look(order):
            await self._crediting.tell(news)
        await self._orders.noted(order, "refund-looked-up", cause=one.cause)

    async def _give(self, at: Gateway, order: Order, one: _Intent) -> None:
        try:
            for payment, units in one.parts:
                part = type(order.paid)(units)
                for news in await at.refund(order, payment, part, f"{one.cause}/{payment}"):
                    await self._crediting.tell(news)
        except (NotGivenBack, RefundRefused, PaymentRefused):
            await self._orders.noted(order, "refund-refused", cause=one.cause)
            raise
        except GatewayUnavailable:
            raise RefundUnsure(order.gateway, order.id) from None
        await self._orders.noted(order, "refund-given", cause=one.cause)

    async def _parts(self, order: Order, amount: Cash) -> list[tuple[str, int]]:
        """How much goes back of which payment. Raises `RefundUnsupported`: Stars go back payment by
        payment, each as a whole."""
        rest, parts = amount.units, []
        for payment, there in await self._left(order):
            part = min(rest, there)
            if part <= 0:
                continue
            if isinstance(amount, Stars) and part != there:
                raise RefundRefused(order.id, "whole")
            parts.append((payment, part))
            rest -= part
        return parts

    async def _left(self, order: Order) -> list[tuple[str, int]]:
        """The gateway's ids of the order's payments, the newest first, and what of each is left;
        what was lost by a dispute is gone."""
        paid, back, dispute = schema.payment, schema.refund, schema.dispute
        lost = sa.select(dispute.c.payment).where(
            dispute.c.order == order.id, dispute.c.state == "lost"
        )
        rows = await self._store.fetch(
            sa.select(paid.c.external, paid.c.amount)
            .where(paid.c.order == order.id, paid.c.external.not_in(lost))
            .order_by(paid.c.at.desc())
        )
        given = await self._store.fetch(
            sa.select(back.c.amount).where(back.c.order == order.id, back.c.failed_at.is_(None))
        )
        gone = sum(row.amount for row in given)
        found = []
        for row in rows:
            used = min(gone, row.amount)
            gone -= used
            found.append((row.external, row.amount - used))
        return found


def _intents(
    history: Iterable[tuple[int, str, Mapping[str, Any]]],
) -> tuple[Sequence[_Intent], frozenset[str]]:
    """Every refund that was asked for, and the causes of those that are over."""
    asked, over = [], set()
    for at, what, facts in history:
        if what == ASKED:
            parts = [
                (name.removeprefix(_PART), int(units))
                for name, units in facts.items()
                if name.startswith(_PART)
            ]
            asked.append(_Intent(str(facts["cause"]), at, tuple(parts)))
        elif what in _OVER:
            over.add(str(facts["cause"]))
    return asked, frozenset(over)
