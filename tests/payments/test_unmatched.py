"""Payments that fit no order: a restored copy of the database lacks an order, or a new database
meets the payments of an old one. None is dropped, and none is credited twice."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
import sqlalchemy as sa

from core.db import schema
from core.db.writes import Delete
from core.money import parse_usd
from core.notification import OPERATORS
from payments.gateways.base import Gateway
from payments.gateways.btcpay import refunds
from payments.mismatches import UNPROCESSED
from payments.types import GatewayUnavailable, Order
from payments.unmatched import UNMATCHED, NotUnmatched, UnmatchedPayment, UnmatchedPayments
from tests.payments import inchat
from tests.payments.chat_shops import SkusShop, StarsShop, skus_shop, stars_shop
from tests.payments.conftest import Shop
from tests.payments.gateway_clients import gateway_of
from tests.peers.btcpay import FakeBtcPay
from tests.peers.discord_world import User as Member
from tests.peers.paypal import FakePayPal
from tests.peers.stripe import FakeStripe

__all__ = ["skus_shop", "stars_shop"]


@pytest_asyncio.fixture
async def chat_shop(stars_shop: StarsShop) -> AsyncIterator[StarsShop]:
    stars_shop.shop.clock.at_ms = int(time.time() * 1000) + 60_000
    yield stars_shop


async def lose(shop: Shop, order: Order) -> None:
    """A copy of before the order is restored."""
    for table, name in ((schema.order_event, "order"), (schema.order, "id")):
        await shop.ledger.record(Delete(table, {name: order.id}))


def is_born(chat_shop: StarsShop, at_ms: int) -> None:
    async def read_birth() -> int:
        return at_ms

    setattr(chat_shop.counter.services.unmatched, "_read_birth", read_birth)  # noqa: B010


async def heard(shop: Shop) -> list[str]:
    return [kind for kind, _ in await shop.told(OPERATORS)]


async def test_a_payment_whose_order_was_lost_is_credited(chat_shop: StarsShop) -> None:
    """It was ordered here, for the id says so, and paid after this database was born."""
    shop, ann = chat_shop.shop, chat_shop.telegram.user(7)
    people = chat_shop.counter.people
    person = (await people.get_or_create("telegram", "7", language="en")).id
    is_born(chat_shop, shop.clock.now_ms() - 86_400_000)
    order = await chat_shop.buys(person, "10", ann)
    chat_shop.receives(ann, order)
    await lose(shop, order)
    for _ in range(3):
        shop.clock.advance(seconds=120)
        await chat_shop.counter.services.reconciliation.reconcile_orders()
    # A Star more or less: what 770 of them bring.
    assert await shop.has(person) == {"bought": 1_001}
    assert (await shop.orders.get(order.id)).state == "credited"
    assert await heard(shop) == []
    await shop.audited()


@pytest.mark.parametrize("why", ["older", "foreign"])
async def test_an_owner_decides_about_others_once(chat_shop: StarsShop, why: str) -> None:
    shop, ann = chat_shop.shop, chat_shop.telegram.user(7)
    people, unmatched = chat_shop.counter.people, chat_shop.counter.services.unmatched
    person = (await people.get_or_create("telegram", "7", language="en")).id
    order = await chat_shop.buys(person, "10", ann)
    if why == "older":
        is_born(chat_shop, shop.clock.now_ms() + 60_000)
        chat_shop.receives(ann, order)
    else:
        is_born(chat_shop, 0)
        chat_shop.telegram.stars.receives(ann, f"{order.id[:-1]}!", 770)
    await lose(shop, order)
    for _ in range(3):
        shop.clock.advance(seconds=120)
        await chat_shop.counter.services.reconciliation.reconcile_orders()
    assert await shop.has(person) == {}
    assert await heard(shop) == [UNMATCHED]
    (payment,) = await unmatched.list_open()
    assert (payment.payer, payment.amount.units) == ("telegram:7", 770)
    credited = await unmatched.credit(chat_shop.gateway, payment.id, "stars")
    assert (credited.state, credited.bought.units) == ("credited", 1_001)
    assert await shop.has(person) == {"bought": 1_001}
    with pytest.raises(NotUnmatched):
        await unmatched.credit(chat_shop.gateway, payment.id, "stars")
    assert await unmatched.list_open() == []
    await shop.audited()


async def test_a_history_of_another_database_is_told_once(chat_shop: StarsShop) -> None:
    shop, ann = chat_shop.shop, chat_shop.telegram.user(7)
    is_born(chat_shop, shop.clock.now_ms() + 600_000)
    for number in range(30):
        chat_shop.telegram.stars.receives(ann, f"ord_of_another_{number}", 770)
    await chat_shop.counter.services.reconciliation.reconcile_orders()
    assert await heard(shop) == [UNMATCHED]
    table = schema.unmatched_payment
    assert len(await shop.store.fetch(sa.select(table.c.external))) == 30
    unmatched = chat_shop.counter.services.unmatched
    for payment in await unmatched.list_open():
        await unmatched.dismiss("stars", payment.id)
    assert len(await unmatched.list_open()) == 10
    assert UNPROCESSED not in await heard(shop)


async def test_what_discord_says_was_delivered_and_the_books_lack(skus_shop: SkusShop) -> None:
    """Bought, credited, consumed; then a copy of before is restored."""
    shop, member = skus_shop.shop, Member(70, "Ann")
    bought = skus_shop.discord.store.buys(member, skus_shop.skus["Starter"], told=False)
    await skus_shop.gateway.consume_purchase(str(bought))
    reconciliation = skus_shop.counter.services.reconciliation
    unmatched = skus_shop.counter.services.unmatched
    for _ in range(3):
        shop.clock.advance(days=2)
        await reconciliation.reconcile_orders()
    assert await skus_shop.has(member) == {}
    assert await heard(shop) == [UNMATCHED]
    (payment,) = await unmatched.list_open()
    await unmatched.credit(skus_shop.gateway, payment.id, "skus")
    assert await skus_shop.has(member) == {"bought": 1_000}
    for _ in range(3):
        shop.clock.advance(days=2)
        sums = await reconciliation.reconcile_everything()
    assert [one.differences for one in sums] == [[]]
    await shop.audited()


async def test_what_was_credited_and_consumed_here_is_nothing_new(skus_shop: SkusShop) -> None:
    shop, member = skus_shop.shop, Member(70, "Ann")
    await skus_shop.buys(member, "Starter")
    skus_shop.discord.store.buys(member, skus_shop.skus["Starter"], told=False)
    for _ in range(4):
        shop.clock.advance(days=2)
        await skus_shop.counter.services.reconciliation.reconcile_orders()
    assert await skus_shop.has(member) == {"bought": 1_000}
    assert await heard(shop) == []


async def test_ids_of_another_database_are_not_ours(chat_shop: StarsShop) -> None:
    person = await chat_shop.shop.person()
    order = await chat_shop.buys(person, "10", chat_shop.telegram.user(7))
    orders = chat_shop.counter.orders
    assert orders.is_own_id(order.id)
    assert len(order.id) == 30
    for other in (
        order.id[:-1] + "!",
        order.id[:-1],
        "ord_",
        chat_shop.shop.orders.offer.to_json(),
    ):
        assert not orders.is_own_id(other)
    changed = order.id[:-8] + ("0" if order.id[-8] != "0" else "1") + order.id[-7:]
    assert not orders.is_own_id(changed)


async def pays(peer: FakeStripe | FakePayPal | FakeBtcPay, checkout: str) -> None:
    """By two payments where that can be."""
    if isinstance(peer, FakePayPal):
        peer.approve(checkout)
        peer.take(checkout)
        return
    if isinstance(peer, FakeBtcPay):
        peer.pay(checkout, "3.337")
    peer.pay(checkout)


async def refunds_four(
    peer: FakeStripe | FakePayPal | FakeBtcPay, gateway: Gateway, order: Order
) -> None:
    """Somebody gives $4 back there."""
    if isinstance(peer, FakeStripe):
        peer.refund(next(iter(peer.intents)), 400)
    elif isinstance(peer, FakePayPal):
        peer.give_back(next(iter(peer.captures)), "4.00")
    else:
        payment = next(iter(peer.payments[order.external_id]))["id"]
        await gateway.refund_payment(order, payment, parse_usd("4"), "by its own button")


@pytest.mark.parametrize(
    ("name", "is_late"),
    [("stripe", True), ("stripe", False), ("paypal", True), ("btcpay", False)],
)
async def test_a_lost_order_of_which_no_message_came_waits_for_an_owner(
    shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch, *, is_late: bool
) -> None:
    """Where the gateway's own list has it: paid, its message lost, and a database of before. All of
    it is credited to whom the owner names, and what goes back of it later is found."""
    monkeypatch.setattr(refunds, "_LIST_SECONDS", -1.0)
    shop.clock.at_ms = int(time.time() * 1000)
    async with AsyncExitStack() as stack:
        kinds = {"stripe": FakeStripe, "paypal": FakePayPal, "btcpay": FakeBtcPay}
        peer = await stack.enter_async_context(kinds[name]())
        if isinstance(peer, FakeStripe):
            peer.now = lambda: shop.clock.now_ms() / 1_000
        gateway = gateway_of(name, peer.url, clock=shop.clock)
        stack.push_async_callback(gateway.close)
        counter = await inchat.counter(gateway, shop.store, shop.ledger, shop.clock)
        person = (await counter.people.get_or_create("telegram", "7", language="en")).id
        order = await counter.buys(person, "10", "telegram:7:")
        await pays(peer, order.external_id)
        await lose(shop, order)
        for _ in range(3):
            shop.clock.advance(seconds=600)
            await counter.services.reconciliation.reconcile_orders()
        ((kind, facts),) = await shop.told(OPERATORS)
        assert (kind, facts["order"], facts["amount"]) == (UNMATCHED, order.id, order.value.units)
        unmatched, (payment,) = (
            counter.services.unmatched,
            await counter.services.unmatched.list_open(),
        )
        if not is_late:
            await refunds_four(peer, gateway, order)
            await counter.services.reconciliation.reconcile_orders()
        with pytest.raises(NotUnmatched):
            await unmatched.credit(gateway, payment.id, name)
        given = await unmatched.credit(gateway, payment.id, name, payer="telegram:7")
        assert (given.id, given.state, given.paid) == (order.id, "credited", order.value)
        assert await shop.has(person) == {"bought": 1_000 if is_late else 600}
        if is_late:
            await refunds_four(peer, gateway, order)
        for _ in range(3):
            shop.clock.advance(days=2)
            sums = await counter.services.reconciliation.reconcile_everything()
        assert [one.differences for one in sums] == [[]]
        assert await shop.has(person) == {"bought": 600}
        assert [kind for kind, _ in await shop.told(OPERATORS)] == [UNMATCHED]
    await shop.audited()


async def test_of_two_owners_who_decide_at_once_one_is_told_that_it_is_over(
    chat_shop: StarsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, ann = chat_shop.shop, chat_shop.telegram.user(7)
    unmatched = chat_shop.counter.services.unmatched
    await chat_shop.counter.people.get_or_create("telegram", "7", language="en")
    is_born(chat_shop, shop.clock.now_ms() + 60_000)
    chat_shop.telegram.stars.receives(ann, "ord_of_another", 770)
    shop.clock.advance(seconds=120)
    await chat_shop.counter.services.reconciliation.reconcile_orders()
    (payment,) = await unmatched.list_open()
    get = UnmatchedPayments.get

    async def get_early(one: UnmatchedPayments, gateway: str, id_: str) -> UnmatchedPayment:
        """The other owner decides after it was read."""
        found = await get(one, gateway, id_)
        monkeypatch.setattr(UnmatchedPayments, "get", get)
        await unmatched.dismiss("stars", payment.id)
        return found

    monkeypatch.setattr(UnmatchedPayments, "get", get_early)
    with pytest.raises(NotUnmatched):
        await unmatched.dismiss("stars", payment.id)
    assert await unmatched.list_open() == []


async def test_a_lost_order_that_vanished_meanwhile_is_not_credited(shop: Shop) -> None:
    """PayPal forgets orders: an owner decides when it says no more of it."""
    shop.clock.at_ms = int(time.time() * 1000)
    async with FakePayPal() as peer:
        gateway = gateway_of("paypal", peer.url)
        counter = await inchat.counter(gateway, shop.store, shop.ledger, shop.clock)
        person = (await counter.people.get_or_create("telegram", "7", language="en")).id
        order = await counter.buys(person, "10", "telegram:7:")
        await pays(peer, order.external_id)
        await lose(shop, order)
        shop.clock.advance(seconds=600)
        gone = peer.orders.pop(order.external_id)
        await counter.services.reconciliation.reconcile_orders()
        assert await counter.services.unmatched.list_open() == []
        peer.orders[order.external_id] = gone
        await counter.services.reconciliation.reconcile_orders()
        (payment,) = await counter.services.unmatched.list_open()
        del peer.orders[order.external_id]
        with pytest.raises(GatewayUnavailable):
            await counter.services.unmatched.credit(
                gateway, payment.id, "paypal", payer="telegram:7"
            )
        assert await shop.has(person) == {}
        peer.orders[order.external_id] = gone
        await counter.services.unmatched.credit(gateway, payment.id, "paypal", payer="telegram:7")
        assert await shop.has(person) == {"bought": 1_000}
        assert await counter.services.unmatched.list_open() == []
        await gateway.close()
    await shop.audited()
