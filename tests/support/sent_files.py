"""Files and pictures as people send them with a question, without a platform between."""

from __future__ import annotations

import json
from typing import Any

from bots.chat.attachments import AttachmentKind, SentAttachment
from tests.support.service import Service


def sent_picture(content: bytes, name: str = "") -> SentAttachment:
    """A picture; without a name a photo."""
    return _sent("picture", content, name)


def sent_document(content: bytes, name: str = "a.pdf") -> SentAttachment:
    """A file whose words are read."""
    return _sent("file", content, name)


def _sent(kind: AttachmentKind, content: bytes, name: str) -> SentAttachment:
    async def fetch() -> bytes:
        return content

    return SentAttachment(kind, name, size=len(content), fetch=fetch)


async def decide_whose_keys(someone: Service, *, shares: bool | None) -> None:
    """As the buttons before somebody's first picture do; None: they were never asked."""
    users = someone.app.services.users.users
    await users.update_settings(await someone.person(), shares_files=shares)


def count_sent_pictures(body: dict[str, Any]) -> list[int]:
    """How many pictures each of a person's messages had in a call of the OpenAI wire."""
    return [
        json.dumps(message["content"]).count('"image_url": {')
        for message in body["messages"]
        if message["role"] == "user"
    ]
