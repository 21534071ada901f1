"""Pictures as canaries, through the unmodified client of Telegram: their bytes, their file's name
and what its metadata says stand nowhere in plain but in calls to models, and in exports."""

from __future__ import annotations

import base64
import json

import pytest

from tests.peers.suppliers import Answer, Drop, Refuse, Script
from tests.support.pictures import make_jpeg
from tests.system import canaries
from tests.system.canaries import Everything, columns, product_logs as logs
from tests.system.world import PATIENCE_S, World

__all__ = ["logs"]

#: In each place that a JPEG has for words.
METADATA = "canary-where-it-was-taken-6c1d"
NAME = "canary-holiday-93ab"
CAPTION = "canary-caption-2f70"
FAULT = "canary-supplier-words-8e55"
#: How a supplier may fail; each quotes what it was sent.
FAILURES: tuple[Script, ...] = (
    Refuse(500, message=f"{FAULT} {NAME}"),
    Drop(),
    Answer(chunks=("An ", "answer"), breaks_after=1),
    Refuse(400, code="content_policy_violation", message=f"{FAULT} {NAME}"),
)
#: Bytes of a picture that are looked for together; three of them are four signs of base64.
_PIECE = 24
_HEAD = 700


def _cut(jpeg: bytes) -> list[bytes]:
    """Pieces from the middle of a picture, plain and as base64 has them."""
    pieces = [jpeg[at : at + _PIECE] for at in range(_HEAD // 3 * 3, len(jpeg) - _PIECE, 300)]
    return [form for one in pieces for form in (one, base64.b64encode(one))]


def _sent_jpegs(world: World) -> list[bytes]:
    urls = [
        part["image_url"]["url"]
        for call in world.openai.calls
        for message in call.body["messages"]
        for part in (message["content"] if isinstance(message["content"], list) else ())
        if part["type"] == "image_url"
    ]
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


async def _wait_for_an_end(world: World, known: dict[int, str]) -> None:
    """Returns when the newest answer has its footer, or what says that nothing was charged."""

    def has_ended() -> bool:
        new = [one for one in world.telegram.chat(7).bot_messages if one.id not in known]
        return any("◈" in one.text or "charged" in one.text for one in new)

    await world.telegram.wait_for(has_ended, PATIENCE_S)


async def _talk(world: World, content: bytes) -> None:
    """All that a picture can lead to: the card before the first one, answers, failures, a card with
    its price, and a picture on a button that nobody presses."""
    telegram, ann = world.telegram, world.telegram.user(7)
    about = {"file_name": f"{NAME}.jpg", "mime_type": "image/jpeg"}
    telegram.sends(ann, "document", content, caption=CAPTION, **about)
    card = await telegram.seen(7, "Whose keys may see your pictures?")
    answer = await world.presses(ann, card, "The operator's keys alone", "Goes along for an hour")
    pool = world.service.app.services.pool.pool
    for number, failure in enumerate(FAILURES):
        world.openai.always(failure)
        known = world._known(7)
        telegram.sends(ann, "document", content, caption=f"{CAPTION} {number}", **about)
        await _wait_for_an_end(world, known)
        for key in await pool.list_keys():
            await pool.resume_key(key.id)
    world.openai.always(Answer("An answer."))
    await world.presses(ann, answer, "Again", "Goes along for an hour")
    telegram.sends(ann, "document", content, **about)
    await telegram.seen(7, "Nothing was asked or charged yet. The prices")


@pytest.fixture
def content() -> bytes:
    """Made before anything is logged: whoever makes it isn't the product."""
    return make_jpeg(1_600, 1_200, corner=(20, 90, 200), canary=METADATA)


async def test_no_picture_is_anywhere_but_where_it_belongs(
    content: bytes, world: World, logs: Everything
) -> None:
    await _talk(world, content)
    jpegs = _sent_jpegs(world)
    assert len(jpegs) > 5
    planted = [METADATA, NAME, CAPTION, FAULT]
    pieces = {form for jpeg in jpegs for form in _cut(jpeg)}
    assert len(pieces) > 10
    assert not any(METADATA.encode() in jpeg for jpeg in jpegs)
    assert not [call for call in world.openai.calls if METADATA in json.dumps(call.body)]
    store = world.service.app.services.base.db
    kept = {name for name, value in await columns(store) if value}
    assert "attachment.content" in kept
    for name, value in await columns(store):
        assert not canaries.found(planted, value), name
        assert not [one for one in pieces if one in value], name
    lines = "\n".join(logs.lines)
    assert logs.lines
    assert not canaries.found(planted, lines)
    assert not [one for one in pieces if one in lines.encode("utf-8", "surrogateescape")]
    told = "".join(one.text for one in world.telegram.chat(7).bot_messages)
    assert METADATA not in told
    assert FAULT not in told
    card = await world.service.screen("/export")
    assert card.attachment is not None
    exported = json.loads(card.attachment.content)["files"]
    assert {base64.b64decode(one["jpeg"]) for one in exported} <= set(jpegs)
    assert METADATA.encode() not in card.attachment.content
