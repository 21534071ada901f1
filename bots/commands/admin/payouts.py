"""`/payouts`: withdrawals as the operator decides them: what each is, who paid for it, what can be
done. Cash may show here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Blank, Choice, Prompt, Reply, Said, plain, say
from bots.commands.text import in_credits, money
from bots.commands.withdraw import STATES, WAYS
from core.admin.payout_risk import Risk, risk_of
from core.admin_log import Facts, logged
from core.clock import DAY_MS, Clock, as_datetime
from core.db.database import Store
from core.db.writes import Companion
from core.earnings.payout_methods import Addresses
from core.earnings.payouts import (
    PAYOUT_STUCK,
    NoAddress,
    Payout,
    PayoutMoved,
    WithdrawalsWait,
    expected_by,
)
from core.earnings.withdrawals import Withdrawals
from core.jobs.notifications import Notice
from core.money import Credits, NanoUsd, total
from core.users.service import People
from payments.payouts import Payouts

_LISTED: Final = 10


class PayoutCommands:
    """The commands of the payout queue: what waits, yes and no, and what is paid by hand."""

    def __init__(
        self, *, withdrawals: Withdrawals, payouts: Payouts, cards: PayoutCards, clock: Clock
    ) -> None:
        self._withdrawals, self._payouts = withdrawals, payouts
        self._cards, self._clock = cards, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "payouts",
                    title=say("Payouts"),
                    does=say("Withdrawals that wait for you"),
                    usage=say("/payouts [out_…]"),
                    options=(Option("payout", say("One of them, by its receipt")),),
                    handler=self.queue,
                    admin=True,
                ),
            ),
            actions=(
                Action("payouts", self.queue, admin=True),
                Action("payout", self.card, admin=True),
                Action("payout-approve", self.approve, admin=True),
                Action("payout-approve-now", self.approve_now, admin=True),
                Action("payout-all", self.all, admin=True),
                Action("payout-all-now", self.all_now, admin=True),
                Action("payout-reject", self.reject, admin=True),
                Action("payout-reject-now", self.reject_now, admin=True),
                Action("payout-by-hand", self.by_hand, admin=True),
                Action("payout-by-hand-now", self.by_hand_now, admin=True),
                Action("payout-paid", self.paid, admin=True),
                Action("payout-paid-now", self.paid_now, admin=True),
                Action("payout-returned", self.returned, admin=True),
                Action("payout-returned-now", self.returned_now, admin=True),
            ),
        )

    # --- looking --------------------------------------------------------------------------------

    async def queue(self, request: Request) -> Reply:
        """What waits: for a yes or no first, the oldest first; or one of them."""
        if wanted := request.text.strip():
            return await self._cards.card(await self._withdrawals.get(wanted))
        asked = await self._withdrawals.in_state("requested")
        waiting = asked + await self._withdrawals.in_state("approved", "sent")
        if not waiting:
            return Reply((say("No withdrawal waits."),), private=True)
        choices = [
            (Choice(plain(f"{money(one.cash)} · {one.hint}"), "payout", {"payout": one.id}),)
            for one in waiting[:_LISTED]
        ]
        if len(asked) > 1:
            label = say("Approve all {count}: {cash}", count=len(asked), cash=money(_sum(asked)))
            choices.append((Choice(label, "payout-all"),))
        return Reply(
            title=say("Payouts"),
            table=tuple(_row(one) for one in waiting[:_LISTED]),
            lines=(say("{count} wait for you.", count=len(asked)),),
            choices=tuple(choices),
            private=True,
        )

    async def card(self, request: Request) -> Reply:
        """One, with its risk."""
        return await self._cards.card(await self._one(request))

    # --- yes and no -----------------------------------------------------------------------------

    async def approve(self, request: Request) -> Reply:
        """Once more, with the amount in words."""
        one = await self._one(request)
        question = say(
            "Pay {cash} ({credits}) by {way} to {hint}?",
            cash=money(one.cash),
            credits=in_credits(one.credits),
            way=WAYS[one.method],
            hint=one.hint,
        )
        yes = say("Yes, pay {cash}", cash=money(one.cash))
        return _sure(question, yes, "payout-approve-now", one)

    async def approve_now(self, request: Request) -> Reply:
        """Approved, after it was checked again; sent at once where its gateway is quick."""
        one = await self._one(request)
        try:
            await self._approved(one.id, request)
        except WithdrawalsWait as wait:
            return _back(_why_not(wait), one)
        await self._payouts.soon(one.id)
        return await self._cards.card(await self._withdrawals.get(one.id))

    async def all(self, request: Request) -> Reply:
        """All that wait, with their sum in words."""
        del request
        asked = await self._withdrawals.in_state("requested")
        if not asked:
            return Reply((say("No withdrawal waits."),), private=True, replace=True)
        return Reply(
            lines=(
                say(
                    "Pay {count} withdrawals, {cash} together ({credits})?",
                    count=len(asked),
                    cash=money(_sum(asked)),
                    credits=in_credits(total(Credits, (one.credits for one in asked))),
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, pay {cash}", cash=money(_sum(asked))),
                        "payout-all-now",
                        # What came since is not meant.
                        {"payouts": " ".join(one.id for one in asked)},
                        once=True,
                    ),
                    Choice(say("Cancel"), "payouts"),
                ),
            ),
            private=True,
            replace=True,
        )

    async def all_now(self, request: Request) -> Reply:
        """Each by itself: what can't be approved any more is said."""
        done: list[Payout] = []
        left: list[str] = []
        for payout in str(request.data["payouts"]).split():
            try:
                done.append(await self._approved(payout, request))
            except (PayoutMoved, WithdrawalsWait):
                left.append(payout)
        lines = [say("Approved {count}: {cash}.", count=len(done), cash=money(_sum(done)))]
        if left:
            lines.append(say("Not any more, or not now: {payouts}", payouts=", ".join(left)))
        return Reply(tuple(lines), private=True, replace=True)

    async def reject(self, request: Request) -> Prompt:
        """Asks for the reason, which its person reads."""
        return Prompt(
            title=say("Reject"),
            lines=(say("Its person reads the reason; their Credits come back."),),
            blanks=(_reason(),),
            action="payout-reject-now",
            data={"payout": str(request.data["payout"])},
        )

    async def reject_now(self, request: Request) -> Reply:
        """Rejected."""
        payout, reason = str(request.data["payout"]), _typed(request)
        row = self._logged(request, payout, "reject payout", {"reason": reason})
        one = await self._withdrawals.reject(
            payout, by=request.person.id, reason=reason, also=(row,)
        )
        return await self._cards.card(one)

    # --- by hand --------------------------------------------------------------------------------

    async def by_hand(self, request: Request) -> Reply:
        """Where it goes is shown once its person can't take it back any more."""
        one = await self._one(request)
        question = say(
            "Pay {cash} to {hint} by hand now? From here on its person can't cancel it; then you"
            " see where it goes.",
            cash=money(one.cash),
            hint=one.hint,
        )
        yes = say("Yes, I pay {cash}", cash=money(one.cash))
        return _sure(question, yes, "payout-by-hand-now", one)

    async def by_hand_now(self, request: Request) -> Reply:
        """Checked once more."""
        one = await self._one(request)
        row = self._logged(request, one.id, "pay payout by hand", {})
        try:
            return await self._cards.card(await self._payouts.begun_by_hand(one.id, also=(row,)))
        except WithdrawalsWait as wait:
            return _back(_why_not(wait), one)

    async def paid(self, request: Request) -> Reply:
        """Once more, with the amount in words."""
        one = await self._one(request)
        question = say("{cash} have been paid to {hint}?", cash=money(one.cash), hint=one.hint)
        if not self._cards.by_hand(one):
            question = say(
                "{way} is still asked about it. Did you see there that {cash} have been paid to"
                " {hint}?",
                way=WAYS[one.method],
                cash=money(one.cash),
                hint=one.hint,
            )
        return _sure(question, say("Yes, they are paid"), "payout-paid-now", one)

    async def paid_now(self, request: Request) -> Reply:
        """Paid by hand, or so it was seen."""
        one = await self._one(request)
        row = self._logged(request, one.id, "payout is paid", {})
        await self._payouts.paid_by_hand(one.id, also=(row,))
        return await self._cards.card(await self._withdrawals.get(one.id))

    async def returned(self, request: Request) -> Prompt:
        """Asks why, which its person reads; the amount in words."""
        one = await self._one(request)
        return Prompt(
            title=say("It came back"),
            lines=(
                say(
                    "Only if {cash} are with you again, or were never paid: its person gets"
                    " {credits} back, and reads why.",
                    cash=money(one.cash),
                    credits=in_credits(one.credits),
                ),
            ),
            blanks=(_reason(),),
            action="payout-returned-now",
            data={"payout": one.id},
        )

    async def returned_now(self, request: Request) -> Reply:
        """Their Credits are there again."""
        one, reason = await self._one(request), _typed(request)
        row = self._logged(request, one.id, "payout came back", {"reason": reason})
        await self._withdrawals.returned(one, reason=reason, also=(row,))
        return await self._cards.card(await self._withdrawals.get(one.id))

    # --- helpers --------------------------------------------------------------------------------

    async def _one(self, request: Request) -> Payout:
        return await self._withdrawals.get(str(request.data["payout"]))

    async def _approved(self, payout: str, request: Request) -> Payout:
        row = self._logged(request, payout, "approve payout", {})
        return await self._withdrawals.approve(payout, by=request.person.id, also=(row,))

    def _logged(self, request: Request, payout: str, act: str, more: Facts) -> Companion:
        after: Facts = {"payout": payout, **more}
        return logged(self._clock, actor=request.person.id, act=act, before={}, after=after)


def _sum(payouts: list[Payout]) -> NanoUsd:
    return total(NanoUsd, (one.cash for one in payouts))


def _row(one: Payout) -> tuple[Said, ...]:
    day = as_datetime(expected_by(one.created_at)).date().isoformat()
    return (
        plain(one.id),
        plain(money(one.cash)),
        WAYS[one.method],
        STATES[one.state],
        say("by {day}", day=day),
    )


def _sure(question: Said, yes: Said, action: str, one: Payout) -> Reply:
    """A second tap."""
    data = {"payout": one.id}
    choices = (Choice(yes, action, data, once=True), Choice(say("Cancel"), "payout", data))
    return Reply((question,), choices=(choices,), private=True, replace=True)


def _back(said: Said, one: Payout) -> Reply:
    back = Choice(say("‹ Back"), "payout", {"payout": one.id})
    return Reply((said,), choices=((back,),), private=True, replace=True)


def _reason() -> Blank:
    return Blank("reason", say("Reason"), least=3, most=200, hidden=False)


def _typed(request: Request) -> str:
    return request.entered["reason"].get_secret_value()


def _why_not(wait: WithdrawalsWait) -> Said:
    """Why nothing can be paid now, for whoever decides."""
    if wait.why == "owes":
        return say("They owe Credits now: what waits is cancelled by itself, and repays.")
    if wait.why == "disputed":
        return say("A payment of theirs is disputed now. Nothing is paid until that is decided.")
    return say(
        "Their accounts were linked just now. Nothing is paid before {until}.",
        until=as_datetime(wait.until),
    )


_Rows = tuple[tuple[Choice, ...], ...]


_BETTER_NOT: Final = say(
    "⚠️ Better not yet: it was disputed, or most of it came of people who ask nearly nowhere else"
    " and whose bank can still take the money back."
)


class PayoutCards:
    """The builder of a payout's card: its state, its risk, and the buttons that fit both."""

    def __init__(
        self,
        *,
        withdrawals: Withdrawals,
        addresses: Addresses,
        payouts: Payouts,
        people: People,
        store: Store,
        clock: Clock,
    ) -> None:
        self._withdrawals, self._addresses, self._payouts = withdrawals, addresses, payouts
        self._people, self._store, self._clock = people, store, clock

    async def card(self, one: Payout) -> Reply:
        """One, with its risk."""
        people = await self._people.lineage(await self._withdrawals.payee(one))
        page = self._payouts.page(one)
        choices: _Rows = (
            *self._choices(one),
            *(((Choice(say("See it there"), "", url=page),),) if page else ()),
            (Choice(say("‹ Back"), "payouts"),),
        )
        lines = (
            _summary(one),
            say("{state} since {at}", state=STATES[one.state], at=as_datetime(one.state_at)),
            *((say("Reason: {reason}", reason=one.reason),) if one.reason else ()),
            *await self._doing(one),
            *self._weighed(await risk_of(self._store, people, self._clock.now_ms())),
        )
        return Reply(title=plain(one.id), lines=lines, choices=choices, private=True)

    def by_hand(self, one: Payout) -> bool:
        """Whether an admin pays it."""
        return self._payouts.by_hand(one)

    def _choices(self, one: Payout) -> _Rows:
        data: dict[str, str | int] = {"payout": one.id}
        reject = Choice(say("Reject"), "payout-reject", data)
        came_back = Choice(say("It came back"), "payout-returned", data)
        if one.state == "requested":
            return ((Choice(say("Approve"), "payout-approve", data), reject),)
        if one.state == "approved":
            if not self._payouts.by_hand(one):
                return ((reject,),)
            return ((Choice(say("I pay it now"), "payout-by-hand", data), reject),)
        if one.state == "sent":
            return ((Choice(say("It is paid"), "payout-paid", data), came_back),)
        return ((came_back,),) if one.state == "paid" else ()

    async def _doing(self, one: Payout) -> tuple[Said, ...]:
        """What is left to do where somebody has to do it."""
        if one.state != "sent":
            return ()
        if not self._payouts.by_hand(one):
            return (say("{way} is asked what became of it.", way=WAYS[one.method]),)
        if one.due_at is not None:
            return (
                say(
                    "{way} had it before it was switched off here. Look there whether it is paid;"
                    " don't pay it again.",
                    way=WAYS[one.method],
                ),
            )
        try:
            address = (await self._addresses.of(one)).get_secret_value()
        except NoAddress:
            return (say("Where it goes can't be opened any more: its master key is lost."),)
        return (say("Pay it by hand to: {address}", address=address),)

    def _weighed(self, risk: Risk) -> Sequence[Said]:
        covered = say("yes") if risk.covered else say("no")
        return (
            say("Writes from {names}.", names=", ".join(risk.names)),
            say(
                "{paid} were paid with on their keys, by {count} people; {disputes} of these"
                " people's payments were disputed; {dead} of the keys died.",
                paid=in_credits(risk.paid),
                count=risk.askers,
                disputes=risk.disputes,
                dead=risk.dead_keys,
            ),
            *(
                say(
                    "{person}: {paid} ({means})",
                    person=asker.person,
                    paid=in_credits(asker.paid),
                    means=self._means(asker.gateways, asker.newest),
                )
                for asker in risk.biggest
            ),
            *((_BETTER_NOT,) if risk.better_not else ()),
            say(
                "Cash at gateways {cash}; all that is earned would cost {owed}. Covered:"
                " {covered}.",
                cash=money(risk.cash),
                owed=money(risk.owed),
                covered=covered,
            ),
        )

    def _means(self, gateways: Sequence[str], newest: int) -> str:
        means = ", ".join(gateways) or "–"
        return f"{means}, {(self._clock.now_ms() - newest) // DAY_MS} d" if newest else means


def _summary(one: Payout) -> Said:
    return say(
        "{credits} → {cash} by {way} to {hint}",
        credits=in_credits(one.credits),
        cash=money(one.cash),
        way=WAYS[one.method],
        hint=one.hint,
    )


def waiting_card(notice: Notice) -> Reply:
    """A notification for operators: a withdrawal waits for their yes or no, or can't go on."""
    facts = notice.facts
    payout = str(facts["payout"])
    way = next(words for method, words in WAYS.items() if method == facts["method"])
    summary = say(
        "{credits} → {cash} by {way} to {hint}",
        credits=in_credits(Credits(int(facts["credits"]))),
        cash=money(NanoUsd(int(facts["cash"]))),
        way=way,
        hint=str(facts["hint"]),
    )
    if notice.kind == PAYOUT_STUCK:
        title, more = say("⚠️ A payout can't go on by itself"), plain(str(facts["reason"]))
    else:
        day = as_datetime(expected_by(int(facts["at"]))).date().isoformat()
        title = say("A withdrawal waits for you")
        more = say("Its person was told: by {day} at the latest.", day=day)
    look = Choice(say("Look"), "payout", {"payout": payout})
    return Reply(
        title=title,
        lines=(summary, more, say("Receipt {receipt}", receipt=payout)),
        choices=((look,),),
        private=True,
    )
