"""What faults of many calls at once are to a key and its supplier: one thing that happened."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from core.pool.health import (
    CIRCUIT_SECONDS,
    FIRST_COOLDOWN_SECONDS,
    RECHECK_SECONDS,
    Attempt,
    Circuit,
    judge_fault,
)
from core.pool.providers.types import Fault, SupplierFault
from core.pool.types import TRIALS_MAX, KeyRecord
from tests.core.pool.world import ASK, INPUT, LIMIT, LUNA, World
from tests.peers.suppliers import Answer, Hang, Refuse

NOW = 1_000_000
BEFORE = Attempt("answer", NOW - 1)
CALLS = 20


def record() -> KeyRecord:
    return KeyRecord("key_1", "openai", "", "0001", None, b"", "active", "", 0, None)


def rests(one: KeyRecord, fault: SupplierFault, now: int = NOW, began: int = NOW - 1) -> float:
    """How long a key rests after a fault, in seconds; it is told as the pool tells it."""
    verdict = judge_fault(one, fault, Attempt("answer", began), now)
    if verdict is not None:
        one.cooling_until = max(one.cooling_until, verdict.until_ms)
    return (one.cooling_until - now) / 1_000


@pytest.mark.parametrize("fault", FIRST_COOLDOWN_SECONDS)
def test_calls_that_ran_when_a_key_began_to_rest_dont_lengthen_it(fault: Fault) -> None:
    one = record()
    assert len({rests(one, SupplierFault(fault)) for _ in range(CALLS)}) == 1
    assert 0 < rests(one, SupplierFault(fault)) <= FIRST_COOLDOWN_SECONDS[fault]
    # Not after the rest either; one that began then does.
    later = one.cooling_until
    assert rests(one, SupplierFault(fault), later) == 0
    assert rests(one, SupplierFault(fault), later, later) >= FIRST_COOLDOWN_SECONDS[fault] * 1.6


def test_a_supplier_that_asks_for_longer_meanwhile_is_heard() -> None:
    one = record()
    rests(one, SupplierFault(Fault.UNAVAILABLE))
    asked = SupplierFault(Fault.RATE_LIMITED, retry_after=60.0)
    assert 60 <= rests(one, asked) <= 75
    assert rests(one, SupplierFault(Fault.RATE_LIMITED, retry_after=1.0)) >= 60


def test_a_crowd_of_refusals_is_the_first_one() -> None:
    one, refused = record(), SupplierFault(Fault.INVALID_KEY)
    assert {rests(one, refused) for _ in range(CALLS)} == {RECHECK_SECONDS}
    assert rests(one, refused, NOW + 29_000) == 1.0
    # Looked at again by the same path, it is no proof; by the other one it is.
    later = NOW + 31_000
    assert rests(one, refused, later, later) == 10 * RECHECK_SECONDS
    verdict = judge_fault(one, refused, Attempt("list", later), NOW + 62_000)
    assert verdict is not None
    assert verdict.state == "dead"


def test_calls_that_ran_when_a_circuit_opened_dont_lengthen_it() -> None:
    circuit = Circuit()
    for _ in range(CALLS):
        circuit.record_failure(Fault.NETWORK, BEFORE, NOW)
    assert circuit.open_until == NOW + CIRCUIT_SECONDS * 1_000
    later = circuit.open_until
    circuit.record_failure(Fault.NETWORK, BEFORE, later)
    assert circuit.open_until == later
    circuit.record_failure(Fault.NETWORK, Attempt("answer", later), later)
    assert circuit.open_until == later + 2 * CIRCUIT_SECONDS * 1_000


async def test_a_hiccup_of_a_supplier_is_one_to_a_busy_key(world: World) -> None:
    await world.key()
    gate = asyncio.Event()
    world.openai.always(Answer(chunks=("a", "b"), before=gate, fails_after=0))
    asks = [asyncio.create_task(world.ask()) for _ in range(CALLS)]
    await world.openai.arrived(CALLS)
    gate.set()
    failed = await asyncio.gather(*asks, return_exceptions=True)
    assert all(isinstance(one, SupplierFault) for one in failed)
    world.clock.advance(seconds=CIRCUIT_SECONDS + 1)
    world.openai.always(Answer())
    assert await world.ask() == "Hello there."


async def test_a_key_that_began_to_rest_since_it_was_chosen_isnt_called(world: World) -> None:
    await world.key()
    chosen = [world.candidate() for _ in range(CALLS)]
    world.openai.script(Refuse(401, code="invalid_api_key"))
    with pytest.raises(SupplierFault):
        await world.ask()
    for candidate in chosen:
        assert candidate is not None
        with pytest.raises(SupplierFault) as failed:
            await anext(world.pool.stream(candidate, ASK, LIMIT))
        assert failed.value.code == "rests"
    assert len(world.openai.calls) == 1


async def test_a_key_that_was_waited_for_in_vain_rests(world: World) -> None:
    key = (await world.key()).id
    world.openai.script(Hang())
    candidate = world.candidate()
    assert candidate is not None
    await world.pool.record_timeout(candidate, world.clock.now_ms())
    assert (await world.card(key)).state == "cooling"
    assert "timeout" in (await world.card(key)).last_error


async def test_answers_that_began_before_a_refusal_dont_forgive_it(world: World) -> None:
    key = (await world.key()).id
    gate = asyncio.Event()
    world.openai.always(Answer(before=gate))
    running = [asyncio.create_task(world.ask()) for _ in range(3)]
    await world.openai.arrived(3)
    world.clock.advance(seconds=1)
    world.openai.script(Refuse(401, code="invalid_api_key"))
    with pytest.raises(SupplierFault):
        await world.ask()
    gate.set()
    assert await asyncio.gather(*running) == ["Hello there."] * 3
    assert (await world.card(key)).state == "cooling"
    assert world.candidate() is None
    world.clock.advance(seconds=31)
    assert await world.ask() == "Hello there.", "one that began since does"
    assert (await world.card(key)).state == "active"


async def test_nor_do_those_of_another_process(world: World) -> None:
    key = (await world.key()).id
    other = world.another_process()
    await other.reload()
    candidate = other.choose_candidate(LUNA, INPUT, LIMIT)
    assert candidate is not None
    gate = asyncio.Event()
    world.openai.script(Answer(before=gate))

    async def answered() -> None:
        async for _ in other.stream(candidate, ASK, LIMIT):
            pass

    running = asyncio.create_task(answered())
    await world.openai.arrived(1)
    world.clock.advance(seconds=1)
    world.openai.script(Refuse(401, code="invalid_api_key"))
    with pytest.raises(SupplierFault):
        await world.ask()
    await other.reload()
    gate.set()
    await running
    assert (await world.card(key)).state == "cooling"
    await other.stop()


async def test_what_was_read_before_a_key_began_to_rest_doesnt_wake_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = (await world.key()).id
    load = world.pool._keys.load

    async def read_then_refused() -> list[KeyRecord]:
        read = await load()
        world.openai.script(Refuse(401, code="invalid_api_key"))
        with pytest.raises(SupplierFault):
            await world.ask()
        return read

    monkeypatch.setattr(world.pool._keys, "load", read_then_refused)
    await world.pool.reload()
    assert world.candidate() is None
    monkeypatch.undo()
    await world.pool.reload()
    assert world.candidate() is None
    assert (await world.card(key)).state == "cooling"
    assert world.pool._records[key].rejection is not None


async def test_many_who_choose_at_once_are_spread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger takes their holds together, so none has begun when the last one chooses."""
    monkeypatch.setattr(random, "random", lambda: 0.0)
    for number in range(4):
        await world.key(f"sk-good-{number:04}", "100")
    chosen = Counter(candidate.key for _ in range(40) if (candidate := world.candidate()))
    assert set(chosen.values()) == {10}
    # Whoever hasn't begun by then won't.
    record = world.pool._records[next(iter(chosen))]
    assert record.load.count_calls(world.clock.now_ms()) == 10
    world.clock.advance(seconds=2)
    assert record.load.count_calls(world.clock.now_ms()) == 0
    await world.ask()
    assert record.load.count_calls(world.clock.now_ms()) == 0


async def test_no_more_calls_begin_than_the_supplier_takes(world: World) -> None:
    await world.key()
    told = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "20s"}
    world.openai.script(Answer(headers=told))
    gate = world.openai.hold()
    chosen = [candidate for _ in range(5) if (candidate := world.candidate()) is not None]
    *running, refused = (world.pool.stream(candidate, ASK, LIMIT) for candidate in chosen)
    for stream in running:
        await anext(stream)
    assert world.candidate() is None, "three more, and none after them"
    with pytest.raises(SupplierFault) as failed:
        await anext(refused)
    assert failed.value.code == "rests"
    assert len(world.openai.calls) == 4
    gate.set()
    for stream in running:
        async for _ in stream:
            pass
    world.clock.advance(seconds=20)
    assert await world.ask() == "Hello there."


async def test_a_key_that_failed_is_tried_by_few_until_one_is_answered(world: World) -> None:
    await world.key()
    world.openai.script(Refuse(500))
    with pytest.raises(SupplierFault):
        await world.ask()
    world.clock.advance(seconds=2)
    chosen = [world.candidate() for _ in range(5)]
    gate = asyncio.Event()
    world.openai.always(Answer(before=gate))
    trials = [asyncio.create_task(world.ask()) for _ in range(TRIALS_MAX)]
    await world.openai.arrived(1 + TRIALS_MAX)
    assert world.candidate() is None
    assert chosen[0] is not None
    with pytest.raises(SupplierFault):
        await anext(world.pool.stream(chosen[0], ASK, LIMIT))
    gate.set()
    await asyncio.gather(*trials)
    crowd = [asyncio.create_task(world.ask()) for _ in range(CALLS)]
    assert await asyncio.gather(*crowd) == ["Hello there."] * CALLS
