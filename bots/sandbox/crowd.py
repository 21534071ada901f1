"""The demo's people: they buy Credits in the sandbox and ask what contributed keys can answer, so
that whoever contributes one sees it earn, and can withdraw what it earned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import aiohttp

from bots.chat.command import Command, Option, Request, Room
from bots.chat.reply import Reply, Steps, say
from bots.commands.errors import NotUnderstood
from bots.commands.text import in_credits
from core import ids
from core.asks.service import Asking
from core.asks.types import AskRefusal, Question
from core.money import Credits, NanoUsd, Tokens, total
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, Model
from core.pricing.prices import PriceBook
from core.users.service import People
from core.users.types import Person
from payments.checkout import Cashier

_PEOPLE: Final = 12
#: Enough for a withdrawal: its minimum is 10,000 earned Credits, nine tenths of what was charged.
_USUAL: Final = 15_000
_MOST: Final = 1_000_000
#: No bonus comes with so little cash at once, so that all of it counts as bought.
_CASH_MOST: Final = NanoUsd(99_000_000_000)
_CENT: Final = 10_000_000
#: Some three thousand tokens, so that it doesn't take thousands of them.
_QUESTION: Final = "Please write a long answer about this: " + 500 * "the sky, bread and tides. "
_MIX: Final = (Tokens(2_000), Tokens(1_000))
_ASKS_MOST: Final = 2_000
#: For a purchase to be credited.
_LOOKS_MOST: Final = 200
_LOOK_SECONDS: Final = 0.05
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_HOW: Final = say("Write it like this: /crowd 15000, or /crowd alone. Nothing was bought.")


class Crowd:
    """The command `/crowd`, which only the demo has."""

    def __init__(
        self,
        *,
        people: People,
        cashier: Cashier,
        asking: Asking,
        pool: Pool,
        catalogue: Catalogue,
        prices: PriceBook,
    ) -> None:
        self._people, self._cashier = people, cashier
        self._asking, self._pool = asking, pool
        self._catalogue, self._prices = catalogue, prices

    def room(self) -> Room:
        """Its one command."""
        return Room(
            commands=(
                Command(
                    "crowd",
                    title=say("Crowd"),
                    does=say("Sandbox people buy Credits and ask"),
                    usage=say("/crowd [Credits]"),
                    options=(Option("credits", say("How many Credits they buy")),),
                    handler=self.crowd,
                    admin=True,
                ),
            )
        )

    async def crowd(self, request: Request) -> Steps:
        """Buys so many Credits, and asks until all of them are spent."""
        typed = request.text.strip().replace(",", "") or str(_USUAL)
        if not typed.isdecimal() or not 0 < int(typed[:9]) <= _MOST:
            raise NotUnderstood(_HOW)
        return Steps(self._played(request, int(typed)))

    async def _played(self, request: Request, wanted: int) -> AsyncGenerator[Reply, None]:
        model = await self._dearest()
        if model is None:
            yield Reply((say("No contributed key can answer anything now. Nothing was bought."),))
            return
        each = -(-wanted // _PEOPLE)
        yield Reply((say("{people} people of the sandbox buy.", people=_PEOPLE),), passing=True)
        names = [f"sandbox-{number}" for number in range(1, _PEOPLE + 1)]
        crowd = [await self._people.of("console", name, language="en") for name in names]
        async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as browser:
            await asyncio.gather(*(self._buys(one, each, request, browser) for one in crowd))
        yield Reply((say("They ask {model} long questions now.", model=model.name),), passing=True)
        counts = await asyncio.gather(*(self._asks(one, model, request) for one in crowd))
        spent = total(Credits, (credits_ for _, credits_ in counts))
        asks = sum(number for number, _ in counts)
        yield Reply(
            (
                say(
                    "{asks} answers of {model} for {credits}.",
                    asks=asks,
                    model=model.name,
                    credits=in_credits(spent),
                ),
                say("What the key's owner earned by that shows in /keys."),
            )
        )

    async def _dearest(self) -> Model | None:
        """The model with the highest price that a contributed key can serve."""
        theirs = {
            card.supplier
            for card in await self._pool.cards()
            if card.owner is not None and card.state == "active"
        }
        priced = [
            (price.charge(*_MIX).units, model.id, model)
            for model in self._catalogue.models.values()
            if model.per == "token"
            and any(route.provider in theirs for route in model.routes)
            and self._pool.serves(model)
            and (price := self._prices.current(model.id)) is not None
        ]
        return max(priced, default=(0, "", None))[2]

    async def _buys(
        self, person: Person, credits_: int, request: Request, browser: aiohttp.ClientSession
    ) -> None:
        """Pays for that many Credits on the sandbox's page, in payments that bring no bonus."""
        rest = NanoUsd(max(credits_, 100) * _CENT)
        number = 0
        while not rest.is_zero:
            cash = min(rest, _CASH_MOST)
            rest -= cash
            number += 1
            order = await self._cashier.buy(
                cause=f"crowd/{request.message}/{person.id}/{number}",
                at_ms=request.at_ms,
                person=person.id,
                place=f"console:{person.id}:",
                message=request.message,
                gateway="sandbox",
                value=cash,
                what="Credits",
                language="en",
            )
            async with browser.post(f"{order.url}/pay", allow_redirects=False):
                pass
            for _ in range(_LOOKS_MOST):
                if (await self._cashier.orders.get(order.id)).state == "credited":
                    break
                await asyncio.sleep(_LOOK_SECONDS)

    async def _asks(self, person: Person, model: Model, request: Request) -> tuple[int, Credits]:
        """Asks until all is spent; how many answers, for how many Credits."""
        spent, number = Credits(0), 0
        while number < _ASKS_MOST:
            asked = f"{request.message}-{number}"
            question = Question(
                id=ids.derived("ask", request.at_ms, "crowd", person.id, asked),
                person=person,
                place=f"console:{person.id}:",
                asked_in=asked,
                text=_QUESTION,
                model=model,
                privileged=True,  # a month's questions in a minute
            )
            try:
                run = await self._asking.ask(question)
            except AskRefusal:
                break
            result = await run.result
            spent += result.charge
            number += 1
        return number, spent
