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
from dataclasses import asdict, dataclass
from typing import Final, Literal, NoReturn, Protocol, final

from core.clock import Clock
from core.db.errors import DatabaseUnavailable
from core.money import NanoUsd, Stars
from payments.gateways.base import Message, Page
from payments.types import (
    Cash,
    Checkout,
    CheckoutRefused,
    Forged,
    GatewayUnavailable,
    News,
    Order,
    Payment,
    TakenBack,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

PLATFORM: Final = "telegram"
#: Telegram's sign for Stars.
CURRENCY: Final = "XTR"
OPEN_SECONDS: Final = 3_600
#: The most that one call lists (Bot API, getStarTransactions).
PAGE: Final = 100
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
class StarsTold:
    """An update by which Telegram says that an invoice was paid, or that it gave a payment back.
    The names of its fields are kept in the database."""

    #: Telegram's id of the payment.
    charge: str
    payer: str
    currency: str
    amount: int
    payload: str
    refunded: bool = False

    def message(self) -> Message:
        """The update as a message to be stored until it is processed."""
        kind = "refunded" if self.refunded else "paid"
        return Message(f"{kind}/{self.charge}", json.dumps(asdict(self)).encode())


@dataclass(frozen=True, slots=True)
class StarMove:
    """A record is a line of the bot's list of Star transactions."""

    #: The payment's id; a refund has the same as what it gives back.
    charge: str
    #: Stars came in; else they went back, or elsewhere.
    incoming: bool
    amount: int
    #: Of an invoice that a person paid; both are empty for anything else.
    payer: str = ""
    payload: str = ""


class StarsApi(Protocol):
    """The API of Telegram that the gateway needs; every method raises `GatewayUnavailable`."""

    async def balance(self) -> Stars:
        """What the bot has."""
        ...

    async def moves(self, offset: int, most: int) -> Sequence[StarMove]:
        """Its list from the line `offset` on, the oldest first."""
        ...

    async def refund(self, payer: str, charge: str) -> None:
        """Gives a payment back; that it was given back before is fine. Raises `RefundDeclined`
        too."""
        ...

    async def close(self) -> None:
        """Closes its connections."""
        ...


@final
class TelegramStars:
    """The Telegram Stars gateway: it sells by invoices that the chat itself shows."""

    name = "stars"
    platform = PLATFORM
    open_seconds = OPEN_SECONDS

    def __init__(self, *, api: StarsApi, usd_per_star: NanoUsd, clock: Clock) -> None:
        """`usd_per_star`: what a Star brings the operator."""
        self._api, self._clock, self.usd_per_star = api, clock, usd_per_star
        self._open: OrderedDict[str, Order] = OrderedDict()
        self._paid: OrderedDict[str, None] = OrderedDict()

    def amount(self, value: NanoUsd) -> Stars:
        """See `Gateway`: so many that they bring no less."""
        return Stars(-(-value.units // self.usd_per_star.units))

    async def balance(self) -> Stars:
        """What the bot has; raises `GatewayUnavailable`."""
        return await self._api.balance()

    async def probe(self) -> None:
        """See `Gateway`."""
        await self._api.balance()

    async def begin(self, order: Order, what: str, language: str) -> Checkout:
        """See `Gateway`: the front end shows the invoice."""
        del what, language
        if not payer_of(order).isdecimal():
            raise GatewayUnavailable(self.name)  # not in a person's own chat
        self.remember(order)
        return Checkout(order.id)

    async def verify(self, headers: Mapping[str, str], body: bytes) -> Message:
        """See `Gateway`: nothing comes by a route of its own."""
        del headers, body
        raise Forged(self.name, "route")

    async def news(self, body: bytes) -> Sequence[News]:
        """See `Gateway`."""
        told = StarsTold(**json.loads(body))
        if told.currency != CURRENCY:
            _log.warning("a payment in chat is not in Stars, but in %s", told.currency[:8])
            return ()
        if told.refunded:
            return (TakenBack(self.name, told.charge),)
        return (self._payment(told.charge, told.payer, told.amount, told.payload),)

    async def look(self, order: Order) -> Sequence[News]:
        """See `Gateway`: Telegram can't be asked about one order; its list is read."""
        del order
        return ()

    async def page(self, mark: str) -> Page:
        """See `Listed`. The mark is how many lines were read, and the last one's id: where that
        isn't found again, the list is another and is read from its beginning."""
        count, _, last = mark.partition(":")
        moves = await self._api.moves(int(count) - 1, PAGE) if count else ()
        if count and (not moves or moves[0].charge != last):
            _log.warning("the list of Stars is not as it was: it is read from its beginning")
            count = ""
        if not count:
            moves = await self._api.moves(0, PAGE)
        read = (int(count) - 1 if count else 0) + len(moves)
        fresh = moves[1:] if count else moves
        mark = f"{read}:{moves[-1].charge}" if moves else ""
        return Page([news for move in fresh for news in self._told(move)], mark, len(moves) == PAGE)

    async def late(self) -> Mapping[str, Cash]:
        """See `Gateway`: the list has that too."""
        return {}

    async def refund(self, order: Order, payment: str, amount: Cash, cause: str) -> Sequence[News]:
        """See `Gateway`: always the whole payment."""
        del amount, cause
        await self._api.refund(payer_of(order), payment)
        return (TakenBack(self.name, payment),)

    async def close(self) -> None:
        """See `Gateway`."""
        await self._api.close()

    # --- may it be paid? --------------------------------------------------------------------------

    def remember(self, *orders: Order) -> None:
        """Open orders, about which Telegram may ask."""
        for order in orders:
            self._open[order.id] = order
        while len(self._open) > _REMEMBERED_MAX:
            self._open.popitem(last=False)

    def _remember_paid(self, order: str) -> None:
        """Nobody may pay it again, before the database says so too."""
        self._open.pop(order, None)
        self._paid[order] = None
        while len(self._paid) > _REMEMBERED_MAX:
            self._paid.popitem(last=False)

    async def may_pay(self, asked: PreCheckout, find: Callable[[str], Awaitable[Order]]) -> None:
        """Answers from memory; one that isn't there is looked up with `get_order`, once and not for
        long. Raises `CheckoutRefused`."""
        id_ = asked.payload
        order = self._open.get(id_) or await self._found(id_, find)
        if order.gateway != self.name or payer_of(order) != asked.payer:
            self._refuse(id_, "payer")
        if id_ in self._paid or order.state == "credited":
            self._refuse(id_, "paid")
        if asked.currency != CURRENCY or Stars(asked.amount) != order.amount:
            self._refuse(id_, "amount")
        if not order.open or self._clock.now_ms() > order.expires_at:
            self._refuse(id_, "over")

    async def _found(self, id_: str, find: Callable[[str], Awaitable[Order]]) -> Order:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                return await find(id_)
        except UnknownOrder:
            raise CheckoutRefused(id_, "over") from None
        except (DatabaseUnavailable, TimeoutError):
            raise CheckoutRefused(id_, "unsure") from None

    @staticmethod
    def _refuse(id_: str, why: Literal["over", "paid", "payer", "amount"]) -> NoReturn:
        _log.info("%s may not be paid: %s", id_[:40], why)
        raise CheckoutRefused(id_, why)

    # --- what is told -----------------------------------------------------------------------------

    def _told(self, move: StarMove) -> Sequence[News]:
        if not move.payload:
            return ()  # no invoice: a withdrawal, a gift, somebody's commission
        if not move.incoming:
            return (TakenBack(self.name, move.charge),)
        return (self._payment(move.charge, move.payer, move.amount, move.payload),)

    def _payment(self, charge: str, payer: str, amount: int, payload: str) -> Payment:
        known, stars = self._open.get(payload), Stars(amount)
        if known is not None and (payer_of(known), known.amount) == (payer, stars):
            self._remember_paid(payload)
        return Payment(self.name, charge, payload, stars, Stars(0), payer=f"{PLATFORM}:{payer}")


def payer_of(order: Order) -> str:
    """The id on Telegram of whoever ordered: their own chat with the bot has the same."""
    platform, _, rest = order.place.partition(":")
    return rest.partition(":")[0] if platform == PLATFORM else ""
