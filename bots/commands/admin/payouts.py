"""`/payouts`: withdrawals as the operator decides them: what each is, who paid for it, what can be
done. Cash may show here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, FormField, FormRequest, Phrase, Reply, plain, say, say_count
from bots.commands.admin.person_names import PersonNames
from bots.commands.errors import UsageError
from bots.commands.text import format_credits, join_names, join_phrases
from bots.commands.topup import GATEWAY_NAMES
from bots.commands.withdraw import METHOD_NAMES, STATE_NAMES
from bots.services import Foundation
from core.admin.payout_risk import PayoutRisk, assess_payout_risk
from core.admin_log import Facts, admin_log_row
from core.clock import DAY_MS, Clock, as_datetime
from core.db.writes import Companion
from core.earnings.payout_methods import PayoutMethods
from core.earnings.payouts import (
    PAYOUT_STUCK,
    NoPayoutAddress,
    Payout,
    PayoutStateConflict,
    WithdrawalBlocked,
    calculate_due_date,
)
from core.earnings.withdrawals import Withdrawals
from core.jobs.notifications import Notification
from core.money import Credits, NanoUsd, format_usd, sum_amounts
from core.users.service import Users
from payments.payouts import Payouts

_LISTED: Final = 10
#: Of a receipt, in a list that a narrow terminal or a phone can show.
_TAIL_CHARS: Final = 5


@dataclass(frozen=True, slots=True)
class PayoutsArguments(Arguments):
    """What follows `/payouts`."""

    payout: str = argument(say("One of them, by its receipt"), say("out_…"))


class PayoutCommands:
    """The commands of the payout queue: what waits, yes and no, and what is paid by hand."""

    def __init__(
        self, *, withdrawals: Withdrawals, payouts: Payouts, cards: PayoutCardBuilder, clock: Clock
    ) -> None:
        self._withdrawals, self._payouts = withdrawals, payouts
        self._cards, self._clock = cards, clock

    # --- looking --------------------------------------------------------------------------------

    @command(
        "payouts",
        title=say("Payouts"),
        description=say("Withdrawals that wait for you"),
        arguments=PayoutsArguments,
        admin_only=True,
    )
    @action("payouts", admin_only=True)
    async def payouts(
        self, request: Request, given: PayoutsArguments = PayoutsArguments()
    ) -> Reply:
        """What waits: for a yes or no first, the oldest first; or one of them."""
        del request
        if wanted := given.payout:
            return await self._cards.build_card(await self._find_payout(wanted))
        requested = await self._withdrawals.list_in_state("requested")
        waiting = requested + await self._withdrawals.list_in_state("approved", "sent")
        if not waiting:
            return Reply((say("No withdrawal waits."),), private=True)
        choices = [
            (Choice(plain(f"{format_usd(one.cash)} · {one.hint}"), "payout", {"payout": one.id}),)
            for one in waiting[:_LISTED]
        ]
        if len(requested) > 1:
            label = say(
                "Approve all {count}: {cash}",
                count=len(requested),
                cash=format_usd(_sum_cash(requested)),
            )
            choices.append((Choice(label, "payout-all"),))
        return Reply(
            title=say("Payouts"),
            table=tuple(_table_row(one) for one in waiting[:_LISTED]),
            lines=(say_count("{count} waits for you.", "{count} wait for you.", len(requested)),),
            choices=tuple(choices),
            private=True,
        )

    async def _find_payout(self, id_: str) -> Payout:
        """A withdrawal by its id; raises `UsageError` for one that never was."""
        try:
            return await self._withdrawals.get(id_)
        except PayoutStateConflict:
            raise UsageError(
                say(
                    "There is no withdrawal “{id}”. Nothing was changed. /payouts lists those that"
                    " wait.",
                    id=id_[:64],
                )
            ) from None

    @action("payout", admin_only=True)
    async def payout(self, request: Request) -> Reply:
        """One, with its risk."""
        return await self._cards.build_card(await self._get_payout(request))

    # --- yes and no -----------------------------------------------------------------------------

    @action("payout-approve", admin_only=True)
    async def payout_approve(self, request: Request) -> Reply:
        """Once more, with the amount in words."""
        payout = await self._get_payout(request)
        question = say(
            "Pay {cash} ({credits}) by {way} to {hint}?",
            cash=format_usd(payout.cash),
            credits=format_credits(payout.credits),
            way=METHOD_NAMES[payout.method],
            hint=payout.hint,
        )
        yes = say("Yes, pay {cash}", cash=format_usd(payout.cash))
        return _confirm_card(question, yes, "payout-approve-now", payout)

    @action("payout-approve-now", admin_only=True)
    async def payout_approve_now(self, request: Request) -> Reply:
        """Approved, after it was checked again; sent at once where its gateway is quick."""
        payout = await self._get_payout(request)
        try:
            await self._approve_payout(payout.id, request)
        except WithdrawalBlocked as wait:
            return _back_card(_explain_blocked(wait), payout)
        await self._payouts.try_send_now(payout.id)
        return await self._cards.build_card(await self._withdrawals.get(payout.id))

    @action("payout-all", admin_only=True)
    async def payout_all(self, request: Request) -> Reply:
        """All that wait, with their sum in words."""
        del request
        requested = await self._withdrawals.list_in_state("requested")
        if not requested:
            return Reply((say("No withdrawal waits."),), private=True, replace=True)
        return Reply(
            lines=(
                say_count(
                    "Pay {count} withdrawal of {cash} ({credits})?",
                    "Pay {count} withdrawals, {cash} together ({credits})?",
                    len(requested),
                    cash=format_usd(_sum_cash(requested)),
                    credits=format_credits(
                        sum_amounts(Credits, (one.credits for one in requested))
                    ),
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, pay {cash}", cash=format_usd(_sum_cash(requested))),
                        "payout-all-now",
                        # What came since is not meant.
                        {"payouts": " ".join(one.id for one in requested)},
                        once=True,
                    ),
                    Choice(say("Cancel"), "payouts"),
                ),
            ),
            private=True,
            replace=True,
        )

    @action("payout-all-now", admin_only=True)
    async def payout_all_now(self, request: Request) -> Reply:
        """Each by itself: what can't be approved any more is said."""
        approved: list[Payout] = []
        skipped: list[str] = []
        for payout in str(request.data["payouts"]).split():
            try:
                approved.append(await self._approve_payout(payout, request))
            except (PayoutStateConflict, WithdrawalBlocked):
                skipped.append(payout)
        lines = [
            say(
                "Approved {count}: {cash}.",
                count=len(approved),
                cash=format_usd(_sum_cash(approved)),
            )
        ]
        if skipped:
            lines.append(
                say(
                    "Left out, since they can't be paid now: {payouts}", payouts=join_names(skipped)
                )
            )
        return Reply(tuple(lines), private=True, replace=True)

    @action("payout-reject", admin_only=True)
    async def payout_reject(self, request: Request) -> FormRequest:
        """Asks for the reason, which its person reads."""
        return FormRequest(
            title=say("Reject"),
            lines=(say("The person reads the reason; their Credits come back."),),
            fields=(_reason_field(),),
            action="payout-reject-now",
            data={"payout": str(request.data["payout"])},
        )

    @action("payout-reject-now", admin_only=True)
    async def payout_reject_now(self, request: Request) -> Reply:
        """Rejected."""
        payout_id, reason = str(request.data["payout"]), _get_reason(request)
        row = self._admin_log_row(request, payout_id, "reject payout", {"reason": reason})
        payout = await self._withdrawals.reject_payout(
            payout_id, actor=request.person.id, reason=reason, companions=(row,)
        )
        return await self._cards.build_card(payout)

    # --- by hand --------------------------------------------------------------------------------

    @action("payout-by-hand", admin_only=True)
    async def payout_by_hand(self, request: Request) -> Reply:
        """Where it goes is shown once its person can't take it back any more."""
        payout = await self._get_payout(request)
        question = say(
            "Pay {cash} to {hint} by hand now? From then on they can't cancel it, and you see"
            " where it goes.",
            cash=format_usd(payout.cash),
            hint=payout.hint,
        )
        yes = say("Yes, I pay {cash}", cash=format_usd(payout.cash))
        return _confirm_card(question, yes, "payout-by-hand-now", payout)

    @action("payout-by-hand-now", admin_only=True)
    async def payout_by_hand_now(self, request: Request) -> Reply:
        """Checked once more."""
        payout = await self._get_payout(request)
        row = self._admin_log_row(request, payout.id, "pay payout by hand", {})
        try:
            return await self._cards.build_card(
                await self._payouts.begin_manual_payment(payout.id, also=(row,))
            )
        except WithdrawalBlocked as wait:
            return _back_card(_explain_blocked(wait), payout)

    @action("payout-paid", admin_only=True)
    async def payout_paid(self, request: Request) -> Reply:
        """Once more, with the amount in words."""
        payout = await self._get_payout(request)
        question = say(
            "Has {cash} been paid to {hint}?", cash=format_usd(payout.cash), hint=payout.hint
        )
        if not self._cards.is_manual(payout):
            question = say(
                "{way} is still being asked about it. Did you see there that {cash} was paid to"
                " {hint}?",
                way=METHOD_NAMES[payout.method],
                cash=format_usd(payout.cash),
                hint=payout.hint,
            )
        return _confirm_card(question, say("Yes, they are paid"), "payout-paid-now", payout)

    @action("payout-paid-now", admin_only=True)
    async def payout_paid_now(self, request: Request) -> Reply:
        """Paid by hand, or so it was seen."""
        payout = await self._get_payout(request)
        row = self._admin_log_row(request, payout.id, "payout is paid", {})
        await self._payouts.confirm_manual_payment(payout.id, also=(row,))
        return await self._cards.build_card(await self._withdrawals.get(payout.id))

    @action("payout-returned", admin_only=True)
    async def payout_returned(self, request: Request) -> FormRequest:
        """Asks why, which its person reads; the amount in words."""
        payout = await self._get_payout(request)
        return FormRequest(
            title=say("It came back"),
            lines=(
                say(
                    "Only if you have {cash} back, or it was never paid: the person gets"
                    " {credits} back and reads why.",
                    cash=format_usd(payout.cash),
                    credits=format_credits(payout.credits),
                ),
            ),
            fields=(_reason_field(),),
            action="payout-returned-now",
            data={"payout": payout.id},
        )

    @action("payout-returned-now", admin_only=True)
    async def payout_returned_now(self, request: Request) -> Reply:
        """Their Credits are there again."""
        payout, reason = await self._get_payout(request), _get_reason(request)
        row = self._admin_log_row(request, payout.id, "payout came back", {"reason": reason})
        await self._withdrawals.mark_returned(payout, reason=reason, companions=(row,))
        return await self._cards.build_card(await self._withdrawals.get(payout.id))

    # --- helpers --------------------------------------------------------------------------------

    async def _get_payout(self, request: Request) -> Payout:
        return await self._withdrawals.get(str(request.data["payout"]))

    async def _approve_payout(self, payout_id: str, request: Request) -> Payout:
        row = self._admin_log_row(request, payout_id, "approve payout", {})
        return await self._withdrawals.approve_payout(
            payout_id, actor=request.person.id, companions=(row,)
        )

    def _admin_log_row(self, request: Request, payout_id: str, act: str, more: Facts) -> Companion:
        after: Facts = {"payout": payout_id, **more}
        return admin_log_row(self._clock, actor=request.person.id, act=act, before={}, after=after)


def _sum_cash(payouts: list[Payout]) -> NanoUsd:
    return sum_amounts(NanoUsd, (one.cash for one in payouts))


def _table_row(payout: Payout) -> tuple[Phrase, ...]:
    day = as_datetime(calculate_due_date(payout.created_at)).date().isoformat()
    return (
        plain(f"…{payout.id[-_TAIL_CHARS:]}"),
        plain(format_usd(payout.cash)),
        METHOD_NAMES[payout.method],
        STATE_NAMES[payout.state],
        say("by {day}", day=day),
    )


def _confirm_card(question: Phrase, yes: Phrase, action: str, payout: Payout) -> Reply:
    """A second tap."""
    data = {"payout": payout.id}
    choices = (Choice(yes, action, data, once=True), Choice(say("Cancel"), "payout", data))
    return Reply((question,), choices=(choices,), private=True, replace=True)


def _back_card(phrase: Phrase, payout: Payout) -> Reply:
    back = Choice(say("‹ Back"), "payout", {"payout": payout.id})
    return Reply((phrase,), choices=((back,),), private=True, replace=True)


def _reason_field() -> FormField:
    return FormField("reason", say("Reason"), min_length=3, max_length=200, hidden=False)


def _get_reason(request: Request) -> str:
    return request.entered["reason"].get_secret_value()


def _explain_blocked(blocked: WithdrawalBlocked) -> Phrase:
    """Why nothing can be paid now, for whoever decides."""
    if blocked.reason == "owes":
        return say(
            "They owe Credits now: waiting withdrawals are cancelled by themselves and repay that."
        )
    if blocked.reason == "disputed":
        return say("A payment of theirs is disputed now. Nothing is paid until that is decided.")
    return say(
        "Their accounts were linked just now. Nothing is paid before {until}.",
        until=as_datetime(blocked.until),
    )


_ChoiceRows = tuple[tuple[Choice, ...], ...]


_ADVISE_REFUSAL: Final = say(
    "⚠️ Better not yet: it was disputed, or most of it came of people who ask nearly nowhere else"
    " and whose bank can still take the money back."
)


class PayoutCardBuilder:
    """The builder of a payout's card: its state, its risk, and the buttons that fit both."""

    def __init__(
        self,
        *,
        withdrawals: Withdrawals,
        payout_methods: PayoutMethods,
        payouts: Payouts,
        users: Users,
        base: Foundation,
        person_names: PersonNames,
    ) -> None:
        self._person_names = person_names
        self._withdrawals, self._payout_methods, self._payouts = (
            withdrawals,
            payout_methods,
            payouts,
        )
        self._users, self._base, self._clock = users, base, base.clock

    async def build_card(self, payout: Payout) -> Reply:
        """One, with its risk."""
        person_ids = await self._users.list_merged_ids(await self._withdrawals.find_payee(payout))
        payout_url = self._payouts.get_payout_url(payout)
        choices: _ChoiceRows = (
            *self._make_choices(payout),
            *(((Choice(say("See it there"), "", url=payout_url),),) if payout_url else ()),
            (Choice(say("‹ Back"), "payouts"),),
        )
        lines = (
            _summary_line(payout),
            say(
                "{state} since {at}",
                state=STATE_NAMES[payout.state],
                at=as_datetime(payout.state_at),
            ),
            *((say("Reason: {reason}", reason=payout.reason),) if payout.reason else ()),
            *await self._instruction_lines(payout),
            *await self._risk_lines(
                await assess_payout_risk(
                    self._base.db, self._base.payment_records, person_ids, self._clock.now_ms()
                )
            ),
        )
        return Reply(title=plain(payout.id), lines=lines, choices=choices, private=True)

    def is_manual(self, payout: Payout) -> bool:
        """Whether an admin pays it."""
        return self._payouts.is_manual(payout)

    def _make_choices(self, payout: Payout) -> _ChoiceRows:
        data: dict[str, str | int] = {"payout": payout.id}
        reject = Choice(say("Reject"), "payout-reject", data)
        came_back = Choice(say("It came back"), "payout-returned", data)
        if payout.state == "requested":
            return ((Choice(say("Approve"), "payout-approve", data), reject),)
        if payout.state == "approved":
            if not self._payouts.is_manual(payout):
                return ((reject,),)
            return ((Choice(say("I pay it now"), "payout-by-hand", data), reject),)
        if payout.state == "sent":
            return ((Choice(say("It is paid"), "payout-paid", data), came_back),)
        return ((came_back,),) if payout.state == "paid" else ()

    async def _instruction_lines(self, payout: Payout) -> tuple[Phrase, ...]:
        """What is left to do where somebody has to do it."""
        if payout.state != "sent":
            return ()
        if not self._payouts.is_manual(payout):
            return (
                say("{way} is being asked what became of it.", way=METHOD_NAMES[payout.method]),
            )
        if payout.due_at is not None:
            return (
                say(
                    "{way} had it before it was switched off here. Look there whether it is paid;"
                    " don't pay it again.",
                    way=METHOD_NAMES[payout.method],
                ),
            )
        try:
            address = (await self._payout_methods.get_address(payout)).get_secret_value()
        except NoPayoutAddress:
            return (say("Where it goes can't be opened any more: its master key is lost."),)
        return (say("Pay it by hand to: {address}", address=address),)

    async def _risk_lines(self, risk: PayoutRisk) -> Sequence[Phrase]:
        askers = [await self._users.find(asker.person) for asker in risk.biggest_askers]
        names = await self._person_names.describe_all(askers)
        covered = say("yes") if risk.is_covered else say("no")
        return (
            say("Also known as {names}.", names=join_names(risk.names)),
            say(
                "Paid on their keys: {paid}, by {count} people. Disputed payments of those"
                " people: {disputes}. Keys that died: {dead}.",
                paid=format_credits(risk.paid),
                count=risk.asker_count,
                disputes=risk.disputes,
                dead=risk.dead_keys,
            ),
            *(
                say(
                    "{person}: {paid} ({means})",
                    person=names.get(asker.person, asker.person),
                    paid=format_credits(asker.paid),
                    means=self._describe_means(asker.gateways, asker.newest_payment_at),
                )
                for asker in risk.biggest_askers
            ),
            *((_ADVISE_REFUSAL,) if risk.advises_refusal else ()),
            say(
                "Cash at gateways: {cash}. Paying out all that is earned: {owed}. Covered:"
                " {covered}.",
                cash=format_usd(risk.cash),
                owed=format_usd(risk.owed),
                covered=covered,
            ),
        )

    def _describe_means(self, gateways: Sequence[str], newest_at: int) -> Phrase:
        """How they paid, and how long ago last."""
        if not newest_at:
            return say("paid nothing in")
        means = join_phrases([_name_gateway(name) for name in gateways])
        days = (self._clock.now_ms() - newest_at) // DAY_MS
        if not days:
            return say("{means}, today", means=means)
        return say_count("{means}, {count} day ago", "{means}, {count} days ago", days, means=means)


def _name_gateway(name: str) -> Phrase:
    return GATEWAY_NAMES.get(name) or plain(name)


def _summary_line(payout: Payout) -> Phrase:
    return say(
        "{credits} → {cash} by {way} to {hint}",
        credits=format_credits(payout.credits),
        cash=format_usd(payout.cash),
        way=METHOD_NAMES[payout.method],
        hint=payout.hint,
    )


def make_waiting_card(notification: Notification) -> Reply:
    """A notification for operators: a withdrawal waits for their yes or no, or can't go on."""
    facts = notification.facts
    payout_id = str(facts["payout"])
    method_name = next(words for method, words in METHOD_NAMES.items() if method == facts["method"])
    summary = say(
        "{credits} → {cash} by {way} to {hint}",
        credits=format_credits(Credits(int(facts["credits"]))),
        cash=format_usd(NanoUsd(int(facts["cash"]))),
        way=method_name,
        hint=str(facts["hint"]),
    )
    if notification.kind == PAYOUT_STUCK:
        title, more = say("⚠️ A payout can't go on by itself"), plain(str(facts["reason"]))
    else:
        day = as_datetime(calculate_due_date(int(facts["at"]))).date().isoformat()
        title = say("A withdrawal waits for you")
        more = say("They were told: by {day} at the latest.", day=day)
    look = Choice(say("Look"), "payout", {"payout": payout_id})
    return Reply(
        title=title,
        lines=(summary, more, say("Receipt {receipt}", receipt=payout_id)),
        choices=((look,),),
        private=True,
    )
