"""A long paste arrives as several messages, because the sender's app split it: one again.

A part near the platform's limit is held for a moment; what the same person sends to the same place
within it belongs to the same message. The whole keeps the id and the time of its first part, so
that a redelivery gives the same ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

from bots.chat.types import Incoming
from bots.render.plain_text import utf16_len

#: The parts of one paste, at most: about what the largest model's prompt could take in a chat.
_PARTS_MAX = 40
_SLASHES = ("/", "／")


@dataclass(slots=True)
class _Held:
    whole: Incoming
    parts: int
    timer: asyncio.TimerHandle


@final
class Joining:
    """The joiner passes messages on, whole. `near_limit_units` counts UTF-16 units, as platforms
    do."""

    def __init__(
        self,
        pass_on: Callable[[Incoming], None],
        *,
        near_units: int = 3_500,
        pause_seconds: float = 1.0,
    ) -> None:
        self._pass_on = pass_on
        self._near_units = near_units
        self._pause_seconds = pause_seconds
        self._held: dict[tuple[str, str], _Held] = {}

    def expects(self, place: str, sender: str) -> bool:
        """Whether the next message of this person here is taken as a part of the one held."""
        return (place, sender) in self._held

    def add(self, incoming: Incoming) -> None:
        """Takes a message: passes it on now, or when its last part has come."""
        key = (incoming.place.code, incoming.sender.id)
        held = self._held.pop(key, None)
        whole, parts = incoming, 1
        if held is not None:
            held.timer.cancel()
            apart = incoming.audio is not None or incoming.text.startswith(_SLASHES)
            if held.parts >= _PARTS_MAX or apart:
                self._pass_on(held.whole)
            else:
                # Apps cut at a space or a line's end and drop it.
                whole = replace(
                    held.whole,
                    text=f"{held.whole.text}\n{incoming.text}",
                    more=(*held.whole.more, incoming.message),
                )
                parts = held.parts + 1
        if utf16_len(incoming.text) < self._near_units:
            self._pass_on(whole)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._pause_seconds, self._release, key)
        self._held[key] = _Held(whole, parts, timer)

    def flush(self) -> None:
        """Passes on whatever is held: the service stops, and these were already taken."""
        for key in list(self._held):
            self._release(key)

    def _release(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key)
        held.timer.cancel()
        self._pass_on(held.whole)
