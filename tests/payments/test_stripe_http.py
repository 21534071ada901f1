"""Stripe's library over our own HTTP client: bounded as every gateway's, retried as it means to."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.money import parse_usd
from payments.gateways import stripe as gateways, stripe_client
from payments.gateways.stripe import StripeGateway
from payments.types import GatewayUnavailable
from tests.payments.http_support import MB, Peer, of, peer, set_dead_proxy  # noqa: F401 - a fixture
from tests.peers import stripe as fake
from tests.peers.raw_supplier import RawAnswer, raw_supplier
from tests.peers.stripe import FakeStripe

Open = Callable[[str], StripeGateway]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stripe.HTTPClient.INITIAL_DELAY", 0.0)


@pytest_asyncio.fixture
async def opens() -> AsyncIterator[Open]:
    gateways_: list[StripeGateway] = []

    def open_at(url: str) -> StripeGateway:
        gateways_.append(
            StripeGateway(
                api_key=SecretStr(fake.KEY),
                webhook_secret=SecretStr(fake.WEBHOOK_SECRET),
                return_url="https://bot.example/paid",
                api_url=url,
            )
        )
        return gateways_[-1]

    yield open_at
    for gateway in gateways_:
        await gateway.close()


async def is_unavailable(call: Awaitable[object]) -> None:
    with pytest.raises(GatewayUnavailable):
        await call


async def test_no_proxy_of_the_environment(opens: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    set_dead_proxy(monkeypatch)
    async with FakeStripe() as stripe:
        await opens(stripe.url).check_account()


async def test_a_redirect_is_not_followed(opens: Open, peer: Peer) -> None:  # noqa: F811
    peer.answers = [of(302, Location="/b")]
    await is_unavailable(opens(peer.url).check_account())
    assert set(peer.asked) == {"/v1/checkout/sessions"}


@pytest.mark.slow
async def test_a_compressed_answer_is_not_unpacked(opens: Open, peer: Peer) -> None:  # noqa: F811
    bomb = gzip.compress(bytes(256 * MB), 9)
    peer.answers = [of(200, bomb, **{"Content-Encoding": "gzip"})]
    tracemalloc.start()
    try:
        await is_unavailable(opens(peer.url).check_account())
        assert tracemalloc.get_traced_memory()[1] < 8 * MB
    finally:
        tracemalloc.stop()
    assert peer.encodings == {"identity"}


async def test_an_endless_answer_is_left(opens: Open) -> None:
    told = RawAnswer([b" " * 65_536] * 16_000, "close", "application/json")
    tracemalloc.start()
    try:
        async with raw_supplier(told) as server:
            await is_unavailable(opens(server.url).check_account())
        assert tracemalloc.get_traced_memory()[1] < 40 * MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("after", ["silent", "keep-alive"])
async def test_an_answer_by_drops_ends_at_the_deadline(
    opens: Open, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_client, "_ATTEMPT_SECONDS", 0.2)
    told = RawAnswer([b"[1"], after, "application/json")  # type: ignore[arg-type]
    async with raw_supplier(told) as server:
        await is_unavailable(opens(server.url).check_account())
        assert server.requests <= 3


async def test_all_tries_together_have_a_deadline(
    opens: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "_CALL_SECONDS", 0.2)
    async with raw_supplier(RawAnswer([b"[1"], "silent", "application/json")) as server:
        await is_unavailable(opens(server.url).check_account())
        assert server.requests <= 1


async def test_every_try_of_a_refund_has_the_same_key(opens: Open, peer: Peer) -> None:  # noqa: F811
    """Stripe's library sends it, so the same call thrice gives back once."""
    peer.answers = [of(503)]
    order: Any = SimpleNamespace(id="ord_1")
    call = opens(peer.url).refund_payment(order, "pi_1", parse_usd("3"), "refund/1")
    await is_unavailable(call)
    assert peer.asked == ["/v1/refunds"] * 3
    assert peer.keys == ["refund:refund/1"] * 3
