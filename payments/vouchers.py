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
from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import NanoUsd
from core.pricing.promotions import Promotion
from core.users.links import Tries
from core.users.service import lineage
from core.users.types import Person
from payments.fulfillment import Crediting
from payments.gateways.voucher import CODE, payment_of
from payments.orders import Orders
from payments.promo_codes import CodeRefused, Granted, PromotionCodes
from payments.types import Order, UnknownOrder

#: 80 bits.
_CODE_CHARS = 16
#: As many as are made at once, and how many of them a write takes.
COUNT_MAX = 10_000
A_TIME = 500

CodeState = Literal["open", "used", "expired", "void"]


@dataclass(frozen=True, slots=True)
class Fresh:
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
class Card:
    """A voucher as the database knows it, without its text."""

    id: str
    batch: str
    cash: NanoUsd
    state: CodeState
    created_at: int
    expires_at: int | None
    #: The order that it became, and whose; empty until it is used.
    order: str
    person: str


class Codes:
    """The service that makes, lists, voids and redeems vouchers."""

    def __init__(
        self,
        *,
        orders: Orders,
        crediting: Crediting,
        store: Store,
        ledger: Ledger,
        clock: Clock,
        promotions: PromotionCodes | None = None,
    ) -> None:
        """`promo_codes` is needed where codes of them are redeemed."""
        self._orders, self._crediting, self._promotions = orders, crediting, promotions
        self._store, self._ledger, self._clock = store, ledger, clock
        self._tries = Tries(clock)

    def fresh(self, cash: NanoUsd, count: int, days: int | None) -> list[Fresh]:
        """New vouchers worth so much cash each, good for so many days, or for ever; raises
        `BadAmount`. They count once they are saved."""
        self._orders.offer.check(cash)
        now = self._clock.now_ms()
        batch = ids.new("bat", now)
        until = None if days is None else now + days * DAY_MS
        return [
            Fresh(ids.new("cod", now), batch, ids.grouped(ids.fresh(_CODE_CHARS)), cash, until)
            for _ in range(count)
        ]

    def fresh_of(self, promotion: Promotion, count: int) -> list[Fresh]:
        """New codes of a promotion, each good once while that runs."""
        now, until = self._clock.now_ms(), promotion.ends_at
        batch, no_cash = ids.new("bat", now), NanoUsd(0)
        return [
            Fresh(ids.new("cod", now), batch, text, no_cash, until, promotion.id)
            for text in (ids.grouped(ids.fresh(_CODE_CHARS)) for _ in range(count))
        ]

    def shared_of(self, promotion: Promotion, word: str) -> Fresh:
        """One code of a promotion that many type: a word, as the operator chose it."""
        now, until = self._clock.now_ms(), promotion.ends_at
        code, batch = ids.new("cod", now), ids.new("bat", now)
        return Fresh(code, batch, word, NanoUsd(0), until, promotion.id, uses_max=0)

    async def keep(self, made: Sequence[Fresh], *also: Companion) -> None:
        """From now on they can be redeemed; `also` is written with the first of them."""
        rows = self.rows(made)
        for at in range(0, len(rows), A_TIME):
            await self._ledger.record(*(() if at else also), *rows[at : at + A_TIME])

    def rows(self, made: Sequence[Fresh]) -> list[Insert]:
        """What is kept of them; at most `WRITE_BATCH_SIZE` go in one write."""
        now = self._clock.now_ms()
        rows = [
            {
                "id": one.id,
                "digest": ids.digest(ids.bare(one.text)),
                "batch": one.batch,
                "kind": "promotion" if one.promotion else "sold",
                "cash": one.cash.units,
                "credits": 0,
                "uses": 0,
                "uses_max": one.uses_max,
                "created_at": now,
                "expires_at": one.expires_at,
                "voided_at": None,
                "promotion": one.promotion or None,
            }
            for one in made
        ]
        return [Insert(schema.code, row) for row in rows]

    async def cards(self, batch: str = "") -> list[Card]:
        """Every voucher, or a batch's, the oldest first."""
        code, order = schema.code, schema.order
        chosen = (
            sa.select(code, order.c.id.label("order"), order.c.person)
            .select_from(
                code.outerjoin(order, (order.c.gateway == CODE) & (order.c.external == code.c.id))
            )
            .where(code.c.kind == "sold")
            .order_by(code.c.id)
        )
        if batch:
            chosen = chosen.where(code.c.batch == batch)
        return [
            Card(
                row.id,
                row.batch,
                NanoUsd(row.cash),
                self._state(row),
                row.created_at,
                row.expires_at,
                row.order or "",
                row.person or "",
            )
            for row in await self._store.fetch(chosen)
        ]

    async def void(self, name: str) -> int:
        """A code by its id, or a batch's: what nobody has used is good no more. How many."""
        table, done = schema.code, 0
        rows = await self._store.fetch(
            sa.select(table.c.id).where(
                sa.or_(table.c.id == name, table.c.batch == name),
                table.c.uses == 0,
                table.c.voided_at.is_(None),
            )
        )
        for row in rows:
            voided = {"voided_at": self._clock.now_ms()}
            unused = {"uses": 0, "voided_at": None}
            try:
                await self._ledger.record(Update(table, {"id": row.id}, voided, unused))
            except CompanionRefused:  # somebody redeems it
                continue
            done += 1
        return done

    async def redeem(self, person: Person, place: str, typed: str) -> Order | Granted:
        """Credits what a code is worth, once; whoever types their own again is told the same.
        Raises `CodeRefused`, `PromotionUsedUp`, `TooManyAttempts`."""
        self._tries.check(person.id)
        table = schema.code
        rows = await self._store.fetch(
            sa.select(table).where(table.c.digest == ids.digest(ids.bare(typed)))
        )
        if not rows:
            self._tries.wrong(person.id)
            raise CodeRefused("unknown")
        code = rows[0]
        state = self._state(code)
        if state in {"expired", "void"}:
            raise CodeRefused(state)
        if self._promotions is not None and code.promotion is not None:
            return await self._promotions.redeem(person, code)
        use = Update(
            table,
            {"id": code.id},
            {"uses": code.uses + 1},
            {"uses": code.uses, "voided_at": None},
        )
        try:
            order = (
                await self._orders.by_external(CODE, code.id)
                if state == "used"
                else await self._orders.of_code(
                    code=code.id,
                    person=person.id,
                    place=place,
                    gateway=CODE,
                    value=NanoUsd(code.cash),
                    used=use,
                )
            )
        except UnknownOrder:  # it was voided at the same moment
            raise CodeRefused("void") from None
        if order.person not in await lineage(self._store, person.id):
            raise CodeRefused("used")
        return await self._crediting.pay(payment_of(order), telling=False)

    def _state(self, row: sa.Row[Any]) -> CodeState:
        if row.uses_max and row.uses >= row.uses_max:
            return "used"
        if row.voided_at is not None:
            return "void"
        gone = row.expires_at is not None and row.expires_at <= self._clock.now_ms()
        return "expired" if gone else "open"


async def any_codes(store: Store) -> bool:
    """Whether there is a voucher, of whatever state."""
    sold = schema.code.c.kind == "sold"
    return bool(await store.fetch(sa.select(schema.code.c.id).where(sold).limit(1)))
