"""`/pricing auto gpt-4 20%`: how far a price may move by itself. Without it none does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bots.chat.command import Request
from bots.chat.reply import Reply, Said, say
from bots.commands.errors import NotUnderstood
from core.pricing.catalogue import Catalogue
from core.repricing.automatic import BOUND_MOST, Automatic

_PERCENT: Final = re.compile(r"(?:±)?(\d{1,2})\s*%?")
_HOW: Final = say(
    "Write it like this: /pricing auto gpt-4 20% (from the last price that you set, at most"
    " {most} %), /pricing auto all 20%, /pricing auto gpt-4 off. Nothing was changed."
)


class BoundCommands:
    """Sets bounds; `/pricing` leads here."""

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
