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
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.i18n import zone_of
from bots.chat.reply import Choice, Reply, Said, plain, say
from bots.commands.errors import NotUnderstood, sentence
from bots.commands.text import price_line
from core.clock import DAY_MS, Clock, as_datetime, as_ms
from core.jobs.notifications import Notice
from core.money import MicroCredits
from core.pricing.catalogue import Catalogue, Model
from core.pricing.prices import NewPrice, Price, PriceBook
from core.pricing.rates import Per
from core.repricing.announcements import PriceNews
from core.repricing.margins import Ground, Margins
from core.repricing.price_changes import Change, NotUndone, Repricing

_HOW: Final = say(
    "Write it like this: /setprice gpt-4 5 (Credits per 1K tokens, or per minute of audio; /s for a"
    " second), with a second price for answers: /setprice gpt-4 5 15; from a time on: /setprice"
    " gpt-4 6 at 18:30, in 2h or 2026-03-01 09:00, your time; back: /setprice gpt-4 undo. Nothing"
    " was changed."
)


@sentence.register
def _(refusal: NotUndone) -> Said:
    del refusal
    return say(
        "That can't be taken back: another price was set since, or there was none before. Nothing"
        " was changed."
    )


class PriceCommands:
    """The commands that set prices by hand; every act is authorised again at each press."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        prices: PriceBook,
        repricing: Repricing,
        margins: Margins,
        clock: Clock,
    ) -> None:
        self._catalogue, self._prices = catalogue, prices
        self._repricing, self._margins, self._clock = repricing, margins, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "setprice",
                    title=say("Set price"),
                    does=say("Set a model's price in Credits per 1K tokens"),
                    usage=say("/setprice model price [price out] [at time]"),
                    options=(
                        Option("model", say("The model's name"), required=True, completes="model"),
                        Option("price", say("Credits per 1K tokens, or undo"), required=True),
                        Option("price-out", say("Credits per 1K tokens of the answer")),
                        Option("at", say("From when on: 18:30, in 2h, 2026-03-01 09:00")),
                    ),
                    handler=self.setprice,
                    admin=True,
                ),
            ),
            actions=(
                Action("price-now", self.price_now, admin=True),
                Action("price-undo", self.undo, admin=True),
            ),
        )

    async def setprice(self, request: Request) -> Reply:
        """A new price; one that moves by more than half asks first."""
        name, _, last = request.text.strip().rpartition(" ")
        await self._prices.refresh()
        if name and last.casefold() == "undo":
            return await self._undo(request, self._newest(name))
        new, at_ms = self._wanted(request)
        return await self.asked(request, new, at_ms)

    async def asked(self, request: Request, new: NewPrice, at_ms: int | None = None) -> Reply:
        """Sets the price, or asks first; `request` may be a button press."""
        now = self._clock.now_ms()
        old = self._prices.at(new.model, now if at_ms is None else at_ms)
        if old is None or not moves_by_half(old, new):
            return await self._change(request, new, at_ms)
        model = self._catalogue.find(new.model)
        shown = replace(old, input_rate=new.input_rate, output_rate=new.output_rate)
        ground = await self._margins.of(model)
        data: dict[str, str | int] = {
            "model": model.id,
            "inward": new.input_rate.units,
            "outward": new.output_rate.units,
            "at": at_ms or 0,
        }
        return Reply(
            lines=(
                say(
                    "That moves {model} by more than half: from {old} to {new}.",
                    model=model.name,
                    old=price_line(old),
                    new=price_line(shown),
                ),
                *margin_words(ground, shown, old),
            ),
            choices=(
                (
                    Choice(say("Yes, change it"), "price-now", data, once=True),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
        )

    async def price_now(self, request: Request) -> Reply:
        """Confirmed."""
        model, at = self._catalogue.find(str(request.data["model"])), int(request.data["at"])
        rates = (
            MicroCredits(int(request.data["inward"])),
            MicroCredits(int(request.data["outward"])),
        )
        reply = await self._change(request, NewPrice(model.id, *rates, model.per), at or None)
        return replace(reply, replace=True)

    async def undo(self, request: Request) -> Reply:
        """By the button under a change."""
        return replace(await self._undo(request, str(request.data["price"])), replace=True)

    async def _undo(self, request: Request, price: str) -> Reply:
        change = await self._repricing.undo(price, actor=request.person.id)
        return await self.changed(change)

    async def _change(self, request: Request, new: NewPrice, at_ms: int | None) -> Reply:
        change = await self._repricing.set(new, actor=request.person.id, at_ms=at_ms)
        return await self.changed(change)

    async def changed(self, change: Change) -> Reply:
        """What a change did."""
        model, new = self._catalogue.find(change.new.model), change.new
        now, ground = self._clock.now_ms(), await self._margins.of(model)
        lines = [
            changed_words(model, change.old, new, now_ms=now),
            *margin_words(ground, new, change.old),
            say("Questions asked before keep the price that they were quoted."),
        ]
        coming = self._prices.coming(model.id)
        if coming is not None and coming.id != new.id:
            lines.append(coming_words(coming))
        undo = Choice(say("↩ Undo"), "price-undo", {"price": new.id}, once=True)
        choices = ((undo,),) if self._repricing.undoes(new) is not None else ()
        return Reply(lines=tuple(lines), choices=choices, private=True)

    def _wanted(self, request: Request) -> tuple[NewPrice, int | None]:
        now, zone = self._clock.now_ms(), request.person.zone
        try:
            typed = wanted(request.text, self._catalogue, now_ms=now, zone=zone)
        except ValueError:
            raise NotUnderstood(_HOW) from None
        new = NewPrice(typed.model.id, typed.inward, typed.outward, typed.model.per)
        return new, typed.at_ms

    def _newest(self, name: str) -> str:
        newest = self._prices.newest(self._catalogue.find(name).id)
        if newest is None:
            raise NotUndone
        return newest.id


def moves_by_half(old: Price, new: NewPrice) -> bool:
    """Whether a side moves by more than 50 %."""
    return any(
        2 * abs(then.units - was.units) > was.units
        for was, then in ((old.input_rate, new.input_rate), (old.output_rate, new.output_rate))
    )


def coming_words(coming: Price) -> Said:
    """A price that is set already."""
    return say(
        "Set before and still to come: {price} from {time} on.",
        price=price_line(coming),
        time=as_datetime(coming.effective_at),
    )


_PRICE_MAX: Final = Decimal(100_000)
#: A price isn't set further ahead.
_AHEAD: Final = timedelta(days=366)
_LENGTHS: Final = {"m": 60_000, "min": 60_000, "h": 3_600_000, "d": DAY_MS}
_WHEN: Final = re.compile(
    r"\s+(?:(?:at|from)\s+)?"
    r"(?:in\s+(?P<count>\d{1,5})\s*(?P<length>m|min|h|d)"
    r"|(?P<day>\d{4}-\d\d-\d\d)(?:[ T](?P<hour>\d\d?:\d\d))?"
    r"|(?P<clock>\d\d?:\d\d))$"
)
_UNITS: Final = {"s": "second", "sec": "second", "min": "minute", "1k": "1k"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A price as it was typed, and from when on in milliseconds UTC; None: from now on."""

    model: Model
    inward: MicroCredits
    outward: MicroCredits
    at_ms: int | None


def wanted(text: str, catalogue: Catalogue, *, now_ms: int, zone: str) -> Wanted:
    """Reads a price. Raises ValueError when it isn't one, or its time is over or too far ahead,
    and `UnknownModel`."""
    text, at_ms = _timed(f" {text.strip()}", now_ms, zone)
    words = text.split()
    numbers: list[tuple[Decimal, str]] = []
    while len(words) > 1 and len(numbers) < 2 and (number := _number(words[-1])) is not None:
        numbers.insert(0, number)
        words.pop()
    if not words or not numbers:
        raise ValueError(text)
    model = catalogue.find(" ".join(words))
    rates = [_rate(model, *number) for number in numbers]
    if model.per == "second" and len(rates) > 1:
        raise ValueError(text)
    return Wanted(model, rates[0], rates[-1], at_ms)


def _timed(text: str, now_ms: int, zone: str) -> tuple[str, int | None]:
    """What is left in front of a time, and the time."""
    found = _WHEN.search(text)
    if found is None:
        return text, None
    at = _moment(found, now_ms, zone)
    if not now_ms <= at <= now_ms + _AHEAD // timedelta(milliseconds=1):
        raise ValueError(text)
    return text[: found.start()], at


def _moment(found: re.Match[str], now_ms: int, zone: str) -> int:
    if found["count"]:
        return now_ms + int(found["count"]) * _LENGTHS[found["length"]]
    here = zone_of(zone)
    hour = time.fromisoformat((found["hour"] or found["clock"] or "0:00").rjust(5, "0"))
    if found["day"]:
        return as_ms(datetime.combine(datetime.fromisoformat(found["day"]).date(), hour, here))
    today = as_datetime(now_ms).astimezone(here).date()
    at = as_ms(datetime.combine(today, hour, here))
    if at < now_ms:
        at = as_ms(datetime.combine(today + timedelta(days=1), hour, here))
    return at


def _number(word: str) -> tuple[Decimal, str] | None:
    """A number and the unit behind its slash; None for other words."""
    digits, slash, unit = word.partition("/")
    if slash and unit not in _UNITS:
        return None
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return None
    return (number, _UNITS.get(unit, "")) if number.is_finite() else None


def _rate(model: Model, number: Decimal, unit: str) -> MicroCredits:
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


def percent(margin: int | None) -> str:
    """`+66 %`, `−21 %`, `0 %`; a dash where it is unknown."""
    if margin is None:
        return "–"
    return f"{margin:+,} %".replace("-", "−") if margin else "0 %"


def changed_words(model: Model, old: Price | None, new: Price, *, now_ms: int) -> Said:
    """What a model costs, from when on, and what it cost before."""
    if new.effective_at > now_ms:
        return say(
            "{model}: {new} from {time} on (until then: {old})",
            model=model.name,
            new=price_line(new),
            old=price_line(old) if old is not None else plain("–"),
            time=as_datetime(new.effective_at),
        )
    if old is None:
        return say("{model}: {new}", model=model.name, new=price_line(new))
    return say(
        "{model}: {new} (before: {old})",
        model=model.name,
        new=price_line(new),
        old=price_line(old),
    )


def margin_words(ground: Ground, new: Price, old: Price | None) -> list[Said]:
    """Profit on cost at par by the usual mix, and by the real one where people asked."""
    if not ground.levels:
        return [say("No supplier's cost is known for {model}.", model=ground.model.name)]
    levels = ground.levels
    before = percent(ground.usual.margin(old, levels)) if old is not None else "–"
    lines = [
        say(
            "Profit on cost at the usual mix: {percent} (before: {before})",
            percent=percent(ground.usual.margin(new, levels)),
            before=before,
        )
    ]
    if ground.real is not None:
        before = percent(ground.real.margin(old, levels)) if old is not None else "–"
        lines.append(
            say(
                "On the real mix of the last 30 days ({answers} answers): {percent} (before:"
                " {before})",
                answers=ground.real.answers,
                percent=percent(ground.real.margin(new, levels)),
                before=before,
            )
        )
    return lines


def ground_words(ground: Ground, price: Price) -> list[Said]:
    """Profit on cost of a price that holds, by both mixes."""
    lines = [
        say(
            "Profit on cost at the usual mix: {percent}",
            percent=percent(ground.usual.margin(price, ground.levels)),
        )
    ]
    if ground.real is not None:
        lines.append(
            say(
                "On the real mix of the last 30 days ({answers} answers): {percent}",
                answers=ground.real.answers,
                percent=percent(ground.real.margin(price, ground.levels)),
            )
        )
    return lines


def short_price(price: Price) -> Said:
    """`5`, `5 · 15`, `2/min`."""
    if price.per == "second":
        return plain(f"{price.per_minute()}/min")
    inward, outward = price.per_1k()
    return plain(inward if inward == outward else f"{inward} · {outward}")


class PriceNewsCommands:
    """The action that announces a new price to the people who use its model."""

    def __init__(self, *, catalogue: Catalogue, prices: PriceBook, news: PriceNews) -> None:
        self._catalogue, self._prices, self._news = catalogue, prices, news

    def room(self) -> Room:
        """Its one action."""
        return Room(actions=(Action("price-tell", self.tell, admin=True),))

    async def tell(self, request: Request) -> Reply:
        """Writes to everyone who asked the model in the last 30 days, once."""
        await self._prices.refresh()
        old, new = (self._prices.by_id(str(request.data[which])) for which in ("old", "new"))
        if old is None or new is None:
            return Reply(lines=(say("That price is no longer known here."),), private=True)
        model = self._catalogue.find(new.model)
        count = await self._news.tell(model.name, old, new)
        told = say("{count} people who use {model} are told.", count=count, model=model.name)
        return Reply(lines=(told,), private=True)


def tell_choice(change: Change) -> tuple[Choice, ...]:
    """[Tell those who use it], where there was a price before."""
    if change.old is None:
        return ()
    data = {"old": change.old.id, "new": change.new.id}
    return (Choice(say("📣 Tell those who use it"), "price-tell", data, once=True),)


def price_news_words(notice: Notice) -> tuple[Said, tuple[Said, ...]]:
    """Title and lines; never why."""
    facts = notice.facts
    per: Per = "second" if facts["per"] == "second" else "token"

    def price(inward: str, outward: str) -> Price:
        rates = MicroCredits(int(facts[inward])), MicroCredits(int(facts[outward]))
        return Price("", "", per, *rates, 0, "")

    new = say(
        "From {time} on: {new} (before: {old}).",
        time=as_datetime(int(facts["at"])),
        new=price_line(price("input", "output")),
        old=price_line(price("old_input", "old_output")),
    )
    return say("{model} has a new price", model=str(facts["model"])), (new,)
