"""One answer as it grows in a channel, and its end, which is always delivered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

from bots.chat.types import Answer, AnswerProgress, Attachment
from bots.discord.sender import DiscordPost, DiscordRefused, Responder
from bots.render.markdown_style import MarkdownStyle
from bots.render.pieces import fit_progress, split_answer
from bots.render.throttle import (
    HOLDER_RETRY_SECONDS_MAX,
    ChatThrottle,
    RetryLater,
    ThrottledStream,
)
from core.errors import describe_failure

_log = logging.getLogger(__name__)

#: What one message holds.
STYLE: Final = MarkdownStyle(2_000)
#: An answer of more messages than this goes into a file: an app that is not in the server may send
#: five messages for a command.
PIECES_MAX: Final = 5
_DOTS: Final = "…"
#: Longer texts are laid out in a thread, so that no other chat waits for it.
_LONG_CHARS: Final = 2_000


@dataclass(frozen=True, slots=True)
class _FinalPiece:
    """A piece of the whole answer, which is shown as one message."""

    number: int
    post: DiscordPost


@final
class DiscordStreamingMessage:
    """A streaming message shows one ask's answer as it grows, through one responder."""

    def __init__(
        self,
        responder: Responder,
        throttle: ChatThrottle,
        *,
        on_started: Callable[[str], Awaitable[None]],
        make_note: Callable[[], str] = lambda: "",
        live_message: int | None = None,
        asked: str = "",
    ) -> None:
        """`asked` is the question, where nobody else saw it: it stands above the answer."""
        self._responder = responder
        self._throttle = throttle
        self._on_started = on_started
        #: What else is to be said in front of an answer that grows.
        self._make_note = make_note
        self._asked = asked
        #: The message that is being edited; none yet.
        self._live_message = live_message
        self._live_post: DiscordPost | None = None
        self._has_text = False
        #: The channel takes nothing more of ours.
        self._is_closed = False
        #: The answer's messages.
        self._messages: list[int] = []
        self._stream = self._new_stream()
        self._task: asyncio.Task[None] | None = None

    @property
    def was_accepted(self) -> bool:
        """Whether anything of the answer was accepted: an edit or a message."""
        return self._has_text or bool(self._messages)

    def show_progress(self, progress: AnswerProgress) -> None:
        """The answer so far; never waits."""
        if self._task is None:
            self._task = asyncio.create_task(self._stream.run())
            # What ended the showing of progress must not end the answer: `show_final` looks itself.
            self._task.add_done_callback(_log_failure)
        self._stream.put_frame(progress)

    async def send_holder(self, progress: AnswerProgress) -> None:
        """Sends the message that holds Stop, before there is an answer; raises `NotDelivered` or
        `DiscordRefused`."""
        await self._throttle.send_with_retries(
            lambda: self._update_live_message(progress), retry_seconds_max=HOLDER_RETRY_SECONDS_MAX
        )

    async def show_final(self, answer: Answer) -> list[str]:
        """Shows the whole answer and gives the ids of its messages.

        Raises `NotDelivered` or `DiscordRefused` when it can't be shown at all.
        """
        frames = await _lay_out_final(answer, self._asked)
        if self._task is not None and not self._task.done():
            self._stream.finish_with(*frames)
            await self._task
        else:
            self._stream = self._new_stream()
            self._stream.finish_with(*frames)
            await self._stream.run()
        return [str(message) for message in self._messages]

    async def abandon(self) -> None:
        """There will be no end: takes away what only waited for it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._live_message is None:
            return
        with contextlib.suppress(RetryLater, DiscordRefused):
            if self._has_text and self._live_post is not None:
                await self._responder.edit_post(
                    self._live_message, DiscordPost(self._live_post.content)
                )
            else:
                await self._responder.delete_message(self._live_message)

    def _new_stream(self) -> ThrottledStream[AnswerProgress | _FinalPiece]:
        return ThrottledStream(self._send_frame, self._throttle)

    async def _send_frame(self, frame: AnswerProgress | _FinalPiece) -> None:
        if isinstance(frame, _FinalPiece):
            await self._send_final_piece(frame)
            return
        if self._is_closed:
            return
        try:
            await self._update_live_message(frame)
        except DiscordRefused as refused:
            # The end will be tried all the same.
            self._is_closed = refused.is_place_closed
            _log.info("progress was refused: %s", refused.reason)

    async def _update_live_message(self, frame: AnswerProgress) -> None:
        content = _DOTS
        note = "\n".join(filter(None, (self._make_note(), frame.note)))
        if frame.text.strip():
            content = STYLE.render_piece(
                fit_progress(frame.text, STYLE, asked=self._asked, note=note)
            )
        post = DiscordPost(content, frame.buttons)
        if post == self._live_post:
            return
        if self._live_message is None:
            self._live_message = await self._responder.send_post(post)
            await self._on_started(str(self._live_message))
        else:
            await self._responder.edit_post(self._live_message, post)
        self._live_post = post
        self._has_text = self._has_text or content != _DOTS

    async def _send_final_piece(self, piece: _FinalPiece) -> None:
        if piece.number == 0 and self._live_message is not None:
            try:
                await self._responder.edit_post(self._live_message, piece.post)
            except DiscordRefused as refused:
                _log.info("the answer's message could not be edited: %s", refused.reason)
            else:
                self._messages.append(self._live_message)
                return
        self._messages.append(await self._responder.send_post(piece.post))


async def _lay_out_final(answer: Answer, asked: str) -> list[AnswerProgress | _FinalPiece]:
    long = len(answer.text) > _LONG_CHARS
    posts = (
        await asyncio.to_thread(_build_posts, answer, asked)
        if long
        else _build_posts(answer, asked)
    )
    return [_FinalPiece(number, post) for number, post in enumerate(posts)]


def _build_posts(answer: Answer, asked: str) -> list[DiscordPost]:
    """The messages of an answer: its pieces, or its first piece and all of it as a file."""
    pieces = split_answer(answer.text, STYLE, asked=asked, note=answer.note, footer=answer.footer)
    if len(pieces) > PIECES_MAX:
        file = Attachment("answer.md", answer.text.encode())
        footer = split_answer("", STYLE, footer=answer.footer)[0]
        return [
            DiscordPost(STYLE.render_piece(pieces[0])),
            DiscordPost(STYLE.render_piece(footer), answer.buttons, file),
        ]
    contents = [STYLE.render_piece(piece) for piece in pieces]
    return [*map(DiscordPost, contents[:-1]), DiscordPost(contents[-1], answer.buttons)]


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        _log.warning("an answer could not be shown: %s", describe_failure(failure))
