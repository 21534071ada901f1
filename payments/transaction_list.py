"""Gateways' own lists of what moved, read on from where they were read to: what no webhook told is
credited or taken back, and every movement is kept to be compared with the books.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.errors import DatabaseUnavailable
from core.db.writes import Insert, Update
from core.errors import Refusal, describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerBusy, LedgerUnavailable
from payments.fulfillment import Fulfillment
from payments.gateways.base import (
    FindsLostOrders,
    Gateway,
    SupportsConsumption,
    SupportsTransactionList,
    TransactionPage,
)
from payments.mismatches import unprocessed_row
from payments.movements import Movements
from payments.types import (
    Dispute,
    GatewayEvent,
    GatewayUnavailable,
    Payment,
    PaymentMismatch,
    Refund,
    Reversal,
    StorePurchase,
    UnknownOrder,
)
from payments.unmatched import UnmatchedPayments

_log = logging.getLogger(__name__)

#: So much of a list is read at once; the next turn goes on.
_PAGES_AT_ONCE = 50
#: Whoever hasn't told their list for so long is asked about each order instead.
_FRESH_MS = DAY_MS


class TransactionListing:
    """The service that reads the lists of those gateways that have one."""

    def __init__(
        self,
        *,
        fulfillment: Fulfillment,
        movements: Movements,
        unmatched: UnmatchedPayments,
        ledger: Ledger,
    ) -> None:
        """`unmatched` takes the payments that fit no order."""
        self._unmatched = unmatched
        self._fulfillment, self.movements = fulfillment, movements
        self._db, self._ledger = ledger.db, ledger

    async def read_new_transactions(
        self, gateway: SupportsTransactionList, *, pages_max: int = _PAGES_AT_ONCE
    ) -> int:
        """Fulfills what is new; how much that was. What a gateway doesn't list now it lists at the
        next turn."""
        found = 0
        too_early: list[GatewayEvent] = []
        try:
            for _ in range(pages_max):
                row = await self._load(gateway.name)
                page = await gateway.list_transactions("" if row is None else row.mark)
                found += await self._fulfill_events(gateway, page.events, too_early)
                await self.movements.record(page.movements)
                await self._save(gateway.name, row, page)
                if not page.has_more:
                    break
            # What went back stands before its payment in a list whose newest part comes first.
            found += await self._fulfill_events(gateway, too_early, [])
        except (GatewayUnavailable, LedgerUnavailable, LedgerBusy) as refused:
            _log.warning("%s does not tell its list: %s", gateway.name, describe_failure(refused))
        return found

    async def is_fresh(self, gateway: str) -> bool:
        """Whether its list was read to its end lately."""
        row, now = await self._load(gateway), self._ledger.clock.now_ms()
        return row is not None and row.read_at is not None and now - row.read_at < _FRESH_MS

    async def _fulfill_events(
        self,
        gateway: SupportsTransactionList,
        events: Sequence[GatewayEvent],
        too_early: list[GatewayEvent],
    ) -> int:
        """Each by itself: what doesn't fit an order is no other's trouble. What goes back of a
        payment that isn't known goes into `too_early`: its payment comes yet, or others sold it."""
        known, found = await self._find_known_events(gateway.name, events), 0
        for event in events:
            if isinstance(event, StorePurchase) and event.is_consumed:
                if _event_key(event) in known:
                    await self._fulfillment.restore_purchase(event)
                else:
                    await self._unmatched.take(gateway, event)
                continue
            try:
                # Also what is known: a purchase may still have to be consumed.
                is_ours = await fulfill_event(gateway, self._fulfillment, event)
            except (GatewayUnavailable, LedgerUnavailable, LedgerBusy, DatabaseUnavailable):
                raise
            except Exception as failure:  # noqa: BLE001 - one row's oddity is no other's
                if isinstance(failure, UnknownOrder) and isinstance(event, Refund | Dispute):
                    too_early.append(event)
                    continue
                if isinstance(failure, UnknownOrder) and isinstance(event, Payment):
                    found += await self._unmatched.take(gateway, event)
                    continue
                await self._notify_operators(gateway.name, event, failure)
            else:
                found += is_ours and _event_key(event) not in known
        return found

    async def _notify_operators(
        self, gateway: str, event: GatewayEvent, failure: Exception
    ) -> None:
        """Tells operators, once, of money in a list that fits no order here."""
        _log.warning("%s lists what fits no order: %s", gateway, describe_failure(failure))
        if isinstance(event, Payment | StorePurchase):
            verdict = failure.code if isinstance(failure, Refusal) else "failed"
            if isinstance(failure, PaymentMismatch):
                verdict = failure.verdict
            order = event.order if isinstance(event, Payment) else ""
            await self._notify_unprocessed(f"{gateway}/{event.id}", verdict, order)

    async def take_lost_order(self, gateway: Gateway, order: str) -> None:
        """What was paid for an order that this database made and lost waits for an owner, who is
        told of it once. Raises `GatewayUnavailable`."""
        if not isinstance(gateway, FindsLostOrders) or await self._unmatched.has_order(
            gateway.name, order
        ):
            return
        payment = await gateway.find_paid_order(order)
        if payment is not None:
            await self._unmatched.take(gateway, payment)

    async def _notify_unprocessed(self, message: str, verdict: str, order: str) -> None:
        await self._ledger.record(unprocessed_row(self._ledger.clock, message, verdict, order))

    async def _find_known_events(
        self, gateway: str, events: Sequence[GatewayEvent]
    ) -> set[tuple[str, str]]:
        """Which events were fulfilled before."""
        known: set[tuple[str, str]] = set()
        for table in (schema.payment, schema.refund, schema.dispute):
            names = [
                name for news in events for kind, name in [_event_key(news)] if kind == table.name
            ]
            if not names:
                continue
            rows = await self._db.fetch(
                sa.select(table.c.external).where(
                    table.c.gateway == gateway, table.c.external.in_(names)
                )
            )
            known |= {(table.name, row.external) for row in rows}
        return known

    async def _load(self, gateway: str) -> sa.Row[Any] | None:
        table = schema.listing
        rows = await self._db.fetch(sa.select(table).where(table.c.gateway == gateway))
        return rows[0] if rows else None

    async def _save(self, gateway: str, before: sa.Row[Any] | None, page: TransactionPage) -> None:
        table = schema.listing
        read_at = None if before is None else before.read_at
        if not page.has_more:
            read_at = self._ledger.clock.now_ms()
        change = {"mark": page.cursor, "read_at": read_at}
        try:
            if before is None:
                await self._ledger.record(Insert(table, {"gateway": gateway, **change}))
            else:
                expected = {"mark": before.mark}
                await self._ledger.record(Update(table, {"gateway": gateway}, change, expected))
        except CompanionRefused:
            _log.info("%s's list is read by another process too", gateway)


def _event_key(event: GatewayEvent) -> tuple[str, str]:
    """The table where it is noted, and by which of the gateway's ids."""
    if isinstance(event, Payment | StorePurchase):
        return schema.payment.name, event.id
    if isinstance(event, Refund):
        return schema.refund.name, event.id
    if isinstance(event, Dispute):
        return schema.dispute.name, event.id
    assert isinstance(event, Reversal), "what lists tell"
    return schema.refund.name, event.payment


async def fulfill_event(
    gateway: Gateway | SupportsTransactionList, fulfillment: Fulfillment, event: GatewayEvent
) -> bool:
    """Fulfills first, durably; a store's purchase is consumed after that, and again if that fails.
    False when it concerns nothing here. Raises what `Fulfillment.handle` raises, and
    `GatewayUnavailable`."""
    try:
        await fulfillment.handle(event)
    except UnknownOrder:
        if not isinstance(event, Reversal):
            raise
        # It went back before it was credited: it never will be, or the list tells it again.
        return False
    if isinstance(event, StorePurchase) and isinstance(gateway, SupportsConsumption):
        await gateway.consume_purchase(event.id)
    return True
