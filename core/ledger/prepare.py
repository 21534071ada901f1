"""Prepares submissions for the writer: checks them for bugs, hashes them, collects the accounts and
holds that they name.

What is wrong here is the caller's bug, so it raises ValueError or TypeError before anything queues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeAlias

from core.ledger import types
from core.ledger.companion_sql import PreparedStatement
from core.ledger.types import Account, BalanceLimit, Entry, Submission
from core.money import Money

#: Sums of thousands of such amounts fit in 63 bits; sums of billions of them aren't needed.
AMOUNT_MAX = 1 << 50
ENTRIES_MAX = 200
POCKETS_MAX = 10
ID_CHARS_MAX = 200

AccountT: TypeAlias = Account[Any]


class PreparedSubmission:
    """The writer takes this from its queue and writes it: a submission, companions alone, or
    accounts whose days are closed."""

    __slots__ = (
        "accounts",
        "close_day",
        "digest",
        "future",
        "holds",
        "statements",
        "submission",
        "watch",
    )

    def __init__(
        self,
        future: asyncio.Future[Any],
        *,
        submission: Submission | None = None,
        statements: tuple[PreparedStatement, ...] = (),
        close_day: int = 0,
    ) -> None:
        self.future = future
        self.submission = submission
        #: Its companions as SQL.
        self.statements = statements
        self.digest = b""
        #: Every account that the entries name, by code; without the accounts of holds.
        self.accounts: dict[str, AccountT] = {}
        #: Every hold that the entries settle, by name.
        self.holds: tuple[str, ...] = ()
        #: The accounts in `watch` are closed before this day; 0: nothing is closed.
        self.close_day = close_day
        #: Codes of accounts that are only read: whose balances the receipt shall hold.
        self.watch: tuple[str, ...] = ()


def prepare(
    submission: Submission, statements: tuple[PreparedStatement, ...], future: asyncio.Future[Any]
) -> PreparedSubmission:
    """Prepares `submission`; raises ValueError or TypeError for what only a bug can submit."""
    prepared = PreparedSubmission(future, submission=submission, statements=statements)
    entries, row_id = submission.entries, submission.id
    if not 0 < len(row_id) <= ID_CHARS_MAX or "\0" in row_id:
        raise ValueError(f"not a submission id: {row_id!r}")
    if not row_id.isascii():
        row_id.encode()  # half a surrogate pair can't be written
    if len(entries) > ENTRIES_MAX:
        raise ValueError(f"{row_id}: more than {ENTRIES_MAX} entries")
    text, names = "", ""
    for entry in entries:
        name = entry.name
        if not name or "/" in name or "\0" in name or f"/{name}/" in names:
            raise ValueError(f"{row_id}: bad or repeated entry name {name!r}")
        names = f"{names}/{name}/"
        canonical = _PREPARERS[type(entry)](entry, prepared)
        text = f"{text}\1{canonical}" if text else canonical
    if submission.watch:
        prepared.watch = tuple([account.code for account in submission.watch])
    prepared.digest = blake2b(text.encode(), digest_size=16).digest()
    return prepared


# --- for each kind of entry a function: checks it, collects its accounts, gives its canonical text


def _prepare_move(entry: Any, prepared: PreparedSubmission) -> str:
    accounts = prepared.accounts
    debit, credit, amount = entry.debit, entry.credit, entry.amount
    if not debit.unit is credit.unit is type(amount):
        raise TypeError(f"{entry.name}: units differ")
    if not 0 < amount.units <= AMOUNT_MAX or debit.code == credit.code:
        raise ValueError(f"{entry.name}: moves a positive amount between two accounts")
    _register_account(accounts, debit)
    _register_account(accounts, credit)
    return (
        f"move\0{entry.name}\0{debit.code}\0{credit.code}\0{amount.NAME}\0{amount.units}"
        f"\0{entry.pending}"
    )


def _prepare_cascade(entry: Any, prepared: PreparedSubmission) -> str:
    accounts = prepared.accounts
    _require_same_unit(entry.name, (*entry.debits, entry.credit), entry.amount)
    if not 0 < entry.amount.units <= AMOUNT_MAX or not 0 < len(entry.debits) <= POCKETS_MAX:
        raise ValueError(f"{entry.name}: draws a positive amount from 1–{POCKETS_MAX} accounts")
    _require_distinct(entry.name, entry.debits, entry.credit)
    for account in entry.debits:
        _register_account(accounts, account)
    _register_account(accounts, entry.credit)
    codes = "\0".join(account.code for account in entry.debits)
    amount = entry.amount
    return (
        f"cascade\0{entry.name}\0{codes}\0\0{entry.credit.code}\0{amount.NAME}\0{amount.units}"
        f"\0{entry.pending}"
    )


def _prepare_at_most(entry: Any, prepared: PreparedSubmission) -> str:
    accounts = prepared.accounts
    _require_same_unit(entry.name, (entry.debit, entry.credit), entry.amount)
    if not 0 <= entry.amount.units <= AMOUNT_MAX or entry.debit.code == entry.credit.code:
        raise ValueError(f"{entry.name}: moves no negative amount between two accounts")
    _register_account(accounts, entry.debit)
    _register_account(accounts, entry.credit)
    return (
        f"at_most\0{entry.name}\0{entry.debit.code}\0{entry.credit.code}\0{entry.amount.NAME}"
        f"\0{entry.amount.units}"
    )


def _prepare_settle(entry: Any, prepared: PreparedSubmission) -> str:
    amount = entry.amount
    if amount.units < 0 or amount.NAME not in types.UNITS:
        raise ValueError(f"{entry.name}: settles no negative amount")
    if "/" not in entry.hold or "\0" in entry.hold:
        raise ValueError(f"{entry.name}: a hold is named <submission>/<entry>, not {entry.hold!r}")
    prepared.holds += (entry.hold,)
    return f"settle\0{entry.name}\0{entry.hold}\0{amount.NAME}\0{amount.units}"


def _prepare_sweep(entry: Any, prepared: PreparedSubmission) -> str:
    accounts = prepared.accounts
    _require_same_unit(entry.name, (*entry.pockets, entry.owed), entry.owed.unit(0))
    _require_distinct(entry.name, entry.pockets, entry.owed)
    if not 0 < len(entry.pockets) <= POCKETS_MAX:
        raise ValueError(f"{entry.name}: sweeps 1–{POCKETS_MAX} accounts")
    if entry.owed.limit is not BalanceLimit.CREDITS_WITHIN_DEBITS:
        raise ValueError(f"{entry.name}: {entry.owed.code} can't be owed on")
    for account in entry.pockets:
        _register_account(accounts, account)
    _register_account(accounts, entry.owed)
    codes = "\0".join(account.code for account in entry.pockets)
    return f"sweep\0{entry.name}\0{codes}\0\0{entry.owed.code}\0{entry.owed.unit.NAME}"


def _prepare_capped(entry: Any, prepared: PreparedSubmission) -> str:
    move_text = _prepare_move(
        types.Move(entry.name, entry.debit, entry.credit, entry.amount, True), prepared
    )
    if entry.cap.NAME != entry.amount.NAME or entry.cap.units < 0:
        raise ValueError(f"{entry.name}: a cap is an amount of the same unit")
    return f"capped\0{entry.cap.units}\0{move_text}"


def _prepare_accrue(entry: Any, prepared: PreparedSubmission) -> str:
    text = f"accrue\0{_prepare_move(types.Move(*entry[:4]), prepared)}"
    if (entry.source.limit, entry.counter.limit) != (BalanceLimit.NONE, BalanceLimit.NONE):
        raise ValueError(f"{entry.name}: counts between accounts without a floor")
    if not 0 < len(entry.shares) <= POCKETS_MAX:
        raise ValueError(f"{entry.name}: moves 1–{POCKETS_MAX} shares")
    for share in entry.shares:
        targets = (*(account for account, _ in share.fills), share.credit)
        _require_same_unit(entry.name, (share.debit, *targets), entry.amount)
        for account in targets:
            _require_distinct(entry.name, (share.debit,), account)
            _register_account(prepared.accounts, account)
        _register_account(prepared.accounts, share.debit)
        if not 0 < share.numerator <= share.denominator:
            raise ValueError(f"{entry.name}: a share is above nothing and at most the whole")
        levels = "\0".join(f"{account.code}\0{level.units}" for account, level in share.fills)
        text += (
            f"\0{share.numerator}\0{share.denominator}\0{share.debit.code}\0{levels}\0"
            f"\0{share.credit.code}"
        )
    return text


_PREPARERS: dict[type[Entry], Callable[[Any, PreparedSubmission], str]] = {
    types.Move: _prepare_move,
    types.Cascade: _prepare_cascade,
    types.AtMost: _prepare_at_most,
    types.Settle: _prepare_settle,
    types.SweepOwed: _prepare_sweep,
    types.Capped: _prepare_capped,
    types.Accrue: _prepare_accrue,
}


def _register_account(accounts: dict[str, AccountT], account: AccountT) -> None:
    code = account.code
    if code not in accounts:
        if not code or "\0" in code or account.unit.NAME not in types.UNITS:
            raise ValueError(f"not an account: {code!r}")
        accounts[code] = account
    elif accounts[code] != account:
        raise ValueError(f"{code}: named twice, with different units or limits")


def _require_same_unit(name: str, accounts: tuple[AccountT, ...], amount: Money) -> None:
    if any(account.unit is not type(amount) for account in accounts):
        raise TypeError(f"{name}: units differ")


def _require_distinct(name: str, debits: tuple[AccountT, ...], credit: AccountT) -> None:
    if any(account.code == credit.code for account in debits):
        raise ValueError(f"{name}: {credit.code} stands on both sides")
