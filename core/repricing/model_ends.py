"""Tells operators of models and routes that end soon: once each, a month ahead, together with
what else is new.

Who ends what, and what stands in for it, is in the catalogue; names lead on by themselves.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from typing import Final

import sqlalchemy as sa

from core import ids
from core.clock import as_ms
from core.db import schema
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.notification import OPERATORS, Facts, make_lasting, notification_row
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, ComingEnd

#: The kind of its notifications.
MODEL_ENDS: Final = "model ends"
#: So many days ahead operators are told.
NOTICE_DAYS: Final = 30


class ModelEndNotices:
    """The job that tells operators which of the models that their keys serve end soon."""

    def __init__(self, *, ledger: Ledger, catalogue: Catalogue, pool: Pool) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._catalogue, self._pool = catalogue, pool

    async def announce_ends(self) -> None:
        """Writes a notification for each end within `NOTICE_DAYS`, of which the first names all
        and is the only one that is told; an end that was written down stays so, whichever process
        looks, and however often."""
        suppliers = {key.supplier for key in await self._pool.list_keys()}
        ends = {
            _derive_notice_id(end): end
            for end in self._catalogue.list_coming_ends(NOTICE_DAYS)
            if end.suppliers & suppliers
        }
        if not ends:
            return
        notice = schema.notice.c.id
        told = {
            row.id for row in await self._db.fetch(sa.select(notice).where(notice.in_(list(ends))))
        }
        new = {id_: end for id_, end in ends.items() if id_ not in told}
        if new:
            facts = [_list_facts(end) for end in new.values()]
            first, *others = facts
            announced = {**first, "others": json.dumps(others)} if others else first
            rows = zip(new, (announced, *others), strict=True)
            await self._ledger.record(
                *(self._build_row(id_, each, is_told=each is announced) for id_, each in rows)
            )

    def _build_row(self, id_: str, facts: Facts, *, is_told: bool) -> Insert:
        row = notification_row(
            self._clock, cause_id=id_, person=OPERATORS, kind=MODEL_ENDS, facts=facts
        )
        return make_lasting(row, id_, is_told=is_told)


def _list_facts(end: ComingEnd) -> Facts:
    return {
        "model": end.model.name,
        "supplier": "" if end.route is None else end.route.provider,
        "ends": end.ends.isoformat(),
        "successor": "" if end.successor is None else end.successor.name,
    }


def _derive_notice_id(end: ComingEnd) -> str:
    """The same for the same end at any time: what is told once is told under this id."""
    at_ms = as_ms(datetime.combine(end.ends, time(), UTC))
    return ids.derive_id("ntc", at_ms, MODEL_ENDS, end.subject)
