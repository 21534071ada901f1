"""What a person's programs asked through the API, and were charged: a page at a time, the newest
first. Nothing of what was said is kept of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.money import Credits, Tokens
from core.pricing.tiers import select_merged_ids

PAGE_ROWS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class UsageCursor:
    """A cursor is the row that a page ended with: the next one has what is older."""

    at: int
    ask: str


@dataclass(frozen=True, slots=True)
class ApiUsage:
    """One ask of a program: by which token, of what, how large, for how much."""

    ask: str
    at: int
    token: str
    model: str
    input: Tokens
    cached: Tokens
    output: Tokens
    charge: Credits


class ApiUsageHistory:
    """Reads what people's programs asked, and for how much."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def list_page(
        self, person: str, count: int, after: UsageCursor | None = None
    ) -> list[ApiUsage]:
        """A page of the asks of a person, and of who became a part of them."""
        ask, usage = schema.ask, schema.usage
        statement = (
            sa.select(usage, ask.c.api_token)
            .select_from(usage.join(ask, ask.c.id == usage.c.ask))
            .where(usage.c.person.in_(select_merged_ids(person)), ask.c.api_token.is_not(None))
            .order_by(usage.c.at.desc(), usage.c.ask.desc())
            .limit(min(count, PAGE_ROWS_MAX))
        )
        if after is not None:
            is_same_time = sa.and_(usage.c.at == after.at, usage.c.ask < after.ask)
            statement = statement.where(sa.or_(usage.c.at < after.at, is_same_time))
        return [
            ApiUsage(
                ask=row.ask,
                at=row.at,
                token=row.api_token,
                model=row.model,
                input=Tokens(row.input_tokens),
                cached=Tokens(row.cached_tokens),
                output=Tokens(row.output_tokens),
                charge=Credits(row.charge),
            )
            for row in await self._db.fetch(statement)
        ]
