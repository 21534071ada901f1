"""What the writer asks of a database: one protocol, a file for each kind that speaks it.

All methods run on the writer's thread. A session may raise its driver's errors; `judge` says what
they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from core.ledger.companion_sql import Prepared
from core.ledger.prepare import Job
from core.ledger.state import Book, Draft
from core.ledger.types import Balance, Transfer

#: conflict: a row is not as it must be, or another writer was in the way; nothing was written.
#: unavailable: the database can't write now, or it isn't known whether it did.
Verdict = Literal["conflict", "unavailable"]


class Known(NamedTuple):
    """A submission as it stands in the database."""

    id: str
    digest: bytes
    seq: int
    first: int
    transfers: int


class Session(Protocol):
    """A connection that the writer owns, with the book that belongs to it."""

    @property
    def book(self) -> Book:
        """Accounts, holds and numbers: what `begin` brought or found still fresh."""
        ...

    def begin(self, jobs: Sequence[Job]) -> Mapping[str, Known]:
        """Begins a transaction in which the book holds everything that the jobs name.

        Answers with those of their submissions that were written before.
        """
        ...

    def transfers_of(self, known: Known) -> tuple[Transfer, ...]:
        """What a submission that was written before did."""
        ...

    def was_hold(self, name: str) -> bool:
        """Whether a hold of this name was ever written, open or not."""
        ...

    def apply(self, statements: Sequence[Prepared]) -> None:
        """Carries out companions, now or at the commit: CompanionRefused or a conflict ends it."""
        ...

    def apply_one(self, statements: Sequence[Prepared]) -> None:
        """The same for one submission: when it raises, its rows alone are undone."""
        ...

    def write(self, draft: Draft) -> None:
        """Writes the ledger's own rows, now or at the commit."""
        ...

    def commit(self) -> None:
        """Makes it durable; the book counts from now on."""
        ...

    def rollback(self) -> None:
        """Ends the transaction, or the connection when that fails; the book is forgotten."""
        ...

    def recover(self, ids: Sequence[str]) -> Mapping[str, Known]:
        """After a commit of unknown outcome: which submissions a new connection finds written."""
        ...

    def balances(self, wanted: Sequence[Sequence[str]]) -> list[dict[str, Balance]]:
        """For each of the lists of codes its balances as of now, all of one moment; accounts that
        don't exist are left out."""
        ...

    def idle(self) -> None:
        """Nothing waits: time to tidy up."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...

    def judge(self, error: Exception) -> Verdict:
        """What a driver's error means."""
        ...
