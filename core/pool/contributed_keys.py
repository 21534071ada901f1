"""Contributed keys: their rows, what they lend to their contributors, when they are used up."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from pydantic import SecretStr

from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.db.writes import Delete, Insert, Update
from core.money import NanoUsd, Tokens
from core.pool.key_validation import ValidationResult
from core.pool.keys import KeyRepository
from core.pool.suppliers import Supplier
from core.pool.types import DuplicateKey, KeyRecord, UnknownKey
from core.pool.vault import Vault
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs

#: An ask draws on the advances of so many contributions: with the pockets that is ten accounts.
ADVANCES_MAX = 7

#: The smallest useful ask, in tokens in and out: a key that can't pay for it is used up.
MIN_ANSWER = (Tokens(100), Tokens(200))


class ContributedKeys:
    """Contributed keys serve other people's asks; `core.earnings` decides who gets what for
    them."""

    def __init__(
        self,
        *,
        keys: KeyRepository,
        vault: Vault,
        suppliers: Mapping[str, Supplier],
        catalogue: Catalogue,
        costs: Costs,
        clock: Clock,
    ) -> None:
        self._keys, self._vault, self._suppliers = keys, vault, suppliers
        self._catalogue, self._costs, self._clock = catalogue, costs, clock
        #: Every key by its id, as the pool last read them.
        self.records: Mapping[str, KeyRecord] = {}

    async def build_offered_key(
        self,
        supplier: str,
        secret: SecretStr,
        validation: ValidationResult,
        *,
        contributor: str,
        account_id: str = "",
    ) -> tuple[str, Insert]:
        """The id and the row of a person's key that was validated and doesn't serve yet; the caller
        writes the row. Raises `DuplicateKey` when the key is or ever was in the pool."""
        known_supplier = self._suppliers[supplier]
        if await self._keys.has_secret(known_supplier, secret):
            raise DuplicateKey(known_supplier.name, secret.get_secret_value()[-4:])
        return self._keys.build_row(
            known_supplier,
            secret,
            account_id,
            contributor=contributor,
            state="validated",
            models=validation.models,
        )

    def build_raised_key(self, key: str) -> tuple[str, Insert]:
        """The id and the row of a key with the same secret as another one, for more of it being
        contributed; it serves at once. Raises `UnknownKey`."""
        record = self._get_record(key)
        secret, account = self._keys.unseal_secret(record)
        return self._keys.build_row(
            self._suppliers[record.provider],
            secret,
            account,
            contributor=record.contributor,
            models=record.models,
            is_raise=True,
        )

    def fingerprint_organisation(self, supplier: str, id_: str) -> bytes | None:
        """A fingerprint that recognizes the same account at a supplier; None for no id."""
        return self._vault.fingerprint(f"account at {supplier}", id_) if id_ else None

    def list_advance_keys(self, person: str) -> tuple[str, ...]:
        """The keys that a person contributed and whose advance they may spend, the oldest first, as
        many as an ask may draw on."""
        keys = (
            record.id
            for record in self.records.values()
            if record.contributor == person and record.lends_advance
        )
        return tuple(sorted(keys)[:ADVANCES_MAX])

    def calculate_min_answer_cost(self, key: str) -> NanoUsd:
        """What the smallest useful answer of a key costs, in nano-dollars; zero when it serves no
        model."""
        record = self._get_record(key)
        now = self._clock.now_ms()
        costs = [
            self._costs.calculate_max_cost(route, *MIN_ANSWER, now)
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == record.provider
            and model.per == "token"
            and self._costs.has_cost(route)
            and record.has_model(route.model, now)
        ]
        return min(costs, default=NanoUsd(0))

    def _get_record(self, key: str) -> KeyRecord:
        if key not in self.records:
            raise UnknownKey(key)
        return self.records[key]


def activate_offered_key(key: str, contributor: str) -> Update:
    """A key that was validated serves from now on, if it still is its contributor's."""
    expected = {"state": "validated", "owner": contributor}
    return Update(schema.key, {"id": key}, {"state": "active"}, expected)


def delete_offered_key(key: str) -> Delete:
    """Nothing is kept of a key that never served."""
    return Delete(schema.key, {"id": key, "state": "validated"})


def end_contributed_key(
    key: str, reason: str, now_ms: int, *, state: str, was: str, contributor: str
) -> Update:
    """A key serves no more and its secret is destroyed, if its state still is what it `was`, and
    its contributor the same."""
    change = {"state": state, "reason": reason, "state_at": now_ms, "sealed": None}
    return Update(schema.key, {"id": key}, change, {"state": was, "owner": contributor})


def guard_contributor(key: str, contributor: str) -> Update:
    """A companion that refuses its submission when a key has another contributor by then."""
    same = {"owner": contributor}
    return Update(schema.key, {"id": key}, same, same)


async def plan_key_merge(db: Database, merged: str, survivor: str) -> list[Update]:
    """The keys of a person who becomes a part of another are the other's."""
    rows = await db.fetch(sa.select(schema.key.c.id).where(schema.key.c.owner == merged))
    return [
        Update(schema.key, {"id": row.id}, {"owner": survivor}, {"owner": merged}) for row in rows
    ]
