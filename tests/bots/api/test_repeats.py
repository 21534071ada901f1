"""The same Idempotency-Key again: what was answered or charged is never asked a second time, what
came to nothing is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from bots.api import ask_endpoint
from core.asks.types import Outcome
from core.db import schema
from tests.bots.api.money_support import PATHS, Shop, selling
from tests.peers.suppliers import Answer, Refuse, Script, Used
from tests.support import service
from tests.support.databases import TestClock

CHAT, MESSAGES = PATHS
WORDS = tuple(f"word{n:02} " for n in range(20))
GOOD = Answer(chunks=WORDS, usage=Used(20, 30))


@pytest.fixture
async def shop(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    async with selling(sqlite_url, clock, monkeypatch, keys=1) as made:
        yield made


async def list_asks(shop: Shop) -> list[str]:
    """The outcomes of all asks in the books, the oldest first."""
    rows = await shop.fetch(sa.select(schema.ask.c.outcome).order_by(schema.ask.c.created_at))
    return [row.outcome for row in rows]


TROUBLES: tuple[Script, ...] = (
    Refuse(500),
    Answer(chunks=WORDS, breaks_after=0),
    Answer(chunks=WORDS, breaks_after=5),
    Answer(chunks=WORDS, fails_after=5),
    Answer(chunks=WORDS, cut=True),
)


async def test_what_failed_for_nothing_is_asked_anew_and_charged_once(shop: Shop) -> None:
    ways = itertools.product(PATHS, (False, True), TROUBLES)
    for number, (path, streams, trouble) in enumerate(ways):
        key, body = f"k{number}", shop.build_body(f"anew{number} why?", stream=streams)
        other = {**body, "temperature": 0.5}
        shop.supplier.always(trouble)
        failed = await shop.post(path, body, key)
        assert b"[DONE]" not in failed.content
        assert b"message_stop" not in failed.content
        assert (await shop.post(path, other, key)).code == "idempotency_mismatch"
        assert [one for one in (await shop.check_sums()).values() if one] == [50] * number
        shop.supplier.always(GOOD)
        calls = len(shop.supplier.calls)
        answered, again = [await shop.post(path, body, key) for _ in range(2)]
        assert (answered.status, answered.is_replayed, again.is_replayed) == (200, False, True)
        assert b"word19" in answered.content
        assert b"word19" in again.content
        assert (await shop.post(path, other, key)).code == "idempotency_mismatch"
        assert len(shop.supplier.calls) == calls + 1
        assert [one for one in (await shop.check_sums()).values() if one] == [50] * (number + 1)


async def test_what_the_question_caused_is_told_again(shop: Shop) -> None:
    shop.supplier.always(Refuse(400, code="context_length_exceeded"))
    first = await shop.post(CHAT, shop.build_body("long why?"), "k")
    calls = len(shop.supplier.calls)
    shop.supplier.always(GOOD)
    again = await shop.post(CHAT, shop.build_body("long why?"), "k")
    assert (again.status, again.code) == (400, "context_length_exceeded")
    assert (first.status, first.code) == (400, "context_length_exceeded")
    assert len(shop.supplier.calls) == calls


@pytest.mark.parametrize("words", [0, 5])
async def test_what_a_caller_left_is_asked_anew_unless_it_was_charged(
    shop: Shop, words: int
) -> None:
    shop.supplier.always(Answer(chunks=WORDS, hangs_after=words))
    reader, writer = await shop.open()
    body = shop.build_body("left why?", stream=True)
    writer.writelines(shop.encode(CHAT, body, "k"))
    await shop.supplier.arrived(1)
    if words:
        await reader.readuntil(b"word04")
    running = await shop.post(CHAT, body, "k")
    assert (running.status, running.code) == (409, "in_progress")
    writer.transport.abort()
    result = await shop.runs["left"].result
    assert result.outcome is Outcome.STOPPED
    assert result.charge.is_zero == (words == 0)
    shop.supplier.always(GOOD)
    again = await shop.post(CHAT, body, "k")
    assert (again.status, again.code) == ((503, "stopped") if words else (200, ""))
    assert len(shop.supplier.calls) == (1 if words else 2)
    charges = await shop.check_sums()
    assert [one for one in charges.values() if one] == [result.charge.units or 50]


async def test_of_many_that_repeat_a_failure_at_once_one_asks(shop: Shop) -> None:
    body = shop.build_body("crowd why?")
    shop.supplier.always(Refuse(500))
    assert (await shop.post(CHAT, body, "k")).status == 503
    gate = shop.supplier.hold()
    shop.supplier.always(GOOD)
    calls = len(shop.supplier.calls)
    asking = [asyncio.create_task(shop.post(CHAT, body, "k")) for _ in range(10)]
    await shop.supplier.arrived(calls + 1)
    done: set[asyncio.Task[object]] = set()
    while len(done) < len(asking) - 1:
        done, _ = await asyncio.wait(asking, timeout=0.05)
    gate.set()
    assert sorted([(await one).status for one in asking]) == [200] + [409] * 9
    assert len(shop.supplier.calls) == calls + 1
    assert [one for one in (await shop.check_sums()).values() if one] == [50]


async def test_after_so_many_attempts_the_last_failure_is_told_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask_endpoint, "_ATTEMPTS_MAX", 3)
    shop.supplier.always(Refuse(500))
    for _ in range(5):
        assert (await shop.post(CHAT, shop.build_body("often why?"), "k")).status == 503
    assert await list_asks(shop) == ["refused"] * 3


async def test_an_ask_of_a_process_that_died_is_asked_anew(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with selling(database_url, clock, monkeypatch, keys=1) as shop:
        shop.supplier.always(Answer(chunks=WORDS, hangs_after=5))
        reader, writer = await shop.open()
        body = shop.build_body("lost why?", stream=True)
        writer.writelines(shop.encode(CHAT, body, "k"))
        await reader.readuntil(b"word04")
        run = shop.runs["lost"]
        assert (await shop.post(CHAT, body, "k")).status == 409
        clock.advance(seconds=13)
        async with service.running(database_url, clock) as other:
            assert await other.app.services.asks.recovery.recover_lapsed_asks() == 1
        run.stop()
        await asyncio.wait((run.result,))
        shop.supplier.always(GOOD)
        assert (await shop.post(CHAT, body, "k")).status == 200
        assert (await shop.post(CHAT, body, "k")).is_replayed
        assert len([one for one in (await shop.check_sums()).values() if one]) == 1
        writer.transport.abort()
