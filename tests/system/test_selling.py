"""The operator's side of payments on the command line, against gateways on loopback."""

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
from tests.fakes import btcpay as fake_btcpay
from tests.fakes import paypal as fake_paypal
from tests.fakes import stripe as fake
from tests.fakes.btcpay import FakeBtcPay
from tests.fakes.paypal import FakePayPal
from tests.fakes.paypal_webhooks import WEBHOOK_ID
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


def opens(place: Place, **settings: str) -> None:
    """A place with a database, a public address and a gateway."""
    place.secrets |= {MASTER_KEY, fake_paypal.SECRET, fake_btcpay.KEY, fake_btcpay.WEBHOOK_SECRET}
    place.settings |= {
        "database_url": f"sqlite:///{place.database}",
        "master_keys": MASTER_KEY,
        "public_url": "https://bot.example",
        **settings,
    }


async def test_check_names_what_is_wrong_at_paypal(place: Place) -> None:
    async with FakePayPal() as paypal:
        opens(
            place,
            paypal_client_id=fake_paypal.CLIENT_ID,
            paypal_client_secret=fake_paypal.SECRET,
            paypal_webhook_id=WEBHOOK_ID,
            paypal_api_url=paypal.url,
        )
        await place.creditbot("migrate")

        async def says() -> str:
            return (await place.creditbot("check", code=1)).out

        assert "✓ paypal: lets us in" in await says()
        paypal.webhook["event_types"].pop()
        assert "✗ paypal: its webhook lacks CUSTOMER.DISPUTE.RESOLVED" in await says()
        paypal.webhook["url"] = "https://elsewhere.example/webhooks/paypal"
        wanted = "https://bot.example/webhooks/paypal"
        assert f"✗ paypal: its webhook must lead to {wanted}" in await says()
        paypal.webhook["id"] = "ANOTHER"
        assert "✗ paypal: PayPal knows no webhook of that id" in await says()
        paypal.reads_disputes = False
        assert "✗ paypal: its app may not read disputes" in await says()
        place.settings["paypal_client_secret"] = "of-the-sandbox"
        assert "✗ paypal: PayPal refuses the client id" in await says()
        paypal.broken = True
        assert "✗ paypal: doesn't let us in" in await says()


async def test_check_names_what_is_wrong_at_a_btcpay_server(place: Place) -> None:
    async with FakeBtcPay() as btcpay:
        opens(
            place,
            btcpay_url=btcpay.url,
            btcpay_store_id=fake_btcpay.STORE,
            btcpay_api_key=fake_btcpay.KEY,
            btcpay_webhook_secret=fake_btcpay.WEBHOOK_SECRET,
        )
        await place.creditbot("migrate")

        async def says() -> str:
            return (await place.creditbot("check", code=1)).out

        assert "✓ btcpay: lets us in" in await says()
        missing = btcpay.permissions.pop()
        lacks = missing.partition(":")[0]
        assert f"✗ btcpay: its key lacks {lacks} on that store" in await says()
        btcpay.permissions.append(f"btcpay.store.cancreatepullpayments:{fake_btcpay.STORE}")
        assert "✓ btcpay: lets us in" in await says()
        place.settings["btcpay_store_id"] = "another"
        assert "✗ btcpay: its key lacks btcpay.store.cancreateinvoice" in await says()
        place.settings["btcpay_api_key"] = "of-nobody"
        assert "✗ btcpay: the server refuses the key" in await says()


async def test_each_gateway_needs_all_of_its_settings(place: Place) -> None:
    opens(place, paypal_webhook_id=WEBHOOK_ID, btcpay_url="https://pay.example", http_port="0")
    del place.settings["public_url"]
    said = await place.refused("payments", "reconcile")
    for name in ("PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "PUBLIC_URL", "HTTP_PORT"):
        assert f"CREDITBOT_{name} " in said
    for name in ("BTCPAY_STORE_ID", "BTCPAY_API_KEY", "BTCPAY_WEBHOOK_SECRET"):
        assert f"CREDITBOT_{name} is needed with BTCPay" in said
    assert "anyone could forge payments" in said


async def test_the_sandbox_of_paypal_is_called_by_its_name(place: Place) -> None:
    opens(
        place,
        paypal_client_id=fake_paypal.CLIENT_ID,
        paypal_client_secret=fake_paypal.SECRET,
        paypal_webhook_id=WEBHOOK_ID,
        paypal_api_url="http://127.0.0.1:1/sandbox",
    )
    await place.creditbot("migrate")
    assert "play money" in (await place.creditbot("check", code=1)).out
