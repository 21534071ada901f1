"""The operator's side of payments: `/payment` and `/refund`. Cash may show here."""

from __future__ import annotations

from dataclasses import dataclass

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, plain, say
from bots.commands.admin.disputes import make_dispute_choices
from bots.commands.admin.order_history import (
    DISPUTE_STATE_NAMES,
    list_history_rows,
    name_gateway,
)
from bots.commands.arguments import shorten
from bots.commands.errors import UsageError
from bots.commands.text import format_cash, format_credits
from bots.commands.topup import format_receipt_line, parse_amount
from core.jobs.notifications import Notification
from core.money import NanoUsd
from payments.dispute_service import DisputeService
from payments.gateways.voucher import VOUCHER_GATEWAY
from payments.order_search import OrderSearch
from payments.orders import Orders
from payments.refunds import Refunds, refundable_cash
from payments.types import UNITS, Cash, Order, RefundUnsupported, UnknownOrder

_PAYMENT_HOW = say(
    "Write it like this: /payment ord_…, or a receipt's id, or what the gateway calls the payment."
)
_REFUND_HOW = say(
    "Write it like this: /refund ord_… for all of it, or /refund ord_… 10.50 for a part. Nothing"
    " was given back."
)


@dataclass(frozen=True, slots=True)
class PaymentArguments(Arguments):
    """What follows `/payment`."""

    id: str = argument(
        say("An order, a receipt, or what the gateway calls it"), say("id"), required=True
    )


@dataclass(frozen=True, slots=True)
class RefundArguments(Arguments):
    """What follows `/refund`."""

    order: str = argument(say("Its id: ord_…"), say("order"), required=True)
    amount: str = argument(say("A part of it, in dollars"), say("amount"))


class RefundCommands:
    """The commands by which the operator looks at orders and gives their money back."""

    def __init__(
        self,
        *,
        orders: Orders,
        order_search: OrderSearch,
        refunds: Refunds,
        disputes: DisputeService,
    ) -> None:
        self._orders, self._order_search = orders, order_search
        self._refunds, self._disputes = refunds, disputes

    @command(
        "payment",
        title=say("Payment"),
        description=say("An order with its history"),
        arguments=PaymentArguments,
        admin_only=True,
        support_allowed=True,
    )
    async def payment(self, request: Request, given: PaymentArguments) -> Reply:
        """An order, by any id of it: what was paid, given and given back, and its history."""
        del request
        if not given.id:
            raise UsageError(_PAYMENT_HOW)
        order = await self._find_order(given.id)
        history = await self._orders.list_events(order.id)
        receipts = await self._order_search.list_receipts([order])
        disputes = await self._disputes.list_disputes(order.id)
        lines = [
            say(
                "{gateway}: {id}",
                gateway=name_gateway(order.gateway),
                id=order.external_id or "–",
            ),
            say("Person {person}", person=order.person),
            say(
                "Paid {paid}, given back {refunded}; {credits} given for it as it stands.",
                paid=format_cash(order.paid),
                refunded=format_cash(order.refunded),
                credits=format_credits(order.bought + order.bonus),
            ),
            *map(format_receipt_line, receipts),
            *(
                say(
                    "Dispute {dispute}: {cash}, {state}",
                    dispute=one.id,
                    cash=format_cash(one.amount),
                    state=DISPUTE_STATE_NAMES[one.state],
                )
                for one in disputes
            ),
        ]
        return Reply(
            title=plain(order.id),
            lines=tuple(lines),
            table=list_history_rows(order, history),
            choices=make_dispute_choices(self._disputes, order.id, disputes),
            private=True,
        )

    @command(
        "refund",
        title=say("Refund"),
        description=say("Give an order's money back, all or a part"),
        arguments=RefundArguments,
        admin_only=True,
    )
    async def refund(self, request: Request, given: RefundArguments) -> Reply:
        """Shows how much goes back to whom, in words; a second tap does it."""
        del request
        if not given.order:
            raise UsageError(_REFUND_HOW)
        order = await self._find_order(given.order)
        refundable = refundable_cash(order)
        amount: Cash = refundable
        if given.amount:
            if not isinstance(refundable, NanoUsd):
                raise RefundUnsupported(order.id, "whole")
            wrong = say("“{typed}” is no amount in dollars.", typed=shorten(given.amount))
            how = say("{wrong} {how}", wrong=wrong, how=_REFUND_HOW)
            amount = parse_amount(given.amount, how)
        return self._ask_whether(order, amount)

    async def _find_order(self, id_: str) -> Order:
        """The order of any id of it; raises `UsageError`, since it needn't be the operator's."""
        try:
            return await self._order_search.find_order(id_)
        except UnknownOrder:
            raise UsageError(
                say(
                    "No order, receipt or payment is called “{id}”. Nothing was changed. A person's"
                    " orders stand on their card: /users",
                    id=id_[:64],
                )
            ) from None

    @action("refund-ask", admin_only=True)
    async def refund_ask(self, request: Request) -> Reply:
        """All of it, from a notification's button."""
        order = await self._orders.get(str(request.data["order"]))
        return self._ask_whether(order, refundable_cash(order))

    @staticmethod
    def _ask_whether(order: Order, amount: Cash) -> Reply:
        refundable = refundable_cash(order)
        if amount.units <= 0 or amount.units > refundable.units:
            raise UsageError(
                say(
                    "Only {left} of that order can be given back. Nothing was given back.",
                    left=format_cash(refundable),
                )
            )
        data: dict[str, str | int] = {"order": order.id, "units": str(amount.units)}
        return Reply(
            lines=(
                say(
                    "Give back {cash} of order {order} to its payer? Credits that it no longer"
                    " pays for are taken back; spent ones are owed.",
                    cash=format_cash(amount),
                    order=order.id,
                ),
                *_warning_lines(order),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, give back {cash}", cash=format_cash(amount)),
                        "refund-now",
                        data,
                        once=True,
                    ),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("refund-now", admin_only=True)
    async def refund_now(self, request: Request) -> Reply:
        """Confirmed; the button's id makes it happen once."""
        order = await self._orders.get(str(request.data["order"]))
        amount = type(order.paid)(int(request.data["units"]))
        updated = await self._refunds.refund_order(order, amount, cause=request.button)
        return Reply(
            lines=(
                say(
                    "Given back: {cash}. {credits} of that order are left.",
                    cash=format_cash(amount),
                    credits=format_credits(updated.bought + updated.bonus),
                ),
            ),
            private=True,
            replace=True,
        )


async def make_warning_card(notification: Notification) -> Reply:
    """A notification for operators about a payment that may be none, with what can be done."""
    facts = notification.facts
    order, gateway = str(facts["order"]), str(facts["gateway"])
    look = say("Order {order}: /payment shows it.", order=order)
    if facts["warning"] == "invalid":
        return Reply(
            title=say("⚠️ A credited payment has become invalid"),
            lines=(
                say(
                    "{gateway} calls the invoice of order {order} invalid now: what was credited"
                    " may never have been paid. Nothing was taken back. Look for it there.",
                    gateway=gateway,
                    order=order,
                ),
                look,
            ),
            private=True,
        )
    if facts["warning"] == "archived":
        return Reply(
            title=say("⚠️ A refund's page was closed"),
            lines=(
                say(
                    "At {gateway} the page by which {cash} of order {order} go back was archived."
                    " Whether its buyer had taken the money isn't told any more: look there. In the"
                    " books it went back, and so it stays.",
                    gateway=gateway,
                    cash=str(facts["reason"]),
                    order=order,
                ),
                look,
            ),
            private=True,
        )
    return Reply(
        title=say("⚠️ A payment may be fraud"),
        lines=(
            say(
                "{gateway} passes on that whoever has the card says they didn't pay {cash} of order"
                " {order} ({reason}). Mostly a dispute follows, and costs its fee on top; given"
                " back before that, it doesn't come.",
                gateway=gateway,
                cash=format_cash(UNITS[str(facts["unit"])](int(facts["paid"]))),
                order=order,
                reason=str(facts["reason"]) or "–",
            ),
            look,
        ),
        choices=((Choice(say("Give it back…"), "refund-ask", {"order": order}),),),
        private=True,
    )


def _warning_lines(order: Order) -> tuple[Phrase, ...]:
    if order.gateway == VOUCHER_GATEWAY:
        return (
            say(
                "It was paid by a code that was sold elsewhere: give the money back there yourself;"
                " here the Credits alone are taken back."
            ),
        )
    if order.dispute_state == "open":
        return (
            say(
                "A payment of it is disputed: giving it back as well may cost it twice. Accept"
                " the dispute instead."
            ),
        )
    return ()
