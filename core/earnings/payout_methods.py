"""Where people are paid: one address for each method, sealed, as they gave it last."""

from __future__ import annotations

from contextlib import suppress

import sqlalchemy as sa
from pydantic import SecretStr

from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.earnings.payouts import PAYOUT, Method, NoAddress, Payout
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.notification import notice
from core.pool.vault import Unsealable, Vault, VaultLocked

#: How often saving is tried again when two addresses are given at once.
_TRIES = 8


class Addresses:
    """Keeps people's payout addresses, sealed; only whoever sends a payout ever sees one again."""

    def __init__(self, *, store: Store, ledger: Ledger, vault: Vault, clock: Clock) -> None:
        self._store, self._ledger, self._vault, self._clock = store, ledger, vault, clock

    async def keep(self, person: str, method: Method, address: SecretStr, hint: str) -> None:
        """Saves an address; `hint` is what of it may be shown. Where it replaces another one,
        payouts wait and the person is notified on every platform."""
        for left in reversed(range(_TRIES)):
            companions = await self._kept(person, method, address.get_secret_value().encode(), hint)
            try:
                if companions:
                    await self._ledger.record(*companions)
            except CompanionRefused:  # another one, given at the same time, was faster
                if not left:
                    raise
            else:
                return

    async def _kept(
        self, person: str, method: Method, plain: bytes, hint: str
    ) -> tuple[Companion, ...]:
        """The rows that save an address; none where it is saved already."""
        id_, now, table = f"{person}/{method}", self._clock.now_ms(), schema.payout_method
        sealed = self._vault.seal(f"payout-method/{id_}", plain)
        rows = await self._store.fetch(sa.select(table.c.sealed).where(table.c.id == id_))
        if not rows:
            row = {"id": id_, "sealed": sealed, "hint": hint, "changed_at": 0}
            return (Insert(table, row),)
        # An address that nobody can unseal any more, since a master key was lost, counts as
        # another.
        with suppress(Unsealable, VaultLocked):
            if self._vault.unseal(f"payout-method/{id_}", bytes(rows[0].sealed)) == plain:
                return ()
        change = {"sealed": sealed, "hint": hint, "changed_at": now}
        told = notice(
            self._clock,
            cause_id=f"payout-method/{id_}/{now}",
            person=person,
            kind=PAYOUT,
            facts={"what": "moved", "method": method, "hint": hint},
        )
        return (Update(table, {"id": id_}, change), told)

    async def hint(self, person: str, method: Method) -> str:
        """What may be shown of a person's address; empty where they gave none."""
        rows = await self._rows(person, method)
        return str(rows[0].hint) if rows else ""

    async def changed_at(self, person: str, method: Method) -> int:
        """When a person's address replaced another one (ms UTC); 0 when it never did."""
        rows = await self._rows(person, method)
        return int(rows[0].changed_at) if rows else 0

    async def for_payout(self, person: str, method: Method, payout: str) -> tuple[bytes, str]:
        """The address sealed for one payout, and its hint; raises `NoPayoutAddress`, also where the
        master key that opens it is lost."""
        rows = await self._rows(person, method)
        if not rows:
            raise NoAddress
        plain = self._opened(f"payout-method/{person}/{method}", bytes(rows[0].sealed))
        return self._vault.seal(f"payout/{payout}", plain), str(rows[0].hint)

    async def of(self, payout: Payout) -> SecretStr:
        """Where a payout goes; raises `NoPayoutAddress` once its address was deleted or can't be
        unsealed."""
        table = schema.payout
        rows = await self._store.fetch(sa.select(table.c.sealed).where(table.c.id == payout.id))
        if not rows or rows[0].sealed is None:
            raise NoAddress
        return SecretStr(self._opened(f"payout/{payout.id}", bytes(rows[0].sealed)).decode())

    def _opened(self, context: str, sealed: bytes) -> bytes:
        try:
            return self._vault.unseal(context, sealed)
        except (Unsealable, VaultLocked):
            raise NoAddress from None

    async def _rows(self, person: str, method: Method) -> list[sa.Row[tuple[bytes, str, int]]]:
        table = schema.payout_method
        return list(
            await self._store.fetch(
                sa.select(table.c.sealed, table.c.hint, table.c.changed_at).where(
                    table.c.id == f"{person}/{method}"
                )
            )
        )
