"""The sandbox looks at pictures in the forms of both wires, and bills them by the rules of the
catalogue, of which the numbers here are."""

from __future__ import annotations

import base64
import io
import json
from contextlib import aclosing
from typing import Any

import pytest
from PIL import Image

from bots.sandbox import answers
from bots.sandbox.supplier import SandboxSupplier
from core.pool.providers import http
from core.pricing.catalogue import Catalogue
from core.pricing.token_counter import count_message_tokens

CATALOGUE = Catalogue.load()
CLAUDE = next(
    route.model
    for model in CATALOGUE.models.values()
    for route in model.routes
    if route.provider == "anthropic"
)
MISTRAL = next(
    route.model
    for model in CATALOGUE.models.values()
    for route in model.routes
    if route.provider == "mistral" and model.per == "token"
)


def picture(width: int, height: int, *colours: str, kind: str = "JPEG") -> str:
    """A picture of vertical stripes, in base64."""
    image = Image.new("RGB", (width, height))
    stripe = width // len(colours)
    for number, colour in enumerate(colours):
        image.paste(colour, (number * stripe, 0, width, height))
    content = io.BytesIO()
    image.save(content, kind)
    return base64.b64encode(content.getvalue()).decode()


def part(data: str, media_type: str = "image/jpeg", **more: str) -> dict[str, Any]:
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{media_type};base64,{data}", **more},
    }


def block(data: str, media_type: str = "image/jpeg") -> dict[str, Any]:
    source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def user(*parts: object) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


class Sandbox:
    """Asks a sandbox with messages as they stand on the wire."""

    def __init__(self, client: http.SupplierClient, base: str) -> None:
        self._client, self._base = client, base

    async def send(
        self, *messages: object, supplier: str = "openai", model: str = "gpt-6.1-sol"
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {SandboxSupplier.DEMO_KEY}"}
        url = f"{self._base}/{supplier}/v1/chat/completions"
        body = {"model": model, "messages": list(messages)}
        sent = await self._client.send("POST", url, body=json.dumps(body).encode(), headers=headers)
        async with aclosing(sent) as answer:
            return answer.status, json.loads(await http.read_body(answer))

    async def ask(self, *messages: object, **whom: str) -> tuple[str, int]:
        """The answer and the tokens of the prompt."""
        status, said = await self.send(*messages, **whom)
        assert status == 200, said
        return said["choices"][0]["message"]["content"], said["usage"]["prompt_tokens"]


@pytest.fixture
def sandbox(client: http.SupplierClient, base: str) -> Sandbox:
    return Sandbox(client, base)


async def count(model: str, *texts: str) -> int:
    found = next(
        one for one in CATALOGUE.models.values() for route in one.routes if route.model == model
    )
    return (await count_message_tokens(found, texts)).units


async def test_it_tells_size_and_colours_and_that_it_understands_nothing(sandbox: Sandbox) -> None:
    shown = part(picture(1_568, 1_045, "blue", "blue", "white"), detail="high")
    text, tokens = await sandbox.ask(user(shown, words("what is on it?")))
    assert "a picture of 1,568 × 1,045 pixels, mostly blue and white" in text
    assert "the sandbox and don't really understand pictures" in text
    assert text.endswith(answers.NOTES["en"])
    # 49 by 33 patches of 32 pixels, each 2.46 tokens.
    assert tokens == await count("gpt-6.1-sol", "what is on it?") + 3_978


async def test_several_are_told_one_by_one_in_the_language_of_the_question(
    sandbox: Sandbox,
) -> None:
    red, green = (
        part(picture(40, 30, "red")),
        part(picture(30, 40, "green", kind="PNG"), "image/png"),
    )
    text, tokens = await sandbox.ask(user(red, green, words("有什么不同？")))
    assert "我看到 2 张图片" in text
    assert "1. 一张 40 × 30 像素的图片，主要是红色\n" in text
    assert "2. 一张 30 × 40 像素的图片，主要是绿色\n" in text
    assert "我是沙盒，并不真正理解图片" in text
    assert tokens == await count("gpt-6.1-sol", "有什么不同？") + 2 * 5
    # A picture alone is a question, too.
    text, _ = await sandbox.ask(user(red))
    assert "I see **a picture of 40 × 30 pixels, mostly red**." in text


async def test_blocks_are_read_and_counted_by_squares_of_28_pixels(sandbox: Sandbox) -> None:
    shown = block(picture(1_568, 1_045, "black", "yellow"))
    claude = {"supplier": "anthropic", "model": CLAUDE}
    text, tokens = await sandbox.ask(user(shown, words("what is it?")), **claude)
    assert "1,568 × 1,045 pixels, mostly" in text
    assert {"black", "yellow"} <= set(text.replace("*", "").replace(".", "").split())
    assert tokens == await count(CLAUDE, "what is it?") + 56 * 38


async def test_mistral_takes_an_address_without_an_object_around_it(sandbox: Sandbox) -> None:
    bare = {"type": "image_url", "image_url": part(picture(9, 9, "white"))["image_url"]["url"]}
    mistral = {"supplier": "mistral", "model": MISTRAL}
    text, tokens = await sandbox.ask(user(bare), **mistral)
    assert "9 × 9 pixels, mostly white" in text
    assert tokens == await count(MISTRAL, "") + 2  # a patch, and the end of its row
    assert (await sandbox.send(user(bare)))[0] == 400


async def test_earlier_pictures_count_and_are_named_as_in_view(sandbox: Sandbox) -> None:
    before = user(part(picture(600, 20, "orange")), words("what is this?"))
    heard = {"role": "assistant", "content": [words("A picture.")]}
    told = {"role": "user", "content": "why is the sky blue?"}
    text, tokens = await sandbox.ask(before, heard, told)
    assert "scatter" in text
    assert "still have in view: a picture of 600 × 20 pixels, mostly orange." in text
    texts = ("what is this?", "A picture.", "why is the sky blue?")
    assert tokens == await count("gpt-6.1-sol", *texts) + 47
    # Where the last question has its own, the answer speaks of that one alone.
    text, tokens = await sandbox.ask(before, heard, user(part(picture(8, 8, "purple"))))
    assert "8 × 8" in text
    assert "600" not in text
    assert tokens == await count("gpt-6.1-sol", *texts[:2], "") + 47 + 3


async def test_a_file_and_a_picture_are_both_told_of(sandbox: Sandbox) -> None:
    asked = "compare them\n\nplan.pdf:\nWe begin on Monday.\nThen we rest."
    text, _ = await sandbox.ask(user(part(picture(50, 50, "grey")), words(asked)))
    assert "50 × 50 pixels, mostly grey" in text
    assert "I read **plan.pdf**: 33 characters. It begins:\n\n> We begin on Monday." in text


async def test_lists_of_texts_are_texts(sandbox: Sandbox) -> None:
    text, tokens = await sandbox.ask(user(words("why is"), words("the sky blue?")))
    assert "pixels" not in text
    assert tokens == await count("gpt-6.1-sol", "why is\nthe sky blue?")


GOOD = picture(20, 20, "red")


@pytest.mark.parametrize(
    "message",
    [
        user({"type": "picture", "text": "x"}),
        user({"type": "text", "text": None}),
        user("hi"),
        user(),
        user(block(GOOD)),
        user({"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}}),
        user({"type": "image_url", "image_url": f"data:image/jpeg;base64,{GOOD}"}),
        user({"type": "image_url"}),
        user(part(GOOD, detail="sharp")),
        user(part(GOOD, quality="high")),
        user(part(GOOD, "image/webp")),
        user(part(GOOD, "image/png")),
        user(part("/9j/" + GOOD[4:40])),
        user(part("no base64")),
        {"role": "assistant", "content": [part(GOOD)]},
    ],
)
async def test_what_a_real_supplier_refuses_is_refused(sandbox: Sandbox, message: object) -> None:
    status, said = await sandbox.send(message)
    assert status == 400
    assert said["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "bad",
    [
        block(GOOD, "image/png"),
        block(GOOD, "image/gif"),
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
        {"type": "image"},
        {"type": "document", "source": {}},
    ],
)
async def test_blocks_that_are_no_pictures_are_refused(sandbox: Sandbox, bad: object) -> None:
    status, _ = await sandbox.send(user(bad), supplier="anthropic", model=CLAUDE)
    assert status == 400


@pytest.mark.parametrize(
    ("supplier", "model", "pictures"),
    [("groq", "openai/gpt-oss-120b", 1), ("mistral", "codestral-2508", 1), ("mistral", MISTRAL, 9)],
)
async def test_models_that_dont_see_so_many_refuse_them(
    sandbox: Sandbox, supplier: str, model: str, pictures: int
) -> None:
    asked = {"supplier": supplier, "model": model}
    assert (await sandbox.send(user(words("why?")), **asked))[0] == 200
    shown = [part(GOOD)] * pictures
    status, said = await sandbox.send(user(*shown, words("why?")), **asked)
    assert status == 400
    assert "takes no pictures, or fewer" in said["error"]["message"]


async def test_a_call_with_many_large_pictures_is_taken(sandbox: Sandbox) -> None:
    # Bytes after a JPEG's end are no part of it.
    large = base64.b64encode(base64.b64decode(GOOD) + bytes(2 << 20)).decode()
    text, _ = await sandbox.ask(user(*(part(large) for _ in range(8)), words("which is best?")))
    assert "I see 8 pictures" in text
    assert (await sandbox.send(user(words("x" * (33 << 20)))))[0] == 413
