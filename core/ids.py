"""Ids, and codes that people type.

Ids have a prefix, so that a log line reads by eye, and begin with their time, so that indexes grow
at one end: random ids in an index about double the bytes written and add 60–80 % CPU at ten million
rows. So even an id that is derived from a cause (a chat message) begins with that cause's time.

Codes are random, in letters that nobody confuses. The database keeps their hashes only.
"""

from __future__ import annotations

import hashlib
import secrets

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_CHARS = 10
_TAIL_CHARS = 16
_TAIL_BITS = 5 * _TAIL_CHARS
#: The random step between ids of one millisecond: so large that nobody guesses the next id.
_STEP_BITS = 62


#: Every pair of digits, for writing two digits at a time.
_DIGIT_PAIRS = tuple(one + other for one in _ALPHABET for other in _ALPHABET)


def _base32(number: int, length: int) -> str:
    """`number` in base 32, as `length` digits; `length` is even."""
    places = range(5 * length - 10, -1, -10)
    return "".join([_DIGIT_PAIRS[number >> place & 1023] for place in places])


class _IdGenerator:
    """Makes the random ends of a process's ids, so that later ids sort after earlier ones also
    within a millisecond."""

    def __init__(self) -> None:
        self._at_ms = -1
        self._tail = 0

    def next_tail(self, at_ms: int) -> int:
        """80 random bits, or a random step above the last end of the same millisecond."""
        if at_ms != self._at_ms:
            self._at_ms, self._tail = at_ms, secrets.randbits(_TAIL_BITS - 1)
        else:
            self._tail = (self._tail + 1 + secrets.randbits(_STEP_BITS)) % (1 << _TAIL_BITS)
        return self._tail


_GENERATOR = _IdGenerator()


def new_id(prefix: str, at_ms: int) -> str:
    """A new id: `<prefix>_` and 26 characters, 10 of time and 16 random ones (80 bits). Later ids
    of the same process sort after it, also within the same millisecond."""
    tail = _base32(_GENERATOR.next_tail(at_ms), _TAIL_CHARS)
    return f"{prefix}_{_base32(at_ms, _TIME_CHARS)}{tail}"


def derive_id(prefix: str, at_ms: int, *cause: str) -> str:
    """The id that belongs to a cause: the same cause and time always give the same id."""
    digest_bytes = hashlib.blake2b("\0".join(cause).encode(), digest_size=_TAIL_BITS // 8).digest()
    return f"{prefix}_{_base32(at_ms, _TIME_CHARS)}{_base32(int.from_bytes(digest_bytes), 16)}"


#: So many of an id's last characters are its tag, 5 bits each.
TAG_CHARS = 6
TAG_BITS = 5 * TAG_CHARS


def tag_id(id_: str, tag: int) -> str:
    """The id with its last characters replaced by a tag of `TAG_BITS` bits."""
    return id_[:-TAG_CHARS] + _base32(tag, TAG_CHARS)


def min_id(prefix: str, at_ms: int) -> str:
    """The smallest possible id of a time: ids of `at_ms` and later are not below it."""
    return f"{prefix}_{_base32(at_ms, _TIME_CHARS)}"


def time_of_id(id_: str) -> int:
    """The time (milliseconds UTC) that an id of this module begins with."""
    digits = id_.partition("_")[2][:_TIME_CHARS]
    return sum(_ALPHABET.index(char) << 5 * place for place, char in enumerate(reversed(digits)))


#: 32 letters and digits, five bits each: without 0 and O, 1 and I.
_CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_GROUP = 4


def new_code(chars: int) -> str:
    """A new random code of so many characters, 5 bits each."""
    return "".join(secrets.choice(_CODE_ALPHABET) for _ in range(chars))


def group_code(code: str) -> str:
    """A code as people read it, in groups of four: `ABCD-EFGH-JKLM`."""
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def normalize_code(typed: str) -> str:
    """A typed code as `new_code` made it: the case, hyphens and spaces don't matter."""
    return "".join(typed.upper().replace("-", " ").split())


def hash_code(code: str) -> str:
    """What the database keeps of a normalized code: its SHA-256."""
    return hashlib.sha256(code.encode()).hexdigest()
