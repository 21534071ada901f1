"""Statistics of a contribution: what its contributor is shown of it, in Credits only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core import chart
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.earnings.types import Contribution
from core.ledger.ledger import Ledger
from core.money import Credits

#: Days that the feed and the chart show.
FEED_DAYS, CHART_DAYS = 7, 30


@dataclass(frozen=True, slots=True)
class Day:
    """What keys vested on a UTC day, in Credits, and in how many answers."""

    #: Its beginning, in milliseconds UTC.
    at_ms: int
    answers: int
    brought: Credits


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a contribution has vested and how much of it was used."""

    #: Credits that have not vested yet, and what of them may be spent in advance all the same.
    on_the_way: Credits
    usable: Credits
    #: Credits that its use vested so far: earned and gifts, what covered an advance included.
    brought: Credits
    #: The used share of its quota, in thousandths.
    used_permille: int
    answers: int
    #: When it served last (ms UTC); 0 when it never did.
    last_at: int


class Watching:
    """Reads what contributions have vested, in all and day by day; changes nothing."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock

    async def progress(self, one: Contribution) -> Progress:
        """How far a contribution is now."""
        quota, waits, line = (
            chart.key_quota(one.key),
            chart.unvested(one.key),
            chart.advance(one.key),
        )
        balances = await self._ledger.balances([quota, waits, line])
        unvested = balances[waits.code].posted
        lent = max(0, one.advance.units - balances[line.code].posted)
        returned = one.returned_credits.units
        # Closed contributions were emptied: what didn't go back has vested.
        brought = one.credited.units - returned - (unvested if one.state != "closed" else 0)
        held = balances[quota.code]
        used = held.debits_posted + held.debits_pending - one.returned_quota.units
        whole = max(1, one.quota.units - one.returned_quota.units)
        table = schema.usage
        told: list[Any] = [
            sa.func.count().label("answers"),
            sa.func.max(table.c.at).label("last"),
        ]
        rows = await self._store.fetch(sa.select(*told).where(table.c.key == one.key))
        open_ = one.state == "open"
        return Progress(
            on_the_way=Credits(max(0, unvested - lent) if one.state != "closed" else 0),
            usable=Credits(balances[line.code].available if open_ else 0),
            brought=Credits(max(0, brought)),
            used_permille=min(1_000, max(0, used) * 1_000 // whole),
            answers=int(rows[0].answers),
            last_at=int(rows[0].last or 0),
        )

    async def days(self, keys: Sequence[str], count: int) -> list[Day]:
        """What keys vested on each of the last days, the oldest first, today and empty days
        included."""
        today = self._clock.now_ms() // DAY_MS
        first = today - count + 1
        table = schema.usage
        day = (table.c.at // DAY_MS).label("day")
        rows = await self._store.fetch(
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
        brought: dict[int, int] = {}
        answers: dict[int, int] = {}
        for row in rows:
            number = int(row.day)
            answers[number] = answers.get(number, 0) + int(row.answers)
            for use, part in (("paid", row.paid), ("free", row.charged - row.paid)):
                before = counts.get((row.key, use), 0)
                after = counts[row.key, use] = before + int(part)
                share = _net(after) - _net(before)
                brought[number] = brought.get(number, 0) + share
        return [
            Day(number * DAY_MS, answers.get(number, 0), Credits(brought.get(number, 0)))
            for number in range(first, today + 1)
        ]


def _net(charged: int) -> int:
    numerator, denominator = chart.NET
    return charged * numerator // denominator
