"""One answer as it grows in a channel, and its end, which is always delivered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

from bots.chat.types import Answer, Attachment, Progress
from bots.discord.sender import Outlet, Post, Refused
from bots.render.markdown_style import MarkdownStyle
from bots.render.pieces import answer_pieces, progress_piece
from bots.render.throttle import Budget, Showing, Wait
from core.errors import cause

_log = logging.getLogger(__name__)

#: What one message holds.
STYLE: Final = MarkdownStyle(2_000)
#: An answer of more messages than this goes into a file: an app that is not in the server may send
#: five messages for a command.
PIECES_MAX: Final = 5
_DOTS: Final = "…"
#: Longer texts are laid out in a thread, so that no other chat waits for it.
_LONG_CHARS: Final = 8_000


@dataclass(frozen=True, slots=True)
class _Last:
    """A piece of the whole answer, which is shown as one message."""

    number: int
    post: Post


@final
class AnswerView:
    """A streaming message shows one ask's answer as it grows, through one responder."""

    def __init__(
        self,
        outlet: Outlet,
        budget: Budget,
        *,
        started: Callable[[str], Awaitable[None]],
        remark: Callable[[], str] = lambda: "",
        holder: int | None = None,
    ) -> None:
        self._outlet = outlet
        self._budget = budget
        self._started = started
        #: What else is to be said in front of an answer that grows.
        self._remark = remark
        #: The message that is being edited; none yet.
        self._holder = holder
        self._held: Post | None = None
        self._has_text = False
        #: The answer's messages.
        self._messages: list[int] = []
        self._showing = self._new_showing()
        self._task: asyncio.Task[None] | None = None

    def offer(self, progress: Progress) -> None:
        """The answer so far; never waits."""
        if self._task is None:
            self._task = asyncio.create_task(self._showing.run())
            # What ended the showing of progress must not end the answer: `show_final` looks itself.
            self._task.add_done_callback(_told)
        self._showing.offer(progress)

    async def end(self, answer: Answer) -> list[str]:
        """Shows the whole answer and gives the ids of its messages.

        Raises `NotDelivered` or `DiscordRefused` when it can't be shown at all.
        """
        frames = await _laid_out(answer)
        if self._task is not None and not self._task.done():
            self._showing.finish(*frames)
            await self._task
        else:
            self._showing = self._new_showing()
            self._showing.finish(*frames)
            await self._showing.run()
        return [str(message) for message in self._messages]

    async def abandon(self) -> None:
        """There will be no end: takes away what only waited for it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._holder is None:
            return
        with contextlib.suppress(Wait, Refused):
            if self._has_text and self._held is not None:
                await self._outlet.edit(self._holder, Post(self._held.content))
            else:
                await self._outlet.delete(self._holder)

    def _new_showing(self) -> Showing[Progress | _Last]:
        return Showing(self._show, self._budget)

    async def _show(self, frame: Progress | _Last) -> None:
        if isinstance(frame, _Last):
            await self._land(frame)
            return
        try:
            await self._grow(frame)
        except Refused as refused:
            # The end will be tried all the same.
            _log.info("progress was refused: %s", refused.reason)

    async def _grow(self, frame: Progress) -> None:
        content = _DOTS
        note = "\n".join(filter(None, (self._remark(), frame.note)))
        if frame.text.strip():
            content = STYLE.render(progress_piece(frame.text, STYLE, note=note))
            self._has_text = True
        post = Post(content, frame.buttons)
        if post == self._held:
            return
        if self._holder is None:
            self._holder = await self._outlet.send(post)
            await self._started(str(self._holder))
        else:
            await self._outlet.edit(self._holder, post)
        self._held = post

    async def _land(self, last: _Last) -> None:
        if last.number == 0 and self._holder is not None:
            try:
                await self._outlet.edit(self._holder, last.post)
            except Refused as refused:
                _log.info("the answer's message could not be edited: %s", refused.reason)
            else:
                self._messages.append(self._holder)
                return
        self._messages.append(await self._outlet.send(last.post))


async def _laid_out(answer: Answer) -> list[Progress | _Last]:
    long = len(answer.text) > _LONG_CHARS
    posts = await asyncio.to_thread(_posts, answer) if long else _posts(answer)
    return [_Last(number, post) for number, post in enumerate(posts)]


def _posts(answer: Answer) -> list[Post]:
    """The messages of an answer: its pieces, or its first piece and all of it as a file."""
    pieces = answer_pieces(answer.text, STYLE, note=answer.note, footer=answer.footer)
    if len(pieces) > PIECES_MAX:
        file = Attachment("answer.md", answer.text.encode())
        footer = answer_pieces("", STYLE, footer=answer.footer)[0]
        return [
            Post(STYLE.render(pieces[0])),
            Post(STYLE.render(footer), answer.buttons, file),
        ]
    contents = [STYLE.render(piece) for piece in pieces]
    return [*map(Post, contents[:-1]), Post(contents[-1], answer.buttons)]


def _told(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        _log.warning("an answer could not be shown: %s", cause(failure))
