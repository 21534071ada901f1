"""`/suppliers`: what suppliers changed, and pass on, share or absorb. Dollars show here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bots.chat.command import Action, Command, Option, Request, Room
from bots.chat.reply import Choice, Reply, Said, say
from bots.commands.errors import NotUnderstood, sentence
from bots.commands.price_news import tell_choice
from bots.commands.price_words import changed_words, margin_words
from bots.commands.supplier_costs import CostCommands
from bots.commands.supplier_words import (
    absorb_card,
    absorbed_words,
    change_card,
    data_words,
    ends,
    shown_rates,
    title,
)
from core.clock import Clock
from core.jobs.notifications import Notice
from core.pricing.catalogue import Catalogue
from core.pricing.source import PriceSource
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
    """Changes of costs, decided by buttons; every press is authorised again."""

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

    # --- what owners are told -------------------------------------------------------------------

    async def told(self, notice: Notice) -> Reply:
        """A notice's card: the change itself where it is one, else a list of buttons."""
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
        """Raises `Decided`."""
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
