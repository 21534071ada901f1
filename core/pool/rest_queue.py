"""Asks that wait for a key to end a short rest, where nothing else could serve them: in the order
in which they came, one that tries the key first, the others behind it until that one is answered.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from typing import Final

from core.clock import Clock
from core.pool.types import KeyRecord

#: So long an ask waits for keys at most, in seconds, all its waits together.
REST_SECONDS_MAX: Final = 10.0
#: So many asks wait for one key at most, and so many of one person's for any keys.
WAITING_PER_KEY_MAX: Final = 64
WAITING_PER_PERSON_MAX: Final = 2
#: The first in line looks so often whether the key serves again: a call that tries it may be
#: answered at any time.
_LOOK_SECONDS: Final = 0.1


class Turn:
    """The turn of one ask with a key: it keeps its place in the line until it is passed on."""

    def __init__(self, line: _Line | None = None) -> None:
        """Without a line it is the turn of an ask that needn't wait."""
        self._line = line
        self.came = asyncio.Event()

    def pass_on(self) -> None:
        """Lets the next in line try; a second time does nothing."""
        if self._line is not None:
            self._line.remove(self)
            self._line = None


class _Line:
    """The asks that wait for one key."""

    def __init__(self) -> None:
        self.turns: deque[Turn] = deque()

    def remove(self, turn: Turn) -> None:
        """Takes a turn out; the first of those that are left has come."""
        self.turns.remove(turn)
        if self.turns:
            self.turns[0].came.set()


class RestQueue:
    """The lines of asks before keys that rest, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._waiting_counts: Counter[str] = Counter()

    def has_place(self, key: str, asker: str) -> bool:
        """Whether one more ask of this person may wait for the key."""
        line = self._lines.get(key)
        return (line is None or len(line.turns) < WAITING_PER_KEY_MAX) and (
            self._waiting_counts[asker] < WAITING_PER_PERSON_MAX
        )

    async def wait_for_turn(
        self, record: KeyRecord, model: str, *, asker: str, until: float
    ) -> Turn | None:
        """The turn of an ask, once the key can serve this supplier's model and everyone who came
        before was answered; None where that isn't by `until` (the clock's monotonic seconds), or
        there is no place. A key that serves and has no line is nobody's to wait for."""
        line = self._lines.get(record.id)
        if line is None or not line.turns:
            if self._is_ready(record, model):
                return Turn()
            line = self._lines[record.id] = _Line()
        if not self.has_place(record.id, asker):
            return None
        turn = Turn(line)
        line.turns.append(turn)
        self._waiting_counts[asker] += 1
        has_come = False
        try:
            has_come = await self._wait_in_line(line, turn, record, model, until)
        finally:
            self._waiting_counts -= Counter({asker: 1})
            if not has_come:
                turn.pass_on()
            if not line.turns:
                self._lines.pop(record.id, None)
        return turn if has_come else None

    async def _wait_in_line(
        self, line: _Line, turn: Turn, record: KeyRecord, model: str, until: float
    ) -> bool:
        if line.turns[0] is not turn:
            try:
                async with asyncio.timeout(max(0.0, until - self._clock.monotonic())):
                    await turn.came.wait()
            except TimeoutError:
                return False
        while not self._is_ready(record, model):
            left = until - self._clock.monotonic()
            rest = (record.find_rest_end(model) - self._clock.now_ms()) / 1_000
            if left <= 0 or rest > left:
                return False
            await self._clock.sleep(min(left, max(_LOOK_SECONDS, rest)))
        return True

    def _is_ready(self, record: KeyRecord, model: str) -> bool:
        now = self._clock.now_ms()
        return record.is_healthy(now) and record.has_model(model, now)
