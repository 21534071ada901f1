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

from bots.chat.types import IncomingMessage
from bots.render.plain_text import utf16_len

#: The parts of one paste, at most: about what the largest model's prompt could take in a chat.
_PARTS_MAX = 40
_SLASHES = ("/", "／")


@dataclass(slots=True)
class _Held:
    message: IncomingMessage
    part_count: int
    timer: asyncio.TimerHandle


@final
class PasteJoiner:
    """The joiner passes messages on, whole. `near_limit_units` counts UTF-16 units, as platforms
    do."""

    def __init__(
        self,
        forward: Callable[[IncomingMessage], None],
        *,
        near_limit_units: int = 3_500,
        pause_seconds: float = 1.0,
    ) -> None:
        self._forward = forward
        self._near_limit_units = near_limit_units
        self._pause_seconds = pause_seconds
        self._held: dict[tuple[str, str], _Held] = {}

    def is_waiting_for(self, place: str, sender: str) -> bool:
        """Whether the next message of this person here is taken as a part of the one held."""
        return (place, sender) in self._held

    def add(self, incoming: IncomingMessage) -> None:
        """Takes a message: passes it on now, or when its last part has come."""
        key = (incoming.place.code, incoming.sender.id)
        held = self._held.pop(key, None)
        whole, part_count = incoming, 1
        if held is not None:
            held.timer.cancel()
            starts_anew = incoming.audio is not None or incoming.text.startswith(_SLASHES)
            if held.part_count >= _PARTS_MAX or starts_anew:
                self._forward(held.message)
            else:
                # Apps cut at a space or a line's end and drop it.
                whole = replace(
                    held.message,
                    text=f"{held.message.text}\n{incoming.text}",
                    is_own=held.message.is_own and incoming.is_own,
                    more=(*held.message.more, incoming.message),
                )
                part_count = held.part_count + 1
        if utf16_len(incoming.text) < self._near_limit_units:
            self._forward(whole)
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._pause_seconds, self._release, key)
        self._held[key] = _Held(whole, part_count, timer)

    def flush_held(self) -> None:
        """Passes on whatever is held: the service stops, and these were already taken."""
        for key in list(self._held):
            self._release(key)

    def _release(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key)
        held.timer.cancel()
        self._forward(held.message)
