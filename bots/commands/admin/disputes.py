"""Disputes as operators meet them: a notification with [Evidence] and [Accept]. Cash may show
here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bots.chat.command import Request, action
from bots.chat.reply import Choice, Phrase, Reply, ReplyFile, say
from bots.commands.admin.alerts import alert_card
from bots.commands.admin.payouts import make_waiting_card
from bots.commands.text import format_cash
from core.admin.alerts import ALERT
from core.admin_log import admin_log_row
from core.clock import as_datetime
from core.earnings.payouts import PAYOUT_STUCK, PAYOUT_WAITS
from core.jobs.notifications import Notification
from core.ledger.ledger import Ledger
from core.money import NanoUsd, format_usd
from payments.dispute_service import DisputeService
from payments.dispute_steps import DISPUTE_ENDED, DISPUTE_REOPENED, DISPUTED
from payments.disputes import DISPUTE_FEE
from payments.evidence import EvidenceBuilder
from payments.mismatches import UNPROCESSED
from payments.movements import DIFFERENCE, format_cash_units
from payments.orders import Orders
from payments.refunds import REFUND_FINISHED
from payments.types import Dispute, NoOpenDispute

#: The kinds of notifications that are for operators.
OPERATOR_KINDS = frozenset(
    {
        DISPUTED,
        DISPUTE_REOPENED,
        DISPUTE_ENDED,
        DISPUTE_FEE,
        UNPROCESSED,
        DIFFERENCE,
        REFUND_FINISHED,
        PAYOUT_WAITS,
        PAYOUT_STUCK,
        ALERT,
    }
)


class DisputeCommands:
    """The actions by which an operator answers a dispute: evidence, or giving it up."""

    def __init__(
        self,
        *,
        orders: Orders,
        disputes: DisputeService,
        evidence_builder: EvidenceBuilder,
        ledger: Ledger,
    ) -> None:
        self._orders, self._disputes = orders, disputes
        self._evidence_builder = evidence_builder
        self._ledger, self._clock = ledger, ledger.clock

    @action("evidence", admin_only=True)
    async def evidence(self, request: Request) -> Reply:
        """A file to hand in at the processor."""
        order = await self._orders.get(str(request.data["order"]))
        text = await self._evidence_builder.build_evidence(order)
        return Reply(
            lines=(
                say(
                    "What was paid, given back and delivered, with times; no word of what was asked"
                    " or answered. Hand it in at {gateway}.",
                    gateway=order.gateway,
                ),
            ),
            file=ReplyFile(f"evidence-{order.id}.txt", text.encode()),
            private=True,
        )

    @action("accept", admin_only=True)
    async def accept(self, request: Request) -> Reply:
        """Says what it costs, in words; a second tap does it."""
        gateway, id_ = str(request.data["gateway"]), str(request.data["dispute"])
        dispute = await self._disputes.get_dispute(gateway, id_)
        if dispute.state != "open":
            raise NoOpenDispute(id_)
        order = await self._orders.get_by_payment(gateway, dispute.payment)
        return Reply(
            lines=(
                say(
                    "Give up dispute {dispute}? {cash} of order {order} go back to the payer for"
                    " good, the Credits that are held go too, and what was spent is bad debt.",
                    dispute=id_,
                    cash=format_cash(dispute.amount),
                    order=order.id,
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, give up {cash}", cash=format_cash(dispute.amount)),
                        "accept-now",
                        dict(request.data),
                        once=True,
                    ),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("accept-now", admin_only=True)
    async def accept_now(self, request: Request) -> Reply:
        """Confirmed; written down first, for there is no way back."""
        gateway, id_ = str(request.data["gateway"]), str(request.data["dispute"])
        facts = {"gateway": gateway, "dispute": id_}
        await self._ledger.record(
            admin_log_row(
                self._clock,
                actor=request.person.id,
                act="accept dispute",
                before={"state": "open"},
                after=facts,
            )
        )
        order = await self._disputes.accept_dispute(gateway, id_)
        dispute = await self._disputes.get_dispute(gateway, id_)
        if dispute.state == "won":  # decided at the same moment
            phrase = _won_text(format_cash(dispute.amount), order.id)
        else:
            phrase = say("Given up. Order {order}: /payment shows it.", order=order.id)
        return Reply(lines=(phrase,), private=True, replace=True)


def make_dispute_choices(
    dispute_service: DisputeService, order_id: str, disputes: Sequence[Dispute]
) -> tuple[tuple[Choice, ...], ...]:
    """[Evidence], and [Accept] where a dispute is open and its gateway takes that."""
    if not disputes:
        return ()
    evidence = Choice(say("Evidence"), "evidence", {"order": order_id})
    accepting = (
        Choice(say("Accept"), "accept", {"gateway": one.gateway, "dispute": one.id})
        for one in disputes
        if one.state == "open" and dispute_service.can_accept_disputes(one.gateway)
    )
    return ((evidence, *accepting),)


async def make_operator_card(notification: Notification, disputes: DisputeService) -> Reply:
    """A notification for operators as a card."""
    if (make_card := _CARDS.get(notification.kind)) is not None:
        return make_card(notification)
    facts = notification.facts
    order = str(facts["order"])
    if notification.kind == UNPROCESSED:
        return _unprocessed_card(str(facts["message"]), str(facts["verdict"]), order)
    dispute = await disputes.get_dispute(str(facts["gateway"]), str(facts["dispute"]))
    cash = format_usd(NanoUsd(int(facts["amount"])))
    if notification.kind == DISPUTE_FEE:
        return _fee_card(dispute, order)
    if notification.kind in {DISPUTED, DISPUTE_REOPENED}:
        return Reply(
            title=_OPEN_TITLES[notification.kind],
            lines=(
                _open_text(dispute, cash, order),
                say(
                    "What is left of its Credits is held, and its buyer can't pay by card until"
                    " then. Nothing else of theirs stops."
                ),
                *_fee_lines(facts),
                *_due_lines(dispute),
            ),
            choices=make_dispute_choices(disputes, order, [dispute]),
            private=True,
        )
    return Reply(
        title=say("A dispute is decided"),
        lines=(_ENDS[str(facts["state"])](cash, order), *_fee_lines(facts)),
        private=True,
    )


_OPEN_TITLES = {
    DISPUTED: say("⚠️ A payment is disputed"),
    DISPUTE_REOPENED: say("⚠️ A decided dispute goes on"),
}


def _fee_lines(facts: Mapping[str, int | str]) -> tuple[Phrase, ...]:
    fee = NanoUsd(int(facts.get("fee", 0)))
    if fee.is_zero:
        return ()
    return (say("The gateway took {fee} for it so far.", fee=format_usd(fee)),)


def _fee_card(dispute: Dispute, order: str) -> Reply:
    fee = NanoUsd(0) if dispute.fee is None else dispute.fee
    return Reply(
        title=say("What a dispute costs"),
        lines=(
            say(
                "{gateway} took {fee} in all for the dispute of order {order}; the books have it"
                " as a fee: /report.",
                gateway=dispute.gateway,
                fee=format_usd(fee),
                order=order,
            ),
        ),
        private=True,
    )


def _due_lines(dispute: Dispute) -> tuple[Phrase, ...]:
    if dispute.due_at is None:
        return ()
    return (say("Evidence is taken until {time}.", time=as_datetime(dispute.due_at)),)


def _open_text(dispute: Dispute, cash: str, order: str) -> Phrase:
    if not dispute.reason:
        return say(
            "The payer's bank takes back {cash} of order {order} at {gateway} until the dispute is"
            " decided.",
            gateway=dispute.gateway,
            cash=cash,
            order=order,
        )
    return say(
        "The payer's bank takes back {cash} of order {order} at {gateway} until the dispute is"
        " decided ({reason}).",
        gateway=dispute.gateway,
        cash=cash,
        order=order,
        reason=dispute.reason,
    )


def _won_text(cash: str, order: str) -> Phrase:
    return say(
        "Won: {cash} of order {order} is there again, and its Credits are the buyer's.",
        cash=cash,
        order=order,
    )


def _lost_text(cash: str, order: str) -> Phrase:
    return say(
        "Lost: {cash} of order {order} is gone. What was held went with it, what was spent is"
        " bad debt: /report.",
        cash=cash,
        order=order,
    )


_ENDS = {"won": _won_text, "lost": _lost_text}


def _difference_card(notification: Notification) -> Reply:
    facts = notification.facts
    there, booked = (
        format_cash_units(str(facts["unit"]), int(facts[name])) for name in ("there", "booked")
    )
    return Reply(
        title=say("⚠️ A gateway and the books differ"),
        lines=(
            say(
                "Of order {order} {there} are left at {gateway}, by all that moved there, and"
                " {booked} in the books, for more than a day. Nothing was changed by itself.",
                order=str(facts["order"]),
                there=there,
                gateway=str(facts["gateway"]),
                booked=booked,
            ),
            say("Order {order}: /payment shows it.", order=str(facts["order"])),
        ),
        private=True,
    )


def _finished_card(notification: Notification) -> Reply:
    facts = notification.facts
    figures = {
        "cash": format_cash_units(str(facts["unit"]), int(facts["amount"])),
        "order": str(facts["order"]),
    }
    refusal = str(facts["refusal"])
    return Reply(
        title=say("An interrupted refund is settled"),
        lines=(
            say(
                "{cash} of order {order} were to go back when the service stopped in between. The"
                " gateway refuses ({reason}): nothing was given back.",
                reason=refusal,
                **figures,
            )
            if refusal
            else say(
                "{cash} of order {order} were to go back when the service stopped in between. It"
                " is done now, once.",
                **figures,
            ),
            say("Order {order}: /payment shows it.", order=figures["order"]),
        ),
        private=True,
    )


#: Cards that the notification alone makes.
_CARDS: Mapping[str, Callable[[Notification], Reply]] = {
    ALERT: alert_card,
    PAYOUT_WAITS: make_waiting_card,
    PAYOUT_STUCK: make_waiting_card,
    DIFFERENCE: _difference_card,
    REFUND_FINISHED: _finished_card,
}


def _unprocessed_card(message: str, verdict: str, order: str) -> Reply:
    lines = [
        say(
            "{message} is genuine, but nothing could be made of it ({verdict}), and it won't be"
            " looked at again. Nothing was credited. Look for it at the processor.",
            message=message,
            verdict=verdict,
        )
    ]
    if order:
        lines.append(say("Order {order}: /payment shows it.", order=order))
    return Reply(title=say("⚠️ A payment's message needs you"), lines=tuple(lines), private=True)
