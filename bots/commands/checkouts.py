"""How an order is paid, on its card: by a link, an invoice in the chat, or the store's button."""

from __future__ import annotations

from bots.chat.reply import Choice, Invoice, Said, plain, say
from bots.commands.text import in_credits, money
from core.clock import as_datetime
from core.money import Credits, Stars
from payments.gateways.base import Gateway
from payments.gateways.discord_store import DiscordSkus
from payments.types import Cash, Order

Choices = tuple[tuple[Choice, ...], ...]


def checkout(
    order: Order, gateway: Gateway, given: Credits
) -> tuple[Said, Choices, Invoice | None]:
    """How, in words, and by what; `given` is what the order buys."""
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


def cash_text(amount: Cash) -> str:
    """`$10.00` or `1,540 ⭐`."""
    if isinstance(amount, Stars):
        return f"{amount.units:,} ⭐"
    return money(amount)


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
