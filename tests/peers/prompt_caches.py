"""The suppliers' rules of prompt caching, by which a fake supplier counts what an answer used.

OpenAI keeps a prompt from 1,024 tokens on, where it was asked: `prompt_cache_key` leads there, and
without one any of its machines is asked. The newest message ends what is written; only what was
written so is found again, in steps of 128 tokens. Anthropic keeps what a `cache_control` marks,
from the model's minimum on, looks back through twenty blocks, and forgets after five minutes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from tests.peers import supplier_wires as wires

if TYPE_CHECKING:
    from tests.peers.suppliers import Used

_OPENAI_LEAST, _OPENAI_STEP, _OPENAI_SECONDS, _MACHINES = 1_024, 128, 1_800.0, 8
_ANTHROPIC_SECONDS, _LOOK_BACK, _MARKS_MOST = 300.0, 20, 4


class PromptCaches(Protocol):
    """What a supplier keeps of the prompts that came."""

    def use(self, key: str, body: dict[str, Any], used: Used) -> Used:
        """The usage of a call with what it read from and wrote to a cache."""
        ...


class _Kept:
    """Beginnings of prompts, and until when each is kept."""

    def __init__(self, now: Callable[[], float], seconds: float) -> None:
        self._now, self._seconds = now, seconds
        self._until: dict[tuple[str, ...], float] = {}

    def keep(self, *beginning: str) -> None:
        self._until[beginning] = self._now() + self._seconds

    def has(self, *beginning: str) -> bool:
        return self._until.get(beginning, 0.0) > self._now()


#: The tokens of each block of a prompt, in their order.
CountBlocks = Callable[[dict[str, Any]], list[int]]


def _count_words(body: dict[str, Any]) -> list[int]:
    return [len(text.split()) for text, _ in wires.blocks(body)]


class OpenAICaches:
    """OpenAI's, of the families that charge for writing. `count` is needed for pictures."""

    def __init__(self, now: Callable[[], float], count: CountBlocks = _count_words) -> None:
        self._kept, self._count = _Kept(now, _OPENAI_SECONDS), count
        self._machines = itertools.cycle(range(_MACHINES))

    def use(self, key: str, body: dict[str, Any], used: Used) -> Used:
        texts, sizes = [text for text, _ in wires.blocks(body)], self._count(body)
        name = body.get("prompt_cache_key")
        where = (key, str(body["model"]), str(name or f"machine {next(self._machines)}"))
        found = (
            length for length in range(len(texts), 0, -1) if self._kept.has(*where, *texts[:length])
        )
        cached = sum(sizes[: next(found, 0)]) // _OPENAI_STEP * _OPENAI_STEP
        whole = sum(sizes)
        if whole < _OPENAI_LEAST:
            return used
        self._kept.keep(*where, *texts)
        written = whole // _OPENAI_STEP * _OPENAI_STEP - cached
        return dataclasses.replace(used, cached=cached, written=written)


class AnthropicCaches:
    """Anthropic's; `least` tokens are the model's minimum. `count` is needed for pictures."""

    def __init__(
        self, now: Callable[[], float], count: CountBlocks = _count_words, *, least: int = 1_024
    ) -> None:
        self._kept, self._least = _Kept(now, _ANTHROPIC_SECONDS), least
        self._count = count
        #: How many marks each call had.
        self.marks: list[int] = []

    def use(self, key: str, body: dict[str, Any], used: Used) -> Used:
        blocks = wires.blocks(body)
        texts, where = [text for text, _ in blocks], (key, str(body["model"]))
        sizes = self._count(body)
        marked = [index for index, (_, is_marked) in enumerate(blocks, start=1) if is_marked]
        assert len(marked) <= _MARKS_MOST
        self.marks.append(len(marked))
        lengths = [length for length in marked if sum(sizes[:length]) >= self._least]
        found = [
            back
            for length in lengths
            for back in range(length, max(0, length - _LOOK_BACK), -1)
            if self._kept.has(*where, *texts[:back])
        ]
        read = max(found, default=0)
        for length in {read, *lengths} - {0}:
            self._kept.keep(*where, *texts[:length])
        cached = sum(sizes[:read])
        written = max(0, sum(sizes[: max(lengths, default=0)]) - cached)
        return dataclasses.replace(used, cached=cached, written=written)
