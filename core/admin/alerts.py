"""Alerts: what operators should know at once. The same one at most once an hour, and none of those
that an operator muted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import sqlalchemy as sa

from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.notification import OPERATORS, notification_row

#: The kind of their notifications.
ALERT: Final = "alert"

AlertKind = Literal[
    "audit",
    "under-cost",
    "pool",
    "supplier",
    "payout",
    "errors",
    "usage-gap",
    "unknown-fault",
    "audio",
    "pictures",
    "platform",
]
_HOUR_MS: Final = 3_600_000
#: How many hours a muted alert stays quiet.
MUTE_HOURS: Final = 4


class Alerts:
    """Sends alerts to operators, and mutes them."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def send_alert(
        self, kind: AlertKind, subject: str, facts: Mapping[str, str | int]
    ) -> bool:
        """Notifies operators; False when they were alerted within the hour or muted it. `subject`
        is the model, supplier or the like; `facts` are what the sentence is made of."""
        table, now, id_ = schema.alert, self._clock.now_ms(), f"{kind}/{subject}"
        rows = await self._db.fetch(sa.select(table).where(table.c.id == id_))
        if rows and (rows[0].muted_until > now or rows[0].told_at > now - _HOUR_MS):
            return False
        row = notification_row(
            self._clock,
            cause_id=f"alert/{id_}/{now}",
            person=OPERATORS,
            kind=ALERT,
            facts={"what": kind, "subject": subject, **facts},
        )
        values = {"told_at": now, "muted_until": 0}
        change = (
            Update(table, {"id": id_}, {"told_at": now}, {"told_at": rows[0].told_at})
            if rows
            else Insert(table, {"id": id_, **values})
        )
        return await self._ledger.try_record(change, row)  # another process sends it

    async def mute_alert(self, kind: str, subject: str, *, companion: Companion) -> int:
        """Mutes an alert until the time that is returned (ms UTC); `companion` is written with
        it."""
        until = self._clock.now_ms() + MUTE_HOURS * _HOUR_MS
        key = {"id": f"{kind}/{subject}"}
        await self._ledger.record(Update(schema.alert, key, {"muted_until": until}), companion)
        return until
