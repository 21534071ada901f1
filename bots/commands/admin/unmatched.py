"""Payments that fit no order: an owner decides about each, by a second tap. Cash may show here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, say
from bots.commands.arguments import make_usage_error, shorten
from bots.commands.errors import UsageError
from bots.commands.text import format_cash, format_credits
from core.admin_log import admin_log_row
from core.clock import Clock, as_datetime
from core.db.writes import Insert
from core.jobs.notifications import Notification
from core.users.service import Users
from payments.gateways.base import Gateway
from payments.types import UNITS
from payments.unmatched import NotUnmatched, UnmatchedPayment, UnmatchedPayments

_HOW = say(
    "Write it like this: /unmatched payment telegram:123, with somebody who has written here."
    " Nothing was credited."
)
_PAYER_KNOWN = say("Who paid that is known: /unmatched lists it with its buttons.")


@dataclass(frozen=True, slots=True)
class UnmatchedArguments(Arguments):
    """What follows `/unmatched`: nothing, or a payment and who paid it."""

    payment: str = argument(say("The payment's id"), say("payment user"))
    user: str = argument(say("Who paid: telegram:123 or discord:456"))


class UnmatchedCommands:
    """The command and the actions by which owners decide about payments that fit no order."""

    def __init__(
        self,
        *,
        unmatched: UnmatchedPayments,
        gateways: Mapping[str, Gateway],
        users: Users,
        clock: Clock,
    ) -> None:
        self._unmatched, self._gateways = unmatched, gateways
        self._users, self._clock = users, clock

    @command(
        "unmatched",
        title=say("Payments without an order"),
        description=say("Payments that fit no order here"),
        arguments=UnmatchedArguments,
        owner_only=True,
    )
    async def unmatched(self, request: Request, given: UnmatchedArguments) -> Reply:
        """The oldest of them, each with its buttons; or one, for somebody whom the owner names."""
        del request
        if given.payment:
            return await self._confirm_for(given)
        waiting = await self._unmatched.list_open()
        if not waiting:
            return Reply(lines=(say("Every payment fits its order."),), private=True)
        return Reply(
            title=say("Payments without an order"),
            lines=tuple(line for one in waiting for line in _describe(one)),
            choices=tuple(_choices(one) for one in waiting),
            private=True,
        )

    @action("unmatched-credit", owner_only=True)
    async def confirm(self, request: Request) -> Reply:
        """Says what it gives to whom, in words; a second tap does it."""
        name, id_ = str(request.data["gateway"]), str(request.data["payment"])
        return self._confirmation(await self._unmatched.get(name, id_))

    async def _confirm_for(self, given: UnmatchedArguments) -> Reply:
        """Of a payment by nobody known, for whom the owner names."""
        try:
            payment = await self._unmatched.find_open(given.payment)
        except NotUnmatched:
            raise UsageError(
                say(
                    "No payment “{typed}” waits here. Nothing was credited. /unmatched lists those"
                    " that do.",
                    typed=shorten(given.payment),
                )
            ) from None
        if payment.payer:
            raise UsageError(_PAYER_KNOWN)
        if not given.user:
            raise make_usage_error(say("Say who paid."), _HOW)
        person = await self._users.find(given.user)
        identities = await self._users.list_identities(person.id)
        if not identities:
            raise UsageError(_HOW)
        return self._confirmation(replace(payment, payer=":".join(identities[0])))

    def _confirmation(self, payment: UnmatchedPayment) -> Reply:
        name = payment.gateway
        entitlement = self._unmatched.compute_entitlement(self._gateways.get(name), payment)
        return Reply(
            lines=(
                say(
                    "Give {credits} to {payer} for the {cash} that they paid at {gateway} on"
                    " {time}? If another database of yours gave them already, they have them"
                    " twice.",
                    credits=format_credits(entitlement.total),
                    payer=payment.payer,
                    cash=format_cash(payment.amount),
                    gateway=payment.gateway,
                    time=as_datetime(payment.at_ms),
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, give {credits}", credits=format_credits(entitlement.total)),
                        "unmatched-credit-now",
                        {"gateway": name, "payment": payment.id, "payer": payment.payer},
                        once=True,
                    ),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("unmatched-credit-now", owner_only=True)
    async def credit(self, request: Request) -> Reply:
        """Confirmed: credited once, whoever presses."""
        name, id_ = str(request.data["gateway"]), str(request.data["payment"])
        log = self._log_row(request, "credit unmatched", name, id_)
        payer = str(request.data.get("payer", ""))
        order = await self._unmatched.credit(self._gateways.get(name), id_, name, log, payer=payer)
        return Reply(
            lines=(
                say(
                    "Given: {credits}. Order {order}: /payment shows it.",
                    credits=format_credits(order.bought + order.bonus),
                    order=order.id,
                ),
            ),
            private=True,
            replace=True,
        )

    @action("unmatched-dismiss", owner_only=True)
    async def dismiss(self, request: Request) -> Reply:
        """Nothing comes of it here; it isn't listed any more."""
        name, id_ = str(request.data["gateway"]), str(request.data["payment"])
        log = self._log_row(request, "dismiss unmatched", name, id_)
        await self._unmatched.dismiss(name, id_, log)
        return Reply(
            lines=(say("Set aside: {payment}. Nothing was given.", payment=id_),),
            private=True,
            replace=True,
        )

    def _log_row(self, request: Request, act: str, name: str, id_: str) -> Insert:
        facts = {"gateway": name, "payment": id_}
        return admin_log_row(
            self._clock, actor=request.person.id, act=act, before={"state": "open"}, after=facts
        )


async def make_unmatched_card(notification: Notification) -> Reply:
    """A payment was found that fits no order: what it is, and what can be done."""
    facts = notification.facts
    unit = UNITS[str(facts["unit"])]
    payment = UnmatchedPayment(
        gateway=str(facts["gateway"]),
        id=str(facts["payment"]),
        order=str(facts["order"]),
        payer=str(facts["payer"]),
        amount=unit(int(facts["amount"])),
        fee=unit(0),
        at_ms=int(facts["at"]),
    )
    return Reply(
        title=say("⚠️ A payment fits no order"),
        lines=(
            *_describe(payment),
            say(
                "Its order isn't in this database: a copy of before was restored, or it is from"
                " before this database. Nothing was credited. There may be more: /unmatched."
            ),
        ),
        choices=(_choices(payment),),
        private=True,
    )


def _describe(payment: UnmatchedPayment) -> tuple[Phrase, ...]:
    what = say(
        "{time}: {cash} at {gateway} by {payer} ({payment})",
        time=as_datetime(payment.at_ms),
        cash=format_cash(payment.amount),
        gateway=payment.gateway,
        payer=payment.payer or "–",
        payment=payment.id,
    )
    if payment.payer:
        return (what,)
    return (
        what,
        say(
            "Who paid isn't known. Once you know: /unmatched {payment} telegram:123 gives it to"
            " them.",
            payment=payment.id,
        ),
    )


def _choices(payment: UnmatchedPayment) -> tuple[Choice, ...]:
    """[Credit] where it is known who paid, and [Set aside]."""
    data: dict[str, str | int] = {"gateway": payment.gateway, "payment": payment.id}
    credit = Choice(
        say("Credit {cash}", cash=format_cash(payment.amount)), "unmatched-credit", data
    )
    aside = Choice(say("Set aside"), "unmatched-dismiss", data, once=True)
    return (credit, aside) if payment.payer else (aside,)
