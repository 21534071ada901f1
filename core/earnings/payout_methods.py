"""Where people are paid: one address for each method, sealed, as they gave it last."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import sqlalchemy as sa
from pydantic import SecretStr

from core.db import schema
from core.db.writes import Companion, Delete, Insert, Update, UpdateAll
from core.earnings.payouts import (
    PAYOUT_CHANGED,
    PAYOUT_METHODS,
    NoPayoutAddress,
    Payout,
    PayoutMethod,
)
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused
from core.notification import notification_row
from core.pool.vault import SealedColumn, Unsealable, Vault, VaultLocked

#: How often saving is tried again when two addresses are given at once.
_ATTEMPTS_MAX = 8
#: What the vault seals of payouts.
PAYOUT_ADDRESSES: Final = (
    SealedColumn(schema.payout_method, "id", "sealed", lambda row: f"payout-method/{row.id}"),
    SealedColumn(schema.payout, "id", "sealed", lambda row: f"payout/{row.id}"),
)


class PayoutMethods:
    """Keeps people's payout addresses, sealed; only whoever sends a payout ever sees one again."""

    def __init__(self, *, ledger: Ledger, vault: Vault) -> None:
        self._db, self._ledger, self._vault, self._clock = ledger.db, ledger, vault, ledger.clock

    async def save_address(
        self, person: str, method: PayoutMethod, address: SecretStr, hint: str
    ) -> None:
        """Saves an address; `hint` is what of it may be shown. Where it replaces another one,
        payouts wait and the person is notified on every platform."""
        for attempts_left in reversed(range(_ATTEMPTS_MAX)):
            companions = await self._build_companions(
                person, method, address.get_secret_value().encode(), hint
            )
            try:
                if companions:
                    await self._ledger.record(*companions)
            except CompanionRefused:  # another one, given at the same time, was faster
                if not attempts_left:
                    raise
            else:
                return

    async def _build_companions(
        self, person: str, method: PayoutMethod, plain: bytes, hint: str
    ) -> tuple[Companion, ...]:
        """The rows that save an address; none where it is saved already."""
        id_, now, table = f"{person}/{method}", self._clock.now_ms(), schema.payout_method
        sealed = self._vault.seal(f"payout-method/{id_}", plain)
        rows = await self._db.fetch(sa.select(table.c.sealed).where(table.c.id == id_))
        if not rows:
            row = {"id": id_, "sealed": sealed, "hint": hint, "changed_at": 0}
            return (Insert(table, row),)
        replaced = bytes(rows[0].sealed)
        # An address that nobody can unseal any more, since a master key was lost, counts as
        # another.
        with suppress(Unsealable, VaultLocked):
            if self._vault.unseal(f"payout-method/{id_}", replaced) == plain:
                return ()
        change = {"sealed": sealed, "hint": hint, "changed_at": now}
        notification = notification_row(
            self._clock,
            # Each address is replaced once: one that came in between is read again.
            cause_id=f"payout-method/{id_}/{replaced.hex()}",
            person=person,
            kind=PAYOUT_CHANGED,
            facts={"what": "moved", "method": method, "hint": hint},
        )
        return (Update(table, {"id": id_}, change), notification)

    async def get_hint(self, person: str, method: PayoutMethod) -> str:
        """What may be shown of a person's address; empty where they gave none."""
        rows = await self._fetch_rows(person, method)
        return str(rows[0].hint) if rows else ""

    async def get_changed_at(self, person: str, method: PayoutMethod) -> int:
        """When a person's address replaced another one (ms UTC); 0 when it never did."""
        rows = await self._fetch_rows(person, method)
        return int(rows[0].changed_at) if rows else 0

    async def seal_for_payout(
        self, person: str, method: PayoutMethod, payout: str
    ) -> tuple[bytes, str]:
        """The address sealed for one payout, and its hint; raises `NoPayoutAddress`, also where the
        master key that opens it is lost."""
        rows = await self._fetch_rows(person, method)
        if not rows:
            raise NoPayoutAddress
        plain = self._unseal(f"payout-method/{person}/{method}", bytes(rows[0].sealed))
        return self._vault.seal(f"payout/{payout}", plain), str(rows[0].hint)

    async def get_address(self, payout: Payout) -> SecretStr:
        """Where a payout goes; raises `NoPayoutAddress` once its address was deleted or can't be
        unsealed."""
        table = schema.payout
        rows = await self._db.fetch(sa.select(table.c.sealed).where(table.c.id == payout.id))
        if not rows or rows[0].sealed is None:
            raise NoPayoutAddress
        return SecretStr(self._unseal(f"payout/{payout.id}", bytes(rows[0].sealed)).decode())

    def _unseal(self, context: str, sealed: bytes) -> bytes:
        try:
            return self._vault.unseal(context, sealed)
        except (Unsealable, VaultLocked):
            raise NoPayoutAddress from None

    async def _fetch_rows(
        self, person: str, method: PayoutMethod
    ) -> list[sa.Row[tuple[bytes, str, int]]]:
        table = schema.payout_method
        return list(
            await self._db.fetch(
                sa.select(table.c.sealed, table.c.hint, table.c.changed_at).where(
                    table.c.id == f"{person}/{method}"
                )
            )
        )


def build_payout_erasure(person_ids: tuple[str, ...]) -> tuple[Companion, ...]:
    """The addresses of people deleted, and their payouts without them; amounts stay."""
    ids = tuple(f"{person}/{method}" for person in person_ids for method in PAYOUT_METHODS)
    return (
        UpdateAll(schema.payout, {"person": person_ids}, {"hint": "", "sealed": None}),
        Delete(schema.payout_method, {"id": ids}),
    )
