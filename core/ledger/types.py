"""The ledger's types: accounts, entries, submissions, receipts, and each refusal.

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


class BalanceLimit(enum.Enum):
    """A limit keeps what is `available` of an account from going below zero."""

    #: No limit: a platform account, which may go either way.
    NONE = "none"
    #: Debits (posted and pending) stay within posted credits: a pocket, a key's quota.
    DEBITS_WITHIN_CREDITS = "debits"
    #: Credits (posted and pending) stay within posted debits: what is owed, until it is repaid.
    CREDITS_WITHIN_DEBITS = "credits"


class Account(NamedTuple, Generic[AnyMoney]):
    """An account keeps money of one unit. Its first transfer opens it; its code identifies it."""

    code: str
    unit: type[AnyMoney]
    limit: BalanceLimit = BalanceLimit.NONE


AnyAccount = Account[Credits] | Account[NanoUsd] | Account[Stars]


class Balance(NamedTuple):
    """A balance is the four running sums of an account, in its unit; none is ever negative."""

    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0

    @property
    def available(self) -> int:
        """What a debit may still take from an account filled by credits; holds count as gone."""
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
    """A `Move` is one transfer of a known amount; `pending` reserves it until it is settled or
    voided."""

    name: str
    debit: Account[AnyMoney]
    credit: Account[AnyMoney]
    amount: AnyMoney
    pending: bool = False


class Cascade(NamedTuple, Generic[AnyMoney]):
    """A `Cascade` draws `amount` from `debits` in their order, each as far as it allows; it is
    refused when they don't reach."""

    name: str
    debits: tuple[Account[AnyMoney], ...]
    credit: Account[AnyMoney]
    amount: AnyMoney
    pending: bool = False


class AtMost(NamedTuple, Generic[AnyMoney]):
    """An `AtMost` moves as much of `amount` as the debit account allows; nothing is fine too."""

    name: str
    debit: Account[AnyMoney]
    credit: Account[AnyMoney]
    amount: AnyMoney


class Capped(NamedTuple, Generic[AnyMoney]):
    """A `Capped` reserves `amount`. It is refused when all that ever left the debit account, with
    what is reserved and this, would pass `cap`: only what was there at an earlier time may go."""

    name: str
    debit: Account[AnyMoney]
    credit: Account[AnyMoney]
    amount: AnyMoney
    cap: AnyMoney


class Share(NamedTuple, Generic[AnyMoney]):
    """A `Share` of what `Accrue` counts moves from `debit`: `numerator` for each `denominator`
    counted, as far as that reaches; first into each account of `fills` until it stands at its
    level, then to `credit`."""

    numerator: int
    denominator: int
    debit: Account[AnyMoney]
    fills: tuple[tuple[Account[AnyMoney], AnyMoney], ...]
    credit: Account[AnyMoney]


class Accrue(NamedTuple, Generic[AnyMoney]):
    """An `Accrue` counts `amount` from `source` onto `counter`, and moves what each share of the
    whole count, rounded down, grew by. So nothing is lost in rounding, however the count is split.
    It is never refused."""

    name: str
    source: Account[AnyMoney]
    counter: Account[AnyMoney]
    amount: AnyMoney
    shares: tuple[Share[AnyMoney], ...]


class Settle(NamedTuple, Generic[AnyMoney]):
    """A `Settle` posts `amount` of a hold, in the order it was drawn, and gives the rest back.

    `hold` names the pending entry as `<submission id>/<entry name>`. Zero voids all of it. More
    than was held is refused (`SettleTooMuch`).
    """

    name: str
    hold: str
    amount: AnyMoney


class SweepOwed(NamedTuple, Generic[AnyMoney]):
    """A `SweepOwed` repays what is owed from `pockets`, in order, as far as both reach."""

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
    """A submission is a batch of entries, all or none. `id` is the caller's, derived from the
    cause.

    Submitting the same id with the same entries again answers with the first receipt (`existed`);
    with other entries it is an `IdempotencyConflict`. Companions are not compared.
    """

    id: str
    entries: tuple[Entry, ...]
    companions: tuple[Companion, ...] = ()
    #: Accounts whose balances after this submission the receipt shall hold.
    watch: tuple[AnyAccount, ...] = ()


class TransferKind(enum.IntEnum):
    """A transfer posts, reserves, or resolves what was reserved."""

    POSTED = 0
    PENDING = 1
    #: Posts part or all of a pending transfer; the rest of it is given back.
    POST = 2
    VOID = 3


class Transfer(NamedTuple):
    """A transfer was written. Its id is `<submission>/<entry>/<n>`; `amount` is in its accounts'
    unit."""

    seq: int
    submission: str
    entry: str
    n: int
    kind: TransferKind
    debit: str
    credit: str
    amount: int


class SubmissionReceipt(NamedTuple):
    """A receipt says what a submission did. It is durable by the time anyone sees it."""

    id: str
    transfers: tuple[Transfer, ...]
    #: True when this id had been submitted before: nothing was done again.
    existed: bool = False
    #: Balances right after it, by code, of the accounts that the submission watches.
    balances: Mapping[str, Balance] = MappingProxyType({})

    def sum_entry(self, entry: str) -> int:
        """The sum of the amounts that the entry of this name posted or reserved."""
        return sum(
            transfer.amount
            for transfer in self.transfers
            if transfer.entry == entry and transfer.kind is not TransferKind.VOID
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
    """No hold of that name was ever written."""

    code: ClassVar[str] = "hold_not_found"

    def __init__(self, hold: str) -> None:
        self.hold = hold


class HoldResolved(LedgerRefusal):
    """The hold was settled or voided before; the first time counts."""

    code: ClassVar[str] = "hold_resolved"

    def __init__(self, hold: str) -> None:
        self.hold = hold


class SettleTooMuch(LedgerRefusal):
    """More was to be posted than the hold holds."""

    code: ClassVar[str] = "settle_too_much"

    def __init__(self, hold: str, held: Money, amount: Money) -> None:
        self.hold, self.held, self.amount = hold, held, amount


class CompanionRefused(LedgerRefusal):
    """A companion's row is there already though it should be new, or is no longer as expected."""

    code: ClassVar[str] = "companion_refused"

    def __init__(self, table: str) -> None:
        self.table = table


class AccountMismatch(LedgerRefusal):
    """An account exists with another unit or limit than the one submitted."""

    code: ClassVar[str] = "account_mismatch"

    def __init__(self, account: str) -> None:
        self.account = account


class BalanceTooLarge(LedgerRefusal):
    """An account's sums would pass what the database's integers hold (63 bits)."""

    code: ClassVar[str] = "balance_too_large"

    def __init__(self, account: str) -> None:
        self.account = account


class LedgerBusy(LedgerRefusal):
    """More submissions wait than the writer's queue may hold; try again."""

    code: ClassVar[str] = "ledger_busy"


class LedgerUnavailable(LedgerRefusal):
    """The database can't write now (full disk, lost connection) or the ledger is closed."""

    code: ClassVar[str] = "ledger_unavailable"
