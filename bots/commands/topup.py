"""Buying Credits: `/topup`, `/terms`, `/paysupport`.

Cash shows here and at checkout, since a buyer must see what is charged; elsewhere people read
Credits alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.i18n import render
from bots.chat.reply import Choice, Invoice, Reply, Said, plain, say
from bots.commands.errors import NotUnderstood
from bots.commands.models import Choosing
from bots.commands.text import average_answer, cash_text, in_credits, money
from core import ids
from core.clock import Clock, as_datetime
from core.money import Credits, NanoUsd, Stars, usd
from core.users.service import People
from payments.checkout import Cashier, Receipt
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordSkus
from payments.offer import Offer, Pack, cents, of_cents
from payments.types import Order

_AMOUNT = re.compile(r"[$＄]?\s*(\d{1,7})(?:[.．](\d{1,2}))?\s*(?:usd|\$)?", re.IGNORECASE)
_ONLY_PACKS = say("Here packs are sold, and no other amounts: /topup. Nothing was ordered.")
_HOW = say("Write the amount like this: /topup 25 or /topup 25.50. Nothing was ordered.")
_ORDERS_SHOWN = 10

#: How people read each way to pay.
_WAYS = {
    "stars": say("Telegram Stars"),
    "skus": say("Discord"),
    "stripe": say("Card and more"),
    "paypal": say("PayPal"),
    "btcpay": say("Cryptocurrency"),
    "sandbox": say("Sandbox checkout"),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """The operator's own terms and support address; where they are empty the bot's own words stand
    in."""

    text: str = ""
    support: str = ""
    #: Whether Telegram's users may be led out of the chat to pay (its terms want Stars).
    telegram_outside: bool = False


class PayingCommands:
    """The commands by which people buy Credits, and get help with their payments."""

    def __init__(
        self,
        *,
        cashier: Cashier,
        people: People,
        choosing: Choosing,
        clock: Clock,
        terms: Terms,
        sells: bool,
    ) -> None:
        """`is_selling`: by a gateway, not by codes alone."""
        self._sells = sells
        self._cashier, self._people = cashier, people
        self._choosing, self._clock, self._terms = choosing, clock, terms

    def room(self) -> Room:
        """Commands and actions."""
        topup = Command(
            "topup",
            title=say("Top up"),
            does=say("Buy Credits"),
            usage=say("/topup [amount]"),
            options=(Option("amount", say("Another amount, in dollars")),),
            handler=self.topup,
            pausable="topups",
        )
        return Room(
            commands=(
                *((topup,) if self._sells else ()),
                Command(
                    "paysupport",
                    title=say("Payment support"),
                    does=say("Your payments, and help with them"),
                    handler=self.paysupport,
                ),
                Command(
                    "terms",
                    title=say("Terms"),
                    does=say("What you buy, and when it is given back"),
                    handler=self.terms,
                ),
            ),
            actions=(
                Action("topup", self.topup, pausable="topups"),
                Action("buy", self.buy, pausable="topups"),
            ),
        )

    # --- buying ---------------------------------------------------------------------------------

    async def topup(self, request: Request) -> Reply:
        """Packs as buttons; with an amount that amount, and the pack that is better, if any."""
        offer = await self._cashier.orders.offer_to(request.person.id)
        packs = [pack for pack in offer.packs if self._ways(request, pack.cash)]
        if not packs and not self._ways(request, offer.least):
            return Reply(
                (
                    say(
                        "Credits can't be bought in this app yet. On another platform they can:"
                        " /link makes both one account."
                    ),
                ),
                private=True,
            )
        if request.text.strip():
            return self._free(offer, amount_of(request.text, _HOW), request)
        model = self._choosing.current(request.person)
        price = await self._choosing.price(request.person, model)
        rows = []
        for pack in packs:
            cash = plain(self._price(request, pack.cash))
            total = offer.given(pack.cash).total
            row = [plain(pack.name), in_credits(total), cash]
            if price is not None:
                count = total.units // average_answer(price).units
                row.append(say("≈ {count} answers", count=count))
            rows.append(tuple(row))
        lines = self._free_lines(offer, request)
        if price is not None:
            lines.append(say("Average answers of {model}.", model=model.name))
        return Reply(
            title=say("Top up"),
            table=tuple(rows),
            lines=tuple(lines),
            choices=tuple((self._pack_choice(offer, request, pack),) for pack in packs),
            private=True,
        )

    def _free_lines(self, offer: Offer, request: Request) -> list[Said]:
        """What else can be bought than packs, where anything else can."""
        unit = usd("1")
        if not self._ways(request, offer.least):
            return []
        deal = _deal(offer.free(unit).total, money(unit))
        lines = [
            say(
                "Another amount: /topup 25. {cash} is {credits}; from {least} on {percent} % more.",
                least=money(offer.bonus_from),
                percent=offer.bonus_percent,
                **deal,
            )
            if offer.bonus_percent
            else say("Another amount: /topup 25. {cash} is {credits}.", **deal)
        ]
        if (price := self._price(request, unit)) != money(unit):
            lines.append(say("{unit} is {price} here.", unit=money(unit), price=price))
        return lines

    def _free(self, offer: Offer, cash: NanoUsd, request: Request) -> Reply:
        offer.check(cash)
        if not self._ways(request, cash):
            raise NotUnderstood(_ONLY_PACKS)
        given = offer.given(cash).total
        deal = _deal(given, self._price(request, cash))
        choices = [(_buy(say("{credits} for {cash}", **deal), cash),)]
        lines = [say("{cash} buys {credits}.", **deal)]
        better = offer.better(cash)
        if better is not None and self._ways(request, better.cash):
            lines.append(
                say(
                    "The pack {pack} gives more for less: {credits} for {cash}.",
                    pack=better.name,
                    **_deal(offer.given(better.cash).total, self._price(request, better.cash)),
                )
            )
            choices.insert(0, (self._pack_choice(offer, request, better),))
        return Reply(title=say("Top up"), lines=tuple(lines), choices=tuple(choices), private=True)

    async def buy(self, request: Request) -> Reply:
        """A pack or an amount was chosen; then the way to pay, if there are several."""
        cash = of_cents(int(request.data["cents"]))
        given = (await self._cashier.orders.offer_to(request.person.id)).given(cash).total
        ways = self._ways(request, cash)
        chosen = str(request.data.get("way", "")) or (ways[0] if len(ways) == 1 else "")
        if not ways:
            raise NotUnderstood(_ONLY_PACKS)
        if chosen not in ways:
            return Reply(
                title=say("{credits} for {cash}", **_deal(given, money(cash))),
                lines=(say("How would you like to pay?"),),
                choices=tuple((_buy(_WAYS[way], cash, way),) for way in ways),
                private=True,
                replace=True,
            )
        what = render(in_credits(given), request.person.language)
        order = await self._cashier.buy(
            cause=request.button,
            at_ms=ids.time_of(request.button),
            person=request.person.id,
            place=request.place.code,
            message=request.message,
            gateway=chosen,
            value=cash,
            what=what,
            language=request.person.language,
        )
        return self._order_reply(order)

    def _order_reply(self, order: Order) -> Reply:
        given = (order.offer or self._cashier.orders.offer).given(order.value).total
        title = say("{credits} for {cash}", **_deal(given, cash_text(order.amount)))
        if not order.open:
            return Reply(title=title, lines=(_state(order),), private=True, replace=True)
        gateway = self._cashier.gateways[order.gateway]
        how, choices, invoice = checkout(order, gateway, given)
        return Reply(
            title=title,
            lines=(how, say("Order {order}", order=order.id)),
            choices=choices,
            invoice=invoice,
            private=True,
            replace=True,
        )

    def _ways(self, request: Request, cash: NanoUsd) -> list[str]:
        """The ways to pay so much here, the platform's own first."""
        platform = request.place.platform
        outside = platform != "telegram" or self._terms.telegram_outside
        ways = []
        for name, gateway in self._cashier.gateways.items():
            here = gateway.platform == platform or (not gateway.platform and outside)
            if name in _WAYS and here and gateway.amount(cash) is not None:
                ways.append(name)
        return sorted(ways, key=lambda name: not self._cashier.gateways[name].platform)

    def _price(self, request: Request, cash: NanoUsd) -> str:
        """What so much costs here: in dollars, unless there is one way alone that takes others."""
        ways = self._ways(request, cash)
        asked = self._cashier.gateways[ways[0]].amount(cash) if len(ways) == 1 else None
        return cash_text(cash if asked is None else asked)

    def _pack_choice(self, offer: Offer, request: Request, pack: Pack) -> Choice:
        label = say(
            "{pack}: {credits} for {cash}",
            pack=pack.name,
            **_deal(offer.given(pack.cash).total, self._price(request, pack.cash)),
        )
        return _buy(label, pack.cash)

    # --- help -----------------------------------------------------------------------------------

    async def paysupport(self, request: Request) -> Reply:
        """Their orders, and whom to ask."""
        people = await self._people.lineage(request.person.id)
        orders = await self._cashier.orders.of(people, _ORDERS_SHOWN)
        receipts = await self._cashier.receipts(orders)
        support = self._terms.support
        how = (
            say("Write to {support} with the order's id.", support=support)
            if support
            else say("Write to the operator of this bot with the order's id.")
        )
        lines = [
            say(
                "A payment that doesn't arrive within an hour, or one that you want back: tell us."
            ),
            how,
        ]
        if not orders:
            lines.append(say("You have ordered nothing yet."))
        lines += map(receipt_line, receipts)
        table = tuple(
            (
                say("{at}", at=as_datetime(order.created_at)),
                plain(cash_text(order.amount)),
                _state(order),
                plain(order.id),
            )
            for order in orders
        )
        return Reply(title=say("Payment support"), lines=tuple(lines), table=table, private=True)

    async def terms(self, request: Request) -> Reply:
        """The operator's own terms, or what holds for everyone."""
        del request
        return Reply(title=say("Terms"), lines=terms_lines(self._terms))


def terms_lines(terms: Terms) -> tuple[Said, ...]:
    """The operator's own terms, or what holds for everyone."""
    if terms.text:
        return (plain(terms.text),)
    return (
        say(
            "Credits are for using this service. They are not money, can't be passed on,"
            " and don't expire."
        ),
        say("Each answer's charge stands under it; what fails costs nothing."),
        say("Credits that you bought and haven't used are given back on request: /paysupport."),
    )


def receipt_line(receipt: Receipt) -> Said:
    """A movement of cash by its receipt's id."""
    facts: dict[str, str] = {"receipt": receipt.id, "cash": cash_text(receipt.amount)}
    if receipt.failed:
        return say("Receipt {receipt}: {cash} given back, which did not arrive", **facts)
    if receipt.back:
        return say("Receipt {receipt}: {cash} given back", **facts)
    return say("Receipt {receipt}: {cash}", **facts)


def _deal(credits: Credits, cash: str) -> dict[str, Said | str]:  # noqa: A002
    return {"credits": in_credits(credits), "cash": cash}


def _buy(label: Said, cash: NanoUsd, way: str = "") -> Choice:
    data: dict[str, str | int] = {"cents": cents(cash)}
    if way:
        data["way"] = way
    return Choice(label, "buy", data)


def amount_of(text: str, how: Said) -> NanoUsd:
    """Dollars as people write them; raises `UsageError` with `how` they are written."""
    matched = _AMOUNT.fullmatch(text.strip())
    if matched is None:
        raise NotUnderstood(how)
    return of_cents(int(matched[1]) * 100 + int((matched[2] or "0").ljust(2, "0")))


_STATES = {
    "created": say("not paid yet"),
    "pending": say("not paid yet"),
    "credited": say("paid"),
    "expired": say("expired"),
    "failed": say("declined"),
}


def _state(order: Order) -> Said:
    if order.dispute_state == "open":
        return say("disputed")
    if order.refunded.units and order.refunded == order.paid:
        return say("given back")
    if order.refunded.units:
        return say("partly given back")
    if order.paid.units and order.state != "credited":
        return say("partly paid")
    return _STATES[order.state]


Choices = tuple[tuple[Choice, ...], ...]


def checkout(
    order: Order, gateway: Gateway, given: Credits
) -> tuple[Said, Choices, Invoice | None]:
    """How, in words, and by what; `credits_given` is what the order buys."""
    until = as_datetime(order.expires_at)
    if isinstance(order.amount, Stars):
        how = say(
            "Pay the invoice below, until {time}. Your Credits arrive here by themselves.",
            time=until,
        )
        return how, (), _invoice(order.id, order.amount, given)
    if isinstance(gateway, DiscordSkus):
        how = say(
            "Press the button: Discord shows the final price and takes the payment. Your"
            " Credits arrive here by themselves."
        )
        return how, ((Choice(plain(""), "", sku=gateway.sku(order.value)),),), None
    how = say(
        "The link works until {time}. Your Credits arrive here by themselves when the payment has.",
        time=until,
    )
    pay = Choice(say("Pay {cash}", cash=cash_text(order.amount)), "", url=order.url)
    return how, ((pay,),), None


def _invoice(order: str, stars: Stars, given: Credits) -> Invoice:
    return Invoice(
        payload=order,
        title=in_credits(given),
        about=say(
            "{credits} to spend here on answers. Order {order}",
            credits=in_credits(given),
            order=order,
        ),
        stars=stars,
        refused=say(
            "Telegram doesn't take this invoice. Nothing was charged. Try a smaller amount: /topup"
        ),
    )
