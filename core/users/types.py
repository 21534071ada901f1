"""A person as the core knows them, the welcome gift, and refusals about people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from core.errors import REPEATED_LENGTH_MAX, Refusal
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
    #: What they let themselves spend in a UTC day; None: as much as they have.
    daily_limit: Credits | None
    #: Their data key, wrapped by a master key; None once their history was erased.
    data_key: bytes | None
    #: Whether contributed keys may be used for their pictures and files; None: never asked.
    shares_files: bool | None = None
    #: Above so much a question with files is offered first; None: everybody's threshold.
    offer_from: Credits | None = None

    def needs_own_keys(self, *, has_files: bool) -> bool:
        """Whether only keys of the operator's own may serve them: all they ask, or with files what
        they don't let contributed keys see."""
        return self.own_keys_only or (has_files and not self.shares_files)


@dataclass(frozen=True, slots=True)
class WelcomeGift:
    """What a new person is given in Credits, and how many people a UTC day get it at most, so that
    throw-away accounts bring little."""

    credits: Credits
    people_per_day: int


class UnknownPerson(Refusal):
    """No person is known by the id that was asked for."""

    code: ClassVar[str] = "unknown_person"

    def __init__(self, query: str) -> None:
        self.query = query[:REPEATED_LENGTH_MAX]


class TooManyAttempts(Refusal):
    """This person typed too many wrong codes and has to wait."""

    code: ClassVar[str] = "too_many_tries"
