"""The API's money in odd hours: what is charged when everything changes while a call runs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from bots.api import exchange as exchanges
from core.admin.erasure import NotErasable
from core.admin_log import admin_log_row
from core.asks import api_calls
from core.asks.types import Outcome
from core.clock import DAY_MS
from core.db import schema
from core.money import Credits, Tokens
from core.pool.providers.types import Finish, TextDelta, Usage
from core.pricing.token_counter import count_message_tokens, count_tokens
from core.users.limits import Allowance
from tests.bots.api.money_support import PATHS, WELCOME, Reply, Shop, Wire, selling
from tests.peers.supplier_tools import Called
from tests.peers.suppliers import Answer, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.size import size

CHAT, MESSAGES = PATHS
WORDS = tuple(f"word{n:02} " for n in range(20))


@pytest.fixture
async def shop(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    async with selling(sqlite_url, clock, monkeypatch) as made:
        yield made


async def begin(shop: Shop, name: str, *, limit: int = 1 << 24, **fields: Any) -> Client:
    """A streamed call that runs until it is told what comes."""
    client = Client(shop, *await shop.open(limit))
    body = shop.build_body(f"{name} why?", stream=True, **fields)
    calls = len(shop.supplier.calls)
    client.writer.writelines(shop.encode(CHAT, body))
    await shop.supplier.arrived(calls + 1)
    return client


class Client:
    """A connection with a call on it."""

    def __init__(
        self, shop: Shop, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.shop, self.reader, self.writer = shop, reader, writer

    async def read_until(self, words: bytes) -> None:
        await self.reader.readuntil(words)

    async def read_all(self) -> Reply:
        content = await self.reader.read(-1)
        self.writer.close()
        return Reply(content)


async def charge_of(shop: Shop, name: str) -> int:
    """What an ask was charged, once it is settled."""
    run = shop.runs[name]
    result = await run.result
    charged = (await shop.read_charges()).get(run.id, 0)
    assert charged == result.charge.units
    return charged


async def count(shop: Shop, name: str, text: str) -> int:
    """What a prompt and such an answer come to."""
    prompt = await count_message_tokens(shop.model, [f"{name} why?", ""])
    return (prompt + await count_tokens(shop.model, text)).units


# --- whose doing it is --------------------------------------------------------------------------


async def test_what_the_service_ends_is_free(shop: Shop) -> None:
    """The server cuts off who reads too long after its end was asked for: they didn't leave."""
    shop.supplier.always(Answer(chunks=WORDS, hangs_after=5))
    client = await begin(shop, "cut")
    await client.read_until(b"word04")
    (run,) = shop.runs.values()
    tasks = [one for one in asyncio.all_tasks() if "run_asgi" in repr(one.get_coro())]
    assert len(tasks) == 1
    tasks[0].cancel()
    assert await charge_of(shop, "cut") == 0
    assert run.was_interrupted
    await shop.check_sums()
    client.writer.close()


async def test_an_answer_that_was_whole_is_charged_as_told_though_its_caller_left(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection's end may take its time after the answer's."""
    ending = asyncio.Event()

    async def stream(*_: object, **__: object) -> AsyncIterator[object]:
        try:
            yield TextDelta("word " * 5)
            yield Finish("stop", Usage(Tokens(31), Tokens(11)))
        finally:
            ending.set()
            await asyncio.sleep(3_600)

    monkeypatch.setattr(shop.service.app.services.pool.pool, "stream", stream)
    client = Client(shop, *await shop.open())
    client.writer.writelines(shop.encode(CHAT, shop.build_body("told why?", stream=True)))
    await ending.wait()
    client.writer.transport.abort()
    assert await charge_of(shop, "told") == 42
    assert (await shop.runs["told"].result).outcome is Outcome.DONE


async def test_hidden_thoughts_were_delivered_and_no_other_key_goes_on(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with selling(sqlite_url, clock, monkeypatch, "anthropic", keys=2) as shop:
        shop.supplier.script(
            Answer("never said", redacted=True, breaks_after=0), Answer("Of another key.")
        )
        reply = await shop.post(MESSAGES, shop.build_body("hidden why?", stream=True))
        assert len(shop.supplier.calls) == 1
        assert b"another" not in reply.content
        assert await charge_of(shop, "hidden") == 0
        await shop.check_sums()


async def test_who_holds_an_answer_up_until_it_breaks_pays_for_what_came(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never so long that they are gone, but time after time."""
    monkeypatch.setattr(api_calls, "READER_SECONDS", 0.2)
    chunks = tuple("x " * 2_000 for _ in range(12))
    shop.supplier.always(Answer(chunks=chunks, breaks_after=11))
    client = await begin(shop, "slow", max_tokens=7_000)
    run = shop.runs["slow"]
    assert run.feed is not None
    real, waits = run.feed.add_piece, itertools.count()

    async def add_slowly(piece: Any) -> bool:
        assert run.feed is not None
        if next(waits) < 10:
            run.feed.held_up_seconds += 0.05
        return await real(piece)

    monkeypatch.setattr(run.feed, "add_piece", add_slowly)
    await client.read_all()
    result = await run.result
    assert result.outcome is Outcome.BROKEN
    assert await charge_of(shop, "slow") == run.quote.max_charge.units
    await shop.check_sums()


# --- time -----------------------------------------------------------------------------------------


async def test_midnight_between_hold_and_settlement_counts_on_the_day_of_the_hold(
    shop: Shop, clock: TestClock
) -> None:
    clock.at_ms = (clock.at_ms // DAY_MS + 1) * DAY_MS - 1
    gate = shop.supplier.hold()
    shop.supplier.always(Answer(chunks=WORDS, usage=Used(20, 30)))
    client = await begin(shop, "midnight")
    today = clock.now_ms() // DAY_MS
    clock.at_ms += 1
    gate.set()
    await client.read_all()
    assert await charge_of(shop, "midnight") == 50
    tokens = shop.service.app.services.api.tokens
    assert await tokens.measure_day(shop.token.id, today) == Credits(50)
    assert await tokens.measure_day(shop.token.id) == Credits(0)


async def test_midnight_within_admission_leaves_no_cap_behind_when_the_process_dies(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day was looked up before midnight, the hold is written after it."""
    async with selling(database_url, clock, monkeypatch) as shop:
        shop.supplier.always(Answer(chunks=WORDS, hangs_after=3))
        clock.at_ms = (clock.at_ms // DAY_MS + 1) * DAY_MS - 1
        tokens = shop.service.app.services.api.tokens
        prepare_day = tokens.prepare_day

        async def prepare_slowly(token: str, day: int) -> None:
            await prepare_day(token, day)
            clock.at_ms += 1

        monkeypatch.setattr(tokens, "prepare_day", prepare_slowly)
        client = await begin(shop, "late")
        await client.read_until(b"word02")
        clock.advance(seconds=13)
        async with service.running(database_url, clock, supplier=shop.supplier) as other:
            assert await other.app.services.asks.recovery.recover_lapsed_asks() == 1
        assert await shop.read_cap() == 0
        client.writer.transport.abort()
        await shop.settle()
        await shop.check_sums()


async def test_a_key_of_yesterday_asks_nothing(shop: Shop, clock: TestClock) -> None:
    body = shop.build_body("old why?")
    assert (await shop.post(CHAT, body, "k")).status == 200
    clock.advance(days=1, seconds=1)
    again = await shop.post(CHAT, body, "k")
    assert (again.status, again.code) == (422, "idempotency_mismatch")
    await shop.service.app.services.api.replies.delete_expired()
    assert (await shop.post(CHAT, body, "k")).status == 422
    assert len(shop.supplier.calls) == 1


# --- what changes meanwhile -----------------------------------------------------------------------


async def test_a_lower_cap_counts_what_runs_and_the_rest_of_it_comes_back(shop: Shop) -> None:
    gate = shop.supplier.hold()
    shop.supplier.always(Answer(chunks=WORDS, usage=Used(20, 30)))
    client = await begin(shop, "first")
    tokens = shop.service.app.services.api.tokens
    await tokens.set_day_cap(shop.token.person, shop.token.id, Credits(120))
    assert await shop.read_cap() > 120
    refused = await shop.post(CHAT, shop.build_body("second why?"))
    assert (refused.status, refused.code) == (403, "token_limit_reached")
    gate.set()
    await client.read_all()
    assert await charge_of(shop, "first") == 50
    assert (await shop.post(CHAT, shop.build_body("third why?", max_tokens=20))).status == 200
    await shop.check_sums()


@pytest.mark.parametrize("change", ["revoked", "blocked", "erased"])
async def test_what_runs_is_answered_and_charged_whatever_becomes_of_its_caller(
    shop: Shop, change: str
) -> None:
    gate = shop.supplier.hold()
    shop.supplier.always(Answer(chunks=WORDS, usage=Used(20, 30)))
    client = await begin(shop, "running")
    services, person = shop.service.app.services, await shop.service.person()
    if change == "revoked":
        await services.api.tokens.revoke_all(person.id)
    elif change == "blocked":
        row = admin_log_row(shop.service.clock, actor="usr_0", act="block", before={}, after={})
        await services.users.limits.set_allowance(
            person.id, Allowance(blocked=True), actor="usr_0", companion=row
        )
    else:
        with pytest.raises(NotErasable):
            await services.admin.erasure.get_losses(person, is_own_request=True)
    gate.set()
    reply = await client.read_all()
    assert b"[DONE]" in reply.content
    assert await charge_of(shop, "running") == 50
    status = {"revoked": 401, "blocked": 403, "erased": 200}[change]
    assert (await shop.post(CHAT, shop.build_body("more why?"))).status == status
    await shop.check_sums()


@pytest.mark.parametrize("is_elder", [True, False])
async def test_an_ask_of_somebody_who_is_linked_meanwhile_is_charged_to_both(
    shop: Shop, clock: TestClock, is_elder: bool
) -> None:
    """Whichever of the two accounts goes on."""
    gate = shop.supplier.hold()
    shop.supplier.always(Answer(chunks=WORDS, usage=Used(20, 30)))
    client = await begin(shop, "linked")
    services, one = shop.service.app.services, await shop.service.person()
    days = 1 if is_elder else -1
    clock.advance(days=days)
    other = await shop.service.someone("8").person()
    clock.advance(days=-days)
    code = await services.links.create_link_code(one)
    proposal = await services.links.enter_code(other, code)
    assert (proposal.survivor.id == one.id) is is_elder
    assert not await services.links.accept_proposal(proposal.id, other)
    assert await services.links.accept_proposal(proposal.id, one)
    clock.advance(seconds=6)  # what was verified is believed for five
    assert (await shop.post(CHAT, shop.build_body("more why?"))).status == 401
    gate.set()
    assert b"[DONE]" in (await client.read_all()).content
    assert await charge_of(shop, "linked") == 50
    await services.links.forward_merged_balances()
    await shop.check_sums(2 * WELCOME)


# --- sizes ----------------------------------------------------------------------------------------


async def test_prompts_at_the_edge_of_the_context(shop: Shop) -> None:
    """Whatever is asked for, no more is held than the context has."""
    context, seen = shop.model.context.units, set()
    for words in (*range(context - 260, context + 40, 23), context * 2):
        text = f"edge{words} " + "a " * (words - 10)
        reply = await shop.post(CHAT, shop.build_body(text, max_tokens=10**6))
        seen.add(reply.status)
        if reply.status == 200:
            quote = shop.runs[f"edge{words}"].quote
            assert quote.max_charge.units <= context
            assert quote.max_charge.units == (quote.prompt_tokens + quote.answer_limit).units
        else:
            assert (reply.status, reply.code) == (400, "context_length_exceeded")
    assert seen == {200, 400}
    tools = [
        {"type": "function", "function": {"name": f"tool{n}", "parameters": {"type": "object"}}}
        for n in range(100)
    ]
    tools[0]["function"]["description"] = "a " * context  # type: ignore[index]
    reply = await shop.post(CHAT, shop.build_body("tools why?", tools=tools))
    assert (reply.status, reply.code) == (400, "context_length_exceeded")
    assert (await shop.post(CHAT, {**shop.build_body(""), "messages": []})).status == 400
    assert (await shop.post(MESSAGES, {**shop.build_body(""), "messages": []})).status == 400
    await shop.check_sums()


async def test_the_last_credit(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the balance pays to the last is served; a Credit more is refused."""
    name = "last why?"
    async with selling(sqlite_url, clock, monkeypatch, welcome=400) as shop:
        prompt = (await count_message_tokens(shop.model, [name, ""])).units
        over = await shop.post(CHAT, shop.build_body(name, max_tokens=400 - prompt + 1))
        assert (over.status, over.code) == (402, "insufficient_credits")
        shop.supplier.always(Answer("word " * 300, usage=Used(prompt, 10**5)))
        shop.supplier.script(Answer("word " * 380, usage=None))
        done = await shop.post(CHAT, shop.build_body(name, max_tokens=400 - prompt))
        assert done.status == 200
        charge = await charge_of(shop, "last")
        assert charge == min(400, await count(shop, "last", "word " * 380))
        left = 400 - charge
        again = await shop.post(CHAT, shop.build_body("one why?"))
        assert again.status == 402
        assert await shop.service.credits() == Credits(left)
        await shop.check_sums(400)


async def test_an_answer_without_end_is_cut_and_never_costs_more_than_the_hold(
    shop: Shop,
) -> None:
    for name, answer in (
        ("text", Answer(chunks=("x",) * size(small=12_000, full=100_000), usage=None)),
        ("tool", Answer("", calls=(Called("f", ("1",) * 12_000),), usage=None)),
        ("huge", Answer("", calls=(Called("f", ("[1, 2]" * 500_000,)),), usage=None)),
        ("thought", Answer("x", thoughts=("hm",) * 12_000, usage=None)),
    ):
        shop.supplier.script(answer)
        body = shop.build_body(f"{name} why?", max_tokens=50)
        assert (await shop.post(CHAT, body, name)).status == 200
        run = shop.runs[name]
        counted = await count(shop, name, run.text)
        assert await charge_of(shop, name) == min(run.quote.max_charge.units, counted)
        assert (await run.result).outcome is Outcome.LENGTH
        assert len(run.text) <= 4_096 + 16 * 50
        assert (await shop.post(CHAT, body, name)).is_replayed
    await shop.check_sums()


async def test_a_reader_who_takes_nothing_is_gone_and_pays_for_what_came(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_calls, "READER_SECONDS", 0.1)
    monkeypatch.setattr(exchanges, "READER_SECONDS", 0.1)
    # Socket buffers take some megabytes.
    chunks = tuple("x " * 32_000 for _ in range(300))
    shop.supplier.always(Answer(chunks=chunks))
    monkeypatch.setattr("core.pool.pool.max_answer_bytes", lambda _: 1 << 30)
    client = await begin(shop, "asleep", limit=1_024, max_tokens=5_000)
    result = await shop.runs["asleep"].result
    assert result.outcome is Outcome.STOPPED
    assert await charge_of(shop, "asleep") == shop.runs["asleep"].quote.max_charge.units
    (sent,) = shop.supplier.sent
    assert not sent.is_ended
    await shop.check_sums()
    client.writer.transport.abort()


@pytest.mark.parametrize("tools", [[], [{"name": "add", "input_schema": {"type": "object"}}]])
async def test_what_is_counted_is_what_is_held(shop: Shop, tools: list[dict[str, Any]]) -> None:
    shop.supplier.always(Answer(chunks=WORDS))
    asked = {"tools": tools, "system": "Be short."}
    counted = await shop.post(f"{MESSAGES}/count_tokens", shop.build_body("counted why?") | asked)
    await shop.post(MESSAGES, shop.build_body("counted why?", **asked))
    held = shop.runs["counted"].quote.prompt_tokens
    assert counted.content.endswith(b'{"input_tokens":%d}' % held.units)


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_thoughts_that_are_told_stand_in_the_usage_and_cost_no_more(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, wire: Wire
) -> None:
    async with selling(sqlite_url, clock, monkeypatch, wire) as shop:
        for number, (path, streams) in enumerate(itertools.product(PATHS, (False, True))):
            said = {CHAT: b'"reasoning_tokens":%d', MESSAGES: b'{"thinking_tokens":%d}'}[path]
            fields: dict[str, Any] = {"stream": streams}
            if streams and path == CHAT:
                fields["stream_options"] = {"include_usage": True}
            # Told, told impossibly, not told.
            for thought, used in (
                (30, Used(20, 40, thought=30)),
                (0, Used(10**6, 10**6, thought=9)),
                (0, Used(20, 40)),
            ):
                name = f"thoughts{number}x{used.thought}"
                shop.supplier.script(Answer(chunks=WORDS, thoughts=("hm",), usage=used))
                body = shop.build_body(f"{name} why?", **fields)
                for one in (await shop.post(path, body, name), await shop.post(path, body, name)):
                    if thought or path == CHAT:
                        assert said % thought in one.content, (path, streams, one)
                    else:
                        assert b"thinking_tokens" not in one.content
                assert one.is_replayed
                if used.input == 20:
                    assert await charge_of(shop, name) == 60
        await shop.check_sums()


# --- crowds ---------------------------------------------------------------------------------------

CROWD = size(small=40, full=1_000)


@pytest.mark.parametrize("bound", ["balance", "cap"])
async def test_of_a_crowd_exactly_so_many_are_admitted_as_can_be_paid(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    hold = 150
    most = CROWD // 3
    welcome = most * hold + 1 if bound == "balance" else WELCOME
    per_day = Credits(most * hold + 1) if bound == "cap" else Credits(10**9)
    async with selling(database_url, clock, monkeypatch, welcome=welcome, per_day=per_day) as shop:
        gate = shop.supplier.hold()
        shop.supplier.always(Answer(chunks=WORDS, usage=Used(20, 30)))
        prompt = (await count_message_tokens(shop.model, ["c1 why?", ""])).units

        async def ask(number: int) -> Reply:
            # The prompt differs by its name alone, and each holds the same.
            counted = (await count_message_tokens(shop.model, [f"c{number} why?", ""])).units
            limit = hold - counted
            assert counted <= prompt + 2
            return await shop.post(CHAT, shop.build_body(f"c{number} why?", max_tokens=limit))

        asking = [asyncio.create_task(ask(n)) for n in range(CROWD)]
        await shop.supplier.arrived(most)
        refused = []
        for one in asyncio.as_completed(asking):
            refused.append(await one)
            if len(refused) == CROWD - most:
                gate.set()
        replies = [await one for one in asking]
        codes = {"balance": (402, "insufficient_credits"), "cap": (403, "token_limit_reached")}
        assert sum(reply.status == 200 for reply in replies) == most == len(shop.runs)
        others = {(reply.status, reply.code) for reply in replies if reply.status != 200}
        assert others == {codes[bound]}
        charges = await shop.check_sums(welcome)
        assert list(charges.values()) == [50] * most


async def test_the_same_key_at_once_from_many_connections_asks_once(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with a balance that pays one alone."""
    async with selling(database_url, clock, monkeypatch, welcome=200) as shop:
        gate = shop.supplier.hold()
        shop.supplier.always(Answer(chunks=WORDS, usage=Used(20, 30)))
        body = shop.build_body("same why?", max_tokens=150)
        asking = [asyncio.create_task(shop.post(CHAT, body, "k")) for _ in range(20)]
        await shop.supplier.arrived(1)
        done, _ = await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
        while len(done) < len(asking) - 1:
            done, _ = await asyncio.wait(asking, timeout=0.05)
        gate.set()
        statuses = sorted([(await one).status for one in asking])
        assert statuses == [200] + [409] * 19
        assert len(shop.supplier.calls) == 1
        assert (await shop.post(CHAT, body, "k")).is_replayed
        await shop.check_sums(200)


async def test_of_what_programs_ask_no_word_is_in_a_row(shop: Shop) -> None:
    """Nothing of what programs asked or were answered is in the asks' rows."""
    await shop.post(CHAT, shop.build_body("row why?"), "k")
    (row,) = await shop.fetch(sa.select(schema.ask))
    assert (row.question, row.answer, row.state) == (None, None, "settled")
