"""People: who writes, what they set, and the key that seals their history."""

from __future__ import annotations

from core.people.cache import Recent
from core.people.links import AlreadyOne, LinkRefused, Links, Proposal, TooManyTries
from core.people.owners import CODE_PREFIX, Owners
from core.people.people import People, find
from core.people.types import Person, UnknownPerson, Welcome

__all__ = [
    "CODE_PREFIX",
    "AlreadyOne",
    "LinkRefused",
    "Links",
    "Owners",
    "People",
    "Person",
    "Proposal",
    "Recent",
    "TooManyTries",
    "UnknownPerson",
    "Welcome",
    "find",
]
