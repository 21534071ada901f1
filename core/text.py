"""Text from outside, made fit to be stored, sent and shown.

JSON can carry what UTF-8 can't: half of a surrogate pair, alone or with its other half in the next
piece of a stream. Databases take neither that nor U+0000. What can't be mended becomes U+FFFD.
"""

from __future__ import annotations

import unicodedata
from typing import Final

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
#: Letters by their category that show nothing: fillers, and the blank of Braille.
_BLANKS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
#: Categories of which nothing is to be seen: controls, formats, surrogates, separators, what is
#: not assigned, and marks without a letter (variation selectors are such).
_UNSEEN: Final = frozenset(("Cc", "Cf", "Cs", "Cn", "Zs", "Zl", "Zp", "Mn", "Me"))
#: The first half of a pair is one of these.
_HIGH_FIRST: Final = "\ud800"
_HIGH_LAST: Final = "\udbff"


def repair_text(text: str) -> str:
    """The same text, with halves of a pair joined where they stand together; what is left of them,
    and U+0000, is replaced. Text that is fit already is given back as it is."""
    if text.isascii():
        return text.replace("\0", REPLACEMENT) if "\0" in text else text
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.replace("\0", REPLACEMENT)


class TextJoiner:
    """A joiner of a stream's pieces: it repairs each, and keeps half a pair at a piece's end for
    the piece that follows."""

    def __init__(self) -> None:
        self._half = ""

    def add_piece(self, piece: str) -> str:
        """What of the stream is whole now; may be empty."""
        text, self._half = self._half + piece, ""
        if text and _HIGH_FIRST <= text[-1] <= _HIGH_LAST:
            text, self._half = text[:-1], text[-1]
        return repair_text(text)

    def finish(self) -> str:
        """What is left at the stream's end: a half whose other half never came."""
        half, self._half = self._half, ""
        return repair_text(half)


def has_visible_text(text: str) -> bool:
    """Whether anything can be seen of it; blanks, joiners and fillers alone can't."""
    return any(
        character not in _BLANKS and unicodedata.category(character) not in _UNSEEN
        for character in text
    )
