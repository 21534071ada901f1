"""The operator's way with Discord: `discord sync`, `check`, `run`, stopping and starting again."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.peers.discord import TOKEN, FakeDiscord, plain
from tests.peers.discord_world import Message, User
from tests.peers.suppliers import Answer, FakeSupplier, Used
from tests.system.commandline import PATIENCE_S, Place, Process, place, press

__all__ = ["place", "press"]

SUPPLIER_KEY = "sk-canary-first-0000000001"
MASTER_KEY = base64.b64encode(bytes([3]) * 32).decode()


@pytest_asyncio.fixture
async def fake() -> AsyncIterator[FakeDiscord]:
    fake = FakeDiscord()
    await fake.start()
    yield fake
    await fake.stop()


@pytest_asyncio.fixture
async def openai() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", models=["gpt-6.1-sol", "gpt-6.1-terra"]) as supplier:
        supplier.allow(SUPPLIER_KEY)
        supplier.always(Answer("Because.", usage=Used(1_000, 500)))
        yield supplier


@pytest_asyncio.fixture
async def town(place: Place, fake: FakeDiscord, openai: FakeSupplier) -> Place:
    """A place with Discord and a supplier, and no Telegram."""
    place.settings = {
        "master_keys": MASTER_KEY,
        "discord_token": TOKEN,
        "discord_api_url": fake.api_url,
        "discord_gateway_url": fake.gateway_url,
        "supplier_openai_url": openai.url,
        "supplier_openai_key": SUPPLIER_KEY,
        "supplier_openai_quota": "50",
        "admins": "discord:1",
        "http_port": "0",
        "log_level": "debug",
    }
    place.secrets = {MASTER_KEY, TOKEN, SUPPLIER_KEY}
    return place


async def serving(town: Place, fake: FakeDiscord) -> Process:
    """A service that runs and can serve: /models says so."""
    service = await town.start("run")
    await service.said("creditbot runs")
    ann = fake.user(7)

    def can() -> bool:
        seen = fake.messages(fake.text, ann)
        return any("2 models are available" in plain(each.content) for each in seen)

    async with asyncio.timeout(PATIENCE_S):
        while not can():
            asked = fake.slash(ann, "/models", {}, fake.text)
            await fake.wait_for(lambda asked=asked: asked.original is not None)
    return service


async def shown(fake: FakeDiscord, where: int, text: str, viewer: User | None = None) -> Message:
    return await fake.seen(where, text, viewer, PATIENCE_S)


async def test_a_service_on_discord_alone(town: Place, fake: FakeDiscord) -> None:
    await town.creditbot("migrate")
    done = await town.creditbot("discord", "sync")
    assert done.out.startswith(f"{len(fake.commands)} commands are published")
    assert {"ask", "balance", "models", "report"} <= {each["name"] for each in fake.commands}
    assert fake.gateway.identified == [], "to publish it need not be there"
    ann, owner = fake.user(7), fake.user(1)

    service = await serving(town, fake)
    done = await town.creditbot("check")
    assert "✓ Discord: credit" in done.out
    assert "Telegram" not in done.out
    fake.slash(ann, "/ask", {"question": "why?"}, fake.text)
    answer = await shown(fake, fake.text, "◈")
    assert "Because." in answer.content
    fake.slash(owner, "/report", {}, fake.text)
    await shown(fake, fake.text, "Report", owner)
    fake.slash(ann, "/report", {}, fake.text)
    await shown(fake, fake.text, "for the operator only", ann)
    before = len(fake.called("PUT"))
    assert (await service.stopped()).code == 0

    # Starting again publishes nothing, and the old button works.
    service = await serving(town, fake)
    assert len(fake.called("PUT")) == before == 1
    fake.presses(ann, answer, "Again")
    await fake.wait_for(
        lambda: sum("Because" in each.content for each in fake.messages(fake.text)) == 2, PATIENCE_S
    )
    assert (await service.stopped()).code == 0
    told = (await town.creditbot("audit", "--json")).json
    assert (told["asks"]["settled"], told["holds"], told["findings"]) == (2, 0, [])


async def test_a_stop_settles_what_streams(
    town: Place, fake: FakeDiscord, openai: FakeSupplier
) -> None:
    service = await serving(town, fake)
    ann = fake.user(7)
    openai.script(Answer(chunks=("Slowly ", "it ", "comes.")))
    gate = openai.hold()
    fake.slash(ann, "/ask", {"question": "why?"}, fake.text)
    growing = await shown(fake, fake.text, "comes")
    assert growing.labels == ["⏹ Stop"]
    stopping = asyncio.create_task(service.stopped())
    await service.said("running answers may finish")
    gate.set()
    assert (await stopping).code == 0
    assert "◈" in growing.content
    assert "⏹ Stop" not in growing.labels
    told = (await town.creditbot("audit", "--json")).json
    assert (told["asks"]["settled"], told["holds"], told["findings"]) == (1, 0, [])


async def test_what_is_wrong_is_told_in_words(town: Place, fake: FakeDiscord) -> None:
    said = await town.refused("run", discord_token="", log_level="error")
    assert "CREDITBOT_TELEGRAM_TOKEN or CREDITBOT_DISCORD_TOKEN" in said
    said = await town.refused("run", discord_token="MTIz.canary.token", log_level="error")
    assert "Discord refuses CREDITBOT_DISCORD_TOKEN" in said
    assert "MTIz.canary" not in said
    assert "CREDITBOT_DISCORD_TOKEN is not set" in await town.refused(
        "discord", "sync", discord_token=""
    )
    assert "Discord refuses" in await town.refused("discord", "sync", discord_token="MTIz.x.y")
    done = await town.creditbot("check", code=1, discord_token="MTIz.x.y")
    assert "✗ Discord refuses CREDITBOT_DISCORD_TOKEN." in done.out
    for shards in ("4", "3-1/8", "0-8/8", "a-b/c"):
        said = await town.refused("run", discord_shards=shards, discord_gateway_url="example")
        assert "CREDITBOT_DISCORD_SHARDS is this process's shards of all, like 0-3/8" in said
        assert "CREDITBOT_DISCORD_GATEWAY_URL is an address like wss://" in said
    assert fake.commands == []
