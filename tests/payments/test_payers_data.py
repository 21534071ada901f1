"""What payment services say of payers is in no log, however talkative it is set."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from bots.logs import configure_logging
from core.money import parse_usd
from payments.gateways.http import GatewayClient
from payments.gateways.stripe import StripeGateway
from payments.types import GatewayUnavailable, RefundDeclined
from tests.payments.http_support import Peer, peer  # noqa: F401 - a fixture
from tests.peers import stripe as fake
from tests.system.canaries import Everything, found

PAYER = ("canary.name", "canary.mail@example.org", "canary.street", "canary.session", "canary.ip")
#: Everything that a service may say of somebody.
TOLD = {
    "id": "cs_canary.session",
    "object": "checkout.session",
    "customer_details": {"name": "canary.name", "email": "canary.mail@example.org"},
    "shipping": {"address": {"line1": "canary.street"}},
    "error": {"message": "canary.name lives in canary.street", "type": "api_error"},
}


@pytest.fixture
def logs() -> Iterator[Everything]:
    """What is written at the most talkative setting."""
    root, handler = logging.getLogger(), Everything()
    handlers = root.handlers
    loggers = [root, *(logging.getLogger(name) for name in list(root.manager.loggerDict))]
    levels = [(logger, logger.level) for logger in loggers]
    configure_logging("debug")
    root.handlers = [*handlers, handler]
    yield handler
    root.handlers = handlers
    for logger, level in levels:
        logger.setLevel(level)


def tell(status: int) -> Any:
    headers = {"Set-Cookie": "who=canary.ip", "X-Payer": "canary.name"}
    return lambda: web.Response(status=status, text=json.dumps(TOLD), headers=headers)


@pytest.mark.parametrize("status", [200, 402, 404, 500])
async def test_by_stripe(peer: Peer, logs: Everything, status: int) -> None:  # noqa: F811
    peer.answers = [tell(status)]
    gateway = StripeGateway(
        api_key=SecretStr(fake.KEY),
        webhook_secret=SecretStr(fake.WEBHOOK_SECRET),
        return_url="https://bot.example/paid",
        api_url=peer.url,
    )
    order: Any = SimpleNamespace(id="ord_1", external_id="cs_canary.session")
    for call in (
        gateway.fetch_order(order),
        gateway.refund_payment(order, "pi_1", parse_usd("1"), "canary.street"),
    ):
        with pytest.raises((GatewayUnavailable, RefundDeclined, AttributeError)):
            await call
    await gateway.close()
    assert len(peer.asked) >= 2
    logging.getLogger("payments").debug("talkative")
    assert any("talkative" in line for line in logs.lines)
    assert [line for line in logs.lines if found((*PAYER, fake.KEY), line)] == []


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_by_any_other(peer: Peer, logs: Everything, status: int) -> None:  # noqa: F811
    peer.answers = [tell(status)]
    client = GatewayClient("paypal", peer.url)
    try:
        await client.request(
            "GET", "/payers/canary.mail@example.org", headers={"X": "canary.key"}, idempotent=False
        )
    except GatewayUnavailable:
        assert status == 500
    await client.close()
    assert [line for line in logs.lines if found((*PAYER, "canary.key"), line)] == []
