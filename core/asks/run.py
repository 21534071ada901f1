"""An ask while it runs, as front ends follow it: the newest text, a way to stop it, its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from core.asks import api_calls
from core.asks.api_calls import AnswerFeed, merge_pieces, read_text
from core.asks.settlement import OpenAsk
from core.asks.types import AskResult, Prompt, Question, Quote
from core.earnings.contributions import DrawnAmounts
from core.pool.providers.types import AnswerPiece, AudioClip, Finish, TextDelta
from core.pool.types import Candidate
from core.pool.vault import DataKey

#: A chat that hangs delays an ask no longer than this.
_DELAY_SECONDS_MAX = 20.0


class AskRun:
    """An ask while it runs: written by the one task that serves it, followed by any number of
    readers."""

    def __init__(
        self,
        *,
        question: Question,
        quote: Quote,
        prompt: Prompt,
        candidate: Candidate,
        data_key: DataKey,
        process_id: str,
        drawn: DrawnAmounts,
    ) -> None:
        """`drawn` is what its hold took from the asker's accounts."""
        self.question, self.quote, self.prompt = question, quote, prompt
        self.data_key, self.process_id, self.drawn = data_key, process_id, drawn
        #: The key that serves now, and the number of the attempt.
        self.candidate, self.attempt = candidate, 1
        #: The event loop's time at which it started, in seconds.
        self.started_at = asyncio.get_running_loop().time()
        self.result: asyncio.Future[AskResult] = asyncio.get_running_loop().create_future()
        self.is_stopping = False
        #: Whether it is stopped by the service's end, not by its asker.
        self.was_interrupted = False
        #: Whether tokens were spent on reasoning that nobody sees.
        self.is_reasoning = False
        #: The audio that is to be transcribed, once it has been read.
        self.clip: AudioClip | None = None
        #: Whether another process settled it; nothing of it may be written here any more.
        self.is_lost = False
        #: Until when it waits for keys that rest, in the clock's monotonic seconds; None before it
        #: waits for the first one.
        self.rests_until: float | None = None
        #: The answer limit that the key was asked for, and how often that was shortened for it.
        self.asked_limit, self.shortenings = quote.answer_limit, 0
        #: Where the answer to a program goes; None: to chats, which read the whole text.
        self.feed = None if question.api_call is None else AnswerFeed()
        #: How the supplier said that the answer ended.
        self.ending: Finish | None = None
        self._pieces: list[AnswerPiece] = []
        #: Says that its supplier may be asked; None where it may from the beginning.
        self._may_serve: asyncio.Event | None = None
        self._parts: list[str] = []
        self._changed = asyncio.Event()
        self._deadline: asyncio.Timeout | None = None

    @property
    def id(self) -> str:
        """The ask's id."""
        return self.question.id

    @property
    def open_ask(self) -> OpenAsk:
        """What the ask holds now, and who may settle it."""
        return OpenAsk(
            ask=self.question.id,
            person=self.question.person.id,
            model=self.question.model.id,
            price=self.quote.price.id,
            key=self.candidate.key,
            supplier=self.candidate.supplier,
            key_held=self.candidate.hold,
            attempt=self.attempt,
            process_id=self.process_id,
            drawn=self.drawn,
            terms=self.candidate.terms,
            promotion="" if self.quote.promotion is None else self.quote.promotion.id,
            cap=None if self.question.api_call is None else self.question.api_call.cap,
            held=self.quote.max_charge,
        )

    @property
    def text(self) -> str:
        """The answer so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def was_held_up(self) -> bool:
        """Whether its reader, time after time, let its supplier wait as long as one who is gone:
        what breaks then is the reader's doing."""
        return self.feed is not None and self.feed.held_up_seconds >= api_calls.READER_SECONDS

    @property
    def has_text(self) -> bool:
        """Whether anything of the answer arrived; for a program also what has no text, such as a
        hidden thought: another key's answer can't follow it."""
        return bool(self._parts or self._pieces)

    def delay_serving(self) -> None:
        """Its supplier isn't asked before `begin_serving`: it is seen first whether its answer can
        be shown. To be called before the event loop goes on."""
        self._may_serve = asyncio.Event()

    def begin_serving(self) -> None:
        """Its supplier may be asked."""
        if self._may_serve is not None:
            self._may_serve.set()

    async def wait_to_serve(self) -> None:
        """Returns when its supplier may be asked, it is stopped, or a chat was waited for too
        long."""
        if self._may_serve is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_DELAY_SECONDS_MAX):
                    await self._may_serve.wait()
        # The supplier's time begins now.
        self.started_at = asyncio.get_running_loop().time()

    def append_text(self, text: str) -> None:
        """Appends text of the answer that arrived."""
        self._parts.append(text)
        self._changed.set()

    async def append_piece(self, piece: AnswerPiece) -> None:
        """Appends a piece of an answer to a program, all of which counts: tools' calls and told
        thoughts, too. Waits while its reader has enough to read; one that is gone stops it."""
        if self.feed is None:
            if isinstance(piece, TextDelta):
                self.append_text(piece.text)
            return
        if text := read_text(piece):
            self._parts.append(text)
        self._pieces.append(piece)
        if not await self.feed.add_piece(piece):
            self.stop()

    def list_pieces(self) -> list[AnswerPiece]:
        """What of an answer to a program arrived, neighbours joined."""
        return merge_pieces(self._pieces)

    def set_deadline(self, deadline: asyncio.Timeout) -> None:
        """Sets the deadline under which the stream is read; stopping moves it to now."""
        self._deadline = deadline
        if self.is_stopping:
            deadline.reschedule(0)

    def clear_deadline(self) -> None:
        """The stream is over: there is nothing left to end, whoever stops the ask now."""
        self._deadline = None

    def stop(self, *, by_asker: bool = True) -> None:
        """Ends the ask soon; what was delivered is billed. A second time does nothing."""
        self.was_interrupted = not (by_asker or self.is_stopping)
        self.is_stopping = True
        self.begin_serving()
        if self._deadline is not None and not self._deadline.expired():
            self._deadline.reschedule(0)

    def finish(self, result: AskResult | Exception) -> None:
        """Gives readers the result, or the failure where it could not be settled."""
        if not self.result.done():
            if isinstance(result, Exception):
                self.result.set_exception(result)
                self.result.exception()  # readers may be gone; that is no error
            else:
                self.result.set_result(result)
        if self.feed is not None:
            self.feed.close()
        self._changed.set()

    async def stream_text(self) -> AsyncIterator[str]:
        """Yields the whole text each time it grew, until the end. A slow reader skips some."""
        shown_chars = 0
        while not self.result.done():
            await self._changed.wait()
            self._changed.clear()
            text = self.text
            if len(text) > shown_chars and not self.result.done():
                shown_chars = len(text)
                yield text
        self._changed.set()
