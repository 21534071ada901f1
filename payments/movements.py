"""What moved on the operator's accounts, by gateways' own word, beside what the books say of the
same orders. Movements are compared, not balances and not states.

What was read is kept, so comparing asks nobody. What isn't ours is listed, never a difference; what
moved within the last day may still be on its way from the one to the other.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion, Delete, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import NanoUsd, format_usd
from core.notification import OPERATORS, notification_row
from payments.offer import from_cents, to_cents
from payments.order_checks import REVERSIBLE_DAYS
from payments.types import UNITS, Cash, Dispute, GatewayEvent, Movement, Payment, Refund

#: The kind of notification to operators about an order of which a gateway and the books differ.
DIFFERENCE: Final = "difference"
#: What moved so lately may not have been told yet.
ON_THE_WAY_MS: Final = DAY_MS
#: Movements are kept a little longer than money can go back.
_KEPT_DAYS: Final = REVERSIBLE_DAYS + 20
_CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference is an order of which a gateway's movements and the books say different sums."""

    gateway: str
    order: str
    there: Cash
    booked: Cash
    #: When anything moved of it last, at the gateway or in the books (ms UTC).
    moved_at: int


@dataclass(slots=True)
class GatewaySums:
    """What moved at one gateway within the days in which money can go back, in one unit."""

    gateway: str
    unit: str
    #: Movements of our payments: how many, what came in, and what went out.
    count: int = 0
    came_in: int = 0
    went_out: int = 0
    #: What is left of the same orders by the books.
    booked: int = 0
    #: Movements of others' payments.
    foreign_count: int = 0
    foreign: int = 0
    on_the_way: list[Difference] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)


class Movements:
    """The repository of movements, and their comparison with the books."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def record(self, movements: Sequence[Movement]) -> None:
        """Keeps each once; one that is told again may have another amount by now."""
        now = self._clock.now_ms()
        since = now - _KEPT_DAYS * DAY_MS
        recent = {(one.kind, one.id): one for one in movements if one.at_ms >= since}
        for gateway in {one.gateway for one in recent.values()}:
            told = [one for one in recent.values() if one.gateway == gateway]
            for start in range(0, len(told), _CHUNK):
                await self._record_chunk(gateway, told[start : start + _CHUNK], now)

    async def _record_chunk(self, gateway: str, told: Sequence[Movement], now: int) -> None:
        table = schema.movement
        rows = await self._db.fetch(
            sa.select(table.c.kind, table.c.external, table.c.amount).where(
                table.c.gateway == gateway, table.c.external.in_([one.id for one in told])
            )
        )
        known = {(row.kind, row.external): int(row.amount) for row in rows}
        booked = await self._list_booked_payments(gateway, told)
        writes: list[Companion] = []
        for one in told:
            key = {"gateway": gateway, "kind": one.kind, "external": one.id}
            amount = one.amount.units
            if amount and not one.is_priced and one.payment in booked:
                amount = booked[one.payment] * (1 if amount > 0 else -1)
            if (one.kind, one.id) not in known:
                if not amount:  # what never moved
                    continue
                row = {
                    **key,
                    "payment": one.payment,
                    "order": one.order or None,
                    "unit": one.amount.NAME,
                    "amount": amount,
                    "at": one.at_ms,
                    "seen_at": now,
                }
                writes.append(Insert(table, row, ignore=True))
            elif known[one.kind, one.id] != amount:
                writes.append(Update(table, key, {"amount": amount, "at": one.at_ms}))
        if writes:
            await self._ledger.record(*writes)

    async def delete_old(self) -> None:
        """A job: deletes movements of before the time in which money can go back."""
        table = schema.movement
        before = self._clock.now_ms() - _KEPT_DAYS * DAY_MS
        rows = await self._db.fetch(
            sa.select(table.c.gateway, table.c.kind, table.c.external)
            .where(table.c.at < before)
            .limit(1_000)
        )
        if rows:
            await self._ledger.record(
                *(
                    Delete(
                        table, {"gateway": row.gateway, "kind": row.kind, "external": row.external}
                    )
                    for row in rows
                )
            )

    # --- comparing ------------------------------------------------------------------------------

    async def compare(self, gateways: Collection[str]) -> list[GatewaySums]:
        """The sums of each gateway and unit, by what was read of the gateways before."""
        now = self._clock.now_ms()
        since = now - REVERSIBLE_DAYS * DAY_MS
        books = await self._read_books(gateways, since)
        sums: dict[tuple[str, str], GatewaySums] = {}
        there: dict[str, int] = defaultdict(int)
        moved_at: dict[str, int] = {id_: int(row["moved_at"]) for id_, row in books.items()}
        for row in await self._read_movements(gateways):
            total = sums.setdefault((row.gateway, row.unit), GatewaySums(row.gateway, row.unit))
            if row.order_id is None:
                total.foreign_count += 1
                total.foreign += int(row.amount)
            elif row.order_id in books:
                total.count += 1
                total.came_in += max(0, int(row.amount))
                total.went_out -= min(0, int(row.amount))
                there[row.order_id] += int(row.amount)
                moved_at[row.order_id] = max(moved_at[row.order_id], int(row.at))
        read_until = await self._list_read_until()
        for id_, book in books.items():
            gateway, unit = str(book["gateway"]), str(book["unit"])
            if id_ not in there and int(book["moved_at"]) >= read_until.get(gateway, 0):
                continue  # nobody has asked about it yet
            total = sums.setdefault((gateway, unit), GatewaySums(gateway, unit))
            total.booked += int(book["booked"])
            if there[id_] != int(book["booked"]):
                kind = UNITS[unit]
                difference = Difference(
                    gateway, id_, kind(there[id_]), kind(int(book["booked"])), moved_at[id_]
                )
                is_recent = now - moved_at[id_] < ON_THE_WAY_MS
                (total.on_the_way if is_recent else total.differences).append(difference)
        return [sums[key] for key in sorted(sums)]

    async def store_differences(self, sums: Sequence[GatewaySums]) -> int:
        """Keeps the differences that there are now, for the audit, and has operators told of each
        new one; how many there are."""
        table, now = schema.difference, self._clock.now_ms()
        rows = await self._db.fetch(sa.select(table))
        known = {(str(row.gateway), str(row.order)): row for row in rows}
        compared = {one.gateway for one in sums}
        found = {(one.gateway, one.order): one for each in sums for one in each.differences}
        for gateway, order in known.keys() - found.keys():
            if gateway in compared:
                await self._ledger.record(Delete(table, {"gateway": gateway, "order": order}))
        for key, one in found.items():
            row = known.get(key)
            figures = {"there": one.there.units, "booked": one.booked.units}
            if row is not None and (row.there, row.booked) == (one.there.units, one.booked.units):
                continue
            names = {"gateway": one.gateway, "order": one.order}
            write: Companion = (
                Insert(table, {**names, "unit": one.there.NAME, **figures, "found_at": now})
                if row is None
                else Update(table, names, figures)
            )
            notification = notification_row(
                self._clock,
                cause_id=f"difference/{one.gateway}/{one.order}/{one.there.units}",
                person=OPERATORS,
                kind=DIFFERENCE,
                facts={**names, "unit": one.there.NAME, **figures},
            )
            with contextlib.suppress(CompanionRefused):  # another process found it too
                await self._ledger.record(write, notification)
        return len(found)

    async def _read_books(self, gateways: Collection[str], since: int) -> dict[str, dict[str, Any]]:
        """What is left of each order's cash by the books, and when it moved last."""
        order, paid, back, dispute = schema.order.c, schema.payment, schema.refund, schema.dispute
        rows = await self._db.fetch(
            sa.select(
                order.id, order.gateway, order.unit, order.paid, order.refunded, order.lost
            ).where(order.gateway.in_(gateways), order.created_at >= since)
        )
        books = {
            row.id: {
                "gateway": row.gateway,
                "unit": row.unit,
                "booked": int(row.paid) - int(row.refunded) - int(row.lost),
                "moved_at": 0,
            }
            for row in rows
        }
        recent = sa.select(order.id).where(order.gateway.in_(gateways), order.created_at >= since)
        for table, *times in (
            (paid, paid.c.at),
            (back, back.c.at, back.c.failed_at),
            (dispute, dispute.c.opened_at, dispute.c.ended_at),
        ):
            for moved in await self._db.fetch(
                sa.select(table.c.order, *(sa.func.max(time).label(time.name) for time in times))
                .where(table.c.order.in_(recent))
                .group_by(table.c.order)
            ):
                latest = max((value or 0 for value in tuple(moved)[1:]), default=0)
                book = books[moved.order]
                book["moved_at"] = max(int(book["moved_at"]), int(latest))
        for row in await self._db.fetch(
            sa.select(dispute.c.order, sa.func.sum(dispute.c.amount).label("amount"))
            .where(dispute.c.state == "open", dispute.c.order.in_(recent))
            .group_by(dispute.c.order)
        ):
            books[row.order]["booked"] = int(books[row.order]["booked"]) - int(row.amount)
        return books

    async def _read_movements(self, gateways: Collection[str]) -> Sequence[sa.Row[Any]]:
        """Every movement with the order that it is of: the one whose payment it names, else the one
        that it names itself, if that is there."""
        moved, paid, order = schema.movement, schema.payment, schema.order
        joined = moved.outerjoin(
            paid, sa.and_(paid.c.gateway == moved.c.gateway, paid.c.external == moved.c.payment)
        ).outerjoin(order, sa.and_(order.c.id == moved.c.order, order.c.gateway == moved.c.gateway))
        return await self._db.fetch(
            sa.select(
                moved.c.gateway,
                moved.c.unit,
                moved.c.amount,
                moved.c.at,
                sa.func.coalesce(paid.c.order, order.c.id).label("order_id"),
            )
            .select_from(joined)
            .where(moved.c.gateway.in_(gateways))
        )

    async def _list_read_until(self) -> dict[str, int]:
        """Until when gateways' lists were read to their end."""
        table = schema.listing
        rows = await self._db.fetch(sa.select(table.c.gateway, table.c.read_at))
        return {row.gateway: int(row.read_at or 0) for row in rows}

    async def _list_booked_payments(self, gateway: str, told: Sequence[Movement]) -> dict[str, int]:
        table = schema.payment
        ids = [one.payment for one in told if not one.is_priced]
        if not ids:
            return {}
        rows = await self._db.fetch(
            sa.select(table.c.external, table.c.amount).where(
                table.c.gateway == gateway, table.c.external.in_(ids)
            )
        )
        return {row.external: int(row.amount) for row in rows}


def movements_of_events(events: Iterable[GatewayEvent], now_ms: int) -> list[Movement]:
    """What a gateway without a list says of an order when it is asked: what came in, what went
    back, what is disputed or lost."""
    found: list[Movement] = []
    for event in events:
        if isinstance(event, Payment):
            amount = _counted_amount(event)
            found.append(
                Movement(event.gateway, "payment", event.id, event.id, amount, now_ms, event.order)
            )
        elif isinstance(event, Refund):
            amount = type(event.amount)(0) if event.failed else -event.amount
            found.append(Movement(event.gateway, "refund", event.id, event.payment, amount, now_ms))
        elif isinstance(event, Dispute):
            amount = type(event.amount)(0) if event.state == "won" else -event.amount
            found.append(
                Movement(event.gateway, "dispute", event.id, event.payment, amount, now_ms)
            )
    return found


def _counted_amount(payment: Payment) -> Cash:
    """What of a payment counts: where amounts have parts of cents, the whole cents by which it
    raises the sum of those before it, in the order of their ids."""
    if not payment.parts:
        return payment.amount
    before = sum(
        (worth for id_, worth in payment.parts.items() if id_ < payment.id), start=NanoUsd(0)
    )
    return from_cents(to_cents(before + payment.parts[payment.id]) - to_cents(before))


async def audit_movements(db: Database) -> list[str]:
    """Orders of which gateways' movements and the books differ, as they were last compared."""
    table = schema.difference
    rows = await db.fetch(sa.select(table).order_by(table.c.gateway, table.c.order).limit(100))
    return [
        f"{row.gateway}: order {row.order} has {format_cash_units(row.unit, row.there)} there,"
        f" {format_cash_units(row.unit, row.booked)} in the books"
        for row in rows
    ]


def format_cash_units(unit: str, units: int) -> str:
    """A sum for operators, also below zero."""
    text = format_usd(NanoUsd(abs(units))) if unit == NanoUsd.NAME else f"{abs(units):,} Stars"
    return f"−{text}" if units < 0 else text
