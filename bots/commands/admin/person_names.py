"""How people call themselves on their platforms, for the operators' lists: asked there when it is
shown, kept in memory for an hour, and written down nowhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from cachetools import TTLCache

from bots.chat.types import NameLookup, Notifier
from core.clock import Clock
from core.errors import describe_failure
from core.users.service import Users
from core.users.types import Person

_log = logging.getLogger(__name__)

_NAME_SECONDS: Final = 3_600
_NAMES_MAX: Final = 10_000
#: A list is shown without the names that take longer.
_PATIENCE_SECONDS: Final = 3.0
_CHARS_MAX: Final = 40


class PersonNames:
    """Finds people's names on the platforms that this process has."""

    def __init__(self, *, users: Users, notifiers: Mapping[str, Notifier], clock: Clock) -> None:
        """`notifiers` by platform, as front ends start."""
        self._users, self._notifiers = users, notifiers
        self._names: TTLCache[tuple[str, str], str] = TTLCache(
            maxsize=_NAMES_MAX, ttl=_NAME_SECONDS, timer=clock.monotonic
        )

    async def describe(self, person: Person) -> str:
        """`Ann (@ann) · telegram:7`: their name where it is known, and by which they write first;
        their own id once they are erased."""
        identities = await self._users.list_identities(person.id)
        if not identities:
            return person.id
        platform, id_ = identities[0]
        name = await self._find_name(platform, id_)
        return f"{name} · {platform}:{id_}" if name else f"{platform}:{id_}"

    async def describe_all(self, people: Sequence[Person]) -> dict[str, str]:
        """The same of several people, by their ids."""
        described = await asyncio.gather(*(self.describe(person) for person in people))
        return {person.id: text for person, text in zip(people, described, strict=True)}

    async def _find_name(self, platform: str, id_: str) -> str:
        known = self._names.get((platform, id_))
        if known is not None:
            return known
        adapter: object = self._notifiers.get(platform)
        if not isinstance(adapter, NameLookup):
            return ""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                name = (await adapter.find_name(id_))[:_CHARS_MAX]
        except Exception as failure:  # noqa: BLE001 - a platform may refuse for any reason
            _log.info("no name of somebody on %s: %s", platform, describe_failure(failure))
            return ""
        self._names[platform, id_] = name
        return name
