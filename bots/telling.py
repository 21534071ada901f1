"""Telling: notices in their reader's words, on every platform that they write from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from bots.commands.paying import cash_text
from bots.commands.phrases import in_credits
from bots.locale import render
from bots.reply import Said, say
from bots.show.screen import Button, Deliverer, Place, Screen
from core import chart
from core.ledger import Ledger
from core.people import People
from core.trace import cause
from core.units import Credits
from core.upkeep import Notice
from payments import PAID, REFUNDED, Order, Orders

log = logging.getLogger(__name__)


class NobodyReached(Exception):
    """No front end could show it now."""


class Telling:
    """Shows notices."""

    def __init__(
        self,
        *,
        people: People,
        ledger: Ledger,
        orders: Orders,
        deliverers: Mapping[str, Deliverer],
    ) -> None:
        """`deliverers` by platform, as front ends start."""
        self._people, self._ledger, self._orders = people, ledger, orders
        self._deliverers = deliverers

    async def tell(self, notice: Notice) -> None:
        """Shows a notice once on each platform of its person, in the message that it is about
        where there is one; raises `NobodyReached`."""
        person = await self._people.find(notice.person)
        order = await self._orders.get(str(notice.facts["order"]))
        title, lines = await self._words(notice, order)
        screen = Screen(
            title=render(title, person.language, person.zone),
            lines=tuple(render(line, person.language, person.zone) for line in lines),
            buttons=tuple(
                (Button("", render(label, person.language, person.zone), url),)
                for label, url in _links(notice, order)
            ),
            private=True,
        )
        place = Place.of(order.place)
        reached = False
        for platform, id_ in await self._people.identities(person.id):
            deliverer = self._deliverers.get(platform)
            if deliverer is None:
                continue
            here = platform == place.platform and id_ == place.chat and notice.kind == PAID
            try:
                await deliverer.notify(id_, screen, instead=order.shown_in if here else "")
            except Exception as failure:  # noqa: BLE001 - a chat may refuse for any reason
                log.info("%s could not be told on %s: %s", notice.id, platform, cause(failure))
            else:
                reached = True
        if not reached:
            raise NobodyReached

    async def _words(self, notice: Notice, order: Order) -> tuple[Said, tuple[Said, ...]]:
        id_ = say("Order {order}", order=order.id)
        if _is_part(notice):
            paid = type(order.amount)(int(notice.facts["paid"]))
            return say("A part is paid"), (
                say(
                    "{paid} of {amount} have arrived. Credits come with the rest; if you would"
                    " rather have it back, ask for it: /paysupport.",
                    paid=cash_text(paid),
                    amount=cash_text(order.amount),
                ),
                id_,
            )
        balances = await self._ledger.balances(chart.pockets(notice.person))
        have = Credits(sum(balance.available for balance in balances.values()))
        lines = [say("You have {have} now.", have=in_credits(have)), id_]
        moved = Credits(int(notice.facts["credits"]))
        if not moved.is_zero:
            lines.insert(0, _LINES[notice.kind](in_credits(moved)))
        if "claim" in notice.facts:
            lines.insert(0, say("Open the link to say where your money shall go."))
        return _TITLES[notice.kind], tuple(lines)


def _is_part(notice: Notice) -> bool:
    """Whether it tells of money that doesn't yet pay its order."""
    return notice.kind == PAID and not notice.facts["credits"]


def _links(notice: Notice, order: Order) -> list[tuple[Said, str]]:
    """What can be opened, and where it leads."""
    if "claim" in notice.facts:
        return [(say("Take your money back"), str(notice.facts["claim"]))]
    if _is_part(notice) and order.open and order.url:
        return [(say("Pay the rest"), order.url)]
    return []


_TITLES = {PAID: say("✅ Paid"), REFUNDED: say("Payment given back")}
_LINES: Mapping[str, Callable[[Said], Said]] = {
    PAID: lambda credits_: say("{credits} have arrived.", credits=credits_),
    REFUNDED: lambda credits_: say("{credits} were taken back with it.", credits=credits_),
}
