"""`/pricing`: what the formula suggests, for one model or for all with a preview; and
`/pricing auto gpt-4 20%`, how far a price may move by itself. Without it none does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, plain, say
from bots.commands.admin.setprice import (
    PriceCommands,
    coming_words,
    ground_words,
    moves_by_half,
    percent,
    short_price,
)
from bots.commands.errors import NotUnderstood
from bots.commands.text import price_line
from core.money import MicroCredits
from core.pricing.catalogue import Catalogue
from core.pricing.prices import NewPrice, PriceBook
from core.repricing.automatic import BOUND_MOST, Automatic
from core.repricing.price_changes import Repricing
from core.repricing.suggestions import Suggestion, Suggestions

#: As many as fit one message and one button's row.
_SHOWN: Final = 20
_BUTTONS: Final = 6


class SuggestCommands:
    """The commands that show the formula's suggestion beside every price, and set it."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        prices: PriceBook,
        suggestions: Suggestions,
        repricing: Repricing,
        setting: PriceCommands,
        bounds: BoundCommands,
    ) -> None:
        """`set_price_commands` changes a single price, and asks before a large step."""
        self._bounds = bounds
        self._catalogue, self._prices = catalogue, prices
        self._suggestions, self._repricing = suggestions, repricing
        self._setting = setting

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "pricing",
                    title=say("Pricing"),
                    does=say("Prices beside what the formula suggests"),
                    usage=say("/pricing [model] [auto model 20%|off]"),
                    options=(
                        Option("model", say("A model, or: auto gpt-4 20%"), completes="model"),
                    ),
                    handler=self.pricing,
                    admin=True,
                    support=True,
                ),
            ),
            actions=(
                Action("pricing", self.again, admin=True, support=True),
                Action("pricing-set", self.set, admin=True),
                Action("pricing-preview", self.preview, admin=True, support=True),
                Action("pricing-all", self.set_all, admin=True),
            ),
        )

    async def pricing(self, request: Request) -> Reply:
        """All models where the formula would ask something else; with a name, one model; or how
        far prices may move by themselves."""
        await self._prices.refresh()
        words = request.text.split()
        if words and words[0].casefold() == "auto" and request.role != "support":
            return await self._bounds.auto(request, words[1:])
        if words:
            return await self._card(" ".join(words))
        return await self._overview()

    async def again(self, request: Request) -> Reply:
        """One model, or all, by a button."""
        name = str(request.data.get("model", ""))
        return replace(await (self._card(name) if name else self._overview()), replace=True)

    async def _overview(self) -> Reply:
        every = await self._suggestions.all()
        differing = [one for one in every if one.differs]
        differing.sort(key=lambda one: (-_answers(one), one.ground.margin(one.now) or 0))
        lines = [
            say(
                "{count} of {all} prices differ from the formula's: cost + {markup} % by the real"
                " mix, and demand. A price set by hand stays until somebody changes it.",
                count=len(differing),
                all=len(every),
                markup=self._suggestions.markup_percent,
            )
        ]
        if len(differing) > _SHOWN:
            lines.append(say("The {count} that are asked most:", count=_SHOWN))
        heads = (say("Model"), say("Now"), say("Formula"), say("Profit on cost"))
        table = [heads, *(_row(one) for one in differing[:_SHOWN])]
        each = [
            Choice(plain(one.model.name), "pricing", {"model": one.model.id})
            for one in differing[:_BUTTONS]
        ]
        return Reply(
            title=say("Pricing"),
            lines=tuple(lines),
            table=tuple(table) if differing else (),
            choices=(tuple(each[:3]), tuple(each[3:]), _previews(differing)),
            private=True,
        )

    async def _card(self, name: str) -> Reply:
        model = self._catalogue.find(name)
        one = await self._suggestions.of(model)
        if one is None:
            said = say("No supplier's cost is known for {model}.", model=model.name)
            return Reply(lines=(said,), private=True)
        lines = [
            say("Now: {price}, set by hand", price=price_line(one.now))
            if one.by_hand
            else say("Now: {price}, the formula's", price=price_line(one.now)),
            *ground_words(one.ground, one.now),
            say(
                "Formula: {price} (cost + {markup} %, demand × {demand})",
                price=price_line(one.price),
                markup=self._suggestions.markup_percent,
                demand=f"{one.demand / 100:.2f}",
            ),
            say(
                "Profit on cost at that: {percent}",
                percent=percent(one.ground.margin(one.price)),
            ),
        ]
        lines += await self._bounds.line(model.id, model.name)
        choices = []
        if one.differs:
            data = {**_packed(one), "was": one.now.id}
            label = say("Set {price}", price=price_line(one.price))
            choices.append(Choice(label, "pricing-set", data, once=True))
        coming = self._prices.coming(model.id)
        if coming is not None:
            lines.append(coming_words(coming))
        last = self._prices.newest(model.id)
        if last is not None and self._repricing.undoes(last) is not None:
            choices.append(Choice(say("↩ Undo"), "price-undo", {"price": last.id}, once=True))
        return Reply(
            title=plain(model.name),
            lines=tuple(lines),
            choices=(tuple(choices), (Choice(say("‹ All prices"), "pricing"),)),
            private=True,
        )

    async def set(self, request: Request) -> Reply:
        """The price that the card showed, unless another holds by now; a large step asks."""
        await self._prices.refresh(at_most_seconds=0)
        current = self._prices.current(str(request.data["model"]))
        if current is None or current.id != request.data["was"]:
            return replace(await self._card(str(request.data["model"])), replace=True)
        return replace(await self._setting.asked(request, _unpacked(request.data)), replace=True)

    # --- all at once ----------------------------------------------------------------------------

    async def preview(self, request: Request) -> Reply:
        """What would change, and a button that does just that."""
        all_ = bool(request.data["all"])
        chosen = [
            one
            for one in await self._suggestions.all()
            if one.differs and (all_ or not one.by_hand)
        ]
        chosen.sort(key=lambda one: -_answers(one))
        chosen = chosen[:_SHOWN]
        if not chosen:
            return replace(await self._overview(), replace=True)
        large = sum(moves_by_half(one.now, one.wanted) for one in chosen)
        lines = [say("These prices change together, or none of them.")]
        if large:
            lines.append(say("{count} of them move by more than half: ⚠.", count=large))
        data = json.dumps([{**_packed(one), "was": one.now.id} for one in chosen])
        return Reply(
            title=say("Preview"),
            lines=tuple(lines),
            table=(
                (say("Model"), say("Price"), say("Profit on cost")),
                *(_step(one) for one in chosen),
            ),
            choices=(
                (
                    Choice(
                        say("Set these {count} prices", count=len(chosen)),
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

    async def set_all(self, request: Request) -> Reply:
        """The previewed prices; those that changed meanwhile are left."""
        await self._prices.refresh(at_most_seconds=0)
        wanted = []
        rows = json.loads(str(request.data["prices"]))
        for row in rows:
            current = self._prices.current(row["model"])
            if current is not None and current.id == row["was"]:
                wanted.append(_unpacked(row))
        if wanted:
            await self._repricing.set_all(wanted, actor=request.person.id, act="pricing")
        lines = [say("{count} prices are set.", count=len(wanted))]
        if len(wanted) < len(rows):
            left = len(rows) - len(wanted)
            lines.append(say("{count} had changed meanwhile and were left.", count=left))
        lines.append(say("Questions asked before keep the price that they were quoted."))
        return Reply(lines=tuple(lines), private=True, replace=True)


def _answers(one: Suggestion) -> int:
    return 0 if one.ground.real is None else one.ground.real.answers


def _row(one: Suggestion) -> tuple[Said, ...]:
    return (
        plain(one.model.name),
        short_price(one.now),
        short_price(one.price),
        plain(percent(one.ground.margin(one.now))),
    )


def _step(one: Suggestion) -> tuple[Said, ...]:
    mark = " ⚠" if moves_by_half(one.now, one.wanted) else ""
    return (
        plain(f"{one.model.name}{mark}"),
        say("{old} → {new}", old=short_price(one.now), new=short_price(one.price)),
        say(
            "{old} → {new}",
            old=percent(one.ground.margin(one.now)),
            new=percent(one.ground.margin(one.price)),
        ),
    )


def _previews(differing: list[Suggestion]) -> tuple[Choice, ...]:
    """[Preview all], and without those set by hand where that is something else."""
    own = sum(not one.by_hand for one in differing)
    choices = []
    if differing:
        label = say("Preview all {count}", count=min(len(differing), _SHOWN))
        choices.append(Choice(label, "pricing-preview", {"all": 1}))
    if 0 < own < len(differing):
        label = say("Without those set by hand: {count}", count=min(own, _SHOWN))
        choices.append(Choice(label, "pricing-preview", {"all": 0}))
    return tuple(choices)


def _packed(one: Suggestion) -> dict[str, str | int]:
    return {
        "model": one.now.model,
        "per": one.now.per,
        "inward": one.input_rate.units,
        "outward": one.output_rate.units,
    }


def _unpacked(row: Mapping[str, str | int]) -> NewPrice:
    return NewPrice(
        str(row["model"]),
        MicroCredits(int(row["inward"])),
        MicroCredits(int(row["outward"])),
        "second" if row["per"] == "second" else "token",
    )


_PERCENT: Final = re.compile(r"(?:±)?(\d{1,2})\s*%?")
_HOW: Final = say(
    "Write it like this: /pricing auto gpt-4 20% (from the last price that you set, at most"
    " {most} %), /pricing auto all 20%, /pricing auto gpt-4 off. Nothing was changed."
)


class BoundCommands:
    """The part of `/pricing` that sets how far prices may move by themselves."""

    def __init__(self, *, catalogue: Catalogue, automatic: Automatic) -> None:
        self._catalogue, self._automatic = catalogue, automatic

    async def auto(self, request: Request, words: Sequence[str]) -> Reply:
        """`words` follow `auto`."""
        percent = _percent(words[-1]) if len(words) > 1 else None
        if percent is None:
            raise NotUnderstood(Said(_HOW.text, {"most": BOUND_MOST}))
        name = " ".join(words[:-1])
        models = (
            list(self._catalogue.models.values())
            if name.casefold() == "all"
            else [self._catalogue.find(name)]
        )
        ids = [model.id for model in models]
        await self._automatic.bind(ids, percent, actor=request.person.id)
        what = models[0].name if len(models) == 1 else str(len(models))
        return Reply(lines=(self._words(what, percent),), private=True)

    def _words(self, what: str, percent: int) -> Said:
        if not percent:
            return say("{model}: prices move only by hand.", model=what)
        pace = self._automatic.pace
        return say(
            "{model}: the price follows the formula by itself, within ±{percent} % of the last one"
            " that a person set, every {hours} hours at most, {day} % a day at most, and not while"
            " a supplier's change waits or is absorbed.",
            model=what,
            percent=percent,
            hours=pace.hours,
            day=pace.day_percent,
        )

    async def line(self, model: str, name: str) -> tuple[Said, ...]:
        """What holds for a model; nothing where its price moves only by hand."""
        percent = (await self._automatic.bounds()).get(model, 0)
        return (self._words(name, percent),) if percent else ()


def _percent(word: str) -> int | None:
    """None where it is no bound."""
    if word.casefold() == "off":
        return 0
    found = _PERCENT.fullmatch(word)
    if found is None or not 0 < int(found[1]) <= BOUND_MOST:
        return None
    return int(found[1])
