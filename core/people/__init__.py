"""People: who writes, what they set, and the key that seals their history."""

from __future__ import annotations

from core.people.cache import Recent
from core.people.debts import Debts
from core.people.invitations import INVITATION_PREFIX, Invitations, Tally
from core.people.links import AlreadyOne, LinkRefused, Links, Proposal
from core.people.owners import CODE_PREFIX, Owners
from core.people.people import People, find, lineage, survivor
from core.people.tries import Tries
from core.people.types import Person, TooManyTries, UnknownPerson, Welcome

__all__ = [
    "CODE_PREFIX",
    "INVITATION_PREFIX",
    "AlreadyOne",
    "Debts",
    "Invitations",
    "LinkRefused",
    "Links",
    "Owners",
    "People",
    "Person",
    "Proposal",
    "Recent",
    "Tally",
    "TooManyTries",
    "Tries",
    "UnknownPerson",
    "Welcome",
    "find",
    "lineage",
    "survivor",
]
