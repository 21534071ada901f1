"""Reconciliation: orders that wait are asked about, and what gateways' own lists have that no
webhook reported is read on from where it was read to; it is credited, then the gateway hears of it
where it waits for that.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping

import sqlalchemy as sa

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Database
from core.db.errors import DatabaseUnavailable
from core.db.writes import Insert, Update
from core.errors import Refusal, describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerBusy, LedgerUnavailable
from core.notification import OPERATORS, notification_row
from payments.fulfillment import Fulfillment
from payments.gateways.base import (
    Gateway,
    SupportsConsumption,
    SupportsTransactionList,
    TellsFeesLater,
    TransactionPage,
)
from payments.order_checks import OrderChecks
from payments.orders import Orders
from payments.types import (
    Cash,
    GatewayEvent,
    GatewayUnavailable,
    Order,
    Payment,
    Reversal,
    StorePurchase,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

#: The kind of notification to operators about what gateways say that nothing will come of.
UNPROCESSED = "unworked"
#: So much of a list is read at once; the next turn goes on.
_PAGES_AT_ONCE = 50
#: An order is given up so long after its checkout closed: what was paid at the last moment is
#: reported by then.
_GRACE_MS = 15 * 60_000
#: And so long when the gateway doesn't answer.
_UNREACHABLE_GRACE_MS = DAY_MS
#: So many orders are asked about at once, of those whose money hasn't come and of the others.
_BATCH_SIZE = 200
_PAID_BATCH_SIZE = 50
#: A fee that wasn't known when its payment was credited is asked for so long.
_LATE_FEE_MS = 7 * DAY_MS


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
        except (GatewayUnavailable, LedgerUnavailable, LedgerBusy) as refused:
            _log.warning("%s does not tell its list: %s", gateway.name, describe_failure(refused))
        return found

    async def _fulfill_page(self, gateway: SupportsTransactionList, page: TransactionPage) -> int:
        """Each by itself: what doesn't fit an order is no other's trouble."""
        known, found = await self._find_known_events(gateway.name, page), 0
        for event in page.events:
            try:
                # Also what is known: a purchase may still have to be consumed.
                is_ours = await fulfill_event(gateway, self._fulfillment, event)
            except (GatewayUnavailable, LedgerUnavailable, LedgerBusy, DatabaseUnavailable):
                raise
            except Exception as failure:  # noqa: BLE001 - one row's oddity is no other's
                _log.warning(
                    "%s lists what fits no order: %s", gateway.name, describe_failure(failure)
                )
                await self._notify_operators(gateway.name, event, failure)
            else:
                found += is_ours and _event_key(event) not in known
        return found

    async def _notify_operators(
        self, gateway: str, event: GatewayEvent, failure: Exception
    ) -> None:
        """Tells operators, once, of money in a list that fits no order here."""
        if not isinstance(event, Payment | StorePurchase):
            return
        message = f"{gateway}/{event.id}"
        facts = {
            "message": message,
            "verdict": failure.code if isinstance(failure, Refusal) else "failed",
            "order": event.order if isinstance(event, Payment) else "",
        }
        row = notification_row(
            self._ledger.clock,
            cause_id=f"listed/{message}/unworked",
            person=OPERATORS,
            kind=UNPROCESSED,
            facts=facts,
        )
        with contextlib.suppress(CompanionRefused):  # told before
            await self._ledger.record(row)

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


class Reconciliation:
    """The service that asks gateways about orders, for what no webhook said."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        orders: Orders,
        fulfillment: Fulfillment,
        transaction_listing: TransactionListing,
        order_checks: OrderChecks,
        clock: Clock,
    ) -> None:
        """`transaction_listing` reads the lists of gateways that have one, `order_checks` say which
        orders are due."""
        self._gateways, self._orders, self._fulfillment = gateways, orders, fulfillment
        self._transaction_listing, self._order_checks = transaction_listing, order_checks
        self._clock = clock

    async def reconcile_orders(self) -> int:
        """A job: asks the gateways about orders that wait, or for their lists, and for what came
        late, and gives up what is too old. Gives how many orders changed."""
        changed = 0
        for name, gateway in self._gateways.items():
            if isinstance(gateway, SupportsTransactionList):
                changed += await self._transaction_listing.read_new_transactions(gateway)
            for order in await self._list_due(name, gateway):
                changed += await self._reconcile_order(gateway, order)
            changed += await self._reconcile_late_payments(gateway)
        return changed

    async def _list_due(self, name: str, gateway: Gateway) -> list[Order]:
        """The orders that are due; and those that were paid without their fee being told."""
        due = await self._order_checks.list_due(
            name, waiting_max=_BATCH_SIZE, paid_max=_PAID_BATCH_SIZE
        )
        waiting = [await self._orders.get(id_) for id_ in due]
        if not isinstance(gateway, TellsFeesLater):
            return waiting
        since = self._clock.now_ms() - _LATE_FEE_MS
        return [*waiting, *await self._orders.list_without_fee(name, _BATCH_SIZE, since_ms=since)]

    async def _reconcile_order(self, gateway: Gateway, order: Order) -> bool:
        now = self._clock.now_ms()
        grace = _GRACE_MS
        try:
            for event in await gateway.fetch_order(order):
                await self._fulfillment.handle(event)
        except Exception as failure:  # noqa: BLE001 - one order's oddity is no other's
            _log.warning("%s could not be reconciled: %s", order.id, describe_failure(failure))
            grace = _UNREACHABLE_GRACE_MS
        updated = await self._orders.get(order.id)
        if updated.is_open and now > order.expires_at + grace:
            await self._orders.end_unpaid(updated, "expired")
            updated = await self._orders.get(order.id)
        await self._order_checks.schedule_next(
            updated, is_listed=isinstance(gateway, SupportsTransactionList)
        )
        return updated != order

    async def _reconcile_late_payments(self, gateway: Gateway) -> int:
        changed = 0
        try:
            for id_, paid in (await gateway.list_late_payments()).items():
                changed += await self._catch_up_order(gateway, id_, paid)
        except GatewayUnavailable as refused:
            _log.warning(
                "%s could not tell what came late: %s", gateway.name, describe_failure(refused)
            )
        return changed

    async def _catch_up_order(self, gateway: Gateway, id_: str, paid: Cash) -> bool:
        try:
            order = await self._orders.get(id_)
            if order.gateway != gateway.name or order.paid.units >= paid.units:
                return False
            for event in await gateway.fetch_order(order):
                await self._fulfillment.handle(event)
        except GatewayUnavailable:
            raise
        except Exception as failure:  # noqa: BLE001 - one order's oddity is no other's
            _log.warning("%s is not counted: %s", id_, describe_failure(failure))
            return False
        return await self._orders.get(id_) != order


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
