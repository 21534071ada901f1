"""Recovery: settles asks whose process died, for the tokens that were delivered.

A live process renews its leases every two seconds; only when one lapsed, or its process is known to
be gone, is the ask taken over, by compare-and-set, so that a process that merely stalled can't
settle it a second time.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from core import chart
from core.asks.admission import LEASE_SECONDS
from core.asks.api_calls import TokenCap
from core.asks.settlement import AskBill, OpenAsk, build_settlement
from core.asks.types import Outcome
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Update
from core.earnings.contributions import DrawnAmounts
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, HoldResolved, IdempotencyConflict
from core.money import Credits, MicroCredits, NanoUsd, Seconds, Tokens
from core.pool.pool import Pool
from core.pool.providers.types import Usage
from core.pool.types import ContributionTerms
from core.pricing.prices import PriceBook
from core.processes import select_abandoned

log = logging.getLogger(__name__)

_BATCH_SIZE = 200


class AskRecovery:
    """Settles asks whose process died; safe to run on any process, any number of times."""

    def __init__(self, *, ledger: Ledger, prices: PriceBook, pool: Pool, process_id: str) -> None:
        self._db, self._ledger, self._prices = ledger.db, ledger, prices
        self._pool, self._clock, self._process_id = pool, ledger.clock, process_id

    async def recover_lapsed_asks(self) -> int:
        """Settles every ask whose lease lapsed; returns how many."""
        await self._prices.refresh()
        recovered = 0
        for row in await self._list_lapsed():
            try:
                await self._take_over(row)
                await self._settle(row)
            except (CompanionRefused, IdempotencyConflict, HoldResolved):
                continue  # its own process, or another recovery, was faster: that counts
            recovered += 1
        return recovered

    async def _list_lapsed(self) -> list[sa.Row[Any]]:
        ask, key, contribution = schema.ask, schema.key, schema.contribution
        is_open = ask.c.state == "open"
        is_abandoned = await select_abandoned(
            self._db, ask, self._process_id, self._clock.now_ms(), is_open
        )
        return list(
            await self._db.fetch(
                sa.select(ask, key.c.provider, key.c.owner.label("contributor"))
                .add_columns(contribution.c.advance, contribution.c.inviter)
                .select_from(
                    ask.join(key, key.c.id == ask.c.key).outerjoin(
                        contribution, contribution.c.key == key.c.id
                    )
                )
                .where(is_open, is_abandoned)
                .order_by(ask.c.id)
                .limit(_BATCH_SIZE)
            )
        )

    async def _take_over(self, row: sa.Row[Any]) -> None:
        until = self._clock.now_ms() + LEASE_SECONDS * 1000
        await self._ledger.record(
            Update(
                schema.ask,
                {"id": row.id},
                {"owner": self._process_id, "lease_until": until},
                {"state": "open", "owner": row.owner, "lease_until": row.lease_until},
            )
        )

    async def _settle(self, row: sa.Row[Any]) -> None:
        open_ask = OpenAsk(
            ask=row.id,
            person=row.person,
            model=row.model,
            price=row.price,
            key=row.key,
            supplier=row.provider,
            key_held=NanoUsd(row.key_held),
            attempt=row.tries,
            process_id=self._process_id,
            drawn=await self._read_drawn_amounts(row.id),
            terms=None
            if row.contributor is None
            else ContributionTerms(row.contributor, Credits(row.advance or 0), row.inviter or ""),
            promotion=row.promotion or "",
            cap=None
            if row.api_token is None
            else TokenCap(row.api_token, row.created_at // DAY_MS, Credits(0)),
            held=Credits(row.held),
        )
        receipt = await self._ledger.submit(
            build_settlement(
                open_ask,
                self._calculate_bill(row),
                outcome=Outcome.LOST,
                delivered_tokens=Tokens(row.shown_tokens),
                answer=None,
                at_ms=self._clock.now_ms(),
                will_deliver=False,
            )
        )
        quota_account = chart.key_quota(row.key).code
        self._pool.update_headroom(row.key, receipt.balances[quota_account])
        log.info("swept an ask of a process that is gone: %s", row.id)

    async def _read_drawn_amounts(self, ask: str) -> DrawnAmounts:
        """What the ask's hold drew: the ledger keeps every open hold."""
        hold, account = schema.hold, schema.account
        rows = await self._db.fetch(
            sa.select(account.c.code, hold.c.amount)
            .select_from(hold.join(account, account.c.id == hold.c.debit))
            .where(hold.c.name == f"ask/{ask}/hold/credits")
            .order_by(hold.c.seq)
        )
        return [(row.code, row.amount) for row in rows]

    def _calculate_bill(self, row: sa.Row[Any]) -> AskBill:
        """The bill for what was delivered, within the hold; the key's dollars in full, since nobody
        knows what the supplier charged."""
        price = self._prices.find_by_id(row.price)
        if price is not None and row.input_rate is not None:
            rates = MicroCredits(row.input_rate), MicroCredits(row.output_rate)
            price = replace(price, input_rate=rates[0], output_rate=rates[1])
        delivered_tokens, pictures = Tokens(row.shown_tokens), Tokens(row.picture_tokens or 0)
        charge = Credits(0)
        if delivered_tokens.units and price is not None:
            charge = min(
                price.calculate_charge(
                    Tokens(row.prompt_tokens), delivered_tokens, pictures=pictures
                ),
                Credits(row.held),
            )
        usage = Usage(Tokens(row.prompt_tokens), delivered_tokens, audio=Seconds(row.seconds or 0))
        return AskBill(
            usage, charge, NanoUsd(row.key_held), is_estimated=True, picture_tokens=pictures
        )
