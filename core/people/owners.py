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
_OPEN, _USED = "open", "used"


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
        rows = await self._store.fetch(
            sa.select(schema.meta.c.name).where(schema.meta.c.name.startswith("owner/"))
        )
        parts = (row.name.split("/", 2) for row in rows)
        self._claimed = frozenset((platform, id_) for _, platform, id_ in parts)

    def among(self, platform: str, external_id: str) -> bool:
        """Whether this is an owner."""
        return (platform, external_id) in self._admins or (platform, external_id) in self._claimed

    def on(self, platform: str) -> list[str]:
        """The owners' ids on a platform."""
        return sorted(id_ for known, id_ in self._admins | self._claimed if known == platform)

    async def offer(self) -> str:
        """A new one-time code, for a link; good for a day."""
        code = CODE_PREFIX + secrets.token_urlsafe(_CODE_BYTES)
        until = self._clock.now_ms() + CODE_SECONDS * 1000
        await self._ledger.record(
            Insert(schema.meta, {"name": _row(code), "value": f"{_OPEN}:{until}"})
        )
        return code

    async def claim(self, code: str, platform: str, external_id: str) -> bool:
        """Makes the code's first opener an owner; False when it is unknown, used or too old."""
        name = _row(code)
        rows = await self._store.fetch(
            sa.select(schema.meta.c.value).where(schema.meta.c.name == name)
        )
        if not rows:
            return False
        state, _, until = rows[0].value.partition(":")
        if state != _OPEN or int(until) < self._clock.now_ms():
            return False
        owner = {"name": f"owner/{platform}/{external_id}", "value": str(self._clock.now_ms())}
        try:
            await self._ledger.record(
                Update(schema.meta, {"name": name}, {"value": _USED}, {"value": rows[0].value}),
                Insert(schema.meta, owner, ignore=True),
            )
        except CompanionRefused:
            return False
        await self.load()
        return True


def _row(code: str) -> str:
    return "owner-code/" + hashlib.sha256(code.encode()).hexdigest()
