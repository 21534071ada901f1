"""The sandbox through the product's own adapter: it answers, refuses and bills as the real one."""

from __future__ import annotations

import json
from contextlib import aclosing

import aiohttp
import pytest
from pydantic import SecretStr

from bots.sandbox import answers
from bots.sandbox.supplier import SandboxSupplier
from core.money import Seconds, Tokens
from core.pool.providers import http
from core.pool.providers.openai import OpenAIAdapter
from core.pool.providers.types import (
    AudioClip,
    CallTarget,
    ChatMessage,
    Fault,
    Finish,
    ModelCall,
    SupplierFault,
    TextDelta,
)
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue
from core.pricing.token_counter import count_message_tokens, count_tokens
from tests.support.audio import ogg, wav

CATALOGUE = Catalogue.load()


async def ask(
    client: http.SupplierClient,
    base: str,
    *questions: str,
    supplier: str = "openai",
    model: str = "gpt-6.1-sol",
    limit: int = 8_000,
    key: str = SandboxSupplier.DEMO_KEY,
) -> tuple[str, Finish]:
    adapter = OpenAIAdapter(client, SUPPLIERS[supplier].dialect)
    target = CallTarget(f"{base}/{supplier}/v1", SecretStr(key))
    messages = [ChatMessage("system", "Be kind.")]
    for question in questions:
        messages += [ChatMessage("assistant", "…"), ChatMessage("user", question)]
    text = ""
    async for piece in adapter.stream(target, ModelCall(model, messages, Tokens(limit))):
        if isinstance(piece, TextDelta):
            text += piece.text
        elif isinstance(piece, Finish):
            return text, piece
    raise AssertionError("a stream without an end")


async def test_it_answers_says_what_it_is_and_tells_counted_usage(
    client: http.SupplierClient, base: str
) -> None:
    text, finish = await ask(client, base, "why is the sky blue?")
    assert "scatter" in text
    assert text.endswith(answers.NOTES["en"])
    model = CATALOGUE.find("gpt-6.1-sol")
    prompt = await count_message_tokens(model, ["Be kind.", "…", "why is the sky blue?"])
    assert finish.reason == "stop"
    assert finish.usage is not None
    assert (finish.usage.input, finish.usage.output) == (prompt, await count_tokens(model, text))


async def test_every_supplier_serves_its_models(client: http.SupplierClient, base: str) -> None:
    for supplier in SUPPLIERS:
        target = CallTarget(f"{base}/{supplier}/v1", SecretStr(SandboxSupplier.DEMO_KEY))
        listed = {one.id for one in await OpenAIAdapter(client).list_models(target)}
        routes = [
            route.model
            for model in CATALOGUE.models.values()
            for route in model.routes
            if route.provider == supplier
        ]
        assert listed == set(routes)
        _, finish = await ask(client, base, "hello", supplier=supplier, model=routes[0])
        assert finish.usage is not None


async def test_a_long_answer_stops_at_its_limit(client: http.SupplierClient, base: str) -> None:
    whole, finish = await ask(client, base, "write a long answer")
    assert finish.reason == "stop"
    assert len(whole) > 6_000
    for limit in (1, 50, 900):
        text, finish = await ask(client, base, "write a long answer", limit=limit)
        assert finish.reason == "length"
        assert whole.startswith(text.rstrip())
        assert finish.usage is not None
        assert finish.usage.output.units <= limit


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is a Credit?", "only currency"),
        ("how do I contribute a key", "/contribute openai"),
        ("How much does it cost?", "its own price"),
        ("which models are there", "/models"),
        ("Is this private?", "encrypted"),
        ("write code", "```python"),
        ("who are you", "stand-in"),
        ("how do I top up?", "/grant"),
        ("How do I run it on Telegram", "@BotFather"),
        ("what can you do?", "/help"),
        ("hi", "Good first questions"),
        ("what is the capital of Peru", "fine question for a real model"),
        ("this is not about it", "fine question for a real model"),
        ("", "fine question for a real model"),
        ("天空为什么是蓝色的？", "散射"),
        ("什么是 Credit？", "计价单位"),
        ("秘鲁的首都是哪里", "替身"),
    ],
)
def test_questions_about_the_product_get_its_own_answers(question: str, expected: str) -> None:
    assert expected in answers.compose_answer([question])


def test_paragraphs_are_one_line_and_code_keeps_its_own() -> None:
    code = answers.compose_answer(["write code"])
    assert "    is_prime = [False, False] + [True] * (limit - 2)\n    for number in" in code
    assert "own square: smaller ones were crossed out by smaller primes" in code
    hello = answers.compose_answer(["hello"])
    assert "- what is a Credit?\n- write code\n" in hello
    assert "大约是红光的五倍" in answers.compose_answer(["天空为什么是蓝色的"])


def test_it_remembers_what_was_asked_before() -> None:
    assert "> why is the sky blue?" in answers.compose_answer(
        ["why is the sky blue?", "What did I ask?"]
    )
    assert "first question" in answers.compose_answer(["what did I just ask?"])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"key": "sk-wrong"}, Fault.INVALID_KEY),
        ({"model": "gpt-4"}, Fault.MODEL_MISSING),
        ({"supplier": "groq", "model": "gpt-6.1-sol"}, Fault.MODEL_MISSING),
    ],
)
async def test_it_refuses_what_the_real_one_refuses(
    client: http.SupplierClient, base: str, change: dict[str, str], fault: Fault
) -> None:
    with pytest.raises(SupplierFault) as refused:
        await ask(client, base, "hello", **change)  # type: ignore[arg-type]
    assert refused.value.kind is fault


async def test_a_prompt_past_the_context_is_refused(client: http.SupplierClient, base: str) -> None:
    with pytest.raises(SupplierFault) as refused:
        await ask(client, base, "word " * 210_000, model="o3")
    assert refused.value.kind is Fault.TOO_LONG


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.7},
        {"max_tokens": 5},
        {"max_completion_tokens": 0},
        {"max_completion_tokens": "many"},
        {"messages": []},
        {"messages": [{"role": "robot", "content": "x"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": ["x"]},
    ],
)
async def test_bad_requests_are_told_so(
    client: http.SupplierClient, base: str, change: dict[str, object]
) -> None:
    body = {
        "model": "gpt-6.1-sol",
        "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 100,
        **change,
    }
    headers = {"Authorization": f"Bearer {SandboxSupplier.DEMO_KEY}"}
    url = f"{base}/openai/v1/chat/completions"
    sent = json.dumps(body).encode()
    async with aclosing(await client.send("POST", url, body=sent, headers=headers)) as answer:
        assert answer.status == 400
        told = json.loads(await http.read_body(answer))
        assert set(told["error"]) == {"message", "type", "param", "code"}
    for said in (b"{", b"[]", b""):
        refused = await client.send("POST", url, body=said, headers=headers)
        assert refused.status == 400
        await refused.aclose()


async def test_an_answer_may_come_at_once(client: http.SupplierClient, base: str) -> None:
    body = {"model": "gpt-6.1-sol", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"Authorization": f"Bearer {SandboxSupplier.DEMO_KEY}"}
    url = f"{base}/openai/v1/chat/completions"
    sent = json.dumps(body).encode()
    async with aclosing(await client.send("POST", url, body=sent, headers=headers)) as answer:
        said = json.loads(await http.read_body(answer))
    assert said["object"] == "chat.completion"
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["usage"]["total_tokens"] > said["usage"]["prompt_tokens"] > 0


async def test_stopping_breaks_what_streams(client: http.SupplierClient) -> None:
    sandbox = SandboxSupplier(CATALOGUE, piece_delay_seconds=60)
    url = f"{await sandbox.start()}/openai/v1/chat/completions"
    body = {
        "model": "gpt-6.1-sol",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
    }
    headers = {"Authorization": f"Bearer {SandboxSupplier.DEMO_KEY}"}
    sent = json.dumps(body).encode()
    async with aclosing(await client.send("POST", url, body=sent, headers=headers)) as answer:
        assert b"assistant" in await anext(answer)
        await sandbox.stop()
        with pytest.raises(aiohttp.ClientError):
            _ = [chunk async for chunk in answer]


async def heard(
    client: http.SupplierClient, base: str, content: bytes, *, model: str = "whisper-1"
) -> tuple[str, Seconds]:
    call = ModelCall(model, (), Tokens(0), clip=AudioClip("voice.ogg", content))
    target = CallTarget(f"{base}/openai/v1", SecretStr(SandboxSupplier.DEMO_KEY))
    text, finish = [piece async for piece in OpenAIAdapter(client).stream(target, call)]
    assert isinstance(text, TextDelta)
    assert isinstance(finish, Finish)
    assert finish.usage is not None
    return text.text, finish.usage.audio


@pytest.mark.parametrize("model", ["whisper-1", "gpt-transcribe"])
async def test_it_says_that_it_does_not_listen_and_bills_the_files_length(
    model: str, client: http.SupplierClient, base: str
) -> None:
    for content in (wav(61), ogg(60.5)):
        text, seconds = await heard(client, base, content, model=model)
        assert "I did not listen to these 61 seconds" in text
        assert seconds == Seconds(61)


async def test_it_hears_no_garbage_and_only_with_models_that_hear(
    client: http.SupplierClient, base: str
) -> None:
    for fault, wrong in (
        (Fault.BAD_REQUEST, heard(client, base, b"OggS" + bytes(60))),
        (Fault.MODEL_MISSING, heard(client, base, wav(1), model="gpt-6-luna")),
        (Fault.MODEL_MISSING, ask(client, base, "hello", model="whisper-1")),
        (Fault.TOO_LONG, heard(client, base, bytes(22 << 20))),
    ):
        with pytest.raises(SupplierFault) as failed:
            await wrong
        assert failed.value.kind is fault
