"""Tiers: what regular customers get. `/tier`; admins define them and give them there too."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Final

from bots.chat.command import Command, Option, Request, Room
from bots.chat.reply import Reply, Said, plain, say
from bots.commands.errors import NotUnderstood, sentence
from bots.commands.text import in_credits
from core.admin_log import Facts, logged
from core.clock import Clock
from core.db.writes import Insert
from core.money import Credits
from core.pricing.deals import BONUS_MAX, DISCOUNT_MAX, Deals
from core.pricing.tiers import NoTier, Tier, TooManyTiers
from core.users.service import People

_log = logging.getLogger(__name__)

_HOW: Final = say(
    "Write it like this: /tier add Gold topups 10000 in 30 days 10% off 5% bonus minute 60 once 10"
    " day 5000 (or spending instead of topups; what isn't named stays as for everyone), /tier"
    " remove Gold, /tier set telegram:123 Gold (or none, or auto). Nothing was changed."
)
_OPERATOR: Final = say("That is for the operator only. Nothing was changed.")
_REACHED: Final = re.compile(
    r"(?P<name>\S(?:.{0,30}\S)?)\s+(?P<by>topups?|spending)\s+(?P<least>[\d,]{1,13})"
    r"(?:\s+credits?)?\s+(?:with)?in\s+(?P<days>\d{1,3})\s*(?:days?|d)\b(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_GIVES: Final = re.compile(
    r"\s*,?\s*(?:(?P<discount>\d{1,2})\s*%\s*off|(?P<bonus>\d{1,3})\s*%\s*bonus"
    r"|minute\s+(?P<per_minute>\d{1,4})|once\s+(?P<at_once>\d{1,4})|day\s+(?P<per_day>\d{1,9}))",
    re.IGNORECASE,
)
_DAYS_MAX: Final = 366
_RESERVED: Final = {"none", "auto"}


@sentence.register
def _(refusal: NoTier) -> Said:
    return say(
        "There is no tier “{name}”. Nothing was changed. /tier lists them.", name=refusal.name
    )


@sentence.register
def _(refusal: TooManyTiers) -> Said:
    del refusal
    return say("There are too many tiers. Nothing was changed. Remove one first: /tier remove Gold")


class TierCommands:
    """The command that shows people their tier, and lets admins define and assign tiers."""

    def __init__(self, *, deals: Deals, people: People, clock: Clock) -> None:
        self._deals, self._people, self._clock = deals, people, clock

    def room(self) -> Room:
        """Commands and actions."""
        return Room(
            commands=(
                Command(
                    "tier",
                    title=say("Tier"),
                    does=say("Your tier, and what the tiers bring"),
                    options=(Option("text", say("For the operator: add, remove, set")),),
                    handler=self.tier,
                    private=True,
                ),
            )
        )

    async def tier(self, request: Request) -> Reply:
        """One's own; or what an admin does about them."""
        word, _, rest = request.text.strip().partition(" ")
        word = word.casefold()
        if not word or word == "list":
            return await self._mine(request)
        if not request.admin:  # the role of now, of this very message
            _log.warning("refused: tier %s by %s", word[:16], request.person.id)
            raise NotUnderstood(_OPERATOR)
        match word:
            case "add":
                await self._add(request, rest)
            case "remove":
                await self._remove(request, rest)
            case "set":
                return await self._set(request, rest)
            case _:
                raise NotUnderstood(_HOW)
        return await self._mine(request)

    async def _mine(self, request: Request) -> Reply:
        tiers, person = self._deals.tiers, request.person.id
        if not tiers.all:
            lines = [say("There are no tiers here.")]
            if request.admin:
                lines.append(_HOW)
            return Reply(title=say("Tier"), lines=tuple(lines), private=True)
        await self._deals.know(person, afresh=True)
        measured, mine = await tiers.measured(person), self._deals.tier(person)
        lines = [
            say("You have no tier yet.")
            if mine is None
            else say("Your tier: {tier}", tier=mine.name)
        ]
        lines += [
            say(
                "{tier}: {have} of {least}",
                tier=one.name,
                have=measured[one.by, one.days],
                least=in_credits(one.least),
            )
            for one in tiers.all
            if measured[one.by, one.days] < one.least and (mine is None or one != mine)
        ]
        table = tuple((plain(one.name), reached(one), gives(one)) for one in tiers.all)
        return Reply(title=say("Tier"), lines=tuple(lines), table=table, private=True)

    async def _add(self, request: Request, text: str) -> None:
        tier = tier_of(text)
        known = [
            one for one in self._deals.tiers.all if one.name.casefold() == tier.name.casefold()
        ]
        if known:  # the same one, however it is written now
            tier = replace(tier, name=known[0].name)
        before = _facts(known[0]) if known else {}
        row = self._logged(request, "tier", before, _facts(tier))
        await self._deals.tiers.put(tier, also=row)

    async def _remove(self, request: Request, name: str) -> None:
        tier = self._deals.tiers.find(name)
        row = self._logged(request, "tier-remove", _facts(tier), {"name": tier.name})
        await self._deals.tiers.remove(tier.name, also=row)

    async def _set(self, request: Request, text: str) -> Reply:
        who, _, wanted = text.strip().partition(" ")
        wanted = wanted.strip()
        if not wanted:
            raise NotUnderstood(_HOW)
        person, tiers = await self._people.find(who), self._deals.tiers
        word, before = wanted.casefold(), tiers.given.get(person.id)
        name = wanted if word in _RESERVED else tiers.find(wanted).name
        row = self._logged(
            request,
            "tier-set",
            {"person": person.id, "tier": "auto" if before is None else before or "none"},
            {"person": person.id, "tier": name},
        )
        if word == "auto":
            await tiers.take_back(person.id, also=row)
        else:
            given = "" if word == "none" else name
            await tiers.give(person.id, given, by=request.person.id, also=row)
        await self._deals.know(person.id, afresh=True)
        has = self._deals.tier(person.id)
        return Reply(
            (
                say("{user} has no tier now.", user=who)
                if has is None
                else say("{user} has the tier {tier} now.", user=who, tier=has.name),
            ),
            private=True,
        )

    def _logged(self, request: Request, act: str, before: Facts, after: Facts) -> Insert:
        return logged(self._clock, actor=request.person.id, act=act, before=before, after=after)


def tier_of(text: str) -> Tier:
    """A tier as an admin writes it; raises `UsageError`."""
    matched = _REACHED.fullmatch(text.strip().replace("％", "%"))
    if matched is None or matched["name"].casefold() in _RESERVED:
        raise NotUnderstood(_HOW)
    found: dict[str, int] = {}
    at, rest = 0, matched["rest"].rstrip()
    while at < len(rest):
        one = _GIVES.match(rest, at)
        if one is None or one.lastgroup is None or one.lastgroup in found:
            raise NotUnderstood(_HOW)
        found[one.lastgroup], at = int(one[one.lastgroup]), one.end()
    per_day, least = found.get("per_day"), int(matched["least"].replace(",", "") or 0)
    tier = Tier(
        name=matched["name"],
        by="spending" if matched["by"].casefold() == "spending" else "topups",
        least=Credits(least),
        days=int(matched["days"]),
        discount=found.get("discount", 0),
        bonus=found.get("bonus", 0),
        per_minute=found.get("per_minute"),
        at_once=found.get("at_once"),
        per_day=None if per_day is None else Credits(per_day),
    )
    fine = 0 < tier.days <= _DAYS_MAX and tier.least.units > 0 and found and all(found.values())
    if not fine or tier.discount > DISCOUNT_MAX or tier.bonus > BONUS_MAX:
        raise NotUnderstood(_HOW)
    return tier


def reached(tier: Tier) -> Said:
    """How one gets there."""
    facts = {"least": in_credits(tier.least)}
    if tier.by == "spending":
        return say("{least} spent within {days} days", days=tier.days, **facts)
    return say("{least} bought within {days} days", days=tier.days, **facts)


def gives(tier: Tier) -> Said:
    """What it brings, in a line."""
    parts = []
    if tier.discount:
        parts.append(say("{percent} % off prices", percent=tier.discount))
    if tier.bonus:
        parts.append(say("{percent} % more on top-ups", percent=tier.bonus))
    if tier.per_minute is not None:
        parts.append(say("{count} asks a minute", count=tier.per_minute))
    if tier.at_once is not None:
        parts.append(say("{count} asks at once", count=tier.at_once))
    if tier.per_day is not None:
        parts.append(say("up to {credits} a day", credits=in_credits(tier.per_day)))
    said = parts[0]
    for part in parts[1:]:
        said = say("{one}, {more}", one=said, more=part)
    return said


def _facts(tier: Tier) -> Facts:
    day = tier.per_day
    return {
        "name": tier.name,
        "by": tier.by,
        "least": tier.least.units,
        "days": tier.days,
        "discount": tier.discount,
        "bonus": tier.bonus,
        "per_minute": tier.per_minute or 0,
        "at_once": tier.at_once or 0,
        "per_day": 0 if day is None else day.units,
    }
