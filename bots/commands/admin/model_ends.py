"""Models and routes that end soon, as operators are told of them: in `/suppliers`, by
`creditbot check`, and by a notification."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import date

from bots.chat.reply import Choice, Phrase, Reply, say, say_count
from bots.commands.text import get_supplier_title
from core.jobs.notifications import Notification
from core.pricing.catalogue import Catalogue, ComingEnd
from core.repricing.model_ends import NOTICE_DAYS


def describe_coming_end(end: ComingEnd) -> Phrase:
    """What ends, when, and what its names lead to then."""
    return _describe(
        end.model.name,
        "" if end.route is None else end.route.provider,
        end.ends,
        "" if end.successor is None else end.successor.name,
    )


def count_coming_ends(ends: Sequence[object]) -> Phrase:
    """How many end."""
    return say_count("⏳ {count} model ends soon", "⏳ {count} models end soon", len(ends))


def check_coming_ends(
    catalogue: Catalogue, suppliers: Collection[str]
) -> list[tuple[bool, Phrase]]:
    """What of these suppliers ends within `NOTICE_DAYS`, and of each whether people are served
    on."""
    return [
        (end.route is not None or end.successor is not None, describe_coming_end(end))
        for end in catalogue.list_coming_ends(NOTICE_DAYS)
        if not end.suppliers.isdisjoint(suppliers)
    ]


async def make_model_end_card(notification: Notification) -> Reply:
    """A notification's card: all ends that it tells of."""
    facts = notification.facts
    ends = [facts, *json.loads(str(facts.get("others", "[]")))]
    return Reply(
        title=count_coming_ends(ends),
        lines=tuple(map(_describe_facts, ends)),
        choices=((Choice(say("Suppliers"), "suppliers"),),),
        private=True,
    )


def _describe_facts(facts: Mapping[str, str | int]) -> Phrase:
    return _describe(
        str(facts["model"]),
        str(facts["supplier"]),
        date.fromisoformat(str(facts["ends"])),
        str(facts["successor"]),
    )


def _describe(model: str, supplier: str, ends: date, successor: str) -> Phrase:
    day = ends.isoformat()
    if supplier:
        return say(
            "{model} ends at {supplier} on {day}; others serve it on.",
            model=model,
            supplier=get_supplier_title(supplier),
            day=day,
        )
    if not successor:
        return say("{model} ends on {day}; nothing stands in for it.", model=model, day=day)
    return say(
        "{model} ends on {day}: its name and whoever chose it lead to {successor} from then on, at"
        " the price of that.",
        model=model,
        day=day,
        successor=successor,
    )
