"""Which key serves: the cheapest supplier first, around whatever fails, never past a quota."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from dataclasses import replace

import pytest
from pydantic import SecretStr

from core.db import schema
from core.db.writes import Update
from core.ledger.types import InsufficientFunds
from core.money import Credits, Tokens, parse_usd
from core.pool.pool import Pool
from core.pool.providers.types import Fault, SupplierFault, TextDelta
from core.pool.types import Candidate, ContributionTerms, find_usable_models
from tests.core.pool.world import ASK, ASTRA, CHEAP, HOLD, INPUT, LIMIT, LUNA, World
from tests.peers.suppliers import Answer, Drop, FakeSupplier, Refuse
from tests.support.size import size


async def fails(world: World, fault: Fault, **more: object) -> None:
    with pytest.raises(SupplierFault) as failed:
        await world.ask(**more)  # type: ignore[arg-type]
    assert failed.value.kind is fault


async def test_the_cheapest_supplier_serves_while_it_can(world: World) -> None:
    cheap, dear = await world.key(), await world.key(supplier="groq")
    first = world.candidate()
    assert first == Candidate(cheap.id, "openai", LUNA.routes[0], HOLD)
    second = world.candidate(skip=(cheap.id,))
    assert second == Candidate(dear.id, "groq", LUNA.routes[1], parse_usd("0.004"))
    assert world.candidate(skip=(cheap.id, dear.id)) is None
    assert world.candidate(ASTRA, skip=(cheap.id,)) is None


async def test_use_is_spread_over_equal_keys(world: World) -> None:
    keys = {(await world.key(f"sk-good-{n:04}", "1")).id for n in range(3)}
    served: dict[str, int] = dict.fromkeys(keys, 0)
    for number in range(60):
        candidate = world.candidate()
        assert candidate is not None
        await world.hold(f"ask/{number}", candidate, parse_usd("0.01"))
        served[candidate.key] += 1
    assert min(served.values()) >= 15


async def test_busy_keys_are_spared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.0)
    keys = {(await world.key(f"sk-good-{n:04}", "1")).id for n in range(2)}
    gate = world.openai.hold()
    asks = []
    for number in range(20):
        asks.append(asyncio.create_task(world.ask()))
        await world.openai.arrived(number + 1)
    in_flight = [world.pool._records[key].load.in_flight for key in keys]
    assert in_flight == [10, 10]
    gate.set()
    await asyncio.gather(*asks)
    assert all(world.pool._records[key].load.in_flight == 0 for key in keys)


@pytest.mark.parametrize("trouble", [{"failures": 5}, {"first_text_ms": 60_000.0}])
async def test_what_is_held_against_a_key_keeps_it_a_few_points_behind_at_most(
    world: World, trouble: dict[str, float]
) -> None:
    """Who isn't asked can't do better: its owner would wait for ever."""
    slow, other = [await world.key(f"sk-good-{n:04}", "1") for n in range(2)]
    for name, value in trouble.items():
        setattr(world.pool._records[slow.id], name, value)
    used = 0
    while (candidate := world.candidate()) is not None and candidate.key == other.id:
        used += 1
        await world.hold(f"ask/{used}", candidate, parse_usd("0.01"))
        world.clock.advance(seconds=2)
    assert candidate is not None
    assert 3 <= used <= 9, "hundredths of its budget"


async def test_no_key_is_drawn_past_its_quota(world: World) -> None:
    count = size(small=40, full=1_000)
    await world.key(budget="0.02")
    held = 0

    async def one(number: int) -> bool:
        candidate = world.candidate()
        if candidate is None:
            return False
        try:
            await world.hold(f"ask/{number}", candidate, candidate.hold)
        except InsufficientFunds:
            return False
        return True

    held = sum(await asyncio.gather(*(one(number) for number in range(count))))
    assert held == 10
    assert world.candidate() is None
    card = (await world.pool.list_keys())[0]
    assert (card.held, card.headroom, card.state) == (
        parse_usd("0.02"),
        parse_usd("0"),
        "exhausted",
    )


async def test_a_persons_own_key_does_not_serve_them(world: World) -> None:
    key = (await world.key()).id
    await world.ledger.record(Update(schema.key, {"id": key}, {"owner": "per_bob"}))
    await world.pool.reload()
    wanted = (LUNA, INPUT, LIMIT)
    assert world.pool.choose_candidate(*wanted, asker="per_bob") is None
    assert world.pool.choose_candidate(*wanted, own_keys_only=True) is None
    found = world.pool.choose_candidate(*wanted, asker="per_tom")
    assert found is not None
    assert found.terms == ContributionTerms("per_bob", Credits(0), "")


async def test_a_route_with_too_little_context_is_passed_over(world: World) -> None:
    await world.key()
    small = replace(LUNA, routes=(replace(LUNA.routes[0], context=Tokens(1_999)),))
    assert world.candidate(small) is None
    fits = replace(LUNA, routes=(replace(LUNA.routes[0], context=Tokens(2_000)),))
    assert world.candidate(fits) is not None


async def test_a_throttled_key_rests_as_long_as_it_is_told(world: World) -> None:
    await world.key()
    world.openai.script(Refuse(429, code="rate_limit_exceeded", retry_after="20"))
    await fails(world, Fault.RATE_LIMITED)
    assert (await world.pool.list_keys())[0].state == "cooling"
    world.clock.advance(seconds=19.9)
    assert world.candidate() is None
    world.clock.advance(seconds=5.2)
    assert await world.ask() == "Hello there."
    assert (await world.pool.list_keys())[0].state == "active"


OF_A_MODEL = "Rate limit reached for gpt-6-luna in organization org-1 on requests per min (RPM)"


async def test_a_limit_of_one_model_rests_a_key_for_that_model_alone(world: World) -> None:
    key = await world.key()
    refused = Refuse(429, code="rate_limit_exceeded", message=OF_A_MODEL, retry_after="20")
    world.openai.script(refused)
    await fails(world, Fault.RATE_LIMITED)
    assert world.candidate() is None
    assert (await world.card(key.id)).state == "active"
    assert await world.ask(ASTRA) == "Hello there."
    world.clock.advance(seconds=19.9)
    assert world.candidate() is None
    world.clock.advance(seconds=5.2)
    assert await world.ask() == "Hello there."


async def test_rests_of_a_model_grow_and_end_with_an_answer(world: World) -> None:
    await world.key()
    record = next(iter(world.pool._records.values()))
    rests = []
    for _ in range(3):
        world.openai.script(Refuse(429, code="rate_limit_exceeded", message=OF_A_MODEL))
        await fails(world, Fault.RATE_LIMITED)
        until = record.resting_models[CHEAP.model].until_ms
        rests.append(until - world.clock.now_ms())
        world.clock.advance(seconds=rests[-1] / 1_000 + 0.001)
    assert rests[0] < rests[1] < rests[2]
    assert record.cooling_until == 0
    await world.ask()
    assert record.resting_models == {}


async def test_headers_of_a_supplier_whose_limits_are_a_models(world: World) -> None:
    """Groq's say what is left of the model that was asked, after a good answer."""
    key = await world.key("gsk_good-0001", supplier="groq")
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "23h59m50s",
    }
    world.groq.script(Answer(headers=headers))
    assert await world.ask() == "Hello there."
    assert world.candidate() is None
    assert (await world.card(key.id)).state == "active"
    world.clock.advance(seconds=3_601)
    assert world.candidate() is not None


async def test_pauses_grow_and_end_with_an_answer(world: World) -> None:
    await world.key()
    rests = []
    record = next(iter(world.pool._records.values()))
    for _ in range(4):
        world.openai.script(Refuse(429, code="rate_limit_exceeded"))
        await fails(world, Fault.RATE_LIMITED)
        rests.append(record.cooling_until - world.clock.now_ms())
        world.clock.advance(seconds=rests[-1] / 1_000 + 0.001)
    assert rests == sorted(rests)
    assert 3_000 <= rests[0] <= 4_100
    assert 25_000 <= rests[3] <= 32_100
    await world.ask()
    world.openai.script(Refuse(429, code="rate_limit_exceeded"))
    await fails(world, Fault.RATE_LIMITED)
    assert record.cooling_until - world.clock.now_ms() <= 4_100


async def test_a_key_dies_at_the_second_refusal_by_another_path_and_time(world: World) -> None:
    secret = "sk-good-0001"
    key = (await world.key(secret)).id
    world.openai.forbid(secret)
    await fails(world, Fault.INVALID_KEY)
    assert (await world.card(key)).state == "cooling"
    await world.pool.check_models()
    assert (await world.card(key)).state == "cooling", "a second look at once proves nothing"
    world.clock.advance(seconds=31)
    await world.pool.check_models()
    assert (await world.card(key)).state == "dead"
    world.clock.advance(days=30)
    assert world.candidate() is None


async def test_a_refusal_that_was_a_mistake_is_forgotten(world: World) -> None:
    key = (await world.key()).id
    world.openai.script(Refuse(401, code="invalid_api_key"))
    await fails(world, Fault.INVALID_KEY)
    world.clock.advance(seconds=31)
    await world.pool.check_models()
    assert await world.ask() == "Hello there."
    world.clock.advance(days=1)
    world.openai.script(Refuse(401, code="invalid_api_key"))
    await fails(world, Fault.INVALID_KEY)
    assert (await world.card(key)).state == "cooling"


async def test_a_key_without_money_is_parked_for_hours(world: World) -> None:
    key = (await world.key()).id
    other = world.another_process()
    world.openai.script(Refuse(429, code="insufficient_quota", type="insufficient_quota"))
    await fails(world, Fault.NO_FUNDS)
    card = await world.card(key)
    assert (card.state, card.reason) == ("parked", "no money")
    await other.reload()
    assert other.choose_candidate(LUNA, INPUT, LIMIT) is None, "other processes know"
    world.clock.advance(seconds=5 * 3_600)
    assert world.candidate() is None
    world.clock.advance(seconds=3_700)
    assert await world.ask() == "Hello there."
    assert (await world.card(key)).state == "active"


@pytest.mark.parametrize(
    ("refuse", "fault"),
    [
        (Refuse(400, code="context_length_exceeded"), Fault.TOO_LONG),
        (Refuse(400, code="content_policy_violation"), Fault.REFUSED_CONTENT),
        (Refuse(400, code="unsupported_parameter"), Fault.BAD_REQUEST),
    ],
)
async def test_what_the_asker_caused_is_not_the_keys_fault(
    world: World, refuse: Refuse, fault: Fault
) -> None:
    await world.key()
    for _ in range(10):
        world.openai.script(refuse)
        await fails(world, fault)
    assert await world.ask() == "Hello there."


async def test_a_key_without_a_model_still_serves_others(world: World) -> None:
    key = (await world.key()).id
    world.openai.script(Refuse(404, code="model_not_found"))
    await fails(world, Fault.MODEL_MISSING)
    assert world.candidate(LUNA) is None
    assert world.candidate(ASTRA) is not None
    assert (await world.card(key)).models == 1
    world.clock.advance(seconds=3_601)
    assert world.candidate(LUNA) is not None


async def test_a_failing_suppliers_circuit_opens_and_one_call_tries_it(world: World) -> None:
    for number in range(6):
        await world.key(f"sk-good-{number:04}")
    dear = await world.key("sk-good-0009", supplier="groq")
    world.openai.always(Refuse(500, type="server_error"))
    for _ in range(5):
        await fails(world, Fault.UNAVAILABLE)
    found = world.candidate()
    assert found is not None
    assert found.key == dear.id, "the sixth key is healthy, its supplier is not"
    assert world.candidate(ASTRA) is None
    world.clock.advance(seconds=16)
    gate = asyncio.Event()
    world.openai.always(Answer(chunks=("a", "b"), before=gate))
    trying = asyncio.create_task(world.ask())
    await world.openai.arrived(6)
    found = world.candidate()
    assert found is not None
    assert found.key == dear.id, "one call tries it, the others wait for what becomes of it"
    gate.set()
    assert await trying == "ab"
    assert world.candidate(ASTRA) is not None


async def test_a_broken_connection_rests_a_key_briefly(world: World) -> None:
    await world.key()
    world.openai.script(Drop())
    await fails(world, Fault.NETWORK)
    assert world.candidate() is None
    world.clock.advance(seconds=1.3)
    assert world.candidate() is not None


async def test_a_fault_after_the_first_text_is_the_pools_to_learn_too(world: World) -> None:
    key = (await world.key()).id
    world.openai.script(Answer(chunks=("a", "b"), fails_after=1))
    candidate = world.candidate()
    assert candidate is not None
    seen = []
    stream = world.pool.stream(candidate, ASK, LIMIT)

    async def watch() -> None:
        async for piece in stream:
            seen.append(piece)  # noqa: PERF401 - what came before the fault must stay

    with pytest.raises(SupplierFault):
        await watch()
    assert seen == [TextDelta("a")]
    assert "unwell" in (await world.card(key)).last_error


async def test_leaving_a_stream_frees_its_key(world: World) -> None:
    key = (await world.key()).id
    world.openai.script(Answer(chunks=("a", "b"), hangs_after=1))
    candidate = world.candidate()
    assert candidate is not None
    async with aclosing(world.pool.stream(candidate, ASK, LIMIT)) as stream:
        assert await anext(stream) == TextDelta("a")
        assert world.pool._records[key].load.in_flight == 1
    assert world.pool._records[key].load.in_flight == 0
    world.openai.script(Answer(hangs_after=0))
    cancelled = asyncio.create_task(world.ask())
    await world.openai.arrived(2)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert world.pool._records[key].load.in_flight == 0
    assert world.candidate() is not None, "who leaves is not blamed on the key"


async def test_a_keys_list_decides_what_it_serves(world: World) -> None:
    key = (await world.key()).id
    world.openai.models = ["gpt-6-luna-2026-03-01", "text-embedding-3-small"]
    await world.pool.check_models()
    assert world.pool.list_servable_models() == {"luna"}
    other = world.another_process()
    await other.reload()
    assert other.list_servable_models() == {"luna"}
    world.openai.listing = Refuse(500)
    await world.pool.check_models()
    assert world.pool.list_servable_models() == {"luna"}, "no list is no news"
    assert "unwell" in (await world.card(key)).last_error


async def test_a_custom_address_serves_its_own_models(world: World) -> None:
    async with FakeSupplier("openai", models=["gpt-6-luna", "llama3.2:latest"]) as local:
        local.allow("none")
        pool: Pool = world.another_process(
            {"openai": world.suppliers["openai"].with_base_url(local.url)}
        )
        await pool.upsert_own_key("openai", SecretStr("none"), parse_usd("5"))
        await pool.start()
        await pool.wait_for_first_check(5)
        assert pool.list_servable_models() == {"luna", "llama3.2:latest"}
        llama = world.catalogue.find("llama3.2:latest")
        candidate = pool.choose_candidate(llama, Tokens(1_000_000), Tokens(1_000_000))
        assert candidate is None, "more than its context"
        candidate = pool.choose_candidate(llama, Tokens(1_000), Tokens(1_000))
        assert candidate is not None
        assert candidate.hold == parse_usd("0.0005"), "a nominal cost, never none"
        stream = pool.stream(candidate, ASK, Tokens(1_000))
        pieces = [piece async for piece in stream]
        assert pieces[:1] == [TextDelta("Hello there.")]
        assert "max_tokens" in local.calls[0].body, "the plain dialect for what is no OpenAI model"
        await pool.stop()


async def test_stopping_breaks_what_runs_and_leaves_nothing_behind(world: World) -> None:
    await world.key()
    world.openai.always(Answer(hangs_after=0))
    running = asyncio.create_task(world.ask())
    await world.openai.arrived(1)
    await world.pool.stop()
    with pytest.raises(SupplierFault):
        await running
    assert [task.get_name() for task in asyncio.all_tasks() if "pool" in task.get_name()] == []


def test_listed_names_match_routes_by_dates_too() -> None:
    routes = ("claude-haiku-4-5", "gpt-4o", "GLM-5.3", "gemini-2.5-pro")
    listed = ("claude-haiku-4-5-20251001", "gpt-4o-2024-08-06", "glm-5.3", "gpt-4o-mini")
    assert find_usable_models(listed, routes) == {"claude-haiku-4-5", "gpt-4o", "GLM-5.3"}
