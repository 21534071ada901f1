"""Codes bought elsewhere: `/redeem`."""

from __future__ import annotations

from bots.commands.phrases import in_credits
from bots.commands.refusals import NotUnderstood, sentence
from bots.commands.types import Command, Option, Request, Room
from bots.reply import Reply, Said, say
from core import chart
from core.ledger import Ledger
from core.units import Credits
from payments import CodeRefused, Codes

_HOW = say("Write the code behind the command: /redeem ABCD-EFGH-JKLM-NPQR")

_REFUSED = {
    "unknown": say("There is no such code. Nothing was credited. Type it as it was given to you."),
    "used": say("That code was used before. Nothing was credited. /paysupport helps."),
    "expired": say("That code is too old. Nothing was credited. /paysupport helps."),
    "void": say("That code was taken back. Nothing was credited. /paysupport helps."),
}


@sentence.register
def _(refusal: CodeRefused) -> Said:
    return _REFUSED[refusal.why]


class RedeemCommands:
    """What turns a code into Credits."""

    def __init__(self, *, codes: Codes, ledger: Ledger) -> None:
        self._codes, self._ledger = codes, ledger

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "redeem",
                    title=say("Redeem"),
                    does=say("Turn a code that you bought into Credits"),
                    usage=say("/redeem code"),
                    options=(Option("code", say("The code, as it was given to you")),),
                    handler=self.redeem,
                ),
            )
        )

    async def redeem(self, request: Request) -> Reply:
        """Credits what the code is worth."""
        if not request.text.strip():
            raise NotUnderstood(_HOW)
        order = await self._codes.redeem(request.person, request.own_place.code, request.text)
        balances = await self._ledger.balances(chart.pockets(request.person.id))
        have = Credits(sum(balance.available for balance in balances.values()))
        return Reply(
            title=say("✅ Paid"),
            lines=(
                say("{credits} have arrived.", credits=in_credits(order.bought + order.bonus)),
                say("You have {have} now.", have=in_credits(have)),
                say("Order {order}", order=order.id),
            ),
            private=True,
        )
