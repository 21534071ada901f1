"""The trial balance of the whole ledger: every account, those of one kind added up, now or when a
past UTC day ended. A past day is one closing away for each account, however long the history is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.money import Credits, NanoUsd

#: Accounts that every person, key or order has; each kind is one figure here.
_ACCOUNT_KINDS: Final = {
    "user/%/gift": "pocket/gift",
    "user/%/bought": "pocket/bought",
    "user/%/earned": "pocket/earned",
    "order/%/disputed-gift": "pocket/disputed-gift",
    "order/%/disputed-bought": "pocket/disputed-bought",
    "key/%/advance": "pocket/advance",
    "key/%/unvested": "unvested",
    "key/%/invited": "invited",
    "key/%": "key",
    "owed/%": "owed",
    "line/%": "line",
    "use/%": "use",
    "supply/own-returned/%": "supply/own-returned",
}


@dataclass(frozen=True, slots=True)
class AccountSums:
    """Posted and held amounts of accounts, in their unit."""

    debits: int = 0
    credits: int = 0
    held: int = 0
    #: CREDIT, USD or STAR, as the ledger names it.
    unit: str = ""

    @property
    def posted(self) -> int:
        """Credits less debits."""
        return self.credits - self.debits

    def subtract(self, earlier: AccountSums) -> AccountSums:
        """What moved between an earlier balance and this one."""
        return AccountSums(
            self.debits - earlier.debits,
            self.credits - earlier.credits,
            self.held,
            self.unit or earlier.unit,
        )


class TrialBalance(Mapping[str, AccountSums]):
    """The sums of every account or kind of accounts, by name; zero for names that aren't there."""

    def __init__(self, sums: Mapping[str, AccountSums]) -> None:
        self._sums = dict(sums)

    def __getitem__(self, name: str) -> AccountSums:
        return self._sums.get(name, AccountSums())

    def __iter__(self) -> Iterator[str]:
        return iter(self._sums)

    def __len__(self) -> int:
        return len(self._sums)

    def changes_since(self, earlier: TrialBalance) -> TrialBalance:
        """What moved between an earlier trial balance and this one."""
        return TrialBalance(
            {name: self[name].subtract(earlier[name]) for name in {*self, *earlier}}
        )

    def get_credits(self, name: str) -> Credits:
        """Credits less debits of accounts in Credits."""
        return Credits(self[name].posted)

    def get_dollars(self, name: str) -> NanoUsd:
        """Debits less credits of accounts in dollars: what is there."""
        return NanoUsd(-self[name].posted)

    def list_under(self, kind: str) -> dict[str, AccountSums]:
        """The sums whose name begins with a kind, by the rest of the name."""
        prefix = f"{kind}/"
        return {name[len(prefix) :]: self[name] for name in sorted(self) if name.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class ReportPeriod:
    """Whole UTC days, both included; `since` None: from the beginning. `until` is today at most."""

    since: date | None
    until: date

    @classmethod
    def last_days(cls, days: int, now_ms: int) -> ReportPeriod:
        """The period of so many days that ends today."""
        today = _date(now_ms)
        return cls(today - timedelta(days=days - 1), today)

    @classmethod
    def whole_history(cls, now_ms: int) -> ReportPeriod:
        """The period from the beginning to today."""
        return cls(None, _date(now_ms))

    @property
    def before(self) -> date | None:
        """The day at whose end the period begins; None: it has no beginning."""
        return None if self.since is None else self.since - timedelta(days=1)

    @property
    def from_ms(self) -> int:
        """When the period begins (ms UTC)."""
        return 0 if self.since is None else _ms(self.since)

    @property
    def to_ms(self) -> int:
        """When the period is over (ms UTC)."""
        return _ms(self.until) + DAY_MS


def read_trial_balance(connection: sa.Connection, day: date | None) -> TrialBalance:
    """The trial balance when that day ended, holds not counted; None: now."""
    account = schema.account.c
    debits: sa.ColumnElement[Any] = account.debits_posted
    credited: sa.ColumnElement[Any] = account.credits_posted
    held: sa.ColumnElement[Any] = account.debits_pending
    source: sa.FromClause = schema.account
    if day is not None:
        source, debits, credited = _balances_at_end_of(day)
        held = sa.literal(0)
    kind = sa.case(
        *((account.code.like(pattern), name) for pattern, name in _ACCOUNT_KINDS.items()),
        else_=account.code,
    ).label("kind")
    rows = connection.execute(
        sa.select(
            kind,
            account.unit,
            sa.func.sum(debits).label("debits"),
            sa.func.sum(credited).label("credits"),
            sa.func.sum(held).label("held"),
        )
        .select_from(source)
        .group_by(kind, account.unit)
    )
    return TrialBalance(
        {
            row.kind: AccountSums(int(row.debits), int(row.credits), int(row.held), row.unit)
            for row in rows
        }
    )


def _balances_at_end_of(
    day: date,
) -> tuple[sa.FromClause, sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """The balances of accounts when a day ended: those of the newest closing up to it, or today's
    where nothing moved since."""
    account, closing = schema.account.c, schema.closing
    day_number = (day - date(1970, 1, 1)).days
    earlier = closing.alias("earlier")
    newest = (
        sa.select(sa.func.max(earlier.c.day))
        .where(earlier.c.account == account.id, earlier.c.day <= day.isoformat())
        .correlate(schema.account)
        .scalar_subquery()
    )
    joined = schema.account.outerjoin(
        closing,
        sa.and_(account.day > day_number, closing.c.account == account.id, closing.c.day == newest),
    )
    is_unmoved = account.day <= day_number
    return (
        joined,
        sa.case(
            (is_unmoved, account.debits_posted), else_=sa.func.coalesce(closing.c.debits_posted, 0)
        ),
        sa.case(
            (is_unmoved, account.credits_posted),
            else_=sa.func.coalesce(closing.c.credits_posted, 0),
        ),
    )


def _date(at_ms: int) -> date:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).date()


def _ms(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000)
