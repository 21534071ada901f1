"""The form of a token's secret: a prefix that scanners know, random characters, a checksum.

    cbk_ | 30 random characters | 6 characters of the CRC-32 of all before

All of them base 62. Whoever mistypes or guesses is refused by the checksum, before anything is read
from the database; and a scanner that finds the form can tell a token from what only looks like one.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "cbk_"
#: What a token looks like, for scanners; told in `docs/api.md`.
SCANNER_PATTERN: Final = r"\bcbk_[0-9A-Za-z]{36}\b"

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_CHARS: Final = 30
_CHECK_CHARS: Final = 6
_FORM: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_CHARS + _CHECK_CHARS}}}", re.ASCII)
#: So many of its first and last characters are shown: of the random ones four.
_SHOWN_FIRST: Final = 8
_SHOWN_LAST: Final = 4


def generate_secret() -> str:
    """A new secret: 178 random bits."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM_CHARS))
    return f"{PREFIX}{random}{_compute_check(PREFIX + random)}"


def is_well_formed(text: str) -> bool:
    """Whether a text has the length, the characters and the checksum of a secret."""
    if _FORM.fullmatch(text) is None:
        return False
    return text[-_CHECK_CHARS:] == _compute_check(text[:-_CHECK_CHARS])


def find_secret(text: str) -> str | None:
    """The first well-formed secret in a text."""
    found = re.findall(SCANNER_PATTERN, text, re.ASCII)
    return next((one for one in found if is_well_formed(one)), None)


def shorten_secret(secret: str) -> str:
    """The label by which people know a token: `cbk_1a2b…wxyz`. The last characters are the
    checksum's, so that they tell little."""
    return f"{secret[:_SHOWN_FIRST]}…{secret[-_SHOWN_LAST:]}"


def _compute_check(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = ""
    for _ in range(_CHECK_CHARS):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
