"""Keys in the database: their sealed rows, their budgets as accounts, their changes of state.

Every change is a companion with the state that it expects, so that processes never undo each
other's changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from core import chart, ids
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import Balance, CompanionRefused, Entry, Submission
from core.money import NanoUsd
from core.pool.providers.types import CallTarget
from core.pool.suppliers import Supplier, find_forbidden_kind
from core.pool.types import (
    BadBudget,
    DuplicateKey,
    KeyRecord,
    KeyRefused,
    KeyState,
    RejectionReason,
    UnknownKey,
    key_record_from_row,
)
from core.pool.vault import Vault, key_context

_TAIL_CHARS = 4
_ACCOUNT_ID = re.compile(r"[0-9a-f]{32}")


class KeyRepository:
    """The repository of keys reads and changes their rows and the accounts of their budgets."""

    def __init__(self, ledger: Ledger, vault: Vault) -> None:
        self._db, self._ledger = ledger.db, ledger
        self._vault, self._clock = vault, ledger.clock

    async def load(self) -> list[KeyRecord]:
        """Reads every key, with its money."""
        rows = await self._db.fetch(_select_with_terms().order_by(schema.key.c.id))
        records = [key_record_from_row(row) for row in rows]
        await self.refresh_balances(records)
        return records

    async def refresh_balances(self, records: Iterable[KeyRecord]) -> None:
        """Reads the balances of keys' accounts into their records."""
        records = list(records)
        accounts = [
            account(record.id)
            for record in records
            for account in (chart.key_quota, chart.returned_own_budget)
        ]
        balances = await self._ledger.read_balances(accounts)
        for record in records:
            record.update_balance(balances.get(chart.key_quota(record.id).code, Balance()))
            returned = balances.get(chart.returned_own_budget(record.id).code, Balance())
            record.returned = returned.credits_posted

    async def add(
        self,
        supplier: Supplier,
        secret: SecretStr,
        budget: NanoUsd,
        account_id: str,
        also: Sequence[Companion] = (),
    ) -> str:
        """Adds a key of the operator's own, its budget and `also` with it; answers with its id.
        Raises `KeyRefused`, `BadBudget`, `DuplicateKey`."""
        check_shape(supplier, secret, account_id)
        if budget.units <= 0:
            raise BadBudget(budget)
        id_, row = self.build_row(supplier, secret, account_id)
        submission = Submission(
            id=f"key/{id_}/opened",
            entries=(chart.fund_own_key(id_, budget),),
            companions=(row, *also),
        )
        try:
            await self._ledger.submit(submission)
        except CompanionRefused:
            raise DuplicateKey(supplier.name, row.row["tail"]) from None
        return id_

    def build_row(
        self,
        supplier: Supplier,
        secret: SecretStr,
        account_id: str,
        *,
        contributor: str | None = None,
        state: KeyState = "active",
        models: frozenset[str] | None = None,
        is_raise: bool = False,
    ) -> tuple[str, Insert]:
        """A new key's id and its row, for the submission that brings its budget; `is_raise` where
        the contributor gives more of a key that is in the pool already."""
        now, key = self._clock.now_ms(), secret.get_secret_value()
        id_ = ids.new_id("key", now)
        fingerprinted = f"{key}\0{id_}" if is_raise else key
        row = {
            "id": id_,
            "provider": supplier.name,
            "base_url": supplier.address,
            "tail": key[-_TAIL_CHARS:],
            "fingerprint": self._vault.fingerprint(supplier.name, fingerprinted),
            "sealed": self._seal(id_, supplier, secret, account_id),
            "owner": contributor,
            "state": state,
            "reason": "",
            "created_at": now,
            "state_at": now,
            "models": None if models is None else json.dumps(sorted(models)),
            "models_at": None if models is None else now,
        }
        return id_, Insert(schema.key, row)

    def unseal_secret(self, record: KeyRecord) -> tuple[SecretStr, str]:
        """The secret of a key, and Cloudflare's account id; raises `UnknownKey` when it is erased,
        `Unsealable`, `VaultLocked`."""
        if record.sealed is None:
            raise UnknownKey(record.id)
        context = key_context(record.id, record.provider, record.base_url)
        secret, _, account = self._vault.unseal(context, record.sealed).decode().partition("\n")
        return SecretStr(secret), account

    async def has_secret(self, supplier: Supplier, secret: SecretStr) -> bool:
        """Whether the key is or ever was in the pool."""
        return await self._find_by_secret(supplier, secret) is not None

    async def upsert_own_key(
        self, supplier: Supplier, secret: SecretStr, budget: NanoUsd, account_id: str
    ) -> str:
        """Adds an own key of the settings, or updates the row that it has already to the address
        and the budget given now; answers with its id. Raises as `add`."""
        found = await self._find_by_secret(supplier, secret)
        if found is None:
            try:
                return await self.add(supplier, secret, budget, account_id)
            except DuplicateKey:  # another process was first
                found = await self._find_by_secret(supplier, secret)
                if found is None:
                    raise
        check_shape(supplier, secret, account_id)
        if budget.units <= 0:
            raise BadBudget(budget)
        if found.contributor is not None:
            raise DuplicateKey(supplier.name, found.tail)
        await self._renew_own_key(found, supplier, secret, account_id)
        await self.set_budget(found, budget)
        return found.id

    async def set_budget(
        self, record: KeyRecord, budget: NanoUsd, also: Sequence[Companion] = ()
    ) -> None:
        """Raises an own key's budget, or lowers it by what is neither used nor held."""
        await self.refresh_balances([record])
        difference = budget.units - record.budget
        if difference == 0:
            return
        entry: Entry
        if difference > 0:
            entry = chart.fund_own_key(record.id, NanoUsd(difference))
        else:
            entry = chart.reclaim_own_budget(record.id, NanoUsd(-difference))
        # The id holds the budget before and after: processes that start together with the same
        # settings change it once.
        cause = f"key/{record.id}/budget/{record.credited}/{record.returned}/{budget.units}"
        await self._ledger.submit(Submission(cause, (entry,), tuple(also)))
        await self.refresh_balances([record])

    async def change_state(
        self,
        record: KeyRecord,
        state: KeyState,
        reason: str = "",
        *,
        until_ms: int = 0,
        also: Sequence[Companion] = (),
    ) -> bool:
        """Changes a key's state in its row, and `also` with it; False when the row is no longer in
        the record's state."""
        change = {
            "state": state,
            "reason": reason,
            "state_at": self._clock.now_ms(),
            "cooling_until": until_ms or None,
        }
        done = await self._update(record.id, change, {"state": record.state}, also)
        if done:
            record.state, record.reason, record.cooling_until = state, reason, until_ms
            record.local_changes += 1
        return done

    async def save_models(self, record: KeyRecord, models: frozenset[str]) -> None:
        """Saves which models a key can use."""
        record.models = models
        listed = json.dumps(sorted(models))
        change = {"models": listed, "models_at": self._clock.now_ms()}
        await self._update(record.id, change, {})
        # A reload that read the row before this was written may have put the older list back.
        record.models = models
        record.local_changes += 1

    async def revoke_key(
        self, record: KeyRecord, reason: str, also: Sequence[Companion] = ()
    ) -> None:
        """Withdraws a key: its secret is destroyed, and what is left of an own budget is taken
        back. Raises `UnknownKey` when its state changed elsewhere."""
        change = {
            "state": "withdrawn",
            "reason": reason,
            "state_at": self._clock.now_ms(),
            "cooling_until": None,
            "sealed": None,
        }
        if not await self._update(record.id, change, {"state": record.state}, also):
            raise UnknownKey(record.id)
        record.state, record.reason, record.sealed = "withdrawn", reason, None
        record.local_changes += 1
        if record.contributor is None:
            await self.refresh_balances([record])
            if record.headroom > 0:
                await self.set_budget(record, NanoUsd(record.budget - record.headroom))

    def build_target(self, record: KeyRecord, supplier: Supplier) -> CallTarget:
        """The target of a key's calls: the key, and the address that it is sealed for, never any
        other. Raises `UnknownKey` when it is erased, `Unsealable`, `VaultLocked`."""
        if record.base_url != supplier.address:
            raise UnknownKey(record.id)
        return CallTarget(supplier.base_url, *self.unseal_secret(record))

    async def _renew_own_key(
        self, record: KeyRecord, supplier: Supplier, secret: SecretStr, account_id: str
    ) -> None:
        is_final = record.state in {"dead", "withdrawn"}
        if record.base_url == supplier.address and self._can_unseal(record) and not is_final:
            return
        # The settings that hold the key may also give it a new address; nothing else can.
        change: dict[str, Any] = {
            "base_url": supplier.address,
            "sealed": self._seal(record.id, supplier, secret, account_id),
        }
        if is_final:
            change |= {"state": "active", "reason": "", "state_at": self._clock.now_ms()}
        if record.base_url != supplier.address:
            change |= {"models": None, "models_at": None}
        await self._update(record.id, change, {"base_url": record.base_url, "state": record.state})

    def _can_unseal(self, record: KeyRecord) -> bool:
        try:
            self.unseal_secret(record)
        except Refusal:  # erased, altered, or sealed by a master key that is lost
            return False
        return True

    async def _find_by_secret(self, supplier: Supplier, secret: SecretStr) -> KeyRecord | None:
        fingerprint = self._vault.fingerprint(supplier.name, secret.get_secret_value())
        rows = await self._db.fetch(
            _select_with_terms().where(schema.key.c.fingerprint == fingerprint)
        )
        return key_record_from_row(rows[0]) if rows else None

    async def _update(
        self,
        id_: str,
        change: Mapping[str, Any],
        expect: Mapping[str, Any],
        also: Sequence[Companion] = (),
    ) -> bool:
        return await self._ledger.try_record(
            Update(schema.key, {"id": id_}, change, expect=expect), *also
        )

    def _seal(self, id_: str, supplier: Supplier, secret: SecretStr, account_id: str) -> bytes:
        context = key_context(id_, supplier.name, supplier.address)
        plain = f"{secret.get_secret_value()}\n{account_id}"
        return self._vault.seal(context, plain.encode())


def _select_with_terms() -> sa.Select[Any]:
    """Selects keys, with the terms of those that were contributed."""
    key, contribution = schema.key, schema.contribution
    columns = (
        contribution.c.advance,
        contribution.c.inviter,
        contribution.c.takes_files,
        contribution.c.takes_programs,
        contribution.c.state.label("contribution"),
    )
    return sa.select(key, *columns).select_from(
        key.outerjoin(contribution, contribution.c.key == key.c.id)
    )


def check_shape(supplier: Supplier, secret: SecretStr, account_id: str) -> None:
    """Raises `KeyRefused` when a key, or Cloudflare's account id that comes with it, can't be
    right."""
    reason: RejectionReason | None = find_forbidden_kind(secret.get_secret_value())
    if reason is None and not supplier.matches_key_shape(secret.get_secret_value()):
        reason = "shape"
    elif reason is None and supplier.wire == "cloudflare" and not _ACCOUNT_ID.fullmatch(account_id):
        reason = "account"
    if reason is not None:
        raise KeyRefused(supplier.name, reason)
