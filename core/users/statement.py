"""A person's statement: what they had, each movement, what they have, so that it adds up.

Everything comes from the ledger's transfers, read backwards from what the accounts stand at: a line
for each thing that happened, however many pockets it touched. What only moves between a person's
own pockets is no movement. Holds aren't either; they stand apart until they are posted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Literal

import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.ledger.account_history import AccountHistory, AccountPosition, PostedChange
from core.money import Credits
from core.users.statement_accounts import Joining, StatementAccounts, find_statement_accounts

MovementKind = Literal[
    "answer",
    "returned",
    "topup",
    "refund",
    "welcome",
    "grant",
    "code",
    "referral",
    "earned",
    "advance",
    "dispute",
    "repaid",
    "withdrawal",
    "link",
    "forfeited",
    "other",
]

#: By how the other account's code begins: what came in from there, and what went out there.
_KINDS: Final[tuple[tuple[str, MovementKind, MovementKind], ...]] = (
    ("spent/", "returned", "answer"),
    ("issued/topup", "topup", "refund"),
    ("issued/bonus", "topup", "refund"),
    ("issued/welcome", "welcome", "welcome"),
    ("issued/grant", "grant", "grant"),
    ("issued/code", "code", "code"),
    ("issued/referral", "referral", "referral"),
    ("owed/", "repaid", "repaid"),
    ("order/", "dispute", "dispute"),
    ("advanced", "advance", "advance"),
    ("line/", "advance", "advance"),
    ("forfeited", "forfeited", "forfeited"),
    ("redeemed/", "withdrawal", "withdrawal"),
    ("fee/payout", "withdrawal", "withdrawal"),
    ("user/", "link", "link"),
)
#: Parts of a contributed key's code: what its use brings its contributor, or their inviter.
_KEY_KINDS: Final[dict[str, MovementKind]] = {"unvested": "earned", "invited": "referral"}


@dataclass(frozen=True, slots=True)
class StatementPeriod:
    """A period of time in ms UTC, `until_ms` not included; None: from the beginning, until now."""

    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StatementLine:
    """A line is one movement, and what its person had right after it. `subject` is the model of an
    answer, the order of a dispute, the key or payout that it is about; empty for others."""

    seq: int
    at_ms: int
    kind: MovementKind
    subject: str
    change: Credits
    balance: Credits


@dataclass(frozen=True, slots=True)
class MovementSum:
    """All movements of a kind, or answers of a model, together."""

    count: int = 0
    change: Credits = Credits(0)  # noqa: RUF009

    def add(self, change: Credits) -> MovementSum:
        """This and one more movement."""
        return MovementSum(self.count + 1, self.change + change)


@dataclass(slots=True)
class StatementSummary:
    """A summary of a period: `opening` and all of `kinds` make `closing`."""

    opening: Credits
    closing: Credits
    kinds: dict[MovementKind, MovementSum] = field(default_factory=dict)
    #: Of the answers and what was given back for them, by the model's id.
    models: dict[str, MovementSum] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StatementPage:
    """A page of movements, the newest first; `next_line` is where an older page begins, None where
    the period ends."""

    lines: tuple[StatementLine, ...]
    #: What there was before the oldest line of it.
    opening: Credits
    next_line: StatementLine | None


@dataclass(frozen=True, slots=True)
class HeldApart:
    """What of a person's Credits can't be spent now, and what isn't theirs yet."""

    #: Reserved by answers that run, by withdrawals, by purchases that are being given back.
    answers: Credits
    withdrawals: Credits
    cancellations: Credits
    #: What contributions haven't earned yet.
    unvested: Credits
    owed: Credits


class Statements:
    """Reads people's statements from the ledger."""

    def __init__(self, *, db: Database, history: AccountHistory) -> None:
        self._db, self._history = db, history

    async def summarize(self, person: str, period: StatementPeriod) -> StatementSummary:
        """What a person had, what moved it by kind and model, and what they had then."""
        reader = await self._open(person, period.until_ms)
        summary = StatementSummary(reader.balance, reader.balance)
        async for line in reader.read_lines(period.since_ms, period.until_ms):
            summary.kinds[line.kind] = summary.kinds.get(line.kind, MovementSum()).add(line.change)
            if line.kind in {"answer", "returned"}:
                model = summary.models.get(line.subject, MovementSum())
                summary.models[line.subject] = model.add(line.change)
        summary.opening, summary.closing = reader.balance, reader.closing
        return summary

    async def list_page(
        self,
        person: str,
        period: StatementPeriod,
        count: int,
        *,
        start: tuple[int, int] | None = None,
    ) -> StatementPage:
        """At most so many movements of a period, the newest first, from one on: `start` is its
        `seq` and `at_ms`."""
        until_ms = period.until_ms if start is None else start[1] + 1
        reader = await self._open(person, until_ms)
        lines: list[StatementLine] = []
        async with aclosing(reader.read_lines(period.since_ms, until_ms)) as read:
            async for line in read:
                if start is not None and line.seq > start[0]:
                    continue
                if len(lines) >= count and line.seq != lines[-1].seq:
                    return StatementPage(tuple(lines), lines[-1].balance - lines[-1].change, line)
                lines.append(line)
        return StatementPage(tuple(lines), reader.balance, None)

    async def get_held_apart(self, person: str) -> HeldApart:
        """What is held of a person's Credits now, by what holds it, and what they are still to get
        or owe."""
        accounts = await find_statement_accounts(self._db, person)
        account, hold = schema.account, schema.hold.c
        counter = account.alias("counter")
        held = dict.fromkeys(("spent", "redeemed", "fee", "issued"), 0)
        rows = await self._db.fetch(
            sa.select(counter.c.code, sa.func.sum(hold.amount).label("amount"))
            .select_from(
                account.join(schema.hold, hold.debit == account.c.id).join(
                    counter, counter.c.id == hold.credit
                )
            )
            .where(account.c.code.in_(list(accounts.spendable)), account.c.debits_pending > 0)
            .group_by(counter.c.code)
        )
        for row in rows:
            held[row.code.partition("/")[0]] += int(row.amount)
        unvested = await self._history.read_positions(accounts.unvested)
        owed = await self._history.read_positions(accounts.owed)
        return HeldApart(
            answers=Credits(held["spent"]),
            withdrawals=Credits(held["redeemed"] + held["fee"]),
            cancellations=Credits(held["issued"]),
            unvested=Credits(sum(each.posted for each in unvested)),
            owed=Credits(-sum(each.posted for each in owed)),
        )

    async def _open(self, person: str, until_ms: int | None) -> _StatementReader:
        # A time that isn't included belongs to the day before it when it is midnight.
        day_ms = None if until_ms is None else until_ms - 1
        accounts = await find_statement_accounts(self._db, person)
        codes = accounts.list_codes(day_ms)
        positions = await self._history.read_positions(codes, day_ms)
        return _StatementReader(accounts, positions, self._history)


class _StatementReader:
    """Reads the movements of some accounts backwards; `balance` is what there was before the last
    that was read, `closing` what there was after the first."""

    def __init__(
        self,
        accounts: StatementAccounts,
        positions: Sequence[AccountPosition],
        history: AccountHistory,
    ) -> None:
        self._accounts, self._history = accounts, history
        self._positions = positions
        self._posted = {position.code: position.posted for position in positions}
        self.balance = self.closing = Credits(sum(self._posted.values()))

    async def read_lines(
        self, since_ms: int | None, until_ms: int | None
    ) -> AsyncGenerator[StatementLine]:
        """The movements within a time, the newest first."""
        begun = until_ms is None
        async with aclosing(self._read_groups()) as groups:
            async for group in groups:
                at_ms, balance = group[0].at_ms, self.balance
                if since_ms is not None and at_ms < since_ms:
                    break
                begun = begun or until_ms is None or at_ms < until_ms
                if not begun:
                    self.closing = self._undo(group)
                    continue
                for kind, subject, amount in _sum_by_kind(group, self._posted):
                    change = Credits(amount)
                    yield StatementLine(group[0].seq, at_ms, kind, subject, change, balance)
                    balance -= change
                self._undo(group)

    def _undo(self, group: Sequence[PostedChange]) -> Credits:
        """Takes the accounts back to where they stood before these changes: their sum then."""
        for change in group:
            if change.counter.startswith(_JOINED):
                self._posted.pop(change.code)
            else:
                self._posted[change.code] -= change.amount
        self.balance -= Credits(sum(change.amount for change in group))
        return self.balance

    async def _read_groups(self) -> AsyncGenerator[list[PostedChange]]:
        """What one submission changed at a time; what a link brought comes before (is older than)
        what its submission moved."""
        joinings = [each for each in self._accounts.joinings if self._is_joined(each)]
        group: list[PostedChange] = []
        async for change in self._history.walk(self._positions):
            if group and change.submission != group[0].submission:
                yield group
                group = []
            while joinings and change.seq < joinings[0].seq:
                yield self._make_joined_group(joinings.pop(0))
            if change.code in self._posted:
                group.append(change)
        if group:
            yield group
        while joinings:
            yield self._make_joined_group(joinings.pop(0))

    def _is_joined(self, joining: Joining) -> bool:
        return any(self._accounts.spendable[code] == joining for code in self._posted)

    def _make_joined_group(self, joining: Joining) -> list[PostedChange]:
        """What all accounts that came by a link held when they did."""
        return [
            PostedChange(
                joining.seq,
                f"link/{joining.link}/joined",
                joining.at_ms,
                code,
                f"{_JOINED}{joining.link}",
                posted,
            )
            for code, posted in self._posted.items()
            if self._accounts.spendable[code] == joining
        ]


#: Stands for the other account where accounts came whole.
_JOINED: Final = "joined/"


def _sum_by_kind(
    group: Sequence[PostedChange], own: dict[str, int]
) -> list[tuple[MovementKind, str, int]]:
    """What one submission did, by kind and subject; what came to nothing is left out."""
    sums: dict[tuple[MovementKind, str], int] = {}
    for change in group:
        if change.counter in own and not change.counter.startswith(_JOINED):
            continue
        what = _describe_change(change)
        sums[what] = sums.get(what, 0) + change.amount
    return [(kind, subject, amount) for (kind, subject), amount in sums.items() if amount]


def _describe_change(change: PostedChange) -> tuple[MovementKind, str]:
    code = change.counter
    if code.startswith(_JOINED):
        return "link", ""
    first, *rest = code.split("/")
    if first == "key":
        return _KEY_KINDS.get(rest[-1], "other"), rest[0]
    for prefix, incoming, outgoing in _KINDS:
        if code.startswith(prefix):
            kind = incoming if change.amount > 0 else outgoing
            return kind, _find_subject(change, kind, rest)
    return "other", ""


def _find_subject(change: PostedChange, kind: MovementKind, rest: Sequence[str]) -> str:
    if kind in {"answer", "returned"}:
        return "/".join(rest)
    if kind == "dispute":
        return rest[0]
    if kind == "withdrawal" and change.submission.startswith("payout/"):
        return change.submission.split("/")[1]
    return ""
