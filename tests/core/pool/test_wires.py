"""The adapters against a server of each wire: what they send, yield and raise."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from core.money import Tokens
from core.pool.providers import http
from core.pool.providers.anthropic import AnthropicAdapter
from core.pool.providers.openai import (
    PLAIN_DIALECT,
    CloudflareAdapter,
    OpenAIAdapter,
    OpenAIDialect,
    _parse_context,
    parse_usage,
)
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Fault,
    Finish,
    ListedModel,
    ModelCall,
    PromptCache,
    ReasoningDelta,
    StreamEvent,
    SupplierAdapter,
    SupplierFault,
    TextDelta,
    Usage,
)
from core.pool.suppliers import SUPPLIERS
from tests.peers.supplier_tools import sign
from tests.peers.suppliers import (
    ACCOUNT,
    GOOD_KEY,
    Answer,
    Drop,
    FakeSupplier,
    Refuse,
    Script,
    Used,
    Wire,
)

STRICT = OpenAIDialect(limit_field="max_completion_tokens", is_openai=True)
CALL = ModelCall(
    "gpt-6-luna",
    (
        ChatMessage("system", "Be kind."),
        ChatMessage("user", "Why is the sky blue?"),
        ChatMessage("assistant", "Scattering."),
        ChatMessage("user", "More, please."),
    ),
    Tokens(500),
    end_user="person-hash",
)


@pytest.fixture(params=["openai", "anthropic", "cloudflare"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier(request.param, models=["gpt-6-luna", "other"]) as supplier:
        yield supplier


def adapter(wire: Wire, client: http.SupplierClient) -> SupplierAdapter:
    if wire == "anthropic":
        return AnthropicAdapter(client)
    return CloudflareAdapter(client) if wire == "cloudflare" else OpenAIAdapter(client, STRICT)


def target(fake: FakeSupplier, key: str = GOOD_KEY) -> CallTarget:
    return CallTarget(fake.url, SecretStr(key), ACCOUNT if fake.wire == "cloudflare" else "")


async def pieces(
    fake: FakeSupplier, client: http.SupplierClient, call: ModelCall = CALL, key: str = GOOD_KEY
) -> list[StreamEvent]:
    stream = adapter(fake.wire, client).stream(target(fake, key), call)
    return [piece async for piece in stream]


async def fault(
    fake: FakeSupplier, client: http.SupplierClient, *scripts: Script
) -> tuple[SupplierFault, list[StreamEvent]]:
    fake.script(*scripts)
    seen: list[StreamEvent] = []

    async def keep() -> None:
        async for piece in adapter(fake.wire, client).stream(target(fake), CALL):
            seen.append(piece)  # noqa: PERF401 - what came before the fault must stay

    with pytest.raises(SupplierFault) as failed:
        await keep()
    return failed.value, seen


async def test_an_answer_comes_in_pieces_and_ends_with_its_usage(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    fake.script(
        Answer(chunks=("天空", " 🌈", " blue"), thinking=2, usage=Used(1_000, 500, 700, 100))
    )
    signed = [ReasoningDelta(signature=sign(GOOD_KEY, "hmhm"))] if fake.wire == "anthropic" else []
    assert [one for one in await pieces(fake, client) if one != ReasoningDelta()] == [
        ReasoningDelta("hm"),
        ReasoningDelta("hm"),
        *signed,
        TextDelta("天空"),
        TextDelta(" 🌈"),
        TextDelta(" blue"),
        Finish("stop", Usage(Tokens(1_000), Tokens(500), Tokens(700), Tokens(100))),
    ]


@pytest.mark.parametrize("reason", ["stop", "length", "filtered"])
async def test_why_an_answer_ended(
    fake: FakeSupplier, client: http.SupplierClient, reason: Any
) -> None:
    fake.script(Answer(finish=reason, usage=Used(9, 9)))
    assert (await pieces(fake, client))[-1] == Finish(reason, Usage(Tokens(9), Tokens(9)))


async def test_usage_that_was_not_counted_is_none(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    fake.script(Answer(usage=None), Answer(usage=Used(0, 0)))
    assert (await pieces(fake, client))[-1] == Finish("stop", None)
    assert (await pieces(fake, client))[-1] == Finish("stop", None)


async def test_bodies_hold_no_sampling_parameters_and_the_key_is_in_a_header_only(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    await pieces(fake, client)
    call = fake.calls[0]
    assert GOOD_KEY not in f"{call.path} {call.body}"
    if fake.wire == "anthropic":
        assert call.body == {
            "model": "gpt-6-luna",
            "max_tokens": 500,
            "system": "Be kind.",
            "messages": [
                {"role": "user", "content": "Why is the sky blue?"},
                {"role": "assistant", "content": "Scattering."},
                {"role": "user", "content": "More, please."},
            ],
            "stream": True,
            "metadata": {"user_id": "person-hash"},
        }
        return
    plain = {
        "model": "gpt-6-luna",
        "messages": [{"role": one.role, "content": one.text} for one in CALL.messages],
        "stream": True,
    }
    if fake.wire == "cloudflare":
        assert ACCOUNT in call.path
        options = {"stream_options": {"include_usage": True}, "max_tokens": 500}
        assert call.body == {**plain, **options}
        return
    assert call.body == {
        **plain,
        "max_completion_tokens": 500,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "store": False,
        "safety_identifier": "person-hash",
    }


async def test_a_dialect_leaves_out_what_its_server_refuses(client: http.SupplierClient) -> None:
    async with FakeSupplier("openai") as fake:
        mistral = OpenAIAdapter(client, OpenAIDialect(asks_usage=False))
        call = replace(CALL, model="mistral-small")
        seen = [piece async for piece in mistral.stream(target(fake), call)]
        assert seen[-1] == Finish("stop", None)
        assert set(fake.calls[0].body) == {"model", "messages", "stream", "max_tokens"}


async def test_refusals_before_the_first_token(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    with pytest.raises(SupplierFault) as dead:
        await pieces(fake, client, key="sk-wrong")
    assert (dead.value.kind, dead.value.status) == (Fault.INVALID_KEY, 401)
    with pytest.raises(SupplierFault) as missing:
        await pieces(fake, client, replace(CALL, model="nowhere"))
    assert missing.value.kind is Fault.MODEL_MISSING
    throttled, seen = await fault(fake, client, Refuse(429, message="wait", retry_after="7"))
    throttled_type = Fault.INVALID_KEY if fake.wire == "cloudflare" else Fault.RATE_LIMITED
    assert (throttled.kind, throttled.retry_after, seen) == (throttled_type, 7.0, [])
    fake.context = 3
    with pytest.raises(SupplierFault) as long:
        await pieces(fake, client)
    assert long.value.kind is Fault.TOO_LONG


async def test_breaks_after_the_first_token(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    broken, seen = await fault(fake, client, Answer(chunks=("a", "b"), breaks_after=1))
    assert (broken.kind, seen) == (Fault.NETWORK, [TextDelta("a")])
    failed, seen = await fault(fake, client, Answer(chunks=("a", "b"), fails_after=1))
    assert (failed.kind, seen) == (Fault.UNAVAILABLE, [TextDelta("a")])
    cut, seen = await fault(fake, client, Answer(chunks=("a", "b"), cut=True))
    assert (cut.kind, seen) == (Fault.NETWORK, [TextDelta("a"), TextDelta("b")])


async def test_a_connection_that_fails_or_says_nothing(
    fake: FakeSupplier, client: http.SupplierClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped, _ = await fault(fake, client, Drop())
    assert dropped.kind is Fault.NETWORK
    monkeypatch.setattr(http, "READ_SECONDS", 0.5)
    silent, seen = await fault(fake, client, Answer(chunks=("a", "b"), hangs_after=1))
    assert (silent.kind, seen) == (Fault.TIMEOUT, [TextDelta("a")])
    await fake.stop()
    refused, _ = await fault(fake, client)
    assert refused.kind is Fault.NETWORK


async def test_a_redirect_is_not_followed_with_a_key(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    elsewhere = {"Location": f"{fake.url}/elsewhere"}
    moved, _ = await fault(fake, client, Refuse(307, body=b"", headers=elsewhere))
    assert moved.kind is Fault.BAD_REQUEST
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    "said",
    [
        b"data: {not json}\n\n",
        b"data: [1]\n\n",
        b'data: {"choices":[7]}\n\n',
        b'data: {"choices":{"0":1}}\n\n',
        b'data: {"choices":[{"delta":"x","finish_reason":[]}]}\n\n',
        b'data: {"type":"message_start","message":7}\n\n',
        b'data: {"type":"content_block_delta","delta":[1]}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"",
    ],
)
async def test_nonsense_is_a_fault_and_never_another_error(
    fake: FakeSupplier, client: http.SupplierClient, said: bytes
) -> None:
    headers = {"Content-Type": "text/event-stream"}
    failed, _ = await fault(fake, client, Refuse(200, body=said, headers=headers))
    assert failed.kind in {Fault.UNAVAILABLE, Fault.NETWORK}
    assert failed.__suppress_context__ or failed.__context__ is None


async def test_leaving_early_closes_the_connection(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    fake.script(Answer(chunks=("a", "b"), hangs_after=1))
    stream: Any = adapter(fake.wire, client).stream(target(fake), CALL)
    async with aclosing(stream):
        async for piece in stream:
            assert piece == TextDelta("a")
            break
    assert not _get_connector(client)._acquired


async def test_one_connection_serves_call_after_call(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    for _ in range(5):
        await pieces(fake, client)
    assert sum(len(idle) for idle in _get_connector(client)._conns.values()) == 1


def _get_connector(client: http.SupplierClient) -> aiohttp.TCPConnector:
    session = client._transport._session
    assert session is not None
    connector = session.connector
    assert isinstance(connector, aiohttp.TCPConnector)
    return connector


async def test_hundreds_of_streams_at_once(fake: FakeSupplier, client: http.SupplierClient) -> None:
    gate = fake.hold()
    asks = [asyncio.create_task(pieces(fake, client)) for _ in range(200)]
    await fake.arrived(200)
    gate.set()
    assert all(isinstance(seen[-1], Finish) for seen in await asyncio.gather(*asks))


async def test_a_keys_models_are_listed(fake: FakeSupplier, client: http.SupplierClient) -> None:
    context = Tokens(1_000_000) if fake.wire == "anthropic" else None
    listed = await adapter(fake.wire, client).list_models(target(fake))
    assert listed == [ListedModel("gpt-6-luna", context), ListedModel("other", context)]
    with pytest.raises(SupplierFault) as refused:
        await adapter(fake.wire, client).list_models(target(fake, "sk-wrong"))
    assert refused.value.kind is Fault.INVALID_KEY


@pytest.mark.parametrize(
    "field",
    [
        *("context_length", "context_window", "max_context_length", "max_model_len"),
        *("max_input_tokens", "input_token_limit", "inputTokenLimit", "n_ctx"),
    ],
)
async def test_a_models_context_is_read_under_any_name(
    client: http.SupplierClient, field: str
) -> None:
    """OpenRouter and Together, Groq, Mistral, vLLM; LiteLLM, Gemini, llama.cpp."""
    async with FakeSupplier("openai") as fake:
        said = json.dumps({"data": [{"id": "models/m", field: 131_072}]}).encode()
        fake.listing = Refuse(200, body=said, headers={"Content-Type": "application/json"})
        listed = await OpenAIAdapter(client).list_models(target(fake))
        assert listed == [ListedModel("m", Tokens(131_072))]


@pytest.mark.parametrize("said", [b"{}", b"[[]]", b'{"data":{}}', b"not json", b"null"])
async def test_a_list_of_nonsense_is_a_fault_or_empty(
    client: http.SupplierClient, said: bytes
) -> None:
    async with FakeSupplier("openai") as fake:
        fake.listing = Refuse(200, body=said, headers={"Content-Type": "application/json"})
        with contextlib.suppress(SupplierFault):
            assert await OpenAIAdapter(client).list_models(target(fake)) == []


async def test_usage_told_early_is_kept(client: http.SupplierClient) -> None:
    said = (
        b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
        b'data: {"choices":[],"usage":null}\n\n'
    )
    async with FakeSupplier("openai") as fake:
        fake.script(Refuse(200, body=said, headers={"Content-Type": "text/event-stream"}))
        assert await pieces(fake, client) == [
            TextDelta("Hi"),
            Finish("stop", Usage(Tokens(3), Tokens(1))),
        ]


async def test_a_server_that_does_not_stream_is_understood(client: http.SupplierClient) -> None:
    said = (
        b'{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":3,"completion_tokens":1}}'
    )
    async with FakeSupplier("openai") as fake:
        fake.script(Refuse(200, body=said, headers={"Content-Type": "application/json"}))
        assert await pieces(fake, client) == [
            TextDelta("Hi"),
            Finish("stop", Usage(Tokens(3), Tokens(1))),
        ]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8},
            Usage(Tokens(10), Tokens(5), Tokens(8)),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 4},
         Usage(Tokens(10), Tokens(5), Tokens(4))),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 95},
            Usage(Tokens(10), Tokens(85)),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5,
             "prompt_tokens_details": {"cached_tokens": 99, "cache_write_tokens": 9}},
            Usage(Tokens(10), Tokens(5), Tokens(10)),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": None},
         Usage(Tokens(10), Tokens(5))),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 95,
             "completion_tokens_details": {"reasoning_tokens": 80}},
            Usage(Tokens(10), Tokens(85), reasoning=Tokens(80)),
        ),
        (
            {"prompt_tokens": 10, "completion_tokens": 5,
             "completion_tokens_details": {"reasoning_tokens": 6}},
            Usage(Tokens(10), Tokens(5), reasoning=Tokens(5)),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5,
          "completion_tokens_details": {"reasoning_tokens": "4"}},
         Usage(Tokens(10), Tokens(5))),
        ({"prompt_tokens": -1, "completion_tokens": 5}, None),
        ({"prompt_tokens": 10, "completion_tokens": True}, None),
        ({"prompt_tokens": 10, "completion_tokens": 1 << 60}, None),
        ({"prompt_tokens": "10", "completion_tokens": 5}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_usage_has_one_meaning_whoever_tells_it(said: dict[str, Any], found: Usage | None) -> None:
    assert parse_usage(said) == found


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@pytest.mark.parametrize(("thought", "found"), [(None, 0), (3, 3), (99, 7)])
async def test_what_of_an_answer_were_thoughts_is_known_where_it_is_told(
    client: http.SupplierClient, wire: Wire, thought: int | None, found: int
) -> None:
    async with FakeSupplier(wire) as fake:
        fake.script(Answer("Hi there.", usage=Used(9, 7, thought=thought)))
        finish = (await pieces(fake, client))[-1]
        assert finish == Finish("stop", Usage(Tokens(9), Tokens(7), reasoning=Tokens(found)))


CACHED = replace(CALL, cache=PromptCache("conversation-hash", is_reusable=True))


async def test_a_conversation_is_named_to_those_who_take_its_name(
    client: http.SupplierClient,
) -> None:
    async with FakeSupplier("openai") as fake:

        async def sent(name: str, *, plain: bool = False) -> tuple[dict[str, Any], dict[str, str]]:
            supplier = replace(SUPPLIERS[name], base_url=fake.url)
            chosen = supplier.create_adapter(client, PLAIN_DIALECT if plain else None)
            call = replace(CACHED, model="some-model")
            async for _ in chosen.stream(target(fake), call):
                pass
            return fake.calls[-1].body, fake.calls[-1].headers

        body, headers = await sent("openai")
        assert body["prompt_cache_key"] == "conversation-hash"
        assert "x-grok-conv-id" not in headers
        body, headers = await sent("xai")
        assert "prompt_cache_key" not in body
        assert headers["x-grok-conv-id"] == "conversation-hash"
        others = set(SUPPLIERS) - {"openai", "xai", "anthropic", "cloudflare"}
        for name in sorted(others):
            body, headers = await sent(name)
            assert "conversation-hash" not in f"{body}{headers}", name
        body, headers = await sent("openai", plain=True)
        assert "conversation-hash" not in f"{body}{headers}"


@pytest.mark.parametrize(
    ("turns", "cache", "marked"),
    [
        (3, None, None),
        (3, PromptCache("c"), None),
        (1, PromptCache("c", is_reusable=True), None),
        (1, PromptCache("c", is_warm=True), None),
        (3, PromptCache("c", is_reusable=True), 4),
        (3, PromptCache("c", is_warm=True, is_reusable=True), 4),
        (3, PromptCache("c", is_warm=True), 2),
    ],
)
async def test_a_prompt_is_kept_where_it_can_be_read_again(
    client: http.SupplierClient, turns: int, cache: PromptCache | None, marked: int | None
) -> None:
    messages = [ChatMessage("user", "q0")]
    for number in range(1, turns):
        messages += [ChatMessage("assistant", "a"), ChatMessage("user", f"q{number}")]
    async with FakeSupplier("anthropic") as fake:
        call = replace(CALL, messages=messages, cache=cache)
        async for _ in AnthropicAdapter(client).stream(target(fake), call):
            pass
        sent = fake.calls[0].body["messages"]
        assert [index for index, one in enumerate(sent) if "cache_control" in str(one)] == (
            [] if marked is None else [marked]
        )
        if marked is not None:
            assert sent[marked]["content"] == [
                {
                    "type": "text",
                    "text": messages[marked].text,
                    "cache_control": {"type": "ephemeral"},
                }
            ]
        assert "conversation" not in str(fake.calls[0].body)


@pytest.mark.parametrize(
    "field",
    [
        "context_length",
        "context_window",
        "max_context_length",
        "max_model_len",
        "max_input_tokens",
        "input_token_limit",
        "inputTokenLimit",
        "n_ctx",
    ],
)
def test_a_lists_context_is_read_under_whatever_name(field: str) -> None:
    assert _parse_context({"id": "m", field: 32_768}) == Tokens(32_768)
    assert _parse_context({"id": "m", field: "32768"}) is None
    assert _parse_context({"id": "m", field: 0}) is None
