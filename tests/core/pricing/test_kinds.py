"""Prices by kind: tokens of a cache and of pictures have shares of their own; a hold takes the
dearest that can apply."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from core.clock import Clock
from core.ledger.ledger import Ledger
from core.money import Credits, MicroCredits, Tokens
from core.pricing.costs import Costs
from core.pricing.prices import BadPrice, KindPercents, NewPrice, Price, PriceBook
from core.pricing.rates import Rate, Rates
from tests.support import brief

_COUNTS = st.integers(0, 200_000).map(Tokens)
_RATES = st.integers(1, 50_000).map(MicroCredits)
_PERCENTS = st.builds(KindPercents, cached=st.integers(0, 100), picture=st.integers(0, 1_000))


def _price(percents: KindPercents, rate: int = 5_000) -> Price:
    return Price("prc", "gpt-4", "token", MicroCredits(rate), MicroCredits(rate), 0, "a", percents)


def test_each_kind_has_its_share() -> None:
    price = _price(KindPercents(cached=10, picture=120))
    whole = price.calculate_unrounded(
        Tokens(1_000), Tokens(100), cached=Tokens(500), pictures=Tokens(200)
    )
    assert whole == MicroCredits(5_000 * (300 + 50 + 240) + 5_000 * 100)
    # What of a picture was cached is cheaper as that.
    cached = price.calculate_unrounded(
        Tokens(300), Tokens(0), cached=Tokens(200), pictures=Tokens(300)
    )
    assert cached == MicroCredits(5_000 * (20 + 120))


@given(_RATES, _PERCENTS, _COUNTS, _COUNTS, _COUNTS, _COUNTS, _COUNTS)
def test_no_bill_is_above_its_hold(
    rate: MicroCredits,
    percents: KindPercents,
    text: Tokens,
    pictures: Tokens,
    output: Tokens,
    cached: Tokens,
    told_pictures: Tokens,
) -> None:
    """Whatever of what was held for a supplier tells, and however much of it was cached."""
    price = replace(_price(percents), input_rate=rate, output_rate=rate)
    held = price.calculate_max_charge(text + pictures, output, pictures=pictures)
    charge = price.calculate_charge(
        text + pictures, output, cached=cached, pictures=min(told_pictures, pictures)
    )
    assert Credits(1) <= charge <= held


async def test_the_formula_gives_cached_tokens_their_suppliers_share(
    ledger: Ledger, clock: Clock
) -> None:
    """By the dearest share of a model's routes; what an admin sets is kept by whoever follows."""
    rates = Rates(Rate(2_000_000), Rate(10_000_000), Rate(500_001), Rate(2_000_000))
    costs = Costs(
        {route: rates for model in brief.catalogue().models.values() for route in model.routes}
    )
    book = PriceBook(ledger.db, ledger.record, brief.catalogue(), costs, clock)
    await book.start()
    first = book.find_current("gpt-4")
    assert first is not None
    assert first.percents == KindPercents(cached=26)
    rate = MicroCredits(5_000)
    later = await book.set_price("gpt-4", rate, rate, set_by="admin")
    assert later.percents == first.percents
    own = KindPercents(cached=50, picture=200)
    await book.set_prices([NewPrice("gpt-4", rate, rate, percents=own)], set_by="admin")
    again = PriceBook(ledger.db, ledger.record, brief.catalogue(), costs, clock)
    await again.load()
    newest = again.find_newest("gpt-4")
    assert newest is not None
    assert newest.percents == own
    for wrong in (KindPercents(cached=101), KindPercents(picture=1_001), KindPercents(cached=-1)):
        with pytest.raises(BadPrice):
            await book.set_prices([NewPrice("gpt-4", rate, rate, percents=wrong)], set_by="admin")
