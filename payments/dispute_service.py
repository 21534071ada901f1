"""Disputes as operators see them: read, and given up where a gateway takes that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.money import NanoUsd
from payments.fulfillment import Fulfillment
from payments.gateways.base import Gateway, SupportsDisputeAcceptance
from payments.orders import Orders
from payments.types import Dispute, GatewayUnavailable, NoOpenDispute, Order

#: Lines of an order's history: a dispute is to be given up; nobody answered.
ACCEPTANCE_REQUESTED: Final = "dispute accept-asked"
_ACCEPTANCE_UNANSWERED: Final = "dispute accept-unanswered"


class DisputeService:
    """The service that reads disputes and gives them up for the operator; what each step of one
    does to its order is worked out by `Disputes`."""

    def __init__(
        self,
        *,
        gateways: Mapping[str, Gateway],
        orders: Orders,
        fulfillment: Fulfillment,
        db: Database,
    ) -> None:
        self._gateways, self._orders = gateways, orders
        self._fulfillment, self._db = fulfillment, db

    async def accept_dispute(self, gateway: str, dispute_id: str) -> Order:
        """Gives up an open dispute for good; raises `NoOpenDispute`, `GatewayUnavailable`."""
        dispute = await self.get_dispute(gateway, dispute_id)
        provider = self._find_dispute_accepter(gateway)
        if dispute.state != "open" or provider is None:
            raise NoOpenDispute(dispute_id)
        order = await self._orders.get_by_payment(gateway, dispute.payment)
        facts: dict[str, int | str] = {"dispute": dispute_id, "turn": dispute.turn}
        await self._orders.record_intent(order, ACCEPTANCE_REQUESTED, **facts)
        try:
            events = await provider.accept_dispute(order, dispute)
        except GatewayUnavailable:
            # Whoever asked is told so; whether it was given up after all is found by looking.
            await self._orders.record_event(order, _ACCEPTANCE_UNANSWERED, **facts)
            raise
        for event in events:
            await self._fulfillment.handle(event)
        return await self._orders.get(order.id)

    async def hold_returned_credits(self) -> None:
        """A job: see `Disputes.hold_returned_credits`."""
        await self._fulfillment.disputes.hold_returned_credits()

    async def list_open_acceptances(self, order: Order) -> list[int]:
        """When each acceptance was begun of which nobody knows the end (ms UTC)."""
        return [at for at, _ in await self._list_unfinished(order)]

    async def finish_acceptances(self, order: Order, *, before_ms: int) -> None:
        """Ends the acceptances that were begun before that and not ended. Raises
        `GatewayUnavailable`."""
        provider = self._find_dispute_accepter(order.gateway)
        if provider is None:
            return
        for at, dispute in await self._list_unfinished(order):
            if at <= before_ms:
                for event in await provider.accept_dispute(order, dispute):
                    await self._fulfillment.handle(event)

    async def _list_unfinished(self, order: Order) -> list[tuple[int, Dispute]]:
        """What somebody wanted to give up and is open still, and when that was. One that goes on
        after its end is another decision: its turn is the next."""
        open_disputes = {
            (one.id, one.turn): one
            for one in await self.list_disputes(order.id)
            if one.state == "open"
        }
        if not open_disputes:
            return []
        wanted: dict[tuple[str, int], int] = {}
        for at, what, facts in await self._orders.list_events(order.id):
            if what in {ACCEPTANCE_REQUESTED, _ACCEPTANCE_UNANSWERED}:
                key = str(facts["dispute"]), int(facts["turn"])
                wanted.pop(key, None)
                if what == ACCEPTANCE_REQUESTED:
                    wanted[key] = at
        return [(at, open_disputes[key]) for key, at in wanted.items() if key in open_disputes]

    def can_accept_disputes(self, gateway: str) -> bool:
        """Whether disputes can be given up at this gateway."""
        return self._find_dispute_accepter(gateway) is not None

    def _find_dispute_accepter(self, gateway: str) -> SupportsDisputeAcceptance | None:
        provider: object = self._gateways.get(gateway)
        return provider if isinstance(provider, SupportsDisputeAcceptance) else None

    async def get_dispute(self, gateway: str, dispute_id: str) -> Dispute:
        """A dispute as it stands; raises `NoOpenDispute`."""
        table = schema.dispute
        rows = await self._db.fetch(
            sa.select(table).where(table.c.gateway == gateway, table.c.external == dispute_id)
        )
        if not rows:
            raise NoOpenDispute(dispute_id)
        return _dispute_from_row(rows[0])

    async def list_disputes(self, order_id: str) -> list[Dispute]:
        """All of an order, the oldest first."""
        table = schema.dispute
        rows = await self._db.fetch(
            sa.select(table)
            .where(table.c.order == order_id)
            .order_by(table.c.opened_at, table.c.id)
        )
        return [_dispute_from_row(row) for row in rows]


def _dispute_from_row(row: sa.Row[Any]) -> Dispute:
    return Dispute(
        row.gateway,
        row.external,
        row.payment,
        NanoUsd(row.amount),
        row.state,
        reason=row.reason,
        due_at=row.due_at,
        fee=NanoUsd(row.fee),
        turn=row.turn,
    )
