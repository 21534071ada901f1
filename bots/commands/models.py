"""Choosing a model: `/models`, `/model`, and the card with its price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from cachetools import LRUCache

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, plain, say, say_count
from bots.commands.text import (
    compute_average_charge,
    describe_successor,
    format_credits,
    format_price,
    format_short_price,
)
from core.asks.quotes import RECORDING_SECONDS_MAX
from core.attachments.types import PictureSize
from core.money import Credits, Seconds
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, Model, normalize_name
from core.pricing.deals import Deals
from core.pricing.prices import Price, PriceBook
from core.users.balances import Balances
from core.users.service import Users
from core.users.types import Person

_FEATURES = {
    "high_performance": say("🌟 High performance"),
    "fast": say("⚡ Fast response"),
    "thinking": say("🧠 Thinks before it answers"),
    "long_context": say("📚 Reads long texts"),
    "cheap": say("🪙 Light on Credits"),
    "code": say("💻 Good at code"),
    "open_weights": say("🔓 Open weights"),
    "local": say("🏠 Runs on the operator's own server"),
}
#: No code of the catalogue's: the routes of a model say whether it does.
_SEES_PICTURES = say("🖼 Sees pictures")
_MAKERS_A_ROW, _MODELS_A_ROW = 3, 2
#: A cheaper model is one that the balance pays so often, where there is one.
_CHEAPER_ANSWERS = 10
#: As many as Discord shows.
_SUGGESTIONS_MAX = 25
#: (person, name) of whom it is remembered that they know where a retired name leads.
_TOLD_NAMES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class ModelArguments(Arguments):
    """What follows `/model`."""

    name: str = argument(say("The model's name"), say("name"), completion="model")


class ModelCommands:
    """The commands that list models, show their cards and choose one; menus offer what can be
    served now."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        prices: PriceBook,
        deals: Deals,
        pool: Pool,
        users: Users,
        balances: Balances,
        default_model: str,
    ) -> None:
        self.catalogue, self._prices, self._pool = catalogue, prices, pool
        self._deals = deals
        self._users, self._balances, self._default_model = users, balances, default_model
        self._told_names: LRUCache[tuple[str, str], bool] = LRUCache(maxsize=_TOLD_NAMES_MAX)

    def get_current_model(self, person: Person) -> Model:
        """The model that answers a bare question: theirs, else the operator's default, else the
        first that can be served."""
        if person.model and self.catalogue.is_unambiguous_name(person.model):
            return self.catalogue.find(person.model)
        if self._default_model:
            return self.catalogue.find(self._default_model)
        default = self.catalogue.default_model
        first = (default, *self.catalogue.chat_models)
        return next(filter(self._pool.is_servable, first), default)

    def find_model(self, name: str) -> Model:
        """The model of a name. Where there is no key for it, the one that an own server has under
        the same name; raises `UnknownModel`."""
        model = self.catalogue.find(name)
        if model.local or self._pool.has_key(model):
            return model
        return self.catalogue.find_own_model(name) or model

    def find_untold_name(self, person: Person, name: str, model: Model) -> str:
        """The name again where it has been retired, this model is its successor, and the person
        wasn't told so since this process began; else empty."""
        if not self.catalogue.is_retired(name) or self.catalogue.find(name).id != model.id:
            return ""
        return "" if (person.id, normalize_name(name)) in self._told_names else name

    def mark_told(self, person: Person, name: str) -> None:
        """They were told where the name leads."""
        self._told_names[person.id, normalize_name(name)] = True

    async def find_price(self, person: Person, model: Model) -> Price | None:
        """What a model costs them; whatever is offered to them is in it, and no other price is
        ever shown."""
        await self._deals.load_person(person.id)
        return self._find_price(person.id, model)

    async def list_prices(
        self, person: Person, models: Collection[str], limit: int
    ) -> list[Phrase]:
        """Of these models (none named: all) that can be asked now, at most so many, a line each."""
        await self._deals.load_person(person.id)
        priced = self._list_servable(person.id)
        return [
            say("{model} — {price}", model=model.name, price=format_price(price))
            for model, price in priced
            if not models or model.id in models
        ][:limit]

    async def list_seeing_models(
        self, person: Person, pictures: Sequence[PictureSize]
    ) -> list[Model]:
        """The models that see so many pictures and can be asked now, the cheapest first."""
        await self._deals.load_person(person.id)
        rates = {
            model: _compute_usual_rate(price)
            for model, price in self._list_servable(person.id)
            if self._can_see(model, pictures)
        }
        return sorted(rates, key=rates.__getitem__)

    async def find_cheaper_model(
        self,
        person: Person,
        model: Model,
        *,
        needed: Credits,
        available: Credits,
        pictures: Sequence[PictureSize] = (),
    ) -> Model | None:
        """A model that somebody can pay for who can't pay what this one needs, and that sees the
        pictures: the dearest of those that `available` pays for ten times, else the cheapest; None
        where none is paid for."""
        await self._deals.load_person(person.id)
        own = self._find_price(person.id, model)
        if own is None:
            return None
        own_rate = _compute_usual_rate(own)
        rates = {
            other: _compute_usual_rate(price)
            for other, price in self._list_servable(person.id)
            if other.id != model.id and (not pictures or self._can_see(other, pictures))
        }

        def is_paid(rate: int, times: int) -> bool:
            return rate < own_rate and rate * needed.units * times <= available.units * own_rate

        often = [other for other, rate in rates.items() if is_paid(rate, _CHEAPER_ANSWERS)]
        if often:
            return max(often, key=rates.__getitem__)
        once = [other for other, rate in rates.items() if is_paid(rate, 1)]
        return min(once, key=rates.__getitem__, default=None)

    def _can_see(self, model: Model, pictures: Sequence[PictureSize]) -> bool:
        """Whether a key serves it now by a route that sees so many."""
        return self._pool.is_servable(model, pictures=tuple(pictures), has_files=True)

    def _find_price(self, person: str, model: Model) -> Price | None:
        deal = self._deals.find_deal(person, model.id)
        return None if deal is None else deal.price

    def suggest_models(self, typed: str) -> list[tuple[str, Phrase]]:
        """Models that can be asked now and whose name holds what was typed, with their prices."""
        wanted = typed.casefold().split()
        found = []
        for model, price in self._list_servable(""):
            words = " ".join((model.id, model.name, model.maker, *model.aliases)).casefold()
            if all(word in words for word in wanted):
                label = say("{model} — {price}", model=model.name, price=format_price(price))
                found.append((model.id, label))
        return found[:_SUGGESTIONS_MAX]

    def _list_servable(self, person: str) -> list[tuple[Model, Price]]:
        return self._list_priced(person, self.catalogue.chat_models)

    def _list_priced(self, person: str, models: Iterable[Model]) -> list[tuple[Model, Price]]:
        """Those that can be served now, with their prices for somebody."""
        priced = ((model, self._find_price(person, model)) for model in models)
        return [
            (model, price)
            for model, price in priced
            if price is not None and self._pool.is_servable(model)
        ]

    @command(
        "models",
        title=say("Models"),
        description=say("All models and their prices"),
        allowed_in_groups=True,
    )
    @action("models")
    async def models(self, request: Request) -> Reply:
        """Who makes them; a press shows theirs."""
        await self._prices.refresh()
        await self._deals.load_person(request.person.id)
        makers: defaultdict[str, int] = defaultdict(int)
        for model, _ in self._list_servable(request.person.id):
            makers[model.maker] += 1
        if not makers:
            return Reply((say("No model is available right now. Try again in a minute."),))
        choices = [
            Choice(plain(f"{maker} · {number}"), "maker", {"maker": maker})
            for maker, number in makers.items()
        ]
        current = self.get_current_model(request.person)
        return Reply(
            title=say("Models"),
            lines=(
                say_count(
                    "{count} model is available. Yours: {model}.",
                    "{count} models are available. Yours: {model}.",
                    sum(makers.values()),
                    model=current.name,
                ),
                say("Choose a maker, or name a model: /model gpt-4"),
                *(
                    say("🎤 {model} — {price}", model=model.name, price=format_price(price))
                    for model, price in self._list_priced(
                        request.person.id, self.catalogue.audio_models
                    )
                ),
            ),
            choices=_split_rows(choices, _MAKERS_A_ROW),
            replace=True,
        )

    @action("maker")
    async def list_maker_models(self, request: Request) -> Reply:
        """One maker's models with their prices."""
        maker = str(request.data["maker"])
        await self._deals.load_person(request.person.id)
        served = self._list_servable(request.person.id)
        theirs = [(model, price) for model, price in served if model.maker == maker]
        heading = (say("Credits for"), say("1K tokens"), say("an answer"))
        table = [
            (
                plain(model.name),
                format_short_price(price),
                plain(f"≈ {compute_average_charge(price).units:,}"),
            )
            for model, price in theirs
        ]
        choices = [Choice(plain(model.name), "card", {"model": model.id}) for model, _ in theirs]
        return Reply(
            title=plain(maker),
            lines=(say("An answer: an average one, 1,000 tokens with what is read for it."),),
            table=(heading, *table),
            choices=(
                *_split_rows(choices, _MODELS_A_ROW),
                (Choice(say("‹ All makers"), "models"),),
            ),
            replace=True,
        )

    @action("card")
    async def show_model(self, request: Request) -> Reply:
        """One model's card."""
        model = self.catalogue.find(str(request.data["model"]))
        return await self._model_card(request, model, replace=True)

    @command(
        "model",
        title=say("Model"),
        description=say("Your current model, or choose another"),
        arguments=ModelArguments,
        allowed_in_groups=True,
    )
    async def model(self, request: Request, given: ModelArguments) -> Reply:
        """Without a name the current model's card; with one, that is chosen."""
        if not given.name:
            return await self._model_card(request, self.get_current_model(request.person))
        return await self._choose_model(request, given.name)

    @action("use")
    async def use_model(self, request: Request) -> Reply:
        """Use this model from now on."""
        return await self._choose_model(request, str(request.data["model"]), replace=True)

    async def _choose_model(self, request: Request, name: str, *, replace: bool = False) -> Reply:
        model = self.find_model(name)
        if model.per == "second":  # it hears, but answers nobody
            return await self._model_card(request, model, replace=replace)
        await self._users.update_settings(request.person, model=model.id)
        lines: list[Phrase] = [say("{model} answers you from now on.", model=model.name)]
        if self.catalogue.is_retired(name) and self.catalogue.find(name).id == model.id:
            lines.append(describe_successor(name, model))
            self.mark_told(request.person, name)
        price = await self.find_price(request.person, model)
        if price is not None:
            lines.append(format_price(price))
        if not self._pool.is_servable(model):
            lines.append(say("It isn't available right now; it will be again soon."))
        return Reply(tuple(lines), replace=replace)

    async def _model_card(self, request: Request, model: Model, *, replace: bool = False) -> Reply:
        person = request.person
        await self._prices.refresh()
        price = await self.find_price(person, model)
        lines: list[Phrase] = []
        if price is not None:
            lines.append(format_price(price))
        if price is not None and len(set(price.format_per_1k())) > 1:
            charge = format_credits(compute_average_charge(price))
            lines.append(say("An average answer: ≈ {charge}", charge=charge))
        lines += [_FEATURES[feature] for feature in model.features if feature in _FEATURES]
        if model.sees_pictures:
            lines.append(_SEES_PICTURES)
        lines.append(_abilities_line(model))
        if price is not None and request.place.private:
            lines.append(await self._balance_worth_line(person, price))
        is_current = self.get_current_model(person).id == model.id
        choice = (
            Choice(say("Choose another"), "models")
            if is_current or model.per == "second"
            else Choice(say("Use this model"), "use", {"model": model.id})
        )
        back = Choice(say("‹ Back"), "maker", {"maker": model.maker})
        return Reply(
            title=plain(model.name),
            lines=tuple(lines),
            choices=((choice, back),) if choice.action == "use" else ((choice,),),
            replace=replace,
        )

    async def _balance_worth_line(self, person: Person, price: Price) -> Phrase:
        available = (await self._balances.for_user(person.id)).available
        if price.per == "second":
            hour = price.calculate_audio_charge(Seconds(3_600))
            minutes = max(0, available.units) * 60 // hour.units
            return say_count(
                "≈ {count} minute with your {have} Credits",
                "≈ {count} minutes with your {have} Credits",
                minutes,
                have=available,
            )
        return say(
            "≈ {count} average answers with your {have} Credits",
            count=max(0, available.units) // compute_average_charge(price).units,
            have=available,
        )


def _abilities_line(model: Model) -> Phrase:
    if model.per == "second":
        return say_count(
            "🎤 Transcribes voice messages and audio files of up to {count} minute: send one.",
            "🎤 Transcribes voice messages and audio files of up to {count} minutes: send one.",
            RECORDING_SECONDS_MAX.units // 60,
        )
    return say(
        "Reads up to {context} tokens; answers usually stop at {limit}.",
        context=model.prompt_limit,
        limit=model.answer_limit,
    )


def _split_rows(choices: list[Choice], width: int) -> tuple[tuple[Choice, ...], ...]:
    return tuple(tuple(choices[at : at + width]) for at in range(0, len(choices), width))


def _compute_usual_rate(price: Price) -> int:
    """What a thousand average answers cost, in Credits: no rounding hides which price is lower."""
    return compute_average_charge(price, answers=1_000).units
