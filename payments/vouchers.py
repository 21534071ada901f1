"""Vouchers are codes sold elsewhere: made by the operator for cash, typed by whoever bought one.

A voucher is an order like any other, paid by the voucher itself: so bonus, referral, receipt and
refund are what they are everywhere. Only its digest is kept. Codes of promotions are kept beside
them (`payments.promo_codes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from core import ids
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.money import NanoUsd
from core.pricing.promotions import Promotion
from core.users.links import AttemptLimiter
from core.users.service import list_merged_ids
from core.users.types import Person
from payments.fulfillment import Fulfillment
from payments.gateways.voucher import VOUCHER_GATEWAY, build_voucher_payment
from payments.orders import Orders
from payments.promo_codes import CodeRefused, PromoCodes, RedeemedPromotion
from payments.types import Order, UnknownOrder

#: 80 bits.
_VOUCHER_CHARS = 16
#: As many as are made at once, and how many of them a write takes.
VOUCHERS_MAX = 10_000
WRITE_BATCH_SIZE = 500

VoucherState = Literal["open", "used", "expired", "void"]


@dataclass(frozen=True, slots=True)
class NewCode:
    """A new code as it is handed over; nobody can read it again."""

    id: str
    batch: str
    #: As it is typed: `ABCD-EFGH-JKLM-NPQR`.
    text: str
    cash: NanoUsd
    expires_at: int | None
    #: The promotion that it is of, else empty; 0 uses: as many as that allows.
    promotion: str = ""
    uses_max: int = 1


@dataclass(frozen=True, slots=True)
class VoucherInfo:
    """A voucher as the database knows it, without its text."""

    id: str
    batch: str
    cash: NanoUsd
    state: VoucherState
    created_at: int
    expires_at: int | None
    #: The order that it became, and whose; empty until it is used.
    order: str
    person: str


class Vouchers:
    """The service that makes, lists, voids and redeems vouchers."""

    def __init__(
        self,
        *,
        orders: Orders,
        fulfillment: Fulfillment,
        ledger: Ledger,
        promo_codes: PromoCodes | None = None,
    ) -> None:
        """`promo_codes` is needed where codes of them are redeemed."""
        self._orders, self._fulfillment, self._promo_codes = orders, fulfillment, promo_codes
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._attempts = AttemptLimiter(ledger.clock)

    def generate_vouchers(self, cash: NanoUsd, count: int, days: int | None) -> list[NewCode]:
        """New vouchers worth so much cash each, good for so many days, or for ever; raises
        `BadAmount`. They count once they are saved."""
        self._orders.offer.validate_amount(cash)
        now = self._clock.now_ms()
        batch = ids.new_id("bat", now)
        expires_at = None if days is None else now + days * DAY_MS
        return [
            NewCode(
                ids.new_id("cod", now),
                batch,
                ids.group_code(ids.new_code(_VOUCHER_CHARS)),
                cash,
                expires_at,
            )
            for _ in range(count)
        ]

    def generate_promo_codes(self, promotion: Promotion, count: int) -> list[NewCode]:
        """New codes of a promotion, each good once while that runs."""
        now, expires_at = self._clock.now_ms(), promotion.ends_at
        batch, no_cash = ids.new_id("bat", now), NanoUsd(0)
        return [
            NewCode(ids.new_id("cod", now), batch, text, no_cash, expires_at, promotion.id)
            for text in (ids.group_code(ids.new_code(_VOUCHER_CHARS)) for _ in range(count))
        ]

    def make_shared_promo_code(self, promotion: Promotion, word: str) -> NewCode:
        """One code of a promotion that many type: a word, as the operator chose it."""
        now, expires_at = self._clock.now_ms(), promotion.ends_at
        code_id, batch = ids.new_id("cod", now), ids.new_id("bat", now)
        return NewCode(code_id, batch, word, NanoUsd(0), expires_at, promotion.id, uses_max=0)

    async def save_codes(self, codes: Sequence[NewCode], *also: Companion) -> None:
        """From now on they can be redeemed; `also` is written with the first of them."""
        rows = self.build_rows(codes)
        for start in range(0, len(rows), WRITE_BATCH_SIZE):
            await self._ledger.record(
                *(() if start else also), *rows[start : start + WRITE_BATCH_SIZE]
            )

    def build_rows(self, codes: Sequence[NewCode]) -> list[Insert]:
        """What is kept of them; at most `WRITE_BATCH_SIZE` go in one write."""
        now = self._clock.now_ms()
        rows = [
            {
                "id": one.id,
                "digest": ids.hash_code(ids.normalize_code(one.text)),
                "batch": one.batch,
                "kind": "promotion" if one.promotion else "sold",
                "cash": one.cash.units,
                "credits": 0,
                "uses": 0,
                "uses_max": one.uses_max,
                "created_at": now,
                "expires_at": one.expires_at,
                "promotion": one.promotion or None,
            }
            for one in codes
        ]
        return [Insert(schema.code, row) for row in rows]

    async def list_vouchers(self, batch: str = "") -> list[VoucherInfo]:
        """Every voucher, or a batch's, the oldest first."""
        code, order = schema.code, schema.order
        select = (
            sa.select(code, order.c.id.label("order"), order.c.person)
            .select_from(
                code.outerjoin(
                    order, (order.c.gateway == VOUCHER_GATEWAY) & (order.c.external == code.c.id)
                )
            )
            .where(code.c.kind == "sold")
            .order_by(code.c.id)
        )
        if batch:
            select = select.where(code.c.batch == batch)
        return [
            VoucherInfo(
                row.id,
                row.batch,
                NanoUsd(row.cash),
                self._state(row),
                row.created_at,
                row.expires_at,
                row.order or "",
                row.person or "",
            )
            for row in await self._db.fetch(select)
        ]

    async def void_codes(self, id_or_batch: str) -> int:
        """A code by its id, or a batch's: what nobody has used is good no more. How many."""
        table, voided_count = schema.code, 0
        rows = await self._db.fetch(
            sa.select(table.c.id).where(
                sa.or_(table.c.id == id_or_batch, table.c.batch == id_or_batch),
                table.c.uses == 0,
                table.c.voided_at.is_(None),
            )
        )
        for row in rows:
            voided = {"voided_at": self._clock.now_ms()}
            unused = {"uses": 0, "voided_at": None}
            if not await self._ledger.try_record(Update(table, {"id": row.id}, voided, unused)):
                continue  # somebody redeems it
            voided_count += 1
        return voided_count

    async def redeem_code(
        self, person: Person, place: str, typed: str
    ) -> Order | RedeemedPromotion:
        """Credits what a code is worth, once; whoever types their own again is told the same.
        Raises `CodeRefused`, `PromotionUsedUp`, `TooManyAttempts`."""
        self._attempts.check_attempts(person.id)
        table = schema.code
        rows = await self._db.fetch(
            sa.select(table).where(table.c.digest == ids.hash_code(ids.normalize_code(typed)))
        )
        if not rows:
            self._attempts.record_wrong_code(person.id)
            raise CodeRefused("unknown")
        code = rows[0]
        state = self._state(code)
        if state in {"expired", "void"}:
            raise CodeRefused(state)
        if self._promo_codes is not None and code.promotion is not None:
            return await self._promo_codes.redeem_code(person, code)
        use = Update(
            table,
            {"id": code.id},
            {"uses": code.uses + 1},
            {"uses": code.uses, "voided_at": None},
        )
        try:
            order = (
                await self._orders.get_by_checkout(VOUCHER_GATEWAY, code.id)
                if state == "used"
                else await self._orders.create_voucher_order(
                    code=code.id,
                    person=person.id,
                    place=place,
                    gateway=VOUCHER_GATEWAY,
                    value=NanoUsd(code.cash),
                    voucher_use=use,
                )
            )
        except UnknownOrder:  # it was voided at the same moment
            raise CodeRefused("void") from None
        if order.person not in await list_merged_ids(self._db, person.id):
            raise CodeRefused("used")
        return await self._fulfillment.credit_payment(build_voucher_payment(order), notify=False)

    async def count_redeemed(self, promotion: str) -> int:
        """How many codes of a promotion that are good once were used."""
        table = schema.code.c
        statement = sa.select(sa.func.count()).where(table.promotion == promotion, table.uses > 0)
        return int((await self._db.fetch(statement))[0][0])

    def _state(self, row: sa.Row[Any]) -> VoucherState:
        if row.uses_max and row.uses >= row.uses_max:
            return "used"
        if row.voided_at is not None:
            return "void"
        is_expired = row.expires_at is not None and row.expires_at <= self._clock.now_ms()
        return "expired" if is_expired else "open"


async def has_vouchers(db: Database) -> bool:
    """Whether there is a voucher, of whatever state."""
    sold = schema.code.c.kind == "sold"
    return bool(await db.fetch(sa.select(schema.code.c.id).where(sold).limit(1)))
