"""Choosing a model: `/models`, `/model`, and the card with its price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, plain, say
from bots.commands.text import average_answer, price_line
from core.asks.admission import RECORDING_SECONDS_MAX
from core.money import Seconds
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, Model
from core.pricing.deals import Deals
from core.pricing.prices import Price, PriceBook
from core.users.balances import Purses
from core.users.service import People
from core.users.types import Person

_FEATURES = {
    "high_performance": say("🌟 High performance"),
    "fast": say("⚡ Fast response"),
    "thinking": say("🧠 Thinks before it answers"),
    "long_context": say("📚 Reads long texts"),
    "cheap": say("🪙 Light on Credits"),
    "code": say("💻 Good at code"),
    "open_weights": say("🔓 Open weights"),
    "vision": say("👁 Understands pictures"),
    "local": say("🏠 Runs on the operator's own server"),
}
_MAKERS_A_ROW, _MODELS_A_ROW = 3, 2
#: As many as Discord shows.
_SUGGESTIONS_MAX = 25


class Choosing:
    """The commands that list models, show their cards and choose one; menus offer what can be
    served now."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        prices: PriceBook,
        deals: Deals,
        pool: Pool,
        people: People,
        purses: Purses,
        default_model: str,
    ) -> None:
        self._catalogue, self._prices, self._pool = catalogue, prices, pool
        self._deals = deals
        self._people, self._purses, self._default = people, purses, default_model

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "models",
                    title=say("Models"),
                    does=say("All models and their prices"),
                    handler=self.models,
                    in_groups=True,
                ),
                Command(
                    "model",
                    title=say("Model"),
                    does=say("Your current model, or choose another"),
                    usage=say("/model [name]"),
                    options=(Option("name", say("The model's name"), completes="model"),),
                    handler=self.model,
                    in_groups=True,
                ),
            ),
            actions=(
                Action("models", self.models),
                Action("maker", self.maker),
                Action("card", self.card),
                Action("use", self.use),
            ),
        )

    def current(self, person: Person) -> Model:
        """The model that answers a bare question: theirs, else the operator's default, else the
        first that can be served."""
        if person.model and self._catalogue.has(person.model):
            return self._catalogue.find(person.model)
        if self._default:
            return self._catalogue.find(self._default)
        default = self._catalogue.default
        first = (default, *self._catalogue.asked)
        return next(filter(self._pool.serves, first), default)

    async def price(self, person: Person, model: Model) -> Price | None:
        """What a model costs them; whatever is offered to them is in it, and no other price is
        ever shown."""
        await self._deals.know(person.id)
        return self._price(person.id, model)

    async def prices(self, person: Person, models: Collection[str], most: int) -> list[Said]:
        """Of these models (none named: all) that can be asked now, at most so many, a line each."""
        await self._deals.know(person.id)
        served = self._served(person.id)
        return [
            say("{model} — {price}", model=model.name, price=price_line(price))
            for model, price in served
            if not models or model.id in models
        ][:most]

    def _price(self, person: str, model: Model) -> Price | None:
        deal = self._deals.price(person, model.id)
        return None if deal is None else deal.price

    def suggestions(self, typed: str) -> list[tuple[str, Said]]:
        """Models that can be asked now and whose name holds what was typed, with their prices."""
        wanted = typed.casefold().split()
        found = []
        for model, price in self._served(""):
            words = " ".join((model.id, model.name, model.maker, *model.aliases)).casefold()
            if all(word in words for word in wanted):
                label = say("{model} — {price}", model=model.name, price=price_line(price))
                found.append((model.id, label))
        return found[:_SUGGESTIONS_MAX]

    def _served(self, person: str) -> list[tuple[Model, Price]]:
        return self._priced(person, self._catalogue.asked)

    def _priced(self, person: str, models: Iterable[Model]) -> list[tuple[Model, Price]]:
        """Those that can be served now, with their prices for somebody."""
        priced = ((model, self._price(person, model)) for model in models)
        return [
            (model, price)
            for model, price in priced
            if price is not None and self._pool.serves(model)
        ]

    async def models(self, request: Request) -> Reply:
        """Who makes them; a press shows theirs."""
        await self._prices.refresh()
        await self._deals.know(request.person.id)
        makers: defaultdict[str, int] = defaultdict(int)
        for model, _ in self._served(request.person.id):
            makers[model.maker] += 1
        if not makers:
            return Reply((say("No model can be served right now. Try again in a minute."),))
        choices = [
            Choice(plain(f"{maker} · {number}"), "maker", {"maker": maker})
            for maker, number in makers.items()
        ]
        current = self.current(request.person)
        return Reply(
            title=say("Models"),
            lines=(
                say(
                    "{count} models can be asked now. Yours: {model}.",
                    count=sum(makers.values()),
                    model=current.name,
                ),
                say("Choose a maker, or name a model: /model gpt-4"),
                *(
                    say("🎤 {model} — {price}", model=model.name, price=price_line(price))
                    for model, price in self._priced(request.person.id, self._catalogue.hearing)
                ),
            ),
            choices=_rows(choices, _MAKERS_A_ROW),
            replace=True,
        )

    async def maker(self, request: Request) -> Reply:
        """One maker's models with their prices."""
        maker = str(request.data["maker"])
        await self._deals.know(request.person.id)
        served = self._served(request.person.id)
        theirs = [(model, price) for model, price in served if model.maker == maker]
        heading = (say("Model"), say("Credits / 1K tokens"))
        table = [(plain(model.name), _short_price(price)) for model, price in theirs]
        choices = [Choice(plain(model.name), "card", {"model": model.id}) for model, _ in theirs]
        return Reply(
            title=plain(maker),
            table=(heading, *table),
            choices=(
                *_rows(choices, _MODELS_A_ROW),
                (Choice(say("‹ All makers"), "models"),),
            ),
            replace=True,
        )

    async def card(self, request: Request) -> Reply:
        """One model's card."""
        model = self._catalogue.find(str(request.data["model"]))
        return await self._card(request.person, model, replace=True)

    async def model(self, request: Request) -> Reply:
        """Without a name the current model's card; with one, that is chosen."""
        if not request.text:
            return await self._card(request.person, self.current(request.person))
        return await self._choose(request, request.text)

    async def use(self, request: Request) -> Reply:
        """Use this model from now on."""
        return await self._choose(request, str(request.data["model"]), replace=True)

    async def _choose(self, request: Request, name: str, *, replace: bool = False) -> Reply:
        model = self._catalogue.find(name)
        if model.per == "second":  # it hears, but answers nobody
            return await self._card(request.person, model, replace=replace)
        await self._people.change(request.person, model=model.id)
        lines: list[Said] = [say("{model} answers you from now on.", model=model.name)]
        if self._catalogue.is_retired(name):
            lines.append(
                say(
                    "“{name}” has been retired; {model} is its successor.",
                    name=name,
                    model=model.name,
                )
            )
        price = await self.price(request.person, model)
        if price is not None:
            lines.append(price_line(price))
        if not self._pool.serves(model):
            lines.append(say("It can't be served right now; it will be when a key is free."))
        return Reply(tuple(lines), replace=replace)

    async def _card(self, person: Person, model: Model, *, replace: bool = False) -> Reply:
        await self._prices.refresh()
        price = await self.price(person, model)
        lines: list[Said] = []
        if price is not None:
            lines.append(price_line(price))
        lines += [_FEATURES[feature] for feature in model.features if feature in _FEATURES]
        lines.append(_abilities(model))
        if price is not None:
            lines.append(await self._worth(person, price))
        mine = self.current(person).id == model.id
        choice = (
            Choice(say("Choose another"), "models")
            if mine or model.per == "second"
            else Choice(say("Use this model"), "use", {"model": model.id})
        )
        back = Choice(say("‹ Back"), "maker", {"maker": model.maker})
        return Reply(
            title=plain(model.name),
            lines=tuple(lines),
            choices=((choice, back),) if choice.action == "use" else ((choice,),),
            replace=replace,
        )

    async def _worth(self, person: Person, price: Price) -> Said:
        have = (await self._purses.of(person.id)).have
        if price.per == "second":
            hour = price.charge_seconds(Seconds(3_600))
            minutes = max(0, have.units) * 60 // hour.units
            return say("≈ {count} minutes with your {have} Credits", count=minutes, have=have)
        return say(
            "≈ {count} average answers with your {have} Credits",
            count=max(0, have.units) // average_answer(price).units,
            have=have,
        )


def _abilities(model: Model) -> Said:
    if model.per == "second":
        return say(
            "🎤 Writes down voice messages and audio files of up to {count} minutes: send one.",
            count=RECORDING_SECONDS_MAX.units // 60,
        )
    return say(
        "Reads up to {context} tokens; answers usually stop at {limit}.",
        context=model.context,
        limit=model.answer_limit,
    )


def _short_price(price: Price) -> Said:
    inward, outward = price.per_1k()
    return plain(inward if inward == outward else f"{inward} · {outward}")


def _rows(choices: list[Choice], width: int) -> tuple[tuple[Choice, ...], ...]:
    return tuple(tuple(choices[at : at + width]) for at in range(0, len(choices), width))
