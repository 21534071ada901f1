"""`/suppliers cost gpt-4 openai 30 60`: what a supplier takes, where its list is wrong or late.

The demo's owner plays a supplier's rise by a button. Dollars show here.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil
from typing import Final

from bots.chat.command import Request
from bots.chat.reply import Said, say
from bots.commands.errors import NotUnderstood
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.rates import NO_RATE, Rate, Rates
from core.repricing.cost_overrides import Overrides
from core.repricing.cost_watch import CostWatch
from core.repricing.margins import Margins

#: Dollars per million tokens, or a minute.
_MOST: Final = Decimal(100_000)
_HOW: Final = say(
    "Write it like this: /suppliers cost gpt-4 openai 30 60 (dollars per 1M tokens in and out; a"
    " third number for cached ones), for audio the dollars of a minute, or list for what the"
    " supplier's list says: /suppliers cost gpt-4 openai list. Nothing was changed."
)


class CostCommands:
    """Overrides; `/suppliers` leads here."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        overrides: Overrides,
        watch: CostWatch,
        margins: Margins,
        sandbox: bool,
    ) -> None:
        """`sandbox`: whether the suppliers are a sandbox's, whose prices the owner may play."""
        self._catalogue, self._overrides = catalogue, overrides
        self._watch, self._margins, self.sandbox = watch, margins, sandbox

    async def typed(self, request: Request, words: Sequence[str]) -> None:
        """`words` follow `cost`; a change is raised at once."""
        route, rates = self._wanted(words)
        await self._overrides.set(route, rates, actor=request.person.id)
        await self._watch.look()

    def _wanted(self, words: Sequence[str]) -> tuple[Route, Rates | None]:
        numbers: list[Decimal] = []
        rest = list(words)
        while rest and (number := _number(rest[-1])) is not None:
            numbers.insert(0, number)
            rest.pop()
        taken_back = bool(rest) and rest[-1].casefold() == "list" and not numbers
        rest = rest[:-1] if taken_back else rest
        if len(rest) < 2:
            raise NotUnderstood(_HOW)
        model = self._catalogue.find(" ".join(rest[:-1]))
        route = next((one for one in model.routes if one.provider == rest[-1].casefold()), None)
        if route is None:
            known = ", ".join(sorted({one.provider for one in model.routes}))
            raise NotUnderstood(_not_there(model, rest[-1], known))
        if taken_back:
            return route, None
        if len(numbers) != 1 if model.per == "second" else len(numbers) not in {2, 3}:
            raise NotUnderstood(_HOW)
        return route, _rates(model, numbers)

    async def play(self, request: Request) -> Model:
        """The sandbox's supplier of the model that is asked most raises its price by two thirds."""
        uses = await self._margins.uses()
        asked = sorted(
            self._catalogue.asked,
            key=lambda one: -sum(use.answers for use in uses.get(one.id, {}).values()),
        )
        model = asked[0] if uses else self._catalogue.default
        ground = await self._margins.of(model)
        provider = max(ground.mix.uses, key=lambda name: ground.mix.uses[name].answers)
        route = next(one for one in model.routes if one.provider == provider)
        level = ground.levels[provider]
        raised = [Rate(-(-rate * 5 // 3)) for rate in (level.input, level.output, level.cached)]
        rates = Rates(raised[0], raised[1], raised[2], raised[0])
        await self._overrides.set(route, rates, actor=request.person.id)
        await self._watch.look()
        return model


def _not_there(model: Model, supplier: str, known: str) -> Said:
    return say(
        "{supplier} doesn't serve {model}: {known} do. Nothing was changed.",
        supplier=supplier[:40],
        model=model.name,
        known=known,
    )


def _number(word: str) -> Decimal | None:
    try:
        number = Decimal(word.removeprefix("$"))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _rates(model: Model, dollars: Sequence[Decimal]) -> Rates:
    """Raises `NotUnderstood` for what is no cost; one of zero would be sold for nothing."""
    if not all(0 < one <= _MOST for one in dollars):
        raise NotUnderstood(_HOW)
    if model.per == "second":
        second = Rate(ceil(Fraction(dollars[0]) * 10**12 / 60))
        return Rates(NO_RATE, NO_RATE, NO_RATE, NO_RATE, second=second)
    rates = [Rate(ceil(Fraction(one) * 1_000_000)) for one in dollars]
    cached = rates[2] if len(rates) > 2 else rates[0]
    return Rates(rates[0], rates[1], cached, rates[0])
