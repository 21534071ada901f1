"""A payout as its owner sees it: what it is, who paid for it, and what can be done. Cash may show
here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bots.chat.reply import Choice, Reply, Said, plain, say
from bots.commands.text import in_credits, money
from bots.commands.withdraw import STATES, WAYS
from core.admin.payout_risk import Risk, risk_of
from core.clock import DAY_MS, Clock, as_datetime
from core.db.database import Store
from core.earnings.payout_methods import Addresses
from core.earnings.payouts import PAYOUT_STUCK, NoAddress, Payout, expected_by
from core.earnings.withdrawals import Withdrawals
from core.jobs.notifications import Notice
from core.money import Credits, NanoUsd
from core.users.service import People
from payments.payouts import Payouts

_Rows = tuple[tuple[Choice, ...], ...]


_BETTER_NOT: Final = say(
    "⚠️ Better not yet: it was disputed, or most of it came of people who ask nearly nowhere else"
    " and whose bank can still take the money back."
)


class PayoutCards:
    """Makes them."""

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
    """A notice for owners: a withdrawal waits for their yes or no, or can't go on."""
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
