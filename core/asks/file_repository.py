"""The texts of files and the pictures that people asked about: sealed, apart from the questions,
for a day.

A question keeps a mark in the place of each (`[contract.pdf, 12 pages]`); what is sent to a model
has the text there, or the picture beside it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from core import ids
from core.asks.types import FileText, Question, SentFile, SentPicture
from core.attachments.types import Picture, PictureSize
from core.db import schema
from core.db.writes import Companion, Delete, Insert
from core.ledger.ledger import Ledger
from core.money import Tokens
from core.pool.vault import DataKey, Unsealable

#: What is read of a file is kept so long.
FILE_KEPT_SECONDS: Final = 86_400
#: So many are kept of a person; those of the oldest question go first, all at once.
FILES_KEPT_MAX: Final = 10

_EXPIRED_AT_ONCE: Final = 500
#: In front of a kept picture's bytes: its sides in pixels.
_SIDES: Final = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file's text, or a picture, as it is kept, for export."""

    at: int
    until: int
    name: str
    text: str = ""
    #: A JPEG; empty for a text.
    picture: bytes = field(default=b"", repr=False)


class FileRepository:
    """Keeps the texts of files and pictures, and gives them back while they are kept."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def fill_marks(self, question: Question, data_key: DataKey) -> Question:
        """A question that has its marks from an earlier one, with the files that belong there; or
        that is told to have none any more."""
        found = await self.load_files((question.files_of,), data_key)
        files = found.get(question.files_of, ())
        return replace(question, files=files, are_files_gone=not files)

    async def load_files(
        self, asks: Iterable[str], data_key: DataKey, *, smaller: bool = False
    ) -> dict[str, tuple[SentFile, ...]]:
        """The files that came with asks, by ask; none where they aren't kept any more. With
        `smaller`, pictures are only as they go with later questions."""
        table = schema.attachment
        content: sa.ColumnElement[Any] = table.c.content
        if smaller:  # the larger ones needn't be read for it
            content = sa.case((table.c.small.is_(None), table.c.content))
        rows = await self._db.fetch(
            sa.select(
                *(table.c[name] for name in ("id", "ask", "kind", "name", "tokens", "small")),
                content.label("content"),
            )
            .where(table.c.ask.in_(tuple(asks)), table.c.expires_at > self._clock.now_ms())
            .order_by(table.c.ask, table.c.id)
        )
        found: dict[str, tuple[SentFile, ...]] = {}
        for row in rows:
            file = _unseal(row, data_key)
            if file is not None:
                found[row.ask] = (*found.get(row.ask, ()), file)
        return found

    async def plan_writes(
        self, question: Question, conversation: str, tokens: Tokens, data_key: DataKey
    ) -> tuple[Companion, ...]:
        """The rows of a question's files, whose texts are so many tokens together, and the end of
        the oldest ones that make room for them."""
        files = tuple(_share_tokens(question.files, tokens))
        now = self._clock.now_ms()
        common = {
            "person": question.person.id,
            "ask": question.id,
            "conversation": conversation,
            "created_at": now,
            "expires_at": now + FILE_KEPT_SECONDS * 1000,
        }
        inserts = [
            Insert(schema.attachment, common | _seal(_make_id(question.id, number), file, data_key))
            for number, file in enumerate(files)
        ]
        crowded_out = await self._find_crowded_out(question.person.id, len(files))
        deletes = (Delete(schema.attachment, {"ask": crowded_out}),) if crowded_out else ()
        return (*deletes, *inserts)

    async def list_kept(self, person: str, data_key: DataKey) -> list[KeptFile]:
        """What is kept of a person, the oldest first."""
        table = schema.attachment
        rows = await self._db.fetch(
            sa.select(table)
            .where(table.c.person == person, table.c.expires_at > self._clock.now_ms())
            .order_by(table.c.id)
        )
        kept = []
        for row in rows:
            file = _unseal(row, data_key)
            if isinstance(file, FileText):
                kept.append(KeptFile(row.created_at, row.expires_at, file.name, file.text))
            elif file is not None:
                jpeg = file.picture.content
                kept.append(KeptFile(row.created_at, row.expires_at, file.name, picture=jpeg))
        return kept

    async def delete_expired(self) -> None:
        """A job: forgets what was kept long enough."""
        table = schema.attachment
        rows = await self._db.fetch(
            sa.select(table.c.id)
            .where(table.c.expires_at <= self._clock.now_ms())
            .limit(_EXPIRED_AT_ONCE)
        )
        if rows:
            await self._ledger.record(Delete(table, {"id": tuple(row.id for row in rows)}))

    async def _find_crowded_out(self, person: str, coming: int) -> tuple[str, ...]:
        """The oldest asks whose files go, so that there is room for so many more."""
        table = schema.attachment
        rows = await self._db.fetch(
            sa.select(table.c.ask)
            .where(table.c.person == person)
            .order_by(table.c.created_at.desc(), table.c.ask.desc())
        )
        count, crowded_out = coming, []
        for ask, of_ask in groupby(row.ask for row in rows):
            count += len(list(of_ask))
            if count > FILES_KEPT_MAX:
                crowded_out.append(ask)
        return tuple(crowded_out)


def build_file_erasure(person_ids: tuple[str, ...]) -> Delete:
    """What is kept of people's files, without it."""
    return Delete(schema.attachment, {"person": person_ids})


def _share_tokens(files: Sequence[SentFile], tokens: Tokens) -> Iterator[SentFile]:
    """Files with their tokens, where it is known how many those of texts are together."""
    chars = sum(len(file.text) for file in files if isinstance(file, FileText))
    for file in files:
        if isinstance(file, FileText):
            yield replace(file, tokens=tokens.share_up(len(file.text), chars))
        else:
            yield file


def _seal(id_: str, file: SentFile, data_key: DataKey) -> dict[str, object]:
    """The columns of a file's row that are its own."""
    small, tokens = None, 0
    if isinstance(file, FileText):
        kind, content, tokens = "text", file.text.encode(), file.tokens.units
    else:
        kind, content = "picture", _pack(file.picture)
        if file.small is not None and file.small != file.picture:
            small = data_key.seal(_context(id_, "small"), _pack(file.small))
    return {
        "id": id_,
        "kind": kind,
        "name": data_key.seal(_context(id_, "name"), file.name.encode()),
        "content": data_key.seal(_context(id_, "content"), content),
        "small": small,
        "tokens": tokens,
    }


def _unseal(row: sa.Row[Any], data_key: DataKey) -> SentFile | None:
    """None where it was erased."""
    sealed = {"content": row.content, "small": row.small}
    try:
        name = data_key.unseal(_context(row.id, "name"), row.name).decode()
        contents = [
            data_key.unseal(_context(row.id, part), value)
            for part, value in sealed.items()
            if value is not None
        ]
    except Unsealable:
        return None
    if row.kind == "text":
        return FileText(name, contents[0].decode(), Tokens(row.tokens))
    return SentPicture(name, *map(_unpack, contents))


def _pack(picture: Picture) -> bytes:
    return _SIDES.pack(*picture.size) + picture.content


def _unpack(content: bytes) -> Picture:
    size = PictureSize(*_SIDES.unpack_from(content))
    return Picture(content[_SIDES.size :], size)


def _make_id(ask: str, number: int) -> str:
    """Ids of one ask's files sort in their order."""
    return ids.derive_id("att", ids.time_of_id(ask) + number, ask)


def _context(attachment: str, part: str) -> str:
    return f"attachment/{attachment}/{part}"
