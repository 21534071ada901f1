"""The demo's people: they buy Credits in the sandbox and ask what contributed keys can answer, so
that whoever contributes one sees it earn, and can withdraw what it earned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Final

import aiohttp

from bots.chat.command import Arguments, Request, argument, command
from bots.chat.reply import Reply, ReplyStream, say, say_count
from bots.commands.errors import UsageError
from bots.commands.text import format_credits
from bots.services import PricingServices
from core import ids
from core.asks.service import AskService
from core.asks.types import AskRefusal, Question
from core.money import Credits, NanoUsd, Tokens, sum_amounts
from core.pool.pool import Pool
from core.pricing.catalogue import Model
from core.users.service import Users
from core.users.types import Person
from payments.checkout import CheckoutService
from payments.orders import Orders

_PEOPLE: Final = 12
#: Enough for a withdrawal: its minimum is 10,000 earned Credits, nine tenths of what was charged.
_DEFAULT_CREDITS: Final = 15_000
_CREDITS_MAX: Final = 1_000_000
#: No bonus comes with so little cash at once, so that all of it counts as bought.
_CASH_MAX: Final = NanoUsd(99_000_000_000)
_CENT: Final = 10_000_000
#: Some three thousand tokens, so that it doesn't take thousands of them.
_QUESTION: Final = "Please write a long answer about this: " + 500 * "the sky, bread and tides. "
_SAMPLE_TOKENS: Final = (Tokens(2_000), Tokens(1_000))
_ASKS_MAX: Final = 2_000
#: For a purchase to be credited.
_CHECKS_MAX: Final = 200
_CHECK_SECONDS: Final = 0.05
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
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
        checkout: CheckoutService,
        orders: Orders,
        ask_service: AskService,
        pool: Pool,
        pricing: PricingServices,
    ) -> None:
        self._users, self._checkout, self._orders = users, checkout, orders
        self._ask_service, self._pool = ask_service, pool
        self._catalogue, self._prices = pricing.catalogue, pricing.prices

    @command(
        "crowd",
        title=say("Crowd"),
        description=say("Sandbox people buy Credits and ask"),
        arguments=CrowdArguments,
        admin_only=True,
    )
    async def crowd(self, request: Request, given: CrowdArguments) -> ReplyStream:
        """Buys so many Credits, and asks until all of them are spent."""
        typed = given.credits.replace(",", "") or str(_DEFAULT_CREDITS)
        if not typed.isdecimal() or not 0 < int(typed[:9]) <= _CREDITS_MAX:
            raise UsageError(_HOW)
        return ReplyStream(self._run_crowd(request, int(typed)))

    async def _run_crowd(self, request: Request, wanted: int) -> AsyncGenerator[Reply, None]:
        model = await self._find_dearest_model()
        if model is None:
            yield Reply((say("No contributed key can answer anything now. Nothing was bought."),))
            return
        credits_each = -(-wanted // _PEOPLE)
        yield Reply((say("{people} people of the sandbox buy.", people=_PEOPLE),), passing=True)
        names = [f"sandbox-{number}" for number in range(1, _PEOPLE + 1)]
        crowd = [await self._users.get_or_create("console", name, language="en") for name in names]
        async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as browser:
            await asyncio.gather(
                *(self._buy_credits(one, credits_each, request, browser) for one in crowd)
            )
        yield Reply((say("They ask {model} long questions now.", model=model.name),), passing=True)
        counts = await asyncio.gather(
            *(self._ask_until_spent(one, model, request) for one in crowd)
        )
        spent = sum_amounts(Credits, (credits_ for _, credits_ in counts))
        asks = sum(number for number, _ in counts)
        yield Reply(
            (
                say_count(
                    "{count} answer of {model} for {credits}.",
                    "{count} answers of {model} for {credits}.",
                    asks,
                    model=model.name,
                    credits=format_credits(spent),
                ),
                say("What the key's owner earned by that shows in /keys."),
            )
        )

    async def _find_dearest_model(self) -> Model | None:
        """The model with the highest price that a contributed key can serve."""
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
        return max(priced, default=(0, "", None))[2]

    async def _buy_credits(
        self, person: Person, credits_: int, request: Request, browser: aiohttp.ClientSession
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
            async with browser.post(f"{order.url}/pay", allow_redirects=False):
                pass
            for _ in range(_CHECKS_MAX):
                if (await self._orders.get(order.id)).state == "credited":
                    break
                await asyncio.sleep(_CHECK_SECONDS)

    async def _ask_until_spent(
        self, person: Person, model: Model, request: Request
    ) -> tuple[int, Credits]:
        """Asks until all is spent; how many answers, for how many Credits."""
        spent, number = Credits(0), 0
        while number < _ASKS_MAX:
            message = f"{request.message}-{number}"
            question = Question(
                id=ids.derive_id("ask", request.at_ms, "crowd", person.id, message),
                person=person,
                place=f"console:{person.id}:",
                asked_in=message,
                text=_QUESTION,
                model=model,
                is_privileged=True,  # a month's questions in a minute
            )
            try:
                run = await self._ask_service.start_ask(question)
            except AskRefusal:
                break
            result = await run.result
            spent += result.charge
            number += 1
        return number, spent
