"""What moved at gateways beside the books: what went back without a message is found for orders
that were credited long ago, and what differs is said once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from core.admin.audit import audit_books
from core.db import schema
from core.db.writes import Insert
from core.money import parse_usd
from core.notification import OPERATORS
from core.pool.vault import Vault
from payments.fulfillment import Fulfillment
from payments.gateways.base import SupportsTransactionList
from payments.movements import _KEPT_DAYS, DIFFERENCE, REVERSIBLE_DAYS, GatewaySums, audit_movements
from payments.payment_reader import PaymentReader
from payments.types import GatewayUnavailable, Order, Payment
from tests.payments.chat_shops import SkusShop, StarsShop, skus_shop, stars_shop
from tests.payments.conftest import Counter, Shop
from tests.payments.gateway_clients import gateway_of
from tests.payments.peers import Peer, peer_of
from tests.peers.discord_world import User as Member
from tests.peers.paypal import FakePayPal
from tests.peers.stripe import FakeStripe
from tests.support.size import size

__all__ = ["skus_shop", "stars_shop"]

DAY = 86_400


@dataclass
class Account:
    """A counter whose gateway's messages are lost."""

    counter: Counter
    peer: Any

    @property
    def shop(self) -> Shop:
        return self.counter.shop

    def ages(self, days: float) -> None:
        self.shop.clock.advance(seconds=days * DAY)

    async def sells(self, person: str, cash: str = "10") -> Order:
        """An order that was paid and credited."""
        order = await self.counter.buys(person, cash)
        if isinstance(self.peer, FakeStripe):
            self.peer.pay(order.external_id)
        else:
            self.peer.approve(order.external_id)
        for _ in range(2):
            self.ages(0.01)
            await self.turn()
        return await self.counter.again(order)

    async def turn(self) -> None:
        await self.counter.reconciliation.reconcile_orders()

    async def passes(self, days: int) -> None:
        """Days pass, and the job runs each of them."""
        for _ in range(days):
            self.ages(1)
            await self.turn()

    def payment(self) -> str:
        """The newest payment."""
        made = self.peer.intents if isinstance(self.peer, FakeStripe) else self.peer.captures
        return str(list(made)[-1])

    def gives_back(self, cents: int) -> str:
        """In the gateway's dashboard."""
        if isinstance(self.peer, FakeStripe):
            return self.peer.refund(self.payment(), cents)
        return str(self.peer.give_back(self.payment(), f"{cents / 100:.2f}")["id"])

    def disputes(self) -> str:
        if isinstance(self.peer, FakeStripe):
            return self.peer.dispute(self.payment())
        return str(self.peer.dispute(self.payment())["dispute_id"])

    async def compares(self) -> GatewaySums:
        (sums,) = await self.counter.reconciliation.compare_with_books()
        return sums

    async def heard(self) -> list[str]:
        return [kind for kind, _ in await self.shop.told(OPERATORS)]


@pytest_asyncio.fixture(params=["stripe", "paypal"])
async def account(shop: Shop, request: pytest.FixtureRequest) -> AsyncIterator[Account]:
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    peers = {"stripe": FakeStripe, "paypal": FakePayPal}
    async with peers[request.param]() as peer:
        if isinstance(peer, FakeStripe):
            peer.now = lambda: shop.clock.now_ms() / 1_000
        gateway = gateway_of(request.param, peer.url, clock=shop.clock)
        yield Account(Counter(shop, gateway, vault), peer)
        await gateway.close()


@pytest.mark.parametrize("days", [1, 40, 170])
async def test_a_refund_without_a_message_is_found(account: Account, days: int) -> None:
    person = await account.shop.person()
    order = await account.sells(person)
    assert order.state == "credited"
    account.ages(days)
    await account.turn()
    account.gives_back(400)
    await account.passes(8)
    assert (await account.counter.again(order)).refunded == parse_usd("4")
    assert await account.shop.has(person) == {"bought": 600}
    assert (await account.compares()).differences == []
    await account.shop.audited()


async def test_a_dispute_without_a_message_is_found_and_followed(account: Account) -> None:
    person = await account.shop.person()
    order = await account.sells(person)
    account.ages(60)
    await account.turn()
    id_ = account.disputes()
    await account.passes(8)
    assert (await account.counter.again(order)).dispute_state == "open"
    assert await account.shop.has(person) == {}
    assert (await account.compares()).differences == []
    if isinstance(account.peer, FakeStripe):
        account.peer.disputes[id_]["status"] = "lost"
    else:
        account.peer.resolve(id_, "RESOLVED_BUYER_FAVOUR")
    await account.passes(3)
    assert (await account.counter.again(order)).dispute_state == "lost"
    assert (await account.compares()).differences == []
    await account.shop.audited()


async def test_a_payment_without_a_message_is_found_after_its_checkout(account: Account) -> None:
    person = await account.shop.person()
    order = await account.counter.buys(person, "10")
    account.ages(0.5)
    await account.turn()
    assert (await account.counter.again(order)).state == "expired"
    if isinstance(account.peer, FakeStripe):
        account.peer.pay(order.external_id)
    else:
        account.peer.approve(order.external_id)
    await account.passes(3)
    assert (await account.counter.again(order)).state == "credited"
    await account.shop.audited()


async def test_old_orders_are_asked_about_seldom(account: Account) -> None:
    await account.sells(await account.shop.person())
    account.peer.calls.clear()
    await account.passes(190)
    (row,) = await account.shop.store.fetch(schema.order.select())
    assert row.check_at is None
    about = [
        path for _, path, _ in account.peer.calls if "/orders/" in path or "/sessions/" in path
    ]
    assert len(about) < 40


async def test_what_is_recent_is_on_its_way_and_what_is_old_differs(account: Account) -> None:
    """The books have a payment that the gateway knows nothing of."""
    person, shop = await account.shop.person(), account.shop
    order = await account.sells(person)
    ghost = Payment(order.gateway, "ghost", order.id, order.amount, parse_usd("0"), any_amount=True)
    await shop.crediting.credit_payment(ghost)
    sums = await account.compares()
    assert ([one.order for one in sums.on_the_way], sums.differences) == ([order.id], [])
    assert DIFFERENCE not in await account.heard()
    assert await audit_movements(shop.store) == []
    account.ages(1.1)
    await account.turn()
    for _ in range(3):
        (difference,) = (await account.compares()).differences
    assert (difference.there, difference.booked) == (parse_usd("10"), parse_usd("20"))
    assert (await account.heard()).count(DIFFERENCE) == 1
    (finding,) = await audit_movements(shop.store)
    assert f"{order.id} has $10.00 there, $20.00 in the books" in finding
    assert finding in (await audit_books(shop.store, PaymentReader(shop.store))).findings
    # It is made good, and said no more.
    async with shop_movement(shop, order):
        await account.compares()
        assert await audit_movements(shop.store) == []


class shop_movement:  # noqa: N801
    """While it lasts the gateway has listed the missing payment too."""

    def __init__(self, shop: Shop, order: Order) -> None:
        self._shop, self._order = shop, order

    async def __aenter__(self) -> None:
        from core.db.writes import Insert

        row = {
            "gateway": self._order.gateway,
            "kind": "payment",
            "external": "txn_ghost",
            "payment": "ghost",
            "order": None,
            "unit": "USD",
            "amount": parse_usd("10").units,
            "at": 0,
            "seen_at": 0,
        }
        await self._shop.ledger.record(Insert(schema.movement, row))

    async def __aexit__(self, *_: object) -> None:
        return None


async def test_what_others_sell_is_listed_and_no_difference(account: Account) -> None:
    await account.sells(await account.shop.person())
    if not isinstance(account.peer, FakeStripe):
        return  # PayPal is asked about our orders alone
    kept = {"id": "txn_x", "currency": "usd", "amount": 500, "fee": 30}
    account.peer.intents["pi_theirs"] = {
        "id": "pi_theirs",
        "status": "succeeded",
        "amount": 500,
        "metadata": {},
        "latest_charge": {"balance_transaction": kept},
    }
    account.peer.refund("pi_theirs", 200)
    account.peer.dispute("pi_theirs")
    await account.passes(2)
    sums = await account.compares()
    assert (sums.differences, sums.on_the_way) == ([], [])
    assert (sums.count, sums.came_in, sums.booked) == (1, parse_usd("10").units, sums.came_in)
    assert (sums.foreign_count, sums.foreign) == (3, -parse_usd("2").units)
    assert await account.heard() == []


async def test_a_long_list_is_read_to_its_end(shop: Shop) -> None:
    """Hundreds of transactions at once, across pages."""
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    async with FakeStripe() as peer:
        peer.now = lambda: shop.clock.now_ms() / 1_000
        gateway = gateway_of("stripe", peer.url, clock=shop.clock)
        account = Account(Counter(shop, gateway, vault), peer)
        people = [await shop.person() for _ in range(size(small=12, full=25))]
        orders = [await account.counter.buys(person, "10") for person in people for _ in range(9)]
        for order in orders:
            peer.pay(order.external_id)
        refunded = len(orders) // 5
        for intent in list(peer.intents)[:refunded]:
            peer.refund(intent, 1_000)
        for _ in range(2):
            await account.turn()
            account.ages(0.1)
        given = sum([(await shop.has(person)).get("bought", 0) for person in people])
        assert given == (len(orders) - refunded) * 1_000
        sums = await account.compares()
        count = len(orders) + refunded
        assert (sums.count, sums.differences, sums.on_the_way) == (count, [], [])
        await gateway.close()


async def test_a_key_that_may_not_read_the_list_is_asked_order_by_order(shop: Shop) -> None:
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    async with FakeStripe() as peer:
        peer.reads_balance = False
        peer.now = lambda: shop.clock.now_ms() / 1_000
        gateway = gateway_of("stripe", peer.url, clock=shop.clock)
        with pytest.raises(GatewayUnavailable) as refused:
            await gateway.check_account()
        assert "balance transactions" in refused.value.detail
        account = Account(Counter(shop, gateway, vault), peer)
        person = await shop.person()
        order = await account.sells(person)
        account.ages(30)
        await account.turn()
        account.gives_back(1_000)
        await account.passes(8)
        assert (await account.counter.again(order)).refunded == parse_usd("10")
        assert await shop.has(person) == {}
        await gateway.close()


@pytest.mark.parametrize("name", ["btcpay", "sandbox", "paypal", "stripe"])
async def test_everything_is_reconciled_at_once(shop: Shop, name: str) -> None:
    shop.clock.at_ms = int(time.time() * 1000)
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    peer: Peer
    async with peer_of(name) as peer:
        gateway = gateway_of(name, peer.url)
        counter = Counter(shop, gateway, vault)
        person = await shop.person()
        order = await counter.buys(person, "10")
        await peer.pays(order)
        await counter.receives(*peer.tells(order))
        await counter.works()
        paid = await counter.again(order)
        assert paid.state == "credited"
        await counter.refunds.refund_order(paid, parse_usd("4"), cause="r1")
        shop.clock.advance(seconds=60)
        await counter.reconciliation.reconcile_everything()
        shop.clock.advance(days=2)
        sums = await counter.reconciliation.reconcile_everything()
        # What Stripe moved in the last minute of the wall's clock isn't listed yet.
        if name != "stripe":
            (found,) = sums
            assert (found.came_in - found.went_out, found.booked) == (parse_usd("6").units,) * 2
            assert (found.differences, found.on_the_way) == ([], [])
        assert await shop.has(person) == {"bought": 600}
        await gateway.close()


async def test_stars_are_compared_in_stars(stars_shop: StarsShop) -> None:
    """Telegram's own list: what was paid, what an app's store took back, what the operator took
    out."""
    shop, telegram = stars_shop.shop, stars_shop.telegram
    shop.clock.at_ms = int(time.time() * 1000)
    users = [telegram.user(7), telegram.user(8)]
    people = [await shop.person() for _ in users]
    for user, person in zip(users, people, strict=True):
        order = await stars_shop.buys(person, "10", user)
        charge = stars_shop.receives(user, order).charge
    telegram.stars.gives_back(charge)
    telegram.stars.withdraws(100)
    reconciliation = stars_shop.counter.services.reconciliation
    await reconciliation.reconcile_orders()
    shop.clock.advance(days=2)
    (sums,) = await reconciliation.reconcile_everything()
    assert (sums.gateway, sums.unit) == ("stars", "STAR")
    assert (sums.count, sums.came_in, sums.went_out, sums.booked) == (3, 1_540, 770, 770)
    assert (sums.foreign_count, sums.foreign) == (1, -100)
    assert (sums.differences, sums.on_the_way) == ([], [])
    assert [await shop.has(person) for person in people] == [{"bought": 1_000}, {}]


async def test_entitlements_are_compared_as_they_were_booked(skus_shop: SkusShop) -> None:
    """Granted, consumed and deleted, as Discord lists them; it tells no price."""
    shop, store = skus_shop.shop, skus_shop.discord.store
    members = [Member(70, "Ann"), Member(71, "Bob")]
    for member in members:
        await skus_shop.buys(member, "Starter")
        bought = store.buys(member, skus_shop.skus["Starter"], told=False)
    reconciliation = skus_shop.counter.services.reconciliation
    await reconciliation.reconcile_orders()
    assert skus_shop.consumed(bought)
    store.takes_back(bought, told=False)
    # What is asked for the pack tomorrow changes nothing of what was paid.
    for sku in skus_shop.gateway._packs:
        skus_shop.gateway._packs[sku] = parse_usd("12")
    for _ in range(3):
        shop.clock.advance(days=2)
        sums = await reconciliation.reconcile_everything()
    (found,) = sums
    ten = parse_usd("10").units
    assert (found.count, found.came_in, found.went_out, found.booked) == (3, 2 * ten, ten, ten)
    assert (found.differences, found.on_the_way) == ([], [])
    assert [await skus_shop.has(member) for member in members] == [{"bought": 1_000}, {}]


async def test_what_moved_is_forgotten_once_money_can_not_go_back(account: Account) -> None:
    await account.sells(await account.shop.person())
    movements = account.counter.movements
    kept = schema.movement.select()
    assert len(await account.shop.store.fetch(kept)) == 1
    await movements.delete_old()
    account.ages(REVERSIBLE_DAYS)
    await movements.delete_old()
    assert len(await account.shop.store.fetch(kept)) == 1
    account.ages(_KEPT_DAYS)
    await movements.delete_old()
    assert await account.shop.store.fetch(kept) == []
    await account.shop.audited()


async def test_what_nobody_asked_about_yet_and_what_others_compare_is_no_difference(
    account: Account,
) -> None:
    shop, movements = account.shop, account.counter.movements
    name = account.counter.gateway.name
    order = await shop.pay(await shop.order(await shop.person(), parse_usd("10"), gateway=name))
    assert await movements.compare([name]) == []
    figures = {"unit": "USD", "there": 5, "booked": 7, "found_at": shop.clock.now_ms()}
    names = {"gateway": "elsewhere", "order": order.id}
    await shop.ledger.record(Insert(schema.difference, {**names, **figures}))
    await movements.store_differences([GatewaySums(name, "USD")])
    assert len(await audit_movements(shop.store)) == 1
    await movements.store_differences([GatewaySums("elsewhere", "USD")])
    assert await audit_movements(shop.store) == []


async def test_of_a_purchase_whose_money_can_not_go_back_nothing_is_compared(
    account: Account,
) -> None:
    await account.sells(await account.shop.person())
    assert (await account.compares()).count == 1
    account.ages(REVERSIBLE_DAYS)
    await account.sells(await account.shop.person())
    sums = await account.compares()
    assert (sums.count, sums.differences, sums.on_the_way) == (1, [], [])


@pytest.mark.parametrize("account", ["stripe"], indirect=True)
async def test_owners_hear_once_of_what_a_list_has_and_fits_no_order(account: Account) -> None:
    person = await account.shop.person()
    order = await account.counter.buys(person, "10")
    account.peer.pay(order.external_id)
    account.peer.intents[account.payment()]["amount"] = 900
    account.peer.intents[account.payment()]["latest_charge"]["balance_transaction"]["amount"] = 900
    account.ages(1)
    gateway = account.counter.gateway
    assert isinstance(gateway, SupportsTransactionList)
    listing = account.counter.reconciliation._transaction_listing
    for _ in range(40):
        assert await listing.read_new_transactions(gateway, pages_max=1) == 0
        account.ages(0.01)
    heard = await account.shop.told(OPERATORS)
    assert [facts["verdict"] for _, facts in heard] == ["payment_refused/amount"]
    assert await account.shop.has(person) == {}
    await account.shop.audited()


@pytest.mark.parametrize("account", ["stripe"], indirect=True)
async def test_owners_hear_once_of_what_a_list_has_and_nobody_can_book(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await account.shop.person()
    order = await account.counter.buys(person, "10")
    account.peer.pay(order.external_id)
    gateway = account.counter.gateway
    assert isinstance(gateway, SupportsTransactionList)
    listing = account.counter.reconciliation._transaction_listing

    async def broken(fulfillment: Fulfillment, payment: Payment) -> Order:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(Fulfillment, "credit_payment", broken)
        for _ in range(3):
            await listing.read_new_transactions(gateway)
            account.ages(1)
    heard = await account.shop.told(OPERATORS)
    assert [(facts["verdict"], facts["order"]) for _, facts in heard] == [("failed", order.id)]
    assert await account.shop.has(person) == {}


@pytest.mark.parametrize("account", ["stripe"], indirect=True)
async def test_a_refund_of_more_than_was_paid_is_no_others_trouble(account: Account) -> None:
    person = await account.shop.person()
    await account.sells(person)
    account.gives_back(1_500)
    account.gives_back(400)
    await account.passes(2)
    assert await account.shop.has(person) == {"bought": 600}
