"""A real service is killed at random moments while people ask, buy and are given back: afterwards
its books, the journal of what it acknowledged, and Stripe say the same."""

from __future__ import annotations

import base64
import os
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import sqlalchemy as sa

from core import chart
from core.clock import SystemClock
from core.db import schema
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.pool.vault import Vault
from payments.fulfillment import Fulfillment
from payments.offer import Offer, from_cents
from payments.orders import Orders
from tests.payments.gateway_clients import gateway_of
from tests.payments.order_services import OrderServices
from tests.peers import stripe as fake_stripe
from tests.peers.stripe import FakeStripe
from tests.peers.suppliers import Answer, FakeSupplier, Used
from tests.peers.telegram import TOKEN, FakeTelegram
from tests.support.databases import TestClock
from tests.support.ports import find_free_port
from tests.support.size import size
from tests.system.commandline import Place, place, press
from tests.system.crash_journal import OWNER, Journal, Life

__all__ = ["place", "press"]

MASTER = bytes([9]) * 32
KEY = "sk-own-canary-key-0123456789abcdef"
KILLS = size(small=1, full=300)


@pytest_asyncio.fixture
async def life(place: Place, database_url: str) -> AsyncIterator[Life]:
    telegram = FakeTelegram()
    chance = random.Random(int(os.environ.get("CREDITBOT_TEST_SEED", "3")))
    async with (
        FakeSupplier("openai", models=["gpt-4"], strict=False) as openai,
        FakeStripe() as stripe,
    ):
        openai.allow(KEY)
        openai.always(Answer("word " * 20, usage=Used(100, 400)))
        place.settings = {
            "database_url": database_url,
            "master_keys": base64.b64encode(MASTER).decode(),
            "admins": f"telegram:{OWNER}",
            "telegram_api_url": await telegram.start(),
            "telegram_token": TOKEN,
            "telegram_external_checkout": "true",
            "supplier_openai_url": openai.url,
            "supplier_openai_key": KEY,
            "supplier_openai_quota": "5000",
            "stripe_secret_key": fake_stripe.KEY,
            "stripe_api_url": stripe.url,
            "stripe_webhook_secret": fake_stripe.WEBHOOK_SECRET,
            "public_url": "https://bot.example",
            "http_port": str(find_free_port()),
            "welcome_credits": "1000",
            "asks_per_minute": "1000",
        }
        yield Life(place, telegram, stripe, chance)
        await telegram.stop()


async def settle(database_url: str, stripe: FakeStripe) -> list[str]:
    """The product's own jobs, an hour later; the orders of which Stripe and the books differ."""
    clock = TestClock(SystemClock().now_ms() + 3_600_000)
    store = await Database.open(database_url, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    await Vault.open([MASTER], store, ledger)
    gateway = gateway_of("stripe", stripe.url, clock=clock)
    gateways, offer = {"stripe": gateway}, Offer()
    orders = Orders(ledger=ledger, offer=offer)
    fulfillment = Fulfillment(orders=orders, ledger=ledger, offer=offer, gateways=gateways)
    services = OrderServices(gateways, orders, fulfillment, db=store, ledger=ledger, clock=clock)
    for _ in range(3):
        await services.reconciliation.reconcile_orders()
        clock.advance(seconds=600)
    sums = await services.reconciliation.reconcile_everything()
    await gateway.close()
    await ledger.stop()
    await store.close()
    return [one.order for each in sums for one in (*each.differences, *each.on_the_way)]


async def read_books(database_url: str, journal: Journal) -> tuple[int, Counter[int]]:
    """What the books gave back, in cents, and how often each grant was made; every order that was
    paid is credited once."""
    store = await Database.open(database_url, kind=None, clock=SystemClock())
    orders = {row.id: row for row in await store.fetch(sa.select(schema.order))}
    for id_, cents in journal.paid.items():
        assert orders[id_].paid == from_cents(cents).units, id_
        assert orders[id_].state == "credited"
    assert sum(row.paid for row in orders.values()) == from_cents(sum(journal.paid.values())).units
    back = sum(row.refunded for row in orders.values()) // 10_000_000
    issued = sa.select(schema.account.c.id).where(
        schema.account.c.code == chart.issued("grant").code
    )
    moved = await store.fetch(
        sa.select(schema.transfer.c.amount).where(schema.transfer.c.debit.in_(issued))
    )
    await store.close()
    return back, Counter(int(row.amount) for row in moved)


@pytest.mark.timeout(3_600)
async def test_refunds_at_the_gateway_are_refunds_in_the_books(
    life: Life, database_url: str
) -> None:
    await life.run(KILLS)
    journal = life.journal
    assert journal.counts["kills"] == KILLS
    assert journal.paid, "nobody bought"
    assert await settle(database_url, life.stripe) == []
    refunds = life.stripe.refunds.values()
    back, grants = await read_books(database_url, journal)
    assert back == sum(one["amount"] for one in refunds if one["status"] != "failed")
    assert set(grants.values()) <= {1}, "a grant was made twice"
    assert journal.granted <= set(grants) <= journal.confirmed
    told = (await life.place.creditbot("audit", "--json")).json
    assert told["findings"] == []
    print(f"{dict(journal.counts)}, {len(journal.paid)} paid, {len(refunds)} refunds, {back} cents")
