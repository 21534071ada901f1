"""How pictures are written in each wire, byte for byte, and who is sent what."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from core.attachments.types import Picture, PictureSize
from core.money import Tokens
from core.pool.dialects import Dialects
from core.pool.providers.http import SupplierClient
from core.pool.providers.openai import PLAIN_DIALECT
from core.pool.providers.types import CallTarget, ChatMessage, ModelCall, PromptCache
from core.pool.suppliers import SUPPLIERS
from tests.peers.suppliers import ACCOUNT, GOOD_KEY, FakeSupplier, Refuse

RED = Picture(b"\xff\xd8\xff\xe0 red", PictureSize(64, 32))
BLUE = Picture(b"\xff\xd8\xff\xe0 blue", PictureSize(32, 64))
RED_BASE64, BLUE_BASE64 = "/9j/4CByZWQ=", "/9j/4CBibHVl"
RED_URL, BLUE_URL = (f"data:image/jpeg;base64,{one}" for one in (RED_BASE64, BLUE_BASE64))

QUESTION = ChatMessage("user", "What is it?", (RED, BLUE))
MESSAGES = (
    ChatMessage("system", "Be kind."),
    ChatMessage("user", "Hello."),
    ChatMessage("assistant", "Hi."),
    QUESTION,
)
TEXT = {"type": "text", "text": "What is it?"}


@pytest_asyncio.fixture(params=["openai", "anthropic", "cloudflare"])
async def fake(request: pytest.FixtureRequest) -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier(request.param, strict=False) as supplier:
        yield supplier


async def send(
    fake: FakeSupplier,
    client: SupplierClient,
    supplier: str,
    *messages: ChatMessage,
    cache: PromptCache | None = None,
    plain: bool = False,
) -> list[dict[str, Any]]:
    """The messages of the body that a supplier's adapter sends."""
    adapter = SUPPLIERS[supplier].create_adapter(client, PLAIN_DIALECT if plain else None)
    target = CallTarget(fake.url, SecretStr(GOOD_KEY), ACCOUNT)
    call = ModelCall("some-model", messages or MESSAGES, Tokens(500), cache=cache)
    async for _ in adapter.stream(target, call):
        pass
    body: list[dict[str, Any]] = fake.calls[-1].body["messages"]
    return body


@pytest_asyncio.fixture
async def openai() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", strict=False) as supplier:
        yield supplier


def test_base64_is_that_of_the_bytes() -> None:
    assert base64.b64decode(RED_BASE64) == RED.content


@pytest.mark.parametrize("name", ["openai", "xai", "deepseek"])
async def test_pictures_come_first_and_in_detail_where_that_is_known(
    openai: FakeSupplier, client: SupplierClient, name: str
) -> None:
    assert await send(openai, client, name) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": "Hi."},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": RED_URL, "detail": "high"}},
                {"type": "image_url", "image_url": {"url": BLUE_URL, "detail": "high"}},
                TEXT,
            ],
        },
    ]


async def test_mistral_takes_a_url_alone(openai: FakeSupplier, client: SupplierClient) -> None:
    sent = await send(openai, client, "mistral")
    assert sent[3]["content"] == [
        {"type": "image_url", "image_url": RED_URL},
        {"type": "image_url", "image_url": BLUE_URL},
        TEXT,
    ]


async def test_nobody_else_is_sent_a_detail(openai: FakeSupplier, client: SupplierClient) -> None:
    known = {"openai", "xai", "deepseek", "mistral", "anthropic", "cloudflare"}
    plain = [
        {"type": "image_url", "image_url": {"url": RED_URL}},
        {"type": "image_url", "image_url": {"url": BLUE_URL}},
        TEXT,
    ]
    for name in sorted(set(SUPPLIERS) - known):
        assert (await send(openai, client, name))[3]["content"] == plain, name
    sent = await send(openai, client, "openai", plain=True)
    assert sent[3]["content"] == plain, "an unknown server's"
    async with FakeSupplier("cloudflare", strict=False) as cloudflare:
        assert (await send(cloudflare, client, "cloudflare"))[3]["content"] == plain


async def test_an_own_server_that_does_not_take_a_detail_gets_none(
    openai: FakeSupplier, client: SupplierClient
) -> None:
    supplier = SUPPLIERS["openai"].with_base_url(openai.url)
    openai.script(Refuse(400, message="property 'image_url.detail' is unsupported"))
    dialects, target = Dialects(), CallTarget(openai.url, SecretStr(GOOD_KEY))
    call = ModelCall("some-model", MESSAGES, Tokens(500))
    for _ in range(2):
        async for _ in dialects.stream(client, supplier, target, call, is_local=False):
            pass
    told = ["detail" in str(one.body["messages"]) for one in openai.calls]
    assert told == [True, False, False]
    assert "store" in openai.calls[-1].body, "what else it takes it is sent"


async def test_anthropics_blocks(client: SupplierClient) -> None:
    async with FakeSupplier("anthropic", strict=False) as fake:
        red, blue = (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": data},
            }
            for data in (RED_BASE64, BLUE_BASE64)
        )
        assert await send(fake, client, "anthropic") == [
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hi."},
            {"role": "user", "content": [red, blue, TEXT]},
        ]
        mark = {"cache_control": {"type": "ephemeral"}}
        kept = PromptCache("c", is_reusable=True)
        sent = await send(fake, client, "anthropic", cache=kept)
        assert sent[-1]["content"] == [red, blue, {**TEXT, **mark}]
        silent = replace(QUESTION, text="")
        sent = await send(fake, client, "anthropic", *MESSAGES[:3], silent, cache=kept)
        assert sent[-1]["content"] == [red, {**blue, **mark}]
        empty = ChatMessage("user", "")
        assert len(await send(fake, client, "anthropic", *MESSAGES, empty)) == 3


async def test_a_picture_may_be_all_of_a_message(
    openai: FakeSupplier, client: SupplierClient
) -> None:
    sent = await send(openai, client, "groq", ChatMessage("user", "", (RED,)))
    assert sent[0]["content"] == [{"type": "image_url", "image_url": {"url": RED_URL}}]


async def test_messages_without_pictures_stay_texts(
    fake: FakeSupplier, client: SupplierClient
) -> None:
    sent = await send(fake, client, fake.wire, *MESSAGES[:3])
    assert all(isinstance(one["content"], str) for one in sent)


def test_pictures_are_in_no_representation() -> None:
    for text in (repr(QUESTION), repr(ModelCall("m", MESSAGES, Tokens(1)))):
        assert "red" not in text.lower()
        assert RED_BASE64 not in text
