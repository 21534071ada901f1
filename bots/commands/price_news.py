"""A new Credit price as people hear of it, and the button by which the operator has it told."""

from __future__ import annotations

from bots.chat.command import Action, Request, Room
from bots.chat.reply import Choice, Reply, Said, say
from bots.commands.text import price_line
from core.clock import as_datetime
from core.jobs.notifications import Notice
from core.money import MicroCredits
from core.pricing.catalogue import Catalogue
from core.pricing.prices import Price, PriceBook
from core.pricing.rates import Per
from core.repricing.announcements import PriceNews
from core.repricing.price_changes import Change


class PriceNewsCommands:
    """Has a price told to those who use its model."""

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
