"""The owner's side of cashing out: `/payouts`. Cash may show here."""

from __future__ import annotations

from typing import Final

from bots.commands.phrases import in_credits, money
from bots.commands.types import Action, Command, Request, Room
from bots.commands.withdrawing import WAYS
from bots.reply import Blank, Choice, Prompt, Reply, Said, plain, say
from core.clock import Clock, as_datetime
from core.desk import Facts, Risk, logged, risk_of
from core.earning import (
    Addresses,
    Payout,
    PayoutMoved,
    Withdrawals,
    WithdrawalsWait,
    expected_by,
)
from core.people import People
from core.store import Companion, Store
from core.units import Credits, NanoUsd, total
from payments import Payouts

_LISTED: Final = 10
_DAY_MS: Final = 86_400_000


class PayoutCommands:
    """The queue, the risk card, yes and no."""

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

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "payouts",
                    title=say("Payouts"),
                    does=say("Withdrawals that wait for you"),
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
                Action("payout-paid", self.paid, admin=True),
                Action("payout-returned", self.returned, admin=True),
            ),
        )

    # --- looking --------------------------------------------------------------------------------

    async def queue(self, request: Request) -> Reply:
        """What waits, the oldest first."""
        del request
        waiting = await self._withdrawals.in_state("requested", "approved", "sent")
        asked = [one for one in waiting if one.state == "requested"]
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
            table=tuple(
                (
                    plain(one.id),
                    plain(money(one.cash)),
                    WAYS[one.method],
                    plain(one.state),
                    say(
                        "by {day}", day=as_datetime(expected_by(one.created_at)).date().isoformat()
                    ),
                )
                for one in waiting[:_LISTED]
            ),
            lines=(say("{count} wait for you.", count=len(asked)),),
            choices=tuple(choices),
            private=True,
        )

    async def card(self, request: Request) -> Reply:
        """One, with its risk."""
        return await self._card(await self._withdrawals.get(str(request.data["payout"])))

    async def _card(self, one: Payout) -> Reply:
        risk = await risk_of(self._store, await self._people.lineage(one.person))
        data: dict[str, str | int] = {"payout": one.id}
        lines = [
            say(
                "{credits} → {cash} by {way} to {hint}",
                credits=in_credits(one.credits),
                cash=money(one.cash),
                way=WAYS[one.method],
                hint=one.hint,
            ),
            say("{state} since {at}", state=one.state, at=as_datetime(one.state_at)),
            *self._weighed(risk),
        ]
        choices: tuple[tuple[Choice, ...], ...] = ()
        if one.state == "requested":
            choices = (
                (
                    Choice(say("Approve"), "payout-approve", data),
                    Choice(say("Reject"), "payout-reject", data),
                ),
            )
        elif one.state == "approved" or (one.state == "sent" and self._payouts.by_hand(one)):
            if self._payouts.by_hand(one):
                address = (await self._addresses.of(one)).get_secret_value()
                lines.append(say("Pay it by hand to: {address}", address=address))
            choices = (
                (
                    Choice(say("It is paid"), "payout-paid", data, once=True),
                    Choice(say("It came back"), "payout-returned", data, once=True)
                    if one.state == "sent"
                    else Choice(say("Reject"), "payout-reject", data),
                ),
            )
            if not self._payouts.by_hand(one):
                choices = ((Choice(say("Reject"), "payout-reject", data),),)
        return Reply(
            title=plain(one.id),
            lines=tuple(lines),
            choices=(*choices, (Choice(say("‹ Back"), "payouts"),)),
            private=True,
        )

    def _weighed(self, risk: Risk) -> list[Said]:
        lines = [
            say("Writes from {names}.", names=", ".join(risk.names)),
            say(
                "{paid} were paid with on their keys, by {count} people; {disputes} of these"
                " people's payments were disputed; {dead} of the keys died.",
                paid=in_credits(risk.paid),
                count=risk.askers,
                disputes=risk.disputes,
                dead=risk.dead_keys,
            ),
        ]
        for asker in risk.biggest:
            means = ", ".join(asker.gateways) or "–"
            if asker.newest:
                days = (self._clock.now_ms() - asker.newest) // _DAY_MS
                means = f"{means}, {days} d"
            lines.append(
                say(
                    "{person}: {paid} ({means})",
                    person=asker.person,
                    paid=in_credits(asker.paid),
                    means=means,
                )
            )
        covered = say("yes") if risk.covered else say("no")
        lines.append(
            say(
                "Cash at gateways {cash}; all that is earned would cost {owed}. Covered:"
                " {covered}.",
                cash=money(risk.cash),
                owed=money(risk.owed),
                covered=covered,
            )
        )
        return lines

    # --- deciding -------------------------------------------------------------------------------

    async def approve(self, request: Request) -> Reply:
        """Once more, with the amount in words."""
        one = await self._withdrawals.get(str(request.data["payout"]))
        return Reply(
            lines=(
                say(
                    "Pay {cash} ({credits}) by {way} to {hint}?",
                    cash=money(one.cash),
                    credits=in_credits(one.credits),
                    way=WAYS[one.method],
                    hint=one.hint,
                ),
            ),
            choices=(
                (
                    Choice(
                        say("Yes, pay {cash}", cash=money(one.cash)),
                        "payout-approve-now",
                        {"payout": one.id},
                        once=True,
                    ),
                    Choice(say("Cancel"), "payout", {"payout": one.id}),
                ),
            ),
            private=True,
            replace=True,
        )

    async def approve_now(self, request: Request) -> Reply:
        """Approved, after it was checked again."""
        one = await self._approved(str(request.data["payout"]), request)
        return await self._card(one)

    async def all(self, request: Request) -> Reply:
        """All that wait, with their sum in words."""
        del request
        asked = await self._withdrawals.in_state("requested")
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
            blanks=(Blank("reason", say("Reason"), least=3, most=200, hidden=False),),
            action="payout-reject-now",
            data={"payout": str(request.data["payout"])},
        )

    async def reject_now(self, request: Request) -> Reply:
        """Rejected."""
        payout = str(request.data["payout"])
        reason = request.entered["reason"].get_secret_value()
        row = self._logged(request, payout, "reject payout", {"reason": reason})
        one = await self._withdrawals.reject(
            payout, by=request.person.id, reason=reason, also=(row,)
        )
        return await self._card(one)

    async def paid(self, request: Request) -> Reply:
        """Paid by hand."""
        payout = str(request.data["payout"])
        await self._payouts.paid_by_hand(payout)
        return await self._card(await self._withdrawals.get(payout))

    async def returned(self, request: Request) -> Reply:
        """What was paid by hand came back."""
        one = await self._withdrawals.get(str(request.data["payout"]))
        await self._withdrawals.returned(one, reason="by hand")
        return await self._card(await self._withdrawals.get(one.id))

    async def _approved(self, payout: str, request: Request) -> Payout:
        row = self._logged(request, payout, "approve payout", {})
        return await self._withdrawals.approve(payout, by=request.person.id, also=(row,))

    def _logged(self, request: Request, payout: str, act: str, more: Facts) -> Companion:
        after: Facts = {"payout": payout, **more}
        return logged(self._clock, actor=request.person.id, act=act, before={}, after=after)


def _sum(payouts: list[Payout]) -> NanoUsd:
    return total(NanoUsd, (one.cash for one in payouts))
