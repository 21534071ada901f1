"""Buying Credits: `/topup`, `/terms`, and the card of one's payments.

Cash shows here and at checkout, since a buyer must see what is charged; elsewhere people read
Credits alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import render
from bots.chat.reply import Choice, Invoice, Phrase, Reply, make_copy_choice, plain, say, say_count
from bots.commands.arguments import is_number, normalize, shorten
from bots.commands.cancel import CONSENT, describe_right, make_cancel_choice
from bots.commands.errors import UsageError
from bots.commands.models import ModelCommands
from bots.commands.receipt import make_receipt_choice
from bots.commands.terms import PaymentTerms, list_terms
from bots.commands.text import compute_average_charge, format_cash, format_credits
from core import ids
from core.clock import DAY_MS, Clock, as_datetime
from core.money import Credits, NanoUsd, Stars, format_usd, parse_usd
from core.users.service import Users
from payments.checkout import CheckoutService
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordStoreGateway
from payments.gateways.voucher import VOUCHER_GATEWAY
from payments.offer import BadAmount, Entitlement, Offer, Pack, from_cents, to_cents
from payments.order_search import CashReceipt, OrderSearch
from payments.orders import Orders, remaining_cash
from payments.refunds import refundable_cash
from payments.types import Order

_AMOUNT = re.compile(
    r"[$＄]?\s*(\d{1,15}|\d{1,3}(?:[,，]\d{3}){1,4})(?:[.．](\d{1,2}))?\s*(?:usd|\$)?",
    re.IGNORECASE,
)
#: Dollars that can be read, whether or not they can be paid.
_ANY_AMOUNT = re.compile(r"\$?\s*[-−]?\d{1,40}(?:\.\d{1,40})?\s*(?:usd|\$)?", re.IGNORECASE)
_CREDITS = re.compile(r"([\d,]{1,40})\s*(?:credits?|cr|积分)", re.IGNORECASE)
#: More is read as this.
_CREDITS_MAX = 10**12
_ONLY_PACKS = say("Only packs are sold here, no other amounts: /topup. Nothing was ordered.")
_ORDERS_SHOWN = 10

ChoiceRows = tuple[tuple[Choice, ...], ...]

#: How people read each way to pay.
GATEWAY_NAMES = {
    "stars": say("Telegram Stars"),
    "skus": say("Discord"),
    "stripe": say("Card and more"),
    "paypal": say("PayPal"),
    "btcpay": say("Cryptocurrency"),
    "sandbox": say("Sandbox checkout"),
}


@dataclass(frozen=True, slots=True)
class TopUpArguments(Arguments):
    """What follows `/topup`."""

    amount: str = argument(
        say("Another amount, in dollars, or so many credits"), say("amount | 2500 credits")
    )


class TopUpCommands:
    """The commands by which people buy Credits, and get help with their payments."""

    def __init__(
        self,
        *,
        checkout: CheckoutService,
        orders: Orders,
        order_search: OrderSearch,
        users: Users,
        model_commands: ModelCommands,
        clock: Clock,
        terms: PaymentTerms,
    ) -> None:
        self._checkout, self._orders, self._order_search = checkout, orders, order_search
        self._users = users
        self._model_commands, self._clock, self._terms = model_commands, clock, terms

    # --- buying ---------------------------------------------------------------------------------

    @command(
        "topup",
        title=say("Top up"),
        description=say("Buy Credits"),
        arguments=TopUpArguments,
        pausable="topups",
    )
    @action("topup", pausable="topups")
    async def topup(self, request: Request, given: TopUpArguments = TopUpArguments()) -> Reply:
        """Packs as buttons; with an amount that amount, and the pack that is better, if any."""
        offer = await self._orders.get_offer(request.person.id)
        packs = [pack for pack in offer.packs if self._list_gateways(request, pack.cash)]
        if not packs and not self._list_gateways(request, offer.min_amount):
            return Reply(
                (
                    say(
                        "Credits can't be bought in this app yet. On another platform they can:"
                        " /link makes both one account."
                    ),
                ),
                private=True,
            )
        if given.amount:
            return self._free_amount_card(offer, _parse_topup(given.amount, offer), request)
        model = self._model_commands.get_current_model(request.person)
        price = await self._model_commands.find_price(request.person, model)
        rows = []
        for pack in packs:
            cash = plain(self._format_local_price(request, pack.cash))
            entitlement = offer.compute_entitlement(pack.cash)
            total = entitlement.total
            row = [plain(pack.name), _describe_entitlement(entitlement), cash]
            if price is not None:
                count = total.units // compute_average_charge(price).units
                row.append(say_count("≈ {count} answer", "≈ {count} answers", count))
            rows.append(tuple(row))
        lines = self._free_amount_lines(offer, request)
        if price is not None:
            lines.append(say("Average answers of {model}.", model=model.name))
        return Reply(
            title=say("Top up"),
            table=tuple(rows),
            lines=tuple(lines),
            choices=tuple((self._make_pack_choice(offer, request, pack),) for pack in packs),
            private=True,
        )

    def _free_amount_lines(self, offer: Offer, request: Request) -> list[Phrase]:
        """What else can be bought than packs, where anything else can."""
        unit = parse_usd("1")
        if not self._list_gateways(request, offer.min_amount):
            return []
        deal = _deal_values(offer.compute_entitlement_without_pack(unit).total, format_usd(unit))
        lines = [
            say(
                "Another amount: /topup 25. {cash} buys {credits}; from {least}, {percent} %"
                " bonus.",
                least=format_usd(offer.bonus_from),
                percent=offer.bonus_percent,
                **deal,
            )
            if offer.bonus_percent
            else say("Another amount: /topup 25. {cash} buys {credits}.", **deal)
        ]
        if (price := self._format_local_price(request, unit)) != format_usd(unit):
            lines.append(say("{unit} is {price} here.", unit=format_usd(unit), price=price))
        return lines

    def _free_amount_card(self, offer: Offer, cash: NanoUsd, request: Request) -> Reply:
        offer.validate_amount(cash)
        if not self._list_gateways(request, cash):
            raise UsageError(_ONLY_PACKS)
        credits_given = offer.compute_entitlement(cash).total
        deal = _deal_values(credits_given, self._format_local_price(request, cash))
        choices = [(_make_buy_choice(say("{credits} for {cash}", **deal), cash),)]
        lines = [say("{cash} buys {credits}.", **deal)]
        bonus = offer.compute_entitlement(cash).bonus
        if bonus.units:
            lines.append(say("{bonus} of them are a bonus.", bonus=bonus))
        if (price := self._format_local_price(request, cash)) != format_usd(cash):
            lines.append(say("{unit} is {price} here.", unit=format_usd(cash), price=price))
        better = offer.find_better_pack(cash)
        if better is not None and self._list_gateways(request, better.cash):
            lines.append(
                say(
                    "The pack {pack} gives more for less: {credits} for {cash}.",
                    pack=better.name,
                    **_deal_values(
                        offer.compute_entitlement(better.cash).total,
                        self._format_local_price(request, better.cash),
                    ),
                )
            )
            choices.insert(0, (self._make_pack_choice(offer, request, better),))
        return Reply(title=say("Top up"), lines=tuple(lines), choices=tuple(choices), private=True)

    @action("buy", pausable="topups")
    async def buy_credits(self, request: Request) -> Reply:
        """A pack or an amount was chosen; then the way to pay, if there are several."""
        cash = from_cents(int(request.data["cents"]))
        credits_given = (
            (await self._orders.get_offer(request.person.id)).compute_entitlement(cash).total
        )
        gateways = self._list_gateways(request, cash)
        chosen = str(request.data.get("way", "")) or (gateways[0] if len(gateways) == 1 else "")
        if not gateways:
            raise UsageError(_ONLY_PACKS)
        if chosen not in gateways:
            return Reply(
                title=say("{credits} for {cash}", **_deal_values(credits_given, format_usd(cash))),
                lines=(say("How would you like to pay?"),),
                choices=tuple(
                    (_make_buy_choice(GATEWAY_NAMES[way], cash, way),) for way in gateways
                ),
                private=True,
                replace=True,
            )
        what = render(format_credits(credits_given), request.person.language)
        order = await self._checkout.place_order(
            cause=request.button,
            at_ms=ids.time_of_id(request.button),
            person=request.person.id,
            place=request.place.code,
            message=request.message,
            gateway=chosen,
            value=cash,
            description=what,
            language=request.person.language,
            consent=CONSENT.format(days=days) if (days := self._terms.withdrawal_days) else "",
        )
        return self._order_card(order)

    def _order_card(self, order: Order) -> Reply:
        credits_given = (order.offer or self._orders.offer).compute_entitlement(order.value).total
        title = say(
            "{credits} for {cash}", **_deal_values(credits_given, format_cash(order.amount))
        )
        if not order.is_open:
            return Reply(
                title=title,
                lines=(_describe_state(order),),
                choices=self._list_order_choices([order]),
                private=True,
                replace=True,
            )
        gateway = self._checkout.gateways[order.gateway]
        how, choices, invoice = make_checkout_instructions(order, gateway, credits_given)
        return Reply(
            title=title,
            lines=(how, *self._list_rights(), say("Order {order}", order=order.id)),
            choices=(*choices, (make_copy_choice(order.id),)),
            invoice=invoice,
            private=True,
            replace=True,
        )

    def _list_rights(self) -> tuple[Phrase, ...]:
        days = self._terms.withdrawal_days
        return (describe_right(days),) if days else ()

    def _list_order_choices(self, orders: Sequence[Order]) -> ChoiceRows:
        """For each paid order: its receipt, and the way to withdraw while there is one."""
        rows = []
        for order in orders:
            if order.state != "credited" or order.gateway == VOUCHER_GATEWAY:
                continue
            row = []
            if self._may_cancel(order):
                row.append(make_cancel_choice(order, is_only=len(orders) == 1))
            if self._terms.seller.gives_receipt(order):
                row.append(make_receipt_choice(order, is_only=len(orders) == 1))
            if row:
                rows.append(tuple(row))
        return tuple(rows)

    def _may_cancel(self, order: Order) -> bool:
        since = self._clock.now_ms() - self._terms.withdrawal_days * DAY_MS
        if order.dispute_state == "open":  # whose the money is somebody else decides
            return False
        return order.created_at > since and refundable_cash(order).units > 0

    def _list_gateways(self, request: Request, cash: NanoUsd) -> list[str]:
        """The ways to pay so much here, the platform's own first."""
        gateways = self._checkout.gateways
        offered = list_platform_gateways(
            gateways, request.place.platform, telegram_outside=self._terms.telegram_outside
        )
        names = [name for name in offered if gateways[name].quote_amount(cash) is not None]
        return sorted(names, key=lambda name: not gateways[name].platform)

    def _format_local_price(self, request: Request, cash: NanoUsd) -> str:
        """What so much costs here: in dollars, unless there is one way alone that takes others."""
        gateways = self._list_gateways(request, cash)
        amount = (
            self._checkout.gateways[gateways[0]].quote_amount(cash) if len(gateways) == 1 else None
        )
        return format_cash(cash if amount is None else amount)

    def _make_pack_choice(self, offer: Offer, request: Request, pack: Pack) -> Choice:
        label = say(
            "{pack}: {credits} for {cash}",
            pack=pack.name,
            **_deal_values(
                offer.compute_entitlement(pack.cash).total,
                self._format_local_price(request, pack.cash),
            ),
        )
        return _make_buy_choice(label, pack.cash)

    # --- help -----------------------------------------------------------------------------------

    async def make_support_card(self, request: Request) -> Reply:
        """Their orders, and whom to ask."""
        person_ids = await self._users.list_merged_ids(request.person.id)
        orders = await self._orders.list_for_people(person_ids, _ORDERS_SHOWN)
        receipts = await self._order_search.list_receipts(orders)
        support = self._terms.support
        lines = [
            say(
                "A payment that doesn't arrive within an hour, or one that you want back: tell us."
            ),
            say(
                "Write /paysupport and your words, with the order's id: the operators read it here."
            ),
        ]
        if support:
            lines.append(say("Or write to {support}.", support=support))
        if not orders:
            lines.append(say("You have ordered nothing yet."))
        lines += map(format_receipt_line, receipts)
        table = tuple(
            (
                say("{at}", at=as_datetime(order.created_at)),
                plain(format_cash(order.amount)),
                _describe_state(order),
                plain(order.id),
            )
            for order in orders
        )
        return Reply(
            title=say("Payment support"),
            lines=tuple(lines),
            table=table,
            choices=self._list_order_choices(orders),
            private=True,
        )

    @command(
        "terms", title=say("Terms"), description=say("What you buy, and when it is given back")
    )
    async def terms(self, request: Request) -> Reply:
        """The operator's own terms, or what holds for everyone."""
        del request
        return Reply(title=say("Terms"), lines=list_terms(self._terms))


def list_platform_gateways(
    gateways: Mapping[str, Gateway], platform: str, *, telegram_outside: bool
) -> list[str]:
    """The ways to pay that a platform's people are offered; `telegram_outside` says whether
    Telegram's may be led out of the chat."""
    may_lead_outside = platform != "telegram" or telegram_outside
    return [
        name
        for name, gateway in gateways.items()
        if name in GATEWAY_NAMES
        and (gateway.platform == platform or (not gateway.platform and may_lead_outside))
    ]


def format_receipt_line(receipt: CashReceipt) -> Phrase:
    """A movement of cash by its receipt's id."""
    facts: dict[str, str] = {"receipt": receipt.id, "cash": format_cash(receipt.amount)}
    if receipt.has_failed:
        return say("Receipt {receipt}: {cash} given back, which did not arrive", **facts)
    if receipt.is_refund:
        return say("Receipt {receipt}: {cash} given back", **facts)
    return say("Receipt {receipt}: {cash}", **facts)


def _deal_values(credits: Credits, cash: str) -> dict[str, Phrase | str]:  # noqa: A002
    return {"credits": format_credits(credits), "cash": cash}


def _make_buy_choice(label: Phrase, cash: NanoUsd, gateway: str = "") -> Choice:
    data: dict[str, str | int] = {"cents": to_cents(cash)}
    if gateway:
        data["way"] = gateway
    return Choice(label, "buy", data)


def parse_amount(text: str, how: Phrase) -> NanoUsd:
    """Dollars as people write them; raises `UsageError` with `how` they are written."""
    matched = _AMOUNT.fullmatch(normalize(text))
    if matched is None:
        raise UsageError(how)
    whole = int(matched[1].replace(",", "").replace("，", ""))
    return from_cents(whole * 100 + int((matched[2] or "0").ljust(2, "0")))


def _parse_topup(text: str, offer: Offer) -> NanoUsd:
    """Dollars, or the dollars that buy so many Credits; raises `UsageError`."""
    how = say(
        "“{typed}” isn't an amount in dollars or Credits. Write dollars like this: /topup 25 or"
        " /topup 25.50; Credits like this: /topup 2500 credits. Nothing was ordered.",
        typed=shorten(text),
    )
    typed = normalize(text)
    if _ANY_AMOUNT.fullmatch(typed) and not _AMOUNT.fullmatch(typed):
        raise BadAmount(offer.min_amount, offer.max_amount)
    named = _CREDITS.fullmatch(typed)
    if named is None:
        return parse_amount(typed, how)
    if not is_number(named[1]):
        raise UsageError(how)
    count = Credits(min(int(named[1].replace(",", "")), _CREDITS_MAX))
    cash = offer.find_cash(count)
    try:
        offer.validate_amount(cash)
    except BadAmount as bad:
        raise UsageError(
            say(
                "{credits} would be {cash}. Amounts are from {minimum} to {maximum}. Nothing was"
                " ordered.",
                credits=format_credits(count),
                cash=format_usd(cash),
                minimum=format_usd(bad.minimum),
                maximum=format_usd(bad.maximum),
            )
        ) from None
    return cash


def _describe_entitlement(entitlement: Entitlement) -> Phrase:
    """All that a pack gives, and what of that is a bonus."""
    told = format_credits(entitlement.total)
    if not entitlement.bonus.units:
        return told
    return say("{credits}, {bonus} of them a bonus", credits=told, bonus=entitlement.bonus)


ORDER_STATE_NAMES = {
    "created": say("not paid yet"),
    "pending": say("not paid yet"),
    "processing": say("on its way"),
    "credited": say("paid"),
    "expired": say("expired"),
    "failed": say("declined"),
}


def _describe_state(order: Order) -> Phrase:
    if order.dispute_state == "open":
        return say("disputed")
    if order.refunded.units and order.refunded == order.paid:
        return say("given back")
    if order.refunded.units:
        return say("partly given back")
    if order.lost.units:  # by a bank, or whoever else decides there
        is_all = remaining_cash(order) <= 0
        return say("taken back by your bank") if is_all else say("partly taken back by your bank")
    if order.paid.units and order.state != "credited":
        return say("partly paid")
    return ORDER_STATE_NAMES[order.state]


def make_checkout_instructions(
    order: Order, gateway: Gateway, credits_given: Credits
) -> tuple[Phrase, ChoiceRows, Invoice | None]:
    """How, in words, and by what; `credits_given` is what the order buys."""
    until = as_datetime(order.expires_at)
    if isinstance(order.amount, Stars):
        how = say(
            "Pay the invoice below, until {time}. Your Credits arrive here by themselves.",
            time=until,
        )
        return how, (), _make_invoice(order.id, order.amount, credits_given)
    if isinstance(gateway, DiscordStoreGateway):
        how = say(
            "Press the button: Discord shows the final price and takes the payment. Your"
            " Credits arrive here by themselves."
        )
        return how, ((Choice(plain(""), "", sku=gateway.find_sku(order.value)),),), None
    how = say(
        "The link works until {time}. Your Credits arrive here by themselves when the payment has.",
        time=until,
    )
    pay = Choice(say("Pay {cash}", cash=format_cash(order.amount)), "", url=order.url)
    return how, ((pay,),), None


def _make_invoice(order: str, stars: Stars, credits_given: Credits) -> Invoice:
    return Invoice(
        payload=order,
        title=format_credits(credits_given),
        description=say(
            "{credits} to spend here on answers. Order {order}",
            credits=format_credits(credits_given),
            order=order,
        ),
        stars=stars,
        refused_text=say(
            "Telegram doesn't take this invoice. Nothing was charged. Try a smaller amount: /topup"
        ),
    )
