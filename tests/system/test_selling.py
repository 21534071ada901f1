"""The operator's side of payments on the command line, against gateways on loopback."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core import chart
from core.clock import SystemClock
from core.db.database import Database
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.money import Stars, parse_usd
from payments.types import Payment
from tests.payments.conftest import Shop
from tests.peers import (
    btcpay as fake_btcpay,
    discord as discord_fake,
    paypal as fake_paypal,
    stripe as fake,
    telegram as telegram_fake,
)
from tests.peers.btcpay import FakeBtcPay
from tests.peers.discord import FakeDiscord
from tests.peers.paypal import FakePayPal
from tests.peers.paypal_webhooks import WEBHOOK_ID
from tests.peers.stripe import FakeStripe
from tests.peers.telegram import FakeTelegram
from tests.support.databases import TestClock
from tests.system.commandline import Place, place, press
from tests.system.peers import discord

__all__ = ["discord", "place", "press"]

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
    store = await Database.open(f"sqlite:///{place.database}", kind=None, clock=SystemClock())
    earlier = TestClock(SystemClock().now_ms() - 600_000)
    ledger = Ledger(store, earlier)
    await ledger.start()
    shop = Shop(store, ledger, earlier)
    person = await shop.person()
    order = await shop.order(person, parse_usd("90"))
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
    await shop.orders.mark_pending(order, external_id="cs_test_1", url="https://pay.example")
    stripe.pay("cs_test_1", fee=291)
    await ledger.stop()
    stripe.reads_balance = False
    done = await place.creditbot("payments", "reconcile")
    assert "1 orders changed" in done.out
    done = await place.creditbot("payments", "reconcile")
    assert "0 orders changed" in done.out
    ledger = Ledger(store, earlier)
    await ledger.start()
    balances = await ledger.read_balances(chart.pockets(person))
    assert sum(balance.posted for balance in balances.values()) == 10_000
    await ledger.stop()
    # Ninety cents go back in the dashboard, and others sell by the same account.
    stripe.refund("pi_000001", 90)
    stripe.refund("pi_theirs", 400)
    stripe.reads_balance = True
    for name in ("pi_000001", "re_000002", "re_000003"):
        stripe.created[name] = int(time.time()) - 600
    done = await place.creditbot("payments", "reconcile", "--full")
    assert "stripe: 2 movements there, $90.00 in, $0.90 out, $89.10 left; booked $89.10" in done.out
    assert "not ours: 1 movements, −$4.00" in done.out
    assert (await place.creditbot("audit")).out.endswith("The ledger is exact.\n")
    # A payment that stands in no list of Stripe's: not yet, perhaps.
    ledger = Ledger(store, earlier)
    await ledger.start()
    ghost = Payment("stripe", "pi_ghost", order.id, parse_usd("90"), parse_usd("0"))
    await Shop(store, ledger, earlier).crediting.credit_payment(ghost)
    await ledger.stop()
    done = await place.creditbot("payments", "reconcile", "--full")
    on_its_way = f"on the way (less than a day old): {order.id}: there $89.10, booked $179.10"
    assert on_its_way in done.out
    assert (await place.creditbot("audit")).out.endswith("The ledger is exact.\n")
    assert not (await check_ledger(store)).findings
    await store.close()


async def test_check_says_whether_the_gateway_lets_us_in(place: Place, stripe: FakeStripe) -> None:
    sells(place, stripe)
    await place.creditbot("migrate")
    assert "✓ stripe: lets us in" in (await place.creditbot("check", code=1)).out
    sells(place, stripe, key="sk_test_of_nobody")
    assert "✗ stripe: doesn't let us in" in (await place.creditbot("check", code=1)).out


async def test_check_names_what_stripe_does_not_tell(place: Place, stripe: FakeStripe) -> None:
    sells(place, stripe)
    await place.creditbot("migrate")

    async def says() -> str:
        return (await place.creditbot("check", code=1)).out

    (endpoint,) = stripe.endpoints
    everything = endpoint["enabled_events"]
    endpoint["enabled_events"] = [name for name in everything if "dispute" not in name]
    assert "✗ stripe: its webhook lacks charge.dispute.created, charge.dispute" in await says()
    # Two may share what there is to tell; one that is told everything needs no list.
    rest = {**endpoint, "id": "we_000002", "enabled_events": everything[-6:]}
    stripe.endpoints.append(rest)
    assert "✓ stripe: lets us in" in await says()
    stripe.endpoints.remove(rest)
    endpoint["enabled_events"] = ["*"]
    assert "✓ stripe: lets us in" in await says()
    endpoint["status"] = "disabled"
    assert "✗ stripe: its webhook is switched off at Stripe" in await says()
    endpoint["url"] = "https://elsewhere.example/webhooks/stripe"
    wanted = "https://bot.example/webhooks/stripe"
    assert f"✗ stripe: no webhook of the account leads to {wanted}" in await says()
    stripe.reads_webhooks = False
    assert "✓ stripe: lets us in" in await says(), "a restricted key can't be asked"


async def test_stripe_needs_its_secret_and_an_address(place: Place, stripe: FakeStripe) -> None:
    sells(place, stripe)
    for name in ("stripe_webhook_secret", "public_url"):
        del place.settings[name]
    said = await place.refused("payments", "reconcile")
    assert "CREDITBOT_STRIPE_WEBHOOK_SECRET" in said
    assert "CREDITBOT_PUBLIC_URL" in said


async def test_where_nothing_is_sold_there_is_nothing_to_reconcile(place: Place) -> None:
    assert "No payment gateway is set" in await place.refused("payments", "reconcile")


# --- what platforms show themselves -------------------------------------------------------------


def in_chat(place: Place, telegram: FakeTelegram, discord: FakeDiscord, skus: str) -> None:
    place.secrets |= {MASTER_KEY, telegram_fake.TOKEN, discord_fake.TOKEN}
    place.settings |= {
        "database_url": f"sqlite:///{place.database}",
        "master_keys": MASTER_KEY,
        "telegram_token": telegram_fake.TOKEN,
        "telegram_api_url": telegram.url,
        "discord_token": discord_fake.TOKEN,
        "discord_api_url": discord.api_url,
        "discord_gateway_url": discord.gateway_url,
        "discord_skus": skus,
    }


async def test_what_platforms_list_is_found_from_the_command_line(
    place: Place, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    ann, starter = telegram.user(7), discord.store.sku("Starter")
    in_chat(place, telegram, discord, f"starter:{starter}")
    await place.creditbot("migrate")
    url = f"sqlite:///{place.database}"
    store = await Database.open(url, kind=None, clock=SystemClock())
    ledger = Ledger(store, SystemClock())
    await ledger.start()
    shop = Shop(store, ledger, TestClock(SystemClock().now_ms()))
    person = await shop.person()
    order = await shop.order(
        person, parse_usd("10"), gateway="stars", amount=Stars(770), place="telegram:7:"
    )
    telegram.stars.receives(ann, order.id, 770)
    bought = discord.store.buys(discord.user(9), starter)
    await ledger.stop()
    assert "2 orders changed" in (await place.creditbot("payments", "reconcile")).out
    assert "0 orders changed" in (await place.creditbot("payments", "reconcile")).out
    assert discord.store.entitlements[bought]["consumed"]
    stands = await shop.stands("cash/stars", "cash/skus", "issued/topup")
    assert stands == [770, parse_usd("8.5").units, 2_000]
    assert not (await check_ledger(store)).findings
    await store.close()


async def test_check_says_what_platforms_demand_and_what_is_wrong_with_skus(
    place: Place, telegram: FakeTelegram, discord: FakeDiscord
) -> None:
    store = discord.store
    fine = {name: store.sku(name) for name in ("Starter", "Pro", "Enterprise")}
    in_chat(place, telegram, discord, ",".join(f"{name}:{sku}" for name, sku in fine.items()))
    await place.creditbot("migrate")
    telegram.user(7)
    telegram.stars.receives(telegram.users[7], "x", 1_234)
    said = (await place.creditbot("check", code=1)).out
    assert "✓ stars: 1,234 ⭐, each taken as $0.013" in said
    assert "✓ Telegram demands: digital goods are sold for Stars alone" in said
    assert "✓ skus: Pro is “Pro”" in said
    assert "see that they are Starter ≤ $10.00, Pro ≤ $90.00, Enterprise ≤ $800.00" in said
    place.settings["telegram_token"] = "1:AAwrongwrongwrongwrongwrongwrongwro"
    said = (await place.creditbot("check", code=1)).out
    assert (
        "✗ stars: Telegram doesn't tell what the bot has. Look at CREDITBOT_TELEGRAM_TOKEN" in said
    )
    place.settings["telegram_token"] = telegram_fake.TOKEN
    durable, hidden = store.sku("Durable", kind=2), store.sku("Hidden", flags=0)
    place.settings["discord_skus"] = f"starter:{durable},pro:{hidden},Enterprise:4711"
    said = (await place.creditbot("check", code=1)).out
    assert "✗ skus: Starter: “Durable” is no consumable item" in said
    assert "✗ skus: Pro: “Hidden” isn't published" in said
    assert "✗ skus: Enterprise: the app has no SKU 4711" in said
    place.settings["discord_skus"] = f"pro:{fine['Pro']}"
    place.settings["telegram_stars"] = "false"
    said = (await place.creditbot("check", code=1)).out
    assert "✓ skus: Starter isn't sold on Discord" in said
    assert "⭐" not in said


@pytest.mark.parametrize(
    ("setting", "value", "what"),
    [
        ("discord_skus", "starter", "names each pack once with a SKU of its own"),
        ("discord_skus", "starter:1,starter:2", "names each pack once"),
        ("discord_skus", "starter:1,pro:1", "names each pack once"),
        (
            "discord_skus",
            "gold:1",
            "names “gold”, which is no pack; there are Starter, Pro, Enterprise",
        ),
        ("discord_fee_percent", "100", "is at most 99"),
        ("telegram_star_usd", "0", "what a Star brings, in dollars"),
        ("telegram_star_usd", "much", "what a Star brings, in dollars"),
    ],
)
async def test_settings_that_can_not_be(place: Place, setting: str, value: str, what: str) -> None:
    place.settings |= {"master_keys": MASTER_KEY, "discord_token": "x", setting: value}
    assert what in await place.refused("payments", "reconcile")


async def test_skus_need_discord(place: Place) -> None:
    place.settings |= {"discord_skus": "starter:1"}
    said = await place.refused("payments", "reconcile")
    assert "CREDITBOT_DISCORD_TOKEN is needed with SKUs" in said


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
        btcpay.version = "2.4.1"
        assert "✗ btcpay: the server is 2.4.1, which has a hole" in await says()
        btcpay.version = "2.4.4"
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
