"""Prices that move by themselves, within bounds; demand; costs said from chat."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from bots.cli.check import check_lists
from bots.config.settings import PricingConfig
from core.db import schema
from core.money import MicroCredits, parse_usd
from tests.bots.commands.admin.setprice_support import LONG, QUESTION, acts, rate
from tests.bots.commands.admin.suppliers_support import states
from tests.bots.commands.commands_support import button, text_of
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        await tom.person()
        clock.advance(days=2)
        yield tom.someone("1")


async def days(owner: Service, clock: TestClock, count: int) -> list[int]:
    """What GPT-4 costs after each day on which the chore runs every six hours."""
    seen = []
    for _ in range(count):
        for _ in range(4):
            clock.advance(seconds=6 * 3_600)
            await owner.app.services.repricing.automatic_pricing.reprice_models()
        seen.append(rate(owner))
    return seen


# --- by itself ----------------------------------------------------------------------------------


async def test_no_price_moves_by_itself_unless_it_has_bounds(
    owner: Service, clock: TestClock
) -> None:
    assert await days(owner, clock, 3) == [5_000] * 3


async def test_a_price_follows_the_formula_so_far_and_so_fast(
    owner: Service, clock: TestClock
) -> None:
    """5 → 4.2 is 16 % away: 10 % on the first day, the rest on the next."""
    told = text_of(await owner.screen("/pricing auto gpt-4 20%"))
    assert "within ±20 %" in told
    assert "every 24 hours at most, 10 % a day at most" in told
    assert await days(owner, clock, 3) == [4_500, 4_200, 4_200]
    assert rate(owner, "claude-3") == 4_000, "that one has no bounds"
    assert "within ±20 %" in text_of(await owner.screen("/pricing gpt-4"))
    assert [act for act, _ in await acts(owner)] == ["automatic price", "reprice", "reprice"]


async def test_a_price_rises_so_far_and_so_fast(owner: Service, clock: TestClock) -> None:
    """3 → 4.2 is 40 % away, the bound is 30 %: 3.9."""
    await owner.screen("/setprice gpt-4 3")
    clock.advance(days=2)
    await owner.screen("/pricing auto gpt-4 30")
    assert await days(owner, clock, 4) == [3_300, 3_600, 3_900, 3_900]


async def test_bounds_are_measured_from_the_last_price_set_by_hand(
    owner: Service, clock: TestClock
) -> None:
    await owner.screen("/pricing auto gpt-4 5")
    assert await days(owner, clock, 4) == [4_800, 4_800, 4_800, 4_800]
    await owner.screen("/setprice gpt-4 6")
    clock.advance(days=1)
    assert await days(owner, clock, 3) == [5_700, 5_700, 5_700]
    await owner.screen("/pricing auto gpt-4 off")
    await owner.screen("/setprice gpt-4 8")
    assert await days(owner, clock, 3) == [8_000] * 3


async def test_a_waiting_or_absorbed_change_is_a_persons_decision(
    owner: Service, clock: TestClock
) -> None:
    await owner.screen("/pricing auto all 50%")
    await owner.screen("/suppliers cost gpt-4 openai 50 50")
    assert await days(owner, clock, 2) == [5_000] * 2
    await owner.screen("/suppliers absorb gpt-4 30d")
    assert await days(owner, clock, 2) == [5_000] * 2
    assert rate(owner, "claude-3") < 4_000


async def test_a_coming_price_is_waited_for(owner: Service, clock: TestClock) -> None:
    await owner.screen("/pricing auto gpt-4 20%")
    await owner.screen("/setprice gpt-4 5 in 2d")
    assert await days(owner, clock, 1) == [5_000]


async def test_separate_prices_move_side_by_side(owner: Service, clock: TestClock) -> None:
    await owner.screen("/setprice gpt-4 5 4")
    clock.advance(days=2)
    await owner.screen("/pricing auto gpt-4 50%")
    await days(owner, clock, 3)
    price = owner.app.services.pricing.prices.find_current("gpt-4")
    assert price is not None
    assert (price.input_rate, price.output_rate) == (MicroCredits(4_200), MicroCredits(4_200))


async def test_bounds_as_they_are_typed(owner: Service) -> None:
    for wrong in ("", "gpt-4", "gpt-4 51%", "gpt-4 0", "gpt-4 -5", "gpt-4 lots", "quux 5%"):
        told = text_of(await owner.screen(f"/pricing auto {wrong}"))
        assert "Nothing was changed" in told or "There is no model" in told, wrong
    assert await acts(owner) == []
    assert "4: the price follows" in text_of(await owner.screen("/pricing auto all ±10%"))
    assert len(await owner.app.services.repricing.automatic_pricing.list_bounds()) == 4


async def test_an_automatic_price_is_undone(owner: Service, clock: TestClock) -> None:
    await owner.screen("/pricing auto gpt-4 10%")
    await days(owner, clock, 1)
    assert "5 Credits" in text_of(await owner.screen("/setprice gpt-4 undo"))
    assert rate(owner) == 5_000


# --- demand -------------------------------------------------------------------------------------


async def test_scarce_keys_raise_the_suggestion(database_url: str, clock: TestClock) -> None:
    """$0.045 an answer of a budget of a dollar: at 20 a day little is left."""
    async with service.running(database_url, clock, budget="1", welcome=1_000) as tom:
        owner = tom.someone("1")
        desk = owner.app.services.repricing
        tom.openai.script(*[LONG] * 19)
        for _ in range(19):
            clock.advance(seconds=10)
            await tom.answer(QUESTION)
        assert await tom.key_left() == parse_usd("0.145")
        for _ in range(40):
            await desk.demand.measure_demand()
        assert desk.demand.get_factor("gpt-4") >= 145
        clock.advance(seconds=400)
        assert "demand × 1.4" in text_of(await owner.screen("/pricing gpt-4"))
        desk.demand._demand_by_model = {}
        await desk.load()
        assert desk.demand.get_factor("gpt-4") >= 145, "it outlives a process"
        clock.advance(days=2)
        for _ in range(100):
            await desk.demand.measure_demand()
        assert 95 <= desk.demand.get_factor("gpt-4") <= 105


async def test_models_as_usual_have_no_row(owner: Service) -> None:
    await owner.app.services.repricing.demand.measure_demand()
    assert await owner.app.services.base.db.fetch(sa.select(schema.demand)) == []


# --- costs said from chat -----------------------------------------------------------------------


async def test_a_cost_is_said_and_taken_back(owner: Service, clock: TestClock) -> None:
    told = text_of(await owner.screen("/suppliers cost gpt-4 openai 45 60 15"))
    assert "OpenAI: GPT-4 Turbo costs more" in told
    level = owner.app.services.pricing.costs.get_supplier_rate(brief.OPENAI, clock.now_ms())
    assert (level.input, level.output, level.cached) == (45_000_000, 60_000_000, 15_000_000)
    clock.advance(seconds=1)
    owner.app.services.pricing.costs.set_overrides({})
    await owner.app.services.repricing.load()
    assert (
        owner.app.services.pricing.costs.get_supplier_rate(brief.OPENAI, clock.now_ms()) == level
    ), "every process reads it"
    assert "No change waits" in text_of(await owner.screen("/suppliers cost gpt-4 openai list"))
    assert (
        owner.app.services.pricing.costs.get_supplier_rate(brief.OPENAI, clock.now_ms()).input
        == 30_000_000
    )
    assert [act for act, _ in await acts(owner)] == ["supplier cost", "supplier cost"]
    assert await states(owner) == ["gone"]


async def test_a_cost_of_audio_is_said_by_the_minute(owner: Service) -> None:
    listed = await owner.screen("/suppliers cost whisper openai 0.012")
    card = text_of(*await owner.presses(button(listed, "OpenAI: Whisper costs more")))
    assert "Supplier: $0.006 → $0.012 a minute" in card
    assert "Pass on: 4 Credits / minute" in card


async def test_what_is_no_cost_changes_nothing(owner: Service) -> None:
    for wrong in (
        "cost",
        "cost gpt-4 openai",
        "cost gpt-4 openai 5",
        "cost gpt-4 openai 0 5",
        "cost gpt-4 openai 1 2 3 4",
        "cost gpt-4 openai NaN 5",
        "cost whisper openai 1 2",
        "cost gpt-4 nobody 1 2",
        "cost quux openai 1 2",
    ):
        told = text_of(await owner.screen(f"/suppliers {wrong}"))
        assert "Nothing was changed" in told or "There is no model" in told, wrong
    assert await acts(owner) == []


async def test_support_reads_and_changes_nothing(owner: Service) -> None:
    await owner.gives_role("telegram:9", "support")
    helper = owner.someone("9")
    assert "Pricing" in text_of(await helper.screen("/pricing"))
    shown = text_of(await helper.screen("/suppliers cost gpt-4 openai 50 50"))
    assert "No change waits" in shown
    assert "There is no model" in text_of(await helper.screen("/pricing auto gpt-4 20%"))
    card = await helper.screen("/pricing gpt-4")
    assert "somebody else" in text_of(*await helper.presses(button(card, "Set 4.2")))
    assert [act for act, _ in await acts(owner)] == ["role"]
    assert rate(owner) == 5_000


# --- how old the lists are ----------------------------------------------------------------------


def test_the_check_says_how_old_the_lists_are() -> None:
    march_2027, year = 1_803_859_200_000, 365 * 86_400_000
    fine, line = check_lists(PricingConfig(), march_2027)
    assert fine
    assert "at most" in line
    assert check_lists(PricingConfig(), march_2027 + year)[0] is False
    fine, line = check_lists(PricingConfig(price_updates=True), march_2027 + year)
    assert fine
    assert line.endswith("and fetched while it runs")


async def test_the_desk_says_it_too(owner: Service) -> None:
    assert "Lists: genai-prices 0." in text_of(await owner.screen("/suppliers"))
