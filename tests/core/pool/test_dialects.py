"""An own server that doesn't take a field is asked again without it, and so from then on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from pydantic import SecretStr

from core.money import parse_usd
from core.pool import dialects
from core.pool.pool import Pool
from core.pool.providers.message_parts import CallOptions, Tool
from core.pool.providers.types import Fault, SupplierFault
from core.pool.types import Candidate
from tests.core.pool.world import ASK, INPUT, LIMIT, LUNA, World
from tests.peers.suppliers import GOOD_KEY, FakeSupplier, Refuse

MAX_TOKENS = Refuse(
    400,
    code="unsupported_parameter",
    message=(
        "Unsupported parameter: 'max_tokens' is not supported with this model."
        " Use 'max_completion_tokens' instead."
    ),
)
STREAM_OPTIONS = Refuse(
    422,
    body=json.dumps(
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "stream_options"],
                    "msg": "Extra inputs are not permitted",
                    "input": {"include_usage": True},
                }
            ]
        }
    ).encode(),
)


@contextlib.asynccontextmanager
async def own_server(world: World, *models: str) -> AsyncIterator[tuple[Pool, FakeSupplier]]:
    """A pool that calls an own server in OpenAI's place, with one own key."""
    async with FakeSupplier("openai", models=models or ["our-model"], strict=False) as server:
        suppliers = {
            **world.suppliers,
            "openai": world.suppliers["openai"].with_base_url(server.url),
        }
        pool = world.another_process(suppliers)
        await pool.start()
        await pool.add_own_key("openai", SecretStr(GOOD_KEY), parse_usd("1"))
        await pool.check_models()
        yield pool, server
        await pool.stop()


async def ask(world: World, pool: Pool, name: str = "our-model") -> Candidate:
    found = pool.choose_candidate(world.catalogue.find(name), INPUT, LIMIT)
    assert found is not None
    async for _ in pool.stream(found, ASK, LIMIT, end_user="hash"):
        pass
    return found


def fields(server: FakeSupplier) -> list[set[str]]:
    return [set(call.body) - {"model", "messages", "stream"} for call in server.calls]


@pytest.mark.parametrize(
    ("refused", "said", "then"),
    [
        ("max_tokens", MAX_TOKENS, {"max_completion_tokens", "stream_options"}),
        ("stream_options", STREAM_OPTIONS, {"max_tokens"}),
    ],
)
async def test_it_is_asked_once_more_in_the_same_call_and_then_at_once(
    world: World, refused: str, said: Refuse, then: set[str]
) -> None:
    async with own_server(world) as (pool, server):
        server.unknown_fields[refused] = said
        candidate = await ask(world, pool)
        assert fields(server) == [{"max_tokens", "stream_options"}, then]
        await ask(world, pool)
        assert fields(server)[2:] == [then]
        record = pool._records[candidate.key]
        assert (record.failures, record.last_error, record.cooling_until) == (0, "", 0)
        assert not record.load.is_doubted
        assert pool.list_down_suppliers() == []


async def test_two_fields_that_are_refused_are_found_out_one_after_the_other(world: World) -> None:
    async with own_server(world) as (pool, server):
        server.unknown_fields = {"max_tokens": MAX_TOKENS, "stream_options": STREAM_OPTIONS}
        await ask(world, pool)
        assert len(server.calls) == 3
        assert fields(server)[-1] == {"max_completion_tokens"}


async def test_it_is_learned_of_each_model_and_again_when_the_server_changed(world: World) -> None:
    async with own_server(world, "our-model", "other-model") as (pool, server):
        server.unknown_fields["max_tokens"] = MAX_TOKENS
        await ask(world, pool)
        server.unknown_fields = {}
        await ask(world, pool, "other-model")
        assert "max_tokens" in server.calls[-1].body
        both = replace(MAX_TOKENS, message="Unknown field: max_completion_tokens")
        server.unknown_fields["max_completion_tokens"] = both
        await ask(world, pool)
        assert "max_tokens" in server.calls[-1].body
        assert not pool._dialects._learned


async def test_a_model_of_the_catalogue_at_an_own_server_too(world: World) -> None:
    async with own_server(world, LUNA.routes[0].model) as (pool, server):
        server.unknown_fields["safety_identifier"] = Refuse(
            400, message="safety_identifier: Extra inputs are not permitted"
        )
        await ask(world, pool, "luna")
        assert fields(server)[-1] == {"max_completion_tokens", "stream_options"}


async def test_neither_way_is_taken(world: World) -> None:
    async with own_server(world) as (pool, server):
        both = replace(MAX_TOKENS, message="Unknown field: max_completion_tokens")
        server.unknown_fields = {"max_tokens": MAX_TOKENS, "max_completion_tokens": both}
        with pytest.raises(SupplierFault) as failed:
            await ask(world, pool)
        assert failed.value.kind is Fault.BAD_REQUEST
        assert len(server.calls) == 2
        assert not pool._dialects._learned


async def test_what_is_about_no_field_is_not_asked_again(world: World) -> None:
    async with own_server(world) as (pool, server):
        for refusal in (
            Refuse(400, message="max_tokens is too large: 8000. At most 4096 are allowed here"),
            Refuse(400, message="Something about max_tokens and a bad request"),
            Refuse(400, code="context_length_exceeded", message="unsupported max_tokens"),
            Refuse(500, message="unsupported parameter: max_tokens"),
        ):
            server.script(refusal)
            with pytest.raises(SupplierFault):
                await ask(world, pool)
            for record in pool._records.values():
                record.cooling_until, record.load.is_doubted = 0, False
        assert len(server.calls) == 4


async def test_the_supplier_itself_is_believed(world: World) -> None:
    await world.key()
    world.openai.script(replace(MAX_TOKENS, message="Unsupported parameter: 'store'"))
    with pytest.raises(SupplierFault):
        await world.ask()
    assert len(world.openai.calls) == 1


async def test_so_many_dialects_are_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "REMEMBERED_MAX", 2)
    names = ("model-1", "model-2", "model-3")
    async with own_server(world, *names) as (pool, server):
        server.unknown_fields["max_tokens"] = MAX_TOKENS
        for name in names:
            await ask(world, pool, name)
        assert [name for *_, name in pool._dialects._learned] == ["model-2", "model-3"]


async def test_options_that_a_server_does_not_take_are_left_out(world: World) -> None:
    """All sampling where one parameter is refused; what else it refuses by itself."""
    tools = (Tool("now", "", {}),)
    options = CallOptions(tools=tools, temperature=0.0, seed=7, calls_in_parallel=False)
    async with own_server(world) as (pool, server):
        for name in ("temperature", "parallel_tool_calls"):
            words = f"Unsupported parameter: '{name}' is not supported with this model."
            server.unknown_fields[name] = Refuse(400, message=words)
        found = pool.choose_candidate(world.catalogue.find("our-model"), INPUT, LIMIT)
        assert found is not None
        for _ in range(2):
            async for _ in pool.stream(found, ASK, LIMIT, options=options):
                pass
        everything = {"tools", "temperature", "seed", "parallel_tool_calls"}
        assert [one & everything for one in fields(server)] == [
            everything,
            {"tools", "parallel_tool_calls"},
            {"tools"},
            {"tools"},
        ]
