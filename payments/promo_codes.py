"""Codes of promotions: each gives Credits as a gift, or whoever types it has the promotion.

Nobody paid for them through a gateway: what they give is never cash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from core import chart, ids
from core.db import schema
from core.db.writes import Companion, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, IdempotencyConflict, LedgerBusy, Submission
from core.pricing.deals import Deals
from core.pricing.promotions import Promotion, guard_running, hold_promotion
from core.users.service import find_survivor
from core.users.types import Person

#: A place among a promotion's uses is looked for so often, when others were faster.
_ATTEMPTS_MAX = 20


class CodeRefused(Refusal):
    """A code gives nothing: there is no such code, it is used, expired, void, not yet good, or this
    person has what it gives."""

    code: ClassVar[str] = "code_refused"

    def __init__(
        self, reason: Literal["unknown", "used", "expired", "void", "early", "held"]
    ) -> None:
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RedeemedPromotion:
    """The promotion that somebody got by a code."""

    promotion: Promotion


class PromoCodes:
    """The service that redeems codes of promotions."""

    def __init__(self, *, deals: Deals, ledger: Ledger) -> None:
        self._deals, self._db = deals, ledger.db
        self._ledger, self._clock = ledger, ledger.clock

    async def redeem_code(self, person: Person, code: sa.Row[Any]) -> RedeemedPromotion:
        """Gives what the promotion of a row of codes gives; raises `CodeRefused`,
        `PromotionUsedUp`."""
        for _ in range(_ATTEMPTS_MAX):
            promotion = await self._find_running_promotion(code)
            try:
                if promotion.kind == "credits":
                    await self._give_credits(promotion, person, code)
                else:
                    await self._give_promotion(promotion, person, code)
            except IdempotencyConflict:  # somebody else had it at the same moment
                raise CodeRefused("used") from None
            except CompanionRefused as refused:
                await self._raise_if_final(refused.table, code)
                continue
            self._deals.forget_person(person.id)
            return RedeemedPromotion(promotion)
        raise LedgerBusy

    async def _find_running_promotion(self, code: sa.Row[Any]) -> Promotion:
        promotion = await self._deals.promotions.find(code.promotion)
        if code.uses_max and code.uses >= code.uses_max:
            raise CodeRefused("used")
        if promotion is None:
            raise CodeRefused("void")
        # A code ends when its promotion does, and that was looked at.
        if self._clock.now_ms() < promotion.starts_at:
            raise CodeRefused("early")
        return promotion

    async def _give_credits(self, promotion: Promotion, person: Person, code: sa.Row[Any]) -> None:
        survivor_id, person_guard = await find_survivor(self._db, person.id)
        is_single_use = code.uses_max > 0
        cause = f"code/{code.id if is_single_use else ids.new_id('use', self._clock.now_ms())}"
        async with self._deals.promotions.reserve_use(promotion, survivor_id, cause) as use:
            await self._ledger.submit(
                Submission(
                    cause,
                    (
                        chart.give_gift(survivor_id, "code", promotion.credits),
                        chart.repay_owed(survivor_id),
                    ),
                    (_code_use_update(code), guard_running(promotion), person_guard, *use),
                )
            )

    async def _give_promotion(
        self, promotion: Promotion, person: Person, code: sa.Row[Any]
    ) -> None:
        holder = hold_promotion(promotion, person.id, self._clock.now_ms())
        await self._ledger.record(_code_use_update(code), guard_running(promotion), holder)

    async def _raise_if_final(self, table: str, code: sa.Row[Any]) -> None:
        """What was in the way; raises `CodeRefused` unless trying again can help."""
        if table == schema.promotion_holder.name:
            raise CodeRefused("held")
        if table == schema.promotion.name:
            raise CodeRefused("void")
        if table == schema.code.name:
            columns = schema.code.c
            rows = await self._db.fetch(sa.select(columns.uses).where(columns.id == code.id))
            raise CodeRefused("used" if rows[0].uses else "void")


def _code_use_update(code: sa.Row[Any]) -> Companion:
    """It is used up, or was at least not taken back."""
    not_voided: dict[str, int | None] = {"voided_at": None}
    change = {"uses": 1} if code.uses_max else not_voided
    expected = {"uses": 0, **not_voided} if code.uses_max else not_voided
    return Update(schema.code, {"id": code.id}, change, expected)
