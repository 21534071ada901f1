"""The demo's people: they buy Credits in the sandbox and ask what contributed keys can answer, so
that whoever contributes one sees it earn, and can withdraw what it earned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Reply, ReplyStream, say, say_count
from bots.commands.arguments import parse_number
from bots.commands.text import format_credits
from bots.sandbox.answers import CROWD_OPENING
from bots.services import AskServices, PricingServices
from core import ids
from core.asks.types import AskRefusal, Question
from core.money import Credits, NanoUsd, Tokens
from core.pool.pool import Pool
from core.pricing.catalogue import Model
from core.users.balances import Balances
from core.users.service import Users
from core.users.types import Person
from payments.checkout import CheckoutService
from payments.orders import Orders

_PEOPLE: Final = 20
#: Enough for a withdrawal: its minimum is 10,000 earned Credits, nine tenths of what was charged.
_DEFAULT_CREDITS: Final = 20_000
_CREDITS_MAX: Final = 1_000_000
#: No bonus comes with so little cash at once, so that all of it counts as bought.
_CASH_MAX: Final = NanoUsd(99_000_000_000)
_CENT: Final = 10_000_000
#: Of what is to be spent, after each of which it is said how far it is.
_PARTS: Final = 10
#: Some three thousand tokens, so that it doesn't take thousands of them.
_QUESTION: Final = f"{CROWD_OPENING} about this: " + 500 * "the sky, bread and tides. "
_SAMPLE_TOKENS: Final = (Tokens(3_000), Tokens(2_300))
#: Each of the crowd can pay for so many answers.
_ASKS_EACH: Final = 3
_ASKS_MAX: Final = 2_000
#: For a purchase to be credited.
_CHECKS_MAX: Final = 200
_CHECK_SECONDS: Final = 0.05
_TIMEOUT_SECONDS: Final = 10.0
_HOW: Final = say("Write it like this: /crowd 15000, or /crowd alone. Nothing was bought.")


@dataclass(frozen=True, slots=True)
class CrowdArguments(Arguments):
    """What follows `/crowd`."""

    credits: str = argument(say("How many Credits they buy"), say("Credits"))


class CrowdCommands:
    """The command `/crowd`, which only the demo has."""

    def __init__(
        self,
        *,
        users: Users,
        balances: Balances,
        checkout: CheckoutService,
        orders: Orders,
        asks: AskServices,
        pool: Pool,
        pricing: PricingServices,
    ) -> None:
        self._users, self._balances = users, balances
        self._checkout, self._orders = checkout, orders
        self._ask_service, self._ask_repository = asks.asks, asks.repository
        self._pool = pool
        self._is_stopping = False
        self._catalogue, self._prices = pricing.catalogue, pricing.prices

    @command(
        "crowd",
        title=say("Crowd"),
        description=say("Sandbox people buy Credits and ask"),
        arguments=CrowdArguments,
        admin_only=True,
    )
    async def crowd(self, request: Request, given: CrowdArguments) -> ReplyStream:
        """Buys so many Credits, and asks until they are spent."""
        wanted = _DEFAULT_CREDITS
        if given.credits:
            wanted = parse_number(given.credits, _HOW, most=_CREDITS_MAX)
        return ReplyStream(self._run_crowd(request, wanted))

    @action("crowd-stop", admin_only=True)
    async def stop_crowd(self, request: Request) -> None:
        """Each of the crowd ends with the answer that comes."""
        del request
        self._is_stopping = True

    async def _run_crowd(self, request: Request, wanted: int) -> AsyncGenerator[Reply, None]:
        model = await self._choose_model(wanted // _PEOPLE // _ASKS_EACH)
        if model is None:
            yield Reply((say("No contributed key can answer anything now. Nothing was bought."),))
            return
        self._is_stopping = False
        yield Reply((say("{people} people of the sandbox buy.", people=_PEOPLE),), passing=True)
        names = [f"sandbox-{number}" for number in range(1, _PEOPLE + 1)]
        crowd = [await self._users.get_or_create("console", name, language="en") for name in names]
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as browser:
            await asyncio.gather(
                *(self._buy_credits(one, -(-wanted // _PEOPLE), request, browser) for one in crowd)
            )
        tally = _Tally(await self._count_spendable(crowd))
        asking = asyncio.gather(
            *(self._ask_until_spent(one, model, request, tally) for one in crowd)
        )
        try:
            while not asking.done():
                yield _progress_reply(tally, model)
                await tally.wait_for_part(asking)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        yield Reply(
            (
                say_count(
                    "{count} answer of {model} for {credits}.",
                    "{count} answers of {model} for {credits}.",
                    tally.answers,
                    model=model.name,
                    credits=format_credits(tally.spent),
                ),
                say("What the key's owner earned by that shows in /keys."),
            )
        )

    async def _choose_model(self, most: int) -> Model | None:
        """The dearest model that a contributed key can serve for at most so many Credits an answer;
        the cheapest where all are dearer."""
        contributed_suppliers = {
            card.supplier
            for card in await self._pool.list_keys()
            if card.contributor is not None and card.state == "active"
        }
        priced = [
            (price.calculate_charge(*_SAMPLE_TOKENS).units, model.id, model)
            for model in self._catalogue.models.values()
            if model.per == "token"
            and any(route.provider in contributed_suppliers for route in model.routes)
            and self._pool.is_servable(model)
            and (price := self._prices.find_current(model.id)) is not None
        ]
        affordable = [each for each in priced if each[0] <= most]
        return max(affordable, default=min(priced, default=(0, "", None)))[2]

    async def _count_spendable(self, crowd: Sequence[Person]) -> int:
        """How many Credits they have all together: gifts are spent before what they bought."""
        balances = [await self._balances.for_user(one.id) for one in crowd]
        return sum(balance.available.units for balance in balances)

    async def _buy_credits(
        self, person: Person, credits_: int, request: Request, browser: httpx.AsyncClient
    ) -> None:
        """Pays for that many Credits on the sandbox's page, in payments that bring no bonus."""
        rest = NanoUsd(max(credits_, 100) * _CENT)
        number = 0
        while not rest.is_zero:
            cash = min(rest, _CASH_MAX)
            rest -= cash
            number += 1
            order = await self._checkout.place_order(
                cause=f"crowd/{request.message}/{person.id}/{number}",
                at_ms=request.at_ms,
                person=person.id,
                place=f"console:{person.id}:",
                message=request.message,
                gateway="sandbox",
                value=cash,
                description="Credits",
                language="en",
            )
            await browser.post(f"{order.url}/pay")
            for _ in range(_CHECKS_MAX):
                if (await self._orders.get(order.id)).state == "credited":
                    break
                await asyncio.sleep(_CHECK_SECONDS)

    async def _ask_until_spent(
        self, person: Person, model: Model, request: Request, tally: _Tally
    ) -> None:
        """Asks until all is spent."""
        place = f"console:{person.id}:"
        for number in range(_ASKS_MAX):
            if self._is_stopping:
                return
            message = f"{request.message}-{number}"
            question = Question(
                id=ids.derive_id("ask", request.at_ms, "crowd", person.id, message),
                person=person,
                place=place,
                asked_in=message,
                text=_QUESTION,
                model=model,
                is_privileged=True,  # a month's questions in a minute
            )
            try:
                run = await self._ask_service.start_ask(question)
            except AskRefusal:
                return
            result = await run.result
            # Nobody reads there: what isn't marked is shown again.
            await self._ask_repository.mark_delivered(question.id, place, [f"{message}-answer"])
            tally.add(result.charge)


class _Tally:
    """What a crowd has spent of what it means to; who waits is told at each tenth of that."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.answers, self.spent = 0, Credits(0)
        self._told = 0
        self._changed = asyncio.Event()

    def add(self, charge: Credits) -> None:
        """Counts an answer."""
        self.answers, self.spent = self.answers + 1, self.spent + charge
        part = min(self.spent.units * _PARTS // self.wanted, _PARTS)
        if part > self._told:
            self._told = part
            self._changed.set()

    async def wait_for_part(self, asking: asyncio.Future[list[None]]) -> None:
        """Returns when another part is spent, or all have ended."""
        waiting = asyncio.ensure_future(self._changed.wait())
        both: tuple[asyncio.Future[Any], ...] = (waiting, asking)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        self._changed.clear()


def _progress_reply(tally: _Tally, model: Model) -> Reply:
    text = say(
        "They ask {model} long questions. Spent so far: {spent} of {wanted} Credits.",
        model=model.name,
        spent=tally.spent.units,
        wanted=tally.wanted,
    )
    stop = Choice(say("⏹ Stop"), "crowd-stop")
    return Reply((text,), choices=((stop,),), passing=True)
