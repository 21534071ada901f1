"""Codes sold elsewhere: made by the operator for cash, typed by whoever bought one.

A code is an order like any other, paid by the code itself: so bonus, referral, receipt and refund
are what they are everywhere. Only its digest is kept. The table can carry other kinds of codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import sqlalchemy as sa

from core import codes, ids
from core.clock import Clock
from core.errors import Refusal
from core.ledger import CompanionRefused, Ledger
from core.people import Person, Tries, lineage
from core.store import Insert, Store, Update, schema
from core.units import NanoUsd
from payments.crediting import Crediting
from payments.gateways.code import CODE, payment_of
from payments.orders import Orders
from payments.types import Order, UnknownOrder

#: 80 bits.
_CODE_CHARS = 16
#: As many as are made at once, and how many of them a write takes.
COUNT_MAX = 10_000
_A_TIME = 500
_DAY_MS = 86_400_000

CodeState = Literal["open", "used", "expired", "void"]


class CodeRefused(Refusal):
    """A code that gives nothing: there is no such one, or it is used, expired or void."""

    code: ClassVar[str] = "code_refused"

    def __init__(self, why: Literal["unknown", "used", "expired", "void"]) -> None:
        self.why = why


@dataclass(frozen=True, slots=True)
class Fresh:
    """A code as it is handed over; nobody can read it again."""

    id: str
    batch: str
    #: As it is typed: `ABCD-EFGH-JKLM-NPQR`.
    text: str
    cash: NanoUsd
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a code."""

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
    """Makes, tells, voids and redeems codes."""

    def __init__(
        self, *, orders: Orders, crediting: Crediting, store: Store, ledger: Ledger, clock: Clock
    ) -> None:
        self._orders, self._crediting = orders, crediting
        self._store, self._ledger, self._clock = store, ledger, clock
        self._tries = Tries(clock)

    def fresh(self, cash: NanoUsd, count: int, days: int | None) -> list[Fresh]:
        """New codes worth so much cash each, good for so many days, or for ever; raises
        `BadAmount`. They count once they are kept."""
        self._orders.offer.check(cash)
        now = self._clock.now_ms()
        batch = ids.new("bat", now)
        until = None if days is None else now + days * _DAY_MS
        return [
            Fresh(ids.new("cod", now), batch, codes.grouped(codes.fresh(_CODE_CHARS)), cash, until)
            for _ in range(count)
        ]

    async def keep(self, made: Sequence[Fresh]) -> None:
        """From now on they can be redeemed."""
        now = self._clock.now_ms()
        rows = [
            {
                "id": one.id,
                "digest": codes.digest(codes.bare(one.text)),
                "batch": one.batch,
                "kind": "sold",
                "cash": one.cash.units,
                "credits": 0,
                "uses": 0,
                "uses_max": 1,
                "created_at": now,
                "expires_at": one.expires_at,
                "voided_at": None,
            }
            for one in made
        ]
        for at in range(0, len(rows), _A_TIME):
            part = rows[at : at + _A_TIME]
            await self._ledger.record(*(Insert(schema.code, row) for row in part))

    async def cards(self, batch: str = "") -> list[Card]:
        """Every code, or a batch's, the oldest first."""
        code, order = schema.code, schema.order
        chosen = (
            sa.select(code, order.c.id.label("order"), order.c.person)
            .select_from(
                code.outerjoin(order, (order.c.gateway == CODE) & (order.c.external == code.c.id))
            )
            .order_by(code.c.id)
        )
        if batch:
            chosen = chosen.where(code.c.batch == batch)
        return [
            Card(
                row.id,
                row.batch,
                NanoUsd(row.cash),
                self._state(row.uses >= row.uses_max, row.voided_at, row.expires_at),
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

    async def redeem(self, person: Person, place: str, typed: str) -> Order:
        """Credits what a code is worth, once; whoever types their own again is told the same.
        Raises `CodeRefused`, `TooManyTries`."""
        self._tries.check(person.id)
        table = schema.code
        rows = await self._store.fetch(
            sa.select(table).where(table.c.digest == codes.digest(codes.bare(typed)))
        )
        if not rows:
            self._tries.wrong(person.id)
            raise CodeRefused("unknown")
        code = rows[0]
        state = self._state(code.uses >= code.uses_max, code.voided_at, code.expires_at)
        if state in {"expired", "void"}:
            raise CodeRefused(state)
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

    def _state(self, used: bool, voided_at: int | None, expires_at: int | None) -> CodeState:
        if used:
            return "used"
        if voided_at is not None:
            return "void"
        gone = expires_at is not None and expires_at <= self._clock.now_ms()
        return "expired" if gone else "open"


async def any_codes(store: Store) -> bool:
    """Whether there is a code, of whatever state."""
    return bool(await store.fetch(sa.select(schema.code.c.id).limit(1)))
