"""Notifications: what a person is told without having asked. Whoever learns of something writes the
notification's row in the same submission; a job of `core.jobs` delivers it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from core import ids
from core.clock import Clock
from core.db import schema
from core.db.writes import Delete, Insert

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


def delete_notifications(**where: str | tuple[str, ...]) -> Delete:
    """Deletes all notifications that match, whether they were delivered or wait: of people, by
    `person`, or of a `kind`."""
    return Delete(schema.notice, where)
