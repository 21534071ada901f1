"""What happens to an update before its platform is told that it was taken.

It is stored, or, where it may hold a secret, worked; never is a secret written. What one person
sends to one place is handed on in the order in which it came.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, final

from bots.chat.types import (
    Answer,
    AnswerProgress,
    ButtonPress,
    IncomingMessage,
    Output,
    UpdateJudge,
)
from bots.chat.update_inbox import ReceivedUpdate, UpdateInbox, WorkUpdate
from core.errors import Refusal, describe_failure

_log = logging.getLogger(__name__)

#: So long an update that isn't stored may take until it is acknowledged all the same.
WORK_SECONDS_MAX: Final = 30.0
#: So long an urgent update waits to be stored: Discord gives three seconds for all of it.
URGENT_SECONDS_MAX: Final = 1.0
#: So much of updates that aren't worked yet a front end holds, as `estimate_bytes` counts.
HELD_BYTES_MAX: Final = 64_000_000
#: What an object of an update takes beside its text.
_OBJECT_BYTES: Final = 100
#: So long a message waits for what may ask its sender for a secret; then it isn't stored.
_OPENER_SECONDS_MAX: Final = 10.0


def estimate_bytes(content: object) -> int:
    """About how much memory an update takes, as it was parsed from JSON."""
    size, inner = 0, [content]
    while inner:
        one = inner.pop()
        size += _OBJECT_BYTES
        if isinstance(one, str):
            size += len(one)
        elif isinstance(one, Mapping):
            size += sum(map(len, one))
            inner.extend(one.values())
        elif isinstance(one, list | tuple):
            inner.extend(one)
    return size


@dataclass(frozen=True, slots=True)
class TakenUpdate:
    """An update on its way in: as it came, as it was read, and what hands it on."""

    update: ReceivedUpdate
    read: IncomingMessage | ButtonPress
    #: Hands it on; False where it is for nobody after all.
    hand_over: Callable[[], bool]


@final
class UpdateIntake:
    """The intake of one front end: it stores what comes and says when it may be acknowledged."""

    def __init__(self, judge: UpdateJudge | None = None, inbox: UpdateInbox | None = None) -> None:
        """Without `judge` and `inbox` nothing is stored: what comes is handed on in its order."""
        self._judge, self._inbox = judge, inbox
        #: The last update of each place and person that isn't handed on yet.
        self._last: dict[tuple[str, str], asyncio.Future[None]] = {}
        #: What waits for an update that isn't stored to be worked, by its id.
        self._unstored: dict[str, asyncio.Future[None]] = {}
        #: What may open a form and isn't worked yet, by its sender and its id.
        self._openers: dict[str, dict[str, asyncio.Future[None]]] = {}
        #: How much is held of each that isn't worked yet, by its id, and of all of them.
        self._sizes: dict[str, int] = {}
        self._held_bytes = 0
        #: Writes that may take longer than their updates can wait.
        self._keeping: set[asyncio.Task[bool | None]] = set()

    def is_expecting(self, place: str, sender: str) -> bool:
        """Whether something of this person is on its way in here."""
        return (place, sender) in self._last

    def has_room(self) -> bool:
        """Whether more may be taken: what isn't worked yet is bounded in bytes."""
        return self._held_bytes < HELD_BYTES_MAX

    def register_worker(self, platform: str, work: WorkUpdate) -> None:
        """What other processes left behind is worked by `work`."""
        if self._inbox is not None:
            self._inbox.register_worker(platform, work)

    def unregister_worker(self, platform: str) -> None:
        """Nothing more is worked for others."""
        if self._inbox is not None:
            self._inbox.unregister_worker(platform)

    async def take(
        self, taken: TakenUpdate, *, is_stored: bool = False, is_urgent: bool = False
    ) -> bool:
        """Stores an update and hands it on, or hands it on and waits until it is worked; whether
        that was possible. `is_stored`: another process did that, and left it. `is_urgent`: its
        platform waits for it no longer than a moment, so that it is handed on all the same."""
        read, id_ = taken.read, taken.update.id
        key = (read.place.code, read.sender.id)
        # Before anything is awaited: these are the order in which updates came.
        before, turn = self._last.get(key), asyncio.get_running_loop().create_future()
        self._last[key] = turn
        openers = tuple(self._openers.get(read.sender.id, {}).values())
        is_opener = self._add_opener(read, id_)
        is_new = self._hold(taken.update)
        try:
            keep = self._keep_briefly if is_urgent else self._keep
            is_kept = is_stored or await keep(taken, openers)
            if before is not None:
                await asyncio.wait((before,))
            worked = self._expect(id_) if is_kept is False else None
            if is_kept is not None:
                is_opener = is_new = False  # until it is worked
                self._hand_over(taken)
        except Refusal as refusal:
            _log.warning("an update could not be stored: %s", describe_failure(refusal))
            return False
        finally:
            if is_opener:
                self._finish_opener(read.sender.id, id_)
            if is_new:
                self._let_go(id_)
            turn.set_result(None)
            if self._last.get(key) is turn:
                del self._last[key]
        if worked is not None:
            await asyncio.wait((worked,), timeout=WORK_SECONDS_MAX)
        return True

    async def watch_outputs(
        self, outputs: AsyncIterator[Output], sender: str, ids: tuple[str, ...]
    ) -> AsyncGenerator[Output]:
        """What comes of updates, passed on. With an answer they are worked: its ask is in the
        books, and whoever comes next shows it."""
        try:
            async for output in outputs:
                if isinstance(output, AnswerProgress | Answer):
                    self.finish(sender, ids)
                yield output
        finally:
            if isinstance(outputs, AsyncGenerator):
                await outputs.aclose()

    def finish(self, sender: str, ids: Iterable[str]) -> None:
        """These were worked: answered, refused for good, or become an ask of the books."""
        ids = tuple(ids)
        for id_ in ids:
            self._let_go(id_)
            self._finish_opener(sender, id_)
            worked = self._unstored.pop(id_, None)
            if worked is not None and not worked.done():
                worked.set_result(None)
        if self._inbox is not None:
            self._inbox.forget(*ids)

    def _hand_over(self, taken: TakenUpdate) -> None:
        is_worked_later = False
        try:
            is_worked_later = taken.hand_over()
        except Exception as failure:  # noqa: BLE001 - one update's oddity is no other's
            _log.warning("an update could not be understood: %s", describe_failure(failure))
        if not is_worked_later:
            self.finish(taken.read.sender.id, (taken.update.id,))

    async def _keep(
        self, taken: TakenUpdate, openers: Iterable[asyncio.Future[None]]
    ) -> bool | None:
        """Whether it is stored now; None where it was stored before, and is worked already."""
        if self._inbox is None or self._judge is None:
            return True
        if not await self._may_store(taken, openers):
            return None if taken.update.id in self._unstored else False
        return await self._inbox.store(taken.update) or None

    async def _keep_briefly(
        self, taken: TakenUpdate, openers: Iterable[asyncio.Future[None]]
    ) -> bool | None:
        keeping = asyncio.create_task(self._keep(taken, openers))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._on_kept)
        done, _ = await asyncio.wait((keeping,), timeout=URGENT_SECONDS_MAX)
        # What can't be written now is worked as far as it can be.
        return keeping.result() if done and keeping.exception() is None else True

    def _on_kept(self, keeping: asyncio.Task[bool | None]) -> None:
        self._keeping.discard(keeping)
        if not keeping.cancelled() and (failure := keeping.exception()) is not None:
            _log.warning("an update could not be stored: %s", describe_failure(failure))

    async def _may_store(self, taken: TakenUpdate, openers: Iterable[asyncio.Future[None]]) -> bool:
        assert self._judge is not None
        read = taken.read
        if isinstance(read, IncomingMessage) and read.may_fill_form:
            waited_for = tuple(openers)
            if waited_for:
                _, open_still = await asyncio.wait(waited_for, timeout=_OPENER_SECONDS_MAX)
                if open_still:
                    return False
        return await self._judge.may_be_stored(read, taken.update.content)

    def _hold(self, update: ReceivedUpdate) -> bool:
        """Whether it is counted now, and wasn't before."""
        if update.id in self._sizes:
            return False
        self._sizes[update.id] = size = estimate_bytes(update.content)
        self._held_bytes += size
        return True

    def _let_go(self, id_: str) -> None:
        self._held_bytes -= self._sizes.pop(id_, 0)

    def _expect(self, id_: str) -> asyncio.Future[None]:
        worked = self._unstored[id_] = asyncio.get_running_loop().create_future()
        return worked

    def _add_opener(self, read: IncomingMessage | ButtonPress, id_: str) -> bool:
        """Whether what comes behind it waits for it; not where it is one that came before."""
        if self._judge is None or not self._judge.may_open_form(read):
            return False
        waiting = self._openers.setdefault(read.sender.id, {})
        if id_ in waiting:
            return False
        waiting[id_] = asyncio.get_running_loop().create_future()
        return True

    def _finish_opener(self, sender: str, id_: str) -> None:
        waiting = self._openers.get(sender, {})
        opener = waiting.pop(id_, None)
        if opener is not None and not opener.done():
            opener.set_result(None)
        if not waiting:
            self._openers.pop(sender, None)
