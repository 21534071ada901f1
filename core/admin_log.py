"""The admin log: who did what, with what was before and after; append-only."""

from __future__ import annotations

import json
from collections.abc import Mapping

from core import ids
from core.clock import Clock
from core.db import schema
from core.db.writes import Insert

Facts = Mapping[str, str | int]


def admin_log_row(clock: Clock, *, actor: str, act: str, before: Facts, after: Facts) -> Insert:
    """A row of the admin log, to be written in the same submission as the act that it tells of.
    `actor` is a person's id, or `operator` for the command line."""
    now = clock.now_ms()
    return Insert(
        schema.admin_log,
        {
            "id": ids.new_id("adm", now),
            "at": now,
            "actor": actor,
            "act": act,
            "before": json.dumps(dict(before), sort_keys=True),
            "after": json.dumps(dict(after), sort_keys=True),
        },
    )
