"""The brief's figures that concern prices (§ 3, § 4, Readings 7)."""

from __future__ import annotations

import pytest

from core.money import Credits, MicroCredits, NanoUsd, Seconds, Tokens, parse_usd
from core.pool.providers.types import Usage
from core.pricing.catalogue import Route
from core.pricing.prices import Price
from tests.support import brief


def priced(rate: int) -> Price:
    return Price("prc_x", "gpt-4", "token", MicroCredits(rate), MicroCredits(rate), 0, "admin")


def test_1500_tokens_of_gpt_4_are_8_credits_and_cost_45_thousandths_of_a_dollar() -> None:
    usage = Usage(input=Tokens(1_000), output=Tokens(500))
    assert priced(5_000).calculate_unrounded(usage.input, usage.output) == MicroCredits(7_500_000)
    assert priced(5_000).calculate_charge(usage.input, usage.output) == Credits(8)
    cost = brief.costs().calculate_call_cost(brief.OPENAI, usage, at_ms=0)
    assert cost == parse_usd("0.045")
    assert parse_usd("500") - cost == parse_usd("499.955")
    profit = parse_usd("0.08") - cost
    assert profit == parse_usd("0.035")
    assert profit.units * 100 // cost.units == 77


@pytest.mark.parametrize(
    ("route", "dollars", "charge", "percent"),
    [
        (brief.OPENAI, "0.03", 5, 66),
        (brief.ANTHROPIC, "0.025", 4, 60),
        (brief.CLOUDFLARE, "0.005", 1, 100),
    ],
)
def test_the_sample_list_costs_and_earns_what_the_brief_says(
    route: Route, dollars: str, charge: int, percent: int
) -> None:
    usage = Usage(input=Tokens(600), output=Tokens(400))
    cost = brief.costs().calculate_call_cost(route, usage, at_ms=0)
    assert cost == parse_usd(dollars)
    assert priced(charge * 1_000).calculate_charge(usage.input, usage.output) == Credits(charge)
    par = NanoUsd(charge * 10_000_000)
    assert (par - cost).units * 100 // cost.units == percent


def test_whisper_is_2_credits_a_minute_at_six_thousandths_of_a_dollar() -> None:
    for minutes in (1, 10, 600):
        length = Seconds(60 * minutes)
        assert brief.WHISPER_PRICE.calculate_audio_charge(length) == Credits(2 * minutes)
        cost = brief.costs().calculate_audio_cost(brief.WHISPER, length, at_ms=0)
        assert cost == parse_usd("0.006").multiply_by(minutes)
    assert brief.WHISPER_PRICE.calculate_audio_charge(Seconds(90)) == Credits(3)
    assert brief.WHISPER_PRICE.format_per_minute() == "2"


@pytest.mark.parametrize(("rate", "percent"), [(8_000, 60), (6_000, 20), (5_000, 0)])
def test_after_the_suppliers_rise_each_choice_leaves_its_margin(rate: int, percent: int) -> None:
    raised = parse_usd("0.05")
    par = NanoUsd(rate * 10_000)
    assert (par - raised).units * 100 // raised.units == percent


def test_an_answer_is_never_free() -> None:
    assert priced(1).calculate_charge(Tokens(0), Tokens(1)) == Credits(1)
    assert priced(5_000).calculate_charge(Tokens(0), Tokens(0)) == Credits(1)
    assert brief.WHISPER_PRICE.calculate_audio_charge(Seconds(0)) == Credits(1)


def test_prices_read_as_exact_decimals() -> None:
    assert priced(5_000).format_per_1k() == ("5", "5")
    assert priced(32).format_per_1k() == ("0.032", "0.032")
