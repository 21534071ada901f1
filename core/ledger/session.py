"""What the writer needs of a database: one protocol, with an implementation for each kind of
database in a module of its own.

All methods run on the writer's thread. A session may raise its driver's errors; `classify_error`
says what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from core.ledger.book_day import BookDay
from core.ledger.companion_sql import PreparedStatement
from core.ledger.prepare import PreparedSubmission
from core.ledger.state import LedgerState, WriteSet
from core.ledger.types import Transfer

#: conflict: a row is not as it must be, or another writer was in the way; nothing was written.
#: unavailable: the database can't write now, or it isn't known whether it did.
FailureKind = Literal["conflict", "unavailable"]


class WrittenSubmission(NamedTuple):
    """A submission was written before: this is its row in the database."""

    id: str
    digest: bytes
    seq: int
    first: int
    transfers: int


class LedgerSession(Protocol):
    """A session is the writer's connection to a database, with the ledger's state in memory."""

    @property
    def ledger_state(self) -> LedgerState:
        """Accounts, holds and numbers: what `begin` brought or found still fresh."""
        ...

    def begin(self, batch: Sequence[PreparedSubmission]) -> Mapping[str, WrittenSubmission]:
        """Begins a transaction in which `ledger_state` holds everything that the batch names.

        Answers with those of its submissions that were written before.
        """
        ...

    def open_day(
        self, opening: BookDay, batch: Sequence[PreparedSubmission]
    ) -> Mapping[str, WrittenSubmission] | None:
        """Moves the day of the books within the transaction of `batch`, or before it, which then
        begins anew: the answer is that of `begin`. None when others hold the day up: nothing was
        begun."""
        ...

    def correct_day(self, corrected: BookDay) -> int:
        """Takes the books back to an earlier day, in a transaction of its own; how many accounts
        counted to a later one."""
        ...

    def read_database_ms(self) -> int | None:
        """The time by a clock of the database's own; None where it has none."""
        ...

    def list_transfers(self, written: WrittenSubmission) -> tuple[Transfer, ...]:
        """The transfers of a submission that was written before."""
        ...

    def was_hold_written(self, name: str) -> bool:
        """Whether a hold of this name was ever written, open or not."""
        ...

    def apply_companions(self, statements: Sequence[PreparedStatement]) -> None:
        """Carries out companions, now or at the commit; CompanionRefused or a conflict ends the
        transaction."""
        ...

    def apply_under_savepoint(self, statements: Sequence[PreparedStatement]) -> None:
        """Carries out the companions of one submission: when it raises, its rows alone are
        undone."""
        ...

    def write_rows(self, write_set: WriteSet) -> None:
        """Writes the ledger's own rows, now or at the commit."""
        ...

    def commit(self) -> None:
        """Makes the transaction durable; `ledger_state` holds from now on."""
        ...

    def rollback(self) -> None:
        """Ends the transaction, or the connection when that fails; `ledger_state` is dropped."""
        ...

    def recover_written(self, ids: Sequence[str]) -> Mapping[str, WrittenSubmission]:
        """After a commit of unknown outcome: which submissions a new connection finds written."""
        ...

    def tidy_up(self) -> None:
        """Does maintenance of the database; called while nothing waits to be written."""
        ...

    def close(self) -> None:
        """Closes the connection; the next use opens another one."""
        ...

    def classify_error(self, error: Exception) -> FailureKind:
        """What a driver's error means."""
        ...
