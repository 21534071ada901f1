"""An answer on its way to the program that asked, streamed or whole.

The ask is a task of its own, and this only follows it: what is charged is settled there, and told
here once it is. A client that leaves stops its ask; one that leaves after the last byte was sent
has simply read all.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from bots.api.exchange import ClientGone, Exchange, Headers
from bots.api.ports import ApiRun
from bots.api.refusals import describe_refusal
from bots.api.replies import ReplyWriter, find_failure
from core.asks.types import AskResult
from core.errors import Refusal
from core.pool.providers.types import AnswerPiece

#: Until a piece of the answer is there nothing is said, not even that it is well: so long another
#: key can be tried, and what comes of it is told by its status, which clients understand best. But
#: models think for minutes, and what stands between closes silent connections after 30 seconds or
#: 60: from here on it begins all the same, and errors come inside.
FIRST_SILENCE_SECONDS: Final = 15.0
#: Later silence is ended by a sign of life.
SILENCE_SECONDS: Final = 10.0

_STREAM_TYPE: Final = b"text/event-stream; charset=utf-8"
#: What stands in front shall pass on what it gets, and keep none of it.
_STREAM_HEADERS: Final = ((b"x-accel-buffering", b"no"),)


class AnswerFollower:
    """Follows one ask and sends what comes of it."""

    def __init__(
        self, exchange: Exchange, run: ApiRun, writer: ReplyWriter, headers: Headers = ()
    ) -> None:
        assert run.feed is not None
        self._exchange, self._run, self._writer = exchange, run, writer
        self._headers, self._feed = headers, run.feed
        self._loop = asyncio.get_running_loop()
        self._spoke_at = self._loop.time()
        self._alarm: asyncio.TimerHandle | None = None

    async def send_stream(self) -> None:
        """Sends the answer as it comes."""
        with self._watch():
            self._set_alarm()
            async for batch in self._feed:
                if batch or not self._measure_patience():
                    await self._send_batch(batch)
                if not batch:
                    self._set_alarm()
            result = await self._wait_for_result()
            start = b"" if self._exchange.is_begun else self._begin()
            await self._exchange.write(start + self._writer.end(result), is_last=True)

    async def send_whole(self) -> None:
        """Sends the answer when it is complete."""
        with self._watch():
            pieces = [piece async for batch in self._feed for piece in batch]
            result = await _get_result(self._run)
            body = self._writer.build_whole(pieces, result)
            await self._exchange.send_json(body, headers=self._headers)

    @contextlib.contextmanager
    def _watch(self) -> Iterator[None]:
        """Stops the ask when its client goes, or when nobody follows it any more."""
        watcher = asyncio.create_task(self._stop_at_end(), name=f"client of {self._run.id}")
        try:
            yield
        except ClientGone:
            self._run.stop()
            raise
        except BaseException:  # it is our doing, or its supplier's, that nobody reads on
            self._run.stop(by_asker=False)
            raise
        finally:
            watcher.cancel()
            if self._alarm is not None:
                self._alarm.cancel()

    async def _stop_at_end(self) -> None:
        if await self._exchange.wait_for_end():
            self._run.stop()

    def _set_alarm(self) -> None:
        """Has the silence measured from time to time: an alarm for each piece would cost more than
        the piece."""
        patience = min(self._measure_patience(), SILENCE_SECONDS)
        self._alarm = self._loop.call_later(patience, self._break_silence)

    def _break_silence(self) -> None:
        if self._measure_patience() > 0:
            self._set_alarm()
        else:
            self._feed.interrupt()

    async def _wait_for_result(self) -> AskResult:
        """How the ask ended, once that is settled, with signs of life meanwhile."""
        while not self._run.result.done():
            await asyncio.wait((self._run.result,), timeout=self._measure_patience())
            if not self._run.result.done():
                await self._send_batch(())
        return await _get_result(self._run)

    def _measure_patience(self) -> float:
        """How long it may be silent from now on."""
        limit = SILENCE_SECONDS if self._exchange.is_begun else FIRST_SILENCE_SECONDS
        return max(0.0, self._spoke_at + limit - self._loop.time())

    async def _send_batch(self, batch: Sequence[AnswerPiece]) -> None:
        """Sends pieces, all in one; a sign of life where there are none."""
        content = self._writer.write_pieces(batch) if batch else self._writer.keep_alive()
        if not content:  # thoughts of which nothing is told, or what waits for its turn
            return
        start = b"" if self._exchange.is_begun else self._begin()
        self._spoke_at = self._loop.time()
        await self._exchange.write(start + content)

    def _begin(self) -> bytes:
        """Makes the head; what the answer begins with is to be sent with what follows."""
        self._exchange.begin(200, _STREAM_TYPE, (*_STREAM_HEADERS, *self._headers))
        return self._writer.begin()


async def _get_result(run: ApiRun) -> AskResult:
    """How an ask ended; raises `ApiError` where it has no whole answer."""
    try:
        result = await asyncio.shield(run.result)
    except Refusal as refusal:
        raise describe_refusal(refusal) from None
    failure = find_failure(result)
    if failure is not None:
        raise failure
    return result


async def replay_answer(
    exchange: Exchange,
    writer: ReplyWriter,
    pieces: Sequence[AnswerPiece],
    result: AskResult,
    *,
    streams: bool,
) -> None:
    """Sends an answer that was given before, in the way that is asked for now."""
    headers = ((b"idempotent-replayed", b"true"),)
    if not streams:
        await exchange.send_json(writer.build_whole(pieces, result), headers=headers)
        return
    content = writer.begin() + writer.write_pieces(pieces) + writer.end(result)
    exchange.begin(200, _STREAM_TYPE, (*_STREAM_HEADERS, *headers))
    await exchange.write(content, is_last=True)
