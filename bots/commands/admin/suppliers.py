"""`/suppliers`: what suppliers changed, and pass on, share or absorb, with how long one is
absorbed; `/suppliers cost gpt-4 openai 30 60` says what a supplier takes, where its list is wrong
or late.

The demo's operator plays a supplier's rise by a button. Dollars show here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, say
from bots.commands.admin.setprice import changed_words, margin_words, percent, tell_choice
from bots.commands.errors import NotUnderstood, sentence
from bots.commands.text import money, price_line
from core.clock import Clock, as_datetime, as_ms
from core.jobs.notifications import Notice
from core.money import NanoUsd, usd
from core.pricing.answers import Pair
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.levels import AS_LISTED, Level
from core.pricing.rates import NO_RATE, Rate, Rates
from core.pricing.source import PriceData, PriceSource
from core.repricing.cost_overrides import Overrides
from core.repricing.cost_watch import CostWatch
from core.repricing.margins import Margins
from core.repricing.supplier_changes import Changes, CostChange, Decided, Kind, Offer

_SHOWN: Final = 10
_HOW: Final = say(
    "Write it like this: /suppliers, or /suppliers absorb gpt-4 14d (or $25, or a date) while a"
    " change of that model waits. Nothing was changed."
)


@sentence.register
def _(refusal: Decided) -> Said:
    del refusal
    return say("That change is decided already, or the supplier took it back. See /suppliers.")


class SupplierCommands:
    """The commands that show changes of suppliers' costs and decide them by buttons; every press is
    authorised again."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        changes: Changes,
        margins: Margins,
        costs: CostCommands,
        source: PriceSource,
        clock: Clock,
    ) -> None:
        self._costs, self._source = costs, source
        self._catalogue, self._changes = catalogue, changes
        self._margins, self._clock = margins, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "suppliers",
                    title=say("Suppliers"),
                    does=say("What suppliers changed, and what to do about it"),
                    usage=say("/suppliers [absorb model 14d|$25] [cost model supplier in out]"),
                    options=(Option("what", say("absorb gpt-4 14d, or: cost gpt-4 openai 30 60")),),
                    handler=self.suppliers,
                    admin=True,
                    support=True,
                ),
            ),
            actions=(
                Action("suppliers", self.again, admin=True, support=True),
                Action("supplier-change", self.change, admin=True, support=True),
                Action("supplier-decide", self.decide, admin=True),
                Action("supplier-absorb", self.absorb, admin=True),
                Action("supplier-keep", self.keep, admin=True),
                *((Action("supplier-play", self.play, admin=True),) if self._costs.sandbox else ()),
            ),
        )

    async def suppliers(self, request: Request) -> Reply:
        """What waits, and what is absorbed."""
        words = request.text.split()
        if words and request.role != "support":
            return await self._typed(request, words)
        waiting = await self._offers(await self._changes.waiting())
        lines = [say("No change waits for you.")]
        if waiting:
            lines = [say("{count} changes wait for you.", count=len(waiting))]
        absorbed = await self._changes.waiting("absorbed")
        lines += [absorbed_words(one, self._name(one)) for one in absorbed[:_SHOWN]]
        lines.append(data_words(self._source.data(self._clock.now_ms())))
        play = Choice(say("🧪 The sandbox raises a price"), "supplier-play")
        return Reply(
            title=say("Suppliers"),
            lines=tuple(lines),
            choices=(*_each(waiting), *(((play,),) if self._costs.sandbox else ())),
            private=True,
        )

    async def again(self, request: Request) -> Reply:
        """By a button."""
        return replace(await self.suppliers(replace(request, text="")), replace=True)

    async def change(self, request: Request) -> Reply:
        """One change with its answers."""
        offer = await self._offer(await self._changes.get(str(request.data["change"])))
        return replace(change_card(offer), replace=True)

    async def decide(self, request: Request) -> Reply:
        """Passes on or shares, at the price that the button showed."""
        change = await self._changes.get(str(request.data["change"]))
        offer = await self._offer(change)
        kind: Kind = "passed" if request.data["kind"] == "passed" else "shared"
        shown = int(request.data["inward"]), int(request.data["outward"])
        rates = offer.rates(kind)
        fresh = change.version == request.data["version"] and shown_rates(shown, rates)
        if rates is None or not fresh:
            return _moved_on(offer)
        about = "pass on supplier change" if kind == "passed" else "share supplier change"
        done = await self._changes.decide(change, kind, rates, actor=request.person.id, about=about)
        ground = await self._margins.of(offer.model)
        undo = Choice(say("↩ Undo"), "price-undo", {"price": done.new.id}, once=True)
        return Reply(
            lines=(
                changed_words(offer.model, done.old, done.new, now_ms=self._clock.now_ms()),
                *margin_words(ground, done.new, done.old),
                say("Questions asked before keep the price that they were quoted."),
                say("Nobody is told unless you want it, and never why."),
            ),
            choices=((*tell_choice(done), undo),),
            private=True,
            replace=True,
        )

    async def absorb(self, request: Request) -> Reply:
        """Asks for an end."""
        offer = await self._offer(await self._changes.get(str(request.data["change"])))
        return replace(absorb_card(offer), replace=True)

    async def keep(self, request: Request) -> Reply:
        """The price stays: until an end, or for good where it costs nothing."""
        change = await self._changes.get(str(request.data["change"]))
        offer = await self._offer(change)
        text = str(request.data.get("ends", ""))
        if change.version != request.data["version"] or (offer.answers.dearer and not text):
            return _moved_on(offer)
        until, cap = ends(text, self._clock.now_ms()) if text else (None, None)
        await self._changes.absorb(change, actor=request.person.id, until=until, cap=cap)
        return replace(await self._kept(change), replace=True)

    async def _kept(self, change: CostChange) -> Reply:
        now = await self._changes.get(change.id)
        name = self._name(now)
        said = (
            absorbed_words(now, name)
            if now.state == "absorbed"
            else say("{model} stays at its price.", model=name)
        )
        return Reply(
            lines=(said,), choices=((Choice(say("Suppliers"), "suppliers"),),), private=True
        )

    async def play(self, request: Request) -> Reply:
        """In the demo: a supplier's rise, to be answered."""
        model = await self._costs.play(request)
        waiting = [one for one in await self._changes.waiting() if one.model == model.id]
        offers = await self._offers(waiting)
        if not offers:
            return await self.again(request)
        return replace(change_card(offers[-1]), replace=True)

    async def _typed(self, request: Request, words: Sequence[str]) -> Reply:
        match words[0].casefold():
            case "cost":
                await self._costs.typed(request, words[1:])
                return await self.suppliers(replace(request, text=""))
            case "absorb" if len(words) > 2:
                return await self._absorbed(request, " ".join(words[1:-1]), words[-1])
            case _:
                raise NotUnderstood(_HOW)

    async def _absorbed(self, request: Request, name: str, end: str) -> Reply:
        """`absorb gpt-4 14d`: every change of the model that waits."""
        model = self._catalogue.find(name)
        try:
            until, cap = ends(end, self._clock.now_ms())
        except ValueError:
            raise NotUnderstood(_HOW) from None
        waiting = [one for one in await self._changes.waiting() if one.model == model.id]
        if not waiting:
            raise NotUnderstood(say("No change of {model} waits.", model=model.name))
        for one in waiting:
            await self._changes.absorb(one, actor=request.person.id, until=until, cap=cap)
        return await self._kept(waiting[-1])

    # --- what operators are told
    # -------------------------------------------------------------------

    async def told(self, notice: Notice) -> Reply:
        """A notification's card: the change itself where it is one, else a list of buttons."""
        ids = str(notice.facts["changes"]).split()
        found = [await self._changes.get(id_) for id_ in ids]
        offers = await self._offers([one for one in found if one.state == "open"])
        if len(offers) == 1:
            return change_card(offers[0])
        count = int(notice.facts["count"])
        return Reply(
            title=say("⚠️ Suppliers' prices changed"),
            lines=(say("{count} changes wait for you: /suppliers", count=count),),
            choices=_each(offers),
            private=True,
        )

    async def _offers(self, changes: list[CostChange]) -> list[Offer]:
        found = [await self._changes.offer(one) for one in changes]
        return [offer for offer in found if offer is not None]

    async def _offer(self, change: CostChange) -> Offer:
        """Raises `AlreadyDecided`."""
        offer = await self._changes.offer(change) if change.state == "open" else None
        if offer is None:
            raise Decided
        return offer

    def _name(self, change: CostChange) -> str:
        model = self._catalogue.models.get(change.model)
        return change.model if model is None else model.name


def _each(offers: list[Offer]) -> tuple[tuple[Choice, ...], ...]:
    return tuple(
        (
            Choice(
                title(offer.change, offer.model, dearer=offer.answers.dearer),
                "supplier-change",
                {"change": offer.change.id},
            ),
        )
        for offer in offers[:_SHOWN]
    )


def _moved_on(offer: Offer) -> Reply:
    """The change as it is now, in place of a button that showed another."""
    card = change_card(offer)
    note = say("This has changed meanwhile; nothing was done. Here it is as it is now.")
    return replace(card, lines=(note, *card.lines), replace=True)


#: Dollars per million tokens, or a minute.
_MOST: Final = Decimal(100_000)
_HOW_COST: Final = say(
    "Write it like this: /suppliers cost gpt-4 openai 30 60 (dollars per 1M tokens in and out; a"
    " third number for cached ones), for audio the dollars of a minute, or list for what the"
    " supplier's list says: /suppliers cost gpt-4 openai list. Nothing was changed."
)


class CostCommands:
    """The part of `/suppliers` that overrides what a supplier's list says of a cost."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        overrides: Overrides,
        watch: CostWatch,
        margins: Margins,
        sandbox: bool,
    ) -> None:
        """`is_sandbox`: whether the suppliers are a sandbox's, whose prices the operator may
        play."""
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
            raise NotUnderstood(_HOW_COST)
        model = self._catalogue.find(" ".join(rest[:-1]))
        route = next((one for one in model.routes if one.provider == rest[-1].casefold()), None)
        if route is None:
            known = ", ".join(sorted({one.provider for one in model.routes}))
            raise NotUnderstood(_not_there(model, rest[-1], known))
        if taken_back:
            return route, None
        if len(numbers) != 1 if model.per == "second" else len(numbers) not in {2, 3}:
            raise NotUnderstood(_HOW_COST)
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
    """Raises `UsageError` for what is no cost; one of zero would be sold for nothing."""
    if not all(0 < one <= _MOST for one in dollars):
        raise NotUnderstood(_HOW_COST)
    if model.per == "second":
        second = Rate(ceil(Fraction(dollars[0]) * 10**12 / 60))
        return Rates(NO_RATE, NO_RATE, NO_RATE, NO_RATE, second=second)
    rates = [Rate(ceil(Fraction(one) * 1_000_000)) for one in dollars]
    cached = rates[2] if len(rates) > 2 else rates[0]
    return Rates(rates[0], rates[1], cached, rates[0])


_LENGTH: Final = re.compile(r"(\d{1,3})d")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DOLLARS: Final = re.compile(r"\$(\d{1,7}(?:\.\d{1,2})?)")
_DAYS_MOST: Final = 366
#: What the card of absorbing offers.
_DAYS: Final = (7, 30, 90)
_CAPS: Final = ("10", "100", "1000")


def change_card(offer: Offer) -> Reply:
    """What moved, what it does, and the three answers."""
    change, model, now = offer.change, offer.model, offer.now
    lines = [level_words(model, change.old, change.new)]
    if change.old.real != change.new.real:
        real = say(
            "Calls came to {old} of the list, and come to {new} now.",
            old=_real(change.old),
            new=_real(change.new),
        )
        lines.append(real)
    if change.why == "again":
        lines.append(say("It was absorbed until now: its time is over, or its cap is reached."))
    lines += [
        say(
            "{model} is sold at {price}. Profit on cost: {before} before, {after} now.",
            model=model.name,
            price=price_line(now),
            before=percent(offer.before),
            after=percent(offer.margin()),
        ),
        say("By the real mix of the last 30 days: {answers} answers.", answers=offer.mix.answers)
        if offer.mix.real
        else say("By the usual mix: nobody asked it there lately."),
        say("No price moves until you choose."),
    ]
    return Reply(
        title=title(change, model, dearer=offer.answers.dearer),
        lines=tuple(lines),
        choices=_choices(offer),
        private=True,
    )


def title(change: CostChange, model: Model, *, dearer: bool) -> Said:
    """`openai: GPT-4 Turbo costs more`."""
    if dearer:
        return say("{supplier}: {model} costs more", supplier=change.provider, model=model.name)
    return say("{supplier}: {model} costs less", supplier=change.provider, model=model.name)


def _choices(offer: Offer) -> tuple[tuple[Choice, ...], ...]:
    passed, shared = offer.answers.passed, offer.answers.shared
    rows = []
    if passed is not None:
        label = say("Pass on: {price} ({percent})", **_at(offer, passed))
        rows.append((_decides(offer, "passed", passed, label),))
    if shared is not None:
        label = say("Share: {price} ({percent})", **_at(offer, shared))
        rows.append((_decides(offer, "shared", shared, label),))
    if offer.answers.dearer:
        stay = say("Absorb: stay at {price} ({percent})", **_at(offer, None))
        rows.append((Choice(stay, "supplier-absorb", _about(offer)),))
    else:
        stay = say("Keep: stay at {price} ({percent})", **_at(offer, None))
        rows.append((Choice(stay, "supplier-keep", _about(offer)),))
    return tuple(rows)


def _at(offer: Offer, rates: Pair | None) -> dict[str, str | Said]:
    """A price and its margin."""
    price = offer.now if rates is None else offer.priced(rates)
    return {"price": price_line(price), "percent": percent(offer.margin(rates))}


def _decides(offer: Offer, kind: Kind, rates: Pair, label: Said) -> Choice:
    shown = {"kind": kind, "inward": rates[0].units, "outward": rates[1].units}
    return Choice(label, "supplier-decide", {**_about(offer), **shown})


def _about(offer: Offer) -> dict[str, str | int]:
    return {"change": offer.change.id, "version": offer.change.version}


def absorb_card(offer: Offer) -> Reply:
    """Until when, or up to which loss."""
    data, back = _about(offer), Choice(say("‹ Back"), "supplier-change", _about(offer))
    days = tuple(
        Choice(say("{count} days", count=count), "supplier-keep", {**data, "ends": f"{count}d"})
        for count in _DAYS
    )
    caps = tuple(
        Choice(
            say("until {cash} are lost", cash=f"${int(cap):,}"),
            "supplier-keep",
            {**data, "ends": f"${cap}"},
        )
        for cap in _CAPS
    )
    return Reply(
        title=say("Absorb: {model}", model=offer.model.name),
        lines=(
            say("For how long, or up to which loss? Then you are asked again."),
            say(
                "Lost is what the supplier takes more than before the change. By hand: /suppliers"
                " absorb {model} 14d, or $25, or 2026-03-31.",
                model=offer.model.id,
            ),
        ),
        choices=(
            days,
            caps,
            (back,),
        ),
        private=True,
    )


def ends(text: str, now_ms: int) -> tuple[int | None, NanoUsd | None]:
    """`14d`, `2026-03-31` (that day included, UTC) or `$25`: a time, or a loss. Raises
    ValueError."""
    if dollars := _DOLLARS.fullmatch(text):
        cap = usd(dollars[1])
        if cap.is_zero:
            raise ValueError(text)
        return None, cap
    now = as_datetime(now_ms)
    if length := _LENGTH.fullmatch(text):
        until = now + timedelta(days=int(length[1]))
    elif _DAY.fullmatch(text):
        until = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
    else:
        raise ValueError(text)
    if not now < until <= now + timedelta(days=_DAYS_MOST):
        raise ValueError(text)
    return as_ms(until), None


def absorbed_words(change: CostChange, model: str) -> Said:
    """How long one that is absorbed still is."""
    if change.cap is not None:
        return say(
            "{supplier}: {model}: absorbed until {cap} are lost; {lost} so far.",
            supplier=change.provider,
            model=model,
            cap=money(change.cap),
            lost=money(change.lost),
        )
    return say(
        "{supplier}: {model}: absorbed until {time}.",
        supplier=change.provider,
        model=model,
        time=as_datetime(change.until or 0),
    )


def level_words(model: Model, old: Level, new: Level) -> Said:
    """What the supplier took and takes."""
    if model.per == "second":
        return say(
            "Supplier: {old} → {new} a minute",
            old=_minute(old.second),
            new=_minute(new.second),
        )
    return say(
        "Supplier, per 1M tokens: in {old_in} → {new_in}, cached {old_cached} → {new_cached}, out"
        " {old_out} → {new_out}",
        old_in=_dollars(old.input),
        new_in=_dollars(new.input),
        old_cached=_dollars(old.cached),
        new_cached=_dollars(new.cached),
        old_out=_dollars(old.output),
        new_out=_dollars(new.output),
    )


def data_words(data: PriceData) -> Said:
    """How old what is known of suppliers' lists is."""
    if data.fetched_at is not None:
        return say(
            "Lists: genai-prices, fetched at {time}.",
            time=as_datetime(data.fetched_at),
        )
    if data.days is None:
        return say("Lists: genai-prices {version}.", version=data.version)
    return say(
        "Lists: genai-prices {version}, at most {days} days old.",
        version=data.version,
        days=data.days,
    )


def _dollars(micro: int) -> str:
    """Millionths of a dollar, exactly: a pico-dollar a token is one per million tokens."""
    whole, rest = divmod(micro, 1_000_000)
    return f"${whole:,}.{rest:06}".rstrip("0").rstrip(".")


def _minute(pico: int) -> str:
    return _dollars((pico * 60 + 500_000) // 1_000_000)


def _real(level: Level) -> str:
    return f"{level.real * 100 // AS_LISTED} %"


def shown_rates(data: tuple[int, int], offered: Pair | None) -> bool:
    """Whether a button still offers what it showed."""
    return offered is not None and (offered[0].units, offered[1].units) == data
