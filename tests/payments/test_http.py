"""HTTP as gateways speak it: nowhere else than asked, not forever, and again only where it may."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import web

from payments.gateways import http
from payments.gateways.http import GatewayClient, GatewayResponse
from payments.types import GatewayUnavailable


@dataclass
class Peer:
    """Answers what it is told to, the last one from then on."""

    url: str = ""
    answers: list[Callable[[], web.Response]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield made
    await runner.cleanup()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_PAUSE_SECONDS", 0.0)


async def ask(peer: Peer, *, again: bool = True) -> GatewayResponse:
    wire = GatewayClient("sandbox", peer.url)
    try:
        return await wire.request("GET", "/a", headers={"X": "secret"}, idempotent=again)
    finally:
        await wire.close()


def fine() -> web.Response:
    return web.json_response({"done": True})


def of(status: int, body: bytes = b"{}", **headers: str) -> Callable[[], web.Response]:
    return lambda: web.Response(status=status, body=body, headers=headers)


@pytest.mark.parametrize("trouble", [of(500), of(503), of(429), of(200, b"<html>")])
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


async def test_a_refusal_is_an_answer(peer: Peer) -> None:
    peer.answers = [of(404, b"no such thing")]
    answer = await ask(peer)
    assert (answer.status, answer.body, answer.is_ok) == (404, None, False)
    assert len(peer.asked) == 1


async def test_no_proxy_of_the_environment(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
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
