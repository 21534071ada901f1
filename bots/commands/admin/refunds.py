"""The operator's side of payments: `/payment` and `/refund`. Cash may show here."""

from __future__ import annotations

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, plain, say
from bots.commands.admin.disputes import dispute_choices
from bots.commands.errors import NotUnderstood
from bots.commands.text import cash_text, in_credits
from bots.commands.topup import amount_of, receipt_line
from core.clock import as_datetime
from core.money import NanoUsd
from payments.checkout import Cashier
from payments.evidence import facts_of
from payments.gateways.voucher import CODE
from payments.refunds import refundable
from payments.types import Cash, Order, RefundRefused

_REFUND_HOW = say(
    "Write it like this: /refund ord_… for all of it, or /refund ord_… 10.50 for a part. Nothing"
    " was given back."
)


class RefundCommands:
    """The commands by which the operator looks at orders and gives their money back."""

    def __init__(self, *, cashier: Cashier) -> None:
        self._cashier = cashier

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "payment",
                    title=say("Payment"),
                    does=say("An order with its history"),
                    usage=say("/payment id"),
                    options=(
                        Option(
                            "id",
                            say("An order, a receipt, or what the gateway calls it"),
                            required=True,
                        ),
                    ),
                    handler=self.payment,
                    admin=True,
                    support=True,
                ),
                Command(
                    "refund",
                    title=say("Refund"),
                    does=say("Give an order's money back, all or a part"),
                    usage=say("/refund order [amount]"),
                    options=(
                        Option("order", say("Its id: ord_…"), required=True),
                        Option("amount", say("A part of it, in dollars")),
                    ),
                    handler=self.refund,
                    admin=True,
                ),
            ),
            actions=(Action("refund-now", self.refund_now, admin=True),),
        )

    async def payment(self, request: Request) -> Reply:
        """An order, by any id of it: what was paid, given and given back, and its history."""
        order = await self._cashier.find(request.text.strip())
        history = await self._cashier.orders.history(order.id)
        receipts = await self._cashier.receipts([order])
        disputes = await self._cashier.disputes(order.id)
        lines = [
            plain(f"{order.gateway}: {order.external or '–'}"),
            say("Person {person}", person=order.person),
            say(
                "Paid {paid}, given back {refunded}; {credits} given for it as it stands.",
                paid=cash_text(order.paid),
                refunded=cash_text(order.refunded),
                credits=in_credits(order.bought + order.bonus),
            ),
            *map(receipt_line, receipts),
            *(
                say(
                    "Dispute {dispute}: {cash}, {state}",
                    dispute=one.id,
                    cash=cash_text(one.amount),
                    state=one.state,
                )
                for one in disputes
            ),
        ]
        table = tuple(
            (
                say("{at}", at=as_datetime(at)),
                plain(what),
                plain(
                    ", ".join(f"{name} {value}" for name, value in facts_of(order, facts).items())
                ),
            )
            for at, what, facts in history
        )
        return Reply(
            title=plain(order.id),
            lines=tuple(lines),
            table=table,
            choices=dispute_choices(self._cashier, order.id, disputes),
            private=True,
        )

    async def refund(self, request: Request) -> Reply:
        """Shows how much goes back to whom, in words; a second tap does it."""
        id_, _, rest = request.text.strip().partition(" ")
        if not id_:
            raise NotUnderstood(_REFUND_HOW)
        order = await self._cashier.find(id_)
        left = refundable(order)
        amount: Cash = left
        if rest.strip():
            if not isinstance(left, NanoUsd):
                raise RefundRefused(order.id, "whole")
            amount = amount_of(rest, _REFUND_HOW)
        if amount.units <= 0 or amount.units > left.units:
            raise NotUnderstood(
                say(
                    "Of that order {left} can be given back. Nothing was.",
                    left=cash_text(left),
                )
            )
        data: dict[str, str | int] = {"order": order.id, "units": str(amount.units)}
        return Reply(
            lines=(
                say(
                    "Give back {cash} of order {order} to its payer? What it no longer pays for is"
                    " taken back; what was spent is owed.",
                    cash=cash_text(amount),
                    order=order.id,
                ),
                *_beware(order),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, give back {cash}", cash=cash_text(amount)),
                        "refund-now",
                        data,
                        once=True,
                    ),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    async def refund_now(self, request: Request) -> Reply:
        """Confirmed; the button's id makes it happen once."""
        order = await self._cashier.orders.get(str(request.data["order"]))
        amount = type(order.paid)(int(request.data["units"]))
        after = await self._cashier.refund(order, amount, cause=request.button)
        return Reply(
            lines=(
                say(
                    "Given back: {cash}. {credits} are left of that order.",
                    cash=cash_text(amount),
                    credits=in_credits(after.bought + after.bonus),
                ),
            ),
            private=True,
            replace=True,
        )


def _beware(order: Order) -> tuple[Said, ...]:
    if order.gateway == CODE:
        return (
            say(
                "It was paid by a code that was sold elsewhere: give the money back there yourself;"
                " here the Credits alone are taken back."
            ),
        )
    if order.dispute_state == "open":
        return (
            say(
                "A payment of it is disputed: giving it back beside that may cost it twice. Accept"
                " the dispute instead."
            ),
        )
    return ()
