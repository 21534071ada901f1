"""Fake suppliers take pictures as the real ones do, count them, and refuse them in their words."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from core.attachments.types import Picture, PictureSize
from core.money import Tokens
from core.pool.providers import faults
from core.pool.providers.http import SupplierClient
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Fault,
    Finish,
    ModelCall,
    SupplierFault,
)
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue, Route
from tests.core.pool.world import CHEAP, INPUT, LIMIT, LUNA, World
from tests.peers import supplier_pictures, supplier_wires
from tests.peers.supplier_pictures import build_jpeg, find_refusal
from tests.peers.suppliers import ACCOUNT, GOOD_KEY, FakeSupplier, Refuse

SIZES = (PictureSize(1_568, 1_176), PictureSize(320, 1_000), PictureSize(1, 1))
PICTURES = tuple(Picture(build_jpeg(*one), one) for one in SIZES)
MESSAGES = (ChatMessage("system", "Be kind."), ChatMessage("user", "What do you see?", PICTURES))
#: What fakes count of the texts.
WORDS = 6

SEEING = [
    route for model in Catalogue.load().models.values() for route in model.routes if route.pictures
]


@pytest.mark.parametrize("route", SEEING, ids=lambda one: f"{one.provider}:{one.model}")
async def test_every_route_that_sees_is_answered_and_billed_within_its_bound(
    client: SupplierClient, route: Route
) -> None:
    supplier = SUPPLIERS[route.provider]
    async with FakeSupplier(supplier.wire, plays=route.provider) as fake:
        adapter = replace(supplier, base_url=fake.url).create_adapter(client)
        target = CallTarget(fake.url, SecretStr(GOOD_KEY), ACCOUNT)
        call = ModelCall(route.model, MESSAGES, Tokens(500))
        events = [event async for event in adapter.stream(target, call)]
        bound = route.count_pictures(SIZES)
        assert bound is not None
        billed = fake.count_prompt(fake.calls[0].body)
        assert WORDS < billed <= WORDS + bound.units
        finish = events[-1]
        assert isinstance(finish, Finish)
        if supplier.dialect.asks_usage:
            assert finish.usage is not None
            assert finish.usage.input == Tokens(billed)


async def test_a_model_that_the_product_calls_blind_is_one(client: SupplierClient) -> None:
    routes = [
        route
        for model in Catalogue.load().chat_models
        for route in model.routes
        if not route.pictures
    ]
    for route in routes:
        async with FakeSupplier(SUPPLIERS[route.provider].wire, plays=route.provider) as fake:
            body = {"model": route.model, **openai_body(url(build_jpeg(9, 9)))}
            refused = fake._refused(GOOD_KEY, {**body, "max_tokens": 9}, 99)
            assert refused is not None, route
            assert refused.status in {400, 404}


def url(content: bytes, kind: str = "jpeg") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def openai_body(*urls: str, **more: Any) -> dict[str, Any]:
    parts = [{"type": "image_url", "image_url": {"url": one, **more}} for one in urls]
    content = [*parts, {"type": "text", "text": "What?"}]
    return {"model": "m", "messages": [{"role": "user", "content": content}]}


def anthropic_body(*contents: bytes, kind: str = "jpeg") -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {
            "type": "image",
            "source": {
                "type": "base64",
                "media_type": f"image/{kind}",
                "data": base64.b64encode(one).decode(),
            },
        }
        for one in contents
    ]
    return {"model": "m", "messages": [{"role": "user", "content": parts}]}


def refuse(plays: str, body: dict[str, Any], *, sees: bool = True, size: int = 99) -> Refuse | None:
    wire = plays if plays == "anthropic" else "openai"
    return find_refusal(plays, wire, body, sees=sees, body_bytes=size)


SMALL = build_jpeg(64, 48)
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x40\x00\x00\x00\x30\x08\x02\x00\x00\x00"
GIF = b"GIF89a\x40\x00\x30\x00\x00\x00\x00;"
#: A text in parts, as some clients write all of them.
TEXT_PARTS = {
    "model": "m",
    "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
}


@pytest.mark.parametrize(
    ("plays", "body", "words"),
    [
        ("openai", lambda: openai_body("https://example.com/a.jpg"), "Failed to download"),
        ("openai", lambda: openai_body("http://example.com/a.jpg"), "Failed to download"),
        ("openai", lambda: openai_body(url(b"no picture")), "unsupported image"),
        ("openai", lambda: openai_body(url(SMALL[:-2])), "unsupported image"),
        ("openai", lambda: openai_body(url(PNG)), "another media type"),
        ("openai", lambda: openai_body(url(SMALL), detail="best"), "Invalid value for 'image_url'"),
        (
            "openai",
            lambda: openai_body(url(SMALL), quality="high"),
            "Invalid value for 'image_url'",
        ),
        ("openai", lambda: openai_body("data:image/jpeg;base64,%%%"), "Invalid base64"),
        ("xai", lambda: openai_body(url(GIF, "gif")), "jpeg or png"),
        (
            "groq",
            lambda: openai_body(url(SMALL), detail="high"),
            "image_url.detail' is unsupported",
        ),
        ("cloudflare", lambda: openai_body(url(SMALL), detail="high"), "detail' is unsupported"),
        ("mistral", lambda: openai_body(url(SMALL), detail="high"), "extra_forbidden"),
        ("mistral", lambda: openai_body(*[url(SMALL)] * 9), "up to 8 images"),
        ("groq", lambda: openai_body(*[url(SMALL)] * 4), "up to 3 images"),
        ("fireworks", lambda: openai_body(*[url(SMALL)] * 31), "Too many images were provided"),
        (
            "openai",
            lambda: openai_body(*[url(build_jpeg(9, 9, 26 << 20))] * 2),
            "Total image size is 54.53MB, which exceeds the allowed limit of 50MB.",
        ),
        (
            "anthropic",
            lambda: anthropic_body(build_jpeg(9, 9, 10 << 20)),
            "image exceeds 10 MB maximum",
        ),
        (
            "anthropic",
            lambda: anthropic_body(build_jpeg(8_001, 9)),
            "max allowed size: 8000 pixels",
        ),
        (
            "anthropic",
            lambda: anthropic_body(*[build_jpeg(2_001, 9)] * 21),
            "max allowed size: 2000",
        ),
        ("anthropic", lambda: anthropic_body(b"no picture"), "Could not process image"),
        ("anthropic", lambda: anthropic_body(SMALL, kind="png"), "another media type"),
        ("anthropic", lambda: openai_body(url(SMALL)), "Input tag 'image_url'"),
        ("openai", lambda: anthropic_body(SMALL), "Invalid value: 'image'"),
    ],
)
def test_what_a_supplier_does_not_take(
    plays: str, body: Callable[[], dict[str, Any]], words: str
) -> None:
    refused = refuse(plays, body())
    assert refused is not None
    assert words in (refused.body or b"").decode() + refused.message
    assert refused.status in {400, 422}


def test_what_a_supplier_takes() -> None:
    assert refuse("openai", openai_body(url(SMALL), detail="high")) is None
    assert refuse("xai", openai_body(url(PNG, "png"))) is None
    assert refuse("openai", openai_body(url(GIF, "gif"))) is None
    assert refuse("groq", openai_body(*[url(SMALL)] * 3)) is None
    assert refuse("anthropic", anthropic_body(SMALL)) is None
    assert refuse("mistral", openai_body(url(SMALL))) is None
    assert refuse("tgi", openai_body("nonsense"), sees=False) is None, "it doesn't look at it"
    assert refuse("openai", TEXT_PARTS, sees=False) is None
    for plays, most in (("anthropic", 32 << 20), ("deepseek", 48 << 20)):
        too_large = refuse(plays, TEXT_PARTS, size=most + 1)
        assert too_large is not None
        assert too_large.status == 413


@pytest.mark.parametrize(
    ("plays", "body", "status", "words"),
    [
        ("openai", openai_body(url(SMALL)), 400, "not allowed for this model"),
        ("deepseek", openai_body(url(SMALL)), 400, "unknown variant `image_url`"),
        ("groq", openai_body(url(SMALL)), 400, "content must be a string"),
        ("groq", TEXT_PARTS, 400, "content must be a string"),
        ("openrouter", openai_body(url(SMALL)), 404, "No endpoints found that support image"),
        ("together", openai_body(url(SMALL)), 400, "Only text input is supported"),
        ("anthropic", anthropic_body(SMALL), 400, "does not support images"),
    ],
)
def test_a_model_that_does_not_see(
    plays: str, body: dict[str, Any], status: int, words: str
) -> None:
    refused = refuse(plays, body, sees=False)
    assert refused is not None
    assert refused.status == status
    assert words in refused.message


def test_sides_are_read_of_the_bytes() -> None:
    for content, found in ((SMALL, "jpeg"), (PNG, "png"), (GIF, "gif")):
        assert supplier_pictures.read_picture(content) == (found, 64, 48)
    large = build_jpeg(1_568, 2, 100_000)
    assert (supplier_pictures.read_picture(large), len(large) > 100_000) == (
        ("jpeg", 1_568, 2),
        True,
    )


@pytest.mark.parametrize("plays", ["", *supplier_pictures.LIMITS, "openrouter", "together"])
@pytest.mark.parametrize("sees", [True, False])
def test_what_is_refused_of_pictures_is_the_questions(plays: str, sees: bool) -> None:
    """All that fakes say of pictures, and no words that nobody knows."""
    if plays == "anthropic":
        bodies = [anthropic_body(SMALL, *[build_jpeg(9_000, 9)] * 601), anthropic_body(b"none")]
    else:
        bodies = [openai_body(*[url(build_jpeg(10_001, 9))] * 32), openai_body(url(b"none"))]
    refusals = [refuse(plays, body, sees=sees) for body in bodies]
    said = [one for one in refusals if one is not None]
    assert said
    for one in said:
        content = one.body or json.dumps(
            supplier_wires.error("anthropic" if plays == "anthropic" else "openai", one)
        )
        told = content if isinstance(content, bytes) else content.encode()
        fault = faults.fault_from_response(one.status, {}, told)
        assert fault.kind is Fault.BAD_REQUEST
        assert fault.code != faults.UNKNOWN_CODE, one.message


@pytest.mark.parametrize(
    "message", ["No endpoints found that support image input", "Not found", "Bild unbekannt"]
)
async def test_a_404_to_pictures_narrows_no_key(world: World, message: str) -> None:
    key = await world.key()
    sees = replace(LUNA, routes=(replace(CHEAP, pictures="gemini-3"),))
    question = (ChatMessage("user", "What?", PICTURES[:1]),)
    candidate = world.pool.choose_candidate(sees, INPUT, LIMIT, pictures=SIZES[:1])
    assert candidate is not None
    for _ in range(3):
        world.openai.script(Refuse(404, message=message))
        world.openai.picture_counts[CHEAP.model] = lambda _width, _height: 1_000
        with pytest.raises(SupplierFault):
            async for _ in world.pool.stream(candidate, question, LIMIT):
                pass
    assert world.pool.choose_candidate(sees, INPUT, LIMIT, pictures=SIZES[:1]) is not None
    assert world.candidate() is not None
    assert (await world.card(key.id)).state == "active"
    world.openai.script(Refuse(404, code="model_not_found", message="no such model"))
    with pytest.raises(SupplierFault):
        async for _ in world.pool.stream(candidate, question, LIMIT):
            pass
    assert world.candidate() is None, "a code is a proof"
