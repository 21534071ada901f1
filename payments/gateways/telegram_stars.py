"""Telegram Stars: an invoice in the chat. Telegram asks first whether it may be paid, then reports
that it was, in an update of the bot's own: that is the proof, and the bot's list of Stars says the
same again for what no update reported.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, NoReturn, Protocol, final

from core.clock import Clock
from core.db.errors import DatabaseUnavailable
from core.money import NanoUsd, Stars
from payments.gateways.base import TransactionPage, WebhookMessage
from payments.offer import CENT
from payments.types import (
    Cash,
    Checkout,
    CheckoutRefused,
    GatewayEvent,
    GatewayUnavailable,
    InvalidSignature,
    Movement,
    MovementKind,
    Order,
    Payment,
    Reversal,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

PLATFORM: Final = "telegram"
#: Telegram's sign for Stars.
CURRENCY: Final = "XTR"
CHECKOUT_SECONDS: Final = 3_600
#: The most that one call lists (Bot API, getStarTransactions).
PAGE_SIZE: Final = 100
#: Open orders that are kept in mind, and paid ones.
_REMEMBERED_MAX: Final = 20_000
#: An order that isn't in mind is looked up this long. Telegram gives ten seconds for everything.
_LOOK_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class PreCheckout:
    """A pre-checkout question: Telegram asks whether somebody may pay an invoice now."""

    #: The payer's id on Telegram.
    payer: str
    currency: str
    amount: int
    #: What the invoice carries: the order's id.
    payload: str


@dataclass(frozen=True, slots=True)
class StarPaymentUpdate:
    """An update by which Telegram says that an invoice was paid, or that it gave a payment back.
    The names of its fields are kept in the database."""

    #: Telegram's id of the payment.
    charge: str
    payer: str
    currency: str
    amount: int
    payload: str
    refunded: bool = False

    def to_webhook_message(self) -> WebhookMessage:
        """The update as a message to be stored until it is processed."""
        kind = "refunded" if self.refunded else "paid"
        return WebhookMessage(f"{kind}/{self.charge}", json.dumps(asdict(self)).encode())


@dataclass(frozen=True, slots=True)
class StarTransactionRecord:
    """A record is a line of the bot's list of Star transactions."""

    #: The payment's id; a refund has the same as what it gives back.
    charge_id: str
    #: Stars came in; else they went back, or elsewhere.
    is_incoming: bool
    amount: int
    #: Of an invoice that a person paid; both are empty for anything else.
    payer: str = ""
    payload: str = ""
    at_ms: int = 0


class StarsApi(Protocol):
    """The API of Telegram that the gateway needs; every method raises `GatewayUnavailable`."""

    async def fetch_balance(self) -> Stars:
        """What the bot has."""
        ...

    async def list_star_transactions(
        self, offset: int, limit: int
    ) -> Sequence[StarTransactionRecord]:
        """Its list from the line `offset` on, the oldest first."""
        ...

    async def refund_star_payment(self, payer: str, charge: str) -> None:
        """Gives a payment back; that it was given back before is fine. Raises `RefundDeclined`
        too."""
        ...

    async def close(self) -> None:
        """Closes its connections."""
        ...


@final
class TelegramStarsGateway:
    """The Telegram Stars gateway: it sells by invoices that the chat itself shows."""

    name = "stars"
    platform = PLATFORM
    checkout_seconds = CHECKOUT_SECONDS

    def __init__(self, *, api: StarsApi, usd_per_star: NanoUsd, clock: Clock) -> None:
        """`usd_per_star`: what a Star brings the operator."""
        self._api, self._clock, self.usd_per_star = api, clock, usd_per_star
        self._open_orders: OrderedDict[str, Order] = OrderedDict()
        self._paid_orders: OrderedDict[str, None] = OrderedDict()

    def quote_amount(self, value: NanoUsd) -> Stars:
        """See `Gateway`: so many that they bring no less."""
        return Stars(-(-value.units // self.usd_per_star.units))

    def estimate_value(self, amount: Cash) -> NanoUsd:
        """See `EstimatesValue`."""
        brought = self.usd_per_star.units * amount.units
        return NanoUsd(brought - brought % CENT.units)

    async def fetch_balance(self) -> Stars:
        """What the bot has; raises `GatewayUnavailable`."""
        return await self._api.fetch_balance()

    async def check_account(self) -> None:
        """See `Gateway`."""
        await self._api.fetch_balance()

    async def create_checkout(self, order: Order, description: str, language: str) -> Checkout:
        """See `Gateway`: the front end shows the invoice."""
        del description, language
        if not get_payer_id(order).isdecimal():
            raise GatewayUnavailable(self.name)  # not in a person's own chat
        self.cache_orders(order)
        return Checkout(order.id)

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookMessage:
        """See `Gateway`: nothing comes by a route of its own."""
        del headers, body
        raise InvalidSignature(self.name, "route")

    async def parse_events(self, body: bytes) -> Sequence[GatewayEvent]:
        """See `Gateway`."""
        update = StarPaymentUpdate(**json.loads(body))
        if update.currency != CURRENCY:
            _log.warning("a payment in chat is not in Stars, but in %s", update.currency[:8])
            return ()
        if update.refunded:
            return (Reversal(self.name, update.charge),)
        return (self._to_payment(update.charge, update.payer, update.amount, update.payload),)

    async def fetch_order(self, order: Order) -> Sequence[GatewayEvent]:
        """See `Gateway`: Telegram can't be asked about one order; its list is read."""
        del order
        return ()

    async def list_transactions(self, cursor: str) -> TransactionPage:
        """See `Listed`. The mark is how many lines were read, and the last one's id: where that
        isn't found again, the list is another and is read from its beginning."""
        count, _, last_id = cursor.partition(":")
        records = await self._api.list_star_transactions(int(count) - 1, PAGE_SIZE) if count else ()
        if count and (not records or records[0].charge_id != last_id):
            _log.warning("the list of Stars is not as it was: it is read from its beginning")
            count = ""
        if not count:
            records = await self._api.list_star_transactions(0, PAGE_SIZE)
        read_count = (int(count) - 1 if count else 0) + len(records)
        new_records = records[1:] if count else records
        cursor = f"{read_count}:{records[-1].charge_id}" if records else ""
        return TransactionPage(
            [news for move in new_records for news in self._events_of(move)],
            cursor,
            len(records) == PAGE_SIZE,
            [self._to_movement(record) for record in new_records],
        )

    async def list_late_payments(self) -> Mapping[str, Cash]:
        """See `Gateway`: the list has that too."""
        return {}

    async def refund_payment(
        self, order: Order, payment: str, amount: Cash, cause: str
    ) -> Sequence[GatewayEvent]:
        """See `Gateway`: always the whole payment."""
        del amount, cause
        await self._api.refund_star_payment(get_payer_id(order), payment)
        return (Reversal(self.name, payment),)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._api.close()

    # --- may it be paid? --------------------------------------------------------------------------

    def cache_orders(self, *orders: Order) -> None:
        """Open orders, about which Telegram may ask."""
        for order in orders:
            self._open_orders[order.id] = order
        while len(self._open_orders) > _REMEMBERED_MAX:
            self._open_orders.popitem(last=False)

    def _cache_paid(self, order: str) -> None:
        """Nobody may pay it again, before the database says so too."""
        self._open_orders.pop(order, None)
        self._paid_orders[order] = None
        while len(self._paid_orders) > _REMEMBERED_MAX:
            self._paid_orders.popitem(last=False)

    async def check_payable(
        self, query: PreCheckout, get_order: Callable[[str], Awaitable[Order]]
    ) -> None:
        """Answers from memory; one that isn't there is looked up with `get_order`, once and not for
        long. Raises `CheckoutRefused`."""
        id_ = query.payload
        order = self._open_orders.get(id_) or await self._get_order(id_, get_order)
        if order.gateway != self.name or get_payer_id(order) != query.payer:
            self._refuse(id_, "payer")
        if id_ in self._paid_orders or order.state == "credited":
            self._refuse(id_, "paid")
        if query.currency != CURRENCY or Stars(query.amount) != order.amount:
            self._refuse(id_, "amount")
        if not order.is_open or self._clock.now_ms() > order.expires_at:
            self._refuse(id_, "over")

    async def _get_order(self, id_: str, get_order: Callable[[str], Awaitable[Order]]) -> Order:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await get_order(id_)
        except UnknownOrder:
            raise CheckoutRefused(id_, "over") from None
        except (DatabaseUnavailable, TimeoutError):
            raise CheckoutRefused(id_, "unsure") from None

    @staticmethod
    def _refuse(id_: str, reason: Literal["over", "paid", "payer", "amount"]) -> NoReturn:
        _log.info("%s may not be paid: %s", id_[:40], reason)
        raise CheckoutRefused(id_, reason)

    # --- what is told -----------------------------------------------------------------------------

    def _events_of(self, record: StarTransactionRecord) -> Sequence[GatewayEvent]:
        if not record.payload:
            return ()  # no invoice: a withdrawal, a gift, somebody's commission
        if not record.is_incoming:
            return (Reversal(self.name, record.charge_id),)
        payment = self._to_payment(record.charge_id, record.payer, record.amount, record.payload)
        return (replace(payment, at_ms=record.at_ms),)

    def _to_movement(self, record: StarTransactionRecord) -> Movement:
        if not record.payload:
            # No invoice: what was taken out has an id of its own, coming or going.
            kind: MovementKind = "other"
        else:
            kind = "payment" if record.is_incoming else "refund"
        stars = Stars(record.amount if record.is_incoming else -record.amount)
        id_ = record.charge_id
        return Movement(self.name, kind, id_, id_, stars, record.at_ms, order=record.payload)

    def _to_payment(self, charge: str, payer: str, amount: int, payload: str) -> Payment:
        order, stars = self._open_orders.get(payload), Stars(amount)
        if order is not None and (get_payer_id(order), order.amount) == (payer, stars):
            self._cache_paid(payload)
        return Payment(self.name, charge, payload, stars, Stars(0), payer=f"{PLATFORM}:{payer}")


def get_payer_id(order: Order) -> str:
    """The id on Telegram of whoever ordered: their own chat with the bot has the same."""
    platform, _, rest = order.place.partition(":")
    return rest.partition(":")[0] if platform == PLATFORM else ""
