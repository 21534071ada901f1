"""What an owner types of prices and times: `gpt-4 5 15 at 18:30`, `whisper 0.04/s in 2h`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from bots.chat.i18n import zone_of
from core.clock import DAY_MS, as_datetime, as_ms
from core.money import MicroCredits
from core.pricing.catalogue import Catalogue, Model

_PRICE_MAX: Final = Decimal(100_000)
#: A price isn't set further ahead.
_AHEAD: Final = timedelta(days=366)
_LENGTHS: Final = {"m": 60_000, "min": 60_000, "h": 3_600_000, "d": DAY_MS}
_WHEN: Final = re.compile(
    r"\s+(?:(?:at|from)\s+)?"
    r"(?:in\s+(?P<count>\d{1,5})\s*(?P<length>m|min|h|d)"
    r"|(?P<day>\d{4}-\d\d-\d\d)(?:[ T](?P<hour>\d\d?:\d\d))?"
    r"|(?P<clock>\d\d?:\d\d))$"
)
_UNITS: Final = {"s": "second", "sec": "second", "min": "minute", "1k": "1k"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A price that was typed, and from when on in milliseconds UTC; None: now."""

    model: Model
    inward: MicroCredits
    outward: MicroCredits
    at_ms: int | None


def wanted(text: str, catalogue: Catalogue, *, now_ms: int, zone: str) -> Wanted:
    """Reads a price. Raises ValueError when it isn't one, or its time is over or too far ahead,
    and `UnknownModel`."""
    text, at_ms = _timed(f" {text.strip()}", now_ms, zone)
    words = text.split()
    numbers: list[tuple[Decimal, str]] = []
    while len(words) > 1 and len(numbers) < 2 and (number := _number(words[-1])) is not None:
        numbers.insert(0, number)
        words.pop()
    if not words or not numbers:
        raise ValueError(text)
    model = catalogue.find(" ".join(words))
    rates = [_rate(model, *number) for number in numbers]
    if model.per == "second" and len(rates) > 1:
        raise ValueError(text)
    return Wanted(model, rates[0], rates[-1], at_ms)


def _timed(text: str, now_ms: int, zone: str) -> tuple[str, int | None]:
    """What is left in front of a time, and the time."""
    found = _WHEN.search(text)
    if found is None:
        return text, None
    at = _moment(found, now_ms, zone)
    if not now_ms <= at <= now_ms + _AHEAD // timedelta(milliseconds=1):
        raise ValueError(text)
    return text[: found.start()], at


def _moment(found: re.Match[str], now_ms: int, zone: str) -> int:
    if found["count"]:
        return now_ms + int(found["count"]) * _LENGTHS[found["length"]]
    here = zone_of(zone)
    hour = time.fromisoformat((found["hour"] or found["clock"] or "0:00").rjust(5, "0"))
    if found["day"]:
        return as_ms(datetime.combine(datetime.fromisoformat(found["day"]).date(), hour, here))
    today = as_datetime(now_ms).astimezone(here).date()
    at = as_ms(datetime.combine(today, hour, here))
    if at < now_ms:
        at = as_ms(datetime.combine(today + timedelta(days=1), hour, here))
    return at


def _number(word: str) -> tuple[Decimal, str] | None:
    """A number and the unit behind its slash; None for other words."""
    digits, slash, unit = word.partition("/")
    if slash and unit not in _UNITS:
        return None
    try:
        number = Decimal(digits)
    except InvalidOperation:
        return None
    return (number, _UNITS.get(unit, "")) if number.is_finite() else None


def _rate(model: Model, number: Decimal, unit: str) -> MicroCredits:
    """Micro-Credits per token or second. A minute's price is rounded down, so that no minute costs
    a Credit more than was typed."""
    audio = model.per == "second"
    if not 0 < number <= _PRICE_MAX or (unit and audio != (unit in {"second", "minute"})):
        raise ValueError(number)
    if unit == "second":
        micro = number * 1_000_000
        if micro != int(micro):
            raise ValueError(number)
        return MicroCredits(int(micro))
    per_token = number * 1_000
    if per_token != int(per_token):
        raise ValueError(number)
    if audio:
        return MicroCredits(max(1, int(per_token) * 1_000 // 60))
    return MicroCredits(int(per_token))
