"""Codes bought elsewhere, or given: `/redeem`."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import Arguments, Request, argument, command
from bots.chat.reply import Reply, say
from bots.commands.errors import UsageError
from bots.commands.models import ModelCommands
from bots.commands.text import format_credits
from core import chart
from core.clock import as_datetime
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pricing.promotions import Promotion
from payments.promo_codes import RedeemedPromotion
from payments.vouchers import Vouchers

_HOW = say("Write the code behind the command: /redeem ABCD-EFGH-JKLM-NPQR")

_MODELS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class RedeemArguments(Arguments):
    """What follows `/redeem`."""

    code: str = argument(say("The code, as it was given to you"), say("code"), required=True)


class RedeemCommands:
    """The command that turns a code into Credits or into a promotion."""

    def __init__(
        self, *, vouchers: Vouchers, ledger: Ledger, model_commands: ModelCommands
    ) -> None:
        self._vouchers, self._ledger, self._model_commands = vouchers, ledger, model_commands

    @command(
        "redeem",
        title=say("Redeem"),
        description=say("Turn a code that you bought or got into Credits"),
        arguments=RedeemArguments,
    )
    async def redeem(self, request: Request, given: RedeemArguments) -> Reply:
        """Credits what the code is worth."""
        if not given.code:
            raise UsageError(_HOW)
        order = await self._vouchers.redeem_code(
            request.person, request.private_place.code, given.code
        )
        if isinstance(order, RedeemedPromotion):
            return await self._promotion_card(request, order.promotion)
        balances = await self._ledger.read_balances(chart.pockets(request.person.id))
        available = Credits(sum(balance.available for balance in balances.values()))
        return Reply(
            title=say("✅ Paid"),
            lines=(
                say("{credits} have arrived.", credits=format_credits(order.bought + order.bonus)),
                say("You have {have} now.", have=format_credits(available)),
                say("Order {order}", order=order.id),
            ),
            private=True,
        )

    async def _promotion_card(self, request: Request, promotion: Promotion) -> Reply:
        """What somebody got by a code of a promotion."""
        until = promotion.ends_at
        lines = []
        match promotion.kind:
            case "credits":
                balances = await self._ledger.read_balances(chart.pockets(request.person.id))
                available = Credits(sum(balance.available for balance in balances.values()))
                lines = [
                    say("{credits} have arrived.", credits=format_credits(promotion.credits)),
                    say("You have {have} now.", have=format_credits(available)),
                ]
            case "bonus":
                lines.append(
                    say("A top-up brings you {percent} % more now.", percent=promotion.percent)
                )
            case "discount":
                lines.append(say("Your prices now:"))
                lines += await self._model_commands.list_prices(
                    request.person, promotion.models, _MODELS_SHOWN
                )
        if until is not None and promotion.kind != "credits":
            lines.append(say("Until {at}.", at=as_datetime(until)))
        return Reply(title=say("✅ Redeemed"), lines=tuple(lines), private=True)
