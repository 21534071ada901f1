"""A cache with a bounded lifetime and a bounded number of entries."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from core.clock import Clock

Name = TypeVar("Name", bound=Hashable)
Thing = TypeVar("Thing")


class Recent(Generic[Name, Thing]):
    """A cache that drops entries after `seconds`, and the oldest above `max_entries`."""

    def __init__(self, clock: Clock, *, seconds: float, most: int) -> None:
        self._clock, self._seconds, self._most = clock, seconds, most
        self._things: OrderedDict[Name, tuple[float, Thing]] = OrderedDict()

    def get(self, name: Name) -> Thing | None:
        """The value of a key, or None when there is none or it is too old."""
        found = self._things.get(name)
        if found is None or self._clock.monotonic() - found[0] > self._seconds:
            return None
        return found[1]

    def put(self, name: Name, thing: Thing) -> None:
        """Keeps a value under a key from now on."""
        self._things[name] = (self._clock.monotonic(), thing)
        self._things.move_to_end(name)
        if len(self._things) > self._most:
            self._things.popitem(last=False)

    def clear(self) -> None:
        """Drops every entry of the cache."""
        self._things.clear()
