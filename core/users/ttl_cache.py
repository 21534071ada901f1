"""A cache with a bounded lifetime and a bounded number of entries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from core.clock import Clock

Name = TypeVar("Name", bound=Hashable)
Thing = TypeVar("Thing")


class TtlCache(Generic[Name, Thing]):
    """A cache that drops entries after `seconds`, and the oldest above `max_entries`."""

    def __init__(self, clock: Clock, *, seconds: float, max_entries: int) -> None:
        self._clock, self._seconds, self._max_entries = clock, seconds, max_entries
        self._entries: OrderedDict[Name, tuple[float, Thing]] = OrderedDict()

    def get(self, key: Name) -> Thing | None:
        """The value of a key, or None when there is none or it is too old."""
        entry = self._entries.get(key)
        if entry is None or self._clock.monotonic() - entry[0] > self._seconds:
            return None
        return entry[1]

    def put(self, key: Name, value: Thing) -> None:
        """Keeps a value under a key from now on."""
        self._entries[key] = (self._clock.monotonic(), value)
        self._entries.move_to_end(key)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Drops every entry of the cache."""
        self._entries.clear()
