"""Talks of ten turns about a picture or a document: what goes along with each turn, what its asker
and its key pay, with a supplier that caches as real ones do and with one that doesn't."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from core.asks.conversations import FILES_ALONG_SECONDS
from core.asks.types import SentFile
from core.db import schema
from core.money import Credits, NanoUsd
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.formula import PAR
from tests.peers.prompt_caches import AnthropicCaches, OpenAICaches
from tests.peers.supplier_pictures import list_sizes
from tests.peers.suppliers import Answer as Says, FakeSupplier
from tests.support import service
from tests.support.databases import TestClock
from tests.support.sent_files import make_question, read_document, read_picture
from tests.support.service import Service, World

Supplier = Literal["openai", "anthropic"]
MODELS: dict[Supplier, str] = {"openai": "gpt-6.1-terra", "anthropic": "claude-sonnet-5-5"}
#: Seconds before each turn: seven within nine minutes, and three after the hour.
PAUSES = (0, 60, 60, 60, 240, 60, 60, FILES_ALONG_SECONDS, 60, 60)
LAST_ALONG = 7
#: Words of a question and of its answer.
ASKED, ANSWERED = 30, 120
PAGES, WORDS_A_PAGE = 40, 300
WHOLE, SMALL = (1_568, 1_176), (768, 576)


@dataclass(frozen=True)
class Turn:
    """What was sent with a turn, and what came of it."""

    pictures: list[tuple[int, int]]
    has_document: bool
    input: int
    cached: int
    written: int
    charge: Credits
    cost: NanoUsd
    held: NanoUsd

    @property
    def margin(self) -> NanoUsd:
        """What its charge brings at par, less what its key pays."""
        return PAR.multiply_by(self.charge.units) - self.cost


@dataclass
class Talk:
    tom: Service
    model: str
    turns: list[Turn] = field(default_factory=list)

    async def ask(self, number: int, *files: SentFile) -> None:
        tom, model = self.tom, self.tom.app.services.pricing.catalogue.find(self.model)
        tom.clock.advance(seconds=PAUSES[number])  # type: ignore[attr-defined]
        tom.openai.script(Says(_write(f"a{number}", ANSWERED)))
        text = _write(f"q{number}", ASKED)
        question = await make_question(tom, *files, text=text, model=model)
        run = await tom.app.services.asks.asks.start_ask(question)
        held = run.open_ask.key_held
        result = await run.result
        usage = schema.usage
        rows = await tom.app.services.base.db.fetch(sa.select(usage).where(usage.c.ask == run.id))
        (row,) = rows
        body = tom.openai.calls[-1].body
        self.turns.append(
            Turn(
                pictures=list_sizes(tom.openai.wire, body),
                has_document=_DOCUMENT[:200] in str(body),
                input=row.input_tokens,
                cached=row.cached_tokens,
                written=tom.openai.caches.written if tom.openai.caches else 0,  # type: ignore[attr-defined]
                charge=result.charge,
                cost=NanoUsd(row.cost),
                held=held,
            )
        )

    def print_table(self, title: str) -> None:
        print(f"\n{title}\nturn  sent          prompt  cached  written  paid     key pays  margin")
        for number, one in enumerate(self.turns, 1):
            sent = "whole" if WHOLE in one.pictures else "small" if one.pictures else "–"
            sent = "document" if one.has_document else sent
            print(
                f"{number:4}  {sent:10} {one.input:9,} {one.cached:7,} {one.written:8,}"
                f"  {one.charge.units:4} Cr. ${one.cost.units / 1e9:.4f}"
                f"   ${one.margin.units / 1e9:.4f}"
            )


def _write(seed: str, words: int) -> str:
    chosen = random.Random(seed)
    return " ".join(chosen.choice(("the", "sky", "is", "so", "blue")) for _ in range(words))


_DOCUMENT = "\n\n".join(_write(f"p{page}", WORDS_A_PAGE) for page in range(PAGES))
FILES: dict[str, SentFile] = {
    "picture": read_picture(*WHOLE),
    "document": read_document(_DOCUMENT, f"a.pdf, {PAGES} pages"),
}


@contextlib.asynccontextmanager
async def talking(
    url: str, clock: TestClock, supplier: Supplier, *, is_caching: bool
) -> AsyncIterator[Talk]:
    model, now = MODELS[supplier], lambda: clock.now_ms() / 1_000
    async with FakeSupplier(supplier, models=[model]) as fake:
        if is_caching:
            caches = OpenAICaches if supplier == "openai" else AnthropicCaches
            fake.caches = _Counted(caches(now, fake.count_blocks))
        real = replace(SUPPLIERS[supplier], base_url=fake.url, key_shape=r"[!-~]{8,400}")
        catalogue = Catalogue([Catalogue.load().find(model)])
        world = World(catalogue, Costs.load(), {supplier: real}, 4_000)
        async with service.running(
            url, clock, welcome=1_000_000, supplier=fake, world=world
        ) as tom:
            yield Talk(tom, model)


class _Counted:
    """Caches, and what the newest call wrote to them."""

    def __init__(self, caches: OpenAICaches | AnthropicCaches) -> None:
        self._caches, self.written = caches, 0

    def use(self, key: str, body: dict[str, Any], used: Any) -> Any:
        used = self._caches.use(key, body, used)
        self.written = used.written
        return used


@pytest.mark.parametrize("is_caching", [True, False], ids=["caching", "not caching"])
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("supplier", MODELS)
async def test_ten_turns_pay_for_themselves(
    database_url: str, clock: TestClock, supplier: Supplier, kind: str, is_caching: bool
) -> None:
    async with talking(database_url, clock, supplier, is_caching=is_caching) as talk:
        await talk.ask(0, FILES[kind])
        for number in range(1, len(PAUSES)):
            await talk.ask(number)
        talk.print_table(f"{talk.model}, a {kind}, {'caching' if is_caching else 'not caching'}")
        turns = talk.turns
        _check_what_went_along(turns, kind)
        assert [one.margin >= NanoUsd(0) for one in turns] == [True] * len(turns)
        assert [one.cost <= one.held for one in turns] == [True] * len(turns)
        assert any(one.cached for one in turns) is is_caching


def _check_what_went_along(turns: list[Turn], kind: str) -> None:
    along = range(1, LAST_ALONG)
    after = range(LAST_ALONG, len(turns))
    if kind == "picture":
        assert turns[0].pictures == [WHOLE]
        assert [turns[number].pictures for number in along] == [[SMALL]] * len(along)
        assert [turns[number].pictures for number in after] == [[]] * len(after)
    else:
        assert [one.has_document for one in turns] == [True] * LAST_ALONG + [False] * len(after)
    # Without its files a turn is words alone.
    words = (ASKED + ANSWERED) * len(turns) + 20
    assert all(turns[number].input <= words for number in after)


async def test_a_whole_picture_is_not_written_to_a_cache_that_forgets_it(
    sqlite_url: str, clock: TestClock
) -> None:
    """The next turn has it smaller: what was written would never be read."""
    async with talking(sqlite_url, clock, "anthropic", is_caching=True) as talk:
        await talk.ask(0, FILES["document"])
        await talk.ask(1)
        await talk.ask(2, FILES["picture"])
        await talk.ask(3)
        _, second, pictured, after = talk.turns
        assert second.written > 12_000
        assert (pictured.pictures, after.pictures) == ([WHOLE], [SMALL])
        assert (pictured.cached, pictured.written) == (second.written, 0)
        # The small one is written, since it stays for the hour.
        assert after.cached == second.written
        assert after.written == after.input - after.cached
