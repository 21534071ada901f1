"""What the database says, read by the test itself, whatever the services say."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core import chart
from core.asks.audit import audit_asks
from core.db import schema
from core.db.database import Database
from core.ledger.audit import check_ledger
from core.ledger.types import AnyAccount, Balance
from core.money import NanoUsd


class Books:
    """Reads balances, asks and usage; and audits."""

    def __init__(self, store: Database) -> None:
        self._store = store

    async def balances(self, *accounts: AnyAccount) -> list[Balance]:
        table = schema.account.c
        rows = await self._store.fetch(
            sa.select(
                *(table.code, table.debits_pending, table.debits_posted),
                *(table.credits_pending, table.credits_posted),
            ).where(table.code.in_([account.code for account in accounts]))
        )
        found = {row[0]: Balance(*row[1:]) for row in rows}
        return [found.get(account.code, Balance()) for account in accounts]

    async def credits(self, who: str, platform: str = "telegram") -> int:
        """What somebody has, holds not taken off."""
        table = schema.identity.c
        rows = await self._store.fetch(
            sa.select(table.person).where(table.platform == platform, table.external_id == who)
        )
        pockets = await self.balances(*chart.pockets(rows[0].person))
        return sum(pocket.posted for pocket in pockets)

    async def spent(self) -> int:
        """Credits that answers of gpt-4 brought."""
        return (await self.balances(chart.spent("gpt-4")))[0].posted

    async def keys(self) -> list[Balance]:
        """The dollars of each key, in order of its id."""
        rows = await self._store.fetch(sa.select(schema.key.c.id).order_by(schema.key.c.id))
        return await self.balances(*(chart.key_quota(row.id) for row in rows))

    async def ask(self, ask: str) -> sa.Row[Any] | None:
        rows = await self._store.fetch(sa.select(schema.ask).where(schema.ask.c.id == ask))
        return rows[0] if rows else None

    async def open(self) -> int:
        """How many asks nobody has settled."""
        return len(await self._asks(schema.ask.c.state == "open"))

    async def unlanded(self) -> int:
        """How many asks' answers are not known to be in their chats."""
        return len(await self._asks(schema.ask.c.landed_at.is_(None)))

    async def _asks(self, *where: sa.ColumnElement[bool]) -> list[str]:
        rows = await self._store.fetch(sa.select(schema.ask.c.id).where(*where))
        return [row.id for row in rows]

    async def usage(self) -> dict[str, sa.Row[Any]]:
        """What was booked, by ask."""
        rows = await self._store.fetch(sa.select(schema.usage))
        return {row.ask: row for row in rows}

    async def cost(self) -> NanoUsd:
        """What all answers cost, by the usage rows."""
        return NanoUsd(sum(row.cost for row in (await self.usage()).values()))

    async def are_clean(self) -> None:
        """Both audits find nothing, no ask is open, nothing is held, no key is overdrawn."""
        found, asks = await check_ledger(self._store), await audit_asks(self._store)
        assert (found.findings, asks.findings) == ((), ())
        assert (found.holds, asks.open_count) == (0, 0)
        for key in await self.keys():
            assert key.debits_pending == 0
            assert 0 <= key.debits_posted <= key.credits_posted
