"""Statistics of a contribution: what its contributor is shown of it, in Credits only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core import chart
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.earnings.types import Contribution
from core.ledger.ledger import Ledger
from core.money import Credits

#: Days that the feed and the chart show.
FEED_DAYS, CHART_DAYS = 7, 30


@dataclass(frozen=True, slots=True)
class DailyEarnings:
    """What keys vested on a UTC day, in Credits, and in how many answers."""

    #: Its beginning, in milliseconds UTC.
    at_ms: int
    answers: int
    vested: Credits


@dataclass(frozen=True, slots=True)
class ContributionProgress:
    """How far a contribution has vested and how much of it was used."""

    #: Credits that have not vested yet, and what of them may be spent in advance all the same.
    unvested: Credits
    spendable: Credits
    #: Credits that its use vested so far: earned and gifts, what covered an advance included.
    vested: Credits
    #: The used share of its quota, in thousandths.
    used_permille: int
    answers: int
    #: When it served last (ms UTC); 0 when it never did.
    last_served_at: int


class ContributionStatistics:
    """Reads what contributions have vested, in all and day by day; changes nothing."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def get_progress(self, contribution: Contribution) -> ContributionProgress:
        """How far a contribution is now."""
        quota_account, unvested_account, advance_account = (
            chart.key_quota(contribution.key),
            chart.unvested_credits(contribution.key),
            chart.advance(contribution.key),
        )
        balances = await self._ledger.read_balances(
            [quota_account, unvested_account, advance_account]
        )
        unvested = balances[unvested_account.code].posted
        lent = max(0, contribution.advance.units - balances[advance_account.code].posted)
        returned = contribution.returned_credits.units
        # Closed contributions were emptied: what didn't go back has vested.
        vested = (
            contribution.credited.units
            - returned
            - (unvested if contribution.state != "closed" else 0)
        )
        quota_balance = balances[quota_account.code]
        used_quota = (
            quota_balance.debits_posted
            + quota_balance.debits_pending
            - contribution.returned_quota.units
        )
        total = max(1, contribution.quota.units - contribution.returned_quota.units)
        table = schema.usage
        columns: list[Any] = [
            sa.func.count().label("answers"),
            sa.func.max(table.c.at).label("last"),
        ]
        rows = await self._db.fetch(sa.select(*columns).where(table.c.key == contribution.key))
        is_open = contribution.state == "open"
        return ContributionProgress(
            unvested=Credits(max(0, unvested - lent) if contribution.state != "closed" else 0),
            spendable=Credits(balances[advance_account.code].available if is_open else 0),
            vested=Credits(max(0, vested)),
            used_permille=min(1_000, max(0, used_quota) * 1_000 // total),
            answers=int(rows[0].answers),
            last_served_at=int(rows[0].last or 0),
        )

    async def list_daily_earnings(self, keys: Sequence[str], count: int) -> list[DailyEarnings]:
        """What keys vested on each of the last days, the oldest first, today and empty days
        included."""
        today = self._clock.now_ms() // DAY_MS
        first = today - count + 1
        table = schema.usage
        day = (table.c.at // DAY_MS).label("day")
        rows = await self._db.fetch(
            sa.select(
                table.c.key,
                day,
                sa.func.count().label("answers"),
                sa.func.sum(table.c.charge).label("charged"),
                sa.func.sum(table.c.paid).label("paid"),
            )
            .where(table.c.key.in_(keys))
            .group_by(table.c.key, sa.text("day"))
            .order_by(sa.text("day"))
        )
        # Vesting rounds down over the whole count of a key and a way to pay; so do we.
        counts: dict[tuple[str, str], int] = {}
        vested: dict[int, int] = {}
        answers: dict[int, int] = {}
        for row in rows:
            number = int(row.day)
            answers[number] = answers.get(number, 0) + int(row.answers)
            for origin, part in (("paid", row.paid), ("free", row.charged - row.paid)):
                before = counts.get((row.key, origin), 0)
                after = counts[row.key, origin] = before + int(part)
                share = _contributor_share(after) - _contributor_share(before)
                vested[number] = vested.get(number, 0) + share
        return [
            DailyEarnings(number * DAY_MS, answers.get(number, 0), Credits(vested.get(number, 0)))
            for number in range(first, today + 1)
        ]


def _contributor_share(charged: int) -> int:
    numerator, denominator = chart.CONTRIBUTOR_SHARE
    return charged * numerator // denominator


async def sum_contribution_bonuses(
    db: Database, ledger: Ledger, inviters: Sequence[str]
) -> Credits:
    """What these people got, all together, of what friends' contributions have vested: calculated
    from the counts of use, as `chart.vest_charge` does."""
    table = schema.contribution
    rows = await db.fetch(
        sa.select(table.c.key, table.c.inviting).where(table.c.inviter.in_(inviters))
    )
    counts = await ledger.read_balances(
        chart.key_usage(row.key, use) for row in rows for use in ("paid", "free")
    )
    numerator, denominator = chart.INVITER_SHARE
    earned = 0
    for row in rows:
        codes = (chart.key_usage(row.key, "paid").code, chart.key_usage(row.key, "free").code)
        bonus = sum(counts[code].credits_posted * numerator // denominator for code in codes)
        earned += min(bonus, row.inviting)
    return Credits(earned)
