"""Stop sequences in an answer that comes in pieces: found here where a supplier doesn't heed them.

An answer ends before the sequence that is whole first, as if the model had stopped there; of two
that are whole at once, before the longer. What may yet become one is kept back. The time that it
takes is in proportion to the text, however it is cut and whatever the sequences are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class StopFinder:
    """A finder of stop sequences in one answer: pieces go in, what of them is surely none comes
    out."""

    def __init__(self, sequences: Iterable[str]) -> None:
        self._patterns = [_Pattern(one) for one in sequences if one]
        self._first = frozenset(one.sequence[0] for one in self._patterns)
        #: Its characters: they are shown one by one while another may begin.
        self._kept: deque[str] = deque()

    def add_piece(self, piece: str) -> tuple[str, str]:
        """What can be shown now, and the stop sequence that was met (empty: none): then nothing
        follows."""
        if not self._kept and self._first.isdisjoint(piece):
            return piece, ""
        for at, character in enumerate(piece, start=1):
            met = [one.sequence for one in self._patterns if one.read_character(character)]
            if met:
                longest = max(met, key=len)
                self._kept.extend(piece[:at])
                return self._release(len(self._kept) - len(longest)), longest
        self._kept.extend(piece)
        return self._release(len(self._kept) - max(one.matched for one in self._patterns)), ""

    def finish(self) -> str:
        """What was kept, at the answer's end: it became none."""
        for one in self._patterns:
            one.matched = 0
        return self._release(len(self._kept))

    def _release(self, count: int) -> str:
        return "".join(self._kept.popleft() for _ in range(count))


class _Pattern:
    """A sequence, and how much of its beginning the text ends with."""

    def __init__(self, sequence: str) -> None:
        self.sequence, self.matched = sequence, 0
        #: By how much is matched: how much still is when the next character doesn't fit.
        self._shorter = [0] * (len(sequence) + 1)
        matched = 0
        for at in range(1, len(sequence)):
            while matched and sequence[at] != sequence[matched]:
                matched = self._shorter[matched]
            matched += sequence[at] == sequence[matched]
            self._shorter[at + 1] = matched

    def read_character(self, character: str) -> bool:
        """Whether the sequence is whole with this character."""
        while self.matched and character != self.sequence[self.matched]:
            self.matched = self._shorter[self.matched]
        self.matched += character == self.sequence[self.matched]
        return self.matched == len(self.sequence)
