"""Whose accounts a person's statement is about: their own, and from a link on those of who became a
part of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from core import chart
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.pricing.tiers import select_merged_ids


@dataclass(frozen=True, slots=True)
class Joining:
    """A joining says when somebody's Credits came to a person by a link: at which place of the
    books, and when (ms UTC)."""

    link: str
    seq: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class StatementAccounts:
    """The accounts whose sum is what a person has, by code, each with how it came to them (None:
    theirs from the beginning); and what stands apart from that sum."""

    spendable: dict[str, Joining | None]
    #: What their contributions haven't earned yet, and what they owe.
    unvested: tuple[str, ...]
    owed: tuple[str, ...]

    @property
    def joinings(self) -> list[Joining]:
        """Every link by which accounts came, the newest first."""
        found = {joining for joining in self.spendable.values() if joining is not None}
        return sorted(found, key=lambda joining: joining.seq, reverse=True)

    def list_codes(self, until_ms: int | None) -> list[str]:
        """The accounts that are theirs when the UTC day of a time ends, or now."""
        if until_ms is None:
            return list(self.spendable)
        day = until_ms // DAY_MS
        return [
            code
            for code, joining in self.spendable.items()
            if joining is None or joining.at_ms // DAY_MS <= day
        ]


async def find_statement_accounts(db: Database, person: str) -> StatementAccounts:
    """The accounts of a person's statement: pockets, and advances on contributed keys."""
    people = [row[0] for row in await db.fetch(sa.select(select_merged_ids(person).subquery()))]
    joinings = await _find_joinings(db, person, people)
    contribution = schema.contribution.c
    keys = await db.fetch(
        sa.select(contribution.key, contribution.person)
        .where(contribution.person.in_(people), contribution.opened_at.is_not(None))
        .order_by(contribution.key)
    )
    pockets = {
        account.code: joinings.get(each) for each in people for account in chart.pockets(each)
    }
    advances = {chart.advance(row.key).code: joinings.get(row.person) for row in keys}
    return StatementAccounts(
        spendable=pockets | advances,
        unvested=tuple(chart.unvested_credits(row.key).code for row in keys),
        owed=tuple(chart.owed(each).code for each in people),
    )


async def _find_joinings(db: Database, person: str, people: Sequence[str]) -> dict[str, Joining]:
    """How each of the others came to a person: by the link that made them one, or by that of whom
    they were a part of before."""
    if len(people) < 2:
        return {}
    link, submission = schema.link.c, schema.submission.c
    rows = await db.fetch(
        sa.select(link.id, link.issuer, link.joiner, submission.first, submission.at)
        .select_from(
            schema.link.join(
                schema.submission, submission.id == sa.literal("link/") + link.id + "/merge"
            )
        )
        .where(link.issuer.in_(people), link.joiner.in_(people))
    )
    joinings: dict[str, Joining] = {}
    # From the last link back: whoever was joined to somebody came with them.
    for row in sorted(rows, key=lambda row: row.first, reverse=True):
        joining = Joining(row.id, row.first, row.at)
        sides = (row.issuer, row.joiner)
        for side, other in (sides, sides[::-1]):
            if side not in joinings and side != person:
                known = other == person or other in joinings
                if known:
                    joinings[side] = joinings.get(other, joining)
    return joinings
