"""Requests on both wires: what is served, what is left out, what is refused by its name."""

from __future__ import annotations

import base64
import json
import pkgutil
import typing
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from bots.api import chat_requests, message_requests
from bots.api.chat_requests import parse_chat_request
from bots.api.errors import ApiError
from bots.api.json_values import BadJson, dump_json, encode_text, load_json
from bots.api.message_requests import parse_count_request, parse_messages_request
from bots.api.requests import ApiRequest, FieldRules, list_texts
from core.money import Tokens
from core.pool.providers.message_parts import (
    JsonForm,
    PicturePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
)
from core.pool.providers.types import ChatMessage
from tests.bots.api.api_support import ask_chat, ask_message
from tests.support.size import size

PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
CLAUDE_TOOL = {"name": "add", "input_schema": {"type": "object"}}
#: Where the official clients have their types.
OPENAI, ANTHROPIC = "openai.types.chat", "anthropic.types"


def open_nothing(_: str) -> ThinkingPart | None:
    return None


def parse_message(body: object) -> ApiRequest:
    return parse_messages_request(body, open_nothing)


def refuse(parse: Callable[[object], ApiRequest], body: object) -> ApiError:
    with pytest.raises(ApiError) as refused:
        parse(body)
    assert refused.value.status == 400
    return refused.value


# --- every field has its place ------------------------------------------------------------------


def _list_fields(*kinds: str) -> set[str]:
    """The fields of types that the official clients have, by where they are: only who asks imports
    those, which takes a second."""
    return {name for kind in kinds for name in typing.get_type_hints(pkgutil.resolve_name(kind))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rules", "kinds", "headers"),
    [
        (
            chat_requests.FIELD_RULES,
            (
                f"{OPENAI}.completion_create_params:CompletionCreateParamsNonStreaming",
                f"{OPENAI}.completion_create_params:CompletionCreateParamsStreaming",
            ),
            set(),
        ),
        (
            message_requests.FIELD_RULES,
            (
                f"{ANTHROPIC}.message_create_params:MessageCreateParamsNonStreaming",
                f"{ANTHROPIC}.message_create_params:MessageCreateParamsStreaming",
                f"{ANTHROPIC}.message_count_tokens_params:MessageCountTokensParams",
                f"{ANTHROPIC}.beta.message_create_params:MessageCreateParamsNonStreaming",
            ),
            {"betas"},
        ),
    ],
    ids=["openai", "anthropic"],
)
def test_each_field_of_the_official_clients_has_its_place(
    rules: FieldRules, kinds: tuple[str, ...], headers: set[str]
) -> None:
    fields = _list_fields(*kinds) - headers
    places = [rules.served, rules.ignored, set(rules.harmless)]
    assert fields - set().union(*places) == set()
    assert sum(map(len, places)) == len(set().union(*places))


@pytest.mark.parametrize(
    ("model", "params"),
    [
        (chat_requests.ChatCompletion, None),
        (chat_requests.SystemMessage, f"{OPENAI}:ChatCompletionSystemMessageParam"),
        (chat_requests.SystemMessage, f"{OPENAI}:ChatCompletionDeveloperMessageParam"),
        (chat_requests.UserMessage, f"{OPENAI}:ChatCompletionUserMessageParam"),
        (chat_requests.AssistantMessage, f"{OPENAI}:ChatCompletionAssistantMessageParam"),
        (chat_requests.ToolMessage, f"{OPENAI}:ChatCompletionToolMessageParam"),
        (chat_requests.TextContent, f"{OPENAI}:ChatCompletionContentPartTextParam"),
        (chat_requests.ImageContent, f"{OPENAI}:ChatCompletionContentPartImageParam"),
        (chat_requests.FunctionCall, f"{OPENAI}:ChatCompletionMessageFunctionToolCallParam"),
        (chat_requests.FunctionTool, f"{OPENAI}:ChatCompletionFunctionToolParam"),
        (chat_requests.StreamOptions, f"{OPENAI}:ChatCompletionStreamOptionsParam"),
        (message_requests.Messages, None),
        (message_requests.TextBlock, f"{ANTHROPIC}:TextBlockParam"),
        (message_requests.ImageBlock, f"{ANTHROPIC}:ImageBlockParam"),
        (message_requests.Base64Source, f"{ANTHROPIC}:Base64ImageSourceParam"),
        (message_requests.ToolUseBlock, f"{ANTHROPIC}:ToolUseBlockParam"),
        (message_requests.ToolResultBlock, f"{ANTHROPIC}:ToolResultBlockParam"),
        (message_requests.ThinkingBlock, f"{ANTHROPIC}:ThinkingBlockParam"),
        (message_requests.RedactedBlock, f"{ANTHROPIC}:RedactedThinkingBlockParam"),
        (message_requests.ClientTool, f"{ANTHROPIC}:ToolParam"),
        (message_requests.CacheControl, f"{ANTHROPIC}:CacheControlEphemeralParam"),
        (message_requests.OutputConfig, f"{ANTHROPIC}:OutputConfigParam"),
        (message_requests.Thinking, f"{ANTHROPIC}:ThinkingConfigEnabledParam"),
        (message_requests.Thinking, f"{ANTHROPIC}:ThinkingConfigAdaptiveParam"),
        (message_requests.ToolChoice, f"{ANTHROPIC}:ToolChoiceToolParam"),
        (message_requests.InputMessage, f"{ANTHROPIC}:UserMessageParam"),
        (message_requests.InputMessage, f"{ANTHROPIC}:AssistantMessageParam"),
    ],
)
def test_each_field_within_has_its_place(model: Any, params: str | None) -> None:
    names = {one.alias or name for name, one in model.model_fields.items()}
    if params is None:
        rules = {
            chat_requests.ChatCompletion: chat_requests.FIELD_RULES,
            message_requests.Messages: message_requests.FIELD_RULES,
        }[model]
        assert names == rules.served
    else:
        assert _list_fields(params) - names == set()


def test_openrouters_words_ask_for_the_same() -> None:
    told = ask_chat(stream=True, usage={"include": True}, reasoning={"effort": "low"})
    same = ask_chat(stream=True, stream_options={"include_usage": True}, reasoning_effort="low")
    assert parse_chat_request(told) == parse_chat_request(same)
    plain = ask_chat(usage={"include": False}, reasoning={"effort": None, "exclude": False})
    assert parse_chat_request(plain) == parse_chat_request(ask_chat())


def test_a_request_of_the_other_api_is_told_as_that() -> None:
    body = {"model": "m", "include": [], "input": "why?"}
    refused = refuse(chat_requests.parse_chat_request, body)
    assert (refused.param, refused.status) == ("input", 400)
    assert "Responses API" in refused.message


def test_json_without_a_schema_is_asked_for_in_words_too() -> None:
    form = {"type": "json_object"}
    said = [{"role": "system", "content": "Answer in Json."}, *ask_chat()["messages"]]
    asked = parse_chat_request(ask_chat(response_format=form, messages=said))
    assert asked.options.json_form == JsonForm()


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {"user_location": None}}, "web_search_options"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"prompt_cache_retention": "24h"}, "prompt_cache_retention"),
        ({"madeup": 1}, "madeup"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [TOOL, TOOL]}, "tools"),
        ({"tools": [TOOL] * 129}, "tools"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "no"}}, "tools": [TOOL]},
            "tool_choice",
        ),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning": {"max_tokens": 100}}, "reasoning.max_tokens"),
        ({"reasoning": {"effort": "low", "exclude": True}}, "reasoning.exclude"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "critic", "content": "x"}]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x"}] * 2_001}, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 1_001}]},
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "content of type input_audio",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x"}}
                        ],
                    }
                ]
            },
            "messages[0].content.image_url.url",
        ),
        ({"messages": [{"role": "user", "content": "x", "wish": 1}]}, "messages[0].wish"),
        (
            {"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]},
            "messages",
        ),
    ],
)
def test_a_chat_request_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    assert refuse(parse_chat_request, ask_chat() | fields).param == param


def _with_block(block: dict[str, Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [block]}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"service_tier": "priority"}, "service_tier"),
        ({"speed": "fast"}, "speed"),
        ({"container": "c"}, "container"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"madeup": 1}, "madeup"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "code_execution_20250825", "name": "c"}]}, "tools[0].type"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": {"type": "tool", "name": "no"}, "tools": [CLAUDE_TOOL]}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "cache_control.ttl"),
        (
            _with_block(
                {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
            ),
            "messages[0].content[0].cache_control.ttl",
        ),
        (
            _with_block({"type": "image", "source": {"type": "url", "url": "https://x.example"}}),
            "messages[0].content[0].source.type",
        ),
        (_with_block({"type": "document", "source": {}}), "content of type document"),
        (
            _with_block({"type": "tool_use", "id": "a", "name": "b", "input": {}}),
            "messages[0].content[0]",
        ),
        (_with_block({"type": "tool_result", "tool_use_id": "a"}), "messages"),
    ],
)
def test_a_message_request_is_refused_by_the_name_of_its_field(
    fields: dict[str, Any], param: str
) -> None:
    assert refuse(parse_message, ask_message() | fields).param == param


@pytest.mark.parametrize("arguments", ["[]", "1", "{", '"x"', '{"a":NaN}', "null"])
def test_arguments_that_are_no_object_are_refused(arguments: str) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "y"},
    ]
    error = refuse(parse_chat_request, ask_chat() | {"messages": messages})
    assert error.param == "messages[1].tool_calls[0].function.arguments"


def test_more_pictures_than_are_read_are_refused() -> None:
    parts = [{"type": "image_url", "image_url": {"url": PNG}}] * 21
    body = {"messages": [{"role": "user", "content": parts}]}
    assert "10 pictures" in refuse(parse_chat_request, ask_chat() | body).message


# --- what is served -----------------------------------------------------------------------------


def test_harmless_fields_are_left_out() -> None:
    harmless = {
        "n": 1,
        "user": "me",
        "store": True,
        "metadata": {"a": "b"},
        "service_tier": "auto",
        "logprobs": False,
        "logit_bias": {},
        "modalities": ["text"],
        "verbosity": "low",
        "safety_identifier": "s",
        "prompt_cache_retention": "in_memory",
        "stream_options": {"include_obfuscation": True},
        "tools": None,
    }
    plain, decorated = parse_chat_request(ask_chat()), parse_chat_request(ask_chat(**harmless))
    assert decorated == plain
    claude = {"metadata": {"user_id": "{}"}, "context_management": {"edits": []}, "speed": None}
    assert parse_message(ask_message(**claude)) == parse_message(ask_message())


def test_a_tool_loop_of_openai_becomes_neutral_messages() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "add", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "add", "arguments": ""}},
    ]
    messages = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {"role": "assistant", "content": "hm", "tool_calls": calls, "reasoning_content": "…"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "1"}]},
        {"role": "user", "content": "go on"},
    ]
    asked = parse_chat_request(
        ask_chat() | {"messages": messages, "tools": [TOOL], "max_tokens": 9, "stop": "END"}
    )
    assert asked.messages == (
        ChatMessage("system", "be brief"),
        ChatMessage("user", "x"),
        ChatMessage(
            "assistant",
            "",
            parts=(
                TextPart("hm"),
                ToolCallPart("a", "add", '{"x":1}'),
                ToolCallPart("b", "add", "{}"),
            ),
        ),
        ChatMessage(
            "user",
            "",
            parts=(
                ToolResultPart("b", (TextPart("2"),)),
                ToolResultPart("a", (TextPart("1"),)),
            ),
        ),
        ChatMessage("user", "go on"),
    )
    assert (asked.answer_limit, asked.options.stop) == (Tokens(9), ("END",))
    assert json.loads(asked.extra_text)[0]["name"] == "add"
    assert "hm" in list_texts(asked)


def test_messages_of_anthropic_become_neutral_ones() -> None:
    kept = {"cache_control": {"type": "ephemeral"}}
    picture = {"type": "base64", "media_type": "image/png", "data": PNG.partition(",")[2]}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "system", "content": "mind the gap"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "…", "signature": "theirs"},
                {"type": "tool_use", "id": "a", "name": "add", "input": {"x": "é"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [{"type": "image", "source": picture}],
                    "is_error": True,
                },
                {"type": "text", "text": "and?", **kept},
            ],
        },
    ]
    asked = parse_message(
        ask_message(
            messages=messages,
            system=[{"type": "text", "text": "be brief", **kept}],
            tools=[{**CLAUDE_TOOL, "type": "custom", **kept}],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            thinking={"type": "adaptive", "display": "omitted"},
            output_config={
                "effort": "high",
                "format": {"type": "json_schema", "schema": {"type": "object"}},
            },
        )
    )
    assert asked.messages[0].parts == (TextPart("be brief", ends_prefix=True),)
    assert asked.messages[2] == ChatMessage("system", "mind the gap")
    assert asked.messages[3].parts == (ToolCallPart("a", "add", '{"x":"é"}'),)
    result, text = asked.messages[4].parts
    assert isinstance(result, ToolResultPart)
    assert (result.is_error, type(result.content[0])) == (True, PicturePart)
    assert text == TextPart("and?", ends_prefix=True)
    options = asked.options
    assert (options.tool_choice, options.calls_in_parallel) == ("required", False)
    assert (options.effort, options.thinking, options.thinking_display) == (
        "high",
        "adaptive",
        "omitted",
    )
    assert options.json_form == JsonForm(schema={"type": "object"})
    assert options.tools[0].ends_prefix


def test_chat_completions_mark_what_is_kept_as_well() -> None:
    """opencode marks whole messages where the model is Anthropic's; others mark parts and tools."""
    kept = {"cache_control": {"type": "ephemeral"}}
    part = {"type": "text", "text": "x", **kept}
    called = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "s", **kept},
        {"role": "user", "content": [part, {"type": "text", "text": "y"}]},
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "1", **kept},
    ]
    tool = {"type": "function", "function": {"name": "add"}, **kept}
    asked = parse_chat_request(ask_chat(messages=messages, tools=[tool]))
    system, user, call, result = (one.parts for one in asked.messages)
    assert system == (TextPart("s", True),)
    assert user == (TextPart("x", True), TextPart("y"))
    assert call == (ToolCallPart("c", "add", "{}"),)
    assert result == (ToolResultPart("c", (TextPart("1"),), ends_prefix=True),)
    assert asked.options.tools[0].ends_prefix
    messages.append({"role": "user", "content": "z", **kept})
    error = refuse(parse_chat_request, ask_chat(messages=messages, tools=[tool]))
    assert (error.status, error.param) == (400, "cache_control")
    calls = [{"role": "assistant", "tool_calls": [called], **kept}, messages[3]]
    asked = parse_chat_request(ask_chat(messages=[*messages[1:2], *calls]))
    assert asked.messages[1].parts == (ToolCallPart("c", "add", "{}", True),)


def test_what_is_kept_ends_in_four_places_at_most() -> None:
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    four, five = ([{"role": "user", "content": [block] * count}] for count in (4, 5))
    assert parse_message(ask_message(messages=four))
    assert refuse(parse_message, ask_message(messages=five)).param == "cache_control"
    asked = parse_message(ask_message(cache_control={"type": "ephemeral"}))
    assert asked.messages[-1].parts == (TextPart("why?", ends_prefix=True),)


def test_nothing_may_be_said_beside_a_call() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for content in ({"content": None}, {}, {"content": ""}, {"content": []}):
        messages = [
            {"role": "user", "content": "x"},
            {"role": "assistant", **content, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": []},
            {"role": "assistant", "content": None, "tool_calls": None},
            {"role": "user", "content": "y"},
        ]
        asked = parse_chat_request(ask_chat() | {"messages": messages})
        assert asked.messages[1].parts == (ToolCallPart("c", "f", "{}"),)


def test_a_count_needs_no_limit() -> None:
    assert parse_count_request(ask_chat(), open_nothing).answer_limit is None
    assert refuse(parse_message, ask_chat()).param == "max_tokens"


# --- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 65 + "]" * 65,
        '{"a":' * 65 + "1" + "}" * 65,
        '{"a":NaN}',
        "[Infinity]",
        "[1e999]",
        "[" + "9" * 5_000 + "]",
        b"\xff\xfe",
        "{",
        "",
    ],
)
def test_json_beyond_the_bounds_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadJson):
        load_json(text)


def test_json_within_the_bounds_is_read() -> None:
    assert load_json("[" * 64 + "]" * 64) is not None
    assert load_json('{"a":1,"a":2}') == {"a": 2}
    assert load_json(r'{"\u0000":"\ud83d\ude00 \ud83d"}') == {"\ufffd": "😀 \ufffd"}
    assert load_json('["[[[' + "[" * 100 + '"]')


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=12,
)
_NAMES = sorted(
    chat_requests.FIELD_RULES.served
    | message_requests.FIELD_RULES.served
    | {"type", "text", "role", "content", "name", "function", "source", "image_url", "n"}
)
_SAID = st.sampled_from(
    ["user", "assistant", "tool", "system", "text", "image", "image_url", "tool_use", "function"]
)
_NEARLY = st.recursive(
    _JSON | _SAID,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(_NAMES), inner | _SAID, max_size=6)
    ),
    max_leaves=30,
)


@settings(max_examples=size(small=60, full=5_000))
@given(st.dictionaries(st.sampled_from(_NAMES), _NEARLY, max_size=8))
def test_whatever_is_asked_is_read_or_refused(fields: dict[str, Any]) -> None:
    statuses = {400}
    for parse, base in ((parse_chat_request, ask_chat()), (parse_message, ask_message())):
        for body in (fields, base | fields, base | {"messages": [fields]}):
            try:
                request = parse(body)
            except ApiError as error:
                statuses.add(error.status)
                dump_json(error.build_body("openai", "req_1"))
            else:
                assert request.messages
                encode_text(list_texts(request))
    assert statuses == {400}


_CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
_RICH_CHAT: dict[str, Any] = ask_chat(
    messages=[
        {"role": "system", "content": "s", "name": "n"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "x"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            ],
        },
        {"role": "assistant", "content": "hm", "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ],
    tools=[TOOL],
    tool_choice={"type": "function", "function": {"name": "add"}},
    response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
    stream_options={"include_usage": True},
    stop=["a"],
    seed=1,
    n=1,
)
_RICH_MESSAGE: dict[str, Any] = ask_message(
    messages=[
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": None}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "tool_use", "id": "c", "name": "add", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": "1"}],
        },
    ],
    system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
    tools=[CLAUDE_TOOL],
    tool_choice={"type": "tool", "name": "add"},
    thinking={"type": "enabled", "budget_tokens": 50},
    output_config={"effort": "low", "format": {"type": "json_schema", "schema": {}}},
    metadata={"user_id": "u"},
)


def _list_places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value: what holds it, and under which name or number."""
    names: list[Any] = []
    if isinstance(value, dict):
        names = list(value)
    elif isinstance(value, list):
        names = list(range(len(value)))
    return [place for name in names for place in ((value, name), *_list_places(value[name]))]


@settings(max_examples=size(small=100, full=10_000))
@given(st.data())
def test_a_good_request_with_one_thing_wrong_is_read_or_refused(data: st.DataObject) -> None:
    for parse, good in ((parse_chat_request, _RICH_CHAT), (parse_message, _RICH_MESSAGE)):
        assert parse(good).messages
        body = json.loads(json.dumps(good))
        holder, name = data.draw(st.sampled_from(_list_places(body)))
        if data.draw(st.booleans()):
            holder[name] = data.draw(_JSON | _SAID)
        else:
            del holder[name]
        statuses = {400}
        try:
            parse(body)
        except ApiError as error:
            statuses.add(error.status)
        assert statuses == {400}
