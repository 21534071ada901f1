"""Asks by programs: what each ending costs, what counts toward a token's cap, and that nothing of
their words is kept.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import sqlalchemy as sa

from core import ids
from core.api_tokens.repository import DAYS_KEPT
from core.asks import api_calls
from core.asks.api_calls import AnswerFeed, ApiCall, ReplyKey, TokenCap, TokenCapReached
from core.asks.run import AskRun
from core.asks.types import AskResult, NotEnoughCredits, Outcome, Question
from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Insert
from core.money import Credits, Tokens
from core.pool.providers.message_parts import CallOptions
from core.pool.providers.types import ChatMessage, TextDelta
from tests.peers.suppliers import Answer as Says, Refuse, Used
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service

CANARY = "a canary's own words"
CHUNKS = tuple(f"word{n:02} " for n in range(20))
_numbers = itertools.count()


async def begin(tom: Service, *, per_day: int = 1_000, id_: str = "", **call: object) -> AskRun:
    """A program's ask, begun."""
    day = tom.clock.now_ms() // DAY_MS
    row = {"token": "tok", "day": day, "credits": 0}
    await tom.app.services.base.ledger.record(Insert(schema.api_spending, row, ignore=True))
    messages = (ChatMessage("user", CANARY),)
    made = ApiCall(TokenCap("tok", day, Credits(per_day)), messages, CallOptions(), **call)  # type: ignore[arg-type]
    return await tom.app.services.asks.asks.start_ask(
        Question(
            id=id_ or ids.derive_id("ask", tom.clock.now_ms(), str(next(_numbers))),
            person=await tom.person(),
            place="api:tok",
            asked_in="",
            text="",
            model=brief.GPT_4,
            api_call=made,
        )
    )


async def read_all(run: AskRun) -> str:
    assert run.feed is not None
    return "".join([api_calls.read_text(one) async for pieces in run.feed for one in pieces])


async def spent_today(tom: Service) -> int:
    rows = await tom.app.services.base.db.fetch(sa.select(schema.api_spending.c.credits))
    return sum(row.credits for row in rows)


async def unpaid_causes(tom: Service) -> list[str]:
    rows = await tom.app.services.base.db.fetch(sa.select(schema.unpaid_work.c.cause))
    return [row.cause for row in rows]


async def test_an_answer_is_paid_and_no_word_of_it_is_kept(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=CHUNKS, usage=Used(256, 180)))
        run = await begin(tom)
        assert await read_all(run) == "".join(CHUNKS)
        result = await run.result
        assert (result.outcome, result.finish_reason) == (Outcome.DONE, "stop")
        assert result.charge == await tom.spent() == Credits(3)
        assert await spent_today(tom) == 3
        (row,) = await tom.app.services.base.db.fetch(sa.select(schema.ask))
        assert (row.question, row.answer, row.api_token) == (None, None, "tok")
        assert row.landed_at is not None
        assert await unpaid_causes(tom) == []


@pytest.mark.parametrize("shown", [0, 5])
async def test_a_caller_who_goes_pays_for_what_came(
    database_url: str, clock: TestClock, shown: int
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=CHUNKS, hangs_after=shown))
        run = await begin(tom)
        await tom.openai.arrived(1)
        assert run.feed is not None
        if shown:
            async for _ in run.feed:
                if run.text == "".join(CHUNKS[:shown]):
                    break
        run.stop()
        result = await run.result
        assert result.outcome is Outcome.STOPPED
        assert result.charge == (Credits(1) if shown else Credits(0)) == await tom.spent()
        assert await spent_today(tom) == result.charge.units
        assert await unpaid_causes(tom) == ([] if shown else ["stopped"])


@pytest.mark.parametrize("fault", [{"breaks_after": 5}, {"fails_after": 5}, {"cut": True}])
async def test_a_break_of_the_suppliers_is_free_and_counted(
    database_url: str, clock: TestClock, fault: dict[str, int]
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=CHUNKS, **fault))  # type: ignore[arg-type]
        run = await begin(tom)
        await read_all(run)
        result = await run.result
        assert result.outcome is Outcome.BROKEN
        assert result.charge.is_zero
        assert (await tom.spent()).is_zero
        assert await spent_today(tom) == 0
        assert await unpaid_causes(tom) == ["broken"]


async def test_what_is_refused_before_an_answer_costs_nothing(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.always(Refuse(500))
        result = await (await begin(tom)).result
        assert (result.outcome, result.charge) == (Outcome.REFUSED, Credits(0))
        assert await spent_today(tom) == 0
        assert await unpaid_causes(tom) == []


async def test_an_unset_limit_shrinks_and_a_set_one_is_refused(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, welcome=8) as tom:
        tom.openai.always(Says("Because.", usage=Used(10, 3)))
        run = await begin(tom)
        assert run.quote.shortened
        assert run.quote.answer_limit >= api_calls.SHRUNK_ANSWER_MIN
        await run.result
        with pytest.raises(NotEnoughCredits) as refused:
            await begin(tom, answer_limit=Tokens(4_000))
        payable = refused.value.payable_limit
        assert Tokens(1_000) < payable < Tokens(4_000)
        run = await begin(tom, answer_limit=payable)
        assert run.quote.answer_limit == payable
        await run.result


async def test_a_balance_below_the_least_limit_is_refused(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, welcome=4) as tom:
        with pytest.raises(NotEnoughCredits):
            await begin(tom)


async def test_of_many_at_once_a_cap_lets_exactly_so_many_through(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, welcome=100_000) as tom:
        gate = tom.openai.hold()
        tom.openai.always(Says("Because.", usage=Used(10, 3)))
        one = await begin(tom, answer_limit=Tokens(1_000))
        each = one.quote.max_charge.units
        begun = await asyncio.gather(
            *(begin(tom, answer_limit=Tokens(1_000), per_day=4 * each + 1) for _ in range(7)),
            return_exceptions=True,
        )
        runs = [one for one in begun if isinstance(one, AskRun)]
        refusals = [one for one in begun if isinstance(one, TokenCapReached)]
        assert (len(runs), len(refusals)) == (3, 4), begun
        assert await spent_today(tom) == 4 * each
        gate.set()
        results = await asyncio.gather(one.result, *(run.result for run in runs))
        assert await spent_today(tom) == sum(result.charge.units for result in results)


async def test_a_slow_reader_slows_its_supplier_and_is_gone_in_the_end(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_calls, "READER_SECONDS", 0.05)
    chunks = tuple("x " * 4_000 for _ in range(64))
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=chunks, usage=Used(10, 3_000)))
        result = await (await begin(tom, answer_limit=Tokens(7_000))).result
        assert result.outcome is Outcome.STOPPED
        assert not result.charge.is_zero


async def test_a_feed_hands_over_everything_in_order_and_waits_when_full() -> None:
    feed = AnswerFeed()
    pieces = [TextDelta("x" * 10_000) for _ in range(40)]

    async def fill() -> None:
        for piece in pieces:
            assert await feed.add_piece(piece)
        feed.close()

    task = asyncio.create_task(fill())
    seen: list[Sequence[object]] = [batch async for batch in feed]
    await task
    assert list(itertools.chain(*seen)) == pieces
    assert max(map(len, seen)) <= api_calls.UNREAD_BYTES_MAX // 10_000 + 1


async def test_an_ask_of_a_dead_process_is_free_and_frees_its_cap(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=CHUNKS, hangs_after=10))
        run = await begin(tom)
        assert run.feed is not None
        async for _ in run.feed:
            if run.text == "".join(CHUNKS[:10]):
                break
        await tom.app.services.asks.asks._heartbeat.record([run])
        clock.advance(seconds=13)
        async with service.running(database_url, clock) as other:
            assert await other.app.services.asks.recovery.recover_lapsed_asks() == 1
            assert (await other.spent()).is_zero
            assert await spent_today(other) == 0
            (row,) = await other.app.services.base.db.fetch(sa.select(schema.ask))
            assert (row.answer, row.outcome) == (None, "lost")
        run.stop()


async def test_a_day_stays_while_an_ask_that_counts_on_it_is_open(
    database_url: str, clock: TestClock
) -> None:
    """As where the service was off for months: what it gives back needs the day's row."""
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=CHUNKS, hangs_after=0))
        run = await begin(tom)
        await tom.openai.arrived(1)
        assert await spent_today(tom) > 0
        clock.advance(days=DAYS_KEPT + 1)
        async with service.running(database_url, clock) as other:
            services = other.app.services
            await services.api.tokens.delete_old_days()
            assert await services.asks.recovery.recover_lapsed_asks() == 1
            (row,) = await services.base.db.fetch(sa.select(schema.api_spending.c.credits))
            assert row.credits == 0
            await services.api.tokens.delete_old_days()
            assert not await services.base.db.fetch(sa.select(schema.api_spending.c.credits))
        run.stop()


async def test_an_answer_is_kept_for_a_repeated_key_sealed(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=CHUNKS, usage=Used(256, 180)))
        run = await begin(tom, reply_key=ReplyKey(b"digest"))
        result: AskResult = await run.result
        (row,) = await tom.app.services.base.db.fetch(sa.select(schema.api_reply))
        assert (row.ask, row.digest) == (run.id, b"digest")
        assert CHUNKS[3].encode() not in row.answer
        kept = json.loads(run.data_key.unseal(f"api/{run.id}/answer", row.answer))
        assert kept["pieces"] == [{"text": "".join(CHUNKS)}]
        assert kept["charge"] == result.charge.units == 3
        assert replace(result, ask="").outcome is Outcome.DONE
