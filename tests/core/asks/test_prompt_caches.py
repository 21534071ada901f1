"""Twenty turns with a supplier that caches as real ones do: what is read, written and billed."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from core.asks import conversations
from core.money import NanoUsd, Tokens
from core.pool.prompt_caches import PromptCaches
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.supplier_rates import UsageMix
from core.pricing.usage import ModelUsage
from core.repricing.suggestions import suggest_rates
from tests.peers.prompt_caches import AnthropicCaches, OpenAICaches
from tests.peers.suppliers import Answer as Says, FakeSupplier, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service, World

TURNS = 20
#: Words of a question and of its answer: with 16,000 tokens of history something is left out.
WORDS = (300, 900)
MODELS = {"openai": "gpt-6.1-terra", "anthropic": "claude-sonnet-5-5"}


@dataclass
class Talk:
    """A conversation, and what its supplier counted."""

    tom: Service
    clock: TestClock
    words: tuple[int, int]
    used: list[Used]
    costs: Costs
    model: str
    supplier: str
    bill: NanoUsd = field(default_factory=lambda: NanoUsd(0))

    async def ask(self, *, seconds: int = 30) -> None:
        """The next turn, its words not said before; the supplier's bill grows by its own count."""
        number, (asked, answered) = len(self.used), self.words
        self.tom.openai.script(Says(_text(f"a{number}", answered)))
        self.clock.advance(seconds=seconds)
        at = self.clock.now_ms()
        await self.tom.answer(_text(f"q{number}", asked))
        (route,) = self.tom.app.services.pricing.catalogue.find(self.model).routes
        self.bill += self.costs.calculate_call_cost(route, _Billed(self.used[-1]), at)

    @property
    def cached_permille(self) -> int:
        """The share of all input from the second turn on that was read from a cache."""
        later = self.used[1:]
        return sum(used.cached for used in later) * 1_000 // sum(used.input for used in later)


class _Billed:
    def __init__(self, used: Used) -> None:
        self.input, self.output = Tokens(used.input), Tokens(used.output)
        self.cached, self.cache_written = Tokens(used.cached), Tokens(used.written)


def _text(seed: str, words: int) -> str:
    chosen = random.Random(seed)
    return " ".join(chosen.choice(("the", "sky", "is", "so", "blue")) for _ in range(words))


@contextlib.asynccontextmanager
async def talking(
    url: str,
    clock: TestClock,
    supplier: Any,
    *,
    history: int = 16_000,
    words: tuple[int, int] = WORDS,
    keys: int = 2,
    sender: str = "7",
) -> AsyncIterator[Talk]:
    model, used = MODELS[supplier], list[Used]()
    catalogue, costs = Catalogue([Catalogue.load().find(model)]), Costs.load()
    now = lambda: clock.now_ms() / 1_000  # noqa: E731
    async with FakeSupplier(supplier, models=[model]) as fake:
        caches = OpenAICaches(now) if supplier == "openai" else AnthropicCaches(now)

        class Counted:
            def use(self, key: str, body: dict[str, Any], count: Used) -> Used:
                used.append(caches.use(key, body, count))
                return used[-1]

        fake.caches = Counted()
        real = replace(SUPPLIERS[supplier], base_url=fake.url, key_shape=r"[!-~]{8,400}")
        world = World(catalogue, costs, {supplier: real}, history)
        async with service.running(
            url, clock, welcome=1_000_000, keys=keys, supplier=fake, world=world
        ) as tom:
            before = await _booked(tom)
            talk = Talk(tom.someone(sender), clock, words, used, costs, model, supplier)
            yield talk
            booked = await _booked(tom) - before
            assert booked == talk.bill.units, "a key pays what its supplier bills"


async def _booked(tom: Service) -> int:
    return sum(card.used.units for card in await tom.app.services.pool.pool.list_keys())


@pytest.mark.parametrize("supplier", ["openai", "anthropic"])
async def test_of_twenty_turns_with_a_long_history_most_is_read_from_the_cache(
    database_url: str, clock: TestClock, supplier: str
) -> None:
    async with talking(database_url, clock, supplier) as talk:
        for _ in range(TURNS):
            await talk.ask()
        assert talk.cached_permille >= 600, talk.used
        await _check_that_the_formula_knows(talk)


async def _check_that_the_formula_knows(talk: Talk) -> None:
    """What is read from caches costs whoever asks less by itself; a price that is the same for
    every kind of tokens is suggested lower for it."""
    services = talk.tom.app.services
    model = services.pricing.catalogue.find(talk.model)
    suggestion = await services.repricing.suggestions.suggest_price(model)
    assert suggestion is not None
    assert suggestion.basis.real_usage is not None
    mix = suggestion.basis.real_usage.by_supplier[talk.supplier]
    assert mix.cached == sum(used.cached for used in talk.used)
    assert suggestion.current.percents.cached < 100

    def suggest(usage: UsageMix) -> int:
        rates = suggest_rates(
            ModelUsage({talk.supplier: usage}),
            suggestion.basis.rates,
            is_blended=suggestion.current.is_blended,
            markup_percent=services.repricing.suggestions.markup_percent,
            demand_percent=suggestion.demand_percent,
        )
        return rates[0].units

    cheaper = suggest(mix)
    assert cheaper < suggest(replace(mix, uncached=mix.input, cached=0))
    assert cheaper < suggestion.input_rate.units


@pytest.mark.parametrize("supplier", ["openai", "anthropic"])
async def test_without_a_name_for_the_conversation_or_without_blocks_little_is_read(
    database_url: str, clock: TestClock, supplier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        _forget_names(broken)
        async with talking(database_url, clock, supplier) as talk:
            for _ in range(TURNS):
                await talk.ask()
            assert talk.cached_permille < 150, talk.used
    _drop_one_by_one(monkeypatch)
    async with talking(
        database_url, clock, supplier, history=4_000, words=(100, 300), sender="8"
    ) as talk:
        for _ in range(TURNS):
            await talk.ask()
        assert talk.cached_permille < 300, talk.used


@pytest.mark.parametrize("supplier", ["openai", "anthropic"])
@pytest.mark.parametrize(("history", "words"), [(4_000, (100, 300)), (16_000, WORDS)])
async def test_caching_makes_the_bill_smaller(
    database_url: str,
    clock: TestClock,
    supplier: str,
    history: int,
    words: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Prints the share that is read, and the supplier's bill with caching and as it was before."""
    async with talking(database_url, clock, supplier, history=history, words=words) as talk:
        for _ in range(TURNS):
            await talk.ask()
    _forget_names(monkeypatch)
    _drop_one_by_one(monkeypatch)
    async with talking(
        database_url, clock, supplier, history=history, words=words, sender="8"
    ) as before:
        for _ in range(TURNS):
            await before.ask()
    print(
        f"\n{talk.model}, history {history}, turns of {words[0]} + {words[1]} words:"
        f" {talk.cached_permille / 10} % of the input of turns 2-{TURNS} read from the cache,"
        f" ${talk.bill.units / 1e9:.4f} for {TURNS} turns;"
        f" without caching {before.cached_permille / 10} %, ${before.bill.units / 1e9:.4f}"
    )
    assert talk.bill < before.bill


def _forget_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PromptCaches, "describe", lambda *_: None)


def _drop_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversations, "_TOKENS_BLOCK_DIVISOR", 1_000_000)
    monkeypatch.setattr(conversations, "_TURNS_BLOCK", 1)
