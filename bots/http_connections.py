"""What the HTTP app's connections may take before anybody knows who is there: how many there are,
how long each may take to say what it wants, how much it may say, and how much is held in all.

Whoever waits longest goes first when a place or room is needed, so a newcomer that says at once
what it wants (a probe of readiness, a webhook) is served, however many others dawdle.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast, final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_log = logging.getLogger(__name__)

#: A request's line and headers; what servers commonly allow.
_HEAD_BYTES_MAX: Final = 64 << 10
#: How long what is still being sent to us is thrown away, so that its sender reads the refusal.
_LINGER_SECONDS: Final = 2.0
#: Crowding is logged once in so long.
_LOG_SECONDS: Final = 60.0
_REASONS: Final = {
    408: b"Request Timeout",
    413: b"Content Too Large",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What the HTTP app allows in all, and to each connection."""

    connections: int = 256
    #: For a request's line and headers, from the connection or the last answer on.
    header_seconds: float = 10.0
    #: For the rest of it.
    body_seconds: float = 20.0
    #: From a request's last byte to the answer's; a gateway may be asked whether a message is its
    #: own.
    answer_seconds: float = 60.0
    #: One body, as it is on the wire.
    body_bytes: int = 1 << 20
    #: All requests together that aren't answered yet.
    held_bytes: int = 32 << 20


@final
class ConnectionTable:
    """The connections of one server, the longest waiting first, and the bytes that they hold."""

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        #: Those that we wait for, by when the wait began; and those that wait for us.
        self._waiting: dict[BoundedProtocol, None] = {}
        self._answering: set[BoundedProtocol] = set()
        self._held_bytes = 0
        self._evicted, self._logged_at = 0, 0.0

    def add(self, connection: BoundedProtocol) -> bool:
        """Makes a place; False where everybody in it is being answered."""
        if len(self._waiting) + len(self._answering) >= self.limits.connections:
            if not self._waiting:
                return False
            self._evict(next(iter(self._waiting)))
        self._waiting[connection] = None
        return True

    def wait_for(self, connection: BoundedProtocol) -> None:
        """A connection's turn to speak: it goes to the end of the queue."""
        self._answering.discard(connection)
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def answer(self, connection: BoundedProtocol) -> None:
        """Our turn: it isn't sent away meanwhile."""
        self._waiting.pop(connection, None)
        self._answering.add(connection)

    def hold(self, connection: BoundedProtocol, size: int) -> None:
        """Some bytes came; whoever waits longest makes room for them."""
        connection.held_bytes += size
        self._held_bytes += size
        while self._held_bytes > self.limits.held_bytes and connection.held_bytes:
            self._evict(next((one for one in self._waiting if one.held_bytes), connection))

    def release(self, connection: BoundedProtocol) -> None:
        """Nothing is held of it any more."""
        self._held_bytes -= connection.held_bytes
        connection.held_bytes = 0

    def remove(self, connection: BoundedProtocol) -> None:
        """It is closed, or will be."""
        self.release(connection)
        self._waiting.pop(connection, None)
        self._answering.discard(connection)

    def _evict(self, connection: BoundedProtocol) -> None:
        connection.refuse(503)
        self.remove(connection)
        self._evicted += 1
        if (now := time.monotonic()) - self._logged_at > _LOG_SECONDS:
            _log.warning("the HTTP app is crowded: %d connections were closed", self._evicted)
            self._evicted, self._logged_at = 0, now


@final
class BoundedProtocol(HttpToolsProtocol):
    """A connection of the HTTP app that always has a deadline. Its state is told by what is missing
    next: a request's head, its body, our answer, or another request."""

    def __init__(self, table: ConnectionTable, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._table, self._limits = table, table.limits
        #: Of requests that aren't answered yet, as they came.
        self.held_bytes = 0
        self._head_bytes, self._body_bytes = 0, 0
        self._is_in_head, self._is_in_message, self._is_idle = True, False, False
        self._unanswered = 0
        self._is_refused = False
        #: What happens when, unless something else is due then; and an alarm no later than that.
        self._due, self._end = 0.0, self._be_late
        self._alarm: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A place in the table, or none."""
        super().connection_made(transport)
        if self._table.add(self):
            self._set_deadline(self._limits.header_seconds, self._be_late)
        else:
            self._is_refused = True
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The place is free."""
        self._clear_deadline()
        self._table.remove(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Counts before it reads."""
        if not self._is_listening():
            return
        if self._is_idle:
            self._is_idle, self._is_in_head = False, True
            self._table.wait_for(self)
            self._set_deadline(self._limits.header_seconds, self._be_late)
        self._table.hold(self, len(data))
        if self._is_listening():
            super().data_received(data)
        if not self._is_listening():
            return
        # Around the smallest chunks and in them there may be much that is no body.
        if self.held_bytes > self._limits.body_bytes + _HEAD_BYTES_MAX:
            self.refuse(413)
        elif self._is_in_head and self.held_bytes > _HEAD_BYTES_MAX:
            self.refuse(431)

    def on_message_begin(self) -> None:
        """A request's first byte."""
        super().on_message_begin()
        self._is_in_head, self._is_in_message = True, True
        self._head_bytes, self._body_bytes = 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _HEAD_BYTES_MAX:
            self.refuse(431)
        else:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Its headers are whole: the app may begin."""
        if not self._is_listening():
            return
        length = next((value for name, value in self.headers if name == b"content-length"), b"0")
        if int(length) > self._limits.body_bytes:
            self.refuse(413)
            return
        self._is_in_head = False
        self._unanswered += 1
        self._set_deadline(self._limits.body_seconds, self._be_late)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._body_bytes += len(body)
        if not self._is_listening():
            return
        if self._body_bytes > self._limits.body_bytes:
            self.refuse(413)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Its last byte: now we are waited for."""
        if not self._is_listening():
            return
        self._is_in_message = False
        if self._unanswered:
            self._table.answer(self)
            self._set_deadline(self._limits.answer_seconds, self.transport.abort)
        super().on_message_complete()
        self._rest()

    def on_response_complete(self) -> None:
        """An answer is out."""
        self._unanswered -= 1
        super().on_response_complete()
        self._rest()

    def refuse(self, status: int) -> None:
        """Says so where nothing was said yet, and closes; the app reads that its client is gone."""
        if self._is_refused:
            return
        self._is_refused = True
        cycle = cast("RequestResponseCycle | None", self.cycle)
        is_midway = False
        if cycle is not None and not cycle.response_complete:
            is_midway = cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
        self.pipeline.clear()
        if not is_midway and not self.transport.is_closing():
            head = b"HTTP/1.1 %d %s\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            self.transport.write(head % (status, _REASONS[status]))
        self._table.release(self)
        if status in {413, 431} and self.transport.can_write_eof():
            self.flow.resume_reading()
            self.transport.write_eof()
            self._set_deadline(_LINGER_SECONDS, self.transport.abort)
        else:
            self._clear_deadline()
            self.transport.close()

    def _is_listening(self) -> bool:
        return not (self._is_refused or self.transport.is_closing())

    def _be_late(self) -> None:
        self.refuse(408)

    def _rest(self) -> None:
        """Between two requests, when all that was asked is answered."""
        if self._unanswered or self._is_in_message or self._is_idle or not self._is_listening():
            return
        self._is_idle = True
        self._table.release(self)
        self._table.wait_for(self)
        self._set_deadline(self.timeout_keep_alive, self.transport.close)

    def _set_deadline(self, seconds: float, end: Callable[[], None]) -> None:
        """Sets an alarm only where none rings until then: a request has four deadlines, and hardly
        any is missed."""
        self._due, self._end = self.loop.time() + seconds, end
        if self._alarm is None or self._alarm.when() > self._due:
            self._set_alarm()

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self.loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self.loop.time() < self._due:
            self._set_alarm()
        else:
            self._end()

    def _clear_deadline(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
