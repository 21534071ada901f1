"""One order and a floor: whatever is offered on a price."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings, strategies as st

from core.money import Credits, MicroCredits, Seconds, Tokens
from core.pricing.costs import Costs
from core.pricing.deals import DISCOUNT_MAX, calculate_floor, discount_price, mix_rates
from core.pricing.prices import Price
from core.pricing.rates import Rate, Rates
from tests.support import brief
from tests.support.size import size

PERCENT = st.integers(0, DISCOUNT_MAX)
RATE = st.integers(1, 1_000_000)


def price(inward: int, outward: int) -> Price:
    return Price("prc", "gpt-4", "token", MicroCredits(inward), MicroCredits(outward), 0, "admin")


def rates(inward: int, outward: int) -> Costs:
    """Pico-dollars per token, whatever is cached."""
    pair = Rates(Rate(inward), Rate(outward), Rate(inward), Rate(inward))
    return Costs({brief.OPENAI: pair})


@pytest.mark.parametrize(
    ("tier", "promotion", "told"),
    [
        (0, 0, "5"),
        (10, 0, "4.5"),
        (0, 20, "4"),
        (10, 20, "3.6"),
        (7, 13, "4.046"),
        (10, 50, "3.3"),  # 3 Credits and a tenth: the floor
        (99, 99, "3.3"),
    ],
)
def test_tier_then_promotion_then_the_floor(tier: int, promotion: int, told: str) -> None:
    least = calculate_floor(brief.costs(), brief.GPT_4, 0, 10)
    assert least is not None
    shown = discount_price(
        price(5_000, 5_000), tier_percent=tier, promotion_percent=promotion, floor_rate=least
    )
    assert shown.format_per_1k() == (told, told)


def test_a_price_below_the_floor_stays_what_it_is() -> None:
    least = calculate_floor(brief.costs(), brief.GPT_4, 0, 100)
    assert least is not None
    plain = price(5_000, 5_000)
    assert discount_price(plain, tier_percent=50, promotion_percent=50, floor_rate=least) == plain


def test_the_floor_is_over_the_dearest_supplier_and_unknown_where_no_cost_is() -> None:
    assert calculate_floor(brief.costs(), brief.GPT_4, 0, 0) == MicroCredits(9_000)
    assert calculate_floor(brief.costs(), brief.GPT_4, 0, -100) == MicroCredits(0)
    assert calculate_floor(brief.costs(), brief.WHISPER_1, 0, 0) == MicroCredits(30_000)
    assert calculate_floor(Costs({}), brief.GPT_4, 0, 0) is None


@given(
    plain=st.tuples(RATE, RATE),
    cost=st.tuples(st.integers(1, 10**10), st.integers(1, 10**10)),
    over=st.integers(-100, 200),
    tier=PERCENT,
    promotion=PERCENT,
    moved=st.tuples(RATE, RATE),
    tokens=st.tuples(st.integers(0, 200_000), st.integers(0, 20_000)),
    seconds=st.integers(0, 10_000),
)
@example((1, 1), (1, 1), 0, 99, 99, (1, 1), (0, 0), 0)
@settings(max_examples=size(small=400, full=20_000))
def test_never_below_the_floor_never_negative_never_above_the_plain_price(
    plain: tuple[int, int],
    cost: tuple[int, int],
    over: int,
    tier: int,
    promotion: int,
    moved: tuple[int, int],
    tokens: tuple[int, int],
    seconds: int,
) -> None:
    """For any tier, promotion, cost and change of the price, and any answer."""
    least = calculate_floor(rates(*cost), brief.GPT_4, 0, over)
    assert least is not None
    for pair in (plain, moved):
        before = price(*pair)
        after = discount_price(
            before, tier_percent=tier, promotion_percent=promotion, floor_rate=least
        )
        assert (after.id, after.model) == (before.id, before.model)
        assert MicroCredits(0) < after.input_rate <= before.input_rate
        assert MicroCredits(0) < after.output_rate <= before.output_rate
        mix, usual = (mix_rates(one.input_rate, one.output_rate) for one in (after, before))
        assert mix >= min(least, usual)
        # At par, what comes in is at least the floor over what the supplier takes on that mix.
        if least <= usual:
            assert mix.units * 10_000 * 100 >= (2 * cost[0] + cost[1]) * (100 + over)
        inward, outward = (Tokens(number) for number in tokens)
        charge = after.calculate_charge(inward, outward)
        assert Credits(1) <= charge <= before.calculate_charge(inward, outward)
        length = Seconds(seconds)
        assert (
            Credits(1)
            <= after.calculate_audio_charge(length)
            <= before.calculate_audio_charge(length)
        )
        # More off is never dearer.
        more = discount_price(
            before, tier_percent=tier, promotion_percent=min(promotion + 1, 99), floor_rate=least
        )
        assert mix_rates(more.input_rate, more.output_rate) <= mix
