"""A tally of audio: the time of every frame that a decoder will hear, added up as frames are found.

It is exact (whole picoseconds), it stops at a length that is too long for anybody, and it bounds
the work: a file that takes more steps than an honest one can is given up. A tally that stops early
tells the least that is true of the file, and that is too long already.
"""

from __future__ import annotations

from typing import Final

_PICO: Final = 10**12
#: Four hours: whatever is longer is as good as endless.
LENGTH_MAX_SECONDS: Final = 4 * 3_600
#: Frames and pieces of structure that are looked at. An hour has 1,440,000 of the shortest frames
#: that there are (Opus, 2.5 ms); each step takes about a microsecond.
_STEPS_MAX: Final = 2_000_000


class Uncountable(Exception):
    """The frames can't be counted: another codec, a broken structure, or too much work."""


class LongEnough(Exception):
    """The tally has reached `LENGTH_MAX_SECONDS`: nothing more needs to be counted."""


class Tally:
    """A tally adds up frames; one serves one file, or one track of it."""

    def __init__(self) -> None:
        self._picoseconds = 0
        self._steps_left = _STEPS_MAX
        self.frames = 0
        #: Bytes of the file that its frames are; where their size is known by their headers.
        self.covered = 0

    @property
    def seconds(self) -> int:
        """What was counted, in whole seconds, rounded up."""
        return -(-self._picoseconds // _PICO)

    def covers_most(self, size: int) -> bool:
        """Whether the frames are at least half of so many bytes."""
        return 2 * self.covered >= size

    def add(self, samples: int, rate: int, frames: int = 1) -> None:
        """Counts frames of so many samples each, at so many samples a second. Raises `Uncountable`
        where a rate is none, and `LongEnough`."""
        if rate <= 0 or samples < 0:
            raise Uncountable
        self.spend()
        self.frames += frames
        self._picoseconds += samples * frames * _PICO // rate
        if self._picoseconds > LENGTH_MAX_SECONDS * _PICO:
            raise LongEnough

    def spend(self, steps: int = 1) -> None:
        """Takes steps off what one file may take; raises `Uncountable` when none are left."""
        self._steps_left -= steps
        if self._steps_left < 0:
            raise Uncountable
