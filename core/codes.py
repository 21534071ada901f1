"""Codes that people type: of chance alone, in letters that nobody confuses.

Whoever keeps one that is worth something keeps its digest only.
"""

from __future__ import annotations

import hashlib
import secrets

#: Five bits each: no 0 and O, no 1 and I.
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_GROUP = 4


def fresh(chars: int) -> str:
    """A new code of so many characters, 5 bits each."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(chars))


def grouped(code: str) -> str:
    """As it is shown: `ABCD-EFGH-JKLM`."""
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def bare(typed: str) -> str:
    """What somebody typed, as `fresh` made it: in any case, with or without hyphens and spaces."""
    return "".join(typed.upper().replace("-", " ").split())


def digest(code: str) -> str:
    """What is kept of a bare code."""
    return hashlib.sha256(code.encode()).hexdigest()
