"""What every gateway does. A gateway moves no Credits: it reports events, `payments.fulfillment`
decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from core.money import NanoUsd
from payments.types import (
    Cash,
    Checkout,
    Dispute,
    GatewayEvent,
    Movement,
    Order,
    OrderChanged,
    Payment,
)


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A webhook's message that was proven to be the gateway's own."""

    #: The gateway's id of it: the same when it is delivered again.
    id: str
    body: bytes
    #: When the gateway says that it sent it, in milliseconds UTC; 0 where it doesn't say so.
    sent_at_ms: int = 0


class Gateway(Protocol):
    """A gateway speaks to one payment service, as the operator's account there."""

    @property
    def name(self) -> str:
        """`stripe`, `paypal`, …: also in accounts' names and the webhook's path."""
        ...

    @property
    def platform(self) -> str:
        """The one platform where it is offered, whose front end brings its events: `telegram`,
        `discord`. Empty: it is offered anywhere, and sends webhooks."""
        ...

    @property
    def checkout_seconds(self) -> int:
        """How long a checkout can be paid."""
        ...

    def quote_amount(self, value: NanoUsd) -> Cash | None:
        """The cash that is to be paid for so much of the offer; None for what it doesn't sell."""
        ...

    async def check_account(self) -> None:
        """Checks that the account lets us in and is set up for what we do; raises
        `GatewayUnavailable`, with what is wrong where that is known."""
        ...

    async def create_checkout(self, order: Order, description: str, language: str) -> Checkout:
        """Makes the checkout of an order, the same one however often it is asked for; `description`
        is the line that the payer reads. Raises `GatewayUnavailable`."""
        ...

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
        """Proves a webhook's raw body; raises `InvalidSignature`, or `GatewayUnavailable` where the
        proof is the gateway's to give and it doesn't. Header names are in small letters."""
        ...

    async def parse_events(self, body: bytes) -> Sequence[GatewayEvent | OrderChanged]:
        """What a proven message says about money, read again from the gateway itself where money
        came in. Nothing for what doesn't concern us. Raises `GatewayUnavailable`."""
        ...

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        """The events of an order as the gateway has them now, for what no webhook reported;
        captures what its payer has agreed to pay. Raises `GatewayUnavailable`,
        `PaymentMismatch`."""
        ...

    async def list_late_payments(self) -> Mapping[str, Cash]:
        """The orders of its own list, and at least how much of each has been paid, where money can
        come after an order was given up; elsewhere none. Raises `GatewayUnavailable`."""
        ...

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        """Sends money back to the payer, once a cause. Raises `GatewayUnavailable`,
        `RefundDeclined`."""
        ...

    async def close(self) -> None:
        """Closes its connections."""
        ...


@runtime_checkable
class TellsFeesLater(Protocol):
    """A gateway may tell a payment before it knows what it keeps of it: payments without a fee are
    asked about again."""

    @property
    def tells_fees_later(self) -> bool:
        """Whether it does."""
        ...


@runtime_checkable
class EstimatesValue(Protocol):
    """A gateway that is paid in something else than dollars, and knows what that is worth."""

    def estimate_value(self, amount: Cash) -> NanoUsd:
        """What so much buys, in whole cents of the offer's value: no more than it brings."""
        ...


@runtime_checkable
class SupportsDisputeAcceptance(Protocol):
    """A gateway at which a dispute can be given up: the payer is right, no evidence is sent."""

    async def accept_dispute(self, order: Order, dispute: Dispute) -> Sequence[GatewayEvent]:
        """Gives up an open dispute of this order, for good, and reports what came of it: `lost`, or
        how it was decided before. The same however often it is asked for. Raises
        `GatewayUnavailable`: then it is as open as before."""
        ...


@runtime_checkable
class SupportsDisputeLookup(Protocol):
    """A gateway that can be asked how a dispute stands now: messages may come late and in any
    order."""

    async def fetch_dispute(self, order: Order, dispute: Dispute) -> Dispute:
        """The dispute of this order as the gateway has it now; as it was told where nothing can be
        read of it. Raises `GatewayUnavailable`."""
        ...


@runtime_checkable
class FindsCheckouts(Protocol):
    """A gateway that has all that became of an order which isn't in this database any more, once
    the order is made again with its checkout."""

    async def find_checkout(self, payment_id: str) -> str:
        """The id of the checkout of a payment that fits no order; empty if there is none. Raises
        `GatewayUnavailable`."""
        ...


@runtime_checkable
class FindsLostOrders(Protocol):
    """A gateway without a list of what moved, that has what was paid for an order which isn't in
    this database any more."""

    async def find_paid_order(self, order_id: str) -> Payment | None:
        """All that has arrived for an order of ours as one payment, which has the checkout's id as
        its own; None while there is nothing. Raises `GatewayUnavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class TransactionPage:
    """A page is a part of a gateway's list of transactions."""

    events: Sequence[GatewayEvent]
    #: From where to go on, once all of it was dealt with.
    cursor: str
    #: Whether the list goes on.
    has_more: bool
    #: All that moved, others' too.
    movements: Sequence[Movement] = ()


@runtime_checkable
class SupportsTransactionList(Protocol):
    """A gateway that lists all that moved: what is paid and what goes back, whatever the order."""

    @property
    def name(self) -> str:
        """See `Gateway`."""
        ...

    async def list_transactions(self, cursor: str) -> TransactionPage:
        """What comes after `cursor` (empty: the list's beginning), the oldest first. Raises
        `GatewayUnavailable`."""
        ...


@runtime_checkable
class SupportsConsumption(Protocol):
    """A store that sells the same thing to somebody again only once it hears that the last one was
    delivered."""

    async def consume_purchase(self, purchase: str) -> None:
        """Says that the purchase was delivered; again does no harm. Raises `GatewayUnavailable`."""
        ...
