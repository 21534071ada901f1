"""The key that keeps a conversation's prompt is preferred, but for every better reason."""

from __future__ import annotations

import random

import pytest

from core.money import Credits, parse_usd
from core.pool import prompt_caches
from core.pool.prompt_caches import CacheScope
from core.pool.suppliers import SUPPLIERS
from core.pool.types import Candidate, ContributionTerms
from tests.core.pool.world import ASK, ASTRA, INPUT, LIMIT, LUNA, World
from tests.peers.suppliers import Refuse

SCOPE = CacheScope("cnv_1")


async def asks(
    world: World, candidate: Candidate, scope: CacheScope = SCOPE, who: str = "a"
) -> None:
    async for _ in world.pool.stream(candidate, ASK, LIMIT, end_user=who, cache_scope=scope):
        pass


def chosen(world: World, conversation: str = "cnv_1", **more: object) -> str:
    found = world.pool.choose_candidate(LUNA, INPUT, LIMIT, conversation=conversation, **more)  # type: ignore[arg-type]
    assert found is not None
    return found.key


@pytest.fixture
async def warm(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key that served the conversation; another one, fresh, would be chosen for any other."""
    monkeypatch.setattr(random, "random", lambda: 0.0)
    first = await world.key()
    candidate = world.candidate()
    assert candidate is not None
    await asks(world, candidate)
    await world.hold("ask/1", candidate, parse_usd("0.5"))
    await world.key("sk-good-0002")
    return first.id


async def test_a_conversation_stays_with_the_key_that_keeps_it(world: World, warm: str) -> None:
    assert {chosen(world) for _ in range(20)} == {warm}
    assert chosen(world, "cnv_2") != warm
    assert chosen(world, "") != warm


async def test_it_is_kept_for_each_model(world: World, warm: str) -> None:
    found = world.pool.choose_candidate(ASTRA, INPUT, LIMIT, conversation="cnv_1")
    assert found is not None
    assert found.key != warm


async def test_it_is_forgotten_when_the_supplier_forgets_it(world: World, warm: str) -> None:
    world.clock.advance(seconds=SUPPLIERS["openai"].cache_seconds - 1)
    assert chosen(world) == warm
    world.clock.advance(seconds=1)
    assert chosen(world) != warm


async def test_every_other_rule_is_stronger(world: World, warm: str) -> None:
    record = world.pool._records[warm]
    assert chosen(world, skip_keys={warm}) != warm
    record.failures = 1
    assert chosen(world) != warm
    record.failures, record.load.is_doubted = 0, True
    assert chosen(world) != warm
    record.load.is_doubted = False
    record.cooling_until = world.clock.now_ms() + 1_000
    assert chosen(world) != warm
    record.cooling_until = 0
    record.contributor, record.terms = "per_tom", ContributionTerms("per_tom", Credits(0), "")
    assert chosen(world) == warm
    assert chosen(world, asker="per_tom") != warm
    assert chosen(world, own_keys_only=True) != warm


async def test_a_cheaper_supplier_is_stronger(world: World) -> None:
    await world.key(supplier="groq")
    dear = world.candidate()
    assert dear is not None
    await asks(world, dear)
    cheap = await world.key()
    assert chosen(world) == cheap.id


async def test_a_call_that_failed_keeps_nothing(world: World, warm: str) -> None:
    other = world.pool.choose_candidate(LUNA, INPUT, LIMIT, skip_keys={warm})
    assert other is not None
    world.openai.script(Refuse(400, code="context_length_exceeded"))
    with pytest.raises(Exception, match="too_long"):
        await asks(world, other, CacheScope("cnv_2"))
    assert chosen(world, "cnv_2") == other.key, "the least used"
    await world.hold("ask/2", other, parse_usd("0.8"))
    assert chosen(world, "cnv_2") == warm


async def test_so_many_conversations_are_remembered(
    world: World, warm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_caches, "REMEMBERED_MAX", 3)
    candidate = world.pool.choose_candidate(LUNA, INPUT, LIMIT, conversation="cnv_1")
    assert candidate is not None
    world.pool._prompt_caches = prompt_caches.PromptCaches(world.vault, world.clock)
    for number in range(1, 5):
        await asks(world, candidate, CacheScope(f"cnv_{number}"))
    assert len(world.pool._prompt_caches._kept) == 3
    assert chosen(world) != warm
    assert chosen(world, "cnv_4") == warm


async def test_nobody_shares_a_name_and_it_tells_nothing(world: World) -> None:
    await world.key()
    candidate = world.candidate()
    assert candidate is not None
    for scope, who in (
        (CacheScope("cnv_1"), "tom"),
        (CacheScope("cnv_1", is_reusable=True), "tom"),
        (CacheScope("cnv_2"), "tom"),
        (CacheScope("cnv_1"), "ann"),
    ):
        await asks(world, candidate, scope, who)
    first, again, other, stranger = (call.body["prompt_cache_key"] for call in world.openai.calls)
    assert first == again
    assert len({first, other, stranger}) == 3
    assert len(first) <= 64
    assert "cnv" not in first
    assert "tom" not in first
    # Another process finds the same conversation; another vault would not.
    world.openai.calls.clear()
    pool = world.another_process()
    await pool.start()
    async for _ in pool.stream(candidate, ASK, LIMIT, end_user="tom", cache_scope=SCOPE):
        pass
    await pool.stop()
    assert world.openai.calls[-1].body["prompt_cache_key"] == first
    world.vault._fingerprint_key = b"another"
    assert world.vault.derive_id("prompt cache", "tom", "cnv_1") != first
