"""Recovery: settles asks whose process died, for the tokens that were delivered.

A live process renews its leases every two seconds; only when one lapsed is the ask taken over, by
compare-and-set, so that a process that merely stalled can't settle it a second time.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from core import chart
from core.asks.admission import LEASE_SECONDS
from core.asks.settlement import Bill, Standing, settlement
from core.asks.types import Outcome
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Update
from core.earnings.contributions import Drawn
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, HoldResolved, IdempotencyConflict
from core.money import Credits, MicroCredits, NanoUsd, Seconds, Tokens
from core.pool.pool import Pool
from core.pool.providers.types import Usage
from core.pool.types import Terms
from core.pricing.prices import PriceBook

log = logging.getLogger(__name__)

_AT_ONCE = 200


class Sweeper:
    """Settles asks whose process died; safe to run on any process, any number of times."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        prices: PriceBook,
        pool: Pool,
        clock: Clock,
        owner: str,
    ) -> None:
        self._store, self._ledger, self._prices = store, ledger, prices
        self._pool, self._clock, self._owner = pool, clock, owner

    async def sweep(self) -> int:
        """Settles every ask whose lease lapsed; returns how many."""
        await self._prices.refresh()
        swept = 0
        for row in await self._lapsed():
            try:
                await self._take_over(row)
                await self._settle(row)
            except (CompanionRefused, IdempotencyConflict, HoldResolved):
                continue  # its own process, or another recovery, was faster: that counts
            swept += 1
        return swept

    async def _lapsed(self) -> list[sa.Row[Any]]:
        ask, key, given = schema.ask, schema.key, schema.contribution
        return list(
            await self._store.fetch(
                sa.select(ask, key.c.provider, key.c.owner.label("contributor"))
                .add_columns(given.c.advance, given.c.inviter)
                .select_from(
                    ask.join(key, key.c.id == ask.c.key).outerjoin(given, given.c.key == key.c.id)
                )
                .where(ask.c.state == "open", ask.c.lease_until < self._clock.now_ms())
                .order_by(ask.c.id)
                .limit(_AT_ONCE)
            )
        )

    async def _take_over(self, row: sa.Row[Any]) -> None:
        until = self._clock.now_ms() + LEASE_SECONDS * 1000
        await self._ledger.record(
            Update(
                schema.ask,
                {"id": row.id},
                {"owner": self._owner, "lease_until": until},
                {"state": "open", "owner": row.owner, "lease_until": row.lease_until},
            )
        )

    async def _settle(self, row: sa.Row[Any]) -> None:
        standing = Standing(
            ask=row.id,
            person=row.person,
            model=row.model,
            price=row.price,
            key=row.key,
            supplier=row.provider,
            key_held=NanoUsd(row.key_held),
            tries=row.tries,
            owner=self._owner,
            drawn=await self._drawn(row.id),
            terms=None
            if row.contributor is None
            else Terms(row.contributor, Credits(row.advance or 0), row.inviter or ""),
            promotion=row.promotion or "",
        )
        receipt = await self._ledger.submit(
            settlement(
                standing,
                self._bill(row),
                outcome=Outcome.LOST,
                shown=Tokens(row.shown_tokens),
                answer=None,
                at_ms=self._clock.now_ms(),
                showing=False,
            )
        )
        key = chart.key_quota(row.key).code
        self._pool.settled(row.key, receipt.balances[key])
        log.info("swept an ask of a process that is gone: %s", row.id)

    async def _drawn(self, ask: str) -> Drawn:
        """What the ask's hold drew: the ledger keeps every open hold."""
        hold, account = schema.hold, schema.account
        rows = await self._store.fetch(
            sa.select(account.c.code, hold.c.amount)
            .select_from(hold.join(account, account.c.id == hold.c.debit))
            .where(hold.c.name == f"ask/{ask}/hold/credits")
            .order_by(hold.c.seq)
        )
        return [(row.code, row.amount) for row in rows]

    def _bill(self, row: sa.Row[Any]) -> Bill:
        """The bill for what was delivered, within the hold; the key's dollars in full, since nobody
        knows what the supplier charged."""
        price = self._prices.by_id(row.price)
        if price is not None and row.input_rate is not None:
            rates = MicroCredits(row.input_rate), MicroCredits(row.output_rate)
            price = replace(price, input_rate=rates[0], output_rate=rates[1])
        shown = Tokens(row.shown_tokens)
        charge = Credits(0)
        if shown.units and price is not None:
            charge = min(price.charge(Tokens(row.prompt_tokens), shown), Credits(row.held))
        usage = Usage(Tokens(row.prompt_tokens), shown, audio=Seconds(row.seconds or 0))
        return Bill(usage, charge, NanoUsd(row.key_held), estimated=True)
