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

from core.db import schema
from core.db.writes import Companion, Delete, Insert, Update
from core.ledger.ledger import Ledger

#: 128 bits, in a deep link's alphabet: too many to guess.
_CODE_BYTES = 16
OPERATOR_CODE_PREFIX = "own_"
OPERATOR_CODE_SECONDS = 86_400


Role = Literal["owner", "admin", "support"]
ROLES: tuple[Role, ...] = get_args(Role)


class Roles:
    """Knows which platform ids are operators, admins or support."""

    def __init__(self, *, ledger: Ledger, operators: Collection[tuple[str, str]]) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._configured: Mapping[tuple[str, str], Role] = dict.fromkeys(operators, "owner")
        self._roles: Mapping[tuple[str, str], Role] = self._configured

    async def load(self) -> None:
        """Reads the roles again, since other processes may have changed them."""
        table = schema.owner
        rows = await self._db.fetch(sa.select(table.c.platform, table.c.external_id, table.c.role))
        named = {(row.platform, row.external_id): row.role for row in rows if row.role in ROLES}
        self._roles = {**named, **self._configured}

    def get_role(self, platform: str, external_id: str) -> Role | None:
        """The role of a platform id; None for whoever has none."""
        return self._roles.get((platform, external_id))

    def list_admin_ids(self, platform: str) -> list[str]:
        """The ids on a platform of operators and admins."""
        return sorted(
            id_
            for (known, id_), role in self._roles.items()
            if known == platform and role != "support"
        )

    def list_operators(self) -> list[str]:
        """The operators, by the names by which they write: `telegram:123`."""
        return sorted(
            f"{platform}:{id_}" for (platform, id_), role in self._roles.items() if role == "owner"
        )

    def list_roles(self) -> list[tuple[str, Role]]:
        """Everyone who has a role, by the names by which they write."""
        return sorted((f"{platform}:{id_}", role) for (platform, id_), role in self._roles.items())

    async def set_role(
        self, platform: str, external_id: str, role: Role | None, companion: Companion
    ) -> None:
        """Gives a platform id a role, or takes it away; `companion` is written with it. Those of
        the settings keep theirs."""
        table = schema.owner
        key = {"platform": platform, "external_id": external_id}
        row = {**key, "since": self._clock.now_ms(), "role": role}
        given = () if role is None else (Insert(table, row),)
        await self._ledger.record(Delete(table, key), *given, companion)
        await self.load()

    async def create_operator_code(self) -> str:
        """A new one-time code for an operator's link; good for a day."""
        code = OPERATOR_CODE_PREFIX + secrets.token_urlsafe(_CODE_BYTES)
        until = self._clock.now_ms() + OPERATOR_CODE_SECONDS * 1000
        row = {"digest": _hash_code(code), "expires_at": until, "used_at": None}
        await self._ledger.record(Insert(schema.owner_code, row))
        return code

    async def claim_code(self, code: str, platform: str, external_id: str) -> bool:
        """Makes the code's first opener an operator; False when it is unknown, used or too old."""
        now, table = self._clock.now_ms(), schema.owner_code
        digest = _hash_code(code)
        rows = await self._db.fetch(
            sa.select(table.c.digest).where(table.c.digest == digest, table.c.expires_at >= now)
        )
        if not rows:
            return False
        row = {"platform": platform, "external_id": external_id, "since": now, "role": "owner"}
        if not await self._ledger.try_record(
            Update(table, {"digest": digest}, {"used_at": now}, {"used_at": None}),
            Insert(schema.owner, row, ignore=True),
        ):
            return False
        await self.load()
        return True


def _hash_code(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
