"""The texts of files that people asked about: sealed, apart from the questions, for a day.

A question keeps a mark in the place of each (`[contract.pdf, 12 pages]`); what is sent to a model
has the text there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from core import ids
from core.asks.types import FileText, Question
from core.db import schema
from core.db.writes import Companion, Delete, Insert
from core.ledger.ledger import Ledger
from core.money import Tokens
from core.pool.vault import DataKey, Unsealable

#: The text of a file is kept so long.
FILE_KEPT_SECONDS: Final = 86_400
#: So many are kept of a person; those of the oldest question go first, all at once.
FILES_KEPT_MAX: Final = 10

_EXPIRED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file's text as it is kept, for export."""

    at: int
    until: int
    name: str
    text: str


class FileTexts:
    """Keeps the texts of files, and gives them back while they are kept."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def fill_marks(self, question: Question, data_key: DataKey) -> Question:
        """A question that has its marks from an earlier one, with the texts that belong there; or
        that is told to have none any more."""
        files = await self.load(question.files_of, data_key)
        return replace(question, files=files, are_files_gone=not files)

    async def load(self, ask: str, data_key: DataKey) -> tuple[FileText, ...]:
        """The files that came with an ask; none where they aren't kept any more."""
        table = schema.attachment
        rows = await self._db.fetch(
            sa.select(table)
            .where(table.c.ask == ask, table.c.expires_at > self._clock.now_ms())
            .order_by(table.c.id)
        )
        found = [_unseal(row, data_key) for row in rows]
        return tuple(one for one in found if one is not None)

    async def plan_writes(
        self, question: Question, conversation: str, tokens: Tokens, data_key: DataKey
    ) -> tuple[Companion, ...]:
        """The rows of a question's files, which are so many tokens together, and the end of the
        oldest ones that make room for them."""
        files = tuple(_share_tokens(question.files, tokens))
        now = self._clock.now_ms()
        inserts = [
            Insert(
                schema.attachment,
                {
                    "id": (id_ := _make_id(question.id, number)),
                    "person": question.person.id,
                    "ask": question.id,
                    "conversation": conversation,
                    "kind": "text",
                    "name": data_key.seal(_context(id_, "name"), file.name.encode()),
                    "content": data_key.seal(_context(id_, "content"), file.text.encode()),
                    "tokens": file.tokens.units,
                    "created_at": now,
                    "expires_at": now + FILE_KEPT_SECONDS * 1000,
                },
            )
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
        found = [(row, _unseal(row, data_key)) for row in rows]
        return [
            KeptFile(row.created_at, row.expires_at, file.name, file.text)
            for row, file in found
            if file is not None
        ]

    async def delete_expired(self) -> None:
        """A job: forgets the texts that were kept long enough."""
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
    """The texts of people's files, without them."""
    return Delete(schema.attachment, {"person": person_ids})


def _share_tokens(files: Sequence[FileText], tokens: Tokens) -> Iterator[FileText]:
    """Files with their tokens, of which it is known how many they are together."""
    chars = sum(len(file.text) for file in files)
    for file in files:
        yield replace(file, tokens=tokens.share_up(len(file.text), chars))


def _unseal(row: sa.Row[Any], data_key: DataKey) -> FileText | None:
    """None where it was erased."""
    try:
        name = data_key.unseal(_context(row.id, "name"), row.name).decode()
        text = data_key.unseal(_context(row.id, "content"), row.content).decode()
    except Unsealable:
        return None
    return FileText(name, text, Tokens(row.tokens))


def _make_id(ask: str, number: int) -> str:
    """Ids of one ask's files sort in their order."""
    return ids.derive_id("att", ids.time_of_id(ask) + number, ask)


def _context(attachment: str, part: str) -> str:
    return f"attachment/{attachment}/{part}"
