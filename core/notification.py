"""Notifications: what a person is told without having asked. Whoever learns of something writes the
notification's row in the same submission; a job of `core.jobs` delivers it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import sqlalchemy as sa

from core import ids
from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.db.writes import Delete, Insert, UpdateAll

#: In place of a person's id: everybody who operates the service.
OPERATORS = "owners"

Facts = Mapping[str, str | int]


def notification_row(
    clock: Clock,
    *,
    cause_id: str,
    person: str,
    kind: str,
    facts: Facts,
    delay_ms: int = 0,
    once: bool = False,
) -> Insert:
    """A notification's row, to be written with what it tells of; the same cause at the same time
    gives the same row, `once`: at whatever time. `kind` and `facts` are what its sentence is made
    of; it is told after `delay_ms`."""
    now = clock.now_ms()
    row = {
        "id": ids.derive_id("ntc", 0 if once else now, cause_id),
        "person": person,
        "kind": kind,
        "data": json.dumps(dict(facts), sort_keys=True),
        "created_at": now,
        "tries": 0,
        "due_at": now + delay_ms,
    }
    return Insert(schema.notice, row)


def make_lasting(row: Insert, id_: str | None = None, *, is_told: bool = True) -> Insert:
    """A notification that stays as it is where it was written before, under an id of the caller's
    if one is given. One that isn't `is_told` is kept as if it had been."""
    changed = {"id": id_ or row.row["id"], "due_at": row.row["due_at"] if is_told else None}
    return Insert(schema.notice, {**row.row, **changed}, ignore=True)


async def list_undelivered(db: Database, *, kind: str, person: str) -> list[tuple[str, Facts]]:
    """A person's notifications of a kind that still wait: their ids and facts."""
    table = schema.notice.c
    rows = await db.fetch(
        sa.select(table.id, table.data).where(
            table.due_at.is_not(None), table.kind == kind, table.person == person
        )
    )
    return [(row.id, json.loads(row.data)) for row in rows]


def cancel_notification(id_: str) -> UpdateAll:
    """Nobody is told any more, if they weren't yet."""
    return UpdateAll(schema.notice, {"id": id_}, {"due_at": None})


def delete_notifications(**where: str | tuple[str, ...]) -> Delete:
    """Deletes all notifications that match, whether they were delivered or wait: of people, by
    `person`, or of a `kind`."""
    return Delete(schema.notice, where)
