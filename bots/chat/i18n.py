"""Sentences in the reader's language: gettext catalogues read at start, numbers and dates by Babel.

The English text of a sentence is its key (`bots.chat.reply.say`), so English needs no catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from gettext import c2py
from importlib import resources
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from babel.dates import format_skeleton, format_time, get_timezone_location
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from bots.chat.reply import Phrase
from core.money import Amount

#: The languages that people can choose, the default first, each by its own name.
LANGUAGES: Mapping[str, str] = {"en": "English", "zh-CN": "简体中文"}


def find_nearest_language(code: str) -> str:
    """The nearest language to what a platform tells (`zh-hans`, `it-IT`, nothing): English else."""
    wanted = code.lower().replace("_", "-").partition("-")[0]
    return next((known for known in LANGUAGES if known.lower().partition("-")[0] == wanted), "en")


@dataclass(frozen=True, slots=True)
class Translations:
    """A language's sentences by their English text: the forms of each, and which form is a number's
    (both as gettext has them)."""

    forms: Mapping[str, tuple[str, ...]]
    find_form: Callable[[int], int]


@cache
def load_translations(language: str) -> Translations:
    """All translated sentences of a language; English is translated from nothing."""
    if language == "en":
        return Translations({}, lambda number: int(number != 1))
    with resources.files("bots.locale").joinpath(f"{language}.po").open("rb") as file:
        catalogue = read_po(file)
    forms = {
        _as_tuple(message.id)[-1]: _as_tuple(message.string)
        for message in catalogue
        if message.id and all(_as_tuple(message.string))
    }
    return Translations(forms, c2py(catalogue.plural_expr))


def _as_tuple(texts: str | Sequence[str] | None) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts or ())


def render(phrase: Phrase, language: str, zone: str = "UTC") -> str:
    """The sentence as this reader reads it; an untranslated one stays English."""
    text = _find_text(phrase, language)
    if not phrase.values:
        return text
    return text.format_map(
        {name: _format_value(value, language, zone) for name, value in phrase.values.items()}
    )


def _find_text(phrase: Phrase, language: str) -> str:
    translations = load_translations(language)
    forms = translations.forms.get(phrase.text)
    if forms is None:
        is_one = bool(phrase.text_of_one) and phrase.number == 1
        return phrase.text_of_one if is_one else phrase.text
    return forms[translations.find_form(phrase.number)] if len(forms) > 1 else forms[0]


def _format_value(value: object, language: str, zone: str) -> str:
    match value:
        case Phrase():
            return render(value, language, zone)
        case Amount():
            return _format_number(value.units, language)
        case bool():
            raise TypeError("a sentence takes no truth")
        case int():
            return _format_number(value, language)
        case datetime():
            return _format_moment(value, language, zone)
        case _:
            return str(value)


@lru_cache(maxsize=4_096)
def _format_number(number: int, language: str) -> str:
    return format_decimal(number, locale=language.replace("-", "_"))


def get_zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name; UTC when this machine doesn't know it."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


def name_zone(name: str, language: str) -> str:
    """A time zone as people call it: by its city."""
    city = get_timezone_location(name, locale=language.replace("-", "_"), return_city=True)
    return str(city).rpartition("/")[2]


def find_zone(typed: str) -> str | None:
    """The time zone of an IANA name, or of a city in English; None where there is none."""
    wanted = "_".join(typed.casefold().split())
    zones = sorted(available_timezones())
    found = (zone for zone in zones if wanted == zone.casefold())
    by_city = (zone for zone in zones if wanted == zone.casefold().rpartition("/")[2])
    return next(found, None) or next(by_city, None)


def _format_moment(at: datetime, language: str, zone: str) -> str:
    """Day and time: a message is read on later days too, so that no time stands alone."""
    local, locale = at.astimezone(get_zone(zone)), language.replace("-", "_")
    time = format_time(local, "HH:mm", locale=locale)
    return f"{format_skeleton('MMMd', local, locale=locale)} {time}"
