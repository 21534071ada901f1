"""SKUs through the unmodified client, against a Discord that refuses what the real one does."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio

from bots.tills import SkusTill
from core.store import schema
from core.units import Credits, usd
from payments import GatewayUnavailable, Order, RefundRefused, UnknownOrder
from payments.gateways.skus import DiscordSkus, Entitled, heard
from tests.fakes.discord import TOKEN, FakeDiscord
from tests.fakes.discord_store import GIFT, PURCHASE, SUBSCRIPTION, TEST_PURCHASE
from tests.fakes.discord_world import User
from tests.payments import inchat
from tests.payments.conftest import Shop
from tests.payments.inchat import Counter
from tests.size import size

PACKS = {"Starter": "10", "Pro": "90", "Enterprise": "800"}
CONSUME = "POST /applications/{app}/entitlements/{entitlement}/consume"
LIST = "GET /applications/{app}/entitlements"


@dataclass
class Booth:
    """A shop that sells in Discord's store."""

    shop: Shop
    discord: FakeDiscord
    #: The SKU of each pack.
    skus: dict[str, int]
    gateway: DiscordSkus
    counter: Counter
    till: SkusTill
    people: dict[int, str] = field(default_factory=dict)

    async def person(self, user: User) -> str:
        """Whoever writes from there; made if nobody did."""
        return (await self.counter.people.of("discord", str(user.id), language="en")).id

    async def buys(self, user: User, pack: str) -> Order:
        person = await self.person(user)
        return await self.counter.buys(person, PACKS[pack], f"discord:{user.id}:")

    def entitled(self, id_: int) -> Entitled:
        one = self.discord.store.entitlements[id_]
        return Entitled(
            id=one["id"],
            sku=one["sku_id"],
            application=one["application_id"],
            user=one.get("user_id", ""),
            guild=one.get("guild_id", ""),
            kind=one["type"],
            deleted=one["deleted"],
            consumed=one["consumed"],
        )

    async def hears(self, id_: int, what: str = "created") -> None:
        await self.counter.inbox.keep("skus", heard(str(id_), what))

    async def works(self) -> None:
        await self.counter.works()

    async def has(self, user: User) -> dict[str, int]:
        return await self.shop.has(await self.person(user))

    def consumed(self, id_: int) -> bool:
        found: bool = self.discord.store.entitlements[id_]["consumed"]
        return found


async def opened(shop: Shop, discord: FakeDiscord, *, test_purchases: bool = False) -> Booth:
    skus = {name: discord.store.sku(name) for name in PACKS}
    packs = {str(skus[name]): usd(cash) for name, cash in PACKS.items()}
    gateway = inchat.skus(discord.api_url, shop.clock, packs, test_purchases=test_purchases)
    counter = await inchat.counter(gateway, shop.store, shop.ledger, shop.clock)
    till = SkusTill(gateway=gateway, inbox=counter.inbox, clock=shop.clock)
    return Booth(shop, discord, skus, gateway, counter, till)


@pytest_asyncio.fixture
async def booth(shop: Shop) -> AsyncIterator[Booth]:
    # Ids of Discord's are times of the wall's clock, so this shop looks at it too.
    shop.clock.at_ms = int(time.time() * 1000)
    discord = FakeDiscord()
    await discord.start()
    booth = await opened(shop, discord)
    yield booth
    await booth.gateway.close()
    await discord.stop()


async def test_from_the_order_to_credits_and_again(booth: Booth) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    order = await booth.buys(ann, "Pro")
    assert (order.state, order.url, order.external) == ("pending", "", "")
    assert booth.gateway.sku(order.value) == str(booth.skus["Pro"])
    bought = store.buys(ann, booth.skus["Pro"])
    for what in ("created", "created", "updated", "noticed"):
        await booth.hears(bought, what)
    await booth.works()
    assert await booth.has(ann) == {"bought": 9_000, "gift": 1_000}
    assert booth.consumed(bought)
    stands = await booth.shop.stands("cash/skus", "gateway-fees", "sales")
    assert stands == [usd("76.5").units, usd("13.5").units, -usd("90").units]
    order = await booth.counter.orders.get(order.id)
    assert (order.state, order.external) == ("credited", str(bought))
    told = [what for _, what, _ in await booth.counter.orders.history(order.id)]
    assert told == ["created", "pending", "claimed", "paid"]
    # Consumed, it can be bought again: from the store's page, without an order.
    again = store.buys(ann, booth.skus["Pro"])
    await booth.hears(again)
    await booth.works()
    assert await booth.has(ann) == {"bought": 18_000, "gift": 2_000}
    made = await booth.counter.orders.by_external("skus", str(again))
    assert (made.id != order.id, made.place, made.shown_in) == (True, "discord:7:", "")
    await booth.shop.audited()


async def test_who_never_wrote_here_can_buy_in_the_store(booth: Booth) -> None:
    bought = booth.discord.store.buys(booth.discord.user(99), booth.skus["Starter"], told=False)
    assert await booth.counter.cashier.reconcile() == 1
    person = await booth.counter.people.find("discord:99")
    assert await booth.shop.has(person.id) == {"bought": 1_000}
    assert booth.consumed(bought)
    await booth.shop.audited()


async def test_an_order_of_another_pack_or_person_stays_open(booth: Booth) -> None:
    ann, bob = booth.discord.user(7), booth.discord.user(8)
    older, newer = await booth.buys(ann, "Starter"), await booth.buys(ann, "Starter")
    pro, his = await booth.buys(ann, "Pro"), await booth.buys(bob, "Enterprise")
    for pack in ("Starter", "Enterprise"):
        await booth.hears(booth.discord.store.buys(ann, booth.skus[pack]))
    await booth.works()
    states = [
        (await booth.counter.orders.get(order.id)).state for order in (older, newer, pro, his)
    ]
    assert states == ["pending", "credited", "pending", "pending"]
    assert await booth.has(ann) == {"bought": 81_000, "gift": 20_000}
    assert await booth.has(bob) == {}


async def test_one_purchase_has_one_order_and_one_order_one_purchase(
    booth: Booth, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = booth.discord.user(7)
    person, order = await booth.person(ann), await booth.buys(ann, "Pro")

    async def claims(purchase: str) -> str:
        async def who() -> str:
            return person

        claimed = await booth.counter.orders.claimed(
            gateway="skus",
            external=purchase,
            at_ms=booth.shop.clock.now_ms(),
            place="discord:7:",
            value=usd("90"),
            person=who,
        )
        return claimed.id

    # Nothing is paid yet: what one has, others leave alone.
    first = await claims("1")
    assert (first, await claims("1")) == (order.id, order.id)
    assert await claims("2") not in {order.id, await claims("3")}
    another = await booth.buys(ann, "Pro")
    at_once = await asyncio.gather(*(claims(str(number % 3 + 4)) for number in range(9)))
    assert at_once[:3] * 3 == list(at_once)
    assert len(set(at_once)) == 3
    assert another.id in at_once
    # Between looking and claiming another one claims.
    last, record = await booth.buys(ann, "Pro"), booth.shop.ledger.record

    async def second(*rows: object) -> None:
        monkeypatch.setattr(booth.shop.ledger, "record", record)
        assert await claims("8") == last.id
        await record(*rows)  # type: ignore[arg-type]

    monkeypatch.setattr(booth.shop.ledger, "record", second)
    assert await claims("7") != last.id
    assert await claims("8") == last.id


async def test_what_was_consumed_was_delivered(booth: Booth) -> None:
    """By whatever sold here before: it isn't credited again."""
    ann, store = booth.discord.user(7), booth.discord.store
    await booth.hears(store.entitle(ann, booth.skus["Pro"], consumed=True))
    await booth.works()
    assert await booth.counter.cashier.reconcile() == 0
    assert await booth.has(ann) == {}


async def test_free_amounts_are_not_sold(booth: Booth) -> None:
    assert booth.gateway.amount(usd("25")) is None
    person = await booth.person(booth.discord.user(7))
    with pytest.raises(GatewayUnavailable):
        await booth.counter.buys(person, "25", "discord:7:")


async def test_what_is_no_sale_gives_nothing(
    booth: Booth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ann, store, sku = booth.discord.user(7), booth.discord.store, booth.skus["Starter"]
    tier = store.sku("Tier", kind=SUBSCRIPTION)
    gift = store.entitle(ann, sku, kind=GIFT)
    nothing = [
        gift,
        *(store.entitle(ann, sku, kind=kind) for kind in (2, TEST_PURCHASE, 5, 6, 7, 8, 99)),
        store.entitle(None, sku, guild_id=str(booth.discord.guild)),
        store.entitle(ann, sku, guild_id=str(booth.discord.guild)),
        store.entitle(ann, tier),
        store.entitle(ann, sku, deleted=True),
        store.entitle(ann, sku, application_id="4711"),
        4_711,
    ]
    for id_ in nothing:
        await booth.hears(id_)
    await booth.works()
    assert await booth.counter.cashier.reconcile() == 0
    assert await booth.has(ann) == {}
    assert booth.discord.called(CONSUME) == []
    assert str(gift) in caplog.text
    await booth.shop.audited()


async def test_test_purchases_count_where_the_operator_says_so(booth: Booth) -> None:
    testing = await opened(booth.shop, booth.discord, test_purchases=True)
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.entitle(ann, testing.skus["Starter"], kind=TEST_PURCHASE)
    gift = store.entitle(ann, testing.skus["Starter"], kind=GIFT)
    assert await testing.counter.cashier.reconcile() == 1
    assert await testing.has(ann) == {"bought": 1_000}
    assert (booth.consumed(bought), booth.consumed(gift)) == (True, False)
    await testing.gateway.close()


async def test_consumed_only_after_the_credits_and_again_if_that_fails(booth: Booth) -> None:
    ann, bob, store = booth.discord.user(7), booth.discord.user(8), booth.discord.store
    heard_of = store.buys(ann, booth.skus["Starter"])
    booth.discord.fail_next(CONSUME, 401)
    await booth.hears(heard_of)
    await booth.works()
    assert await booth.has(ann) == {"bought": 1_000}
    assert not booth.consumed(heard_of)
    listed = store.buys(bob, booth.skus["Starter"], told=False)
    booth.discord.fail_next(CONSUME, 401)
    assert await booth.counter.cashier.reconcile() == 0
    assert await booth.counter.cashier.reconcile() == 1
    assert (booth.consumed(heard_of), booth.consumed(listed)) == (True, True)
    assert (await booth.has(ann), await booth.has(bob)) == ({"bought": 1_000}, {"bought": 1_000})
    # The message's own next try finds nothing left to do.
    booth.shop.clock.advance(seconds=60)
    await booth.works()
    assert set((await booth.counter.verdicts()).values()) == {""}
    await booth.shop.audited()


async def test_what_can_not_be_consumed_is_no_reason_to_stop(booth: Booth) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    store.skus[booth.skus["Starter"]]["type"] = 2  # the operator named a durable one
    store.buys(ann, booth.skus["Starter"], told=False)
    later = store.buys(ann, booth.skus["Pro"], told=False)
    assert await booth.counter.cashier.reconcile() == 2
    assert booth.consumed(later)


@pytest.mark.parametrize(("spent", "left"), [(0, {}), (400, {"owed": 400})])
async def test_taken_back_by_discord(booth: Booth, spent: int, left: dict[str, int]) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.buys(ann, booth.skus["Starter"])
    await booth.hears(bought)
    await booth.works()
    person = await booth.person(ann)
    if spent:
        await booth.shop.spend(person, Credits(spent))
    order = await booth.counter.orders.by_external("skus", str(bought))
    with pytest.raises(RefundRefused) as refused:
        await booth.counter.cashier.refund(order, usd("10"), cause="btn_r")
    assert refused.value.why == "elsewhere"
    store.takes_back(bought)
    for _ in range(2):
        await booth.hears(bought, "deleted")
    await booth.works()
    assert await booth.counter.cashier.reconcile() == 0
    assert await booth.has(ann) == left
    order = await booth.counter.orders.get(order.id)
    assert order.refunded == order.paid == usd("10")
    await booth.shop.audited()


async def test_taken_back_while_nobody_listened(booth: Booth) -> None:
    """A day later the whole list is read again."""
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.buys(ann, booth.skus["Starter"], told=False)
    assert await booth.counter.cashier.reconcile() == 1
    booth.shop.clock.advance(seconds=7_200)
    assert await booth.counter.cashier.reconcile() == 0
    store.takes_back(bought, told=False)
    assert await booth.counter.cashier.reconcile() == 0
    booth.shop.clock.advance(days=1)
    changed = [await booth.counter.cashier.reconcile() for _ in range(3)]
    assert sum(changed) == 1
    assert await booth.has(ann) == {}
    await booth.shop.audited()


async def test_the_list_goes_on_where_it_was(booth: Booth) -> None:
    store, cashier = booth.discord.store, booth.counter.cashier
    users = [booth.discord.user(number) for number in range(1, 231)]
    for user in users:
        store.buys(user, booth.skus["Starter"], told=False)
    assert await cashier.reconcile() == 230
    assert len(booth.discord.called(LIST)) == 3
    booth.shop.clock.advance(seconds=1_200)
    assert await cashier.reconcile() == 0
    newest = store.buys(users[0], booth.skus["Pro"], told=False)
    store.entitlements[newest]["id"] = str(newest)
    booth.discord.fail_next(LIST, 401)
    assert await cashier.reconcile() == 0
    assert await cashier.reconcile() == 1
    rows = await booth.shop.store.fetch(schema.payment.select())
    assert len(rows) == 231


async def test_the_price_changed_since(booth: Booth) -> None:
    """A refund is of what was paid, whatever the pack costs now."""
    ann, store = booth.discord.user(7), booth.discord.store
    bought = store.buys(ann, booth.skus["Starter"])
    await booth.hears(bought)
    await booth.works()
    dearer = inchat.skus(
        booth.discord.api_url, booth.shop.clock, {str(booth.skus["Starter"]): usd("90")}
    )
    after = await inchat.counter(dearer, booth.shop.store, booth.shop.ledger, booth.shop.clock)
    store.takes_back(bought)
    assert await after.cashier.reconcile() == 1
    assert await booth.has(ann) == {}
    await dearer.close()
    await booth.shop.audited()


async def test_many_at_once_take_no_order_from_each_other(booth: Booth) -> None:
    """Each purchase has an order of its own, however many tell of it at the same time."""
    ann, store = booth.discord.user(7), booth.discord.store
    for _ in range(3):
        await booth.buys(ann, "Pro")
    some = [store.entitle(ann, booth.skus["Pro"]) for _ in range(5)]
    for id_ in some:
        for what in ("created", "noticed", "updated"):
            await booth.hears(id_, what)
    await asyncio.gather(*(booth.works() for _ in range(4)))
    booth.shop.clock.advance(seconds=120)
    await booth.works()
    assert await booth.has(ann) == {"bought": 45_000, "gift": 5_000}
    owners = [await booth.counter.orders.by_external("skus", str(id_)) for id_ in some]
    assert len({order.id for order in owners}) == 5
    assert {order.state for order in owners} == {"credited"}
    await booth.shop.audited()


async def test_the_till_keeps_only_what_concerns_us(booth: Booth) -> None:
    ann, store = booth.discord.user(7), booth.discord.store
    tier = store.sku("Tier", kind=SUBSCRIPTION)
    bought = store.buys(ann, booth.skus["Starter"])
    other = booth.entitled(store.entitle(ann, tier))
    for _ in range(3):
        await booth.till.created(booth.entitled(bought))
    await booth.till.created(other)
    await booth.till.taken_back(other)
    await booth.works()
    await booth.till.created(booth.entitled(bought))
    assert list(await booth.counter.verdicts()) == [f"skus/created/{bought}"]
    await booth.till.taken_back(replace(booth.entitled(bought), deleted=True))
    assert len(await booth.counter.verdicts()) == 2


@pytest.mark.timeout(900)
async def test_a_thousand_events_shuffled_doubled_and_foreign(booth: Booth) -> None:
    """Credits granted are purchases made, exactly: heard of, or only in the list."""
    chance, store = random.Random(13), booth.discord.store
    users = [booth.discord.user(number) for number in range(1, 7)]
    foreign = store.sku("Tier", kind=SUBSCRIPTION)
    expected = dict.fromkeys(users_ids(users), 0)
    events: list[tuple[int, str]] = []
    for number in range(size(small=15, full=220)):
        user = users[number % len(users)]
        pack = tuple(PACKS)[number % 3]
        sku = booth.skus[pack]
        if chance.random() < 0.3:
            order = await booth.buys(user, pack)
            if chance.random() < 0.7:
                await booth.counter.orders.ended(order, "expired")
        bought = store.entitle(user, sku)
        credits_ = booth.shop.offer.given(usd(PACKS[pack])).total.units
        fate = chance.random()
        if fate < 0.15:  # taken back before anybody looked
            store.takes_back(bought)
            events += [(bought, "deleted")] * chance.randint(0, 2)
        else:
            expected[user.id] += credits_
        if chance.random() < 0.8:  # else the event was lost
            events += [(bought, "created")] * chance.randint(1, 4)
            events += [(bought, "noticed")] * chance.randint(0, 2)
        others = [
            store.entitle(user, sku, kind=GIFT),
            store.entitle(user, sku, kind=TEST_PURCHASE),
            store.entitle(user, foreign),
            store.entitle(None, sku, guild_id=str(booth.discord.guild)),
            store.entitle(user, sku, application_id="4711"),
            booth.discord.snowflake(),
        ]
        events += [(id_, "created") for id_ in chance.sample(others, 3)]
    chance.shuffle(events)
    assert len(events) >= size(small=60, full=1_000)

    async def deliver(part: list[tuple[int, str]]) -> None:
        for id_, what in part:
            await booth.hears(id_, what)

    await asyncio.gather(*(deliver(events[at::8]) for at in range(8)))
    await asyncio.gather(
        booth.works(), booth.works(), *(booth.counter.cashier.reconcile() for _ in range(2))
    )
    booth.shop.clock.advance(seconds=120)
    await booth.works()
    await booth.counter.cashier.reconcile()
    # Some are taken back after all, heard of or not.
    paid = [one for one in store.entitlements.values() if one["consumed"]]
    for one in chance.sample(paid, len(paid) // 5):
        store.takes_back(int(one["id"]))
        pack = next(name for name, sku in booth.skus.items() if str(sku) == one["sku_id"])
        expected[int(one["user_id"])] -= booth.shop.offer.given(usd(PACKS[pack])).total.units
        if chance.random() < 0.5:
            await booth.hears(int(one["id"]), "deleted")
    booth.shop.clock.advance(days=1, seconds=60)
    for _ in range(3):
        await booth.works()
        await booth.counter.cashier.reconcile()
    for user in users:
        assert sum((await booth.has(user)).values()) == expected[user.id]
    left = [one for one in store.entitlements.values() if not (one["consumed"] or one["deleted"])]
    assert not [
        one
        for one in left
        if one["type"] == PURCHASE and one.get("user_id") and one["sku_id"] != str(foreign)
    ]
    await booth.shop.audited()


def users_ids(users: list[User]) -> list[int]:
    return [user.id for user in users]


async def test_no_secret_shows(booth: Booth, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    bought = booth.discord.store.buys(booth.discord.user(7), booth.skus["Starter"])
    await booth.hears(bought)
    booth.discord.fail_next(LIST, 401)
    await booth.counter.cashier.reconcile()
    await booth.works()
    shown = caplog.text + repr(booth.gateway)
    for table in schema.metadata.tables.values():
        shown += str(await booth.shop.store.fetch(table.select()))
    assert TOKEN not in shown
    with pytest.raises(UnknownOrder):
        await booth.counter.orders.by_external("skus", "none")
