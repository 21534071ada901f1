"""The ledger's state in memory: accounts and open holds while a batch is planned.

On SQLite it stays in memory between batches; on PostgreSQL it lives for one batch, under the locks.
A `WriteSet` is what a batch will write. No SQL here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from core.ledger.book_day import BookDay
from core.ledger.types import Balance, BalanceLimit
from core.money import Money

#: More than any balance can reach: the most that an account without a limit may move.
UNBOUNDED = 1 << 62


class AccountState:
    """An account is in memory with its running sums, its newest transfer (`head`), and the UTC day
    (days since 1970) that this one counts to."""

    __slots__ = (
        "code",
        "credits_pending",
        "credits_posted",
        "day",
        "debits_pending",
        "debits_posted",
        "head",
        "id",
        "is_dirty",
        "is_stored",
        "limit",
        "unit",
    )

    def __init__(self, number: int, code: str, unit: type[Money], limit: BalanceLimit) -> None:
        self.id = number
        self.code = code
        self.unit: type[Money] = unit
        self.limit = limit
        self.debits_pending = self.debits_posted = 0
        self.credits_pending = self.credits_posted = 0
        self.head = 0
        self.day = 0
        #: Whether the database has its row; and whether this batch has changed it.
        self.is_stored = False
        self.is_dirty = False

    @property
    def max_debit(self) -> int:
        """The most that a debit may still take."""
        if self.limit is BalanceLimit.DEBITS_WITHIN_CREDITS:
            return self.credits_posted - self.debits_posted - self.debits_pending
        return UNBOUNDED

    @property
    def max_credit(self) -> int:
        """The most that a credit may still bring."""
        if self.limit is BalanceLimit.CREDITS_WITHIN_DEBITS:
            return self.debits_posted - self.credits_posted - self.credits_pending
        return UNBOUNDED

    def to_balance(self) -> Balance:
        """The account's sums as a `Balance`."""
        return Balance(
            self.debits_pending, self.debits_posted, self.credits_pending, self.credits_posted
        )


class HoldState:
    """A hold is open: it is one pending transfer that is not resolved yet."""

    __slots__ = ("amount", "credit", "debit", "name", "seq")

    def __init__(
        self, seq: int, name: str, debit: AccountState, credit: AccountState, amount: int
    ) -> None:
        self.seq, self.name, self.amount = seq, name, amount
        self.debit, self.credit = debit, credit


@dataclass(slots=True)
class LedgerState:
    """The ledger's state holds accounts by code, open holds by name, and the next number of each
    kind of row."""

    accounts: dict[str, AccountState] = field(default_factory=dict)
    accounts_by_id: dict[int, AccountState] = field(default_factory=dict)
    holds: dict[str, tuple[HoldState, ...]] = field(default_factory=dict)
    next_submission: int = 1
    next_transfer: int = 1
    #: What the books count to; None in a database that was never written.
    book_day: BookDay | None = None


#: How many columns a row has; a write set keeps rows end to end, as statements of many rows take
#: them.
SUBMISSION_WIDTH = 7
TRANSFER_WIDTH = 11
CLOSING_WIDTH = 5


@dataclass(slots=True)
class WriteSet:
    """A write set is what a batch will write: rows end to end, holds, and the accounts that it
    changed."""

    submissions: list[Any] = field(default_factory=list)
    transfers: list[Any] = field(default_factory=list)
    closings: list[Any] = field(default_factory=list)
    opened_holds: dict[int, HoldState] = field(default_factory=dict)
    closed_holds: list[int] = field(default_factory=list)
    changed_accounts: list[AccountState] = field(default_factory=list)


def account_seal(code: str, unit: str, limit: str) -> bytes:
    """A hash of an account's unchanging columns, which the audit computes again."""
    return blake2b(f"{code}\0{unit}\0{limit}".encode(), digest_size=8).digest()


def submission_seal(row_id: str, digest: bytes, at: int, names: str) -> bytes:
    """A hash of a submission's row and its transfers' names, which the audit computes again.

    `names` is `<entry>\\0<n>\\0` for each transfer, in order.
    """
    text = f"{row_id}\0{at}\0{names}".encode()
    return blake2b(text, digest_size=8, key=digest).digest()
