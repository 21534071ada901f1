"""Files and pictures as people send them with a question, without a platform between."""

from __future__ import annotations

import itertools
import json
from typing import Any, Final

from bots.chat.attachments import AttachmentKind, SentAttachment
from core import ids
from core.asks.types import FileText, Question, SentFile, SentPicture
from core.attachments.types import SMALL_SIDE_MAX, Picture, PictureSize
from core.pricing.catalogue import Model
from tests.peers.supplier_pictures import build_jpeg
from tests.support import brief
from tests.support.service import Service

_NUMBERS: Final = itertools.count(1)


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


def read_picture(width: int = 64, height: int = 48) -> SentPicture:
    """A picture as the reading process gives it, without that process: as large as it goes to
    models, and smaller."""
    longest = max(width, height, SMALL_SIDE_MAX)
    small = (max(1, side * SMALL_SIDE_MAX // longest) for side in (width, height))
    name = f"photo.jpg, {width} × {height}"
    return SentPicture(name, _make_picture(width, height), _make_picture(*small))


def read_document(text: str, name: str = "a.pdf") -> FileText:
    """The words of a document, likewise."""
    return FileText(name, f"{name}:\n{text}")


def _make_picture(width: int, height: int) -> Picture:
    return Picture(build_jpeg(width, height), PictureSize(width, height))


async def make_question(
    someone: Service,
    *files: SentFile,
    text: str = "why?",
    place: str = "",
    model: Model = brief.GPT_4,
    is_privileged: bool = False,
) -> Question:
    """A question with these files, as it is asked of the core."""
    number = next(_NUMBERS)
    return Question(
        id=ids.derive_id("ask", someone.clock.now_ms(), f"files/{number}"),
        person=await someone.person(),
        place=place or f"telegram:{someone.sender}:",
        asked_in=str(number),
        text="\n\n".join((text, *(one.mark for one in files))),
        model=model,
        files=files,
        is_privileged=is_privileged,
    )
