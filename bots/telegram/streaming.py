"""One answer as it grows in a chat, and its end, which is always delivered.

In private it grows as a draft: a preview that the app animates and that needs no message. A draft
carries no buttons, so a small message above it holds Stop and goes when the answer is there. Where
drafts are refused, and in groups, that message itself is edited and becomes the answer.

Of all messages of an answer one makes a sound: the first one that can be read. A message that only
holds Stop is silent, and so is whatever follows the first.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, final

from bots.chat.types import Answer, AnswerProgress, Attachment, ButtonRows
from bots.render.entity_style import EntityStyle, FormattedText
from bots.render.pieces import fit_progress, split_answer
from bots.render.throttle import HOLDER_RETRY_SECONDS_MAX, RetryLater, ThrottledStream
from bots.telegram.sender import TelegramDestination, TelegramRefused, TelegramSender
from core.clock import Clock
from core.errors import describe_failure

_log = logging.getLogger(__name__)

#: What one message holds.
STYLE: Final = EntityStyle(4096, entities_max=100)

#: An answer of more messages than this goes into a file: a group takes twenty a minute.
PIECES_MAX: Final = 8
_DOTS: Final = FormattedText("…")
_TYPING_SECONDS: Final = 4.0
#: A draft fades after 30 seconds; it is sent again well before.
_DRAFT_SECONDS: Final = 20.0
#: Longer texts are laid out in a thread, so that no other chat waits for it.
_LONG_CHARS: Final = 2_000


@final
class DraftSupport:
    """A record of the chats that take drafts: they are tried everywhere, and not again where one
    was refused."""

    _REFUSED_MAX = 10_000

    def __init__(self) -> None:
        self._refused: set[int] = set()

    def accepts_drafts(self, destination: TelegramDestination) -> bool:
        """Whether to try a draft there."""
        return destination.private and destination.chat not in self._refused

    def record_refusal(self, destination: TelegramDestination) -> None:
        """Remembers a refusal."""
        if len(self._refused) >= self._REFUSED_MAX:
            self._refused.clear()
        self._refused.add(destination.chat)


@dataclass(frozen=True, slots=True)
class _FinalPiece:
    """A piece of the whole answer, which is shown as one message."""

    number: int
    shown: FormattedText
    buttons: ButtonRows = ()
    #: Shown instead of a text.
    file: Attachment | None = None


@dataclass(slots=True)
class _ShownState:
    """The state of what the reader has before them."""

    #: The message that holds Stop, or is being edited; none yet.
    live_message: int | None = None
    #: What it shows.
    live_content: tuple[FormattedText, ButtonRows] | None = None
    #: It made no sound: the answer comes in another one, which does.
    is_live_silent: bool = False
    draft: FormattedText | None = None
    drafted_at: float = 0.0
    has_text: bool = False
    #: The chat takes nothing more of ours.
    is_closed: bool = False
    #: The answer's messages.
    messages: list[int] = field(default_factory=list)


@final
@dataclass(frozen=True, slots=True)
class TelegramAnchor:
    """Where in its chat an answer appears: as a reply to a message, or in one that is there."""

    reply_to: int | None = None
    live_message: int | None = None


class TelegramStreamingMessage:
    """A streaming message shows one ask's answer as it grows, in one destination."""

    def __init__(
        self,
        sender: TelegramSender,
        drafts: DraftSupport,
        clock: Clock,
        destination: TelegramDestination,
        ask: str,
        *,
        on_started: Callable[[str], Awaitable[None]],
        anchor: TelegramAnchor,
    ) -> None:
        self._sender = sender
        self._drafts = drafts
        self._clock = clock
        self._destination = destination
        self._draft_id = int.from_bytes(hashlib.blake2b(ask.encode(), digest_size=4).digest()) | 1
        self._on_started = on_started
        self._reply_to = anchor.reply_to
        self._shown = _ShownState(live_message=anchor.live_message)
        # An answer that goes on in a message that is there is an edit of it.
        self._uses_draft = anchor.live_message is None and drafts.accepts_drafts(destination)
        self._stream = self._new_stream()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def was_accepted(self) -> bool:
        """Whether anything of the answer was accepted: a draft, an edit or a message."""
        return self._shown.has_text or bool(self._shown.messages)

    def show_progress(self, progress: AnswerProgress) -> None:
        """The answer so far; never waits."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._stream.run()),
                asyncio.create_task(self._keep_alive()),
            ]
            # What ended the showing of progress must not end the answer: `show_final` looks itself.
            self._tasks[0].add_done_callback(_log_failure)
        self._stream.put_frame(progress)

    async def send_holder(self, progress: AnswerProgress) -> None:
        """Sends the message that holds Stop, before there is an answer; raises `NotDelivered` or
        `TelegramRefused`."""
        await self._sender.get_throttle(self._destination).send_with_retries(
            lambda: self._send_live_message(_DOTS, progress.buttons),
            retry_seconds_max=HOLDER_RETRY_SECONDS_MAX,
        )

    async def show_final(self, answer: Answer) -> list[str]:
        """Shows the whole answer and gives the ids of its messages.

        Raises `NotDelivered` or `TelegramRefused` when it can't be shown at all.
        """
        long = len(answer.text) > _LONG_CHARS
        pieces = await asyncio.to_thread(_build_pieces, answer) if long else _build_pieces(answer)
        try:
            await self._show_pieces(_put_into_file(answer, pieces))
        except TelegramRefused as refused:
            if len(pieces) <= PIECES_MAX or len(self._shown.messages) != 1:
                raise
            # The chat takes no files: the rest comes as the messages it would have been.
            _log.info("the answer's file was refused: %s", refused.reason)
            await self._show_pieces(pieces[1:])
        await self.close()
        return [str(message) for message in self._shown.messages]

    async def _show_pieces(self, frames: list[_FinalPiece]) -> None:
        if self._tasks and not self._tasks[0].done():
            self._stream.finish_with(*frames)
            await self._tasks[0]
        else:
            self._stream = self._new_stream()
            self._stream.finish_with(*frames)
            await self._stream.run()

    async def remove_stop_message(self) -> None:
        """Takes away the message that held Stop, once the answer is in another."""
        live_message = self._shown.live_message
        if (
            live_message is not None
            and live_message not in self._shown.messages
            and (self._uses_draft or self._shown.is_live_silent)
        ):
            await self._try_quietly(self._sender.delete_message(self._destination, live_message))

    async def abandon(self) -> None:
        """There will be no end: takes away what only waited for it."""
        await self.close()
        live_message = self._shown.live_message
        if live_message is None:
            return
        if self._uses_draft or not self._shown.has_text:
            await self._try_quietly(self._sender.delete_message(self._destination, live_message))
        else:
            await self._try_quietly(self._sender.remove_buttons(self._destination, live_message))

    async def close(self) -> None:
        """Ends what runs in the background."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _new_stream(self) -> ThrottledStream[AnswerProgress | _FinalPiece]:
        return ThrottledStream(self._send_frame, self._sender.get_throttle(self._destination))

    async def _send_frame(self, frame: AnswerProgress | _FinalPiece) -> None:
        if isinstance(frame, _FinalPiece):
            await self._send_final_piece(frame)
            return
        if self._shown.is_closed:
            return
        try:
            if self._uses_draft:
                await self._send_draft(frame)
            else:
                await self._edit_live_message(frame)
        except TelegramRefused as refused:
            # The end will be tried all the same.
            self._shown.is_closed = refused.is_place_closed
            _log.info("progress was refused: %s", refused.reason)

    async def _send_draft(self, frame: AnswerProgress) -> None:
        if frame.buttons and self._shown.live_message is None:
            await self._send_live_message(_DOTS, frame.buttons)
        if not frame.text.strip():
            return  # the app shows "typing"
        shown = STYLE.render_piece(fit_progress(frame.text, STYLE, note=frame.note))
        is_still_shown = self._clock.monotonic() - self._shown.drafted_at < _DRAFT_SECONDS
        if shown == self._shown.draft and is_still_shown:
            return
        try:
            await self._sender.send_draft(self._destination, self._draft_id, shown)
        except TelegramRefused as refused:
            if refused.is_place_closed:
                raise
            self._drafts.record_refusal(self._destination)
            self._uses_draft = False
            await self._edit_live_message(frame)
            return
        self._shown.draft, self._shown.has_text = shown, True
        self._shown.drafted_at = self._clock.monotonic()

    async def _edit_live_message(self, frame: AnswerProgress) -> None:
        has_text = bool(frame.text.strip())
        shown = _DOTS
        if has_text:
            shown = STYLE.render_piece(fit_progress(frame.text, STYLE, note=frame.note))
        if self._shown.live_message is None:
            await self._send_live_message(shown, frame.buttons)
        elif self._shown.live_content != (shown, frame.buttons):
            try:
                await self._sender.edit_text(
                    self._destination, self._shown.live_message, shown, frame.buttons
                )
            except TelegramRefused as refused:
                if refused.is_message_gone:
                    self._shown.live_message = None
                raise
            self._shown.live_content = (shown, frame.buttons)
        self._shown.has_text = self._shown.has_text or has_text

    async def _send_live_message(self, shown: FormattedText, buttons: ButtonRows) -> None:
        silent = self._uses_draft
        message = await self._sender.send_text(
            self._destination, shown, buttons, reply_to=self._reply_to, silent=silent
        )
        self._shown.is_live_silent = silent
        self._shown.live_message, self._shown.live_content = message, (shown, buttons)
        await self._on_started(str(message))

    async def _send_final_piece(self, piece: _FinalPiece) -> None:
        if piece.file is not None:
            self._shown.messages.append(
                await self._sender.send_document(self._destination, piece.file, silent=True)
            )
            return
        live_message = self._shown.live_message
        is_answer = not (self._uses_draft or self._shown.is_live_silent)
        if piece.number == 0 and live_message is not None and is_answer:
            try:
                await self._sender.edit_text(
                    self._destination, live_message, piece.shown, piece.buttons
                )
            except TelegramRefused as refused:
                _log.info("the answer's message could not be edited: %s", refused.reason)
            else:
                self._shown.messages.append(live_message)
                return
        message = await self._sender.send_text(
            self._destination,
            piece.shown,
            piece.buttons,
            reply_to=self._reply_to if piece.number == 0 else None,
            silent=piece.number > 0,
        )
        self._shown.messages.append(message)

    async def _keep_alive(self) -> None:
        """Typing until the first text; then a draft again before it fades."""
        while not self._shown.is_closed and (not self._shown.has_text or self._uses_draft):
            if not self._shown.has_text:
                await self._try_quietly(self._sender.send_typing(self._destination))
            elif self._clock.monotonic() - self._shown.drafted_at >= _DRAFT_SECONDS:
                self._stream.resend_shown()
            await asyncio.sleep(_TYPING_SECONDS)

    @staticmethod
    async def _try_quietly(call: Awaitable[None]) -> None:
        """A courtesy: nobody is told when it fails."""
        with contextlib.suppress(RetryLater, TelegramRefused):
            await call


def _build_pieces(answer: Answer) -> list[_FinalPiece]:
    pieces = split_answer(answer.text, STYLE, note=answer.note, footer=answer.footer)
    shown = [STYLE.render_piece(piece) for piece in pieces]
    return [
        *(_FinalPiece(number, each) for number, each in enumerate(shown[:-1])),
        _FinalPiece(len(shown) - 1, shown[-1], answer.buttons),
    ]


def _put_into_file(answer: Answer, pieces: list[_FinalPiece]) -> list[_FinalPiece]:
    """The pieces, or, where they are too many, the first, all of it as a file, and the footer."""
    if len(pieces) <= PIECES_MAX:
        return pieces
    file = Attachment("answer.md", answer.text.encode())
    footer = STYLE.render_piece(split_answer("", STYLE, footer=answer.footer)[0])
    return [
        pieces[0],
        _FinalPiece(1, FormattedText(""), file=file),
        _FinalPiece(2, footer, answer.buttons),
    ]


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        _log.warning("an answer could not be shown: %s", describe_failure(failure))
