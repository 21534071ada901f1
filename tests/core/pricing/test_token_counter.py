"""Token counts: exact where the tokenizer ships, from above elsewhere, nothing downloaded."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from importlib import resources
from pathlib import Path

import pytest

from core.money import Tokens
from core.pricing import token_counter
from core.pricing.catalogue import Catalogue
from core.pricing.token_counter import Encoding, count_message_tokens, count_tokens
from tests.support import brief

CATALOGUE = Catalogue.load()
GPT, CLAUDE = CATALOGUE.find("gpt"), CATALOGUE.find("claude")
TEXTS = [
    "Why is the sky blue?",
    "天空为什么是蓝色的？",
    "def f(x):\n    return x ** 2  # square\n\n\nprint(f(3))\r\n",
    "I'll we've DON'T 12345 3.14159 — naïve café 🏳️‍🌈 <|endoftext|>",
    "   \n\n\t  x",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["o200k", "cl100k"])
def test_the_shipped_encodings_are_tiktokens_own(
    name: Encoding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tiktoken

    packed = resources.files("core.pricing").joinpath("data", f"{name}_base.tiktoken.gz")
    url = f"https://openaipublic.blob.core.windows.net/encodings/{name}_base.tiktoken"
    cached = tmp_path / hashlib.sha1(url.encode()).hexdigest()
    cached.write_bytes(gzip.decompress(packed.read_bytes()))
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    theirs, ours = tiktoken.get_encoding(f"{name}_base"), token_counter.load_encoding(name)
    for text in TEXTS:
        assert ours.encode_ordinary(text) == theirs.encode_ordinary(text)


async def test_a_short_prompt_has_the_count_that_openai_bills() -> None:
    assert await count_tokens(GPT, "Why is the sky blue?") == Tokens(6)
    assert await count_tokens(brief.GPT_4, "Why is the sky blue?") == Tokens(6)
    assert await count_tokens(GPT, "") == Tokens(0)


async def test_other_tokenizers_get_an_estimate_from_above() -> None:
    for text in TEXTS:
        exact = (await count_tokens(GPT, text)).units
        estimate = (await count_tokens(CLAUDE, text)).units
        assert estimate * 100 >= exact * token_counter.ESTIMATE_PERCENT
        assert estimate * token_counter.ESTIMATE_BYTES >= len(text.encode())


async def test_a_call_costs_its_texts_and_the_stated_overheads() -> None:
    texts = ["You are kind.", "Why is the sky blue?"]
    alone = [(await count_tokens(GPT, text)).units for text in texts]
    assert await count_message_tokens(GPT, texts) == Tokens(sum(alone) + 2 * 8 + 16)


async def test_long_and_hostile_texts_are_counted_beside_the_loop() -> None:
    hostile = ["a" * 100_000, " " * 100_000, "🏳️‍🌈" * 10_000, "\ud800" * 10_000, "x\u0301" * 50_000]
    ticks = 0

    async def ticking() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticker = asyncio.create_task(ticking())
    for text in hostile:
        before = ticks
        assert (await count_tokens(CLAUDE, text)).units >= len(
            text.encode("utf-8", "surrogatepass")
        ) // 3
        assert ticks > before
    ticker.cancel()


async def test_damaged_ranks_are_noticed() -> None:
    with pytest.raises(ValueError, match="damaged"):
        token_counter._parse_ranks(gzip.compress(b"IQ== 0\n"), "0" * 64)
