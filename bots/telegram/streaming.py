"""One answer as it grows in a chat, and its end, which is always delivered.

In private it grows as a draft: a preview that the app animates and that needs no message. A draft
carries no buttons, so a small message above it holds Stop and goes when the answer is there. Where
drafts are refused, and in groups, that message itself is edited and becomes the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, final

from bots.chat.types import Answer, Buttons, Progress
from bots.render.entity_style import EntityStyle, Shown
from bots.render.pieces import answer_pieces, progress_piece
from bots.render.throttle import Showing, Wait
from bots.telegram.sender import Outbox, Refused, Where
from core.clock import Clock
from core.errors import cause

_log = logging.getLogger(__name__)

#: What one message holds.
STYLE: Final = EntityStyle(4096, entities_max=100)

_DOTS: Final = Shown("…")
_TYPING_SECONDS: Final = 4.0
#: A draft fades after 30 seconds; it is sent again well before.
_DRAFT_SECONDS: Final = 20.0
#: Longer texts are laid out in a thread, so that no other chat waits for it.
_LONG_CHARS: Final = 8_000


@final
class Drafts:
    """A record of the chats that take drafts: they are tried everywhere, and not again where one
    was refused."""

    _REFUSED_MAX = 10_000

    def __init__(self) -> None:
        self._refused: set[int] = set()

    def welcome(self, where: Where) -> bool:
        """Whether to try a draft there."""
        return where.private and where.chat not in self._refused

    def refused(self, where: Where) -> None:
        """Remembers a refusal."""
        if len(self._refused) >= self._REFUSED_MAX:
            self._refused.clear()
        self._refused.add(where.chat)


@dataclass(frozen=True, slots=True)
class _Last:
    """A piece of the whole answer, which is shown as one message."""

    number: int
    shown: Shown
    buttons: Buttons = ()


@dataclass(slots=True)
class _Seen:
    """The state of what the reader has before them."""

    #: The message that holds Stop, or is being edited; none yet.
    holder: int | None = None
    #: What it shows.
    held: tuple[Shown, Buttons] | None = None
    draft: Shown | None = None
    drafted_at: float = 0.0
    text: bool = False
    #: The answer's messages.
    messages: list[int] = field(default_factory=list)


@final
class AnswerView:
    """A streaming message shows one ask's answer as it grows, in one destination."""

    def __init__(
        self,
        outbox: Outbox,
        drafts: Drafts,
        clock: Clock,
        where: Where,
        ask: str,
        *,
        started: Callable[[str], Awaitable[None]],
        reply_to: int | None = None,
        holder: int | None = None,
    ) -> None:
        self._outbox = outbox
        self._drafts = drafts
        self._clock = clock
        self._where = where
        self._draft_id = int.from_bytes(hashlib.blake2b(ask.encode(), digest_size=4).digest()) | 1
        self._started = started
        self._reply_to = reply_to
        self._seen = _Seen(holder=holder)
        # An answer that goes on in a message that is there is an edit of it.
        self._drafting = holder is None and drafts.welcome(where)
        self._showing = self._new_showing()
        self._tasks: list[asyncio.Task[None]] = []

    def offer(self, progress: Progress) -> None:
        """The answer so far; never waits."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._showing.run()),
                asyncio.create_task(self._keep_alive()),
            ]
            # What ended the showing of progress must not end the answer: `show_final` looks itself.
            self._tasks[0].add_done_callback(_told)
        self._showing.offer(progress)

    async def end(self, answer: Answer) -> list[str]:
        """Shows the whole answer and gives the ids of its messages.

        Raises `NotDelivered` or `TelegramRefused` when it can't be shown at all.
        """
        frames = await self._laid_out(answer)
        if self._tasks and not self._tasks[0].done():
            self._showing.finish(*frames)
            await self._tasks[0]
        else:
            self._showing = self._new_showing()
            self._showing.finish(*frames)
            await self._showing.run()
        await self.close()
        return [str(message) for message in self._seen.messages]

    async def tidy(self) -> None:
        """Takes away the message that held Stop, once the answer is in another."""
        holder = self._seen.holder
        if holder is not None and holder not in self._seen.messages and self._drafting:
            await self._quietly(self._outbox.delete(self._where, holder))

    async def abandon(self) -> None:
        """There will be no end: takes away what only waited for it."""
        await self.close()
        holder = self._seen.holder
        if holder is None:
            return
        if self._drafting or not self._seen.text:
            await self._quietly(self._outbox.delete(self._where, holder))
        else:
            await self._quietly(self._outbox.without_buttons(self._where, holder))

    async def close(self) -> None:
        """Ends what runs in the background."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _new_showing(self) -> Showing[Progress | _Last]:
        return Showing(self._show, self._outbox.budget(self._where))

    async def _laid_out(self, answer: Answer) -> list[Progress | _Last]:
        def lay_out() -> list[Shown]:
            pieces = answer_pieces(answer.text, STYLE, note=answer.note, footer=answer.footer)
            return [STYLE.render(piece) for piece in pieces]

        long = len(answer.text) > _LONG_CHARS
        shown = await asyncio.to_thread(lay_out) if long else lay_out()
        frames: list[Progress | _Last] = [
            _Last(number, each) for number, each in enumerate(shown[:-1])
        ]
        return [*frames, _Last(len(frames), shown[-1], answer.buttons)]

    async def _show(self, frame: Progress | _Last) -> None:
        if isinstance(frame, _Last):
            await self._land(frame)
            return
        try:
            if self._drafting:
                await self._draft(frame)
            else:
                await self._edit(frame)
        except Refused as refused:
            # The end will be tried all the same.
            _log.info("progress was refused: %s", refused.reason)

    async def _draft(self, frame: Progress) -> None:
        if frame.buttons and self._seen.holder is None:
            await self._hold(_DOTS, frame.buttons)
        if not frame.text.strip():
            return  # the app shows "typing"
        shown = STYLE.render(progress_piece(frame.text, STYLE, note=frame.note))
        fresh = self._clock.monotonic() - self._seen.drafted_at < _DRAFT_SECONDS
        if shown == self._seen.draft and fresh:
            return
        try:
            await self._outbox.draft(self._where, self._draft_id, shown)
        except Refused:
            self._drafts.refused(self._where)
            self._drafting = False
            await self._edit(frame)
            return
        self._seen.draft, self._seen.text = shown, True
        self._seen.drafted_at = self._clock.monotonic()

    async def _edit(self, frame: Progress) -> None:
        has_text = bool(frame.text.strip())
        shown = _DOTS
        if has_text:
            shown = STYLE.render(progress_piece(frame.text, STYLE, note=frame.note))
        if self._seen.holder is None:
            await self._hold(shown, frame.buttons)
        elif self._seen.held != (shown, frame.buttons):
            try:
                await self._outbox.edit(self._where, self._seen.holder, shown, frame.buttons)
            except Refused as refused:
                if refused.gone:
                    self._seen.holder = None
                raise
            self._seen.held = (shown, frame.buttons)
        self._seen.text = self._seen.text or has_text

    async def _hold(self, shown: Shown, buttons: Buttons) -> None:
        message = await self._outbox.send(self._where, shown, buttons, reply_to=self._reply_to)
        self._seen.holder, self._seen.held = message, (shown, buttons)
        await self._started(str(message))

    async def _land(self, last: _Last) -> None:
        holder = self._seen.holder
        if last.number == 0 and holder is not None and not self._drafting:
            try:
                await self._outbox.edit(self._where, holder, last.shown, last.buttons)
            except Refused as refused:
                _log.info("the answer's message could not be edited: %s", refused.reason)
            else:
                self._seen.messages.append(holder)
                return
        message = await self._outbox.send(
            self._where,
            last.shown,
            last.buttons,
            reply_to=self._reply_to if last.number == 0 else None,
        )
        self._seen.messages.append(message)

    async def _keep_alive(self) -> None:
        """Typing until the first text; then a draft again before it fades."""
        while not self._seen.text or self._drafting:
            if not self._seen.text:
                await self._quietly(self._outbox.typing(self._where))
            elif self._clock.monotonic() - self._seen.drafted_at >= _DRAFT_SECONDS:
                self._showing.again()
            await asyncio.sleep(_TYPING_SECONDS)

    @staticmethod
    async def _quietly(call: Awaitable[None]) -> None:
        """A courtesy: nobody is told when it fails."""
        with contextlib.suppress(Wait, Refused):
            await call


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        _log.warning("an answer could not be shown: %s", cause(failure))
