"""The price book: seeded once, changed by admins, one for all processes, billed as quoted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.money import Credits, MicroCredits, Tokens
from core.pool.providers.types import ListedModel
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.prices import FORMULA, BadPrice, PriceBook
from tests.support import brief
from tests.support.databases import TestClock


def book(store: Database, ledger: Ledger, clock: TestClock, **more: Any) -> PriceBook:
    return PriceBook(store, ledger.record, brief.catalogue(), brief.costs(), clock, **more)


async def test_every_model_is_priced_by_the_formula_at_first(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    prices = book(store, ledger, clock)
    await prices.start()
    found = {model: prices.find_current(model) for model in brief.PRICES}
    assert {model: price and price.format_per_1k() for model, price in found.items()} == {
        "gpt-4": ("4.2", "4.2"),
        "claude-3": ("3.5", "3.5"),
        "llama-3": ("0.7", "0.7"),
    }
    assert all(price and price.set_by == FORMULA for price in found.values())


async def test_the_products_catalogue_is_priced_whole(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    catalogue = Catalogue.load()
    prices = PriceBook(store, ledger.record, catalogue, Costs.load(), clock)
    await prices.start()
    for model in catalogue.models.values():
        price = prices.find_current(model.id)
        assert price is not None
        assert len(price.format_per_1k()[0].replace(".", "").strip("0")) <= 2, (
            "reads well on a card"
        )


async def test_several_processes_seed_once(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    books = [book(store, ledger, clock) for _ in range(5)]
    await asyncio.gather(*(one.start() for one in books))
    rows = await store.fetch(sa.select(schema.price))
    assert len(rows) == len(brief.catalogue().models)
    assert {one.find_current("gpt-4") for one in books} == {books[0].find_current("gpt-4")}


async def test_an_admins_price_stays_and_the_quoted_one_is_billed(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    prices = book(store, ledger, clock)
    await prices.start()
    await brief.set_prices(prices)
    quoted = prices.find_current("gpt-4")
    assert quoted is not None
    assert quoted.calculate_charge(Tokens(1_000), Tokens(500)) == Credits(8)
    clock.advance(seconds=60)
    raised = await prices.set_price(
        "gpt-4", MicroCredits(8_000), MicroCredits(8_000), set_by="per_a", note="pass on"
    )
    assert prices.find_current("gpt-4") == raised
    assert prices.find_by_id(quoted.id) == quoted
    again = book(store, ledger, clock)
    await again.start()
    assert again.find_current("gpt-4") == raised
    assert again.find_by_id(quoted.id) == quoted
    assert [price.set_by for price in again.list_history("gpt-4")] == [FORMULA, "admin", "per_a"]


async def test_a_price_takes_effect_at_its_time(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    prices = book(store, ledger, clock)
    await prices.start()
    before = prices.find_current("gpt-4")
    coming = await prices.set_price(
        "gpt-4",
        MicroCredits(6_000),
        MicroCredits(9_000),
        set_by="per_a",
        effective_at=clock.now_ms() + 60_000,
    )
    assert not coming.is_blended
    assert prices.find_current("gpt-4") == before
    clock.advance(seconds=60)
    assert prices.find_current("gpt-4") == coming
    assert coming.calculate_charge(Tokens(1_000), Tokens(1_000)) == Credits(15)


async def test_other_processes_hear_within_two_seconds(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    here, there = book(store, ledger, clock), book(store, ledger, clock)
    await here.start()
    await there.start()
    changed = await there.set_price("gpt-4", MicroCredits(9), MicroCredits(9), set_by="per_a")
    await here.refresh()
    assert here.find_current("gpt-4") != changed, "a quote a moment later costs no read"
    clock.advance(seconds=2)
    await here.refresh()
    assert here.find_current("gpt-4") == changed


async def test_a_model_that_comes_later_is_priced_too(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    catalogue, costs = Catalogue((brief.GPT_4,)), Costs.load()
    prices = PriceBook(store, ledger.record, catalogue, costs, clock)
    await prices.start()
    costs.add_local_supplier("openai")
    catalogue.add_local_models("openai", [ListedModel("llama3.2")])
    clock.advance(seconds=3)
    await prices.refresh()
    price = prices.find_current("llama3.2")
    assert price is not None
    assert price.format_per_1k() == ("0.028", "0.028")


async def test_the_operators_markup_moves_the_formula(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    prices = book(store, ledger, clock, markup_percent=20)
    await prices.start()
    price = prices.find_current("gpt-4")
    assert price is not None
    assert price.format_per_1k() == ("3.8", "3.8")


@pytest.mark.parametrize("rate", [0, -5, 1_000_000_001])
async def test_what_is_no_price_is_refused(
    store: Database, ledger: Ledger, clock: TestClock, rate: int
) -> None:
    prices = book(store, ledger, clock)
    with pytest.raises(BadPrice):
        await prices.set_price("gpt-4", MicroCredits(5_000), MicroCredits(rate), set_by="per_a")
    assert await store.fetch(sa.select(schema.price)) == []
