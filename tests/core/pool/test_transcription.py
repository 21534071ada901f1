"""Audio on the OpenAI wire: what is sent, what is understood, what each refusal means."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from core.money import Seconds, Tokens
from core.pool.providers import http
from core.pool.providers.openai import OpenAIAdapter
from core.pool.providers.types import (
    AudioClip,
    CallTarget,
    Fault,
    Finish,
    ModelCall,
    StreamEvent,
    SupplierFault,
    TextDelta,
    Usage,
)
from tests.peers.suppliers import GOOD_KEY, Drop, FakeSupplier, Heard, Refuse, Script
from tests.support.audio import VOICE

CLIP = AudioClip("voice.ogg", VOICE)
NONE = Tokens(0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", models=["whisper-1", "gpt-transcribe"]) as supplier:
        yield supplier


async def heard(
    fake: FakeSupplier,
    client: http.SupplierClient,
    *,
    model: str = "whisper-1",
    clip: AudioClip = CLIP,
    key: str = GOOD_KEY,
) -> list[StreamEvent]:
    call = ModelCall(model, (), NONE, clip=clip)
    stream = OpenAIAdapter(client).stream(CallTarget(fake.url, SecretStr(key)), call)
    return [piece async for piece in stream]


def told(text: str, seconds: int | None) -> list[StreamEvent]:
    used = None if seconds is None else Usage(NONE, NONE, audio=Seconds(seconds))
    return [*([TextDelta(text)] if text else []), Finish("stop", used)]


@pytest.mark.parametrize(
    ("model", "form"), [("whisper-1", "verbose_json"), ("gpt-transcribe", "json")]
)
async def test_a_file_is_sent_as_a_form_in_the_way_that_the_model_takes(
    model: str, form: str, fake: FakeSupplier, client: http.SupplierClient
) -> None:
    fake.script(Heard(" 天空为什么是蓝的？ ", seconds=60.4))
    assert await heard(fake, client, model=model) == told("天空为什么是蓝的？", 61)
    assert fake.calls[0].body == {
        "model": model,
        "response_format": form,
        "file": ("voice.ogg", VOICE),
    }
    assert fake.calls[0].key == GOOD_KEY


async def test_a_file_as_large_as_platforms_hand_out(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    large = AudioClip("voice.ogg", VOICE + bytes(20 << 20))
    assert await heard(fake, client, clip=large) == told("hello there", None)
    assert fake.calls[0].body["file"] == (large.name, large.content)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (Heard("a", seconds=9, duration=8.47), 9),
        (Heard("a", seconds=30, duration=8.47), 30),
        (Heard("a", duration=8.47), 9),
        (Heard("a", seconds=-1.0, duration=8.0), 8),
        (Heard("a", seconds=1e12, duration=8.0), 8),
        (Heard("a", seconds=float("nan")), None),
        (Heard("a"), None),
        (Heard("  ", seconds=3), 3),
    ],
)
async def test_the_billed_length_else_the_files_else_none(
    said: Heard, seconds: int | None, fake: FakeSupplier, client: http.SupplierClient
) -> None:
    fake.script(said)
    assert await heard(fake, client) == told(said.text.strip(), seconds)


async def test_half_a_letter_is_something_that_was_heard(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    fake.script(Heard("\ud83d", seconds=0))
    assert await heard(fake, client) == told("\N{REPLACEMENT CHARACTER}", None)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (Refuse(429, code="rate_limit_exceeded"), Fault.RATE_LIMITED),
        (Refuse(429, code="insufficient_quota"), Fault.NO_FUNDS),
        (Refuse(413), Fault.TOO_LONG),
        (Refuse(500), Fault.UNAVAILABLE),
        (Refuse(200, body=b"<html>"), Fault.UNAVAILABLE),
        (Refuse(200, body=b'{"task": "transcribe"}'), Fault.UNAVAILABLE),
        (Refuse(200, body=b'"words"'), Fault.UNAVAILABLE),
        (Refuse(200, body=b"x" * (5 << 20)), Fault.UNAVAILABLE),
        (Drop(), Fault.NETWORK),
    ],
)
async def test_what_is_no_transcription_is_a_fault(
    script: Script, fault: Fault, fake: FakeSupplier, client: http.SupplierClient
) -> None:
    fake.script(script)
    with pytest.raises(SupplierFault) as failed:
        await heard(fake, client)
    assert failed.value.kind is fault


async def test_a_wrong_key_model_or_file_is_the_fault_that_it_is(
    fake: FakeSupplier, client: http.SupplierClient
) -> None:
    for fault, wrong in (
        (Fault.INVALID_KEY, heard(fake, client, key="sk-bad")),
        (Fault.MODEL_MISSING, heard(fake, client, model="whisper-2")),
        (Fault.BAD_REQUEST, heard(fake, client, clip=AudioClip("voice.ogg", b"garbage"))),
        (Fault.BAD_REQUEST, heard(fake, client, clip=AudioClip("voice.amr", VOICE))),
    ):
        with pytest.raises(SupplierFault) as failed:
            await wrong
        assert failed.value.kind is fault
