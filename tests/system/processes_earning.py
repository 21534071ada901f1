"""What a service in a process of its own can be told of contributions: each step as a person, an
admin or a chore does it. Each may be told again, as people do who got no answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from bots.app import App
from core import chart, ids
from core.asks.types import Question
from core.ledger.types import Submission
from core.money import Credits, parse_usd
from core.pool.types import DuplicateKey, UnknownKey
from core.users.types import Person
from tests.core.earnings.world import BRIEFS
from tests.support import brief
from tests.support.databases import TestClock
from tests.system.crash_points import Tell

Command = dict[str, Any]

QUESTION = "why " * 480
#: The brief's, paying out whatever there is.
GENEROUS = replace(BRIEFS, payout_least=Credits(1))
#: An offer that nobody answered is forgotten after that.
OFFER_MS = 3_700_000


class Earns:
    """A part of a child: one contributes, others ask."""

    _app: App
    _clock: TestClock
    _tell: Tell

    async def do_meet(self, command: Command) -> None:
        """Somebody new, with Credits that count as paid for."""
        person = await self._person(command["who"])
        if command["has"]:
            entries = chart.credit_topup(person.id, Credits(command["has"]), Credits(0))
            await self._app.services.base.ledger.submit(
                Submission(f"buys/{command['who']}", entries)
            )
        self._tell("met", person=person.id)

    async def do_offer(self, command: Command) -> None:
        """A key is examined. Where one was kept and its owner never heard so, it is forgotten."""
        contributions, owner = (
            self._app.services.earnings.contributions,
            await self._person(command["who"]),
        )
        secret = SecretStr(command["secret"])
        try:
            offer = await contributions.create_proposal(owner, "openai", secret, "")
        except DuplicateKey:
            self._clock.at_ms += OFFER_MS
            await contributions.delete_expired_proposals()
            offer = await contributions.create_proposal(owner, "openai", secret, "")
        self._tell("offered", key=offer.key, at_ms=self._clock.at_ms)

    async def do_open(self, command: Command) -> None:
        """Its owner agrees; they may have done so already."""
        contributions, owner = (
            self._app.services.earnings.contributions,
            await self._person(command["who"]),
        )
        with suppress(UnknownKey):
            one = await contributions.get(command["key"], owner.id)
            self._tell("opened", credited=one.credited.units)
            return
        one = await contributions.accept_proposal(
            command["key"], owner, parse_usd(command["quota"])
        )
        self._tell("opened", credited=one.credited.units)

    async def do_ask(self, command: Command) -> None:
        """Somebody asks and reads the whole answer."""
        question = Question(
            id=command["ask"],
            person=await self._person(command["who"]),
            place=f"telegram:{command['ask']}:",
            asked_in="1",
            text=QUESTION,
            model=brief.GPT_4,
        )
        result = await (await self._app.services.asks.asks.start_ask(question)).result
        self._tell("answered", charge=result.charge.units)

    async def do_own(self, command: Command) -> None:
        """The operator's own keys serve, or don't."""
        for card in await self._app.services.pool.pool.list_keys():
            if card.contributor is None:
                await self._app.services.pool.pool.set_key_state(
                    card.id, "active" if command["serves"] else "paused"
                )
        self._tell("owned")

    async def do_withdraw(self, command: Command) -> None:
        """All that was earned shall be paid out; it waits for a yes that never comes."""
        earning, person = self._app.services.earnings, await self._person(command["who"])
        await earning.payout_methods.save_address(person.id, "manual", SecretStr("GB33"), "GB••")
        amount = Credits(command["amount"])
        one = await earning.withdrawals.request_payout(
            person.id, amount, "manual", cause=command["who"], at_ms=command["at_ms"]
        )
        self._tell("requested", credits=one.credits.units)

    async def do_lower(self, command: Command) -> None:
        """It is made smaller."""
        owner = await self._person(command["who"])
        await self._app.services.earnings.termination.lower_contribution(
            command["key"], owner.id, Credits(command["left"])
        )
        self._tell("lowered")

    async def do_back(self, command: Command) -> None:
        """It is taken back; it may be ending already."""
        owner, closing = await self._person(command["who"]), self._app.services.earnings.termination
        with suppress(UnknownKey):
            await closing.withdraw_contribution(command["key"], owner.id)
        await closing.process_terminations()
        self._tell("taken back")

    async def do_chores(self, _: Command) -> None:
        """What happens without a request."""
        await self._app.services.asks.recovery.recover_lapsed_asks()
        await self._app.services.earnings.termination.process_terminations()
        self._tell("chores done")

    async def do_still(self, _: Command) -> None:
        """From now on nothing happens without being told."""
        await self._app.scheduler.stop()
        self._tell("still")

    async def _person(self, name: str) -> Person:
        return await self._app.services.users.users.get_or_create("telegram", name, language="en")


def ask_id(name: str, at_ms: int) -> str:
    """Known before it is asked, so that its points can be."""
    return ids.derive_id("ask", at_ms, "earning", name)
