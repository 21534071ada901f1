"""Ids: prefixed so that a log line reads by eye, time-ordered so that indexes grow at one end; and
codes that people type, of chance alone, in letters that nobody confuses.

A random id in an index about doubles the bytes written and adds 60–80 % CPU at ten million rows, so
even ids derived from a cause (a chat message) begin with that cause's own time. Whoever keeps a
code that is worth something keeps its digest only.
"""

from __future__ import annotations

import hashlib
import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS = 10
_TAIL_CHARS = 16
_TAIL_BITS = 5 * _TAIL_CHARS
#: A step between ids of one millisecond, so large that nobody guesses the next from the last.
_STEP_BITS = 62


#: Two digits at a time.
_PAIRS = tuple(one + other for one in _ALPHABET for other in _ALPHABET)


def _base32(number: int, length: int) -> str:
    """`number` as so many digits, an even count."""
    places = range(5 * length - 10, -1, -10)
    return "".join([_PAIRS[number >> place & 1023] for place in places])


class _Mint:
    """Ids of one process in the order in which they were made, also within a millisecond."""

    def __init__(self) -> None:
        self._at_ms = -1
        self._tail = 0

    def tail(self, at_ms: int) -> int:
        """80 bits: chance, or a step of chance above the last one of the same millisecond."""
        if at_ms != self._at_ms:
            self._at_ms, self._tail = at_ms, secrets.randbits(_TAIL_BITS - 1)
        else:
            self._tail = (self._tail + 1 + secrets.randbits(_STEP_BITS)) % (1 << _TAIL_BITS)
        return self._tail


_MINT = _Mint()


def new(prefix: str, at_ms: int) -> str:
    """A fresh id, `<prefix>_` and 26 characters: 10 of time, 16 (80 bits) of chance; later ones
    of the same process sort after it, also within the same millisecond."""
    tail = _base32(_MINT.tail(at_ms), _TAIL_CHARS)
    return f"{prefix}_{_base32(at_ms, _TIME_CHARS)}{tail}"


def derived(prefix: str, at_ms: int, *cause: str) -> str:
    """The id that belongs to a cause: the same cause and time give the same id, always."""
    digest = hashlib.blake2b("\0".join(cause).encode(), digest_size=_TAIL_BITS // 8).digest()
    return f"{prefix}_{_base32(at_ms, _TIME_CHARS)}{_base32(int.from_bytes(digest), 16)}"


def floor(prefix: str, at_ms: int) -> str:
    """The smallest id of that time: ids of `at_ms` and later are not below it."""
    return f"{prefix}_{_base32(at_ms, _TIME_CHARS)}"


def time_of(id_: str) -> int:
    """The time, in milliseconds UTC, that an id of this module begins with."""
    digits = id_.partition("_")[2][:_TIME_CHARS]
    return sum(_ALPHABET.index(char) << 5 * place for place, char in enumerate(reversed(digits)))


#: Five bits each: no 0 and O, no 1 and I.
_CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_GROUP = 4


def fresh(chars: int) -> str:
    """A new code of so many characters, 5 bits each."""
    return "".join(secrets.choice(_CODE_ALPHABET) for _ in range(chars))


def grouped(code: str) -> str:
    """As it is shown: `ABCD-EFGH-JKLM`."""
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def bare(typed: str) -> str:
    """What somebody typed, as `fresh` made it: in any case, with or without hyphens and spaces."""
    return "".join(typed.upper().replace("-", " ").split())


def digest(code: str) -> str:
    """What is kept of a bare code."""
    return hashlib.sha256(code.encode()).hexdigest()
