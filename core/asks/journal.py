"""The journal of what people asked and were charged: for `/usage`, `/export`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core.db import schema
from core.db.database import Store
from core.money import Credits, Seconds, Tokens
from core.pool.vault import DataKey, Unsealable

_EXPORTED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Served:
    """One answer that was charged."""

    ask: str
    at: int
    model: str
    charge: Credits


@dataclass(frozen=True, slots=True)
class Turn:
    """One ask with its words; empty where they were erased."""

    at: int
    model: str
    charge: Credits
    question: str
    answer: str
    #: What made its price lower; empty: nothing.
    tier: str = ""
    promotion: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """An answer as a receipt tells of it: never a word of what was asked or said."""

    ask: str
    at: int
    model: str
    input: Tokens
    output: Tokens
    #: Of audio that was written down; None for a question.
    seconds: Seconds | None
    charge: Credits
    #: When its last word was in the chat; None while that isn't known.
    landed_at: int | None


class Journal:
    """Reads what a person asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def since(self, people: Sequence[str], at_ms: int) -> list[Served]:
        """What a person and those who became a part of them were charged since then, the oldest
        first."""
        theirs = schema.usage.c.person.in_(people)
        return await self._served(theirs, schema.usage.c.at >= at_ms, newest=False, limit=None)

    async def latest(self, people: Sequence[str], count: int) -> list[Served]:
        """Their newest charges, the newest first."""
        return await self._served(schema.usage.c.person.in_(people), newest=True, limit=count)

    async def delivered(self, people: Sequence[str], since_ms: int) -> list[Delivered]:
        """What a person and those who became a part of them were charged for since then, the oldest
        first."""
        ask, usage = schema.ask, schema.usage
        rows = await self._store.fetch(
            sa.select(usage, ask.c.created_at, ask.c.landed_at)
            .select_from(usage.join(ask, ask.c.id == usage.c.ask))
            .where(usage.c.person.in_(people), usage.c.at >= since_ms, usage.c.charge > 0)
            .order_by(usage.c.at, usage.c.ask)
            .limit(_EXPORTED_MAX)
        )
        return [
            Delivered(
                row.ask,
                row.created_at,
                row.model,
                Tokens(row.input_tokens),
                Tokens(row.output_tokens),
                None if row.seconds is None else Seconds(row.seconds),
                Credits(row.charge),
                row.landed_at,
            )
            for row in rows
        ]

    async def turns(self, person: str, data_key: DataKey) -> list[Turn]:
        """Everything asked and answered, the oldest first."""
        ask, usage = schema.ask, schema.usage
        rows = await self._store.fetch(
            sa.select(
                ask.c.id,
                ask.c.created_at,
                ask.c.model,
                ask.c.question,
                ask.c.answer,
                ask.c.tier,
                ask.c.promotion,
                usage.c.charge,
            )
            .select_from(ask.outerjoin(usage, usage.c.ask == ask.c.id))
            .where(ask.c.person == person)
            .order_by(ask.c.id.desc())
            .limit(_EXPORTED_MAX)
        )
        return [
            Turn(
                at=row.created_at,
                model=row.model,
                charge=Credits(row.charge or 0),
                question=opened(data_key, row.id, "question", row.question),
                answer=opened(data_key, row.id, "answer", row.answer),
                tier=row.tier or "",
                promotion=row.promotion or "",
            )
            for row in reversed(rows)
        ]

    async def _served(
        self, *where: sa.ColumnElement[bool], newest: bool, limit: int | None
    ) -> list[Served]:
        table = schema.usage
        order = table.c.at.desc() if newest else table.c.at
        rows: Sequence[sa.Row[Any]] = await self._store.fetch(
            sa.select(table.c.ask, table.c.at, table.c.model, table.c.charge)
            .where(*where, table.c.charge > 0)
            .order_by(order, table.c.ask)
            .limit(limit)
        )
        return [Served(row.ask, row.at, row.model, Credits(row.charge)) for row in rows]


def opened(data_key: DataKey, ask: str, part: str, sealed: bytes | None) -> str:
    """An ask's `question`, `answer` or `way_back`; empty when there is none or it was erased."""
    if sealed is None:
        return ""
    try:
        return data_key.unseal(f"ask/{ask}/{part}", sealed).decode()
    except Unsealable:
        return ""
