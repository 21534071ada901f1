"""What keys are worth: the brief's figures, and mixes."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from core.earnings.valuation import AverageRequest, calculate_average
from core.money import Credits, MicroCredits, NanoUsd, parse_usd
from core.pricing.prices import Price

GPT_4 = (30_000_000, 30_000_000)


def price(inward: int, outward: int | None = None) -> Price:
    rates = MicroCredits(inward), MicroCredits(inward if outward is None else outward)
    return Price("prc", "m", "token", *rates, 0, "admin")


def test_the_briefs_key() -> None:
    worth = calculate_average([(1, GPT_4, price(5_000))]).value_quota(parse_usd("500"))
    assert worth.requests == 16_666
    assert (worth.gross, worth.fee, worth.net) == (Credits(83_330), Credits(8_333), Credits(74_997))


def test_a_mix_is_weighted_by_what_was_served() -> None:
    mixed = calculate_average([(3, GPT_4, price(5_000)), (1, (5_000_000, 5_000_000), price(1_000))])
    # (3 × $0.03 + $0.005) ÷ 4 = $0.02375 a request, at 4 Credits.
    worth = mixed.value_quota(parse_usd("23.75"))
    assert (worth.requests, worth.gross) == (1_000, Credits(4_000))


def test_two_in_for_one_out() -> None:
    one = calculate_average([(1, (2_000_000, 10_000_000), price(300, 1_500))])
    assert one.value_quota(parse_usd("14")).requests == 3_000
    assert one.value_quota(parse_usd("14")).gross == Credits(2_100)
    assert one.count_requests(Credits(7)) == 10


@pytest.mark.parametrize("net", [1, 9, 1_000, 4_999, 74_997, 75_000])
def test_the_least_quota_that_is_worth_so_many_credits(net: int) -> None:
    one = calculate_average([(1, GPT_4, price(5_000))])
    worth = one.find_min_quota(Credits(net))
    assert worth.net >= Credits(net)
    assert one.value_quota(worth.quota) == worth
    fewer = worth.requests - 1
    assert one.value_quota(NanoUsd(fewer * parse_usd("0.03").units)).net < Credits(net)


@given(
    st.integers(1, 10**12),
    st.integers(1, 10**12),
    st.integers(1, 3_000),
    st.integers(1, 10**6),
    st.integers(1, 10**9),
)
def test_never_more_than_nine_tenths_of_what_its_use_is_charged(
    cost: int, price: int, denominator: int, net: int, quota: int
) -> None:
    one = AverageRequest(cost, price, denominator)
    worth = one.value_quota(NanoUsd(quota))
    assert worth.gross.units * denominator * 1_000_000 <= worth.requests * price
    assert worth.requests * cost <= quota * denominator
    assert worth.fee.units == worth.gross.units // 10
