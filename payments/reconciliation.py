"""Reconciliation: what gateways' own lists have that no webhook reported, read on from where it was
read to; it is credited, then the gateway hears of it where it waits for that.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.db.writes import Insert, Update
from core.errors import describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from payments.fulfillment import Fulfillment
from payments.gateways.base import (
    Gateway,
    SupportsConsumption,
    SupportsTransactionList,
    TransactionPage,
)
from payments.types import (
    GatewayEvent,
    GatewayUnavailable,
    Payment,
    PaymentMismatch,
    Reversal,
    StorePurchase,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

#: So much of a list is read at once; the next turn goes on.
_PAGES_AT_ONCE = 50


class TransactionListing:
    """The service that reads the lists of those gateways that have one."""

    def __init__(self, *, fulfillment: Fulfillment, db: Database, ledger: Ledger) -> None:
        self._fulfillment, self._db, self._ledger = fulfillment, db, ledger

    async def read_new_transactions(self, gateway: SupportsTransactionList) -> int:
        """Fulfills what is new; how much that was. What a gateway doesn't list now it lists at the
        next turn."""
        found = 0
        try:
            for _ in range(_PAGES_AT_ONCE):
                cursor = await self._load_cursor(gateway.name)
                page = await gateway.list_transactions(cursor or "")
                found += await self._fulfill_page(gateway, page)
                await self._save_cursor(gateway.name, cursor, page.cursor)
                if not page.has_more:
                    break
        except GatewayUnavailable as refused:
            _log.warning("%s does not tell its list: %s", gateway.name, describe_failure(refused))
        return found

    async def _fulfill_page(self, gateway: SupportsTransactionList, page: TransactionPage) -> int:
        """Each by itself: what doesn't fit an order is no other's trouble."""
        known, found = await self._find_known_events(gateway.name, page), 0
        for event in page.events:
            try:
                # Also what is known: a purchase may still have to be consumed.
                is_ours = await fulfill_event(gateway, self._fulfillment, event)
            except GatewayUnavailable:
                raise
            except (UnknownOrder, PaymentMismatch) as refused:
                _log.info("%s lists what fits no order: %s", gateway.name, refused.code)
            else:
                found += is_ours and _event_key(event) not in known
        return found

    async def _find_known_events(self, gateway: str, page: TransactionPage) -> set[tuple[str, str]]:
        """Which of a page's events were fulfilled before."""
        known: set[tuple[str, str]] = set()
        for table in (schema.payment, schema.refund):
            names = [
                name
                for news in page.events
                for kind, name in [_event_key(news)]
                if kind == table.name
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

    async def _load_cursor(self, gateway: str) -> str | None:
        table = schema.listing
        rows = await self._db.fetch(sa.select(table.c.mark).where(table.c.gateway == gateway))
        return rows[0].mark if rows else None

    async def _save_cursor(self, gateway: str, before: str | None, cursor: str) -> None:
        table = schema.listing
        if cursor == before:
            return
        try:
            if before is None:
                await self._ledger.record(Insert(table, {"gateway": gateway, "mark": cursor}))
            else:
                change, expected = {"mark": cursor}, {"mark": before}
                await self._ledger.record(Update(table, {"gateway": gateway}, change, expected))
        except CompanionRefused:
            _log.info("%s's list is read by another process too", gateway)


def _event_key(event: GatewayEvent) -> tuple[str, str]:
    """The table where it is noted, and by which of the gateway's ids."""
    if isinstance(event, Payment | StorePurchase):
        return schema.payment.name, event.id
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
