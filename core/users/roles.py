"""Roles: who may use the operator's commands.

Operators (role `owner`) are platform ids in the settings, and whoever opened the one-time link that
`creditbot init` prints; only the code's digest is kept. An operator names others: admins, who do
everything but name others, and support, who only read.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from typing import Literal, get_args

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused

#: 128 bits, in a deep link's alphabet: too many to guess.
_CODE_BYTES = 16
CODE_PREFIX = "own_"
CODE_SECONDS = 86_400


Role = Literal["owner", "admin", "support"]
ROLES: tuple[Role, ...] = get_args(Role)


class Owners:
    """Knows which platform ids are operators, admins or support."""

    def __init__(
        self, *, store: Store, ledger: Ledger, clock: Clock, admins: Collection[tuple[str, str]]
    ) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._settings: Mapping[tuple[str, str], Role] = dict.fromkeys(admins, "owner")
        self._roles: Mapping[tuple[str, str], Role] = self._settings

    async def load(self) -> None:
        """Reads the roles again, since other processes may have changed them."""
        table = schema.owner
        rows = await self._store.fetch(
            sa.select(table.c.platform, table.c.external_id, table.c.role)
        )
        named = {(row.platform, row.external_id): row.role for row in rows if row.role in ROLES}
        self._roles = {**named, **self._settings}

    def role(self, platform: str, external_id: str) -> Role | None:
        """The role of a platform id; None for whoever has none."""
        return self._roles.get((platform, external_id))

    def on(self, platform: str) -> list[str]:
        """The ids on a platform of operators and admins."""
        return sorted(
            id_
            for (known, id_), role in self._roles.items()
            if known == platform and role != "support"
        )

    def names(self) -> list[str]:
        """The operators, by the names by which they write: `telegram:123`."""
        return sorted(
            f"{platform}:{id_}" for (platform, id_), role in self._roles.items() if role == "owner"
        )

    def everyone(self) -> list[tuple[str, Role]]:
        """Everyone who has a role, by the names by which they write."""
        return sorted((f"{platform}:{id_}", role) for (platform, id_), role in self._roles.items())

    async def name(
        self, platform: str, external_id: str, role: Role | None, also: Companion
    ) -> None:
        """Gives a platform id a role, or takes it away; `companion` is written with it. Those of
        the settings keep theirs."""
        table = schema.owner
        key = {"platform": platform, "external_id": external_id}
        await self._ledger.record(Delete(table, key))
        if role is not None:
            row = {**key, "since": self._clock.now_ms(), "role": role}
            await self._ledger.record(Insert(table, row, ignore=True), also)
        else:
            await self._ledger.record(also)
        await self.load()

    async def offer(self) -> str:
        """A new one-time code for an operator's link; good for a day."""
        code = CODE_PREFIX + secrets.token_urlsafe(_CODE_BYTES)
        until = self._clock.now_ms() + CODE_SECONDS * 1000
        row = {"digest": _digest(code), "expires_at": until, "used_at": None}
        await self._ledger.record(Insert(schema.owner_code, row))
        return code

    async def claim(self, code: str, platform: str, external_id: str) -> bool:
        """Makes the code's first opener an operator; False when it is unknown, used or too old."""
        now, table = self._clock.now_ms(), schema.owner_code
        digest = _digest(code)
        rows = await self._store.fetch(
            sa.select(table.c.digest).where(table.c.digest == digest, table.c.expires_at >= now)
        )
        if not rows:
            return False
        owner = {"platform": platform, "external_id": external_id, "since": now, "role": "owner"}
        try:
            await self._ledger.record(
                Update(table, {"digest": digest}, {"used_at": now}, {"used_at": None}),
                Insert(schema.owner, owner, ignore=True),
            )
        except CompanionRefused:
            return False
        await self.load()
        return True


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
