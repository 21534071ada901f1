"""Reconciliation: what gateways' own lists have that no webhook reported, read on from where it was
read to; it is credited, then the gateway hears of it where it waits for that.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from core.db import schema
from core.db.database import Store
from core.db.writes import Insert, Update
from core.errors import cause
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from payments.fulfillment import Crediting
from payments.gateways.base import Consuming, Gateway, Listed, Page
from payments.types import (
    GatewayUnavailable,
    News,
    Payment,
    PaymentRefused,
    Purchase,
    TakenBack,
    UnknownOrder,
)

_log = logging.getLogger(__name__)

#: So much of a list is read at once; the next turn goes on.
_PAGES_AT_ONCE = 50


class Listing:
    """The service that reads the lists of those gateways that have one."""

    def __init__(self, *, crediting: Crediting, store: Store, ledger: Ledger) -> None:
        self._crediting, self._store, self._ledger = crediting, store, ledger

    async def read(self, gateway: Listed) -> int:
        """Fulfills what is new; how much that was. What a gateway doesn't list now it lists at the
        next turn."""
        found = 0
        try:
            for _ in range(_PAGES_AT_ONCE):
                mark = await self._mark(gateway.name)
                page = await gateway.page(mark or "")
                found += await self._taken(gateway, page)
                await self._read_to(gateway.name, mark, page.mark)
                if not page.more:
                    break
        except GatewayUnavailable as refused:
            _log.warning("%s does not tell its list: %s", gateway.name, cause(refused))
        return found

    async def _taken(self, gateway: Listed, page: Page) -> int:
        """Each by itself: what doesn't fit an order is no other's trouble."""
        known, found = await self._known(gateway.name, page), 0
        for news in page.news:
            try:
                # Also what is known: a purchase may still have to be consumed.
                concerns = await take(gateway, self._crediting, news)
            except GatewayUnavailable:
                raise
            except (UnknownOrder, PaymentRefused) as refused:
                _log.info("%s lists what fits no order: %s", gateway.name, refused.code)
            else:
                found += concerns and _name(news) not in known
        return found

    async def _known(self, gateway: str, page: Page) -> set[tuple[str, str]]:
        """Which of a page's events were fulfilled before."""
        known: set[tuple[str, str]] = set()
        for table in (schema.payment, schema.refund):
            names = [
                name for news in page.news for kind, name in [_name(news)] if kind == table.name
            ]
            if not names:
                continue
            rows = await self._store.fetch(
                sa.select(table.c.external).where(
                    table.c.gateway == gateway, table.c.external.in_(names)
                )
            )
            known |= {(table.name, row.external) for row in rows}
        return known

    async def _mark(self, gateway: str) -> str | None:
        table = schema.listing
        rows = await self._store.fetch(sa.select(table.c.mark).where(table.c.gateway == gateway))
        return rows[0].mark if rows else None

    async def _read_to(self, gateway: str, before: str | None, mark: str) -> None:
        table = schema.listing
        if mark == before:
            return
        try:
            if before is None:
                await self._ledger.record(Insert(table, {"gateway": gateway, "mark": mark}))
            else:
                change, expected = {"mark": mark}, {"mark": before}
                await self._ledger.record(Update(table, {"gateway": gateway}, change, expected))
        except CompanionRefused:
            _log.info("%s's list is read by another process too", gateway)


def _name(news: News) -> tuple[str, str]:
    """The table where it is noted, and by which of the gateway's ids."""
    if isinstance(news, Payment | Purchase):
        return schema.payment.name, news.id
    assert isinstance(news, TakenBack), "what lists tell"
    return schema.refund.name, news.payment


async def take(gateway: Gateway | Listed, crediting: Crediting, news: News) -> bool:
    """Fulfills first, durably; a store's purchase is consumed after that, and again if that fails.
    False when it concerns nothing here. Raises what `Fulfillment.handle` raises, and
    `GatewayUnavailable`."""
    try:
        await crediting.tell(news)
    except UnknownOrder:
        if not isinstance(news, TakenBack):
            raise
        # It went back before it was credited: it never will be, or the list tells it again.
        return False
    if isinstance(news, Purchase) and isinstance(gateway, Consuming):
        await gateway.consume(news.id)
    return True
