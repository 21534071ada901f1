"""Where an answer is shown: where it was asked for, in private where that place refuses it for
good, or nowhere; and the handler is told which it was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar, final

from bots.chat.types import Answer, AnswerProgress, ChatHandler, Place
from bots.render.delivery_record import DeliveryRecord
from bots.render.throttle import NotDelivered
from core.clock import Clock
from core.errors import Refusal

_log = logging.getLogger(__name__)


class ChatRefused(Refusal):
    """A platform will not do this, now or later."""

    #: The platform's own code or words, for logs.
    reason: int | str

    @property
    def is_place_closed(self) -> bool:
        """Whether the place takes nothing of ours, now or later."""
        raise NotImplementedError

    @property
    def is_unreachable(self) -> bool:
        """Whether nothing can be shown this way any more."""
        return self.is_place_closed


class AnswerStream(Protocol):
    """A stream is the growing message of one answer in one place."""

    @property
    def was_accepted(self) -> bool:
        """Whether anything of the answer was accepted."""
        ...

    async def send_holder(self, progress: AnswerProgress) -> None:
        """Sends the message that holds Stop; raises `NotDelivered` or `ChatRefused`."""
        ...

    def show_progress(self, progress: AnswerProgress) -> None:
        """Shows what there is of the answer, as soon as the place's pace lets it."""
        ...

    async def show_final(self, answer: Answer) -> list[str]:
        """Shows the whole answer and gives the ids of its messages; raises `NotDelivered` or
        `ChatRefused`."""
        ...

    async def abandon(self) -> None:
        """Ends it where its answer won't come."""
        ...


StreamT = TypeVar("StreamT", bound=AnswerStream)


@final
class AnswerDelivery(Generic[StreamT]):
    """The delivery of one platform's answers, and its record of the places that refused."""

    def __init__(
        self,
        chat_handler: ChatHandler,
        clock: Clock,
        new_private_stream: Callable[[str, str], StreamT],
        *,
        has_second_private_way: bool,
    ) -> None:
        """`new_private_stream` makes a stream to an asker, of an ask and a person's id.
        `has_second_private_way`: what was refused in private may be taken there by that stream."""
        self._chat_handler = chat_handler
        self._record = DeliveryRecord(clock)
        self._new_private_stream = new_private_stream
        self._has_second_private_way = has_second_private_way

    def refused_lately(self, place: Place) -> bool:
        """Whether a place refused for good what was last sent to it."""
        return self._record.refused_lately(place.code)

    async def begin_stream(
        self, stream: StreamT, progress: AnswerProgress, place: Place, asker: str
    ) -> tuple[StreamT, ChatRefused | None]:
        """The stream that will show an answer: `stream`, or a private one with the place's refusal.
        Where the place is new, or refused last time, its first message is sent before anything is
        asked. Raises the refusal where both refuse for good: the ask is ended then."""
        if self._record.accepted_lately(place.code):
            return stream, None
        try:
            await stream.send_holder(progress)
        except NotDelivered:
            return stream, None  # it passes: the answer waits for it
        except ChatRefused as refused:
            if not refused.is_place_closed:
                return stream, None
            self._record.record_refused(place.code)
            refusal = refused
        else:
            self._record.record_accepted(place.code)
            return stream, None
        private = self._new_private_stream(progress.ask, asker)
        try:
            await private.send_holder(progress)
        except NotDelivered:
            pass  # it passes
        except ChatRefused as refused:
            if refused.is_place_closed:
                await self._chat_handler.mark_undelivered(progress.ask)
                raise
        return private, refusal

    async def show_answer(
        self,
        stream: StreamT,
        answer: Answer,
        place: Place,
        asker: str,
        *,
        was_shown: bool = False,
    ) -> list[str]:
        """Shows an answer in its place, or in private where that refuses for good, and tells what
        came of it. `was_shown`: something of it may have been accepted before this stream."""
        try:
            messages = await stream.show_final(answer)
        except ChatRefused as refused:
            if not refused.is_unreachable:
                raise
            _log.info("an answer was refused where it was asked: %s", refused.reason)
            if refused.is_place_closed:  # not: a token's time is over
                self._record.record_refused(place.code)
            was_shown |= stream.was_accepted
            return await self.show_in_private(answer, place, asker, refused, was_shown=was_shown)
        self._record.record_accepted(place.code)
        await self._chat_handler.mark_delivered(answer.ask, place, messages)
        return messages

    async def show_in_private(
        self,
        answer: Answer,
        place: Place,
        asker: str,
        refused: ChatRefused,
        *,
        was_shown: bool = False,
        stream: StreamT | None = None,
    ) -> list[str]:
        """Shows its asker an answer that its place refused, by `stream` where there is one. Where
        they can't be written to either and nothing of it was ever shown, it is given back; raises
        the refusal then."""
        private = Place(place.platform, asker)
        is_elsewhere = place.code != private.code
        if asker and (is_elsewhere or self._has_second_private_way):
            stream = stream or self._new_private_stream(answer.ask, asker)
            try:
                messages = await stream.show_final(
                    answer.for_elsewhere() if is_elsewhere else answer
                )
            except (NotDelivered, ChatRefused) as again:
                if isinstance(again, NotDelivered) or not again.is_place_closed:
                    if not was_shown:  # so that whoever tries next knows it
                        await self._chat_handler.mark_started(answer.ask, "")
                    raise
                was_shown |= stream.was_accepted
            else:
                await self._chat_handler.mark_delivered(answer.ask, private, messages)
                return messages
        if not was_shown:
            await self._chat_handler.mark_undelivered(answer.ask)
        raise refused


@final
class AnswerStreams(Generic[StreamT]):
    """The streams of the answers that one message, or one press, brings about."""

    def __init__(
        self,
        delivery: AnswerDelivery[StreamT],
        place: Place,
        asker: str,
        new_stream: Callable[[str], StreamT],
    ) -> None:
        """`new_stream` makes a stream to their place, of an ask."""
        self._delivery, self._place, self._asker = delivery, place, asker
        self._new_stream = new_stream
        #: By ask, each with its place's refusal where that came before anything was asked: such an
        #: answer is shown in private.
        self._streams: dict[str, tuple[StreamT, ChatRefused | None]] = {}

    async def show_progress(self, progress: AnswerProgress) -> None:
        """Shows what there is of an answer; raises as `AnswerDelivery.begin_stream` does."""
        ask = progress.ask
        if ask not in self._streams:
            self._streams[ask] = await self._delivery.begin_stream(
                self._new_stream(ask), progress, self._place, self._asker
            )
        self._streams[ask][0].show_progress(progress)

    async def show_answer(self, answer: Answer) -> StreamT:
        """Shows a whole answer; gives its stream, which has ended. Raises `NotDelivered` or
        `ChatRefused`."""
        ask, place, asker = answer.ask, self._place, self._asker
        if ask not in self._streams:
            self._streams[ask] = self._new_stream(ask), None
        stream, refused = self._streams[ask]
        if refused is not None:
            await self._delivery.show_in_private(answer, place, asker, refused, stream=stream)
        else:
            await self._delivery.show_answer(stream, answer, place, asker)
        del self._streams[ask]
        return stream

    async def abandon(self) -> None:
        """Ends those whose answers won't come."""
        for stream, _ in self._streams.values():
            await stream.abandon()
