"""Payments in the chat: Telegram asks whether an invoice may be paid, and reports that it was. A
client of its own, which the command line uses too, asks about the bot's Stars.

Neither waits behind anything: a question has ten seconds, and what was paid must be stored.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, final

from telegram import Bot, Message, PreCheckoutQuery, StarTransaction, TransactionPartnerUser, Update
from telegram.error import BadRequest, NetworkError, TelegramError
from telegram.request import HTTPXRequest

from bots.chat.i18n import language_for, render
from bots.commands.errors import sentence
from bots.logs import TelegramTokenFilter
from bots.platform_payments import StarsTill
from bots.telegram.config import TelegramConfig
from core.errors import Refusal, cause
from core.money import Stars
from payments.gateways.telegram_stars import PreCheckout, StarMove, StarsTold
from payments.types import CheckoutRefused, GatewayUnavailable, NotGivenBack

_log = logging.getLogger(__name__)

#: An answer that doesn't get through is sent again, within Telegram's ten seconds.
_ANSWER_TRIES: Final = 3
_ANSWER_SECONDS: Final = 2.0
#: What Telegram takes as the reason of a refusal.
_REASON_MAX: Final = 200


@final
class Paying:
    """The handler of updates about payments: it passes them to `StarsPayments`, and answers
    Telegram."""

    def __init__(self, bot: Bot, till: StarsTill | None) -> None:
        self._bot, self._till = bot, till

    @staticmethod
    def concerns(update: Update) -> bool:
        """Whether an update is about a payment."""
        message = update.message
        told = message is not None and (message.successful_payment or message.refunded_payment)
        return update.pre_checkout_query is not None or bool(told)

    async def take(self, update: Update) -> bool:
        """Answers or keeps it; whether it is safe to forget the update."""
        if update.pre_checkout_query is not None:
            await self._answer(update.pre_checkout_query)
            return True
        told = _told(update.message)
        if told is None or self._till is None:
            _log.warning("a payment in chat that nothing here sells")
            return True
        try:
            await self._till.told(told)
        except Refusal as refused:
            # By webhook it comes again; else it is found in the list of Stars.
            _log.error("a payment could not be kept now: %s", refused.code)
            return False
        return True

    async def _answer(self, query: PreCheckoutQuery) -> None:
        reason = await self._reason(query)
        for _ in range(_ANSWER_TRIES):
            try:
                await self._bot.answer_pre_checkout_query(
                    query.id,
                    ok=not reason,
                    error_message=reason[:_REASON_MAX] or None,
                    connect_timeout=_ANSWER_SECONDS,
                    read_timeout=_ANSWER_SECONDS,
                    pool_timeout=_ANSWER_SECONDS,
                )
            except TelegramError as failure:
                _log.warning("whether to pay could not be answered: %s", cause(failure))
                # A refusal of what was sent is a kind of network error to this client.
                if isinstance(failure, BadRequest) or not isinstance(failure, NetworkError):
                    return
            else:
                return

    async def _reason(self, query: PreCheckoutQuery) -> str:
        """Why it may not be paid; empty when it may."""
        user = query.from_user
        language = user.language_code or ""
        if self._till is None:
            over = CheckoutRefused(query.invoice_payload, "over")
            return render(sentence(over), language_for(language))
        asked = PreCheckout(str(user.id), query.currency, query.total_amount, query.invoice_payload)
        return await self._till.asked(asked, language)


def _told(message: Message | None) -> StarsTold | None:
    if message is None:
        return None
    paid = message.successful_payment
    some = paid or message.refunded_payment
    if some is None:
        return None
    return StarsTold(
        charge=some.telegram_payment_charge_id,
        payer=str(message.chat.id if message.from_user is None else message.from_user.id),
        currency=some.currency,
        amount=some.total_amount,
        payload=some.invoice_payload,
        refunded=paid is None,
    )


Result = TypeVar("Result")

_SECONDS: Final = 10.0
_REFUSAL_MAX: Final = 60
#: What Telegram says of a payment that it gave back before.
_REFUNDED: Final = "charge_already_refunded"


@final
class BotStars:
    """The client that asks Telegram about the bot's Stars. It opens nothing before something is
    asked."""

    def __init__(self, config: TelegramConfig) -> None:
        self._config = config
        self._filter = TelegramTokenFilter(config.token.get_secret_value())
        self._bot: Bot | None = None

    async def balance(self) -> Stars:
        """See `StarsApi`."""
        told = await self._asked(lambda bot: bot.get_my_star_balance())
        return Stars(told.amount)

    async def moves(self, offset: int, most: int) -> Sequence[StarMove]:
        """See `StarsApi`."""
        told = await self._asked(lambda bot: bot.get_star_transactions(offset, most))
        return [_move(each) for each in told.transactions]

    async def refund(self, payer: str, charge: str) -> None:
        """See `StarsApi`."""
        await self._asked(lambda bot: _refunded(bot, int(payer), charge))

    async def close(self) -> None:
        """See `StarsApi`."""
        if self._bot is not None:
            await self._bot.request.shutdown()
            self._filter.detach()
            self._bot = None

    async def _asked(self, call: Callable[[Bot], Awaitable[Result]]) -> Result:
        try:
            return await call(self._opened())
        except TelegramError:
            # Its message may quote the token.
            raise GatewayUnavailable("stars") from None

    def _opened(self) -> Bot:
        if self._bot is None:
            self._filter.attach()
            request = HTTPXRequest(
                connect_timeout=_SECONDS,
                read_timeout=_SECONDS,
                write_timeout=_SECONDS,
                pool_timeout=_SECONDS,
            )
            self._bot = Bot(
                self._config.token.get_secret_value(),
                base_url=f"{self._config.api_url.rstrip('/')}/bot",
                request=request,
            )
        return self._bot


async def _refunded(bot: Bot, payer: int, charge: str) -> None:
    try:
        await bot.refund_star_payment(payer, charge)
    except BadRequest as refused:
        if _REFUNDED not in refused.message.lower():
            # Too few Stars are left, say: in Telegram's own word for it.
            raise NotGivenBack("stars", refused.message[:_REFUSAL_MAX]) from None


def _move(told: StarTransaction) -> StarMove:
    incoming = told.source is not None
    partner = told.source if incoming else told.receiver
    if isinstance(partner, TransactionPartnerUser) and partner.invoice_payload:
        return StarMove(
            told.id, incoming, told.amount, str(partner.user.id), partner.invoice_payload
        )
    return StarMove(told.id, incoming, told.amount)
