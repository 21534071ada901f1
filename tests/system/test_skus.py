"""Buying in Discord's store: the whole service, the unmodified client, a Discord on loopback."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from pydantic import SecretStr

from bots.sandbox.payment_service import SandboxPaymentService
from core.clock import SystemClock
from core.money import Credits, parse_usd
from payments.gateways.base import Gateway
from payments.gateways.sandbox import SandboxGateway
from tests.payments import inchat
from tests.peers.discord import FakeDiscord, plain
from tests.peers.discord_store import GIFT
from tests.peers.discord_world import Message, User
from tests.support.service import running
from tests.support.size import size
from tests.system.discord_support import SPOKEN, World, on_discord
from tests.system.world import PATIENCE_S, words

PACKS = {"Starter": "10", "Pro": "90"}


@dataclass
class Mall:
    """A service that sells on Discord."""

    world: World
    skus: dict[str, int]

    @property
    def fake(self) -> FakeDiscord:
        return self.world.discord

    async def order(self, person: User, pack: str = "Pro", where: int | None = None) -> Message:
        """Somebody chooses a pack; its order's card."""
        language = SPOKEN[person.locale]
        asked = self.fake.slash(person, "/topup", {}, where)
        await self.fake.wait_for(lambda: asked.original, PATIENCE_S)
        card = asked.original
        assert card is not None
        assert words("Top up", language) in plain(card.content)
        self.fake.presses(person, card, pack)
        pressed = words(
            "Press the button: Discord shows the final price and takes the payment. Your"
            " Credits arrive here by themselves.",
            language,
        )
        await self.fake.wait_for(lambda: pressed in plain(card.content), PATIENCE_S)
        return card

    async def consumed(self, bought: int) -> None:
        one = self.fake.store.entitlements[bought]
        await self.fake.wait_for(lambda: one["consumed"], PATIENCE_S)


@contextlib.asynccontextmanager
async def selling(
    url: str, fake: FakeDiscord, skus: dict[str, int], others: dict[str, Gateway] | None = None
) -> AsyncIterator[Mall]:
    packs = {str(skus[name]): parse_usd(cash) for name, cash in PACKS.items()}
    gateway = inchat.skus(fake.api_url, SystemClock(), packs)
    gateways: dict[str, Gateway] = {**(others or {}), "skus": gateway}
    async with (
        running(url, SystemClock(), welcome=0, gateways=gateways) as service,
        on_discord(service, fake) as world,
    ):
        yield Mall(world, skus)


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    fake = FakeDiscord()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def skus(fake: FakeDiscord) -> dict[str, int]:
    return {name: fake.store.sku(name) for name in PACKS}


@pytest_asyncio.fixture
async def mall(database_url: str, fake: FakeDiscord, skus: dict[str, int]) -> AsyncIterator[Mall]:
    async with selling(database_url, fake, skus) as mall:
        yield mall


@pytest.mark.parametrize("locale", SPOKEN)
async def test_a_pack_is_bought_by_its_button_and_the_card_says_so(
    sqlite_url: str, fake: FakeDiscord, skus: dict[str, int], locale: str
) -> None:
    async with selling(sqlite_url, fake, skus) as mall:
        ann, language = fake.user(7, locale), SPOKEN[locale]
        card = await mall.order(ann)
        assert [part.get("sku_id") for part in card.parts] == [str(skus["Pro"])]
        bought = fake.store.presses(ann, card)
        await fake.wait_for(lambda: words("✅ Paid", language) in card.content, PATIENCE_S)
        assert await mall.world.credits(ann) == Credits(10_000)
        (part,) = card.parts
        # Discord sold it: whoever withdraws reads where.
        fake.presses(ann, card, part["label"])
        await fake.wait_for(
            lambda: any(
                part.get("url") == "https://support.discord.com"
                for message in fake.messages(fake.dm(ann))
                for part in message.parts
            ),
            PATIENCE_S,
        )
        # It was consumed, so it can be bought again.
        await mall.consumed(bought)
        again = await mall.order(ann)
        await mall.consumed(fake.store.presses(ann, again))
        assert await mall.world.credits(ann) == Credits(20_000)


async def test_in_a_server_it_is_for_its_buyer_alone(mall: Mall) -> None:
    fake = mall.fake
    ann = fake.user(7)
    card = await mall.order(ann, where=fake.text)
    assert card.only_for == 7
    fake.store.presses(ann, card)
    # What they alone saw there can't be changed later: it is said in private.
    await fake.wait_for(
        lambda: any("✅ Paid" in each.content for each in fake.messages(fake.dm(ann))), PATIENCE_S
    )
    assert await mall.world.credits(ann) == Credits(10_000)


async def test_only_packs_are_sold_there(mall: Mall) -> None:
    ann = mall.fake.user(7)
    mall.fake.slash(ann, "/topup", {"amount": "25"})
    await mall.world.next(mall.fake.dm(ann).id, "Only packs are sold here, no other amounts")
    mall.fake.slash(ann, "/topup")
    card = await mall.world.next(mall.fake.dm(ann).id, "Top up")
    assert "Another amount" not in card.content
    assert card.labels == ["Starter: 1,000 Credits for $10.00", "Pro: 10,000 Credits for $90.00"]


async def test_bought_from_the_store_by_somebody_who_never_wrote(mall: Mall) -> None:
    stranger = mall.fake.user(99)
    await mall.consumed(mall.fake.store.buys(stranger, mall.skus["Starter"]))
    assert await mall.world.credits(stranger) == Credits(1_000)
    await mall.world.next(mall.fake.dm(stranger).id, "1,000 Credits have arrived.")


async def test_an_event_that_was_lost_comes_with_their_next_command(mall: Mall) -> None:
    ann = mall.fake.user(7)
    bought = mall.fake.store.buys(ann, mall.skus["Starter"], told=False)
    mall.fake.slash(ann, "/balance")
    await mall.consumed(bought)
    assert await mall.world.credits(ann) == Credits(1_000)


async def test_what_was_bought_while_nobody_served_is_found_at_the_start(
    sqlite_url: str, fake: FakeDiscord, skus: dict[str, int]
) -> None:
    ann = fake.user(7)
    bought = fake.store.buys(ann, skus["Pro"])
    async with selling(sqlite_url, fake, skus) as mall:
        await mall.consumed(bought)
        assert await mall.world.credits(ann) == Credits(10_000)


async def test_taken_back_by_discord(mall: Mall) -> None:
    ann, store = mall.fake.user(7), mall.fake.store
    card = await mall.order(ann)
    bought = store.presses(ann, card)
    await mall.consumed(bought)
    store.takes_back(bought)
    await mall.world.next(mall.fake.dm(ann).id, "Payment given back")
    assert await mall.world.credits(ann) == Credits(0)
    owner = mall.fake.user(1)
    order = (
        await mall.world.service.app.services.payments.orders.get_by_checkout("skus", str(bought))
    ).id
    mall.fake.slash(owner, "/payment", {"id": order})
    await mall.world.next(mall.fake.dm(owner).id, "given back $90.00")


async def test_a_gift_of_the_developers_is_no_sale(mall: Mall) -> None:
    ann, store = mall.fake.user(7), mall.fake.store
    gift = store.entitle(ann, mall.skus["Pro"], kind=GIFT)
    store.entitle(None, mall.skus["Pro"], guild_id=str(mall.fake.guild))
    await mall.consumed(store.buys(mall.fake.user(8), mall.skus["Starter"]))
    mall.fake.slash(ann, "/balance")
    await mall.world.next(mall.fake.dm(ann).id, "0 Credits")
    assert not store.entitlements[gift]["consumed"]


async def test_discord_first_then_the_others(
    sqlite_url: str, fake: FakeDiscord, skus: dict[str, int]
) -> None:
    checkout = SandboxPaymentService("secret")
    sandbox = SandboxGateway(url=await checkout.start(), secret=SecretStr("secret"))
    try:
        async with selling(sqlite_url, fake, skus, {"sandbox": sandbox}) as mall:
            ann = fake.user(7)
            fake.slash(ann, "/topup")
            card = await mall.world.next(fake.dm(ann).id, "Top up")
            # Discord sells no such pack, and no other amounts: they lead out.
            assert len(card.labels) == 3
            assert "Another amount: /topup 25" in plain(card.content)
            fake.presses(ann, card, "Starter")
            await mall.world.next(fake.dm(ann).id, "How would you like to pay?")
            assert card.labels == ["Discord", "Sandbox checkout"]
            fake.presses(ann, card, "Discord")
            await fake.wait_for(lambda: card.parts and card.parts[0].get("sku_id"), PATIENCE_S)
            fake.slash(ann, "/topup", {"amount": "25"})
            await mall.world.next(fake.dm(ann).id, "$25.00 buys 2,500 Credits.")
    finally:
        await checkout.stop()


@pytest.mark.timeout(900)
async def test_many_events_doubled_and_shuffled(mall: Mall) -> None:
    """Through the gateway, as Discord sends them: each purchase counts once."""
    chance, fake = random.Random(19), mall.fake
    users = [fake.user(number) for number in range(100, 100 + size(small=15, full=250))]
    events, expected = [], {}
    for user in users:
        pack = chance.choice(tuple(PACKS))
        bought = fake.store.buys(user, mall.skus[pack], told=False)
        expected[user.id] = 1_000 if pack == "Starter" else 10_000
        one = fake.store.entitlements[bought]
        events += [("CREATE", one)] * chance.randint(1, 4) + [("UPDATE", one)] * chance.randint(
            0, 1
        )
        gift = fake.store.entitle(user, mall.skus[pack], kind=GIFT, told=False)
        foreign = {**one, "id": str(fake.snowflake()), "application_id": "4711"}
        events += [("CREATE", fake.store.entitlements[gift]), ("CREATE", foreign)]
    chance.shuffle(events)
    for what, one in events:
        fake.store.tells(what, one)
    sold = [one for one in fake.store.entitlements.values() if one["type"] != GIFT]
    await fake.wait_for(lambda: all(one["consumed"] for one in sold), 300.0)
    for user in users:
        assert await mall.world.credits(user) == Credits(expected[user.id])
