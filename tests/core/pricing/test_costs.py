"""Supplier costs: the price package to the nano-dollar, without its slowness."""

from __future__ import annotations

import itertools
import math
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.clock import as_ms
from core.money import MicroCredits, NanoUsd, Seconds, Tokens, parse_usd
from core.pool.providers.types import Usage
from core.pricing.catalogue import Catalogue, Route
from core.pricing.costs import Costs, NoCost
from core.pricing.formula import MARKUP_PERCENT, calculate_average_rate, suggest_rate, tidy_rate
from core.pricing.package import _PACKAGE_NAMES

CATALOGUE = Catalogue.load()
COSTS = Costs.load()
ROUTES = [route for model in CATALOGUE.chat_models for route in model.routes]
NOON = as_ms(datetime(2026, 11, 24, 12, tzinfo=UTC))
FLASH = Route("deepseek", "deepseek-v4-flash")


def usage(input_: int, output: int, cached: int = 0, written: int = 0) -> Usage:
    return Usage(Tokens(input_), Tokens(output), Tokens(cached), Tokens(written))


def packaged(route: Route, used: Usage, at: datetime) -> NanoUsd:
    from genai_prices import Usage as Used, calc_price

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        price = calc_price(
            Used(
                input_tokens=used.input.units,
                output_tokens=used.output.units,
                cache_read_tokens=used.cached.units,
                cache_write_tokens=used.cache_written.units,
            ),
            route.model,
            provider_id=_PACKAGE_NAMES.get(route.provider, route.provider),
            genai_request_timestamp=at,
        )
    return NanoUsd(math.ceil(price.total_price * 10**9))


def test_every_model_on_sale_has_a_cost_above_zero() -> None:
    assert [route for route in ROUTES if not COSTS.has_cost(route)] == []
    for route in ROUTES:
        assert COSTS.calculate_call_cost(route, usage(1, 1), NOON).units > 0


def test_costs_are_the_packages_at_every_tier_date_and_hour() -> None:
    times = [
        datetime(2026, 11, 24, 12, tzinfo=UTC),
        datetime(2026, 11, 24, 2, 30, tzinfo=UTC),
        datetime(2026, 11, 24, 4, 0, tzinfo=UTC),
        datetime(2026, 12, 1, 0, 0, tzinfo=UTC),
        datetime(2027, 1, 2, 7, 0, tzinfo=UTC),
    ]
    uses = [
        usage(1_000, 500),
        usage(1_000, 500, 700),
        usage(1_001, 333, 300, 100),
        usage(100_001, 1, 1),
        usage(200_001, 7, 50_000, 9),
        usage(272_001, 999),
    ]
    for route, at, used in itertools.product(ROUTES, times, uses):
        assert COSTS.calculate_call_cost(route, used, as_ms(at)) == packaged(route, used, at), (
            route,
            at,
            used,
        )


def test_the_most_covers_every_way_that_a_prompt_can_be_cached() -> None:
    for route in ROUTES:
        most = COSTS.calculate_max_cost(route, Tokens(300_000), Tokens(2_000), NOON)
        for used in (
            usage(300_000, 2_000),
            usage(300_000, 2_000, 300_000),
            usage(300_000, 2_000, 0, 300_000),
            usage(90_000, 2_000),
        ):
            assert COSTS.calculate_call_cost(route, used, NOON) <= most, route


def test_a_hold_shortly_before_a_peak_hour_covers_the_peak() -> None:
    peak = as_ms(datetime(2026, 11, 24, 1, tzinfo=UTC))
    call = (FLASH, Tokens(1_000), Tokens(1_000))
    assert COSTS.calculate_max_cost(*call, peak - 20 * 60_000) == parse_usd("0.00075")
    assert COSTS.calculate_max_cost(*call, peak - 14 * 60_000) == parse_usd("0.0015")
    assert COSTS.calculate_max_cost(*call, peak + 3 * 3_600_000 - 1_000) == parse_usd("0.0015")
    assert COSTS.calculate_max_cost(*call, peak + 3 * 3_600_000) == parse_usd("0.00075")


def test_an_unknown_or_free_model_is_never_sold() -> None:
    nowhere, audio = Route("openai", "gpt-99"), Route("openai", "whisper-1")
    for route in (nowhere, audio, Route("nobody", "x")):
        assert not COSTS.has_cost(route)
        with pytest.raises(NoCost):
            COSTS.calculate_call_cost(route, usage(1, 1), NOON)
        with pytest.raises(NoCost):
            COSTS.calculate_max_cost(route, Tokens(1), Tokens(1), NOON)
    with pytest.raises(NoCost):
        COSTS.calculate_audio_cost(Route("openai", "gpt-4o"), Seconds(1), NOON)


def test_audio_is_billed_by_the_second() -> None:
    assert COSTS.calculate_audio_cost(Route("openai", "whisper-1"), Seconds(60), NOON) == parse_usd(
        "0.006"
    )


def test_every_model_that_hears_has_a_cost_above_zero() -> None:
    routes = [route for model in CATALOGUE.audio_models for route in model.routes]
    assert routes[0].model == "whisper-1"
    assert all(COSTS.has_cost(route, "second") and not COSTS.has_cost(route) for route in routes)
    with pytest.raises(NoCost):
        COSTS.calculate_audio_cost(Route("openai", "gpt-6-luna"), Seconds(1), NOON)


def test_an_overlay_states_what_a_minute_of_audio_costs(tmp_path: Path) -> None:
    overlay = tmp_path / "models.toml"
    overlay.write_text('[[cost]]\nprovider = "groq"\nmodel = "ears"\nminute = "0.003"\n')
    costs, ears = Costs.load(overlay), Route("groq", "ears")
    assert costs.calculate_audio_cost(ears, Seconds(61), NOON) == parse_usd("0.00305")
    assert not costs.has_cost(ears)


def test_an_overlay_states_costs_that_the_package_lacks(tmp_path: Path) -> None:
    overlay = tmp_path / "models.toml"
    overlay.write_text(
        '[[cost]]\nprovider = "openai"\nmodel = "gpt-99"\ninput = "1.5"\noutput = "6"\n'
        'cached = "0.15"\n'
    )
    cost = Costs.load(overlay).calculate_call_cost(
        Route("openai", "gpt-99"), usage(1_000, 100, 400), NOON
    )
    assert cost == NanoUsd(600 * 1_500 + 400 * 150 + 100 * 6_000)


def test_a_custom_addresss_own_models_have_a_nominal_cost() -> None:
    costs = Costs.load()
    own = Route("openai", "llama3.2:latest")
    assert not costs.has_cost(own)
    costs.add_local_supplier("openai")
    assert costs.calculate_call_cost(own, usage(1_000_000, 1_000_000), NOON) == parse_usd("0.5")
    assert costs.calculate_call_cost(
        Route("openai", "gpt-4o"), usage(1_000_000, 0), NOON
    ) == parse_usd("2.5")


def test_the_formula_keeps_its_markup_within_the_briefs_bounds() -> None:
    for model in CATALOGUE.models.values():
        bases = [COSTS.get_base_rates(route, NOON, model.per) for route in model.routes]
        numerator, denominator = max(calculate_average_rate(*base) for base in bases)
        if numerator < 200_000 * denominator:
            continue  # below 20 micro-Credits a token a whole step is already some percent
        price = suggest_rate(bases)
        percent = price.units * 10_000 * denominator * 100 / numerator - 100
        assert MARKUP_PERCENT <= percent <= 50, (model.id, percent)


@pytest.mark.parametrize(
    ("exact", "tidied"),
    [(0, 1), (7, 7), (31, 32), (43, 45), (101, 110), (315, 320), (1_190, 1_200), (9_100, 10_000)],
)
def test_suggested_prices_read_well(exact: int, tidied: int) -> None:
    assert tidy_rate(MicroCredits(exact)) == MicroCredits(tidied)


def test_demand_moves_the_suggestion() -> None:
    base = [(1_000_000, 1_000_000)]
    assert suggest_rate(base) == MicroCredits(140)
    assert suggest_rate(base, demand_percent=150) == MicroCredits(220)
    assert suggest_rate(base, demand_percent=80) == MicroCredits(110)
