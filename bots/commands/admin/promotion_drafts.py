"""A promotion as an admin writes it, `20% off gpt-4, claude until 2026-12-01`: how that is read,
what of it is wrong, and how it reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from bots.chat.i18n import get_zone
from bots.chat.reply import Phrase, say, say_count
from bots.commands.arguments import make_range_error, make_usage_error, normalize, shorten
from bots.commands.errors import UsageError
from bots.commands.text import format_credits, join_names
from core.clock import DAY_MS, as_datetime, as_ms
from core.money import Credits, NanoUsd, format_usd, parse_usd
from core.pricing.catalogue import Catalogue, UnknownModel
from core.pricing.deals import BONUS_MAX, DISCOUNT_MAX
from core.pricing.promotions import PER_PERSON_MAX, TOTAL_MAX, Promotion
from payments.vouchers import VOUCHERS_MAX

_HOW: Final = say(
    "Write it like this: /promo add 20% off gpt-4, claude until 2026-12-01. Bonuses, gifts and"
    " codes: /promo add. Nothing was changed."
)
#: Each form, and what it brings.
PROMOTION_FORMS: Final[tuple[Phrase, ...]] = (
    say(
        "/promo add 20% off gpt-4, claude until 2026-12-01 — lower prices; without a model, of all"
    ),
    say("/promo add 15% bonus from 2026-12-24 for 3 days — more Credits on top-ups"),
    say("/promo add 50 credits code WELCOME total 500 — a gift for everyone who types the word"),
    say("/promo add 50 credits codes 200 — a gift by codes, each good once"),
    say("/promo add $10 codes 100 for 365 days — codes that you sell elsewhere"),
    say(
        "Each may end with: until 2026-12-01 or for 3 days, total 1000 (times in all), each 5"
        " (times a person)."
    ),
)
_CREDITS_MAX: Final = 10_000_000
_DAYS_MAX: Final = 3_650
#: A number as somebody may write it, also one that can't be: signed, broken, too long.
_AMOUNT: Final = r"(?<![\w.\-−])([-−]?\d[\d,.]*(?<![,.]))"
_DATE: Final = r"(\d{4}-\d{1,2}-\d{1,2}(?:[ T]\d{1,2}:\d{2})?)"
#: What is taken out of the text, one after another; the rest names models.
_PART_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "off": rf"{_AMOUNT}\s*% ?off\b",
        "bonus": rf"{_AMOUNT}\s*% ?bonus\b",
        "gift": rf"{_AMOUNT}\s*credits?\b",
        "cash": r"\$\s*(\d{1,6}(?:\.\d{1,2})?)",
        "from": rf"\bfrom {_DATE}",
        "until": rf"\b(?:until|till|to) {_DATE}",
        "days": rf"(?:\bfor )?{_AMOUNT} ?days?\b",
        "codes": rf"\bcodes {_AMOUNT}",
        "code": r"\bcode (\S+)",
        "total": rf"\btotal {_AMOUNT}",
        "each": rf"\b(?:each|per person) {_AMOUNT}",
    }.items()
}
#: What begins a part: where no model is called so, the part couldn't be read.
_BEGINNINGS: Final = re.compile(
    r"(?<!\S)(?:from|until|till|to|codes?|total|each|per person)(?!\S)(?: [^\s,]+)?|\bfor$",
    re.IGNORECASE,
)
_FILLER: Final = re.compile(r"\b(?:on|for|and|all|models?|once)\b|[,;]", re.IGNORECASE)
#: As a number is written.
_WRITTEN: Final[Mapping[str, str]] = {
    "off": "{}% off",
    "bonus": "{}% bonus",
    "gift": "{} credits",
    "days": "{} days",
    "codes": "codes {}",
    "total": "total {}",
    "each": "each {}",
}
_CODE_WORD: Final = re.compile(r"[A-Z0-9-]{4,32}")


@dataclass(frozen=True, slots=True)
class PromotionDraft:
    """A promotion as an admin wrote it, and the codes that it shall have: so many, or one word."""

    promotion: Promotion
    codes: int = 0
    word: str = ""
    #: Codes that are sold for this, each, and no promotion at all.
    cash: NanoUsd | None = None


def parse_draft(
    text: str, *, id_: str, catalogue: Catalogue, now_ms: int, zone: str
) -> PromotionDraft:
    """What an admin wrote; dates are days of their zone, the last one included. Raises
    `UsageError`, `UnknownModel`."""
    found, rest = _take_parts(text)
    kind = _find_kind(found)
    codes, word = _parse_codes(found)
    starts_at, ends_at = _parse_span(found, now_ms, zone)
    total, each = (
        _parse_number(found, "total", TOTAL_MAX),
        _parse_number(found, "each", PER_PERSON_MAX),
    )
    promotion = Promotion(
        id=id_,
        kind="discount",
        models=frozenset(_parse_models(rest, catalogue)),
        needs_code=bool(codes or word),
        starts_at=starts_at,
        ends_at=ends_at,
        total=total,
        per_person=each,
    )
    if kind == "off":
        promotion = replace(promotion, percent=_parse_number(found, "off", DISCOUNT_MAX) or 0)
        return PromotionDraft(promotion, codes or 0, word)
    if promotion.models:
        raise _make_error(say("Only “% off” can be for single models."))
    if kind == "bonus":
        promotion = replace(
            promotion, kind="bonus", percent=_parse_number(found, "bonus", BONUS_MAX) or 0
        )
        return PromotionDraft(promotion, codes or 0, word)
    if kind == "cash" and not codes:
        raise _make_error(
            say("Dollars are for codes that you sell: say how many, as in “codes 100”.")
        )
    if not promotion.needs_code:
        raise _make_error(say("Credits are given by a code: “code WELCOME” or “codes 200”."))
    if kind == "cash":
        return _sold_codes_draft(found, promotion, codes or 0)
    gift = Credits(_parse_number(found, "gift", _CREDITS_MAX) or 0)
    # A word that everybody knows gives its Credits to each once, unless the admin says otherwise.
    promotion = replace(
        promotion, kind="credits", credits=gift, per_person=each or (1 if word else None)
    )
    return PromotionDraft(promotion, codes or 0, word)


def describe_promotion(promotion: Promotion, catalogue: Catalogue) -> Phrase:
    """What it brings, in a line."""
    if promotion.kind == "credits":
        return say("{credits} as a gift", credits=format_credits(promotion.credits))
    if promotion.kind == "bonus":
        return say("{percent} % more on top-ups", percent=promotion.percent)
    if not promotion.models:
        return say("{percent} % off all models", percent=promotion.percent)
    names = sorted(catalogue.get_name(id_) for id_ in promotion.models)
    return say("{percent} % off {models}", percent=promotion.percent, models=join_names(names))


def list_promotion_terms(promotion: Promotion, now_ms: int) -> list[Phrase]:
    """From when, until when, how often."""
    lines = []
    if promotion.starts_at > now_ms:
        lines.append(say("From {at}.", at=as_datetime(promotion.starts_at)))
    if promotion.ends_at is not None:
        lines.append(say("Until {at}.", at=as_datetime(promotion.ends_at)))
    if promotion.needs_code:
        lines.append(say("By code only."))
    if promotion.total is not None:
        lines.append(
            say_count(
                "At most {count} time.",
                "At most {count} times.",
                promotion.total,
            )
        )
    if promotion.per_person == 1:
        lines.append(say("Once for each person."))
    elif promotion.per_person is not None:
        lines.append(
            say_count(
                "At most {count} time for each person.",
                "At most {count} times for each person.",
                promotion.per_person,
            )
        )
    return lines


def describe_codes(draft: PromotionDraft) -> Phrase | None:
    """Which codes are made of it."""
    if draft.cash is not None:
        return say_count(
            "{count} code of {cash}.",
            "{count} codes of {cash} each.",
            draft.codes,
            cash=format_usd(draft.cash),
        )
    if draft.codes:
        return say_count(
            "{count} code, good once.",
            "{count} codes, each good once.",
            draft.codes,
        )
    if draft.word:
        return say("The code {code}, for everyone who types it.", code=draft.word)
    return None


def _make_error(wrong: Phrase) -> UsageError:
    """What was wrong, then how it is written."""
    return make_usage_error(wrong, _HOW)


def _show_part(found: Mapping[str, str], name: str) -> str:
    """A number with the word that it was written with: `20% off`, `total 0`."""
    return _WRITTEN[name].format(found[name])


def _take_parts(text: str) -> tuple[dict[str, str], str]:
    """Each part by its name, and what is left of the text; raises `UsageError` for a part that
    comes twice."""
    rest = " ".join(normalize(text).split())
    found = {}
    for name, pattern in _PART_PATTERNS.items():
        matched = pattern.search(rest)
        if matched is not None:
            found[name] = matched[1]
            rest = rest[: matched.start()] + " , " + rest[matched.end() :]
            if again := pattern.search(rest):
                twice = say("“{typed}” is one too many of its kind.", typed=again[0].strip())
                raise _make_error(twice)
    return found, rest


def _find_kind(found: Mapping[str, str]) -> str:
    """The one thing that it brings."""
    kinds = [name for name in ("off", "bonus", "gift", "cash") if name in found]
    if not kinds:
        raise _make_error(say("What does it bring? Say “20% off”, “15% bonus” or “50 credits”."))
    if len(kinds) > 1:
        raise _make_error(say("A promotion brings one thing: make two of it."))
    return kinds[0]


def _parse_codes(found: Mapping[str, str]) -> tuple[int | None, str]:
    """How many codes it has, or the word that is its code."""
    codes, word = _parse_number(found, "codes", VOUCHERS_MAX), found.get("code", "").upper()
    if codes and word:
        raise _make_error(say("Either “codes” and a number, or “code” and a word."))
    if word and not _CODE_WORD.fullmatch(word):
        bad = say("“{word}” can't be a code: 4 to 32 of A–Z, 0–9 and hyphens can.", word=word)
        raise _make_error(bad)
    return codes, word


def _parse_number(found: Mapping[str, str], name: str, most: int) -> int | None:
    """A whole number above zero; None where nothing was written."""
    if name not in found:
        return None
    digits = found[name].replace(",", "")
    if not digits.isdecimal() or not 0 < int(digits) <= most:
        raise make_range_error(_show_part(found, name), _HOW, most=most)
    return int(digits)


def _parse_span(found: Mapping[str, str], now_ms: int, zone: str) -> tuple[int, int | None]:
    starts_at = _parse_moment(found["from"], zone, last=False) if "from" in found else now_ms
    ends_at = _parse_moment(found["until"], zone, last=True) if "until" in found else None
    if "days" in found:
        days = _parse_number(found, "days", _DAYS_MAX) or 0
        if ends_at is not None:
            raise _make_error(say("Either “until” a date or “for” so many days."))
        ends_at = starts_at + days * DAY_MS
    if ends_at is not None and ends_at <= max(starts_at, now_ms):
        raise UsageError(say("That would end before it begins. Nothing was changed."))
    return starts_at, ends_at


def _parse_moment(text: str, zone: str, *, last: bool) -> int:
    """A time, or a day's first moment, or its `last` one."""
    day, _, clock = text.replace("T", " ").partition(" ")
    try:
        year, month, date = (int(part) for part in day.split("-"))
        hour, minute = (int(part) for part in clock.split(":")) if clock else (0, 0)
        at = datetime(year, month, date, hour, minute, tzinfo=get_zone(zone))
    except ValueError:
        raise _make_error(say("There is no {date}.", date=text)) from None
    return as_ms(at + timedelta(days=1)) - 1 if last and not clock else as_ms(at)


def _parse_models(rest: str, catalogue: Catalogue) -> list[str]:
    """Ids of the models that are named, divided by commas or by blanks."""
    unread = _BEGINNINGS.search(rest)
    if unread is not None and rest.endswith(" for"):
        raise _make_unread_error(unread[0])
    try:
        return _find_models(rest, catalogue)
    except UnknownModel:
        if unread is None:
            raise
        raise _make_unread_error(unread[0]) from None


def _make_unread_error(part: str) -> UsageError:
    return _make_error(say("“{typed}” can't be read.", typed=shorten(part)))


def _find_models(rest: str, catalogue: Catalogue) -> list[str]:
    ids = []
    for part in filter(None, (part.strip() for part in _FILLER.sub(",", rest).split(","))):
        try:
            ids.append(catalogue.find(part).id)
        except UnknownModel:
            words = part.split()
            if len(words) == 1:
                raise
            ids += [catalogue.find(word).id for word in words]
    return ids


def _sold_codes_draft(found: Mapping[str, str], promotion: Promotion, codes: int) -> PromotionDraft:
    """Codes to be sold know no terms but how many days they are good."""
    if {"from", "until", "total", "each"} & set(found):
        raise _make_error(say("Codes that you sell have no terms but “for 365 days”."))
    return PromotionDraft(
        replace(promotion, models=frozenset()), codes, cash=parse_usd(found["cash"])
    )
