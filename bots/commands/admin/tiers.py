"""Tiers: what regular customers get. `/tier`; admins define them and give them there too."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import Final

from bots.chat.command import Arguments, Request, argument, command
from bots.chat.reply import Phrase, Reply, plain, say, say_count
from bots.commands.arguments import (
    make_range_error,
    make_usage_error,
    normalize,
    parse_count,
    shorten,
)
from bots.commands.errors import UsageError
from bots.commands.text import format_credits
from core.admin_log import Facts, admin_log_row
from core.clock import Clock
from core.db.writes import Insert
from core.money import Credits
from core.pricing.deals import BONUS_MAX, DISCOUNT_MAX, Deals
from core.pricing.tiers import Tier
from core.users.service import Users

_log = logging.getLogger(__name__)

_HOW: Final = say(
    "Write it like this: /tier add Gold topups 10000 in 30 days 10% off, /tier remove Gold, /tier"
    " set telegram:123 Gold. Nothing was changed."
)
_HOW_ADD: Final = say(
    "Write it like this: /tier add Gold topups 10000 in 30 days 10% off 5% bonus minute 60 once 10"
    " day 5000. What isn't named stays as for everyone. Nothing was changed."
)
_HOW_SET: Final = say(
    "Write it like this: /tier set telegram:123 Gold; none takes it away, auto leaves it to what"
    " they buy or spend. Nothing was changed."
)
#: Each form, and what it does.
_FORMS: Final[tuple[Phrase, ...]] = (
    say("/tier add Gold topups 10000 in 30 days 10% off — for whoever buys that much"),
    say("/tier add Pro spending 5000 in 30 days 5% bonus — for whoever spends that much"),
    say("It may also bring: minute 60, once 10 (asks), day 5000 (Credits)."),
    say("/tier set telegram:123 Gold — gives it by hand; /tier remove Gold — ends it"),
)
_OPERATOR_ONLY: Final = say("That is for the operator only. Nothing was changed.")
_CONDITION_PATTERN: Final = re.compile(
    r"(?P<name>\S(?:.{0,30}\S)?)\s+(?P<by>topups?|spending)\s+(?P<least>-?[\d,]{1,40})"
    r"(?:\s+credits?)?\s+(?:with)?in\s+(?P<days>-?\d{1,40})\s*(?:days?|d)\b(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_BENEFIT_PATTERN: Final = re.compile(
    r"\s*,?\s*(?:(?P<discount>-?\d{1,40})\s*%\s*off|(?P<bonus>-?\d{1,40})\s*%\s*bonus"
    r"|minute\s+(?P<per_minute>-?\d{1,40})|once\s+(?P<at_once>-?\d{1,40})"
    r"|day\s+(?P<per_day>-?\d{1,40}))",
    re.IGNORECASE,
)
_DAYS_MAX: Final = 366
_CREDITS_MAX: Final = 1_000_000_000
#: The most that each benefit can be.
_BENEFITS_MAX: Final = {
    "discount": DISCOUNT_MAX,
    "bonus": BONUS_MAX,
    "per_minute": 9_999,
    "at_once": 9_999,
    "per_day": _CREDITS_MAX,
}
_RESERVED_NAMES: Final = {"none", "auto"}


@dataclass(frozen=True, slots=True)
class TierArguments(Arguments):
    """What follows `/tier`."""

    text: str = argument(say("For the operator: add, remove, set"))


class TierCommands:
    """The command that shows people their tier, and lets admins define and assign tiers."""

    def __init__(self, *, deals: Deals, users: Users, clock: Clock) -> None:
        self._deals, self._users, self._clock = deals, users, clock

    @command(
        "tier",
        title=say("Tier"),
        description=say("Your tier, and what the tiers bring"),
        arguments=TierArguments,
        is_private=True,
    )
    async def tier(self, request: Request, given: TierArguments) -> Reply:
        """One's own; or what an admin does about them."""
        word, _, rest = given.text.partition(" ")
        word = word.casefold()
        if not word or word == "list":
            return await self._own_tier_card(request)
        if not request.is_admin:  # the role of now, of this very message
            _log.warning("refused: tier %s by %s", word[:16], request.person.id)
            raise UsageError(_OPERATOR_ONLY)
        match word:
            case "add":
                await self._add_tier(request, rest)
            case "remove":
                await self._remove_tier(request, rest)
            case "set":
                return await self._assign_tier(request, rest)
            case _:
                wrong = say("“{typed}” is none of add, remove and set.", typed=shorten(word))
                raise make_usage_error(wrong, _HOW)
        return await self._own_tier_card(request)

    async def _own_tier_card(self, request: Request) -> Reply:
        tiers, person = self._deals.tiers, request.person.id
        if not tiers.all:
            lines = [say("There are no tiers here.")]
            if request.is_admin:
                lines += _FORMS
            return Reply(title=say("Tier"), lines=tuple(lines), private=True)
        await self._deals.load_person(person, force=True)
        measured, own_tier = await tiers.measure_person(person), self._deals.find_tier(person)
        lines = [
            say("You have no tier yet.")
            if own_tier is None
            else say("Your tier: {tier}", tier=own_tier.name)
        ]
        lines += [
            say(
                "{tier}: {have} of {least}",
                tier=one.name,
                have=measured[one.basis, one.days],
                least=format_credits(one.threshold),
            )
            for one in tiers.all
            if measured[one.basis, one.days] < one.threshold
            and (own_tier is None or one != own_tier)
        ]
        table = tuple(
            (plain(one.name), describe_condition(one), describe_benefits(one)) for one in tiers.all
        )
        return Reply(title=say("Tier"), lines=tuple(lines), table=table, private=True)

    async def _add_tier(self, request: Request, text: str) -> None:
        tier = parse_tier(text)
        existing = [
            one for one in self._deals.tiers.all if one.name.casefold() == tier.name.casefold()
        ]
        if existing:  # the same one, however it is written now
            tier = replace(tier, name=existing[0].name)
        before = _tier_facts(existing[0]) if existing else {}
        row = self._admin_log_row(request, "tier", before, _tier_facts(tier))
        await self._deals.tiers.save_tier(tier, also=row)

    async def _remove_tier(self, request: Request, name: str) -> None:
        if not name.strip():
            raise make_usage_error(say("Say which tier."), _HOW)
        tier = self._deals.tiers.find(name)
        row = self._admin_log_row(request, "tier-remove", _tier_facts(tier), {"name": tier.name})
        await self._deals.tiers.remove(tier.name, also=row)

    async def _assign_tier(self, request: Request, text: str) -> Reply:
        who, _, wanted = text.strip().partition(" ")
        wanted = wanted.strip()
        if not wanted:
            raise make_usage_error(say("Say whose tier, and which."), _HOW_SET)
        person, tiers = await self._users.find(who), self._deals.tiers
        word, before = wanted.casefold(), tiers.assigned.get(person.id)
        name = wanted if word in _RESERVED_NAMES else tiers.find(wanted).name
        row = self._admin_log_row(
            request,
            "tier-set",
            {"person": person.id, "tier": "auto" if before is None else before or "none"},
            {"person": person.id, "tier": name},
        )
        if word == "auto":
            await tiers.unassign_tier(person.id, also=row)
        else:
            given = "" if word == "none" else name
            await tiers.assign_tier(person.id, given, by=request.person.id, also=row)
        await self._deals.load_person(person.id, force=True)
        tier = self._deals.find_tier(person.id)
        return Reply(
            (
                say("{user} has no tier now.", user=who)
                if tier is None
                else say("{user} has the tier {tier} now.", user=who, tier=tier.name),
            ),
            private=True,
        )

    def _admin_log_row(self, request: Request, act: str, before: Facts, after: Facts) -> Insert:
        return admin_log_row(
            self._clock, actor=request.person.id, act=act, before=before, after=after
        )


def parse_tier(text: str) -> Tier:
    """A tier as an admin writes it; raises `UsageError`."""
    matched = _CONDITION_PATTERN.fullmatch(normalize(text))
    if matched is None:
        wrong = say(
            "Say its name, then “topups 10000 in 30 days” or “spending 10000 in 30 days”, then what"
            " it brings."
        )
        raise make_usage_error(wrong, _HOW_ADD)
    if matched["name"].casefold() in _RESERVED_NAMES:
        wrong = say("A tier can't be called “{name}”.", name=matched["name"])
        raise make_usage_error(wrong, _HOW_ADD)
    found = _parse_benefits(matched["rest"].rstrip())
    per_day = found.get("per_day")
    return Tier(
        name=matched["name"],
        basis="spending" if matched["by"].casefold() == "spending" else "topups",
        threshold=Credits(_parse_number(matched["least"], matched["least"], _CREDITS_MAX)),
        days=_parse_number(matched["days"], f"in {matched['days']} days", _DAYS_MAX),
        discount_percent=found.get("discount", 0),
        bonus_percent=found.get("bonus", 0),
        per_minute=found.get("per_minute"),
        at_once=found.get("at_once"),
        per_day=None if per_day is None else Credits(per_day),
    )


def _parse_benefits(rest: str) -> dict[str, int]:
    """What a tier brings, by the names of `_BENEFITS_MAX`; raises `UsageError`."""
    found: dict[str, int] = {}
    at = 0
    while at < len(rest):
        benefit = _BENEFIT_PATTERN.match(rest, at)
        if benefit is None or benefit.lastgroup is None:
            wrong = say("A tier can't bring “{typed}”.", typed=shorten(rest[at:]))
            raise make_usage_error(wrong, _HOW_ADD)
        name, typed = benefit.lastgroup, benefit[0].strip(" ,")
        if name in found:
            wrong = say("“{typed}” is one too many of its kind.", typed=typed)
            raise make_usage_error(wrong, _HOW_ADD)
        found[name] = _parse_number(benefit[name], typed, _BENEFITS_MAX[name])
        at = benefit.end()
    if not found:
        wrong = say(
            "Say what it brings: “10% off”, “5% bonus”, “minute 60”, “once 10” or “day 5000”."
        )
        raise make_usage_error(wrong, _HOW_ADD)
    return found


def _parse_number(digits: str, typed: str, most: int) -> int:
    """From 1 to `most`; raises `UsageError` that shows it as it was `typed`."""
    number = parse_count(digits)
    if number is None or not 0 < number <= most:
        raise make_range_error(typed, _HOW_ADD, most=most)
    return number


def describe_condition(tier: Tier) -> Phrase:
    """How one gets there."""
    facts = {"least": format_credits(tier.threshold)}
    if tier.basis == "spending":
        return say_count(
            "{least} spent within {count} day",
            "{least} spent within {count} days",
            tier.days,
            **facts,
        )
    return say_count(
        "{least} bought within {count} day",
        "{least} bought within {count} days",
        tier.days,
        **facts,
    )


def describe_benefits(tier: Tier) -> Phrase:
    """What it brings, in a line."""
    parts = []
    if tier.discount_percent:
        parts.append(say("{percent} % off prices", percent=tier.discount_percent))
    if tier.bonus_percent:
        parts.append(say("{percent} % more on top-ups", percent=tier.bonus_percent))
    if tier.per_minute is not None:
        parts.append(say_count("{count} ask a minute", "{count} asks a minute", tier.per_minute))
    if tier.at_once is not None:
        parts.append(say_count("{count} ask at once", "{count} asks at once", tier.at_once))
    if tier.per_day is not None:
        parts.append(say("up to {credits} a day", credits=format_credits(tier.per_day)))
    phrase = parts[0]
    for part in parts[1:]:
        phrase = say("{one}, {more}", one=phrase, more=part)
    return phrase


def _tier_facts(tier: Tier) -> Facts:
    day = tier.per_day
    return {
        "name": tier.name,
        "by": tier.basis,
        "least": tier.threshold.units,
        "days": tier.days,
        "discount": tier.discount_percent,
        "bonus": tier.bonus_percent,
        "per_minute": tier.per_minute or 0,
        "at_once": tier.at_once or 0,
        "per_day": 0 if day is None else day.units,
    }
