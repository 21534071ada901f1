"""Payments' nouns: orders, the events that a gateway reports, and each refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeGuard

from core.errors import REPEATED_LENGTH_MAX, Refusal
from core.money import Credits, NanoUsd, Stars
from payments.offer import Offer

#: What people pay with.
Cash = NanoUsd | Stars

OrderState = Literal["created", "pending", "processing", "credited", "expired", "failed"]
MovementKind = Literal["payment", "refund", "dispute", "other"]
DisputeState = Literal["", "open", "won", "lost"]

UNITS: dict[str, type[NanoUsd] | type[Stars]] = {kind.NAME: kind for kind in (NanoUsd, Stars)}


def is_order_id(value: object) -> TypeGuard[str]:
    """Whether this is the id of an order that was made here: gateways' accounts may sell other
    things too."""
    return isinstance(value, str) and value.startswith("ord_")


@dataclass(frozen=True, slots=True)
class Order:
    """An order is a person's wish to buy, and what came of it. Amounts are in the order's unit."""

    id: str
    person: str
    #: Where it was asked for, and the message there that shows it.
    place: str
    shown_in: str
    gateway: str
    #: The gateway's id of the checkout, once known, and where to pay.
    external_id: str
    url: str
    amount: Cash
    #: The worth that the offer counts, in nano-dollars, also where Stars are paid.
    value: NanoUsd
    state: OrderState
    paid: Cash
    refunded: Cash
    #: What was lost of it by disputes.
    lost: Cash
    #: The Credits given for it, as it stands now.
    bought: Credits
    bonus: Credits
    #: What it was made under; None in orders from before that was kept.
    offer: Offer | None
    #: Whose invitation it counts to (the invited person), and what the inviter has for it.
    referral: str
    share: Credits
    dispute: str
    dispute_state: DisputeState
    created_at: int
    expires_at: int

    @property
    def is_open(self) -> bool:
        """Whether it waits to be paid."""
        return self.state in {"created", "pending"}


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment is money that arrived, as the gateway reports it when asked."""

    gateway: str
    #: The gateway's id: the same however often it is reported.
    id: str
    order: str
    amount: Cash
    #: What the gateway kept of it; nothing while that isn't known yet.
    fee: Cash
    #: The checkout that it was paid through; empty where the order alone says it.
    checkout: str = ""
    #: Whether another amount than the order's is taken (a transfer on a chain can be any).
    any_amount: bool = False
    #: Who paid, as `<platform>:<id there>`, where the gateway tells; it must be who ordered.
    payer: str = ""
    #: Where amounts have parts of cents: all that the checkout has taken, each by its id, exactly,
    #: this one too. Whole cents of their sum are counted, in whichever order they are reported.
    parts: Mapping[str, NanoUsd] = field(default_factory=dict)
    #: When it was paid, in milliseconds UTC; 0 where that isn't told.
    at_ms: int = 0


@dataclass(frozen=True, slots=True)
class StorePurchase:
    """A purchase was made in a platform's own store, where no order can be named: it pays its
    buyer's open order of that value, or else one that is made for it."""

    gateway: str
    #: The store's id of it: the same however often it is reported.
    id: str
    platform: str
    #: The buyer's id on that platform.
    buyer: str
    #: When it was bought, in milliseconds UTC.
    at_ms: int
    #: What the offer counts, and is paid.
    value: NanoUsd
    #: What the store kept of it.
    fee: NanoUsd
    #: Whether the store was told that it was delivered: so it was credited, by this database or
    #: another.
    is_consumed: bool = False


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund is money that went back to the payer, or failed to."""

    gateway: str
    id: str
    #: The gateway's id of the payment that it goes back of.
    payment: str
    amount: Cash
    failed: bool = False
    #: The gateway's id of the dispute whose end gave this part of its sum back, if one did.
    dispute: str = ""
    #: The page on which the payer says where it goes; whoever opens it can have it.
    claim_url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Reversal:
    """A reversal is a payment that its service gave back as a whole, as it gives nothing back in
    parts."""

    gateway: str
    #: The gateway's id of the payment.
    payment: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """In a dispute a payer's bank takes money back until it is decided."""

    gateway: str
    id: str
    #: The gateway's id of the disputed payment.
    payment: str
    amount: Cash
    state: Literal["open", "won", "lost"]
    #: The bank's word for why, and until when evidence is taken (ms UTC); where they are told.
    reason: str = ""
    due_at: int | None = None
    #: What the gateway took for it so far, in all; None while that isn't known.
    fee: NanoUsd | None = None
    #: How often it was taken up again after an end, as it is recorded here.
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Movement:
    """A movement is money that came in or went out on the operator's account, by its gateway's own
    list."""

    gateway: str
    kind: MovementKind
    #: The gateway's own id of it, and of the payment that it is of.
    id: str
    payment: str
    #: Below zero it went out.
    amount: Cash
    at_ms: int
    #: The order that the gateway names with it; empty where it names none.
    order: str = ""
    #: Whether the gateway tells what was paid; else `amount` is what it costs now.
    is_priced: bool = True


@dataclass(frozen=True, slots=True)
class PaymentPending:
    """The payer has paid, and the money is on its way: a bank debit, a review, a chain that has yet
    to confirm."""

    order: str


@dataclass(frozen=True, slots=True)
class PaymentWarning:
    """A warning is a gateway's word that a payment which was credited may be none: nothing is
    moved, somebody has to decide."""

    gateway: str
    #: The gateway's id of what it warns of: the same however often it is told.
    id: str
    #: The gateway's id of the payment; empty where it names the order.
    payment: str
    order: str = ""
    #: `fraud`: whoever has the card says that they didn't pay. `invalid`: the money isn't there any
    #: more. `archived`: a page by which it goes back was closed, perhaps before it was used.
    kind: Literal["fraud", "invalid", "archived"] = "fraud"
    #: The gateway's own name of the case; may be empty.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CheckoutEnded:
    """The checkout has ended: nobody will pay this order any more."""

    order: str
    state: Literal["expired", "failed"]


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """Something happened to an order: the gateway is to be asked about it
    (`Gateway.fetch_order`)."""

    order: str


#: What a gateway may report.
GatewayEvent = (
    Payment
    | PaymentPending
    | StorePurchase
    | Refund
    | Reversal
    | Dispute
    | PaymentWarning
    | CheckoutEnded
)


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout is where an order is paid."""

    #: The gateway's own id of it.
    external_id: str
    #: A link to open; empty where the platform itself shows the payment.
    url: str = ""


# --- refusals -----------------------------------------------------------------------------------


class UnknownOrder(Refusal):
    """There is no order of that id."""

    code: ClassVar[str] = "unknown_order"

    def __init__(self, order: str) -> None:
        self.order = order[:REPEATED_LENGTH_MAX]


class NoOpenDispute(Refusal):
    """There is no such dispute, it is decided already, or its gateway takes no acceptance."""

    code: ClassVar[str] = "no_dispute"

    def __init__(self, dispute: str) -> None:
        self.dispute = dispute[:REPEATED_LENGTH_MAX]


class TooManyOrders(Refusal):
    """So many of this person's orders wait to be paid (`open_count`) that no more are taken."""

    code: ClassVar[str] = "too_many_orders"

    def __init__(self, open_count: int) -> None:
        self.open_count = open_count


class CardPaymentsPaused(Refusal):
    """While a payment is disputed, and for a while after a bank took one back, this person pays by
    other ways than by card; `until` is when that is over (ms UTC; 0: when it is decided)."""

    code: ClassVar[str] = "cards_stopped"

    def __init__(self, until: int) -> None:
        self.until = until


class PaymentMismatch(Refusal):
    """What a gateway reports doesn't fit the order: nothing was credited, an admin has to look."""

    code: ClassVar[str] = "payment_refused"

    def __init__(
        self, order: str, reason: Literal["gateway", "checkout", "unit", "amount", "payer", "busy"]
    ) -> None:
        self.order, self.reason = order, reason

    @property
    def verdict(self) -> str:
        """What operators are told of it: the same from wherever it is told, so that it is once."""
        return f"{self.code}/{self.reason}"


class GatewayUnavailable(Refusal):
    """The gateway doesn't answer, or refuses; nothing was begun."""

    code: ClassVar[str] = "gateway_unavailable"

    def __init__(self, gateway: str, detail: str = "") -> None:
        """`detail`: in our words, for the operator; empty where nothing is known."""
        self.gateway, self.detail = gateway, detail


class RefundDeclined(Refusal):
    """The gateway won't give a payment back; nothing was moved."""

    code: ClassVar[str] = "not_given_back"

    def __init__(self, gateway: str, reason: str) -> None:
        """`reason`: the gateway's own name of the case."""
        self.gateway, self.reason = gateway, reason


class CheckoutRefused(Refusal):
    """A platform asks whether an order may be paid now, and it may not; nothing was charged."""

    code: ClassVar[str] = "checkout_refused"

    def __init__(
        self, order: str, reason: Literal["over", "paid", "payer", "amount", "unsure"]
    ) -> None:
        """`unsure`: it couldn't be looked up in time."""
        self.order, self.reason = order, reason


class RefundUnsupported(Refusal):
    """This payment can't be given back like that: only as a whole, or only by its own service."""

    code: ClassVar[str] = "refund_refused"

    def __init__(self, order: str, reason: Literal["whole", "elsewhere"]) -> None:
        self.order, self.reason = order, reason


class InvalidSignature(Refusal):
    """A message was sent by no gateway of ours; its content was not used."""

    code: ClassVar[str] = "forged"

    def __init__(self, gateway: str, reason: str) -> None:
        self.gateway, self.reason = gateway, reason
