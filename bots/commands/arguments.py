"""What people type behind commands, read: numbers, and what is said of what can't be read: first
what was wrong in it, then how it is written.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from bots.chat.reply import Phrase, say
from bots.commands.errors import UsageError

#: Commas of both widths, where thousands have them.
_COUNT: Final = re.compile(r"\d{1,12}|\d{1,3}(?:[,，]\d{3}){1,3}")
#: The same with a sign, however long.
_NUMBER: Final = re.compile(r"[-−－+＋]?(?:\d+|\d{1,3}(?:[,，]\d{3})+)")
_SHOWN_CHARS_MAX: Final = 40


def parse_count(text: str) -> int | None:
    """A whole number as people write it, in any script's digits and below a million million; None
    for anything else."""
    if _COUNT.fullmatch(typed := text.strip()) is None:
        return None
    return int(typed.replace(",", "").replace("，", ""))


def parse_number(text: str, how: Phrase, *, least: int = 1, most: int) -> int:
    """A whole number within bounds (of below a million million); raises `UsageError`, which tells
    what is no number from what is too high or too low."""
    if is_number(text):
        number = parse_count(text)
        if number is not None and least <= number <= most:
            return number
        raise make_range_error(text, how, least=least, most=most)
    raise make_usage_error(say("“{typed}” isn't a whole number.", typed=shorten(text)), how)


def is_number(text: str) -> bool:
    """Whether it is a whole number as people write it, whatever its size and sign."""
    return _NUMBER.fullmatch(text.strip()) is not None


def make_range_error(text: str, how: Phrase, *, least: int = 1, most: int) -> UsageError:
    """What was typed is a number, but not one that can be."""
    wrong = say(
        "“{typed}” must be from {least} to {most}.", typed=shorten(text), least=least, most=most
    )
    return make_usage_error(wrong, how)


def make_usage_error(wrong: Phrase, how: Phrase) -> UsageError:
    """What was wrong, then how it is written."""
    return UsageError(say("{wrong} {how}", wrong=wrong, how=how))


def shorten(text: str) -> str:
    """What was typed, short enough to be shown again."""
    typed = " ".join(text.split())
    return typed if len(typed) <= _SHOWN_CHARS_MAX else f"{typed[: _SHOWN_CHARS_MAX - 1]}…"


def normalize(text: str) -> str:
    """The same in plain digits and signs where it was written in wide ones."""
    return unicodedata.normalize("NFKC", text).strip()
