"""Where suppliers' lists come from, how old they are, and what lets them be fetched."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from core.pricing import package as lists
from core.pricing.catalogue import Route
from core.pricing.costs import Costs
from core.pricing.source import PriceSource, describe_installed_data
from tests.support.databases import TestClock

GPT_4 = Route("openai", "gpt-4")


def ms(*day: int) -> int:
    return round(datetime(*day, tzinfo=UTC).timestamp() * 1_000)  # type: ignore[misc]


def test_the_installed_data_is_at_most_so_old() -> None:
    version, days = describe_installed_data(ms(2030, 1, 1))
    assert version.count(".") == 2
    assert days is not None
    newer = describe_installed_data(ms(2030, 1, 11))[1]
    assert newer == days + 10
    assert describe_installed_data(ms(2001, 1, 1))[1] is None


def listed(dollars: str) -> list[dict[str, Any]]:
    """A data file with every supplier's name, and one price."""
    found: list[dict[str, Any]] = []
    for name in lists.read_package():
        model = {
            "id": "gpt-4",
            "match": {"equals": "gpt-4"},
            "prices": {"input_mtok": dollars, "output_mtok": dollars},
        }
        found.append(
            {"id": name, "name": name, "api_pattern": f"https://{name}", "models": [model]}
        )
    return found


@pytest.fixture
async def served() -> AsyncIterator[tuple[str, list[str]]]:
    """A data file on loopback, and what is to be answered next."""
    answers: list[str] = []

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=answers.pop(0), content_type="application/json")

    app = web.Application()
    app.router.add_get("/data.json", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}/data.json", answers
    await runner.cleanup()


async def test_nothing_is_fetched_unless_it_is_switched_on(clock: TestClock) -> None:
    source = PriceSource(Costs(), clock, url="http://127.0.0.1:9/never")
    assert source.is_ready
    await source.fetch_data()
    assert source.describe_data(clock.now_ms()).fetched_at is None


async def test_fetched_lists_take_the_place_of_the_installed(
    served: tuple[str, list[str]], clock: TestClock
) -> None:
    url, answers = served
    costs = Costs()
    before = costs.get_base_rates(GPT_4, clock.now_ms())
    source = PriceSource(costs, clock, may_fetch=True, url=url)
    assert not source.is_ready
    answers += ["no list at all", json.dumps(listed("50")[:3]), json.dumps(listed("50"))]
    for _ in range(2):
        await source.fetch_data()
        assert not source.is_ready, "not believed"
        assert costs.get_base_rates(GPT_4, clock.now_ms()) == before
    await source.fetch_data()
    assert source.is_ready
    assert costs.get_base_rates(GPT_4, clock.now_ms()) == (50_000_000, 50_000_000)
    assert source.describe_data(clock.now_ms()).fetched_at == clock.now_ms()
    await source.fetch_data()
    clock.advance(days=1)
    answers.append(json.dumps(listed("40")))
    await source.fetch_data()
    assert costs.get_base_rates(GPT_4, clock.now_ms()) == (40_000_000, 40_000_000)
    assert answers == []
