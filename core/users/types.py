"""A person as the core knows them, and what can be refused about people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.errors import Refusal
from core.money import Credits


@dataclass(frozen=True, slots=True)
class Person:
    """Someone with one balance, whatever platforms they write from."""

    id: str
    created_at: int
    #: The language of replies, e.g. `zh-CN`.
    language: str
    #: IANA time zone in which times are shown.
    zone: str
    #: The current model's id; empty until chosen.
    model: str
    #: Whether answers carry a footer with tokens and Credits.
    footer: bool
    #: Served only by keys of the operator's own.
    own_keys_only: bool
    #: Their data key, wrapped by a master key; None once their history was erased.
    data_key: bytes | None


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a new person gets, and how many people a UTC day at most get it (security.md)."""

    credits: Credits
    people_per_day: int


class UnknownPerson(Refusal):
    """Nobody is known by that id."""

    code: ClassVar[str] = "unknown_person"

    def __init__(self, asked: str) -> None:
        self.asked = asked


class TooManyTries(Refusal):
    """Too many wrong codes; wait."""

    code: ClassVar[str] = "too_many_tries"
