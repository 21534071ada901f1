"""Codes of promotions: each gives Credits as a gift, or whoever types it has the promotion.

Nobody paid for them through a gateway: what they give is never cash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, IdempotencyConflict, LedgerBusy, Submission
from core.pricing.deals import Deals
from core.pricing.promotions import Promotion
from core.users.service import survivor
from core.users.types import Person

#: A place among a promotion's uses is looked for so often, when others were faster.
_TRIES = 20


class CodeRefused(Refusal):
    """A code gives nothing: there is no such code, it is used, expired, void, not yet good, or this
    person has what it gives."""

    code: ClassVar[str] = "code_refused"

    def __init__(self, why: Literal["unknown", "used", "expired", "void", "early", "held"]) -> None:
        self.why = why


@dataclass(frozen=True, slots=True)
class Granted:
    """The promotion that somebody got by a code."""

    promotion: Promotion


class PromotionCodes:
    """The service that redeems codes of promotions."""

    def __init__(self, *, deals: Deals, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._deals, self._store = deals, store
        self._ledger, self._clock = ledger, clock

    async def redeem(self, person: Person, code: sa.Row[Any]) -> Granted:
        """Gives what the promotion of a row of codes gives; raises `CodeRefused`,
        `PromotionUsedUp`."""
        for _ in range(_TRIES):
            promotion = await self._promotion(code)
            try:
                if promotion.kind == "credits":
                    await self._give(promotion, person, code)
                else:
                    await self._hold(promotion, person, code)
            except IdempotencyConflict:  # somebody else had it at the same moment
                raise CodeRefused("used") from None
            except CompanionRefused as refused:
                await self._check(refused.table, code)
                continue
            self._deals.forget(person.id)
            return Granted(promotion)
        raise LedgerBusy

    async def _promotion(self, code: sa.Row[Any]) -> Promotion:
        promotion = await self._deals.promotions.find(code.promotion)
        now = self._clock.now_ms()
        if code.uses_max and code.uses >= code.uses_max:
            raise CodeRefused("used")
        if promotion is None:
            raise CodeRefused("void")
        if now < promotion.starts_at:
            raise CodeRefused("early")
        if not promotion.runs(now):
            raise CodeRefused("expired")
        return promotion

    async def _give(self, promotion: Promotion, person: Person, code: sa.Row[Any]) -> None:
        owner, still = await survivor(self._store, person.id)
        once = code.uses_max > 0
        cause = f"code/{code.id if once else ids.new('use', self._clock.now_ms())}"
        async with self._deals.promotions.use(promotion, owner, cause) as use:
            await self._ledger.submit(
                Submission(
                    cause,
                    (chart.gift(owner, "code", promotion.credits), chart.repay_owed(owner)),
                    (_used(code), _runs(promotion), still, *use),
                )
            )

    async def _hold(self, promotion: Promotion, person: Person, code: sa.Row[Any]) -> None:
        row = {"person": person.id, "promotion": promotion.id, "at": self._clock.now_ms()}
        held = Insert(schema.promotion_holder, row)
        await self._ledger.record(_used(code), _runs(promotion), held)

    async def _check(self, table: str, code: sa.Row[Any]) -> None:
        """What was in the way; raises `CodeRefused` unless trying again can help."""
        if table == schema.promotion_holder.name:
            raise CodeRefused("held")
        if table == schema.promotion.name:
            raise CodeRefused("void")
        if table == schema.code.name:
            columns = schema.code.c
            rows = await self._store.fetch(sa.select(columns.uses).where(columns.id == code.id))
            raise CodeRefused("used" if rows[0].uses else "void")


def _used(code: sa.Row[Any]) -> Companion:
    """It is used up, or was at least not taken back."""
    good: dict[str, int | None] = {"voided_at": None}
    change = {"uses": 1} if code.uses_max else good
    expected = {"uses": 0, **good} if code.uses_max else good
    return Update(schema.code, {"id": code.id}, change, expected)


def _runs(promotion: Promotion) -> Companion:
    """Nobody ended it meanwhile."""
    running = {"ended_at": None}
    return Update(schema.promotion, {"id": promotion.id}, running, running)
