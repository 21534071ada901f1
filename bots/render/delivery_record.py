"""What chats did with what was last sent to them: whether they took it, or refused it for good."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, final

from core.clock import Clock

#: A chat that took a message within the hour is taken to take the next; one that refused for good
#: within it is not tried again by what was left to be delivered.
_REMEMBERED_SECONDS: Final = 3_600.0
_PLACES_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Delivery:
    """What came of the newest message to a place, and when."""

    was_accepted: bool
    at: float


@final
class DeliveryRecord:
    """The record of which places took what was last sent to them, by their codes; of this process,
    and lost with it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest: OrderedDict[str, _Delivery] = OrderedDict()

    def record_accepted(self, place: str) -> None:
        """A message was accepted there."""
        self._record(place, was_accepted=True)

    def record_refused(self, place: str) -> None:
        """The place refused for good."""
        self._record(place, was_accepted=False)

    def accepted_lately(self, place: str) -> bool:
        """Whether the newest message was accepted, within the hour."""
        newest = self._find(place)
        return newest is not None and newest.was_accepted

    def refused_lately(self, place: str) -> bool:
        """Whether the newest message was refused for good, within the hour."""
        newest = self._find(place)
        return newest is not None and not newest.was_accepted

    def _find(self, place: str) -> _Delivery | None:
        newest = self._newest.get(place)
        if newest is None or self._clock.monotonic() - newest.at > _REMEMBERED_SECONDS:
            return None
        return newest

    def _record(self, place: str, *, was_accepted: bool) -> None:
        self._newest[place] = _Delivery(was_accepted, self._clock.monotonic())
        self._newest.move_to_end(place)
        while len(self._newest) > _PLACES_MAX:
            self._newest.popitem(last=False)
