"""Pictures that people send arrive as such, and can be fetched."""

from __future__ import annotations

import pytest

from bots.chat.types import IncomingMessage
from bots.discord.adapter import DiscordAdapter
from tests.bots.discord.scripted import DiscordFront
from tests.peers.discord import FakeDiscord


async def handled(fake: FakeDiscord, front: DiscordFront, count: int = 1) -> IncomingMessage:
    await fake.wait_for(lambda: len(front.handled) == count)
    return front.handled[-1]


async def fetch_all(incoming: IncomingMessage) -> list[bytes]:
    fetches = [one.fetch for one in incoming.attachments]
    return [await fetch() for fetch in fetches if fetch is not None]


@pytest.mark.parametrize(
    ("mime", "name", "kind"),
    [
        ("image/png", "a.png", "picture"),
        ("image/heic", "a.heic", "picture"),
        ("image/tiff", "a.tiff", "picture"),
        ("IMAGE/JPEG; charset=binary", "unnamed", "picture"),
        ("", "a.webp", "picture"),
        ("image/svg+xml", "a.svg", "file"),
        ("application/pdf", "a.png", "file"),
    ],
)
async def test_what_is_a_picture_is_told_by_its_media_type(
    fake: FakeDiscord,
    front: DiscordFront,
    discord: DiscordAdapter,
    mime: str,
    name: str,
    kind: str,
) -> None:
    fake.sends(fake.user(7), b"bytes", name=name, mime=mime, text="why?")
    incoming = await handled(fake, front)
    (attached,) = incoming.attachments
    assert (incoming.text, attached.kind, attached.name, attached.size) == ("why?", kind, name, 5)
    assert await fetch_all(incoming) == [b"bytes"]


async def test_several_of_one_message_are_all_there(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann, names = fake.user(7), [f"{number}.png" for number in range(10)]
    told = [fake.attachment_json(name.encode(), name=name, mime="image/png") for name in names]
    fake.says(ann, "which is best?", attachments=told)
    incoming = await handled(fake, front)
    assert [one.kind for one in incoming.attachments] == ["picture"] * 10
    assert await fetch_all(incoming) == [name.encode() for name in names]


async def test_a_reply_to_a_picture_brings_it(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    before = fake.says(ann, "my cat")
    await handled(fake, front)
    told = fake.attachment_json(b"the cat", name="cat.gif", mime="image/gif")
    replied = fake.message_json(before) | {"attachments": [told]}
    reply_of = {"message_id": str(before.id), "channel_id": str(before.channel)}
    fake.says(
        ann, "how old is it?", type=19, message_reference=reply_of, referenced_message=replied
    )
    incoming = await handled(fake, front, 2)
    (picture,) = incoming.attachments
    assert (picture.kind, picture.is_from_reply) == ("picture", True)
    assert await fetch_all(incoming) == [b"the cat"]
