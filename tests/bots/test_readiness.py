"""Ready is who can write, and hears a platform where there is one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pysqlite3.dbapi2 as sqlite3
import pytest
from prometheus_client import generate_latest

from bots import readiness
from bots.http import HttpServer, ServerAddress, build_metrics_registry, build_service_app
from bots.http_connections import HttpLimits
from bots.readiness import PlatformStates
from core.ledger.types import LedgerUnavailable
from tests.bots.commands.admin.alerts_support import front, heard
from tests.bots.commands.commands_support import text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def tom(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        yield tom


@contextlib.asynccontextmanager
async def served(tom: Service) -> AsyncIterator[str]:
    web = HttpServer(
        build_service_app(tom.app.chat.readiness, []), ServerAddress("127.0.0.1", 0), HttpLimits()
    )
    try:
        yield f"http://127.0.0.1:{await web.start()}/readyz"
    finally:
        await web.stop()


async def told(url: str) -> tuple[int, str, dict[str, bool]]:
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        body = await answer.json()
        assert body["ready"] == (answer.status == 200)
        return answer.status, body["database"], body["platforms"]


async def test_who_hears_nobody_is_not_ready(tom: Service) -> None:
    states = tom.app.chat.readiness.platform_states
    hears = {"telegram": False, "discord": True}
    async with served(tom) as url:
        assert await told(url) == (200, "written", {})
        states.register("telegram", lambda: hears["telegram"])
        states.register("discord", lambda: hears["discord"])
        assert await told(url) == (200, "written", hears), "one is enough"
        hears["discord"] = False
        assert await told(url) == (503, "written", hears)
        hears["telegram"] = True
        assert (await told(url))[0] == 200
    app = tom.app
    page = generate_latest(
        build_metrics_registry(
            app.services.asks.asks, app.services.pool.pool, app.services.admin.monitor, states
        )
    ).decode()
    assert 'creditbot_platform_heard{platform="discord"} 0.0' in page
    assert 'creditbot_platform_heard{platform="telegram"} 1.0' in page


async def test_a_commit_that_failed_counts_until_one_goes_through(tom: Service) -> None:
    ledger = tom.app.services.base.ledger
    assert await tom.app.chat.readiness.check_writing()
    ledger._count_answered([LedgerUnavailable()])
    ledger._queued += 1
    assert ledger.is_failing
    assert await tom.app.chat.readiness.check_writing(), "it is tried again"
    assert not ledger.is_failing


async def test_a_database_that_is_locked_is_not_ready(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "COMMIT_AGE_SECONDS_MAX", 0.0)
    async with service.running(sqlite_url, clock) as tom, served(tom) as url:
        # Any commit is too old; one that is made for it comes within its time, or doesn't.
        with contextlib.closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
            other.isolation_level = None
            other.execute("BEGIN IMMEDIATE")
            monkeypatch.setattr(readiness, "_PROBE_SECONDS_MAX", 0.2)
            assert (await told(url))[:2] == (503, "unavailable")
            other.execute("ROLLBACK")
        monkeypatch.setattr(readiness, "COMMIT_AGE_SECONDS_MAX", 60.0)
        monkeypatch.setattr(readiness, "_PROBE_SECONDS_MAX", 60.0)
        assert (await told(url))[:2] == (200, "written")


async def test_operators_are_told_of_a_platform_that_is_silent(
    tom: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = tom.someone("1")
    chats = front(owner)
    is_heard = False
    states = PlatformStates(owner.app.services.admin.alerts)
    states.register("discord", lambda: is_heard)
    await states.check_platforms()
    assert await heard(owner, chats) == [], "it may be a moment"
    monkeypatch.setattr(readiness, "_SILENCE_SECONDS", 0.0)
    await states.check_platforms()
    (card,) = await heard(owner, chats)
    assert card.title == "⚠️ A platform isn't heard"
    assert "Discord" in text_of(card)
    is_heard = True
    await states.check_platforms()
    assert await heard(owner, chats) == []
