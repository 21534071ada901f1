"""Payments in the chat: Telegram asks whether an invoice may be paid, and tells that it was.

Neither waits behind anything: a question has ten seconds, and what was told must be kept.
"""

from __future__ import annotations

import logging
from typing import Final, final

from telegram import Bot, Message, PreCheckoutQuery, Update
from telegram.error import BadRequest, NetworkError, TelegramError

from bots.chat.i18n import language_for, render
from bots.commands.errors import sentence
from bots.platform_payments import StarsTill
from core.errors import Refusal
from core.safe_errors import cause
from payments.gateways.telegram_stars import PreCheckout, StarsTold
from payments.types import CheckoutRefused

_log = logging.getLogger(__name__)

#: An answer that doesn't get through is sent again, within Telegram's ten seconds.
_ANSWER_TRIES: Final = 3
_ANSWER_SECONDS: Final = 2.0
#: What Telegram takes as the reason of a refusal.
_REASON_MAX: Final = 200


@final
class Paying:
    """Between Telegram's updates and the till."""

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
