"""Announcements that a model's Credit price changed: only when the operator wants it, and never
why. Whoever asked that model in the last 30 days is notified.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from core import ids
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.notification import Facts, make_lasting, notification_row
from core.pricing.prices import Price
from core.repricing.margins import USAGE_DAYS

#: The kind of the notification.
PRICE_CHANGED: Final = "price"
#: Notifications that one submission writes.
_BATCH_SIZE: Final = 200


class PriceAnnouncements:
    """Writes the notifications that announce a new price to people."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def announce_price(self, model: str, old: Price, new: Price) -> int:
        """Notifies everybody who used the model, once for each new price; returns how many. `model`
        is its name as people read it."""
        usage = schema.usage.c
        since = self._clock.now_ms() - USAGE_DAYS * DAY_MS
        rows = await self._db.fetch(
            sa.select(usage.person).where(usage.at >= since, usage.model == new.model).distinct()
        )
        people = sorted(row.person for row in rows)
        for at in range(0, len(people), _BATCH_SIZE):
            await self._ledger.record(
                *(
                    self._build_notification(person, model, old, new)
                    for person in people[at : at + _BATCH_SIZE]
                )
            )
        return len(people)

    def _build_notification(self, person: str, model: str, old: Price, new: Price) -> Insert:
        facts: Facts = {
            "model": model,
            "per": new.per,
            "input": new.input_rate.units,
            "output": new.output_rate.units,
            "old_input": old.input_rate.units,
            "old_output": old.output_rate.units,
            "at": new.effective_at,
        }
        cause = f"price/{new.id}/{person}"
        row = notification_row(
            self._clock, cause_id=cause, person=person, kind=PRICE_CHANGED, facts=facts
        )
        # By the price's own time: announced again, it is the same notification.
        return make_lasting(row, ids.derive_id("ntc", new.effective_at, cause))
