"""`/setprice`: a price from now or a time on, what it does to the margin, and its undoing."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, say
from bots.commands.errors import NotUnderstood, sentence
from bots.commands.price_typing import wanted
from bots.commands.price_words import changed_words, margin_words
from bots.commands.text import price_line
from core.clock import Clock, as_datetime
from core.money import MicroCredits
from core.pricing.catalogue import Catalogue
from core.pricing.prices import NewPrice, Price, PriceBook
from core.repricing.margins import Margins
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
    """Sets prices by hand; every act is authorised again at each press."""

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
        """Sets it, or asks first; `request` may be a press."""
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
