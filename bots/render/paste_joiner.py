"""What a person sent at once arrives as several messages: one again.

An app splits a long paste, sends an album's pictures one by one, and a forward apart from the
comment that was written on it.

A part near the platform's limit is held for a moment; what the same person sends to the same place
within it belongs to the same message. The whole keeps the id and the time of its first part, so
that a redelivery gives the same ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, final

from cachetools import TTLCache

from bots.chat.attachments import QuotedText
from bots.chat.types import IncomingMessage
from bots.render.plain_text import utf16_len

#: The parts of one paste, at most: about what the largest model's prompt could take in a chat.
_PARTS_MAX = 40
#: So long it is known which albums were passed on, and of so many.
_ALBUM_KNOWN_SECONDS: Final = 600.0
_ALBUMS_KNOWN_MAX: Final = 10_000
_SLASHES = ("/", "／")


@dataclass(slots=True)
class _Held:
    message: IncomingMessage
    part_count: int
    timer: asyncio.TimerHandle
    #: Its last part was so long that an app may have cut it there.
    is_cut: bool


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
        company_seconds: float = 0.25,
        album_seconds: float = 1.5,
    ) -> None:
        """`company_seconds`: so long a forward takes to come with the comment that was sent at the
        same tap; `album_seconds`: so long an album's next part takes, which is uploaded by itself.
        """
        self._forward = forward
        self._near_limit_units = near_limit_units
        self._pause_seconds = pause_seconds
        self._company_seconds = min(company_seconds, pause_seconds)
        self._album_seconds = album_seconds
        self._held: dict[tuple[str, str], _Held] = {}
        #: The messages that came of an album, by its place, its sender and its id.
        self._albums: TTLCache[tuple[str, str, str], frozenset[str]] = TTLCache(
            maxsize=_ALBUMS_KNOWN_MAX, ttl=_ALBUM_KNOWN_SECONDS, timer=_get_loop_time
        )

    def is_waiting_for(self, place: str, sender: str, album: str = "") -> bool:
        """Whether the next message of this person here, of this album if of any, is taken as a part
        of the one held, or of what was passed on."""
        return (place, sender) in self._held or (place, sender, album) in self._albums

    def add(self, incoming: IncomingMessage) -> bool:
        """Takes a message: passes it on now, or when its last part has come. False for a part of
        nothing that is held: it is for nobody."""
        key = (incoming.place.code, incoming.sender.id)
        held = self._held.pop(key, None)
        whole, part_count = incoming, 1
        if held is not None:
            held.timer.cancel()
            joined = self._join(held, incoming)
            if joined is None:
                self._forward(held.message)
            else:
                whole, part_count = joined, held.part_count + 1
        if whole is incoming and self._is_late(incoming):
            self._forward(replace(incoming, is_late=True))
            return True
        if whole.is_part:
            return False  # of nothing that is held, and not for the bot by itself
        self._remember_album(incoming)
        is_cut = utf16_len(incoming.text) >= self._near_limit_units
        pause = self._pause_seconds if is_cut else self._find_pause(incoming)
        if not pause:
            self._forward(whole)
            return True
        loop = asyncio.get_running_loop()
        timer = loop.call_later(pause, self._release, key)
        self._held[key] = _Held(whole, part_count, timer, is_cut)
        return True

    def _is_late(self, incoming: IncomingMessage) -> bool:
        """Whether it belongs to an album that was passed on without it. Recordings are never
        joined; what is delivered again came in time."""
        if not incoming.album or incoming.audio is not None:
            return False
        known = self._albums.get(_name_album(incoming))
        return known is not None and incoming.message not in known

    def _remember_album(self, incoming: IncomingMessage) -> None:
        if incoming.album and incoming.audio is None:
            name = _name_album(incoming)
            self._albums[name] = self._albums.get(name, frozenset()) | {incoming.message}

    def _find_pause(self, incoming: IncomingMessage) -> float:
        """How long company may come for it, in seconds."""
        if incoming.album:
            return self._album_seconds
        may_be_commented = incoming.place.private and incoming.audio is None
        return 0.0 if not may_be_commented or _is_command(incoming) else self._company_seconds

    @staticmethod
    def _join(held: _Held, incoming: IncomingMessage) -> IncomingMessage | None:
        """Both as one message; None where they aren't one."""
        first = held.message
        if held.part_count >= _PARTS_MAX or first.audio is not None or incoming.audio is not None:
            return None
        both = replace(
            first,
            attachments=(*first.attachments, *incoming.attachments),
            quotes=(*first.quotes, *incoming.quotes),
            more=(*first.more, incoming.message),
            may_fill_form=first.may_fill_form and incoming.may_fill_form,
        )
        if first.album and first.album == incoming.album:
            texts = filter(None, (first.text, incoming.text))
            return replace(both, text="\n\n".join(texts), is_own=first.is_own and incoming.is_own)
        if first.place.private and not (first.is_own and incoming.is_own):
            return _join_forward(both, first, incoming, is_cut=held.is_cut)
        is_rest = held.is_cut and not incoming.attachments
        if not is_rest or incoming.text.startswith(_SLASHES):
            return None
        # Apps cut at a space or a line's end and drop it.
        return replace(both, text=f"{first.text}\n{incoming.text}")

    def flush_held(self) -> None:
        """Passes on whatever is held: the service stops, and these were already taken."""
        for key in list(self._held):
            self._release(key)

    def _release(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key)
        held.timer.cancel()
        self._forward(held.message)


def _get_loop_time() -> float:
    return asyncio.get_running_loop().time()


def _name_album(message: IncomingMessage) -> tuple[str, str, str]:
    return message.place.code, message.sender.id, message.album


def _is_command(message: IncomingMessage) -> bool:
    return message.is_own and message.text.startswith(_SLASHES)


def _join_forward(
    both: IncomingMessage, first: IncomingMessage, second: IncomingMessage, *, is_cut: bool
) -> IncomingMessage | None:
    """A comment with what was forwarded, whichever came first: the comment is the person's own, the
    rest are words that it is about. Forwards without a comment are one text."""
    if _is_command(first) or _is_command(second):
        return None
    if first.is_own or second.is_own:
        own, forwarded = (first, second) if first.is_own else (second, first)
        quoted = (QuotedText("forward", forwarded.text),) if forwarded.text else ()
        return replace(
            both,
            text=own.text,
            is_own=True,
            replies_to=own.replies_to,
            quotes=(*both.quotes, *quoted),
        )
    separator = "\n" if is_cut else "\n\n"
    return replace(both, text=separator.join(filter(None, (first.text, second.text))))
