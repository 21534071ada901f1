"""The ledger's nouns: accounts, entries, submissions, companions, receipts, and each refusal.

Double entry after TigerBeetle: a transfer moves a positive whole amount from a debit account to a
credit account of the same unit. These types hold no balances and no SQL, and know no account names.
They are named tuples, for an ask makes a dozen of them.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Generic, NamedTuple

from core.db.writes import Companion
from core.errors import Refusal
from core.money import AnyMoney, Credits, Money, NanoUsd, Stars

UNITS: Mapping[str, type[Money]] = {kind.NAME: kind for kind in (Credits, NanoUsd, Stars)}


class Limit(enum.Enum):
    """The floor that an account carries; `available` never goes below zero on a limited account."""

    #: No floor: a platform account, which may go either way.
    NONE = "none"
    #: Debits (posted and pending) stay within posted credits: a pocket, a key's quota.
    DEBITS_WITHIN_CREDITS = "debits"
    #: Credits (posted and pending) stay within posted debits: what is owed, until it is repaid.
    CREDITS_WITHIN_DEBITS = "credits"


class Account(NamedTuple, Generic[AnyMoney]):
    """Where money of one unit is kept. Opened by its first transfer; the code is its identity."""

    code: str
    unit: type[AnyMoney]
    limit: Limit = Limit.NONE


AnyAccount = Account[Credits] | Account[NanoUsd] | Account[Stars]


class Balance(NamedTuple):
    """The four running sums of an account, in its unit; never negative."""

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0

    @property
    def available(self) -> int:
        """What a debit may still take from an account filled by credits: holds are gone from it."""
        return self.credits_posted - self.debits_posted - self.debits_pending

    @property
    def held(self) -> int:
        """What open holds reserve of an account filled by credits."""
        return self.debits_pending

    @property
    def posted(self) -> int:
        """Credits less debits, holds not counted."""
        return self.credits_posted - self.debits_posted


# --- entries: what a submission is made of ---------------------------------------------------


class Move(NamedTuple, Generic[AnyMoney]):
    """One transfer of a known amount; `pending` reserves it until it is settled or voided."""

    name: str
    debit: Account[AnyMoney]
    credit: Account[AnyMoney]
    amount: AnyMoney
    pending: bool = False


class Cascade(NamedTuple, Generic[AnyMoney]):
    """Plan: draw `amount` from `debits` in their order, each to its floor; all of it or refused."""

    name: str
    debits: tuple[Account[AnyMoney], ...]
    credit: Account[AnyMoney]
    amount: AnyMoney
    pending: bool = False


class AtMost(NamedTuple, Generic[AnyMoney]):
    """Plan: move as much of `amount` as the debit account's floor allows; nothing is fine too."""

    name: str
    debit: Account[AnyMoney]
    credit: Account[AnyMoney]
    amount: AnyMoney


class Capped(NamedTuple, Generic[AnyMoney]):
    """Plan: reserve `amount`, refused when all that ever left the debit account, what is reserved
    and this included, would pass `cap`: only what was there at an earlier time may go."""

    name: str
    debit: Account[AnyMoney]
    credit: Account[AnyMoney]
    amount: AnyMoney
    cap: AnyMoney


class Share(NamedTuple, Generic[AnyMoney]):
    """What follows a count: `numerator` of each `denominator` counted moves from `debit`, as far as
    that reaches; first into each account of `fills` until it stands at its level, then to `credit`.
    """

    numerator: int
    denominator: int
    debit: Account[AnyMoney]
    fills: tuple[tuple[Account[AnyMoney], AnyMoney], ...]
    credit: Account[AnyMoney]


class Accrue(NamedTuple, Generic[AnyMoney]):
    """Plan: count `amount` from `source` onto `counter`, and move what the shares of the whole
    count, each rounded down, grew by. So nothing is lost in rounding, however it is split; and it
    never refuses anything."""

    name: str
    source: Account[AnyMoney]
    counter: Account[AnyMoney]
    amount: AnyMoney
    shares: tuple[Share[AnyMoney], ...]


class Settle(NamedTuple, Generic[AnyMoney]):
    """Plan: post `amount` of a hold, in the order it was drawn, and give the rest back.

    `hold` names the pending entry as `<submission id>/<entry name>`. Zero voids all of it. More
    than was held is refused (`SettleTooMuch`).
    """

    name: str
    hold: str
    amount: AnyMoney


class SweepOwed(NamedTuple, Generic[AnyMoney]):
    """Plan: repay what is owed from `pockets`, in order, as far as both reach."""

    name: str
    pockets: tuple[Account[AnyMoney], ...]
    owed: Account[AnyMoney]


Entry = (
    Move[Credits]
    | Move[NanoUsd]
    | Move[Stars]
    | Cascade[Credits]
    | Cascade[NanoUsd]
    | Cascade[Stars]
    | AtMost[Credits]
    | AtMost[NanoUsd]
    | Settle[Credits]
    | Settle[NanoUsd]
    | Settle[Stars]
    | SweepOwed[Credits]
    | Capped[Credits]
    | Accrue[Credits]
)


class Submission(NamedTuple):
    """One linked batch, all or none. `id` is the caller's, derived from the cause.

    Submitting the same id with the same entries again answers with the first receipt (`existed`);
    with other entries it is an `IdempotencyConflict`. Companions are not compared.
    """

    id: str
    entries: tuple[Entry, ...]
    companions: tuple[Companion, ...] = ()
    #: Accounts whose balances after this submission the receipt shall tell.
    watch: tuple[AnyAccount, ...] = ()


class Kind(enum.IntEnum):
    """What a transfer row does."""

    POSTED = 0
    PENDING = 1
    #: Posts part or all of a pending transfer; the rest of it is given back.
    POST = 2
    VOID = 3


class Transfer(NamedTuple):
    """A transfer as written. Its id is `<submission>/<entry>/<n>`; `amount` is in the unit."""

    seq: int
    submission: str
    entry: str
    n: int
    kind: Kind
    debit: str
    credit: str
    amount: int

    @property
    def id(self) -> str:
        """The transfer's id, readable and unique."""
        return f"{self.submission}/{self.entry}/{self.n}"


class Receipt(NamedTuple):
    """What a submission did. Durable by the time anyone sees it."""

    id: str
    transfers: tuple[Transfer, ...]
    #: True when this id had been submitted before: nothing was done again.
    existed: bool = False
    #: Balances right after, by account code, of the accounts that the submission watches.
    balances: Mapping[str, Balance] = MappingProxyType({})

    def moved(self, entry: str) -> int:
        """The sum of the amounts that the entry of this name posted or reserved."""
        return sum(
            transfer.amount
            for transfer in self.transfers
            if transfer.entry == entry and transfer.kind is not Kind.VOID
        )


# --- refusals --------------------------------------------------------------------------------


class LedgerRefusal(Refusal):
    """The ledger did not take a submission; nothing of it was written."""


class InsufficientFunds(LedgerRefusal):
    """The accounts to be debited don't hold enough."""

    code: ClassVar[str] = "insufficient_funds"

    def __init__(self, entry: str, need: Money, available: Money, held: Money) -> None:
        self.entry, self.need, self.available, self.held = entry, need, available, held


class IdempotencyConflict(LedgerRefusal):
    """The same submission id came before with other entries."""

    code: ClassVar[str] = "idempotency_conflict"

    def __init__(self, submission: str) -> None:
        self.submission = submission


class HoldNotFound(LedgerRefusal):
    """There never was a hold of that name."""

    code: ClassVar[str] = "hold_not_found"

    def __init__(self, hold: str) -> None:
        self.hold = hold


class HoldResolved(LedgerRefusal):
    """The hold was settled or voided before: the first one counts."""

    code: ClassVar[str] = "hold_resolved"

    def __init__(self, hold: str) -> None:
        self.hold = hold


class SettleTooMuch(LedgerRefusal):
    """More was to be posted than the hold holds."""

    code: ClassVar[str] = "settle_too_much"

    def __init__(self, hold: str, held: Money, amount: Money) -> None:
        self.hold, self.held, self.amount = hold, held, amount


class CompanionRefused(LedgerRefusal):
    """A row that should be new is there already, or is no longer as expected."""

    code: ClassVar[str] = "companion_refused"

    def __init__(self, table: str) -> None:
        self.table = table


class AccountMismatch(LedgerRefusal):
    """An account exists with another unit or limit than the one submitted."""

    code: ClassVar[str] = "account_mismatch"

    def __init__(self, account: str) -> None:
        self.account = account


class LedgerBusy(LedgerRefusal):
    """More submissions wait than the writer's queue may hold; try again."""

    code: ClassVar[str] = "ledger_busy"


class LedgerUnavailable(LedgerRefusal):
    """The database can't write now (full disk, lost connection) or the ledger is closed."""

    code: ClassVar[str] = "ledger_unavailable"
