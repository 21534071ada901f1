"""What Telegram says of the bot's Stars, by a client of its own: the command line asks too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar, final

from telegram import Bot, StarTransaction, TransactionPartnerUser
from telegram.error import BadRequest, TelegramError
from telegram.request import HTTPXRequest

from bots.telegram.config import TelegramConfig
from bots.telegram.logs import TokenFilter
from core.money import Stars
from payments.gateways.telegram_stars import StarMove
from payments.types import GatewayUnavailable, NotGivenBack

Result = TypeVar("Result")

_SECONDS: Final = 10.0
_REASON_MAX: Final = 60
#: What Telegram says of a payment that it gave back before.
_REFUNDED: Final = "charge_already_refunded"


@final
class BotStars:
    """See `StarsApi`. Nothing is opened before something is asked."""

    def __init__(self, config: TelegramConfig) -> None:
        self._config = config
        self._filter = TokenFilter(config.token.get_secret_value())
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
            raise NotGivenBack("stars", refused.message[:_REASON_MAX]) from None


def _move(told: StarTransaction) -> StarMove:
    incoming = told.source is not None
    partner = told.source if incoming else told.receiver
    if isinstance(partner, TransactionPartnerUser) and partner.invoice_payload:
        return StarMove(
            told.id, incoming, told.amount, str(partner.user.id), partner.invoice_payload
        )
    return StarMove(told.id, incoming, told.amount)
