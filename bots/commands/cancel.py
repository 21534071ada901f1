"""Withdrawing from a purchase: its buyer's two taps, and an operator's where one decides. Cash
shows here, as at checkout.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from bots.chat.command import Request, action
from bots.chat.reply import Choice, Phrase, Reply, say
from bots.commands.errors import explain_refusal
from bots.commands.text import format_cash, format_credits
from core.admin_log import admin_log_row
from core.clock import as_datetime
from core.jobs.notifications import Notification
from core.ledger.ledger import Ledger
from core.money import Credits
from payments.cancellations import (
    Cancellation,
    CancellationPlan,
    CancellationRefused,
    Cancellations,
)
from payments.orders import Orders
from payments.types import Order


class CancellationCommands:
    """The actions by which a buyer withdraws from a purchase, and an operator decides about it."""

    def __init__(self, *, cancellations: Cancellations, orders: Orders, ledger: Ledger) -> None:
        self._cancellations, self._orders = cancellations, orders
        self._ledger, self._clock = ledger, ledger.clock

    @action("cancel-order")
    async def cancel_order(self, request: Request) -> Reply:
        """What would go back, in words; a second tap does it."""
        order_id = str(request.data["order"])
        try:
            plan = await self._cancellations.plan_cancellation(order_id, request.person.id)
        except CancellationRefused as refusal:
            if not refusal.seller:
                raise
            return Reply(
                lines=(explain_refusal(refusal),),
                choices=((Choice(say("Go there"), "", url=refusal.seller),),),
                private=True,
            )
        return Reply(
            title=say("Withdraw from this purchase?"),
            lines=(_describe_plan(plan), *_list_conditions(plan)),
            choices=(
                (
                    Choice(
                        say("Confirm withdrawal"),
                        "cancel-order-now",
                        {"order": order_id},
                        once=True,
                    ),
                    Choice(say("Keep it"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("cancel-order-now")
    async def cancel_order_now(self, request: Request) -> Reply:
        """Confirmed; the acknowledgement says what was declared, when, and what comes of it."""
        cancellation = await self._cancellations.cancel_purchase(
            str(request.data["order"]), request.person.id, cause=request.button
        )
        order = await self._orders.get(cancellation.order)
        return Reply(
            title=say("Your withdrawal has arrived"),
            lines=(
                say(
                    "On {time} you withdrew from order {order}: {credits} for {cash}.",
                    time=as_datetime(cancellation.at_ms),
                    order=order.id,
                    credits=format_credits(_find_ordered(order, self._orders)),
                    cash=format_cash(order.amount),
                ),
                _describe_outcome(cancellation, order),
                say("Keep this message: it is your confirmation."),
            ),
            private=True,
            replace=True,
        )

    @action("cancellation-approve", admin_only=True)
    async def approve(self, request: Request) -> Reply:
        """An operator gives back what waited for them."""
        return await self._decide(request, "approve", self._cancellations.approve)

    @action("cancellation-decline", admin_only=True)
    async def decline(self, request: Request) -> Reply:
        """An operator gives nothing back."""
        return await self._decide(request, "decline", self._cancellations.decline)

    async def _decide(
        self, request: Request, decision: str, decide: Callable[[str], Awaitable[Cancellation]]
    ) -> Reply:
        id_ = str(request.data["cancellation"])
        ended = await decide(id_)
        await self._ledger.record(
            admin_log_row(
                self._clock,
                actor=request.person.id,
                act=f"{decision} cancellation",
                before={"state": "waiting"},
                after={"cancellation": id_, "state": ended.state},
            )
        )
        order = await self._orders.get(ended.order)
        return Reply(
            lines=(_describe_outcome(ended, order), say("Order {order}", order=order.id)),
            private=True,
            replace=True,
        )

    async def make_operator_card(self, notification: Notification) -> Reply:
        """The card of a cancellation that waits for an operator."""
        id_ = str(notification.facts["cancellation"])
        waiting = await self._cancellations.get(id_)
        order = await self._orders.get(waiting.order)
        cash = format_cash(type(order.paid)(waiting.cash))
        if waiting.state != "waiting":
            return Reply(lines=(_describe_outcome(waiting, order),), private=True)
        data: dict[str, str | int] = {"cancellation": id_}
        return Reply(
            title=say("Somebody withdraws from a purchase"),
            lines=(
                say(
                    "Order {order}: {cash} would go back. It waits for you, since it is this"
                    " buyer's third in 90 days, or can't go back in parts.",
                    order=order.id,
                    cash=cash,
                ),
                say("Within the days that the law gives, a buyer has a right to what is unused."),
            ),
            choices=(
                (
                    Choice(say("Give back {cash}", cash=cash), "cancellation-approve", data),
                    Choice(say("Give nothing back"), "cancellation-decline", data),
                ),
            ),
            private=True,
        )


def make_cancel_choice(order: Order, *, is_only: bool = True) -> Choice:
    """The button that begins a withdrawal; beside others it says from which purchase."""
    label = say("Withdraw from this purchase")
    if not is_only:
        time, cash = as_datetime(order.created_at), format_cash(order.amount)
        label = say("Withdraw: {cash} of {time}", cash=cash, time=time)
    return Choice(label, "cancel-order", {"order": order.id})


def describe_right(days: int) -> Phrase:
    """What a buyer agrees to by paying, and what they may do afterwards."""
    return say(
        "By paying you agree that your Credits can be used at once. For {days} days you can"
        " withdraw from the purchase by a button: what is unused is given back, what you used"
        " stays paid.",
        days=days,
    )


#: The same for an order's history, as evidence of what was shown.
CONSENT: Final = "use at once; withdrawal of what is unused for {days} days"


def _find_ordered(order: Order, orders: Orders) -> Credits:
    return (order.offer or orders.offer).compute_entitlement(order.value).total


def _describe_plan(plan: CancellationPlan) -> Phrase:
    cash, unused = format_cash(plan.cash), format_credits(plan.unused.total)
    if plan.used.is_zero:
        return say(
            "All of it goes back: {cash}. {credits} are taken back with it.",
            cash=cash,
            credits=unused,
        )
    return say(
        "{cash} go back. {credits} are taken back with it; the {used} that you used stay paid.",
        cash=cash,
        credits=unused,
        used=format_credits(plan.used),
    )


def _list_conditions(plan: CancellationPlan) -> tuple[Phrase, ...]:
    if plan.needs_operator:
        return (say("The operator looks at this one first; you'll hear what becomes of it."),)
    if plan.order.gateway == "btcpay":
        return (say("Cryptocurrency goes back at its worth in dollars, not coin for coin."),)
    return ()


def _describe_outcome(cancellation: Cancellation, order: Order) -> Phrase:
    cash = format_cash(type(order.paid)(cancellation.cash))
    return {
        "asked": say("{cash} are on their way back to you.", cash=cash),
        "waiting": say("The operator looks at it first: {cash} would go back.", cash=cash),
        "done": say("{cash} are on their way back to you.", cash=cash),
        "refused": say("Nothing was given back. /paysupport helps."),
    }[cancellation.state]
