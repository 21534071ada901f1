"""The admin log: who did what, with what was before and after; append-only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from core import ids
from core.clock import Clock
from core.db import schema
from core.db.writes import Insert

Facts = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class ActCause:
    """The message by which something is done: the same, and its time too, when it comes again."""

    at_ms: int
    message: str


def admin_log_row(
    clock: Clock,
    *,
    actor: str,
    act: str,
    before: Facts,
    after: Facts,
    cause: ActCause | None = None,
) -> Insert:
    """A row of the admin log, to be written in the same submission as the act that it tells of.
    `actor` is a person's id, or `operator` for the command line. What a `cause` does it does once:
    again the row is refused, and the act with it."""
    now = clock.now_ms()
    id_ = ids.new_id("adm", now)
    if cause is not None:
        id_ = ids.derive_id("adm", cause.at_ms, cause.message, act)
    return Insert(
        schema.admin_log,
        {
            "id": id_,
            "at": now,
            "actor": actor,
            "act": act,
            "before": json.dumps(dict(before), sort_keys=True),
            "after": json.dumps(dict(after), sort_keys=True),
        },
    )
