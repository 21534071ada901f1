"""Counts tokens, to quote before an answer and to bill where a supplier reports no usage.

OpenAI's models are counted exactly, by tiktoken on ranks that ship. Others publish no tokenizer
that is small enough to ship, so their tokens are estimated, and never too few: `ESTIMATE_PERCENT`.

Loading an encoding takes 0.3 s and 50 MB (o200k), so nothing is loaded before its first use, only
one encoding stays, and loading and long texts have a thread of their own, off the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import tomllib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Literal, Protocol

from core.money import Tokens
from core.pricing.catalogue import Model

#: What a message costs beyond its text: roles and separators. Suppliers take 3 to 7.
MESSAGE_OVERHEAD = Tokens(8)
#: What a call costs beyond its messages: the opening of the answer, hidden instructions.
CALL_OVERHEAD = Tokens(16)

#: The estimate for other tokenizers: 1.4 × o200k (measured by their makers: up to 1.35 × for the
#: newest ones, less for most), and never under a token per three bytes.
ESTIMATE_PERCENT = 140
ESTIMATE_BYTES = 3

#: Up to so many characters counting is so quick (10 µs a hundred tokens) that a thread costs more.
_INLINE_CHARS = 4_000
#: Longer texts are cut: the splitter's time grows faster than a run without spaces.
_CHUNK_CHARS = 20_000

Encoding = Literal["o200k", "cl100k"]


class _Encoder(Protocol):
    def encode_ordinary(self, text: str) -> list[int]: ...


class _EncodingCounter:
    """The counter counts tokens by the one encoding that is in memory, on a thread of its own."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._name: Encoding | None = None
        self._encoder: _Encoder | None = None

    async def count(self, name: Encoding, texts: Sequence[str]) -> list[int]:
        """The tokens of each text; when all together are short, and the encoding is loaded, they
        are counted at once."""
        is_short = sum(map(len, texts)) <= _INLINE_CHARS
        if is_short and self._name == name and self._encoder is not None:
            return [len(self._encoder.encode_ordinary(text)) for text in texts]
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="tokens")
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._count, name, texts
        )

    def _count(self, name: Encoding, texts: Sequence[str]) -> list[int]:
        if self._name != name or self._encoder is None:
            self._name, self._encoder = None, None
            self._encoder, self._name = load_encoding(name), name
        encode = self._encoder.encode_ordinary
        return [
            sum(
                len(encode(text[start : start + _CHUNK_CHARS]))
                for start in range(0, len(text), _CHUNK_CHARS)
            )
            for text in texts
        ]


_COUNTER = _EncodingCounter()


async def count_tokens(model: Model, text: str) -> Tokens:
    """The tokens of a text for a model: exact for OpenAI's tokenizers, else estimated."""
    (tokens,) = await _count_each(model, [text])
    return tokens


async def count_message_tokens(model: Model, texts: Iterable[str]) -> Tokens:
    """The tokens of a call's prompt: its messages' texts with both overheads."""
    total = CALL_OVERHEAD
    for tokens in await _count_each(model, list(texts)):
        total += tokens + MESSAGE_OVERHEAD
    return total


async def _count_each(model: Model, texts: Sequence[str]) -> list[Tokens]:
    """The tokens of each text, in one go: many short ones are as much work as a long one."""
    if not any(texts):
        return [Tokens(0)] * len(texts)
    if model.tokenizer != "estimate":
        return [Tokens(count) for count in await _COUNTER.count(model.tokenizer, texts)]
    return [
        _estimate(count, text)
        for count, text in zip(await _COUNTER.count("o200k", texts), texts, strict=True)
    ]


def _estimate(count: int, text: str) -> Tokens:
    size = len(text.encode("utf-8", "surrogatepass"))
    return Tokens(max(-(-count * ESTIMATE_PERCENT // 100), -(-size // ESTIMATE_BYTES)))


def load_encoding(name: Encoding) -> _Encoder:
    """Loads an encoding from the ranks that ship; raises ValueError when they are damaged."""
    import tiktoken

    data = resources.files("core.pricing").joinpath("data")
    encoding = tomllib.loads(data.joinpath("encodings.toml").read_text("utf-8"))[name]
    ranks = _parse_ranks(data.joinpath(encoding["ranks"]).read_bytes(), encoding["sha256"])
    encoder = tiktoken.Encoding(
        name, pat_str="|".join(encoding["pattern"]), mergeable_ranks=ranks, special_tokens={}
    )
    # The encoder has copied the ranks to its own tables: the Python copy is 30 MB for nothing.
    ranks.clear()
    return encoder


def _parse_ranks(packed: bytes, sha256: str) -> dict[bytes, int]:
    unpacked = gzip.decompress(packed)
    if hashlib.sha256(unpacked).hexdigest() != sha256:
        raise ValueError("the token ranks are damaged: install again")
    rows = (line.split() for line in unpacked.splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in rows}
