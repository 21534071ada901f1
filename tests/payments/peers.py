"""Gateways with their peers on loopback, so that one test serves them all: who pays, and what the
peer tells of it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from bots.sandbox.payment_service import SandboxPaymentService
from payments.gateways.btcpay.checkout import SIGNATURE_HEADER as BTCPAY_SIGNATURE
from payments.gateways.sandbox import SIGNATURE_HEADER, sign_message
from payments.types import Order
from tests.payments.conftest import Message
from tests.payments.gateway_clients import SANDBOX_SECRET
from tests.peers import btcpay, paypal_webhooks, stripe
from tests.peers.btcpay import FakeBtcPay
from tests.peers.paypal import FakePayPal
from tests.peers.stripe import FakeStripe


@dataclass(frozen=True, slots=True)
class Peer:
    """A payment service."""

    name: str
    url: str
    #: The payer does all that is theirs to do.
    pays: Callable[[Order], Awaitable[None]]
    #: One of the messages that come of it, a new one each time.
    tells: Callable[[Order], Message]


@contextlib.asynccontextmanager
async def peer_of(name: str) -> AsyncIterator[Peer]:
    """The service of that name."""
    peers = {"sandbox": _sandbox, "paypal": _paypal, "btcpay": _btcpay, "stripe": _stripe}
    async with peers[name]() as peer:
        yield peer


@contextlib.asynccontextmanager
async def _sandbox() -> AsyncIterator[Peer]:
    checkout, told = SandboxPaymentService(SANDBOX_SECRET), 0

    async def pays(order: Order) -> None:
        async with browser.post(f"{order.url}/pay", allow_redirects=False) as done:
            assert done.status == 303

    def tells(order: Order) -> Message:
        nonlocal told
        told += 1
        body = json.dumps({"id": f"evt_{told}", "checkout": order.external_id}).encode()
        return body, {SIGNATURE_HEADER: sign_message(SANDBOX_SECRET, body, int(time.time()))}

    url = await checkout.start()
    try:
        async with aiohttp.ClientSession() as browser:
            yield Peer("sandbox", url, pays, tells)
    finally:
        await checkout.stop()


@contextlib.asynccontextmanager
async def _paypal() -> AsyncIterator[Peer]:
    async with FakePayPal() as fake:

        async def pays(order: Order) -> None:
            fake.approve(order.external_id)

        def tells(order: Order) -> Message:
            about = fake.orders[order.external_id]
            body = paypal_webhooks.event("CHECKOUT.ORDER.APPROVED", about)
            return body, paypal_webhooks.headers(body)

        yield Peer("paypal", fake.url, pays, tells)


@contextlib.asynccontextmanager
async def _btcpay() -> AsyncIterator[Peer]:
    async with FakeBtcPay() as fake:

        async def pays(order: Order) -> None:
            fake.pay(order.external_id, "3.337")
            fake.pay(order.external_id)

        def tells(order: Order) -> Message:
            body = fake.event("InvoicePaymentSettled", order.external_id)
            return body, {BTCPAY_SIGNATURE: btcpay.signature(body)}

        yield Peer("btcpay", fake.url, pays, tells)


@contextlib.asynccontextmanager
async def _stripe() -> AsyncIterator[Peer]:
    async with FakeStripe() as fake:

        async def pays(order: Order) -> None:
            fake.pay(order.external_id)

        def tells(order: Order) -> Message:
            about = fake.sessions[order.external_id]
            body = fake.event("checkout.session.completed", about)
            return body, {"stripe-signature": stripe.signature(body)}

        yield Peer("stripe", fake.url, pays, tells)
