"""The ledger as a child would write it: one submission at a time, in plain dicts, on copies."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from core.db.writes import Companion, Delete, Insert
from core.ledger import types
from core.ledger.types import (
    Account,
    Accrue,
    AtMost,
    Balance,
    BalanceLimit,
    Capped,
    Cascade,
    LedgerRefusal,
    Move,
    Settle,
    Submission,
    SweepOwed,
    TransferKind,
)

#: entry, n, kind, debit, credit, amount
Line = tuple[str, int, TransferKind, str, str, int]


@dataclass
class Sums:
    limit: BalanceLimit
    unit: type[Any]
    debits_pending: int = 0
    debits_posted: int = 0
    credits_pending: int = 0
    credits_posted: int = 0

    def may_debit(self) -> int:
        if self.limit is not BalanceLimit.DEBITS_WITHIN_CREDITS:
            return 10**18
        return self.credits_posted - self.debits_posted - self.debits_pending

    def may_credit(self) -> int:
        if self.limit is not BalanceLimit.CREDITS_WITHIN_DEBITS:
            return 10**18
        return self.debits_posted - self.credits_posted - self.credits_pending


@dataclass
class State:
    sums: dict[str, Sums] = field(default_factory=dict)
    open: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    rows: dict[str, str] = field(default_factory=dict)
    done: dict[str, tuple[Any, list[Line]]] = field(default_factory=dict)


class Model:
    """Answers like the ledger should: the lines of a receipt, or the refusal's type."""

    def __init__(self) -> None:
        self.state = State()

    def submit(self, submission: Submission) -> list[Line] | type[LedgerRefusal]:
        if submission.id in self.state.done:
            entries, lines = self.state.done[submission.id]
            return lines if entries == submission.entries else types.IdempotencyConflict
        trial = copy.deepcopy(self.state)
        try:
            lines = [
                line for entry in submission.entries for line in _do(trial, submission.id, entry)
            ]
            for companion in submission.companions:
                _companion(trial, companion)
        except LedgerRefusal as refusal:
            return type(refusal)
        trial.done[submission.id] = (submission.entries, lines)
        self.state = trial
        return lines

    def balance(self, code: str) -> Balance:
        sums = self.state.sums.get(code)
        if sums is None:
            return Balance()
        return Balance(
            sums.debits_pending, sums.debits_posted, sums.credits_pending, sums.credits_posted
        )


def _sums(state: State, account: Account[Any]) -> Sums:
    return state.sums.setdefault(account.code, Sums(account.limit, account.unit))


def _write(
    state: State, cause: str, name: str, *steps: tuple[str, str, int], pending: bool
) -> list[Line]:
    lines: list[Line] = []
    for debit, credit, amount in steps:
        if pending:
            state.sums[debit].debits_pending += amount
            state.sums[credit].credits_pending += amount
            state.open.setdefault(f"{cause}/{name}", []).append((debit, credit, amount))
        else:
            state.sums[debit].debits_posted += amount
            state.sums[credit].credits_posted += amount
        kind = TransferKind.PENDING if pending else TransferKind.POSTED
        lines.append((name, len(lines), kind, debit, credit, amount))
    return lines


def _refuse() -> types.InsufficientFunds:
    return types.InsufficientFunds("", types.Credits(0), types.Credits(0), types.Credits(0))


def _do(state: State, cause: str, entry: Any) -> list[Line]:
    if isinstance(entry, Settle):
        return _settle(state, entry)
    if isinstance(entry, SweepOwed):
        owed = _sums(state, entry.owed)
        lines: list[Line] = []
        for pocket in entry.pockets:
            amount = min(_sums(state, pocket).may_debit(), owed.may_credit())
            if amount:
                step = (pocket.code, entry.owed.code, amount)
                (line,) = _write(state, cause, entry.name, step, pending=False)
                lines.append((line[0], len(lines), *line[2:]))
        return lines
    if isinstance(entry, Accrue):
        return _accrue(state, cause, entry)
    debits = entry.debits if isinstance(entry, Cascade) else (entry.debit,)
    left, credit = entry.amount.units, _sums(state, entry.credit)
    if isinstance(entry, AtMost):
        left = min(left, _sums(state, entry.debit).may_debit(), credit.may_credit())
    if left > credit.may_credit():
        raise _refuse()
    if isinstance(entry, Capped):
        gone = _sums(state, entry.debit)
        if left + gone.debits_posted + gone.debits_pending > entry.cap.units:
            raise _refuse()
    steps = []
    for debit in debits:
        amount = min(left, _sums(state, debit).may_debit())
        left -= amount
        if amount:
            steps.append((debit.code, entry.credit.code, amount))
    if left:
        raise _refuse()
    pending = isinstance(entry, Capped) or (isinstance(entry, Move | Cascade) and entry.pending)
    return _write(state, cause, entry.name, *steps, pending=pending)


def _accrue(state: State, cause: str, entry: Accrue[Any]) -> list[Line]:
    counter, amount = _sums(state, entry.counter), entry.amount.units
    _sums(state, entry.source)
    counted = counter.credits_posted
    lines: list[Line] = []

    def step(debit: Account[Any], credit: Account[Any], moved: int) -> None:
        (line,) = _write(state, cause, entry.name, (debit.code, credit.code, moved), pending=False)
        lines.append((line[0], len(lines), *line[2:]))

    step(entry.source, entry.counter, amount)
    for share in entry.shares:
        whole = (counted + amount) * share.numerator // share.denominator
        left = whole - counted * share.numerator // share.denominator
        left = min(left, _sums(state, share.debit).may_debit())
        for account, level in share.fills:
            has = _sums(state, account)
            missing = level.units - (has.credits_posted - has.debits_posted)
            moved = max(0, min(left, missing, has.may_credit()))
            if moved:
                step(share.debit, account, moved)
            left -= moved
        moved = min(left, _sums(state, share.credit).may_credit())
        if moved > 0:
            step(share.debit, share.credit, moved)
    return lines


def _settle(state: State, entry: Settle[Any]) -> list[Line]:
    if entry.hold in state.ended:
        raise types.HoldResolved(entry.hold)
    if entry.hold not in state.open:
        raise types.HoldNotFound(entry.hold)
    holds, left = state.open[entry.hold], entry.amount.units
    if state.sums[holds[0][0]].unit is not type(entry.amount):
        raise types.AccountMismatch(entry.hold)
    if left > sum(amount for _, _, amount in holds):
        raise types.SettleTooMuch(entry.hold, entry.amount, entry.amount)
    del state.open[entry.hold]
    state.ended.add(entry.hold)
    lines: list[Line] = []
    for debit, credit, amount in holds:
        take = min(left, amount)
        left -= take
        state.sums[debit].debits_pending -= amount
        state.sums[credit].credits_pending -= amount
        state.sums[debit].debits_posted += take
        state.sums[credit].credits_posted += take
        kind = TransferKind.POST if take else TransferKind.VOID
        lines.append((entry.name, len(lines), kind, debit, credit, take or amount))
    return lines


def _companion(state: State, companion: Companion) -> None:
    refused = types.CompanionRefused("chore")
    if isinstance(companion, Insert):
        if companion.row["name"] in state.rows:
            if companion.ignore:
                return
            raise refused
        state.rows[companion.row["name"]] = companion.row["owner"]
    elif isinstance(companion, Delete):
        state.rows.pop(companion.where["name"], None)
    else:
        name, wanted = companion.key["name"], companion.expect.get("owner")
        if name not in state.rows or (wanted is not None and state.rows[name] != wanted):
            raise refused
        state.rows[name] = companion.change["owner"]
