"""How platforms measure text: in UTF-16 units, of which an emoji takes two."""

from __future__ import annotations

import unicodedata
from bisect import bisect_left

_BMP_MAX = "\uffff"


def utf16_len(text: str) -> int:
    """The length in UTF-16 units."""
    if text.isascii() or max(text) <= _BMP_MAX:
        return len(text)
    return len(text) + sum(1 for char in text if char > _BMP_MAX)


class Offsets:
    """Turns positions in a text into positions in its UTF-16 units."""

    def __init__(self, text: str) -> None:
        plain = text.isascii() or max(text) <= _BMP_MAX
        self._wide = [] if plain else [at for at, char in enumerate(text) if char > _BMP_MAX]

    def __call__(self, position: int) -> int:
        """Where the character at `position` begins, in units."""
        return position + bisect_left(self._wide, position)


def columns(text: str) -> int:
    """The width in a monospaced font, about: wide characters and emoji take two columns."""
    if text.isascii():
        return len(text)
    width = 0
    for char in text:
        if unicodedata.combining(char) or char in "\u200d\ufe0e\ufe0f":
            continue
        width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return width
