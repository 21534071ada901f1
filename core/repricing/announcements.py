"""Announcements that a model's Credit price changed: only when the operator wants it, and never
why. Whoever asked that model in the last 30 days is notified.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from core import ids
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.notification import Facts, notice
from core.pricing.prices import Price
from core.repricing.margins import MIX_DAYS

#: The kind of the notification.
PRICE_CHANGED: Final = "price"
#: Notifications that one submission writes.
_AT_ONCE: Final = 200


class PriceNews:
    """Writes the notifications that announce a new price to people."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock

    async def tell(self, model: str, old: Price, new: Price) -> int:
        """Notifies everybody who used the model, once for each new price; returns how many. `model`
        is its name as people read it."""
        used = schema.usage.c
        since = self._clock.now_ms() - MIX_DAYS * DAY_MS
        rows = await self._store.fetch(
            sa.select(used.person).where(used.at >= since, used.model == new.model).distinct()
        )
        people = sorted(row.person for row in rows)
        for at in range(0, len(people), _AT_ONCE):
            await self._ledger.record(
                *(self._notice(person, model, old, new) for person in people[at : at + _AT_ONCE])
            )
        return len(people)

    def _notice(self, person: str, model: str, old: Price, new: Price) -> Insert:
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
        row = notice(self._clock, cause_id=cause, person=person, kind=PRICE_CHANGED, facts=facts)
        # By the price's own time: announced again, it is the same notification.
        same = {**row.row, "id": ids.derived("ntc", new.effective_at, cause)}
        return Insert(row.table, same, ignore=True)
