"""`/suppliers`: what suppliers changed, and pass on, share or absorb, with how long one is
absorbed; `/suppliers cost gpt-4 openai 30 60` says what a supplier takes, where its list is wrong
or late.

The demo's operator plays a supplier's rise by a button. Dollars show here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil
from typing import Final

from bots.chat.callbacks import ButtonExpired
from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, say, say_count
from bots.commands.admin.model_ends import count_coming_ends, describe_coming_end
from bots.commands.admin.setprice import (
    describe_price_change,
    format_margin,
    list_margin_change,
    make_announce_choices,
)
from bots.commands.arguments import make_usage_error, normalize, shorten
from bots.commands.errors import UsageError
from bots.commands.text import format_percent, format_price, get_supplier_title, join_names
from core.clock import Clock, as_datetime, as_ms
from core.jobs.notifications import Notification
from core.money import NanoUsd, format_usd, parse_usd
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.cost_change_responses import RatePair
from core.pricing.rates import NO_RATE, Rate, Rates
from core.pricing.source import PriceData, PriceSource
from core.pricing.supplier_rates import AS_LISTED, SupplierRate
from core.repricing.cost_overrides import CostOverrides
from core.repricing.cost_watch import CostWatch
from core.repricing.margins import Margins
from core.repricing.model_ends import NOTICE_DAYS
from core.repricing.supplier_changes import (
    AlreadyDecided,
    ChangeOptions,
    CostChange,
    DecisionKind,
    SupplierChanges,
)

_SHOWN_MAX: Final = 10
#: More models that end are behind a button.
_ENDS_SHOWN_MAX: Final = 2
_HOW: Final = say(
    "Write it like this: /suppliers, or /suppliers absorb gpt-4 14d (or $25, or a date) while a"
    " change of that model waits. Nothing was changed."
)


@dataclass(frozen=True, slots=True)
class SuppliersArguments(Arguments):
    """What follows `/suppliers`."""

    what: str = argument(
        say("absorb gpt-4 14d, or: cost gpt-4 openai 30 60"),
        say("absorb model 14d|$25"),
        say("cost model supplier in out"),
    )


class SupplierCommands:
    """The commands that show changes of suppliers' costs and decide them by buttons; every press is
    authorised again."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        supplier_changes: SupplierChanges,
        margins: Margins,
        cost_commands: CostCommands,
        source: PriceSource,
        clock: Clock,
    ) -> None:
        self._cost_commands, self._source = cost_commands, source
        self._catalogue, self._supplier_changes = catalogue, supplier_changes
        self._margins, self._clock = margins, clock

    @command(
        "suppliers",
        title=say("Suppliers"),
        description=say("What suppliers changed, and what to do about it"),
        arguments=SuppliersArguments,
        admin_only=True,
        support_allowed=True,
    )
    async def suppliers(self, request: Request, given: SuppliersArguments) -> Reply:
        """What waits, and what is absorbed."""
        words = given.words
        if words and request.role != "support":
            return await self._run_typed(request, words)
        waiting = await self._list_options(await self._supplier_changes.list_waiting())
        lines = [say("No change waits for you.")]
        if waiting:
            lines = [
                say_count(
                    "{count} change waits for you.",
                    "{count} changes wait for you.",
                    len(waiting),
                )
            ]
        absorbed = await self._supplier_changes.list_waiting("absorbed")
        lines += [
            describe_absorbed(one, self._get_model_name(one)) for one in absorbed[:_SHOWN_MAX]
        ]
        ends = self._catalogue.list_coming_ends(NOTICE_DAYS)
        folds_ends = len(ends) > _ENDS_SHOWN_MAX
        lines += [describe_coming_end(one) for one in (ends[:1] if folds_ends else ends)]
        lines.append(describe_price_data(self._source.describe_data(self._clock.now_ms())))
        play = Choice(say("🧪 The sandbox raises a price"), "supplier-play")
        return Reply(
            title=say("Suppliers"),
            lines=tuple(lines),
            choices=(
                *_change_choices(waiting),
                *(((play,),) if self._cost_commands.is_sandbox else ()),
                *(((Choice(count_coming_ends(ends), "supplier-ends"),),) if folds_ends else ()),
            ),
            private=True,
        )

    @action("suppliers", admin_only=True, support_allowed=True)
    async def show_suppliers(self, request: Request) -> Reply:
        """By a button."""
        return replace(await self.suppliers(request, SuppliersArguments()), replace=True)

    @action("supplier-ends", admin_only=True, support_allowed=True)
    async def show_ends(self, request: Request) -> Reply:
        """Every model that ends soon."""
        del request
        ends = self._catalogue.list_coming_ends(NOTICE_DAYS)
        return Reply(
            title=count_coming_ends(ends),
            lines=tuple(map(describe_coming_end, ends)),
            choices=((Choice(say("‹ Back"), "suppliers"),),),
            private=True,
            replace=True,
        )

    @action("supplier-change", admin_only=True, support_allowed=True)
    async def supplier_change(self, request: Request) -> Reply:
        """One change with its answers."""
        options = await self._get_options(
            await self._supplier_changes.get(str(request.data["change"]))
        )
        return replace(make_change_card(options), replace=True)

    @action("supplier-decide", admin_only=True)
    async def supplier_decide(self, request: Request) -> Reply:
        """Passes on or shares, at the price that the button showed."""
        change = await self._supplier_changes.get(str(request.data["change"]))
        options = await self._get_options(change)
        kind: DecisionKind = "passed" if request.data["kind"] == "passed" else "shared"
        shown = int(request.data["inward"]), int(request.data["outward"])
        rates = options.get_rates(kind)
        is_current = change.version == request.data["version"] and is_still_offered(shown, rates)
        if rates is None or not is_current:
            return _changed_meanwhile_card(options)
        about = "pass on supplier change" if kind == "passed" else "share supplier change"
        price_change = await self._supplier_changes.decide_change(
            change, kind, rates, actor=request.person.id, act=about
        )
        basis = await self._margins.get_basis(options.model)
        undo = Choice(say("↩ Undo"), "price-undo", {"price": price_change.new.id}, once=True)
        return Reply(
            lines=(
                describe_price_change(
                    options.model, price_change.old, price_change.new, now_ms=self._clock.now_ms()
                ),
                *list_margin_change(basis, price_change.new, price_change.old),
                say("Questions asked before keep the price that they were quoted."),
                say("Nobody is told unless you want it, and never why."),
            ),
            choices=((*make_announce_choices(price_change), undo),),
            private=True,
            replace=True,
        )

    @action("supplier-absorb", admin_only=True)
    async def supplier_absorb(self, request: Request) -> Reply:
        """Asks for an end."""
        options = await self._get_options(
            await self._supplier_changes.get(str(request.data["change"]))
        )
        return replace(make_absorb_card(options), replace=True)

    @action("supplier-keep", admin_only=True)
    async def supplier_keep(self, request: Request) -> Reply:
        """The price stays: until an end, or for good where it costs nothing."""
        change = await self._supplier_changes.get(str(request.data["change"]))
        options = await self._get_options(change)
        text = str(request.data.get("ends", ""))
        if change.version != request.data["version"] or (options.responses.is_dearer and not text):
            return _changed_meanwhile_card(options)
        until, cap = parse_absorb_end(text, self._clock.now_ms()) if text else (None, None)
        await self._supplier_changes.absorb_change(
            change, actor=request.person.id, until=until, cap=cap
        )
        return replace(await self._kept_card(change), replace=True)

    async def _kept_card(self, change: CostChange) -> Reply:
        updated = await self._supplier_changes.get(change.id)
        name = self._get_model_name(updated)
        phrase = (
            describe_absorbed(updated, name)
            if updated.state == "absorbed"
            else say("{model} stays at its price.", model=name)
        )
        return Reply(
            lines=(phrase,), choices=((Choice(say("Suppliers"), "suppliers"),),), private=True
        )

    @action("supplier-play", admin_only=True)
    async def supplier_play(self, request: Request) -> Reply:
        """In the demo: a supplier's rise, to be answered."""
        if not self._cost_commands.is_sandbox:
            raise ButtonExpired
        model = await self._cost_commands.raise_sandbox_cost(request)
        waiting = [
            one for one in await self._supplier_changes.list_waiting() if one.model == model.id
        ]
        offers = await self._list_options(waiting)
        if not offers:
            return await self.show_suppliers(request)
        return replace(make_change_card(offers[-1]), replace=True)

    async def _run_typed(self, request: Request, words: Sequence[str]) -> Reply:
        match words[0].casefold():
            case "cost":
                await self._cost_commands.set_cost(request, words[1:])
                return await self.suppliers(request, SuppliersArguments())
            case "absorb" if len(words) > 2:
                return await self._absorb_model(request, " ".join(words[1:-1]), words[-1])
            case "absorb":
                raise make_usage_error(say("Say which model, and until when."), _HOW)
            case _:
                wrong = say("“{typed}” is neither absorb nor cost.", typed=shorten(words[0]))
                raise make_usage_error(wrong, _HOW)

    async def _absorb_model(self, request: Request, name: str, end: str) -> Reply:
        """`absorb gpt-4 14d`: every change of the model that waits."""
        model = self._catalogue.find(name)
        try:
            until, cap = parse_absorb_end(end, self._clock.now_ms())
        except ValueError:
            wrong = say("“{typed}” is neither a time nor a sum.", typed=shorten(end))
            raise make_usage_error(wrong, _HOW) from None
        waiting = [
            one for one in await self._supplier_changes.list_waiting() if one.model == model.id
        ]
        if not waiting:
            raise UsageError(say("No change of {model} waits.", model=model.name))
        for change in waiting:
            await self._supplier_changes.absorb_change(
                change, actor=request.person.id, until=until, cap=cap
            )
        return await self._kept_card(waiting[-1])

    # --- what operators are told
    # -------------------------------------------------------------------

    async def make_notification_card(self, notification: Notification) -> Reply:
        """A notification's card: the change itself where it is one, else a list of buttons."""
        ids = str(notification.facts["changes"]).split()
        found = [await self._supplier_changes.get(id_) for id_ in ids]
        offers = await self._list_options([one for one in found if one.state == "open"])
        if len(offers) == 1:
            return make_change_card(offers[0])
        count = int(notification.facts["count"])
        return Reply(
            title=say("⚠️ Suppliers' prices changed"),
            lines=(
                say_count(
                    "{count} change waits for you: /suppliers",
                    "{count} changes wait for you: /suppliers",
                    count,
                ),
            ),
            choices=_change_choices(offers),
            private=True,
        )

    async def _list_options(self, changes: list[CostChange]) -> list[ChangeOptions]:
        found = [await self._supplier_changes.get_options(one) for one in changes]
        return [offer for offer in found if offer is not None]

    async def _get_options(self, change: CostChange) -> ChangeOptions:
        """Raises `AlreadyDecided`."""
        options = (
            await self._supplier_changes.get_options(change) if change.state == "open" else None
        )
        if options is None:
            raise AlreadyDecided
        return options

    def _get_model_name(self, change: CostChange) -> str:
        return self._catalogue.get_name(change.model)


def _change_choices(offers: list[ChangeOptions]) -> tuple[tuple[Choice, ...], ...]:
    return tuple(
        (
            Choice(
                change_title(offer.change, offer.model, dearer=offer.responses.is_dearer),
                "supplier-change",
                {"change": offer.change.id},
            ),
        )
        for offer in offers[:_SHOWN_MAX]
    )


def _changed_meanwhile_card(options: ChangeOptions) -> Reply:
    """The change as it is now, in place of a button that showed another."""
    card = make_change_card(options)
    note = say("This has changed meanwhile; nothing was done. Here it is as it is now.")
    return replace(card, lines=(note, *card.lines), replace=True)


#: Dollars per million tokens, or a minute.
_DOLLARS_MAX: Final = Decimal(100_000)
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
        cost_overrides: CostOverrides,
        cost_watch: CostWatch,
        margins: Margins,
        is_sandbox: bool,
    ) -> None:
        """`is_sandbox`: whether the suppliers are a sandbox's, whose prices the operator may
        play."""
        self._catalogue, self._cost_overrides = catalogue, cost_overrides
        self._cost_watch, self._margins, self.is_sandbox = cost_watch, margins, is_sandbox

    async def set_cost(self, request: Request, words: Sequence[str]) -> None:
        """`words` follow `cost`; a change is raised at once."""
        route, rates = self._parse_cost(words)
        await self._cost_overrides.set_override(route, rates, actor=request.person.id)
        await self._cost_watch.check_price_lists()

    def _parse_cost(self, words: Sequence[str]) -> tuple[Route, Rates | None]:
        numbers: list[Decimal] = []
        rest = list(words)
        while rest and (number := _parse_number(rest[-1])) is not None:
            numbers.insert(0, number)
            rest.pop()
        is_reset = bool(rest) and rest[-1].casefold() == "list" and not numbers
        rest = rest[:-1] if is_reset else rest
        if len(rest) < 2:
            raise make_usage_error(say("A model, a supplier and its price are needed."), _HOW_COST)
        if not (numbers or is_reset):
            wrong = say("“{typed}” is no price in dollars.", typed=shorten(rest[-1]))
            raise make_usage_error(wrong, _HOW_COST)
        model = self._catalogue.find(" ".join(rest[:-1]))
        route = next((one for one in model.routes if one.provider == rest[-1].casefold()), None)
        if route is None:
            raise UsageError(_not_served_text(model, rest[-1]))
        if is_reset:
            return route, None
        if len(numbers) != 1 if model.per == "second" else len(numbers) not in {2, 3}:
            wrong = (
                say("Audio has one price, of a minute.")
                if model.per == "second"
                else say("Two prices are needed, in and out, or three.")
            )
            raise make_usage_error(wrong, _HOW_COST)
        return route, _parse_rates(model, numbers)

    async def raise_sandbox_cost(self, request: Request) -> Model:
        """The sandbox's supplier of the model that is asked most raises its price by two thirds."""
        uses = await self._margins.get_usage()
        models = sorted(
            self._catalogue.chat_models,
            key=lambda one: -sum(use.answers for use in uses.get(one.id, {}).values()),
        )
        model = models[0] if uses else self._catalogue.default_model
        basis = await self._margins.get_basis(model)
        provider = max(
            basis.usage.by_supplier, key=lambda name: basis.usage.by_supplier[name].answers
        )
        route = next(one for one in model.routes if one.provider == provider)
        supplier_rate = basis.rates[provider]
        raised = [
            Rate(-(-rate * 5 // 3))
            for rate in (supplier_rate.input, supplier_rate.output, supplier_rate.cached)
        ]
        rates = Rates(raised[0], raised[1], raised[2], raised[0])
        await self._cost_overrides.set_override(route, rates, actor=request.person.id)
        await self._cost_watch.check_price_lists()
        return model


def _not_served_text(model: Model, supplier: str) -> Phrase:
    names = dict.fromkeys(route.provider for route in model.routes)
    return say(
        "“{supplier}” doesn't serve {model}. Its suppliers: {known}. Nothing was changed.",
        supplier=shorten(supplier),
        model=model.name,
        known=join_names(names),
    )


def _parse_number(word: str) -> Decimal | None:
    try:
        number = Decimal(normalize(word).removeprefix("$"))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _parse_rates(model: Model, dollars: Sequence[Decimal]) -> Rates:
    """Raises `UsageError` for what is no cost; one of zero would be sold for nothing."""
    for one in dollars:
        if not 0 < one <= _DOLLARS_MAX:
            wrong = say(
                "A cost is above zero and at most {most}, not {cost}.",
                most=f"${_DOLLARS_MAX:,}",
                cost=shorten(f"{one:f}"),
            )
            raise make_usage_error(wrong, _HOW_COST)
    if model.per == "second":
        second = Rate(ceil(Fraction(dollars[0]) * 10**12 / 60))
        return Rates(NO_RATE, NO_RATE, NO_RATE, NO_RATE, second=second)
    rates = [Rate(ceil(Fraction(one) * 1_000_000)) for one in dollars]
    cached = rates[2] if len(rates) > 2 else rates[0]
    return Rates(rates[0], rates[1], cached, rates[0])


_DAYS_PATTERN: Final = re.compile(r"(\d{1,3})d")
_DATE_PATTERN: Final = re.compile(r"\d{4}-\d\d-\d\d")
_DOLLARS_PATTERN: Final = re.compile(r"\$(\d{1,7}(?:\.\d{1,2})?)")
_DAYS_MAX: Final = 366
#: What the card of absorbing offers.
_DAYS_OFFERED: Final = (7, 30, 90)
_CAPS_OFFERED: Final = ("10", "100", "1000")


def make_change_card(options: ChangeOptions) -> Reply:
    """What moved, what it does, and the three answers."""
    change, model, now = options.change, options.model, options.current_price
    lines = [describe_rates(model, change.old, change.new)]
    if change.old.billed_permille != change.new.billed_permille:
        real = say(
            "Calls used to cost {old} of the list price; now they cost {new}.",
            old=_format_billed_share(change.old),
            new=_format_billed_share(change.new),
        )
        lines.append(real)
    if change.reason == "again":
        lines.append(say("It was absorbed until now: the time is up, or the cap reached."))
    lines += [
        say(
            "{model} is sold at {price}. Profit on cost: {before} before, {after} now.",
            model=model.name,
            price=format_price(now),
            before=format_margin(options.margin_before),
            after=format_margin(options.calculate_margin()),
        ),
        say_count(
            "By the real mix of the last 30 days: {count} answer.",
            "By the real mix of the last 30 days: {count} answers.",
            options.usage.answers,
        )
        if options.usage.is_measured
        else say("By the usual mix: nobody has asked it there lately."),
        say("No price moves until you choose."),
    ]
    return Reply(
        title=change_title(change, model, dearer=options.responses.is_dearer),
        lines=tuple(lines),
        choices=_option_choices(options),
        private=True,
    )


def change_title(change: CostChange, model: Model, *, dearer: bool) -> Phrase:
    """`openai: GPT-4 Turbo costs more`."""
    if dearer:
        return say(
            "{supplier}: {model} costs more",
            supplier=get_supplier_title(change.provider),
            model=model.name,
        )
    return say(
        "{supplier}: {model} costs less",
        supplier=get_supplier_title(change.provider),
        model=model.name,
    )


def _option_choices(options: ChangeOptions) -> tuple[tuple[Choice, ...], ...]:
    passed, shared = options.responses.passed_on, options.responses.shared
    rows = []
    if passed is not None:
        label = say("Pass on: {price} ({percent})", **_price_and_margin(options, passed))
        rows.append((_decide_choice(options, "passed", passed, label),))
    if shared is not None:
        label = say("Share: {price} ({percent})", **_price_and_margin(options, shared))
        rows.append((_decide_choice(options, "shared", shared, label),))
    if options.responses.is_dearer:
        stay = say("Absorb: stay at {price} ({percent})", **_price_and_margin(options, None))
        rows.append((Choice(stay, "supplier-absorb", _change_data(options)),))
    else:
        stay = say("Keep: stay at {price} ({percent})", **_price_and_margin(options, None))
        rows.append((Choice(stay, "supplier-keep", _change_data(options)),))
    return tuple(rows)


def _price_and_margin(options: ChangeOptions, rates: RatePair | None) -> dict[str, str | Phrase]:
    """A price and its margin."""
    price = options.current_price if rates is None else options.to_price(rates)
    return {"price": format_price(price), "percent": format_margin(options.calculate_margin(rates))}


def _decide_choice(
    options: ChangeOptions, kind: DecisionKind, rates: RatePair, label: Phrase
) -> Choice:
    shown = {"kind": kind, "inward": rates[0].units, "outward": rates[1].units}
    return Choice(label, "supplier-decide", {**_change_data(options), **shown})


def _change_data(options: ChangeOptions) -> dict[str, str | int]:
    return {"change": options.change.id, "version": options.change.version}


def make_absorb_card(options: ChangeOptions) -> Reply:
    """Until when, or up to which loss."""
    data, back = (
        _change_data(options),
        Choice(say("‹ Back"), "supplier-change", _change_data(options)),
    )
    days = tuple(
        Choice(
            say_count("{count} day", "{count} days", count),
            "supplier-keep",
            {**data, "ends": f"{count}d"},
        )
        for count in _DAYS_OFFERED
    )
    caps = tuple(
        Choice(
            say("until {cash} are lost", cash=f"${int(cap):,}"),
            "supplier-keep",
            {**data, "ends": f"${cap}"},
        )
        for cap in _CAPS_OFFERED
    )
    return Reply(
        title=say("Absorb: {model}", model=options.model.name),
        lines=(
            say("For how long, or up to which loss? Then you are asked again."),
            say(
                "“Lost” is what the supplier takes beyond what it took before. By hand:"
                " /suppliers absorb {model} 14d, or $25, or 2026-03-31.",
                model=options.model.id,
            ),
        ),
        choices=(
            days,
            caps,
            (back,),
        ),
        private=True,
    )


def parse_absorb_end(text: str, now_ms: int) -> tuple[int | None, NanoUsd | None]:
    """`14d`, `2026-03-31` (that day included, UTC) or `$25`: a time, or a loss. Raises
    ValueError."""
    if dollars := _DOLLARS_PATTERN.fullmatch(text):
        cap = parse_usd(dollars[1])
        if cap.is_zero:
            raise ValueError(text)
        return None, cap
    now = as_datetime(now_ms)
    if length := _DAYS_PATTERN.fullmatch(text):
        until = now + timedelta(days=int(length[1]))
    elif _DATE_PATTERN.fullmatch(text):
        until = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
    else:
        raise ValueError(text)
    if not now < until <= now + timedelta(days=_DAYS_MAX):
        raise ValueError(text)
    return as_ms(until), None


def describe_absorbed(change: CostChange, model: str) -> Phrase:
    """How long one that is absorbed still is."""
    if change.cap is not None:
        return say(
            "{supplier}: {model}: absorbed until {cap} are lost; {lost} so far.",
            supplier=get_supplier_title(change.provider),
            model=model,
            cap=format_usd(change.cap),
            lost=format_usd(change.lost),
        )
    return say(
        "{supplier}: {model}: absorbed until {time}.",
        supplier=get_supplier_title(change.provider),
        model=model,
        time=as_datetime(change.until or 0),
    )


def describe_rates(model: Model, old: SupplierRate, new: SupplierRate) -> Phrase:
    """What the supplier took and takes."""
    if model.per == "second":
        return say(
            "Supplier: {old} → {new} a minute",
            old=_format_minute(old.second),
            new=_format_minute(new.second),
        )
    return say(
        "Supplier, per 1M tokens: in {old_in} → {new_in}, cached {old_cached} → {new_cached}, out"
        " {old_out} → {new_out}",
        old_in=_format_dollars(old.input),
        new_in=_format_dollars(new.input),
        old_cached=_format_dollars(old.cached),
        new_cached=_format_dollars(new.cached),
        old_out=_format_dollars(old.output),
        new_out=_format_dollars(new.output),
    )


def describe_price_data(data: PriceData) -> Phrase:
    """How old what is known of suppliers' lists is."""
    if data.fetched_at is not None:
        return say(
            "Lists: genai-prices, fetched at {time}.",
            time=as_datetime(data.fetched_at),
        )
    if data.max_age_days is None:
        return say("Lists: genai-prices {version}.", version=data.version)
    if data.max_age_days == 0:
        return say("Lists: genai-prices {version}, of today.", version=data.version)
    return say_count(
        "Lists: genai-prices {version}, at most {count} day old.",
        "Lists: genai-prices {version}, at most {count} days old.",
        data.max_age_days,
        version=data.version,
    )


def _format_dollars(micro: int) -> str:
    """Millionths of a dollar, exactly: a pico-dollar a token is one per million tokens."""
    whole, rest = divmod(micro, 1_000_000)
    return f"${whole:,}.{rest:06}".rstrip("0").rstrip(".")


def _format_minute(pico: int) -> str:
    return _format_dollars((pico * 60 + 500_000) // 1_000_000)


def _format_billed_share(rate: SupplierRate) -> Phrase:
    return format_percent(rate.billed_permille * 100 // AS_LISTED)


def is_still_offered(data: tuple[int, int], offered: RatePair | None) -> bool:
    """Whether a button still offers what it showed."""
    return offered is not None and (offered[0].units, offered[1].units) == data
