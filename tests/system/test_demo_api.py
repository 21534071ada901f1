"""The official clients, as their makers ship them, before the demo as a stranger starts it: each
request that is answered is one call of a supplier and one row of usage, and the books are good.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from tests.support.demo_api import ApiDemo
from tests.support.official_clients import anthropic, openai
from tests.support.pictures import GREEN, make_png

GPT, CLAUDE = "gpt-6.1-sol", "claude-sonnet-5-5"
SKY = "why is the sky blue?"
SANDBOX = "I am the sandbox"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CAP = 40


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiDemo]:
    """One for all; its books are good when it has ended."""
    with ApiDemo(tmp_path_factory.mktemp("demo_api"), welcome_credits="5000") as started:
        yield started
        started.end()
    audit = subprocess.run(
        [Path(sys.executable).parent / "creditbot", "audit", "--json"],
        cwd=started.folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(started.folder),
            "CREDITBOT_DATABASE_URL": "sqlite:///.demo/creditbot.db",
        },
        capture_output=True,
        check=False,
    )
    assert audit.returncode == 0, audit.stdout
    audited = json.loads(audit.stdout)
    assert (audited["findings"], audited["holds"]) == ([], 0)


@pytest.fixture
def gpt(demo: ApiDemo) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=demo.secret, base_url=f"{demo.base}/v1") as client:
        yield client


@pytest.fixture
def claude(demo: ApiDemo) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=demo.secret, base_url=demo.base) as client:
        yield client


@contextlib.contextmanager
def billing(demo: ApiDemo, calls: int, model: str = "") -> Iterator[list[dict[str, Any]]]:
    """What is asked within is so many calls, as many rows, and what the balance lacks after."""
    rows: list[dict[str, Any]] = []
    known = {one["request_id"] for one in demo.list_usage()}
    called, had = demo.count_supplier_calls(), demo.get("/v1/credits")["available"]
    yield rows
    rows += [one for one in demo.list_usage() if one["request_id"] not in known]
    assert len(rows) == calls
    assert demo.count_supplier_calls() - called == calls
    assert {one["model"] for one in rows} <= {model}
    now = demo.get("/v1/credits")
    assert had - now["available"] == sum(one["credits"] for one in rows)
    assert now["held"] == 0
    assert all(one["credits"] >= 1 for one in rows)


def test_openai_chats(demo: ApiDemo, gpt: openai.OpenAI) -> None:
    with billing(demo, 1, GPT) as rows:
        raw = gpt.chat.completions.with_raw_response.create(
            model=GPT, messages=[{"role": "user", "content": SKY}]
        )
    answer = raw.parse()
    assert SANDBOX in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    (row,) = rows
    assert row["request_id"] == raw.headers["x-request-id"]
    assert row["prompt_tokens"] == answer.usage.prompt_tokens
    assert row["completion_tokens"] == answer.usage.completion_tokens
    assert row["credits"] == answer.usage.credits


def test_openai_reads_a_stream(demo: ApiDemo, gpt: openai.OpenAI) -> None:
    with billing(demo, 1, GPT) as rows:
        chunks = list(
            gpt.chat.completions.create(
                model=GPT,
                messages=[{"role": "user", "content": SKY}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    assert len(chunks) > 10
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert SANDBOX in text
    assert chunks[-1].usage.credits == rows[0]["credits"]


def test_openai_calls_a_tool_turn_after_turn(demo: ApiDemo, gpt: openai.OpenAI) -> None:
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
    messages: list[Any] = []

    def ask(**message: Any) -> Any:
        messages.append(message)
        answer = gpt.chat.completions.create(model=GPT, messages=messages, tools=tools)
        messages.append(answer.choices[0].message)
        return answer.choices[0]

    with billing(demo, 4, GPT):
        for city in ("Oslo", "Rome"):
            choice = ask(role="user", content=f"Use get_weather for {city}")
            assert choice.finish_reason == "tool_calls"
            (call,) = choice.message.tool_calls
            assert json.loads(call.function.arguments) == {"city": city}
            choice = ask(role="tool", tool_call_id=call.id, content=f"Rain in {city}")
            assert f"> Rain in {city}" in choice.message.content


class Place(pydantic.BaseModel):
    city: str
    people: int


def test_openai_reads_an_answer_by_a_schema(demo: ApiDemo, gpt: openai.OpenAI) -> None:
    with billing(demo, 1, GPT):
        answer = gpt.chat.completions.parse(
            model=GPT, messages=[{"role": "user", "content": "Oslo"}], response_format=Place
        )
    assert answer.choices[0].message.parsed == Place(city="Oslo", people=0)


def test_openai_shows_a_picture(demo: ApiDemo, gpt: openai.OpenAI) -> None:
    picture = base64.b64encode(make_png(640, 480, colour=GREEN)).decode()
    shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
    asked = {"type": "text", "text": "What is on it?"}
    with billing(demo, 1, GPT):
        answer = gpt.chat.completions.create(
            model=GPT, messages=[{"role": "user", "content": [asked, shown]}]
        )
    assert "a picture of 640 × 480 pixels, mostly green" in answer.choices[0].message.content


def test_anthropic_chats(demo: ApiDemo, claude: anthropic.Anthropic) -> None:
    with billing(demo, 1, CLAUDE) as rows:
        message = claude.messages.create(
            model=CLAUDE, max_tokens=1_000, messages=[{"role": "user", "content": SKY}]
        )
    assert SANDBOX in message.content[0].text
    assert message.stop_reason == "end_turn"
    assert rows[0]["request_id"] == message._request_id
    assert rows[0]["completion_tokens"] == message.usage.output_tokens


def test_anthropic_reads_a_stream(demo: ApiDemo, claude: anthropic.Anthropic) -> None:
    said = [{"role": "user", "content": SKY}]
    with (
        billing(demo, 1, CLAUDE),
        claude.messages.stream(model=CLAUDE, max_tokens=1_000, messages=said) as stream,
    ):
        pieces = list(stream.text_stream)
        message = stream.get_final_message()
    assert len(pieces) > 10
    assert "".join(pieces) == message.content[0].text
    assert message.stop_reason == "end_turn"


def test_anthropic_calls_a_tool_turn_after_turn(demo: ApiDemo, claude: anthropic.Anthropic) -> None:
    """With what agents send beside: marks of a cache, a system's message amid, thinking."""
    kept = {"cache_control": {"type": "ephemeral"}}
    tools = [{"name": "get_weather", "input_schema": SCHEMA, **kept}]
    messages: list[Any] = []

    def ask(content: Any) -> Any:
        messages.append({"role": "user", "content": content})
        told = {"role": "system", "content": "The user opened a file."}
        message = claude.beta.messages.create(
            model=CLAUDE,
            max_tokens=1_000,
            system=[{"type": "text", "text": "You are an agent.", **kept}],
            messages=[*messages, told],
            tools=tools,
            thinking={"type": "adaptive"},
            output_config={"effort": "high"},
            context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
            metadata={"user_id": "u"},
            betas=["mid-conversation-system-2026-04-07"],
        )
        messages.append({"role": "assistant", "content": message.content})
        return message

    with billing(demo, 4, CLAUDE):
        for city in ("Oslo", "Rome"):
            message = ask([{"type": "text", "text": f"Use get_weather for {city}"}])
            assert message.stop_reason == "tool_use"
            call = message.content[-1]
            assert call.input == {"city": city}
            result = {"type": "tool_result", "tool_use_id": call.id, "content": f"Rain in {city}"}
            assert f"> Rain in {city}" in ask([result | kept]).content[-1].text


def test_anthropic_reads_an_answer_by_a_schema(demo: ApiDemo, claude: anthropic.Anthropic) -> None:
    with billing(demo, 1, CLAUDE):
        message = claude.messages.parse(
            model=CLAUDE,
            max_tokens=1_000,
            messages=[{"role": "user", "content": "Oslo"}],
            output_format=Place,
        )
    assert message.parsed_output == Place(city="Oslo", people=0)


def test_anthropic_shows_a_picture(demo: ApiDemo, claude: anthropic.Anthropic) -> None:
    picture = base64.b64encode(make_png(640, 480, colour=GREEN)).decode()
    source = {"type": "base64", "media_type": "image/png", "data": picture}
    shown, asked = {"type": "image", "source": source}, {"type": "text", "text": "What is on it?"}
    with billing(demo, 1, CLAUDE):
        message = claude.messages.create(
            model=CLAUDE, max_tokens=1_000, messages=[{"role": "user", "content": [shown, asked]}]
        )
    assert "a picture of 640 × 480 pixels, mostly green" in message.content[0].text


def test_looking_up_and_counting_cost_nothing(
    demo: ApiDemo, gpt: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    with billing(demo, 0):
        assert {GPT, CLAUDE} <= {one.id for one in gpt.models.list()}
        assert gpt.models.retrieve(GPT).owned_by == "OpenAI"
        assert {GPT, CLAUDE} <= {one.id for one in claude.models.list(limit=1_000)}
        counted = claude.messages.count_tokens(
            model=CLAUDE, messages=[{"role": "user", "content": SKY}]
        )
        assert counted.input_tokens > 3


def _count_tries(client: Any) -> list[int]:
    """Notes the status of each answer that a client reads."""
    seen: list[int] = []
    client._client.event_hooks["response"].append(lambda answer: seen.append(answer.status_code))
    return seen


@pytest.mark.parametrize(
    ("status", "kind", "secret", "changes"),
    [
        (401, "AuthenticationError", "cbk_wrong", {}),
        (404, "NotFoundError", "", {"model": "nonesuch"}),
        (400, "BadRequestError", "", {"temperature": 7}),
    ],
)
def test_errors_are_told_once_and_cost_nothing(
    demo: ApiDemo, status: int, kind: str, secret: str, changes: dict[str, Any]
) -> None:
    gpt = openai.OpenAI(api_key=secret or demo.secret, base_url=f"{demo.base}/v1")
    claude = anthropic.Anthropic(api_key=secret or demo.secret, base_url=demo.base)
    with gpt, claude, billing(demo, 0):
        for client, module in ((gpt, openai), (claude, anthropic)):
            seen = _count_tries(client)
            error = _fail(client, module, changes)
            assert type(error).__name__ == kind
            assert (error.status_code, seen) == (status, [status])


def test_a_token_past_its_cap_is_told_once(demo: ApiDemo) -> None:
    secret = demo.make_token()
    demo.set_cap(2, CAP)
    gpt = openai.OpenAI(api_key=secret, base_url=f"{demo.base}/v1")
    claude = anthropic.Anthropic(api_key=secret, base_url=demo.base)
    with gpt, claude, billing(demo, 0):
        for client, module in ((gpt, openai), (claude, anthropic)):
            seen = _count_tries(client)
            error = _fail(client, module, {"max_tokens": 20_000})
            assert (error.status_code, seen) == (403, [403])
            assert f"{CAP} Credits a UTC day" in str(error)


def test_whoever_has_nothing_is_told_once(tmp_path: Path) -> None:
    with ApiDemo(tmp_path, welcome_credits="0") as demo:
        gpt = openai.OpenAI(api_key=demo.secret, base_url=f"{demo.base}/v1")
        claude = anthropic.Anthropic(api_key=demo.secret, base_url=demo.base)
        with gpt, claude:
            for client, module in ((gpt, openai), (claude, anthropic)):
                seen = _count_tries(client)
                error = _fail(client, module, {})
                assert (error.status_code, seen) == (402, [402])
                assert "You have 0 Credits" in str(error)
        assert demo.list_usage() == []
        assert demo.count_supplier_calls() == 0


def _fail(client: Any, module: Any, changes: dict[str, Any]) -> Any:
    """The error that an ask ends with, as its client raises it."""
    asked = {"max_tokens": 100, "messages": [{"role": "user", "content": SKY}]} | changes
    is_openai = module is openai
    create = client.chat.completions.create if is_openai else client.messages.create
    asked = {"model": GPT if is_openai else CLAUDE} | asked
    # The newest types of Anthropic have no temperature.
    extra = {} if is_openai else {"extra_body": changes}
    named = asked if is_openai else {k: v for k, v in asked.items() if k != "temperature"}
    with pytest.raises(module.APIStatusError) as caught:
        create(**named, **extra)
    return caught.value
