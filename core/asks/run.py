"""An ask while it runs, as front ends follow it: the newest text, a way to stop it, its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from core.asks.settlement import Standing
from core.asks.types import Question, Quote, Result
from core.earnings.contributions import Drawn
from core.pool.providers.types import Clip, Message
from core.pool.types import Candidate
from core.pool.vault import DataKey


class Run:
    """An ask while it runs: written by the one task that serves it, followed by any number of
    readers."""

    def __init__(
        self,
        *,
        question: Question,
        quote: Quote,
        messages: Sequence[Message],
        candidate: Candidate,
        data_key: DataKey,
        owner: str,
        drawn: Drawn,
        branched: bool = False,
    ) -> None:
        """`drawn` is what its hold took from the asker's accounts."""
        self.question, self.quote, self.messages = question, quote, messages
        self.data_key, self.owner, self.drawn = data_key, owner, drawn
        #: Whether it goes on from an older answer.
        self.branched = branched
        #: The key that serves now, and the number of the attempt.
        self.candidate, self.tries = candidate, 1
        #: The event loop's time at which it started, in seconds.
        self.began = asyncio.get_running_loop().time()
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.stopping = False
        #: Whether tokens were spent on reasoning that nobody sees.
        self.thinking = False
        #: The audio that is to be transcribed, once it has been read.
        self.clip: Clip | None = None
        #: Whether another process settled it; nothing of it may be written here any more.
        self.lost = False
        self._parts: list[str] = []
        self._changed = asyncio.Event()
        self._scope: asyncio.Timeout | None = None

    @property
    def id(self) -> str:
        """The ask's id."""
        return self.question.id

    @property
    def standing(self) -> Standing:
        """What the ask holds now, and who may settle it."""
        return Standing(
            ask=self.question.id,
            person=self.question.person.id,
            model=self.question.model.id,
            price=self.quote.price.id,
            key=self.candidate.key,
            supplier=self.candidate.supplier,
            key_held=self.candidate.hold,
            tries=self.tries,
            owner=self.owner,
            drawn=self.drawn,
            terms=self.candidate.terms,
            promotion="" if self.quote.promotion is None else self.quote.promotion.id,
        )

    @property
    def text(self) -> str:
        """The answer so far."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0] if self._parts else ""

    @property
    def begun(self) -> bool:
        """Whether anything of the answer arrived."""
        return bool(self._parts)

    def add(self, text: str) -> None:
        """Appends text of the answer that arrived."""
        self._parts.append(text)
        self._changed.set()

    def scope(self, scope: asyncio.Timeout) -> None:
        """Sets the deadline under which the stream is read; stopping moves it to now."""
        self._scope = scope
        if self.stopping:
            scope.reschedule(0)

    def stop(self) -> None:
        """Ends the ask soon; what was delivered is billed. A second time does nothing."""
        self.stopping = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(0)

    def finish(self, result: Result | Exception) -> None:
        """Gives readers the result, or the failure where it could not be settled."""
        if not self.result.done():
            if isinstance(result, Exception):
                self.result.set_exception(result)
                self.result.exception()  # readers may be gone; that is no error
            else:
                self.result.set_result(result)
        self._changed.set()

    async def frames(self) -> AsyncIterator[str]:
        """Yields the whole text each time it grew, until the end. A slow reader skips some."""
        shown = 0
        while not self.result.done():
            await self._changed.wait()
            self._changed.clear()
            text = self.text
            if len(text) > shown and not self.result.done():
                shown = len(text)
                yield text
        self._changed.set()
