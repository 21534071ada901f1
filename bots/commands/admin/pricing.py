"""`/pricing`: what the formula suggests, for one model or for all with a preview; and
`/pricing auto gpt-4 20%`, how far a price may move by itself. Without it none does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bots.chat.command import Arguments, Request, action, argument, command
from bots.chat.reply import Choice, Phrase, Reply, plain, say, say_count
from bots.commands.admin.setprice import (
    SetPriceCommands,
    describe_upcoming,
    format_margin,
    is_large_move,
    list_margins,
)
from bots.commands.arguments import make_usage_error, shorten
from bots.commands.text import format_price, format_short_price
from core.money import MicroCredits
from core.pricing.catalogue import Catalogue
from core.pricing.prices import NewPrice, PriceBook
from core.repricing.automatic import MAX_BOUND_PERCENT, AutomaticPricing
from core.repricing.price_changes import PriceChanges
from core.repricing.suggestions import PriceSuggestion, PriceSuggestions

#: As many as fit one message and one button's row.
_SHOWN_MAX: Final = 20
_BUTTONS_MAX: Final = 6


@dataclass(frozen=True, slots=True)
class PricingArguments(Arguments):
    """What follows `/pricing`."""

    model: str = argument(
        say("A model, or: auto gpt-4 20%"),
        say("model"),
        say("auto model 20%|off"),
        completion="model",
    )


class PricingCommands:
    """The commands that show the formula's suggestion beside every price, and set it."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        prices: PriceBook,
        suggestions: PriceSuggestions,
        price_changes: PriceChanges,
        set_price_commands: SetPriceCommands,
        bound_commands: PriceBoundCommands,
    ) -> None:
        """`set_price_commands` changes a single price, and asks before a large step."""
        self._bound_commands = bound_commands
        self._catalogue, self._prices = catalogue, prices
        self._suggestions, self._price_changes = suggestions, price_changes
        self._set_price_commands = set_price_commands

    @command(
        "pricing",
        title=say("Pricing"),
        description=say("Prices beside what the formula suggests"),
        arguments=PricingArguments,
        admin_only=True,
        support_allowed=True,
    )
    async def pricing(self, request: Request, given: PricingArguments) -> Reply:
        """All models where the formula would ask something else; with a name, one model; or how
        far prices may move by themselves."""
        await self._prices.refresh()
        words = given.words
        if words and words[0].casefold() == "auto" and request.role != "support":
            return await self._bound_commands.set_bounds(request, words[1:])
        if words:
            return await self._model_card(" ".join(words))
        return await self._overview_card()

    @action("pricing", admin_only=True, support_allowed=True)
    async def show_pricing(self, request: Request) -> Reply:
        """One model, or all, by a button."""
        name = str(request.data.get("model", ""))
        return replace(
            await (self._model_card(name) if name else self._overview_card()), replace=True
        )

    async def _overview_card(self) -> Reply:
        suggestions = await self._suggestions.list_suggestions()
        differing = [one for one in suggestions if one.is_worth_changing]
        differing.sort(
            key=lambda one: (-_count_answers(one), one.basis.calculate_margin(one.current) or 0)
        )
        lines = [
            say(
                "{count} of {all} prices differ from the formula's: cost + {markup} % by the real"
                " mix, and demand. A price set by hand stays until somebody changes it.",
                count=len(differing),
                all=len(suggestions),
                markup=self._suggestions.markup_percent,
            )
        ]
        if len(differing) > _SHOWN_MAX:
            lines.append(say("The {count} that are asked most:", count=_SHOWN_MAX))
        heads = (say("Model"), say("Now"), say("Formula"), say("Profit on cost"))
        table = [heads, *(_overview_row(one) for one in differing[:_SHOWN_MAX])]
        each = [
            Choice(plain(one.model.name), "pricing", {"model": one.model.id})
            for one in differing[:_BUTTONS_MAX]
        ]
        return Reply(
            title=say("Pricing"),
            lines=tuple(lines),
            table=tuple(table) if differing else (),
            choices=(tuple(each[:3]), tuple(each[3:]), _preview_choices(differing)),
            private=True,
        )

    async def _model_card(self, name: str) -> Reply:
        model = self._catalogue.find(name)
        suggestion = await self._suggestions.suggest_price(model)
        if suggestion is None:
            phrase = say("No supplier's cost is known for {model}.", model=model.name)
            return Reply(lines=(phrase,), private=True)
        lines = [
            say("Now: {price}, set by hand", price=format_price(suggestion.current))
            if suggestion.is_set_by_hand
            else say("Now: {price}, the formula's", price=format_price(suggestion.current)),
            *list_margins(suggestion.basis, suggestion.current),
            say(
                "Formula: {price} (cost + {markup} %, demand × {demand})",
                price=format_price(suggestion.suggested_price),
                markup=self._suggestions.markup_percent,
                demand=f"{suggestion.demand_percent / 100:.2f}",
            ),
            say(
                "Profit on cost at that: {percent}",
                percent=format_margin(
                    suggestion.basis.calculate_margin(suggestion.suggested_price)
                ),
            ),
        ]
        lines += await self._bound_commands.list_bound_lines(model.id, model.name)
        choices = []
        if suggestion.is_worth_changing:
            data = {**_pack_price(suggestion), "was": suggestion.current.id}
            label = say("Set {price}", price=format_price(suggestion.suggested_price))
            choices.append(Choice(label, "pricing-set", data, once=True))
        upcoming = self._prices.find_upcoming(model.id)
        if upcoming is not None:
            lines.append(describe_upcoming(upcoming))
        last = self._prices.find_newest(model.id)
        if last is not None and self._price_changes.find_price_before(last) is not None:
            choices.append(Choice(say("↩ Undo"), "price-undo", {"price": last.id}, once=True))
        return Reply(
            title=plain(model.name),
            lines=tuple(lines),
            choices=(tuple(choices), (Choice(say("‹ All prices"), "pricing"),)),
            private=True,
        )

    @action("pricing-set", admin_only=True)
    async def pricing_set(self, request: Request) -> Reply:
        """The price that the card showed, unless another holds by now; a large step asks."""
        await self._prices.refresh(at_most_seconds=0)
        current = self._prices.find_current(str(request.data["model"]))
        if current is None or current.id != request.data["was"]:
            return replace(await self._model_card(str(request.data["model"])), replace=True)
        return replace(
            await self._set_price_commands.set_or_confirm(request, _unpack_price(request.data)),
            replace=True,
        )

    # --- all at once ----------------------------------------------------------------------------

    @action("pricing-preview", admin_only=True, support_allowed=True)
    async def pricing_preview(self, request: Request) -> Reply:
        """What would change, and a button that does just that."""
        all_ = bool(request.data["all"])
        chosen = [
            one
            for one in await self._suggestions.list_suggestions()
            if one.is_worth_changing and (all_ or not one.is_set_by_hand)
        ]
        chosen.sort(key=lambda one: -_count_answers(one))
        chosen = chosen[:_SHOWN_MAX]
        if not chosen:
            return replace(await self._overview_card(), replace=True)
        large = sum(is_large_move(one.current, one.new_price) for one in chosen)
        lines = [say("These prices change together or not at all.")]
        if large:
            lines.append(say("{count} of them move by more than half: ⚠.", count=large))
        data = json.dumps([{**_pack_price(one), "was": one.current.id} for one in chosen])
        return Reply(
            title=say("Preview"),
            lines=tuple(lines),
            table=(
                (say("Model"), say("Price"), say("Profit on cost")),
                *(_preview_row(one) for one in chosen),
            ),
            choices=(
                (
                    Choice(
                        say_count("Set this price", "Set these {count} prices", len(chosen)),
                        "pricing-all",
                        {"prices": data},
                        once=True,
                    ),
                    Choice(say("Cancel"), "cancel"),
                ),
            ),
            private=True,
            replace=True,
        )

    @action("pricing-all", admin_only=True)
    async def pricing_all(self, request: Request) -> Reply:
        """The previewed prices; those that changed meanwhile are left."""
        await self._prices.refresh(at_most_seconds=0)
        wanted = []
        rows = json.loads(str(request.data["prices"]))
        for row in rows:
            current = self._prices.find_current(row["model"])
            if current is not None and current.id == row["was"]:
                wanted.append(_unpack_price(row))
        if wanted:
            await self._price_changes.set_prices(wanted, actor=request.person.id, act="pricing")
        lines = [say_count("{count} price is set.", "{count} prices are set.", len(wanted))]
        if len(wanted) < len(rows):
            left = len(rows) - len(wanted)
            lines.append(say("{count} had changed meanwhile and were left.", count=left))
        lines.append(say("Questions asked before keep the price that they were quoted."))
        return Reply(lines=tuple(lines), private=True, replace=True)


def _count_answers(suggestion: PriceSuggestion) -> int:
    return 0 if suggestion.basis.real_usage is None else suggestion.basis.real_usage.answers


def _overview_row(suggestion: PriceSuggestion) -> tuple[Phrase, ...]:
    return (
        plain(suggestion.model.name),
        format_short_price(suggestion.current),
        format_short_price(suggestion.suggested_price),
        format_margin(suggestion.basis.calculate_margin(suggestion.current)),
    )


def _preview_row(suggestion: PriceSuggestion) -> tuple[Phrase, ...]:
    mark = " ⚠" if is_large_move(suggestion.current, suggestion.new_price) else ""
    return (
        plain(f"{suggestion.model.name}{mark}"),
        say(
            "{old} → {new}",
            old=format_short_price(suggestion.current),
            new=format_short_price(suggestion.suggested_price),
        ),
        say(
            "{old} → {new}",
            old=format_margin(suggestion.basis.calculate_margin(suggestion.current)),
            new=format_margin(suggestion.basis.calculate_margin(suggestion.suggested_price)),
        ),
    )


def _preview_choices(differing: list[PriceSuggestion]) -> tuple[Choice, ...]:
    """[Preview all], and without those set by hand where that is something else."""
    formula_count = sum(not one.is_set_by_hand for one in differing)
    choices = []
    if differing:
        label = say("Preview all ({count})", count=min(len(differing), _SHOWN_MAX))
        choices.append(Choice(label, "pricing-preview", {"all": 1}))
    if 0 < formula_count < len(differing):
        label = say("Without those set by hand: {count}", count=min(formula_count, _SHOWN_MAX))
        choices.append(Choice(label, "pricing-preview", {"all": 0}))
    return tuple(choices)


def _pack_price(suggestion: PriceSuggestion) -> dict[str, str | int]:
    return {
        "model": suggestion.current.model,
        "per": suggestion.current.per,
        "inward": suggestion.input_rate.units,
        "outward": suggestion.output_rate.units,
    }


def _unpack_price(row: Mapping[str, str | int]) -> NewPrice:
    return NewPrice(
        str(row["model"]),
        MicroCredits(int(row["inward"])),
        MicroCredits(int(row["outward"])),
        "second" if row["per"] == "second" else "token",
    )


_PERCENT_PATTERN: Final = re.compile(r"(?:±)?(\d{1,2})\s*%?")
_HOW: Final = say(
    "Write it like this: /pricing auto gpt-4 20% (from the last price that you set, at most"
    " {most} %), /pricing auto all 20%, /pricing auto gpt-4 off. Nothing was changed."
)


class PriceBoundCommands:
    """The part of `/pricing` that sets how far prices may move by themselves."""

    def __init__(self, *, catalogue: Catalogue, automatic_pricing: AutomaticPricing) -> None:
        self._catalogue, self._automatic_pricing = catalogue, automatic_pricing

    async def set_bounds(self, request: Request, words: Sequence[str]) -> Reply:
        """`words` follow `/pricing auto`."""
        percent = _parse_bound(words[-1]) if len(words) > 1 else None
        if percent is None:
            how = Phrase(_HOW.text, {"most": MAX_BOUND_PERCENT})
            if len(words) < 2:
                raise make_usage_error(say("A model and a percentage are needed."), how)
            wrong = say(
                "“{typed}” is neither off nor a percentage from 1 to {most}.",
                typed=shorten(words[-1]),
                most=MAX_BOUND_PERCENT,
            )
            raise make_usage_error(wrong, how)
        name = " ".join(words[:-1])
        models = (
            list(self._catalogue.models.values())
            if name.casefold() == "all"
            else [self._catalogue.find(name)]
        )
        ids = [model.id for model in models]
        await self._automatic_pricing.set_bounds(ids, percent, actor=request.person.id)
        what = models[0].name if len(models) == 1 else str(len(models))
        return Reply(lines=(self._bound_text(what, percent),), private=True)

    def _bound_text(self, name: str, percent: int) -> Phrase:
        if not percent:
            return say("{model}: prices move only by hand.", model=name)
        pace = self._automatic_pricing.limits
        return say(
            "{model}: the price follows the formula by itself, within ±{percent} % of the last one"
            " that a person set, every {hours} hours at most, {day} % a day at most, and not while"
            " a supplier's change waits or is absorbed.",
            model=name,
            percent=percent,
            hours=pace.interval_hours,
            day=pace.max_daily_percent,
        )

    async def list_bound_lines(self, model: str, name: str) -> tuple[Phrase, ...]:
        """What holds for a model; nothing where its price moves only by hand."""
        percent = (await self._automatic_pricing.list_bounds()).get(model, 0)
        return (self._bound_text(name, percent),) if percent else ()


def _parse_bound(word: str) -> int | None:
    """None where it is no bound."""
    if word.casefold() == "off":
        return 0
    found = _PERCENT_PATTERN.fullmatch(word)
    if found is None or not 0 < int(found[1]) <= MAX_BOUND_PERCENT:
        return None
    return int(found[1])
