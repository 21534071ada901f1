"""What a sum buys: every figure of the brief, and that more money never buys less."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from core.money import Credits, NanoUsd, parse_usd
from payments.offer import BadAmount, Entitlement, Offer, from_cents

OFFER = Offer()


@pytest.mark.parametrize(
    ("cash", "bought", "bonus"),
    [
        ("10", 1_000, 0),
        ("90", 9_000, 1_000),
        ("800", 80_000, 20_000),
        ("100", 10_000, 1_000),
        ("99.99", 9_999, 0),
        ("99", 9_900, 0),
        ("1", 100, 0),
        ("10000", 1_000_000, 100_000),
        ("0", 0, 0),
    ],
)
def test_the_briefs_figures(cash: str, bought: int, bonus: int) -> None:
    assert OFFER.compute_entitlement(parse_usd(cash)) == Entitlement(
        Credits(bought), Credits(bonus)
    )


@pytest.mark.parametrize("cash", ["0", "0.99", "10000.01", "5.001", "-1"])
def test_what_is_not_sold(cash: str) -> None:
    with pytest.raises(BadAmount):
        OFFER.validate_amount(parse_usd(cash))


def test_a_better_pack_is_told() -> None:
    better = OFFER.find_better_pack(parse_usd("95"))
    assert better is not None
    assert better.name == "Pro"
    assert OFFER.find_better_pack(parse_usd("91")) == better
    enterprise = OFFER.find_better_pack(parse_usd("900"))
    assert enterprise is not None
    assert enterprise.name == "Enterprise"
    # 110,000 and more for free amounts above $1,000: no pack gives that.
    for cash in ("10", "89.99", "90", "100", "1000"):
        assert OFFER.find_better_pack(parse_usd(cash)) is None


@given(st.integers(0, 1_000_000))
def test_a_bought_credit_always_brought_a_cent(number: int) -> None:
    given_ = OFFER.compute_entitlement(from_cents(number))
    assert given_.bought.units == number
    assert 0 <= given_.bonus.units <= number // 4


@given(st.integers(0, 10**15))
def test_any_rest_of_a_refund_gives_something_or_nothing(units: int) -> None:
    given_ = OFFER.compute_entitlement(NanoUsd(units))
    assert given_.bought.units == units // 10_000_000


@given(st.integers(1, 2_000_000), st.integers(0, 20), st.integers(0, 30))
def test_so_many_credits_cost_the_least_that_gives_them(wanted: int, bonus: int, tier: int) -> None:
    offer = replace(Offer(), bonus_percent=bonus, tier_percent=tier)
    cash = offer.find_cash(Credits(wanted))
    assert offer.compute_entitlement_without_pack(cash).total >= Credits(wanted)
    cheaper = cash - from_cents(1)
    assert offer.compute_entitlement_without_pack(cheaper).total < Credits(wanted)
