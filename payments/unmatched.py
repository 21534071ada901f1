"""Payments that fit no order: the database is older than they are, or younger.

One is credited by itself only where its order's id was made with this database's key and it was
paid after this database was born: then the order was here once, and a copy of before was restored.
About all others an owner decides, once a payment.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, cast

import sqlalchemy as sa

from core import ids
from core.clock import Clock
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.money import NanoUsd
from core.notification import OPERATORS, notification_row
from payments.fulfillment import Fulfillment, GetPersonId
from payments.gateways.base import EstimatesValue, FindsCheckouts, Gateway
from payments.offer import Entitlement
from payments.orders import Orders
from payments.types import UNITS, Cash, GatewayUnavailable, Order, Payment, StorePurchase

_log = logging.getLogger(__name__)

#: The kind of notification to operators about them.
UNMATCHED: Final = "unmatched"
_SHOWN_MAX: Final = 10


class NotUnmatched(Refusal):
    """There is no such payment, or somebody has decided about it already."""

    code: ClassVar[str] = "not_unmatched"


@dataclass(frozen=True, slots=True)
class UnmatchedPayment:
    """A payment that fits no order of this database."""

    gateway: str
    id: str
    #: The order that it names; empty where a platform's own store sold it.
    order: str
    #: Who paid, as `<platform>:<id there>`; empty where that isn't told: then nobody can have it.
    payer: str
    amount: Cash
    fee: Cash
    #: When it was paid, as far as is known, in milliseconds UTC.
    at_ms: int


class UnmatchedPayments:
    """The service that keeps payments which fit no order, and credits them once it may."""

    def __init__(
        self,
        *,
        orders: Orders,
        fulfillment: Fulfillment,
        ledger: Ledger,
        get_person_id: GetPersonId | None = None,
    ) -> None:
        """`get_person_id` finds or makes whoever paid."""
        self._orders, self._fulfillment = orders, fulfillment
        self._db, self._ledger, self._get_person_id = ledger.db, ledger, get_person_id

    @property
    def _clock(self) -> Clock:
        return self._ledger.clock

    async def take(self, gateway: object, event: Payment | StorePurchase) -> bool:
        """Credits it where that is certain, else keeps it and has operators told, once. Whether it
        was credited."""
        found = _from_event(event, self._clock.now_ms())
        if await self._find(found.gateway, found.id) is not None:
            return False
        born_at = await self._read_birth()
        is_certain = (
            bool(found.payer) and self._orders.is_own_id(found.order) and found.at_ms > born_at
        )
        if is_certain:
            await self._credit(gateway, found)
            _log.warning("%s of %s is credited: its order was lost", found.id, found.gateway)
            return True
        await self._keep(found, is_older=found.at_ms <= born_at)
        return False

    async def list_open(self) -> list[UnmatchedPayment]:
        """Those about which an owner has to decide, the oldest first, some of many."""
        table = schema.unmatched_payment
        rows = await self._db.fetch(
            sa.select(table)
            .where(table.c.state == "open")
            .order_by(table.c.found_at, table.c.external)
            .limit(_SHOWN_MAX)
        )
        return [_from_row(row) for row in rows]

    async def get(self, gateway: str, id_: str) -> UnmatchedPayment:
        """One that is open; raises `NotUnmatched`."""
        row = await self._find(gateway, id_)
        if row is None or row.state != "open":
            raise NotUnmatched
        return _from_row(row)

    async def find_open(self, id_: str) -> UnmatchedPayment:
        """One that is open, by its gateway's id of it; raises `NotUnmatched`."""
        table = schema.unmatched_payment
        rows = await self._db.fetch(
            sa.select(table).where(table.c.external == id_, table.c.state == "open").limit(1)
        )
        if not rows:
            raise NotUnmatched
        return _from_row(rows[0])

    def compute_entitlement(self, gateway: object, payment: UnmatchedPayment) -> Entitlement:
        """What it would give, by what is offered to everyone now."""
        return self._orders.offer.compute_entitlement(_estimate_value(gateway, payment.amount))

    async def has_order(self, gateway: str, order: str) -> bool:
        """Whether a payment of this order is kept here, decided or not."""
        table = schema.unmatched_payment.c
        found = await self._db.fetch(
            sa.select(table.external).where(table.gateway == gateway, table.order == order).limit(1)
        )
        return bool(found)

    async def credit(
        self, gateway: object, id_: str, name: str, *also: Companion, payer: str = ""
    ) -> Order:
        """An owner has decided: whoever paid gets what it buys, once. `payer`: who that is, where
        the gateway doesn't tell it. Raises `NotUnmatched`, `GatewayUnavailable`."""
        payment = await self.get(name, id_)
        payment = replace(payment, payer=payment.payer or payer)
        if not payment.payer:
            raise NotUnmatched
        order = await self._credit(gateway, payment)
        await self._decide(payment, "credited", *also)
        return order

    async def dismiss(self, name: str, id_: str, *also: Companion) -> None:
        """An owner has decided: nothing comes of it here. Raises `NotUnmatched`."""
        await self._decide(await self.get(name, id_), "dismissed", *also)

    # --- helpers --------------------------------------------------------------------------------

    async def _credit(self, gateway: object, payment: UnmatchedPayment) -> Order:
        """Makes its order again, or one for it, and credits it as any payment."""
        assert self._get_person_id is not None, "somebody paid"
        platform, _, user = payment.payer.partition(":")
        id_ = payment.order
        if not self._orders.is_own_id(id_):
            id_ = ids.derive_id("ord", payment.at_ms, payment.gateway, payment.id)
        # Where it goes by its checkout all of it is read again: some may have gone back since.
        checkout = ""
        if id_ == payment.order and isinstance(gateway, FindsCheckouts):
            checkout = await gateway.find_checkout(payment.id)
        with contextlib.suppress(CompanionRefused):  # another process was faster
            await self._orders.recreate_order(
                id_,
                person=await self._get_person_id(platform, user),
                place=f"{payment.payer}:",
                gateway=payment.gateway,
                value=_estimate_value(gateway, payment.amount),
                amount=payment.amount,
                checkout=checkout,
            )
        if checkout:
            order = await self._orders.get(id_)
            for event in await cast("Gateway", gateway).fetch_order(order):
                await self._fulfillment.handle(event)
            order = await self._orders.get(id_)
            if order.paid.is_zero:  # it says no more than that it doesn't know
                raise GatewayUnavailable(payment.gateway)
            return order
        return await self._fulfillment.credit_payment(
            Payment(
                payment.gateway, payment.id, id_, payment.amount, payment.fee, payer=payment.payer
            )
        )

    async def _keep(self, found: UnmatchedPayment, *, is_older: bool) -> None:
        now = self._clock.now_ms()
        row = {
            "gateway": found.gateway,
            "external": found.id,
            "order": found.order,
            "payer": found.payer,
            "unit": found.amount.NAME,
            "amount": found.amount.units,
            "fee": found.fee.units,
            "at": found.at_ms,
            "found_at": now,
            "state": "open",
        }
        facts: dict[str, str | int] = {
            "gateway": found.gateway,
            "payment": found.id,
            "order": found.order,
            "payer": found.payer,
            "unit": found.amount.NAME,
            "amount": found.amount.units,
            "at": found.at_ms,
        }
        notification = notification_row(
            self._clock,
            cause_id=f"unmatched/{found.gateway}/{found.id}",
            person=OPERATORS,
            kind=UNMATCHED,
            facts=facts,
        )
        # Of a whole history from before this database the first alone is told: all are listed.
        is_told = not is_older or not await self._has_open(found.gateway)
        with contextlib.suppress(CompanionRefused):  # another process found it too
            await self._ledger.record(
                Insert(schema.unmatched_payment, row), *((notification,) if is_told else ())
            )

    async def _decide(self, payment: UnmatchedPayment, state: str, *also: Companion) -> None:
        key = {"gateway": payment.gateway, "external": payment.id}
        if not await self._ledger.try_record(
            Update(schema.unmatched_payment, key, {"state": state}, {"state": "open"}), *also
        ):
            raise NotUnmatched

    async def _has_open(self, gateway: str) -> bool:
        table = schema.unmatched_payment.c
        return bool(
            await self._db.fetch(
                sa.select(table.external)
                .where(table.gateway == gateway, table.state == "open")
                .limit(1)
            )
        )

    async def _find(self, gateway: str, id_: str) -> sa.Row[Any] | None:
        table = schema.unmatched_payment
        rows = await self._db.fetch(
            sa.select(table).where(table.c.gateway == gateway, table.c.external == id_)
        )
        return rows[0] if rows else None

    async def _read_birth(self) -> int:
        """When this database was made (ms UTC); a copy of it has the same."""
        table = schema.meta
        rows = await self._db.fetch(sa.select(table.c.value).where(table.c.name == "born_at"))
        return int(rows[0].value)


def _estimate_value(gateway: object, amount: Cash) -> NanoUsd:
    if isinstance(amount, NanoUsd):
        return amount
    assert isinstance(gateway, EstimatesValue), "whoever is paid in something else"
    return gateway.estimate_value(amount)


def _from_event(event: Payment | StorePurchase, now_ms: int) -> UnmatchedPayment:
    if isinstance(event, StorePurchase):
        payer = f"{event.platform}:{event.buyer}"
        return UnmatchedPayment(
            event.gateway, event.id, "", payer, event.value, event.fee, event.at_ms
        )
    return UnmatchedPayment(
        event.gateway,
        event.id,
        event.order,
        event.payer,
        event.amount,
        event.fee,
        event.at_ms or now_ms,
    )


def _from_row(row: sa.Row[Any]) -> UnmatchedPayment:
    unit = UNITS[row.unit]
    return UnmatchedPayment(
        row.gateway, row.external, row.order, row.payer, unit(row.amount), unit(row.fee), row.at
    )
