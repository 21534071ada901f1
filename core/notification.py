"""A notice: what a person is told without having asked. Whoever learns of something writes it in
the same submission; `core.jobs` has it told.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from core import ids
from core.clock import Clock
from core.db import schema
from core.db.writes import Insert

#: In a person's place: whoever owns the service.
OWNERS = "owners"

Facts = Mapping[str, str | int]


def notice(clock: Clock, *, cause_id: str, person: str, kind: str, facts: Facts) -> Insert:
    """The row that goes with what it tells; one a cause."""
    now = clock.now_ms()
    row = {
        "id": ids.derived("ntc", now, cause_id),
        "person": person,
        "kind": kind,
        "data": json.dumps(dict(facts), sort_keys=True),
        "created_at": now,
        "tries": 0,
        "due_at": now,
    }
    return Insert(schema.notice, row)
