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
    """Written by the one task that serves it; followed by any number of readers."""

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
        """`drawn`: what its hold took of whoever asks."""
        self.question, self.quote, self.messages = question, quote, messages
        self.data_key, self.owner, self.drawn = data_key, owner, drawn
        #: It goes on from an older answer.
        self.branched = branched
        #: The key that serves now, and which try it is.
        self.candidate, self.tries = candidate, 1
        #: Loop time at which it began.
        self.began = asyncio.get_running_loop().time()
        self.result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self.stopping = False
        #: Tokens were spent that nobody saw.
        self.thinking = False
        #: What is to be written down, once it has been read.
        self.clip: Clip | None = None
        #: Another process settled it; nothing of it may be written here any more.
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
        """What it holds now."""
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
        """More of the answer arrived."""
        self._parts.append(text)
        self._changed.set()

    def scope(self, scope: asyncio.Timeout) -> None:
        """The deadline under which the stream is read; stopping makes it now."""
        self._scope = scope
        if self.stopping:
            scope.reschedule(0)

    def stop(self) -> None:
        """End it soon; what was shown is billed. A second time does nothing."""
        self.stopping = True
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(0)

    def finish(self, result: Result | Exception) -> None:
        """It is settled (or could not be): readers are told."""
        if not self.result.done():
            if isinstance(result, Exception):
                self.result.set_exception(result)
                self.result.exception()  # readers may be gone; that is no error
            else:
                self.result.set_result(result)
        self._changed.set()

    async def frames(self) -> AsyncIterator[str]:
        """The newest text each time it grew, until the end. A slow reader misses frames."""
        shown = 0
        while not self.result.done():
            await self._changed.wait()
            self._changed.clear()
            text = self.text
            if len(text) > shown and not self.result.done():
                shown = len(text)
                yield text
        self._changed.set()
