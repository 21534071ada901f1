"""Questions that wait for a tap: what a button keeps of one, sealed for the person whose it is.

Whichever of a card's buttons is pressed, and however often: the question has one id, that of its
message, so it is asked once.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from cachetools import TTLCache

from bots.chat.callbacks import ButtonExpired
from bots.chat.command import Request
from bots.chat.reply import Choice, Phrase
from bots.commands.errors import TooManyOffers
from core.asks.file_repository import FILE_KEPT_SECONDS
from core.asks.types import (
    FilePart,
    FileText,
    Question,
    QuestionSource,
    SentFile,
    SentPicture,
)
from core.attachments.types import Picture, PictureSize
from core.money import Credits
from core.pool.vault import DataKey, Unsealable
from core.pricing.catalogue import Model
from core.users.service import Users
from core.users.types import Person

#: So much of one person's files may wait in buttons, by those of the last minutes: three albums of
#: large pictures.
_WAITING_BYTES_MAX: Final = 64 << 20
_WAITING_SECONDS: Final = 600
_PEOPLE_MAX: Final = 10_000

#: The action of the buttons that ask one.
ASK_DRAFT_ACTION = "ask-draft"


@dataclass(frozen=True, slots=True)
class QuestionDraft:
    """A question as it will be asked; `model` is empty for the person's own."""

    ask: str
    text: str
    model: str = ""
    replies_to: str = ""
    sources: tuple[QuestionSource, ...] = ()
    #: The files whose marks end the text.
    files: tuple[SentFile, ...] = ()
    #: The most that it may cost, in Credits, as its button says; 0 where that says no price.
    max_charge: int = 0
    #: What its button decides of contributed keys and the person's pictures; None: nothing.
    shares_files: bool | None = None
    #: By which name the model was asked for; empty where nobody chose it.
    asked_name: str = ""


class QuestionDrafts:
    """Seals questions into buttons and opens them; nothing of them is stored in plain."""

    def __init__(self, users: Users) -> None:
        self._users = users
        #: How many bytes of each person's files lately went into buttons of this process.
        self._waiting: TTLCache[str, int] = TTLCache(_PEOPLE_MAX, ttl=_WAITING_SECONDS)

    async def make_choice(
        self,
        label: Phrase,
        draft: QuestionDraft,
        person: Person,
        *,
        lifetime_seconds: int | None = None,
    ) -> Choice:
        """A button that asks it; raises `TooManyOffers` where too much of a person's files waits
        for a tap already."""
        key = await self._users.get_data_key(person)
        if draft.files:
            # Pictures are megabytes: others don't wait while they are sealed.
            sealed = await asyncio.to_thread(_seal, key, draft)
            self._check_waiting(person, len(sealed))
            lifetime_seconds = lifetime_seconds or FILE_KEPT_SECONDS
        else:
            sealed = _seal(key, draft)
        data = {"ask": draft.ask, "draft": sealed}
        return Choice(label, ASK_DRAFT_ACTION, data, lifetime_seconds=lifetime_seconds)

    def _check_waiting(self, person: Person, coming: int) -> None:
        waiting = self._waiting.get(person.id, 0) + coming
        if waiting > _WAITING_BYTES_MAX:
            raise TooManyOffers
        self._waiting[person.id] = waiting

    async def open_draft(self, request: Request) -> QuestionDraft:
        """The question of a pressed button; raises `ButtonExpired` when it was erased."""
        key = await self._users.get_data_key(request.person)
        sealed = base64.b64decode(str(request.data["draft"]))
        try:
            found = json.loads(key.unseal(_context(str(request.data["ask"])), sealed))
        except Unsealable:
            raise ButtonExpired from None
        sources: Sequence[dict[str, Any]] = found.pop("sources")
        # Buttons of before have none: what they ask has its files' text in its own.
        files: Sequence[dict[str, Any]] = found.pop("files", ())
        return QuestionDraft(
            **found,
            sources=tuple(_parse_source(**one) for one in sources),
            files=tuple(_unpack_file(**one) for one in files),
        )


def make_question(request: Request, draft: QuestionDraft, model: Model) -> Question:
    """The question that a draft becomes where it is asked."""
    return Question(
        id=draft.ask,
        person=request.person,
        place=request.place.code,
        asked_in=request.message,
        text=draft.text,
        model=model,
        replies_to=draft.replies_to,
        way_back=request.way_back,
        is_privileged=request.is_admin,
        sources=draft.sources,
        files=draft.files,
        max_charge=Credits(draft.max_charge) if draft.max_charge else None,
    )


def make_draft(question: Question) -> QuestionDraft:
    """The draft that becomes the question again."""
    return QuestionDraft(
        question.id,
        question.text,
        question.model.id,
        question.replies_to,
        question.sources,
        question.files,
        asked_name=question.retired_name,
    )


def _seal(key: DataKey, draft: QuestionDraft) -> str:
    told = asdict(replace(draft, files=()))
    plain = json.dumps(told | {"files": [_pack_file(file) for file in draft.files]}).encode()
    return base64.b64encode(key.seal(_context(draft.ask), plain)).decode()


def _pack_file(file: SentFile) -> dict[str, Any]:
    if isinstance(file, FileText):
        return {"name": file.name, "text": file.text}
    packed = {"name": file.name, "picture": _pack_picture(file.picture)}
    return packed if file.small is None else packed | {"small": _pack_picture(file.small)}


def _pack_picture(picture: Picture) -> list[Any]:
    return [*picture.size, base64.b64encode(picture.content).decode()]


def _unpack_file(
    name: str,
    text: str = "",
    picture: list[Any] | None = None,
    small: list[Any] | None = None,
) -> SentFile:
    if picture is None:
        return FileText(name, text)
    return SentPicture(
        name, _unpack_picture(*picture), None if small is None else _unpack_picture(*small)
    )


def _unpack_picture(width: int, height: int, content: str) -> Picture:
    return Picture(base64.b64decode(content), PictureSize(width, height))


def _parse_source(part: dict[str, int] | None = None, **told: Any) -> QuestionSource:
    return QuestionSource(**told, part=None if part is None else FilePart(**part))


def _context(ask: str) -> str:
    return f"draft/{ask}/question"
