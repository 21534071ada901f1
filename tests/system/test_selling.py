"""The operator's side of payments on the command line, against a Stripe on loopback."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import pytest_asyncio

from core import chart
from core.clock import SystemClock
from core.ledger import Ledger, audit
from core.store import Store
from core.units import usd
from tests.databases import TestClock
from tests.fakes import stripe as fake
from tests.fakes.stripe import FakeStripe
from tests.payments.conftest import Shop
from tests.system.commandline import Place, place, press

__all__ = ["place", "press"]

MASTER_KEY = base64.b64encode(bytes([1]) * 32).decode()


@pytest_asyncio.fixture
async def stripe() -> AsyncIterator[FakeStripe]:
    async with FakeStripe() as served:
        yield served


def sells(place: Place, stripe: FakeStripe, key: str = fake.KEY) -> None:
    place.secrets |= {key, fake.WEBHOOK_SECRET, MASTER_KEY}
    place.settings |= {
        "database_url": f"sqlite:///{place.database}",
        "master_keys": MASTER_KEY,
        "stripe_secret_key": key,
        "stripe_webhook_secret": fake.WEBHOOK_SECRET,
        "stripe_api_url": stripe.url,
        "public_url": "https://bot.example",
    }


async def test_what_no_message_told_is_found_from_the_command_line(
    place: Place, stripe: FakeStripe
) -> None:
    sells(place, stripe)
    await place.creditbot("migrate")
    store = await Store.open(f"sqlite:///{place.database}", kind=None, clock=SystemClock())
    earlier = TestClock(SystemClock().now_ms() - 600_000)
    ledger = Ledger(store, earlier)
    await ledger.start()
    shop = Shop(store, ledger, earlier)
    person = await shop.person()
    order = await shop.order(person, usd("90"))
    stripe.sessions["cs_test_1"] = {
        "id": "cs_test_1",
        "object": "checkout.session",
        "mode": "payment",
        "client_reference_id": order.id,
        "currency": "usd",
        "amount_total": 9_000,
        "status": "open",
        "payment_status": "unpaid",
        "payment_intent": None,
    }
    await shop.orders.begun(order, external="cs_test_1", url="https://pay.example")
    stripe.pay("cs_test_1", fee=291)
    await ledger.stop()
    done = await place.creditbot("payments", "reconcile")
    assert "1 orders changed" in done.out
    done = await place.creditbot("payments", "reconcile")
    assert "0 orders changed" in done.out
    ledger = Ledger(store, earlier)
    await ledger.start()
    balances = await ledger.balances(chart.pockets(person))
    assert sum(balance.posted for balance in balances.values()) == 10_000
    await ledger.stop()
    assert not (await audit(store)).findings
    await store.close()


async def test_check_says_whether_the_gateway_lets_us_in(place: Place, stripe: FakeStripe) -> None:
    sells(place, stripe)
    await place.creditbot("migrate")
    assert "✓ stripe: lets us in" in (await place.creditbot("check", code=1)).out
    sells(place, stripe, key="sk_test_of_nobody")
    assert "✗ stripe: doesn't let us in" in (await place.creditbot("check", code=1)).out


async def test_stripe_needs_its_secret_and_an_address(place: Place, stripe: FakeStripe) -> None:
    sells(place, stripe)
    for name in ("stripe_webhook_secret", "public_url"):
        del place.settings[name]
    said = await place.refused("payments", "reconcile")
    assert "CREDITBOT_STRIPE_WEBHOOK_SECRET" in said
    assert "CREDITBOT_PUBLIC_URL" in said


async def test_where_nothing_is_sold_there_is_nothing_to_reconcile(place: Place) -> None:
    assert "No payment gateway is set" in await place.refused("payments", "reconcile")
