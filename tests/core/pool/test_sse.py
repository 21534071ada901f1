"""The event parser: whatever way a server cuts and spaces its events, and never without a bound."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import given, strategies as st

from core.pool.providers import sse
from core.pool.providers.types import SupplierFault


async def _body(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_events_before_a_broken_connection_are_given() -> None:
    """Also one whose newline is missing, where it is whole by itself."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"data: 1\n\ndata: [DONE]"
        raise aiohttp.ClientPayloadError("cut")

    events = sse.EventReader(broken())
    assert [await anext(events), await anext(events)] == [(b"", b"1"), (b"", b"[DONE]")]
    with pytest.raises(aiohttp.ClientPayloadError):
        await anext(events)


async def parsed(*chunks: bytes) -> list[tuple[bytes, bytes]]:
    return [event async for event in sse.EventReader(_body(*chunks))]


async def test_the_forms_that_servers_use() -> None:
    stream = (
        b": keep-alive\n\n"
        b"data: one\n\n"
        b"event: ping\r\ndata:two\r\n\r\n"
        b"id: 7\nretry: 3\nunknown\ndata: a\ndata:  b\n\n"
        b"event: nothing\n\n"
        b"data: [DONE]"
    )
    assert await parsed(stream) == [
        (b"", b"one"),
        (b"ping", b"two"),
        (b"", b"a\n b"),
        (b"", b"[DONE]"),
    ]


@given(cuts=st.lists(st.integers(0, 60), max_size=8))
async def test_bytes_may_be_cut_anywhere(cuts: list[int]) -> None:
    stream = 'event: x\r\ndata: {"text":"天空 🏳️‍🌈"}\r\n\r\ndata: [DONE]\n\n'.encode()
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert await parsed(*chunks) == [(b"x", '{"text":"天空 🏳️‍🌈"}'.encode()), (b"", b"[DONE]")]


@pytest.mark.parametrize("line", [b"x" * (1 << 16), b"data: " + b"x" * (1 << 16) + b"\n"])
async def test_an_endless_event_is_given_up(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "EVENT_BYTES_MAX", 1 << 20)
    with pytest.raises(SupplierFault, match="oversize"):
        await parsed(*[line] * 20)


@pytest.mark.parametrize("line", [b": ping\n\n", b"\n", b"event: x\n", b"data:\n", b"data: 1\n"])
async def test_lines_without_an_event_are_given_up(
    line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "SILENT_LINES_MAX", 1_000)
    with pytest.raises(SupplierFault, match="silent"):
        await parsed(*[b"data: x\n\n", *[line] * 1_100])


async def test_bytes_without_an_event_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "SILENT_BYTES_MAX", 1_000)
    comment = b": " + b"x" * 90 + b"\n"
    assert len(await parsed(*[comment * 9, b"data: x\n\n"] * 20)) == 20
    with pytest.raises(SupplierFault, match="silent"):
        await parsed(*[comment] * 20)


async def test_others_have_their_turn_while_much_is_there_at_once() -> None:
    """Nothing of it has to be waited for."""
    turns, read = 0, 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count())
    async for _ in sse.EventReader(_body(*[b'data: {"x":1}\n\n' * 20_000] * 2)):
        read += 1
    others.cancel()
    assert read == 40_000
    assert turns >= 2 * 15 * 20_000 // (16 << 10) - 2


async def test_an_endless_stream_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "STREAM_BYTES_MAX", 1_000)
    with pytest.raises(SupplierFault, match="oversize"):
        await parsed(*[b"data: x\n\n"] * 1_000)


@given(
    blocks=st.lists(
        st.sampled_from(
            ["data: 1", "data: {}", "data:2", "data: ", "data", ": x", "event: e\ndata: 3", "",
             "\n", "data: 4\ndata: 5", "data: [DONE]", "id: 1", "data: 6\r", "\r", "error: no"]
        ),
        max_size=8,
    ),
    end=st.sampled_from(["\n\n", "\n", "", "\r\n\r\n"]),
)  # fmt: skip
async def test_whole_events_are_what_their_bytes_are_one_by_one(
    blocks: list[str], end: str
) -> None:
    """What comes as nothing but whole events is read in one go, and to the same."""
    stream = ("\n\n".join(blocks) + end).encode()
    one_by_one = [bytes([byte]) for byte in stream]
    assert await parsed(b"data: 0\n\n", stream) == await parsed(b"data: 0\n\n", *one_by_one)
