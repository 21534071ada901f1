"""People: who writes, what they set, and the key that seals their history."""

from __future__ import annotations

from core.people.cache import Recent
from core.people.owners import CODE_PREFIX, Owners
from core.people.people import People, find
from core.people.types import Person, UnknownPerson, Welcome

__all__ = [
    "CODE_PREFIX",
    "Owners",
    "People",
    "Person",
    "Recent",
    "UnknownPerson",
    "Welcome",
    "find",
]
