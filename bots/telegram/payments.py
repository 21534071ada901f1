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

from bots.chat.i18n import find_nearest_language, render
from bots.commands.errors import explain_refusal
from bots.config.settings import TelegramConfig
from bots.logs import TelegramTokenFilter
from bots.platform_payments import StarsPayments
from bots.telegram.file_request import load_authorities
from core.errors import Refusal, describe_failure
from core.money import Stars
from payments.gateways.telegram_stars import PreCheckout, StarPaymentUpdate, StarTransactionRecord
from payments.types import CheckoutRefused, GatewayUnavailable, RefundDeclined

_log = logging.getLogger(__name__)

#: An answer that doesn't get through is sent again, within Telegram's ten seconds.
_ANSWER_ATTEMPTS: Final = 3
_ANSWER_SECONDS: Final = 2.0
#: What Telegram takes as the reason of a refusal.
_REASON_MAX: Final = 200


@final
class PaymentUpdates:
    """The handler of updates about payments: it passes them to `StarsPayments`, and answers
    Telegram."""

    def __init__(self, bot: Bot, stars_payments: StarsPayments | None) -> None:
        self._bot, self._stars_payments = bot, stars_payments

    @staticmethod
    def is_payment_update(update: Update) -> bool:
        """Whether an update is about a payment."""
        message = update.message
        is_receipt = message is not None and (
            message.successful_payment or message.refunded_payment
        )
        return update.pre_checkout_query is not None or bool(is_receipt)

    async def handle_update(self, update: Update) -> bool:
        """Answers or keeps it; whether it is safe to forget the update."""
        if update.pre_checkout_query is not None:
            await self._answer_pre_checkout(update.pre_checkout_query)
            return True
        payment_update = _to_payment_update(update.message)
        if payment_update is None or self._stars_payments is None:
            _log.warning("a payment in chat that nothing here sells")
            return True
        try:
            await self._stars_payments.store_update(payment_update)
        except Refusal as refused:
            # By webhook it comes again; else it is found in the list of Stars.
            _log.error("a payment could not be kept now: %s", refused.code)
            return False
        return True

    async def _answer_pre_checkout(self, query: PreCheckoutQuery) -> None:
        reason = await self._find_refusal(query)
        for _ in range(_ANSWER_ATTEMPTS):
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
                _log.warning("whether to pay could not be answered: %s", describe_failure(failure))
                # A refusal of what was sent is a kind of network error to this client.
                if isinstance(failure, BadRequest) or not isinstance(failure, NetworkError):
                    return
            else:
                return

    async def _find_refusal(self, query: PreCheckoutQuery) -> str:
        """Why it may not be paid; empty when it may."""
        user = query.from_user
        language = user.language_code or ""
        if self._stars_payments is None:
            refused = CheckoutRefused(query.invoice_payload, "over")
            return render(explain_refusal(refused), find_nearest_language(language))
        pre_checkout = PreCheckout(
            str(user.id), query.currency, query.total_amount, query.invoice_payload
        )
        return await self._stars_payments.check_pre_checkout(pre_checkout, language)


def _to_payment_update(message: Message | None) -> StarPaymentUpdate | None:
    if message is None:
        return None
    paid = message.successful_payment
    payment = paid or message.refunded_payment
    if payment is None:
        return None
    return StarPaymentUpdate(
        charge=payment.telegram_payment_charge_id,
        payer=str(message.chat.id if message.from_user is None else message.from_user.id),
        currency=payment.currency,
        amount=payment.total_amount,
        payload=payment.invoice_payload,
        refunded=paid is None,
    )


Result = TypeVar("Result")

_SECONDS: Final = 10.0
_REFUSAL_MAX: Final = 60
#: What Telegram says of a payment that it gave back before.
_ALREADY_REFUNDED: Final = "charge_already_refunded"


@final
class TelegramStarsClient:
    """The client that asks Telegram about the bot's Stars. It opens nothing before something is
    asked."""

    def __init__(self, config: TelegramConfig) -> None:
        self._config = config
        self._filter = TelegramTokenFilter(config.token.get_secret_value())
        self._bot: Bot | None = None

    async def fetch_balance(self) -> Stars:
        """See `StarsApi`."""
        balance = await self._call(lambda bot: bot.get_my_star_balance())
        return Stars(balance.amount)

    async def list_star_transactions(
        self, offset: int, limit: int
    ) -> Sequence[StarTransactionRecord]:
        """See `StarsApi`."""
        transactions = await self._call(lambda bot: bot.get_star_transactions(offset, limit))
        return [_to_transaction_record(each) for each in transactions.transactions]

    async def refund_star_payment(self, payer: str, charge: str) -> None:
        """See `StarsApi`."""
        await self._call(lambda bot: _refund(bot, int(payer), charge))

    async def close(self) -> None:
        """See `StarsApi`."""
        if self._bot is not None:
            await self._bot.request.shutdown()
            self._filter.detach()
            self._bot = None

    async def _call(self, call: Callable[[Bot], Awaitable[Result]]) -> Result:
        try:
            return await call(self._get_bot())
        except TelegramError:
            # Its message may quote the token.
            raise GatewayUnavailable("stars") from None

    def _get_bot(self) -> Bot:
        if self._bot is None:
            self._filter.attach()
            request = HTTPXRequest(
                connect_timeout=_SECONDS,
                read_timeout=_SECONDS,
                write_timeout=_SECONDS,
                pool_timeout=_SECONDS,
                httpx_kwargs={"verify": load_authorities()},
            )
            self._bot = Bot(
                self._config.token.get_secret_value(),
                base_url=f"{self._config.api_url.rstrip('/')}/bot",
                request=request,
            )
        return self._bot


async def _refund(bot: Bot, payer: int, charge: str) -> None:
    try:
        await bot.refund_star_payment(payer, charge)
    except BadRequest as refused:
        if _ALREADY_REFUNDED not in refused.message.lower():
            # Too few Stars are left, say: in Telegram's own word for it.
            raise RefundDeclined("stars", refused.message[:_REFUSAL_MAX]) from None


def _to_transaction_record(transaction: StarTransaction) -> StarTransactionRecord:
    incoming, at_ms = transaction.source is not None, int(transaction.date.timestamp() * 1_000)
    partner = transaction.source if incoming else transaction.receiver
    if isinstance(partner, TransactionPartnerUser) and partner.invoice_payload:
        return StarTransactionRecord(
            transaction.id,
            incoming,
            transaction.amount,
            str(partner.user.id),
            partner.invoice_payload,
            at_ms,
        )
    return StarTransactionRecord(transaction.id, incoming, transaction.amount, at_ms=at_ms)
