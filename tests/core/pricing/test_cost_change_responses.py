"""What a supplier's change of cost may be answered with (brief § 3, Readings 7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.money import MicroCredits
from core.pricing.cost_change_responses import RatePair, calculate_responses
from core.pricing.prices import Price
from core.pricing.supplier_rates import USUAL_USAGE, SupplierRate
from core.pricing.usage import ModelUsage
from tests.support import brief

MIX = ModelUsage({"openai": USUAL_USAGE}, is_measured=False)


def priced(inward: int, outward: int = 0) -> Price:
    rates = MicroCredits(inward), MicroCredits(outward or inward)
    return Price("prc_x", "gpt-4", "token", *rates, 0, "admin")


def at(dollars_per_1k: str) -> dict[str, SupplierRate]:
    rates = brief.flat(dollars_per_1k)
    return {"openai": SupplierRate(rates.input.base, rates.cached.base, rates.output.base)}


def units(pair: RatePair | None) -> tuple[int, int] | None:
    return None if pair is None else (pair[0].units, pair[1].units)


def test_the_briefs_rise_is_passed_on_at_8_shared_at_6_and_absorbed_at_5() -> None:
    price, old, new = priced(5_000), at("0.03"), at("0.05")
    found = calculate_responses(price, MIX, old, new)
    assert found.is_dearer
    assert (units(found.passed_on), units(found.shared)) == ((8_000, 8_000), (6_000, 6_000))
    assert MIX.calculate_margin(price, old) == 66
    margins = [
        MIX.calculate_margin(replace(price, input_rate=rate, output_rate=rate), new)
        for rate in map(MicroCredits, (8_000, 6_000, 5_000))
    ]
    assert margins == [60, 20, 0]


@pytest.mark.parametrize(
    ("now", "old", "new", "passed", "shared"),
    [
        # Whole Credits where the price is whole; a step that would be none takes two digits.
        ((5_000, 5_000), "0.03", "0.031", (5_200, 5_200), (5_100, 5_100)),
        ((1_000, 1_000), "0.005", "0.0083", (2_000, 2_000), (1_300, 1_300)),
        # Two digits otherwise.
        ((350, 350), "0.002", "0.003", (530, 530), (360, 360)),
        # Sides are moved alike.
        ((4_000, 12_000), "0.03", "0.06", (8_000, 24_000), (5_000, 13_000)),
        # Today's price keeps more than the least markup: half the way.
        ((9_000, 9_000), "0.03", "0.06", (18_000, 18_000), (14_000, 14_000)),
        # A loss is passed on as a loss: the least markup is no answer in between.
        ((2_000, 2_000), "0.03", "0.06", (4_000, 4_000), (3_000, 3_000)),
        # A fall.
        ((8_000, 8_000), "0.05", "0.03", (5_000, 5_000), (6_000, 6_000)),
        ((5_000, 5_000), "0.03", "0.03", None, None),
    ],
)
def test_answers(
    now: tuple[int, int],
    old: str,
    new: str,
    passed: tuple[int, int] | None,
    shared: tuple[int, int] | None,
) -> None:
    found = calculate_responses(priced(*now), MIX, at(old), at(new))
    assert (units(found.passed_on), units(found.shared)) == (passed, shared)


def test_audio_moves_by_the_minute() -> None:
    price = brief.WHISPER_PRICE
    old, new = SupplierRate(0, 0, 0, 100_000_000), SupplierRate(0, 0, 0, 150_000_000)
    found = calculate_responses(
        price,
        ModelUsage({"openai": USUAL_USAGE}, is_measured=False),
        {"openai": old},
        {"openai": new},
    )
    assert found.passed_on is not None
    assert replace(price, input_rate=found.passed_on[0]).format_per_minute() == "3"


def test_nothing_known_to_cost_anything_is_answered_with_nothing() -> None:
    assert calculate_responses(priced(5_000), MIX, {}, at("0.03")).passed_on is None


def test_a_level_is_kept_as_text() -> None:
    level = SupplierRate(1, 2, 3, 4, 1_250)
    assert SupplierRate.from_text(level.to_text()) == level
    assert level.has_same_list_price(replace(level, billed_permille=1_000))
    assert not level.has_same_list_price(replace(level, cached=0))
