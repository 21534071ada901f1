"""A receipt of a purchase, as a page to keep or print, where the operator is the seller."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from bots.chat.command import Request, action
from bots.chat.i18n import render
from bots.chat.reply import Choice, Phrase, Reply, ReplyFile, plain, say
from bots.commands.text import format_cash, format_credits
from core.clock import as_datetime
from payments.order_search import CashReceipt, OrderSearch
from payments.orders import Orders
from payments.types import Order

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}"
    "table{width:100%;border-collapse:collapse}td,th{text-align:left;padding:.4rem;"
    "border-bottom:1px solid #ccc}td:last-child,th:last-child{text-align:right}"
)


#: Gateways through which the operator sells; elsewhere the store is the seller, and gives receipts.
_OWN_SALES = frozenset({"stripe", "paypal", "btcpay", "stars", "sandbox"})


@dataclass(frozen=True, slots=True)
class Seller:
    """A seller as receipts name it: its name (empty: there are no receipts), and a line about tax,
    as its country wants it."""

    name: str = ""
    tax_line: str = ""
    #: Whether Stripe sells what is bought there, and gives receipts itself.
    stripe_sells: bool = False

    def gives_receipt(self, order: Order) -> bool:
        """Whether there is a receipt of ours for an order."""
        is_stripes = order.gateway == "stripe" and self.stripe_sells
        return bool(self.name) and order.gateway in _OWN_SALES and not is_stripes


class ReceiptCommands:
    """The action by which a buyer gets a receipt."""

    def __init__(self, *, orders: Orders, order_search: OrderSearch, seller: Seller) -> None:
        self._orders, self._order_search, self._seller = orders, order_search, seller

    @action("receipt")
    async def receipt(self, request: Request) -> Reply:
        """All that was paid of an order of theirs, and given back, as a page."""
        order_id = str(request.data["order"])
        order = await self._orders.get_of_person(order_id, request.person.id)
        movements = await self._order_search.list_receipts([order])
        language, zone = request.person.language, request.person.zone
        page = _build_page(
            language,
            title=render(say("Receipt"), language),
            head=[
                self._seller.name,
                *([self._seller.tax_line] if self._seller.tax_line else []),
                render(say("Order {order}", order=order.id), language),
            ],
            rows=[
                tuple(render(cell, language, zone) for cell in row)
                for row in _list_rows(order, movements)
            ],
        )
        file = ReplyFile(f"receipt-{order.id}.html", page.encode())
        return Reply(
            lines=(say("Your receipt, as a page to keep or print."),), file=file, private=True
        )


def make_receipt_choice(order: Order, *, is_only: bool = True) -> Choice:
    """The button that gives a receipt; beside others it says of which purchase."""
    label = say("Receipt")
    if not is_only:
        time, cash = as_datetime(order.created_at), format_cash(order.amount)
        label = say("Receipt: {cash} of {time}", cash=cash, time=time)
    return Choice(label, "receipt", {"order": order.id})


def _list_rows(order: Order, movements: Sequence[CashReceipt]) -> list[tuple[Phrase, ...]]:
    """When, what, under which number, how much; the last row is what was paid in all."""
    offer = order.offer
    what = (
        say("Credits")
        if offer is None
        else format_credits(offer.compute_entitlement(order.value).total)
    )
    rows: list[tuple[Phrase, ...]] = []
    kept = 0
    for one in movements:
        if one.has_failed:
            continue
        kept += -one.amount.units if one.is_refund else one.amount.units
        cash = format_cash(one.amount)
        rows.append(
            (
                say("{at}", at=as_datetime(one.at_ms)),
                say("Given back") if one.is_refund else what,
                plain(one.id),
                plain(f"−{cash}" if one.is_refund else cash),
            )
        )
    total = format_cash(type(order.paid)(kept))
    return [*rows, (say("Total"), plain(""), plain(""), plain(total))]


def _build_page(
    language: str, *, title: str, head: Sequence[str], rows: Sequence[tuple[str, ...]]
) -> str:
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<!doctype html><html lang="{language}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{lines}<table>{body}</table></html>\n"
    )
