"""The official clients of both makers read what the API answers, whole and streamed."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.asks.types import AskFailure, Outcome
from core.money import Tokens
from core.pool.providers.message_parts import (
    PicturePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from core.pool.providers.types import ReasoningDelta, TextDelta, ToolCallDelta
from tests.bots.api.api_support import MODEL, SECRET, SIGNATURE, Api, FakeRun, serving
from tests.support.official_clients import anthropic, openai
from tests.support.pictures import make_jpeg

#: Both clients take seconds to be imported.
pytestmark = pytest.mark.slow

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
]


def talk_openai(api: Api) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(api_key=SECRET, base_url=f"{api.base}/v1", max_retries=0)


def talk_anthropic(api: Api, **more: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(api_key=SECRET, base_url=api.base, max_retries=0, **more)


async def say_all(run: FakeRun) -> None:
    """Thoughts, text and two calls, in pieces."""
    await run.say(
        ReasoningDelta(),
        ReasoningDelta("Let me "),
        ReasoningDelta("think."),
        ReasoningDelta(signature=SIGNATURE),
        TextDelta("Sure: "),
        TextDelta("adding 和."),
    )
    await run.say(
        ToolCallDelta(0, "call_a", "add"),
        ToolCallDelta(0, arguments='{"a":'),
        ToolCallDelta(0, arguments="1}"),
        ToolCallDelta(1, "", "add", '{"a":2}'),
    )
    run.end(finish_reason="tool_calls")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving(say_all) as served:
        yield served


async def test_openai_reads_a_whole_answer(api: Api) -> None:
    async with talk_openai(api) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model=MODEL, messages=[{"role": "user", "content": "add"}], tools=TOOLS
        )
        answer = raw.parse()
    message = answer.choices[0].message
    assert message.content == "Sure: adding 和."
    assert [(one.id, one.function.arguments) for one in message.tool_calls] == [
        ("call_a", '{"a":1}'),
        (f"call_{api.run.id}_1", '{"a":2}'),
    ]
    assert message.reasoning_content == "Let me think."
    assert (answer.choices[0].finish_reason, answer.model) == ("tool_calls", MODEL)
    # How large the request is, its tools too, says where it is written.
    call = api.run.question.api_call
    assert call is not None
    assert call.options.tools_chars == len(call.extra_text) > len("add")
    assert answer.id == f"chatcmpl-{api.run.id}"
    assert answer.usage.model_dump(exclude_none=True)["credits"] == 3
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (20, 27)
    assert answer.usage.prompt_tokens_details.cached_tokens == 5
    assert (raw.headers["x-request-id"], raw.headers["cache-control"]) == (api.run.id, "no-store")
    assert SIGNATURE not in raw.text


async def test_openai_reads_a_stream(api: Api) -> None:
    async with talk_openai(api) as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "add"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [one async for one in stream]
    assert {one.id for one in chunks} == {f"chatcmpl-{api.run.id}"}
    assert chunks[0].choices[0].delta.role == "assistant"
    deltas = [one.choices[0].delta for one in chunks[:-1]]
    assert "".join(one.content or "" for one in deltas) == "Sure: adding 和."
    calls = [call for one in deltas for call in one.tool_calls or ()]
    assert [one.id for one in calls if one.id] == ["call_a", f"call_{api.run.id}_1"]
    arguments = ["".join(c.function.arguments for c in calls if c.index == at) for at in (0, 1)]
    assert arguments == ['{"a":1}', '{"a":2}']
    finishes = [one.choices[0].finish_reason for one in chunks[:-1]]
    assert finishes == [None] * (len(finishes) - 1) + ["tool_calls"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == 27


async def test_a_stream_tells_its_usage_only_when_it_is_asked_for(api: Api) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}
    answer = await api.post("/v1/chat/completions", body)
    events = [line.removeprefix("data: ") for line in answer.text.split("\n") if line]
    assert events[-1] == "[DONE]"
    assert all("usage" not in json.loads(one) for one in events[:-1])
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"


async def test_openai_helper_gathers_a_stream(api: Api) -> None:
    async with (
        talk_openai(api) as client,
        client.chat.completions.stream(
            model=MODEL, messages=[{"role": "user", "content": "add"}], tools=TOOLS
        ) as stream,
    ):
        answer = await stream.get_final_completion()
    assert answer.choices[0].message.content == "Sure: adding 和."
    assert len(answer.choices[0].message.tool_calls) == 2


async def test_anthropic_reads_a_whole_answer(api: Api) -> None:
    async with talk_anthropic(api) as client:
        message = await client.messages.create(
            model=MODEL, max_tokens=100, messages=[{"role": "user", "content": "add"}]
        )
    thinking, text, first, second = message.content
    assert (thinking.type, thinking.thinking) == ("thinking", "Let me think.")
    assert (text.text, first.input, second.input) == ("Sure: adding 和.", {"a": 1}, {"a": 2})
    assert (message.stop_reason, message.id) == ("tool_use", f"msg_{api.run.id}")
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (13, 5)
    assert (usage.cache_creation_input_tokens, usage.output_tokens) == (2, 7)
    assert usage.model_dump()["credits"] == 3


async def test_anthropic_gathers_a_stream_as_the_whole_answer(api: Api) -> None:
    asked: dict[str, Any] = {
        "model": MODEL,
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "add"}],
    }
    async with talk_anthropic(api) as client:
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            events = [one async for one in stream]
            streamed = await stream.get_final_message()
    starts = [one for one in events if one.type == "message_start"]
    assert starts[0].message.usage.input_tokens == 11
    indexes = [one.index for one in events if one.type == "content_block_start"]
    assert indexes == [0, 1, 2, 3]

    def plain(message: anthropic.types.Message) -> list[dict[str, Any]]:
        skipped = {"id", "signature", "parsed_output"}
        return [
            {name: one for name, one in block.model_dump().items() if name not in skipped}
            for block in message.content
        ]

    assert plain(streamed) == plain(whole)
    assert streamed.stop_reason == whole.stop_reason
    assert streamed.usage.model_dump()["output_tokens"] == 7


async def test_thoughts_come_back_to_the_key_that_signed_them(api: Api) -> None:
    history: list[Any] = [{"role": "user", "content": "add"}]
    async with talk_anthropic(api) as client:
        asked: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": history}
        answer = await client.messages.create(**asked)
        assert answer.content[0].signature.startswith("cbs1.")
        assert SIGNATURE not in answer.model_dump_json()
        results = [
            {"type": "tool_result", "tool_use_id": one.id, "content": "3"}
            for one in answer.content
            if one.type == "tool_use"
        ]
        foreign = {"type": "thinking", "thinking": "mine", "signature": "somebody else's"}
        history += [
            {"role": "assistant", "content": [foreign, *answer.content]},
            {"role": "user", "content": results},
        ]
        await client.messages.create(**asked)
    call = api.run.question.api_call
    assert call is not None
    assert call.messages[1].parts[0] == ThinkingPart("Let me think.", SIGNATURE, "key_1")
    assert [type(one) for one in call.messages[1].parts[1:]] == [
        TextPart,
        ToolCallPart,
        ToolCallPart,
    ]
    assert [type(one) for one in call.messages[2].parts] == [ToolResultPart, ToolResultPart]


async def test_pictures_are_read_before_they_are_asked_about(api: Api) -> None:
    picture = base64.b64encode(make_jpeg(40, 30)).decode()
    content: list[Any] = [
        {"type": "text", "text": "what is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{picture}"}},
    ]
    async with talk_openai(api) as client:
        await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": content}]
        )
    call = api.run.question.api_call
    assert call is not None
    text, seen = call.messages[0].parts
    assert isinstance(seen, PicturePart)
    assert (text, seen.picture.size) == (TextPart("what is it?"), (40, 30))


async def test_clients_raise_their_own_errors_for_a_stream_that_breaks() -> None:
    async def break_off(run: FakeRun) -> None:
        await run.say(TextDelta("half"))
        run.end(outcome=Outcome.BROKEN, failure=AskFailure.SUPPLIER, finish_reason="")

    async with serving(break_off) as api:
        async with talk_openai(api) as client:
            stream = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "x"}], stream=True
            )
            with pytest.raises(openai.APIError, match="broke off"):
                _ = [one async for one in stream]
        async with talk_anthropic(api) as client:
            with pytest.raises(anthropic.APIStatusError, match="broke off"):
                async with client.messages.stream(
                    model=MODEL, max_tokens=10, messages=[{"role": "user", "content": "x"}]
                ) as stream_:
                    _ = [one async for one in stream_]
        told = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}
        text = (await api.post("/v1/chat/completions", told)).text
    assert "[DONE]" not in text
    assert '"finish_reason":"' not in text


async def test_a_limit_and_a_stop_sequence_are_told_in_each_wires_words() -> None:
    async def be_cut(run: FakeRun) -> None:
        await run.say(TextDelta("ha"))
        call = run.question.api_call
        assert call is not None
        if call.options.stop:
            run.end(stop_sequence="END")
        else:
            assert call.answer_limit == Tokens(5)
            run.end(outcome=Outcome.LENGTH, finish_reason="length")

    async with serving(be_cut) as api:
        async with talk_openai(api) as client:
            cut = await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "x"}],
                max_tokens=9,
                max_completion_tokens=5,
            )
        async with talk_anthropic(api) as other:
            stopped = await other.messages.create(
                model=MODEL,
                max_tokens=9,
                stop_sequences=["END"],
                messages=[{"role": "user", "content": "x"}],
            )
    assert cut.choices[0].finish_reason == "length"
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "END")


async def test_both_list_models_and_count(api: Api) -> None:
    async with talk_openai(api) as client:
        listed = [one async for one in await client.models.list()]
        one = await client.models.retrieve("gpt-5")
    assert [model.id for model in listed] == ["gpt-5", MODEL]
    assert one.model_dump()["credits_per_1000_input"] == "0.35"
    assert one.model_dump()["credits_per_1000_cached_input"] == "0.0875"
    async with talk_anthropic(api) as other:
        page = await other.models.list(limit=1)
        counted = await other.messages.count_tokens(
            model=MODEL, messages=[{"role": "user", "content": "why is the sky blue?"}]
        )
    assert (page.data[0].id, page.has_more) == ("gpt-5", True)
    assert 10 < counted.input_tokens < 60
    assert not api.asks.runs
