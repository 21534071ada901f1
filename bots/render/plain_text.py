"""Plain text as platforms take it: cleaned of what they refuse or hide, measured as they measure it
(UTF-16 units, of which an emoji takes two), and without a line that looks like a footer of ours.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from typing import Final

#: Controls but tab and newline, surrogates that stand alone, direction marks, invisible
#: operators, fillers that look like nothing, interlinear marks, rare selectors, non-characters.
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufdd0-\ufdef\ufeff\uffa0"
    "\ufff0-\ufffb\ufffe\uffff\U000e0100-\U000e0fff]"
)
_LINE_ENDS: Final = re.compile("\r\n?|\u2028|\u2029|\x0b|\x0c|\x85")
_JOINERS_OR_TAGS: Final = re.compile("[\u200c\u200d\U000e0000-\U000e007f]")
_JOINER: Final = re.compile("[\u200c\u200d]+")
_TAGS: Final = re.compile("[\U000e0000-\U000e007f]+")
#: A black flag, then the region in tag letters, then the cancelling tag: a flag of a region.
_REGION_FLAG: Final = re.compile("\U0001f3f4[\U000e0030-\U000e007a]{3,7}\U000e007f")
#: Scripts in which joiners change letters: Arabic to Sinhala, Myanmar, Khmer, Mongolian, forms.
_JOINING_SCRIPTS: Final = re.compile(
    "[\u0600-\u0dff\u0f00-\u109f\u1780-\u17ff\u1800-\u18af\u1a20-\u1aaf\ua840-\ua9ff\ufb50-\ufdff"
    "\ufe70-\ufefe]"
)
#: What may stand around a joiner inside an emoji: pictures, skin tones, the emoji selector.
_PICTURE: Final = re.compile(
    "[\u2190-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff\u00a9\u00ae]"
)


def clean_text(text: str) -> str:
    """The text without what is unseen; lines end with a newline alone."""
    if text.isascii() and text.isprintable():
        return text
    text = _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text))
    if text.isascii() or not _JOINERS_OR_TAGS.search(text):
        return text
    text = _JOINER.sub(lambda match: _keep_joiner(text, match.start(), match.end()), text)
    return _without_tags(text)


def to_one_line(text: str) -> str:
    """The text without what is unseen, in one line."""
    return " ".join(clean_text(text).split())


def _keep_joiner(text: str, start: int, end: int) -> str:
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if _JOINING_SCRIPTS.match(before):
        return text[start]
    pictures = _PICTURE.match(before) and _PICTURE.match(after)
    return "\u200d" if pictures and "\u200d" in text[start:end] else ""


def _without_tags(text: str) -> str:
    flags = {match.start() + 1: match.end() for match in _REGION_FLAG.finditer(text)}
    return _TAGS.sub(
        lambda match: text[match.start() : flags[match.start()]] if match.start() in flags else "",
        text,
    )


_BMP_MAX = "\uffff"


def utf16_len(text: str) -> int:
    """The length in UTF-16 units."""
    if text.isascii() or max(text) <= _BMP_MAX:
        return len(text)
    return len(text) + sum(1 for char in text if char > _BMP_MAX)


class Utf16Offsets:
    """A converter from positions in a text to positions in its UTF-16 units."""

    def __init__(self, text: str) -> None:
        plain = text.isascii() or max(text) <= _BMP_MAX
        self._wide = [] if plain else [at for at, char in enumerate(text) if char > _BMP_MAX]

    def __call__(self, position: int) -> int:
        """Where the character at `position` begins, in units."""
        return position + bisect_left(self._wide, position)


def display_width(text: str) -> int:
    """The width in a monospaced font, about: wide characters and emoji take two columns."""
    if text.isascii():
        return len(text)
    width = 0
    for char in text:
        if unicodedata.combining(char) or char in "\u200d\ufe0e\ufe0f":
            continue
        width += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return width


#: How every footer begins, and no line of a model's text.
FOOTER_MARK: Final = "◈"

#: Signs that could be taken for the mark.
_MARK_LOOKALIKES: Final = "◈◇◆❖⟐◊⬖⬗⬘⬙⬥⬦⯁⯂🔷🔶🔸🔹💠⧫⬨⬧⋄♦♢"
_MARK_LOOKALIKE: Final = re.compile(f"[{_MARK_LOOKALIKES}]")
#: The signs that a line begins with, before its first letter or digit.
_LINE_SIGNS: Final = re.compile(r"^[^\w\n]+", re.MULTILINE)


def format_footer(footer: str) -> str:
    """The footer as shown, each of its lines marked."""
    lines = (to_one_line(line) for line in footer.splitlines())
    return "\n".join(f"{FOOTER_MARK} {line}" for line in lines if line)


def defuse_footer_marks(text: str) -> str:
    """The text with no line that begins like a footer; as long as before."""
    return _LINE_SIGNS.sub(lambda match: _MARK_LOOKALIKE.sub("·", match.group()), text)


#: What an address is made of: its end is where a sentence, a bracket or other markup goes on.
_ADDRESS: Final = re.compile(
    r"(?<![A-Za-z0-9+.\-])(https?)(://(?:(?!\*\*|~~(?![A-Za-z0-9]))"
    r"[^\s<>\[\]`|\\{}\"^\u3000-\u303f\ufe30-\ufe4f\uff00-\uffef“”‘’…])+)",
    re.IGNORECASE,
)
#: What ends a sentence rather than an address, or a mark around it.
_SENTENCE_ENDS: Final = "?!.,:;*_~'"
_SCHEME_CHARS_MAX: Final = 5


def match_address(text: str, colon: int) -> tuple[int, int] | None:
    """From where to where an address of the web goes whose scheme ends at `colon`, if there is
    one."""
    if not text.startswith("://", colon):
        return None
    for length in (_SCHEME_CHARS_MAX, _SCHEME_CHARS_MAX - 1):
        found = _ADDRESS.match(text, max(0, colon - length))
        if found is not None and found.start(2) == colon:
            end = _trim_address(text, found.start(2) + 3, found.end())
            return (found.start(), end) if end else None
    return None


def find_addresses(text: str) -> list[tuple[int, int]]:
    """From where to where each address of the web goes, in order."""
    if "://" not in text:
        return []
    ends = (
        (each, _trim_address(text, each.start(2) + 3, each.end()))
        for each in _ADDRESS.finditer(text)
    )
    return [(each.start(), end) for each, end in ends if end]


def _trim_address(text: str, start: int, end: int) -> int:
    """The end without a sentence's own signs and without a bracket that closes no other; 0 when
    nothing is left."""
    depth = 0
    for at in range(start, end):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if depth < 0:
            end = at
            break
    while end > start and text[end - 1] in _SENTENCE_ENDS:
        end -= 1
    return end if end > start else 0
