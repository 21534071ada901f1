"""HTTP as gateways speak it: nowhere else than asked, not forever, and again only where it may."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable

import pytest
from aiohttp import web

from payments.gateways import http
from payments.gateways.http import GatewayClient, GatewayResponse
from payments.types import GatewayUnavailable
from tests.payments.http_support import MB, Peer, of, peer, set_dead_proxy
from tests.peers.raw_supplier import RawAnswer, raw_supplier

__all__ = ["peer"]


async def ask(peer: Peer | str, *, again: bool = True) -> GatewayResponse:
    wire = GatewayClient("sandbox", peer if isinstance(peer, str) else peer.url)
    try:
        return await wire.request("GET", "/a", headers={"X": "secret"}, idempotent=again)
    finally:
        await wire.close()


def fine() -> web.Response:
    return web.json_response({"done": True})


@pytest.mark.parametrize(
    "trouble", [of(500), of(503), of(429), of(200, b"<html>"), of(200, b"[" * 100_000)]
)
async def test_what_passes_is_tried_again_where_it_may_be(
    peer: Peer, trouble: Callable[[], web.Response]
) -> None:
    peer.answers = [trouble, trouble, fine]
    assert (await ask(peer)).body == {"done": True}
    assert len(peer.asked) == 3
    peer.answers, peer.asked = [trouble, fine], []
    with pytest.raises(GatewayUnavailable):
        await ask(peer, again=False)
    assert len(peer.asked) == 1


@pytest.mark.parametrize(
    "trouble", [of(302, Location="/b"), of(308, Location="/b"), of(200, b"x" * (9 << 20))]
)
async def test_nobody_is_led_elsewhere_or_flooded(
    peer: Peer, trouble: Callable[[], web.Response]
) -> None:
    peer.answers = [trouble]
    with pytest.raises(GatewayUnavailable):
        await ask(peer)
    assert set(peer.asked) == {"/a"}


@pytest.mark.slow
async def test_a_compressed_answer_is_neither_asked_for_nor_unpacked(peer: Peer) -> None:
    bomb = gzip.compress(bytes(256 * MB), 9)
    peer.answers = [of(200, bomb, **{"Content-Encoding": "gzip"})]
    tracemalloc.start()
    try:
        with pytest.raises(GatewayUnavailable):
            await ask(peer)
        assert tracemalloc.get_traced_memory()[1] < 4 * MB
    finally:
        tracemalloc.stop()
    assert peer.encodings == {"identity"}


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_an_endless_answer_is_left(framing: str) -> None:
    told = RawAnswer([b" " * 65_536] * 16_000, "close", "application/json", framing=framing)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        async with raw_supplier(told) as server:
            with pytest.raises(GatewayUnavailable):
                await ask(server.url)
            assert server.requests == 3
        assert tracemalloc.get_traced_memory()[1] < 40 * MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("after", ["silent", "keep-alive"])
@pytest.mark.parametrize("again", [False, True])
async def test_an_answer_by_drops_ends_at_the_deadline(
    after: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_ATTEMPT_SECONDS", 0.2)
    told = RawAnswer([b"[1"], after, "application/json")  # type: ignore[arg-type]
    async with raw_supplier(told) as server:
        with pytest.raises(GatewayUnavailable):
            await ask(server.url, again=again)
        # On a busy machine some end before the server has read them.
        assert server.requests <= (3 if again else 1)


async def test_all_tries_together_have_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_CALL_SECONDS", 0.2)
    async with raw_supplier(RawAnswer([b"[1"], "silent", "application/json")) as server:
        with pytest.raises(GatewayUnavailable):
            await ask(server.url)
        assert server.requests <= 1


async def test_no_cookie_is_kept(peer: Peer) -> None:
    peer.answers = [of(200, **{"Set-Cookie": "a=b"})]
    wire = GatewayClient("sandbox", peer.url)
    for _ in range(2):
        await wire.request("GET", "/a", headers={}, idempotent=True)
    await wire.close()
    assert peer.cookies == [{}, {}]


async def test_a_refusal_is_an_answer(peer: Peer) -> None:
    peer.answers = [of(404, b"no such thing")]
    answer = await ask(peer)
    assert (answer.status, answer.body, answer.is_ok) == (404, None, False)
    assert len(peer.asked) == 1


async def test_no_proxy_of_the_environment(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_dead_proxy(monkeypatch)
    peer.answers = [fine]
    assert (await ask(peer)).is_ok


async def test_whoever_is_not_there_is_unavailable(peer: Peer) -> None:
    peer.url = "http://127.0.0.1:1"
    with pytest.raises(GatewayUnavailable):
        await ask(peer)


@pytest.mark.parametrize("oddity", [StopIteration, KeyError, AttributeError, OverflowError])
def test_an_answer_in_another_shape_is_no_answer(oddity: type[Exception]) -> None:
    with pytest.raises(GatewayUnavailable), http.translate_parse_errors("paypal"):
        raise oddity
