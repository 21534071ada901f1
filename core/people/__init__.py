"""People: who writes, what they set, and the key that seals their history."""

from __future__ import annotations

from core.people.cache import Recent
from core.people.debts import Debts
from core.people.invitations import INVITATION_PREFIX, Invitations, Tally
from core.people.links import AlreadyOne, LinkRefused, Links, Proposal
from core.people.owners import CODE_PREFIX, ROLES, Owners, Role
from core.people.people import People, find, lineage, survivor
from core.people.rules import PAUSABLE, Allowance, Blocked, Pausable, Paused, Rules, Switch
from core.people.tries import Tries
from core.people.types import Person, TooManyTries, UnknownPerson, Welcome

__all__ = [
    "CODE_PREFIX",
    "INVITATION_PREFIX",
    "PAUSABLE",
    "ROLES",
    "Allowance",
    "AlreadyOne",
    "Blocked",
    "Debts",
    "Invitations",
    "LinkRefused",
    "Links",
    "Owners",
    "Pausable",
    "Paused",
    "People",
    "Person",
    "Proposal",
    "Recent",
    "Role",
    "Rules",
    "Switch",
    "Tally",
    "TooManyTries",
    "Tries",
    "UnknownPerson",
    "Welcome",
    "find",
    "lineage",
    "survivor",
]
