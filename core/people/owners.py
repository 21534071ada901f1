"""Owners: who may use the operator's commands.

Admins are platform ids in the settings; one more way is the one-time link that `creditbot init`
prints, whose opener becomes an owner. Only the code's digest is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection

import sqlalchemy as sa

from core.clock import Clock
from core.ledger import CompanionRefused, Ledger
from core.store import Insert, Store, Update, schema

#: ≥ 50 bits (security.md), in a deep link's alphabet.
_CODE_BYTES = 16
CODE_PREFIX = "own_"
CODE_SECONDS = 86_400


class Owners:
    """The admins of settings, and those who opened a link."""

    def __init__(
        self, *, store: Store, ledger: Ledger, clock: Clock, admins: Collection[tuple[str, str]]
    ) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._admins = frozenset(admins)
        self._claimed: frozenset[tuple[str, str]] = frozenset()

    async def load(self) -> None:
        """Reads who opened a link, here or on another process."""
        table = schema.owner
        rows = await self._store.fetch(sa.select(table.c.platform, table.c.external_id))
        self._claimed = frozenset((row.platform, row.external_id) for row in rows)

    def among(self, platform: str, external_id: str) -> bool:
        """Whether this is an owner."""
        return (platform, external_id) in self._admins or (platform, external_id) in self._claimed

    def on(self, platform: str) -> list[str]:
        """The owners' ids on a platform."""
        return sorted(id_ for known, id_ in self._admins | self._claimed if known == platform)

    def names(self) -> list[str]:
        """All of them, by the names by which they write: `telegram:123`."""
        return sorted(f"{platform}:{id_}" for platform, id_ in self._admins | self._claimed)

    async def offer(self) -> str:
        """A new one-time code, for a link; good for a day."""
        code = CODE_PREFIX + secrets.token_urlsafe(_CODE_BYTES)
        until = self._clock.now_ms() + CODE_SECONDS * 1000
        row = {"digest": _digest(code), "expires_at": until, "used_at": None}
        await self._ledger.record(Insert(schema.owner_code, row))
        return code

    async def claim(self, code: str, platform: str, external_id: str) -> bool:
        """Makes the code's first opener an owner; False when it is unknown, used or too old."""
        now, table = self._clock.now_ms(), schema.owner_code
        digest = _digest(code)
        rows = await self._store.fetch(
            sa.select(table.c.digest).where(table.c.digest == digest, table.c.expires_at >= now)
        )
        if not rows:
            return False
        owner = {"platform": platform, "external_id": external_id, "since": now}
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
