"""`/setprice`: a price from now or a time on, what it does to the margin, and its undoing.

What an operator types (`gpt-4 5 15 at 18:30`, `whisper 0.04/s in 2h`) is parsed here, and prices
and margins are put into words here; only operators read margins. A new price has a button by which
people are told of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final, Self

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.i18n import get_zone
from bots.chat.reply import Choice, Phrase, Reply, plain, say, say_count
from bots.commands.arguments import make_usage_error, shorten
from bots.commands.text import format_percent, format_price
from core.clock import DAY_MS, Clock, as_datetime, as_ms
from core.jobs.notifications import Notification
from core.money import MicroCredits
from core.pricing.catalogue import Catalogue, Model, UnknownModel
from core.pricing.prices import KIND_PERCENT_MAX, KindPercents, NewPrice, Price, PriceBook
from core.pricing.rates import Per
from core.repricing.announcements import PriceAnnouncements
from core.repricing.margins import MarginBasis, Margins
from core.repricing.price_changes import PriceChange, PriceChanges, PriceNotUndoable

#: The form that answers what was wrong; the others stand in `/help setprice`.
_FORMS: Final = {
    "price": plain("/setprice gpt-4 5"),
    "audio": plain("/setprice whisper 2"),
    "time": say("/setprice gpt-4 6 at 18:30, or in 2h, or 2026-03-01 09:00"),
    "percent": plain("/setprice gpt-4 5 cached 20% pictures 120%"),
}
_DETAILS: Final = (
    say("/setprice gpt-4 5 — Credits per 1K tokens"),
    say("/setprice gpt-4 5 15 — with a second price, for answers"),
    say("/setprice gpt-4 6 at 18:30 — from a time on, your time; also: in 2h, 2026-03-01 09:00"),
    say(
        "/setprice gpt-4 5 15 cached 20% pictures 120% — what suppliers read from their caches, and"
        " pictures, in per cent of the price in"
    ),
    say("/setprice whisper 2 — audio: Credits per minute; per second: 0.04/s"),
    say("/setprice gpt-4 undo — back to the price before"),
)


@dataclass(frozen=True, slots=True)
class SetPriceArguments(Arguments):
    """What follows `/setprice`."""

    model: str = argument(say("The model's name"), say("model"), required=True, completion="model")
    price: str = argument(say("Credits per 1K tokens, or undo"), say("price"), required=True)
    price_out: str = argument(say("Credits per 1K tokens of the answer"), say("price out"))
    at: str = argument(say("From when on: 18:30, in 2h, 2026-03-01 09:00"), say("at time"))
    cached: str = argument(say("Per cent of the price in, for tokens of a supplier's cache"))
    pictures: str = argument(say("Per cent of the price in, for tokens of pictures"))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """A model's name may have spaces: what follows it is read from the end."""
        text, at = f" {text.strip()}", ""
        if (found := _TIME_PATTERN.search(text)) is not None:
            text, at = text[: found.start()], found[0].strip()
        percents = {"cached": "", "pictures": ""}
        while (found := _PERCENT_PATTERN.search(text)) is not None:
            text, percents[found["kind"]] = text[: found.start()], found["percent"]
        words, prices = text.split(), [""]
        while len(words) > 1 and len(prices) < 3 and _is_price(words[-1]):
            prices.insert(0, words.pop())
        return cls(" ".join(words), prices[0], "".join(prices[1:]), at, **percents)


class SetPriceCommands:
    """The commands that set prices by hand; every act is authorised again at each press."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        prices: PriceBook,
        price_changes: PriceChanges,
        margins: Margins,
        clock: Clock,
    ) -> None:
        self._catalogue, self._prices = catalogue, prices
        self._price_changes, self._margins, self._clock = price_changes, margins, clock

    @command(
        "setprice",
        title=say("Set price"),
        description=say("Set a model's price in Credits per 1K tokens"),
        arguments=SetPriceArguments,
        details=_DETAILS,
        admin_only=True,
    )
    async def setprice(self, request: Request, given: SetPriceArguments) -> Reply:
        """A new price; one that moves by more than half asks first."""
        await self._prices.refresh()
        if given.model and given.price.casefold() == "undo":
            return await self._undo_price(request, self._find_newest_price(given.model))
        new, at_ms = self._parse_price(request, given)
        return await self.set_or_confirm(request, new, at_ms)

    async def set_or_confirm(
        self, request: Request, new: NewPrice, at_ms: int | None = None
    ) -> Reply:
        """Sets the price, or asks first; `request` may be a button press."""
        now = self._clock.now_ms()
        old = self._prices.find_at(new.model, now if at_ms is None else at_ms)
        if old is None or not is_large_move(old, new):
            return await self._set_price(request, new, at_ms)
        model = self._catalogue.find(new.model)
        percents = new.percents or old.percents
        shown = replace(
            old, input_rate=new.input_rate, output_rate=new.output_rate, percents=percents
        )
        ground = await self._margins.get_basis(model)
        data: dict[str, str | int] = {
            "model": model.id,
            "inward": new.input_rate.units,
            "outward": new.output_rate.units,
            "at": at_ms or 0,
            "cached": percents.cached,
            "picture": percents.picture,
        }
        return Reply(
            lines=(
                say(
                    "That moves {model} by more than half: from {old} to {new}.",
                    model=model.name,
                    old=format_price(old),
                    new=format_price(shown),
                ),
                *list_margin_change(ground, shown, old),
            ),
            choices=(
                (
                    Choice(say("Yes, change it"), "price-now", data, once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    @action("price-now", admin_only=True)
    async def price_now(self, request: Request) -> Reply:
        """Confirmed."""
        model, at = self._catalogue.find(str(request.data["model"])), int(request.data["at"])
        rates = (
            MicroCredits(int(request.data["inward"])),
            MicroCredits(int(request.data["outward"])),
        )
        percents = KindPercents(int(request.data["cached"]), int(request.data["picture"]))
        new = NewPrice(model.id, *rates, model.per, percents)
        reply = await self._set_price(request, new, at or None)
        return replace(reply, replace=True)

    @action("price-undo", admin_only=True)
    async def price_undo(self, request: Request) -> Reply:
        """By the button under a change."""
        return replace(await self._undo_price(request, str(request.data["price"])), replace=True)

    async def _undo_price(self, request: Request, price_id: str) -> Reply:
        change = await self._price_changes.undo_price(
            price_id, actor=request.person.id, cause=request.cause
        )
        return await self.make_change_card(change)

    async def _set_price(self, request: Request, new: NewPrice, at_ms: int | None) -> Reply:
        change = await self._price_changes.set_price(
            new, actor=request.person.id, at_ms=at_ms, cause=request.cause
        )
        return await self.make_change_card(change)

    async def make_change_card(self, change: PriceChange) -> Reply:
        """What a change did."""
        model, new = self._catalogue.find(change.new.model), change.new
        now, ground = self._clock.now_ms(), await self._margins.get_basis(model)
        lines = [
            describe_price_change(model, change.old, new, now_ms=now),
            *list_margin_change(ground, new, change.old),
            *_list_percents(new),
            say("Questions asked before keep the price that they were quoted."),
        ]
        upcoming = self._prices.find_upcoming(model.id)
        if upcoming is not None and upcoming.id != new.id:
            lines.append(describe_upcoming(upcoming))
        undo = Choice(say("↩ Undo"), "price-undo", {"price": new.id}, once=True)
        choices = ((undo,),) if self._price_changes.find_price_before(new) is not None else ()
        return Reply(lines=tuple(lines), choices=choices, private=True)

    def _parse_price(
        self, request: Request, given: SetPriceArguments
    ) -> tuple[NewPrice, int | None]:
        now, zone = self._clock.now_ms(), request.person.zone
        try:
            price_input = parse_price_input(given, self._catalogue, now_ms=now, zone=zone)
        except ValueError:
            is_audio = self._is_audio(given.model)
            wrong, form = _describe_wrong(given, now, zone, is_audio=is_audio)
            raise make_usage_error(wrong, _describe_form(form)) from None
        new = NewPrice(
            price_input.model.id,
            price_input.input_rate,
            price_input.output_rate,
            price_input.model.per,
            self._find_percents(price_input),
        )
        return new, price_input.at_ms

    def _find_percents(self, price_input: PriceInput) -> KindPercents | None:
        """Those that were typed, the others as they are."""
        typed = price_input.cached_percent, price_input.picture_percent
        if typed == (None, None):
            return None
        newest = self._prices.find_newest(price_input.model.id)
        known = KindPercents() if newest is None else newest.percents
        cached, picture = typed
        return KindPercents(
            known.cached if cached is None else cached,
            known.picture if picture is None else picture,
        )

    def _is_audio(self, name: str) -> bool:
        try:
            return self._catalogue.find(name).per == "second"
        except UnknownModel:
            return False

    def _find_newest_price(self, name: str) -> str:
        newest = self._prices.find_newest(self._catalogue.find(name).id)
        if newest is None:
            raise PriceNotUndoable
        return newest.id


def is_large_move(old: Price, new: NewPrice) -> bool:
    """Whether a side moves by more than 50 %."""
    return any(
        2 * abs(then.units - was.units) > was.units
        for was, then in ((old.input_rate, new.input_rate), (old.output_rate, new.output_rate))
    )


def _list_percents(price: Price) -> list[Phrase]:
    """What kinds of tokens cost, where any costs something of its own."""
    if price.per == "second" or price.percents == KindPercents():
        return []
    return [
        say(
            "Of a prompt's price, tokens that a supplier read from its cache cost {cached}, tokens"
            " of pictures {picture}.",
            cached=format_percent(price.percents.cached),
            picture=format_percent(price.percents.picture),
        )
    ]


def describe_upcoming(upcoming: Price) -> Phrase:
    """A price that is set already."""
    return say(
        "Already scheduled: {price} from {time} on.",
        price=format_price(upcoming),
        time=as_datetime(upcoming.effective_at),
    )


_PRICE_MAX: Final = Decimal(100_000)
#: A price isn't set further ahead.
_AHEAD_MAX: Final = timedelta(days=366)
_MS_PER_UNIT: Final = {"m": 60_000, "min": 60_000, "h": 3_600_000, "d": DAY_MS}
_TIME_PATTERN: Final = re.compile(
    r"\s+(?:(?:at|from)\s+)?"
    r"(?:in\s+(?P<count>\d{1,5})\s*(?P<length>m|min|h|d)"
    r"|(?P<day>\d{4}-\d\d-\d\d)(?:[ T](?P<hour>\d\d?:\d\d))?"
    r"|(?P<clock>\d\d?:\d\d))$"
)
_PERCENT_PATTERN: Final = re.compile(r"\s+(?P<kind>cached|pictures)\s+(?P<percent>\d{1,4}\s*%)$")
_TIME_WORDS: Final = frozenset({"at", "from", "in"})
_RATE_UNITS: Final = {"s": "second", "sec": "second", "min": "minute", "1k": "1k"}


@dataclass(frozen=True, slots=True)
class PriceInput:
    """A price as it was typed, and from when on in milliseconds UTC; None: from now on."""

    model: Model
    input_rate: MicroCredits
    output_rate: MicroCredits
    at_ms: int | None
    #: None where none was typed.
    cached_percent: int | None = None
    picture_percent: int | None = None


def parse_price_input(
    given: SetPriceArguments, catalogue: Catalogue, *, now_ms: int, zone: str
) -> PriceInput:
    """Reads a price. Raises ValueError when it isn't one, or its time is over or too far ahead,
    and `UnknownModel`."""
    at_ms = _parse_time(given.at, now_ms, zone) if given.at else None
    numbers = [_parse_number(text) for text in (given.price, given.price_out) if text]
    if not given.model or not numbers:
        raise ValueError(given.price)
    model = catalogue.find(given.model)
    rates = []
    for number in numbers:
        if number is None:
            raise ValueError(given.price)
        rates.append(_parse_rate(model, *number))
    if model.per == "second" and len(rates) > 1:
        raise ValueError(given.price_out)
    cached = _parse_percent(given.cached, 100)
    pictures = _parse_percent(given.pictures, KIND_PERCENT_MAX)
    if model.per == "second" and (cached, pictures) != (None, None):
        raise ValueError(given.cached or given.pictures)
    return PriceInput(model, rates[0], rates[-1], at_ms, cached, pictures)


def _parse_percent(text: str, most: int) -> int | None:
    """`20%`, `20 %`, `20`; None where nothing was typed."""
    if not text:
        return None
    percent = int(text.strip().removesuffix("%"))
    if not 0 <= percent <= most:
        raise ValueError(text)
    return percent


def _describe_form(form: str) -> Phrase:
    return say(
        "Write it like this: {form}. All forms: /help setprice. Nothing was changed.",
        form=_FORMS[form],
    )


def _describe_wrong(
    given: SetPriceArguments, now_ms: int, zone: str, *, is_audio: bool
) -> tuple[Phrase, str]:
    """What of a price that can't be read is wrong, and by which form it is written; `is_audio`: it
    is of a model of audio."""
    words, priced = given.model.split(), "audio" if is_audio else "price"
    time_text = _find_wrong_time(given, now_ms, zone)
    if time_text:
        word = shorten(time_text)
        return say("“{word}” is no time that is still to come.", word=word), "time"
    wrong = _describe_wrong_percent(given, is_audio=is_audio)
    if wrong is not None:
        return wrong, "audio" if is_audio else "percent"
    if words and given.price:
        return _describe_wrong_price(given, is_audio=is_audio), priced
    if len(words) > 1:
        return say("“{word}” is no price.", word=shorten(words[-1])), priced
    return say("A model and a price are needed."), priced


def _find_wrong_time(given: SetPriceArguments, now_ms: int, zone: str) -> str:
    """What was meant as a time and is none to come; empty where nothing was."""
    if given.at:
        try:
            _parse_time(given.at, now_ms, zone)
        except ValueError:
            return given.at
    words = [] if given.price else given.model.split()
    begins = next((n for n, word in enumerate(words) if n and word in _TIME_WORDS), len(words))
    return " ".join(words[begins:])


def _describe_wrong_percent(given: SetPriceArguments, *, is_audio: bool) -> Phrase | None:
    for text, most in ((given.cached, 100), (given.pictures, KIND_PERCENT_MAX)):
        try:
            percent = _parse_percent(text, most)
        except ValueError:
            return say("“{word}” is no per cent from 0 to {most}.", word=shorten(text), most=most)
        if percent is not None and is_audio:
            return say("Audio has one price, of a minute.")
    return None


def _describe_wrong_price(given: SetPriceArguments, *, is_audio: bool) -> Phrase:
    if is_audio and given.price_out:
        return say("Audio has one price, of a minute.")
    for text in filter(None, (given.price, given.price_out)):
        number = _parse_number(text)
        if number is None:
            return say("“{word}” is no price.", word=shorten(text))
        if number[0] <= 0:
            return say("A price is above zero, not {price}.", price=shorten(text))
    return say("{price} has too many digits, or is too high.", price=shorten(given.price))


def _parse_time(text: str, now_ms: int, zone: str) -> int:
    found = _TIME_PATTERN.fullmatch(f" {text}")
    if found is None:
        raise ValueError(text)
    at = _parse_moment(found, now_ms, zone)
    if not now_ms <= at <= now_ms + _AHEAD_MAX // timedelta(milliseconds=1):
        raise ValueError(text)
    return at


def _parse_moment(found: re.Match[str], now_ms: int, zone: str) -> int:
    if found["count"]:
        return now_ms + int(found["count"]) * _MS_PER_UNIT[found["length"]]
    here = get_zone(zone)
    hour = time.fromisoformat((found["hour"] or found["clock"] or "0:00").rjust(5, "0"))
    if found["day"]:
        return as_ms(datetime.combine(datetime.fromisoformat(found["day"]).date(), hour, here))
    today = as_datetime(now_ms).astimezone(here).date()
    at = as_ms(datetime.combine(today, hour, here))
    if at < now_ms:
        at = as_ms(datetime.combine(today + timedelta(days=1), hour, here))
    return at


def _is_price(word: str) -> bool:
    return word.casefold() == "undo" or _parse_number(word) is not None


def _parse_number(word: str) -> tuple[Decimal, str] | None:
    """A number and the unit behind its slash; None for other words."""
    digits, slash, unit = word.partition("/")
    if slash and unit not in _RATE_UNITS:
        return None
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return None
    if "_" in digits:  # programs write that, people don't
        return None
    return (number, _RATE_UNITS.get(unit, "")) if number.is_finite() else None


def _parse_rate(model: Model, number: Decimal, unit: str) -> MicroCredits:
    """Micro-Credits per token or second. A minute's price is rounded down, so that no minute costs
    a Credit more than was typed."""
    audio = model.per == "second"
    if not 0 < number <= _PRICE_MAX or (unit and audio != (unit in {"second", "minute"})):
        raise ValueError(number)
    if unit == "second":
        micro = number * 1_000_000
        if micro != int(micro):
            raise ValueError(number)
        return MicroCredits(int(micro))
    per_token = number * 1_000
    if per_token != int(per_token):
        raise ValueError(number)
    if audio:
        return MicroCredits(max(1, int(per_token) * 1_000 // 60))
    return MicroCredits(int(per_token))


def format_margin(margin: int | None) -> Phrase:
    """`+66 %`, `−21 %`, `0 %`; a dash where it is unknown."""
    return plain("–") if margin is None else format_percent(margin, signed=True)


def describe_price_change(model: Model, old: Price | None, new: Price, *, now_ms: int) -> Phrase:
    """What a model costs, from when on, and what it cost before."""
    if new.effective_at > now_ms:
        return say(
            "{model}: {new} from {time} on (until then: {old})",
            model=model.name,
            new=format_price(new),
            old=format_price(old) if old is not None else plain("–"),
            time=as_datetime(new.effective_at),
        )
    if old is None:
        return say("{model}: {new}", model=model.name, new=format_price(new))
    return say(
        "{model}: {new} (before: {old})",
        model=model.name,
        new=format_price(new),
        old=format_price(old),
    )


def list_margin_change(basis: MarginBasis, new: Price, old: Price | None) -> list[Phrase]:
    """Profit on cost at par by the usual mix, and by the real one where people asked."""
    if not basis.rates:
        return [say("No supplier's cost is known for {model}.", model=basis.model.name)]
    levels = basis.rates
    before = (
        format_margin(basis.usual_usage.calculate_margin(old, levels))
        if old is not None
        else plain("–")
    )
    told = (
        say("Profit on cost: {percent} (before: {before})")  # seconds have no mix
        if basis.model.per == "second"
        else say("Profit on cost at the usual mix: {percent} (before: {before})")
    )
    percent = format_margin(basis.usual_usage.calculate_margin(new, levels))
    lines = [Phrase(told.text, {"percent": percent, "before": before})]
    if basis.real_usage is not None:
        before = (
            format_margin(basis.real_usage.calculate_margin(old, levels))
            if old is not None
            else plain("–")
        )
        lines.append(
            say_count(
                "On the real mix of the last 30 days ({count} answer): {percent} (before:"
                " {before})",
                "On the real mix of the last 30 days ({count} answers): {percent} (before:"
                " {before})",
                basis.real_usage.answers,
                percent=format_margin(basis.real_usage.calculate_margin(new, levels)),
                before=before,
            )
        )
    return lines


def list_margins(basis: MarginBasis, price: Price) -> list[Phrase]:
    """Profit on cost of a price that holds, by both mixes."""
    told = (
        say("Profit on cost: {percent}")
        if basis.model.per == "second"
        else say("Profit on cost at the usual mix: {percent}")
    )
    percent = format_margin(basis.usual_usage.calculate_margin(price, basis.rates))
    lines = [Phrase(told.text, {"percent": percent})]
    if basis.real_usage is not None:
        lines.append(
            say_count(
                "On the real mix of the last 30 days ({count} answer): {percent}",
                "On the real mix of the last 30 days ({count} answers): {percent}",
                basis.real_usage.answers,
                percent=format_margin(basis.real_usage.calculate_margin(price, basis.rates)),
            )
        )
    return lines


class PriceAnnouncementCommands:
    """The action that announces a new price to the people who use its model."""

    def __init__(
        self, *, catalogue: Catalogue, prices: PriceBook, announcements: PriceAnnouncements
    ) -> None:
        self._catalogue, self._prices, self._announcements = catalogue, prices, announcements

    @action("price-tell", admin_only=True)
    async def price_tell(self, request: Request) -> Reply:
        """Writes to everyone who asked the model in the last 30 days, once."""
        await self._prices.refresh()
        old, new = (self._prices.find_by_id(str(request.data[which])) for which in ("old", "new"))
        if old is None or new is None:
            return Reply(lines=(say("That price is no longer known here."),), private=True)
        model = self._catalogue.find(new.model)
        count = await self._announcements.announce_price(model.name, old, new)
        told = say("{count} people who use {model} are told.", count=count, model=model.name)
        return Reply(lines=(told,), private=True)


def make_announce_choices(change: PriceChange) -> tuple[Choice, ...]:
    """[Tell those who use it], where there was a price before."""
    if change.old is None:
        return ()
    data = {"old": change.old.id, "new": change.new.id}
    return (Choice(say("📣 Tell those who use it"), "price-tell", data, once=True),)


def compose_price_announcement(notification: Notification) -> tuple[Phrase, tuple[Phrase, ...]]:
    """Title and lines; never why."""
    facts = notification.facts
    per: Per = "second" if facts["per"] == "second" else "token"

    def price(inward: str, outward: str) -> Price:
        rates = MicroCredits(int(facts[inward])), MicroCredits(int(facts[outward]))
        return Price("", "", per, *rates, 0, "")

    new = say(
        "From {time} on: {new} (before: {old}).",
        time=as_datetime(int(facts["at"])),
        new=format_price(price("input", "output")),
        old=format_price(price("old_input", "old_output")),
    )
    return say("{model} has a new price", model=str(facts["model"])), (new,)
