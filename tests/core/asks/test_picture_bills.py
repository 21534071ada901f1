"""Random pictures, with and without documents and turns before them, of every model on sale that
sees on five suppliers' wires: no supplier bills more than was held, and nobody pays more than was
quoted."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
import sqlalchemy as sa

from core.asks.run import AskRun
from core.asks.types import PicturesUnseen, QuestionTooLong, SentFile
from core.attachments.types import PICTURE_SIDE_MAX, PictureSize
from core.db import schema
from core.money import NanoUsd, Tokens
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs
from core.pricing.picture_tokens import PICTURE_RULES
from tests.peers.picture_counts import find_count
from tests.peers.suppliers import Answer as Says, FakeSupplier
from tests.support import service
from tests.support.databases import TestClock
from tests.support.sent_files import make_question, read_document, read_picture
from tests.support.service import Service, World
from tests.support.size import size

ASKS = size(small=200, full=5_000)
PICTURES_MOST = 8
#: Conversations that questions go on in.
PLACES = 12
WIRES: dict[str, Literal["openai", "anthropic"]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "mistral": "openai",
    "google": "openai",
    "groq": "openai",
}


@dataclass
class Tally:
    """What came of the asks of one supplier."""

    asked: int = 0
    refused: int = 0
    models: set[str] = field(default_factory=set)
    #: What pictures were held at, and what was billed of them, in tokens.
    ratios: list[float] = field(default_factory=list)


def list_seeing(catalogue: Catalogue, supplier: str) -> list[Model]:
    """The models that a supplier serves with pictures, by that route alone."""
    return [
        replace(model, routes=(route,))
        for model in catalogue.models.values()
        for route in model.routes
        if route.provider == supplier and route.pictures
    ]


def choose_files(chance: random.Random) -> list[SentFile]:
    def choose_side() -> int:
        return chance.choice((1, PICTURE_SIDE_MAX, chance.randint(1, PICTURE_SIDE_MAX)))

    count = chance.choice((0, 1, 1, 2, 3, chance.randint(1, PICTURES_MOST)))
    files: list[SentFile] = [read_picture(choose_side(), choose_side()) for _ in range(count)]
    if chance.random() < 0.3:
        files.append(read_document("the sky is blue " * chance.randint(1, 800)))
    return files


@pytest.mark.parametrize("supplier", WIRES)
async def test_no_supplier_bills_more_than_was_held(
    sqlite_url: str, clock: TestClock, supplier: str
) -> None:
    models, costs, tally = list_seeing(Catalogue.load(), supplier), Costs.load(), Tally()
    assert models
    async with FakeSupplier(
        WIRES[supplier], models=[one.routes[0].model for one in models], plays=supplier
    ) as fake:
        real = replace(SUPPLIERS[supplier], base_url=fake.url, key_shape=r"[!-~]{8,400}")
        world = World(Catalogue(models), costs, {supplier: real}, 4_000)
        async with service.running(
            sqlite_url, clock, welcome=100_000_000, budget="100000", supplier=fake, world=world
        ) as tom:
            chance = random.Random(supplier)
            for _ in range(max(1, ASKS // len(WIRES))):
                await ask_and_compare(tom, chance, chance.choice(models), tally)
    assert tally.asked > tally.refused
    ordered = sorted(tally.ratios)
    print(
        f"\n{supplier}: {tally.asked} asks of {len(tally.models)} models, {tally.refused} refused;"
        f" held ÷ billed of pictures: median {statistics.median(ordered):.3f},"
        f" p99 {ordered[len(ordered) * 99 // 100]:.3f}"
    )


async def ask_and_compare(tom: Service, chance: random.Random, model: Model, tally: Tally) -> None:
    """One question, held against what its supplier counts of it."""
    tom.clock.advance(seconds=1)  # type: ignore[attr-defined]
    files = choose_files(chance)
    question = await make_question(
        tom,
        *files,
        text="why " * chance.randint(1, 60),
        place=f"telegram:7:{chance.randrange(PLACES)}",
        model=model,
    )
    answer = Says("so " * chance.randint(1, 100), thinking=chance.choice((0, 40)))
    tom.openai.always(answer if model.thinking else replace(answer, thinking=0))
    # A picture of any size may be too many for the model, or too large for its window.
    counted = model.count_pictures([one.size for one in question.pictures])
    if counted is None or counted >= model.prompt_limit:
        with pytest.raises((PicturesUnseen, QuestionTooLong)):
            await tom.app.services.asks.asks.start_ask(question)
        tally.refused += 1
        return
    run = await tom.app.services.asks.asks.start_ask(question)
    await compare(tom, run, model, tally)


async def compare(tom: Service, run: AskRun, model: Model, tally: Tally) -> None:
    held = run.open_ask.key_held
    result = await run.result
    assert result.text, (model.id, result.failure)
    (route,) = model.routes
    count = find_count(route.provider, route.model)
    assert count is not None
    messages = run.prompt.messages
    sizes = [picture.size for one in messages for picture in one.pictures]
    pictures = sum(count(*sides) for sides in sizes)
    bill = pictures + sum(len(one.text.split()) for one in messages)
    bound = route.count_pictures([PictureSize(*sides) for sides in sizes])
    assert bound is not None
    assert pictures <= bound.units == run.quote.picture_tokens.units
    assert tuple(sizes) == run.quote.pictures
    assert bill <= run.quote.prompt_tokens.units
    usage = schema.usage
    rows = await tom.app.services.base.db.fetch(sa.select(usage).where(usage.c.ask == run.id))
    (row,) = rows
    assert (row.input_tokens, row.estimated) == (bill, False)
    assert result.prompt_tokens == Tokens(bill)
    assert result.charge <= run.quote.max_charge
    assert result.charge == run.quote.price.calculate_charge(Tokens(bill), result.output_tokens)
    if PICTURE_RULES[route.pictures].is_published:
        assert NanoUsd(row.cost) <= held
    tally.asked += 1
    tally.models.add(model.id)
    if pictures:
        tally.ratios.append(bound.units / pictures)
