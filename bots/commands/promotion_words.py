"""A promotion as an admin writes it, and as it reads: `20% off gpt-4, claude until 2026-12-01`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bots.chat.i18n import zone_of
from bots.chat.reply import Said, say
from bots.commands.errors import NotUnderstood
from bots.commands.text import in_credits, money
from core.clock import DAY_MS, as_datetime, as_ms
from core.money import Credits, NanoUsd, usd
from core.pricing.catalogue import Catalogue, UnknownModel
from core.pricing.offers import BONUS_MAX, DISCOUNT_MAX
from core.pricing.promotions import PER_PERSON_MAX, TOTAL_MAX, Promotion
from payments.vouchers import COUNT_MAX

HOW: Final = say(
    "Write it like this: /promo add 20% off gpt-4, claude until 2026-12-01 total 1000 each 5; or"
    " 15% bonus from 2026-12-24 for 3 days; or 50 credits code WELCOME total 500; or 50 credits"
    " codes 200; or $10 codes 100 (codes that you sell). Nothing was changed."
)
_CREDITS_MAX: Final = 10_000_000
_DAYS_MAX: Final = 3_650
_DATE: Final = r"(\d{4}-\d{1,2}-\d{1,2}(?:[ T]\d{1,2}:\d{2})?)"
#: What is taken out of the text, one after another; the rest names models.
_PARTS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "off": r"\b(\d{1,3})\s*% ?off\b",
        "bonus": r"\b(\d{1,3})\s*% ?bonus\b",
        "gift": r"([\d,]{1,13})\s*credits?\b",
        "cash": r"\$\s*(\d{1,6}(?:\.\d{1,2})?)",
        "from": rf"\bfrom {_DATE}",
        "until": rf"\b(?:until|till|to) {_DATE}",
        "days": r"\b(?:for )?(\d{1,4}) ?days?\b",
        "codes": r"\bcodes ([\d,]{1,7})\b",
        "code": r"\bcode (\S{4,32})",
        "total": r"\btotal ([\d,]{1,9})\b",
        "each": r"\b(?:each|per person) ([\d,]{1,6})\b",
    }.items()
}
_FILL: Final = re.compile(r"\b(?:on|for|and|all|models?|once)\b|[,;]", re.IGNORECASE)
_WORD: Final = re.compile(r"[A-Z0-9-]{4,32}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A promotion that was written, and the codes that it shall have: so many, or one word."""

    promotion: Promotion
    codes: int = 0
    word: str = ""
    #: Codes that are sold for this, each, and no promotion at all.
    cash: NanoUsd | None = None


def draft_of(text: str, *, id_: str, catalogue: Catalogue, now_ms: int, zone: str) -> Draft:
    """What an admin wrote; dates are days of their zone, the last one included. Raises
    `NotUnderstood`, `UnknownModel`."""
    found, rest = _taken(text)
    kinds = [name for name in ("off", "bonus", "gift", "cash") if name in found]
    if len(kinds) != 1:
        raise NotUnderstood(HOW)
    codes, word = _number(found, "codes", COUNT_MAX), found.get("code", "").upper()
    if (codes and word) or (word and not _WORD.fullmatch(word)):
        raise NotUnderstood(HOW)
    starts_at, ends_at = _span(found, now_ms, zone)
    total, each = _number(found, "total", TOTAL_MAX), _number(found, "each", PER_PERSON_MAX)
    plan = Promotion(
        id=id_,
        kind="discount",
        models=frozenset(_models(rest, catalogue)),
        coded=bool(codes or word),
        starts_at=starts_at,
        ends_at=ends_at,
        total=total,
        per_person=each,
    )
    if kinds[0] == "off":
        plan = replace(plan, percent=_number(found, "off", DISCOUNT_MAX) or 0)
        return Draft(plan, codes or 0, word)
    if plan.models:
        raise NotUnderstood(HOW)
    if kinds[0] == "bonus":
        plan = replace(plan, kind="bonus", percent=_number(found, "bonus", BONUS_MAX) or 0)
        return Draft(plan, codes or 0, word)
    if not plan.coded or (kinds[0] == "cash" and not codes):
        raise NotUnderstood(HOW)
    if kinds[0] == "cash":
        return _sold(found, plan, codes or 0)
    gift = Credits(_number(found, "gift", _CREDITS_MAX) or 0)
    # A word that everybody knows gives its Credits to each once, unless the admin says otherwise.
    plan = replace(plan, kind="credits", credits=gift, per_person=each or (1 if word else None))
    return Draft(plan, codes or 0, word)


def promised(promotion: Promotion, catalogue: Catalogue) -> Said:
    """What it brings, in a line."""
    if promotion.kind == "credits":
        return say("{credits} as a gift", credits=in_credits(promotion.credits))
    if promotion.kind == "bonus":
        return say("{percent} % more on top-ups", percent=promotion.percent)
    if not promotion.models:
        return say("{percent} % off all models", percent=promotion.percent)
    known = catalogue.models
    names = sorted(known[id_].name if id_ in known else id_ for id_ in promotion.models)
    return say("{percent} % off {models}", percent=promotion.percent, models=", ".join(names))


def terms(promotion: Promotion, now_ms: int) -> list[Said]:
    """From when, until when, how often."""
    lines = []
    if promotion.starts_at > now_ms:
        lines.append(say("From {at}.", at=as_datetime(promotion.starts_at)))
    if promotion.ends_at is not None:
        lines.append(say("Until {at}.", at=as_datetime(promotion.ends_at)))
    if promotion.coded:
        lines.append(say("By code only."))
    if promotion.total is not None:
        lines.append(say("At most {count} times.", count=promotion.total))
    if promotion.per_person == 1:
        lines.append(say("Once for each person."))
    elif promotion.per_person is not None:
        lines.append(say("At most {count} times for each person.", count=promotion.per_person))
    return lines


def codes_line(draft: Draft) -> Said | None:
    """Which codes are made of it."""
    if draft.cash is not None:
        return say("{count} codes of {cash} each.", count=draft.codes, cash=money(draft.cash))
    if draft.codes:
        return say("{count} codes, each good once.", count=draft.codes)
    if draft.word:
        return say("The code {code}, for everyone who types it.", code=draft.word)
    return None


def _taken(text: str) -> tuple[dict[str, str], str]:
    """Each part by its name, and what is left of the text; raises `NotUnderstood` for a part that
    comes twice."""
    rest = " ".join(unicodedata.normalize("NFKC", text).split())
    found = {}
    for name, pattern in _PARTS.items():
        matched = pattern.search(rest)
        if matched is not None:
            found[name] = matched[1]
            rest = rest[: matched.start()] + " , " + rest[matched.end() :]
        if matched is not None and pattern.search(rest):
            raise NotUnderstood(HOW)
    return found, rest


def _number(found: Mapping[str, str], name: str, most: int) -> int | None:
    """A whole number above zero; None where nothing was written."""
    if name not in found:
        return None
    digits = found[name].replace(",", "")
    if not digits.isdecimal() or not 0 < int(digits) <= most:
        raise NotUnderstood(HOW)
    return int(digits)


def _span(found: Mapping[str, str], now_ms: int, zone: str) -> tuple[int, int | None]:
    starts_at = _moment(found["from"], zone, last=False) if "from" in found else now_ms
    ends_at = _moment(found["until"], zone, last=True) if "until" in found else None
    if "days" in found:
        days = _number(found, "days", _DAYS_MAX) or 0
        if ends_at is not None:
            raise NotUnderstood(HOW)
        ends_at = starts_at + days * DAY_MS
    if ends_at is not None and ends_at <= max(starts_at, now_ms):
        raise NotUnderstood(say("That would be over before it begins. Nothing was changed."))
    return starts_at, ends_at


def _moment(text: str, zone: str, *, last: bool) -> int:
    """A time, or a day's first moment, or its `last` one."""
    day, _, clock = text.replace("T", " ").partition(" ")
    try:
        year, month, date = (int(part) for part in day.split("-"))
        hour, minute = (int(part) for part in clock.split(":")) if clock else (0, 0)
        at = datetime(year, month, date, hour, minute, tzinfo=zone_of(zone))
    except ValueError:
        raise NotUnderstood(HOW) from None
    return as_ms(at + timedelta(days=1)) - 1 if last and not clock else as_ms(at)


def _models(rest: str, catalogue: Catalogue) -> list[str]:
    """Ids of the models that are named, divided by commas or by blanks."""
    ids = []
    for part in filter(None, (part.strip() for part in _FILL.sub(",", rest).split(","))):
        try:
            ids.append(catalogue.find(part).id)
        except UnknownModel:
            words = part.split()
            if len(words) == 1:
                raise
            ids += [catalogue.find(word).id for word in words]
    return ids


def _sold(found: Mapping[str, str], plan: Promotion, codes: int) -> Draft:
    """Codes to be sold know no terms but how many days they are good."""
    if {"from", "until", "total", "each"} & set(found):
        raise NotUnderstood(HOW)
    return Draft(replace(plan, models=frozenset()), codes, cash=usd(found["cash"]))
