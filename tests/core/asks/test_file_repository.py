"""The texts of files and pictures: kept sealed for a day, ten of a person at most, given back in
their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from core import ids
from core.asks.file_repository import (
    FILE_KEPT_SECONDS,
    FILES_KEPT_MAX,
    FileRepository,
    build_file_erasure,
)
from core.asks.types import FileText, Question, SentFile, SentPicture, fill_marks
from core.attachments.types import Picture, PictureSize
from core.ledger.ledger import Ledger
from core.money import Tokens
from core.pool.vault import DataKey, Vault
from core.users.types import Person
from tests.support import brief
from tests.support.databases import TestClock

_ANN = Person("per_ann", 0, "en", "", "", True, False, None, b"")
_, _KEY = Vault([bytes(32)]).create_data_key("person/per_ann")


async def _ask(ledger: Ledger, number: int, files: Sequence[SentFile]) -> str:
    id_ = ids.derive_id("ask", ledger.clock.now_ms() + 100 * number, str(number))
    question = Question(
        id_, _ANN, "telegram:7", str(number), "why?", brief.catalogue().find("gpt-4"),
        files=tuple(files),
    )  # fmt: skip
    writes = await FileRepository(ledger=ledger).plan_writes(question, "cnv_1", Tokens(10), _KEY)
    await ledger.record(*writes)
    return id_


def _files(*names: str) -> list[FileText]:
    return [FileText(name, f"{name}:\nwords") for name in names]


async def _load(ledger: Ledger, ask: str, key: DataKey = _KEY) -> tuple[SentFile, ...]:
    return (await FileRepository(ledger=ledger).load_files((ask,), key)).get(ask, ())


async def test_they_come_back_in_their_order_for_a_day(ledger: Ledger, clock: TestClock) -> None:
    ask = await _ask(ledger, 1, _files("b.txt", "a.txt"))
    kept = [one for one in await _load(ledger, ask) if isinstance(one, FileText)]
    assert [dataclasses.replace(one, tokens=Tokens(0)) for one in kept] == _files("b.txt", "a.txt")
    assert sum(one.tokens.units for one in kept) == 10
    _, other_key = Vault([bytes(32)]).create_data_key("person/per_ann")
    assert await _load(ledger, ask, other_key) == ()
    clock.advance(seconds=FILE_KEPT_SECONDS)
    assert await _load(ledger, ask) == ()
    await FileRepository(ledger=ledger).delete_expired()
    clock.advance(seconds=-FILE_KEPT_SECONDS)
    assert await _load(ledger, ask) == ()


async def test_pictures_come_back_in_both_sizes(ledger: Ledger) -> None:
    whole = Picture(b"\xff\xd8\xffwhole", PictureSize(1_568, 1_176))
    small = Picture(b"\xff\xd8\xffsmall", PictureSize(768, 576))
    ask = await _ask(
        ledger,
        1,
        (SentPicture("a.jpg", whole, small), SentPicture("b.jpg", small, small), *_files("c.txt")),
    )
    texts = FileRepository(ledger=ledger)
    as_sent = (await texts.load_files((ask,), _KEY))[ask]
    assert as_sent[:2] == (SentPicture("a.jpg", whole, small), SentPicture("b.jpg", small))
    later = (await texts.load_files((ask,), _KEY, smaller=True))[ask]
    assert later[:2] == (SentPicture("a.jpg", small), SentPicture("b.jpg", small))
    assert [one.name for one in later] == ["a.jpg", "b.jpg", "c.txt"]
    kept = await texts.list_kept(_ANN.id, _KEY)
    assert [one.picture for one in kept] == [whole.content, small.content, b""]


async def test_the_oldest_go(ledger: Ledger, clock: TestClock) -> None:
    texts = FileRepository(ledger=ledger)
    asks = []
    for number in range(FILES_KEPT_MAX // 2 + 1):
        asks.append(await _ask(ledger, number, _files("a.txt", "b.txt")))
        clock.advance(seconds=1)
    assert [bool(await _load(ledger, ask)) for ask in asks] == [False] + [True] * 5
    await ledger.record(build_file_erasure((_ANN.id,)))
    assert await texts.list_kept(_ANN.id, _KEY) == []


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("why?\n\n[a.txt]\n\n[a.txt]", "why?\n\n1\n\n2"),
        ("[a.txt] is a mark\n\n[a.txt]\n\n[a.txt]", "[a.txt] is a mark\n\n1\n\n2"),
        ("why?\n\n[a.txt]", "why?\n\n2"),
        ("why?", "why?"),
    ],
)
def test_files_stand_for_the_marks_at_the_end(text: str, filled: str) -> None:
    assert fill_marks(text, [FileText("a.txt", "1"), FileText("a.txt", "2")]) == filled
