"""Pictures that people send arrive as such, and can be fetched."""

from __future__ import annotations

from typing import Any

import pytest

from bots.chat.types import IncomingMessage
from bots.telegram.adapter import TelegramAdapter
from tests.bots.telegram.scripted import ScriptedFront
from tests.peers.telegram import FakeTelegram, User


def size_of(fake: FakeTelegram, content: bytes, side: int) -> dict[str, Any]:
    """A picture in one of its sizes."""
    file = f"photo{len(fake.files)}"
    fake.files[file] = content
    return {
        "file_id": file,
        "file_unique_id": file,
        "file_size": len(content),
        "width": side,
        "height": side,
    }


def photo_of(fake: FakeTelegram, content: bytes) -> list[dict[str, Any]]:
    # The largest isn't promised to be the last.
    return [
        size_of(fake, b"small", 90),
        size_of(fake, content, 1_280),
        size_of(fake, b"middle", 320),
    ]


async def handled(fake: FakeTelegram, front: ScriptedFront, count: int = 1) -> IncomingMessage:
    await fake.wait_for(lambda: len(front.handled) == count)
    return front.handled[-1]


async def fetch_all(incoming: IncomingMessage) -> list[bytes]:
    fetches = [one.fetch for one in incoming.attachments]
    return [await fetch() for fetch in fetches if fetch is not None]


@pytest.fixture
def ann(fake: FakeTelegram) -> User:
    return fake.user(7)


async def test_of_a_photo_the_largest_size_is_taken(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter, ann: User
) -> None:
    fake.says(ann, "", caption="what is it?", photo=photo_of(fake, b"large"))
    incoming = await handled(fake, front)
    (picture,) = incoming.attachments
    assert (incoming.text, picture.kind, picture.size) == ("what is it?", "picture", 5)
    assert await fetch_all(incoming) == [b"large"]


async def test_an_album_of_ten_is_one_message(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter, ann: User
) -> None:
    contents = [f"photo {number}".encode() for number in range(10)]
    for number, content in enumerate(contents):
        caption = {"caption": "which is best?"} if number == 0 else {}
        fake.says(ann, "", photo=photo_of(fake, content), media_group_id="9", **caption)
    incoming = await handled(fake, front)
    assert incoming.text == "which is best?"
    assert [one.kind for one in incoming.attachments] == ["picture"] * 10
    assert await fetch_all(incoming) == contents
    # One that comes when that was passed on asks nothing by itself.
    fake.says(ann, "", photo=photo_of(fake, b"late"), media_group_id="9")
    incoming = await handled(fake, front, 2)
    assert (incoming.is_late, await fetch_all(incoming)) == (True, [b"late"])


@pytest.mark.parametrize(
    ("mime", "name", "kind"),
    [
        ("image/png", "a.png", "picture"),
        ("image/heic", "a.heic", "picture"),
        ("image/tiff", "a.tiff", "picture"),
        ("image/jpeg", "", "picture"),
        (None, "a.jpg", "picture"),
        ("image/svg+xml", "a.svg", "file"),
        ("application/pdf", "a.png", "file"),
    ],
)
async def test_a_picture_that_is_sent_as_a_file_is_a_picture(
    fake: FakeTelegram,
    front: ScriptedFront,
    telegram: TelegramAdapter,
    ann: User,
    mime: str | None,
    name: str,
    kind: str,
) -> None:
    about = {"file_name": name} | ({} if mime is None else {"mime_type": mime})
    fake.sends(ann, "document", b"bytes", caption="why?", **about)
    incoming = await handled(fake, front)
    (attached,) = incoming.attachments
    assert (attached.kind, attached.name, attached.size) == (kind, name, 5)
    assert await fetch_all(incoming) == [b"bytes"]


async def test_stickers_and_animations_are_what_they_were(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter, ann: User
) -> None:
    sticker = {**size_of(fake, b"x", 512), "type": "regular"}
    fake.says(ann, "", sticker={**sticker, "is_animated": False, "is_video": False})
    assert [one.kind for one in (await handled(fake, front)).attachments] == ["sticker"]
    moving = {**size_of(fake, b"moving", 320), "duration": 2, "mime_type": "image/gif"}
    fake.says(ann, "", animation=moving, document=moving)
    incoming = await handled(fake, front, 2)
    assert [one.kind for one in incoming.attachments] == ["animation"]


async def test_a_reply_to_a_photo_brings_it(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter, ann: User
) -> None:
    fake.says(ann, "", photo=photo_of(fake, b"large"))
    await handled(fake, front)
    before = fake.chat(7).messages[0]
    replied = {
        "message_id": before.id,
        "date": 1,
        "chat": {"id": 7, "type": "private"},
        "from": ann.as_json(),
        "caption": "my cat",
        "photo": photo_of(fake, b"the cat"),
    }
    fake.says(ann, "how old is it?", reply_to_message=replied)
    incoming = await handled(fake, front, 2)
    (picture,) = incoming.attachments
    assert (picture.kind, picture.is_from_reply) == ("picture", True)
    assert [one.text for one in incoming.quotes] == ["my cat"]
    assert await fetch_all(incoming) == [b"the cat"]
