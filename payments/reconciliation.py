"""Reconciliation: gateways' own lists are read on, and orders are asked about one by one where no
list tells them: what waits, what is on its way, and what was paid, as long as it can go back.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from core.clock import DAY_MS, Clock
from core.errors import Refusal, describe_failure
from payments.dispute_service import DisputeService
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway, SupportsTransactionList, TellsFeesLater
from payments.gateways.voucher import VOUCHER_GATEWAY
from payments.movements import GatewaySums, movements_of_events
from payments.order_checks import REVERSIBLE_DAYS, OrderChecks
from payments.orders import Orders
from payments.refunds import Refunds
from payments.transaction_list import TransactionListing
from payments.types import Cash, GatewayUnavailable, Order, UnknownOrder

_log = logging.getLogger(__name__)

#: An order is given up so long after its checkout closed: what was paid at the last moment is
#: reported by then.
_GRACE_MS = 15 * 60_000
#: And so long when the gateway doesn't answer.
_UNREACHABLE_GRACE_MS = DAY_MS
#: So many orders are asked about at once, of those whose money hasn't come and of the others.
_BATCH_SIZE = 200
_PAID_BATCH_SIZE = 50
#: Orders that differ are asked about once more before that is said, so many at once.
_DIFFERENT_BATCH_SIZE = 50
#: Whoever began a refund or an acceptance has this long; what is younger may still be going on.
_IN_HAND_MS = 180_000
#: And the longest pause before it is tried again.
_PAUSE_MAX_MS = 3_600_000
#: All pages of a list.
_PAGES_MAX = 100_000
#: A fee that wasn't known when its payment was credited is asked for so long.
_LATE_FEE_MS = 7 * DAY_MS


class OrderIntents:
    """The service that ends refunds and acceptances of disputes that somebody began. A process may
    die between their steps: each is written down before its gateway hears of it."""

    def __init__(self, *, refunds: Refunds, disputes: DisputeService, clock: Clock) -> None:
        self._refunds, self._disputes, self._clock = refunds, disputes, clock

    async def finish(self, order: Order) -> int:
        """Ends what is open of an order, if it isn't in somebody's hand; in how many milliseconds
        it is to be looked at again, 0 when nothing is open."""
        before = self._clock.now_ms() - _IN_HAND_MS
        try:
            await self._refunds.finish_requests(order, before_ms=before)
            await self._disputes.finish_acceptances(order, before_ms=before)
        except Refusal as refusal:
            _log.warning("%s has something open: %s", order.id, describe_failure(refusal))
        begun = [
            *await self._refunds.list_open_requests(order),
            *await self._disputes.list_open_acceptances(order),
        ]
        if not begun:
            return 0
        age = self._clock.now_ms() - min(begun)
        return min(max(_IN_HAND_MS, age // 2), _PAUSE_MAX_MS)


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
        intents: OrderIntents,
        clock: Clock,
    ) -> None:
        """`transaction_listing` reads the lists of gateways that have one and keeps what moved,
        `order_checks` say which orders are due, `intents` end what was begun with them."""
        self._gateways, self._orders, self._fulfillment = gateways, orders, fulfillment
        self._transaction_listing, self._order_checks = transaction_listing, order_checks
        self._movements, self._clock = transaction_listing.movements, clock
        self._intents = intents

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

    async def compare_with_books(self) -> list[GatewaySums]:
        """A job: compares what gateways moved with the books, by what was read of them; an order
        that differs is asked about once more first. Keeps what differs, and has operators told."""
        names = [name for name in self._gateways if name != VOUCHER_GATEWAY]
        different = [
            one
            for sums in await self._movements.compare(names)
            for one in (*sums.differences, *sums.on_the_way)
        ]
        for one in different[:_DIFFERENT_BATCH_SIZE]:
            await self._reconcile_order(
                self._gateways[one.gateway], await self._orders.get(one.order)
            )
        found = await self._movements.compare(names)
        await self._movements.store_differences(found)
        return found

    async def reconcile_everything(self) -> list[GatewaySums]:
        """Reads all lists to their end, asks about every order of whose gateway there is none, as
        long as its money can go back, and compares."""
        for name, gateway in self._gateways.items():
            if isinstance(gateway, SupportsTransactionList):
                await self._transaction_listing.read_new_transactions(gateway, pages_max=_PAGES_MAX)
            if name == VOUCHER_GATEWAY or await self._transaction_listing.is_fresh(name):
                continue
            since = self._clock.now_ms() - REVERSIBLE_DAYS * DAY_MS
            for id_ in await self._order_checks.list_paid(name, since_ms=since):
                await self._reconcile_order(gateway, await self._orders.get(id_))
        await self.reconcile_orders()
        return await self.compare_with_books()

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
            await self._fetch_order(gateway, order)
        except Exception as failure:  # noqa: BLE001 - one order's oddity is no other's
            _log.warning("%s could not be reconciled: %s", order.id, describe_failure(failure))
            grace = _UNREACHABLE_GRACE_MS
        updated = await self._orders.get(order.id)
        if updated.is_open and now > order.expires_at + grace:
            await self._orders.end_unpaid(updated, "expired")
            updated = await self._orders.get(order.id)
        pause = await self._intents.finish(updated)
        updated = await self._orders.get(order.id)
        # A voucher's order moves no money anywhere else.
        is_listed = gateway.name == VOUCHER_GATEWAY or (
            await self._transaction_listing.is_fresh(gateway.name)
        )
        await self._order_checks.schedule_next(updated, is_listed=is_listed, at_most_ms=pause)
        return updated != order

    async def _fetch_order(self, gateway: Gateway, order: Order) -> None:
        """Fulfills what a gateway says of an order now, and keeps what moved where no list of its
        own tells that."""
        events = await gateway.fetch_order(order)
        for event in events:
            await self._fulfillment.handle(event)
        if not isinstance(gateway, SupportsTransactionList):
            await self._movements.record(movements_of_events(events, self._clock.now_ms()))

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
            await self._fetch_order(gateway, order)
        except GatewayUnavailable:
            raise
        except UnknownOrder:
            # Others sell there too; what has this database's key was lost with a copy of before.
            if self._orders.is_own_id(id_):
                await self._transaction_listing.take_lost_order(gateway, id_)
            return False
        except Exception as failure:  # noqa: BLE001 - one order's oddity is no other's
            _log.warning("%s is not counted: %s", id_, describe_failure(failure))
            return False
        return await self._orders.get(id_) != order
