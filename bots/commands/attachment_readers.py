"""The readers of what comes with a question: documents and pictures, each read in a process of its
own but for plain text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from bots.chat.attachments import SentAttachment, is_readable_file
from bots.chat.audio import DownloadFailed
from bots.commands.errors import FileNotFetched, FileNotRead, FileTooLarge
from core.asks.types import FilePart
from core.attachments.plain_text import decode_text
from core.attachments.reader import FileReader
from core.attachments.types import (
    FILE_BYTES_MAX,
    PICTURES_MAX,
    TEXT_CHARS_MAX,
    FileProblem,
    FileUnreadable,
    PageReading,
    PictureReading,
    is_document,
    is_pdf,
)
from core.text import repair_text

#: What Discord's app makes of a paste that is too long for a message: it is the message.
PASTED_FILE: Final = "message.txt"
#: What a picture without a name is called where it must be: platforms make such of photos.
_UNNAMED_PICTURE: Final = "photo.jpg"
_NAME_CHARS_MAX: Final = 60
#: So many larger files are in memory at once; others wait before they are fetched.
_LARGE_AT_ONCE_MAX: Final = 8
_SMALL_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ReadAttachment:
    """What a reader made of an attachment: its words, and which part of it they are, or
    pictures."""

    words: str = ""
    part: FilePart | None = None
    #: The words of its first pages, where there are many.
    beginning: str = ""
    pages: int = 0
    #: A picture, or a document's pages as pictures.
    pictures: tuple[PictureReading, ...] = ()
    #: Makes pictures of its first pages; raises `FileUnreadable`. None where it has no pages.
    read_pages: Callable[[], Awaitable[PageReading]] | None = None


class AttachmentReader(Protocol):
    """A reader turns attachments of some kind into what a model can be asked about."""

    def can_read(self, attachment: SentAttachment) -> bool:
        """Whether it is of a kind that this one reads; nothing is fetched for it."""
        ...

    async def read(self, attachment: SentAttachment) -> ReadAttachment:
        """What is in it; raises a `Refusal` that says why there is nothing."""
        ...


class BoundedDownloads:
    """Fetches files of bounded size, few large ones at once."""

    def __init__(self) -> None:
        self._large_turns = asyncio.Semaphore(_LARGE_AT_ONCE_MAX)

    def wait_for_turn(self, attachment: SentAttachment) -> AbstractAsyncContextManager[object]:
        """Entered before a file is fetched, and left when it was read."""
        is_small = 0 < attachment.size <= _SMALL_BYTES
        return nullcontext() if is_small else self._large_turns

    async def fetch(self, name: str, attachment: SentAttachment) -> bytes:
        """Raises `FileTooLarge` and `FileNotFetched`."""
        assert attachment.fetch is not None
        if attachment.size > FILE_BYTES_MAX:
            raise FileTooLarge(name)
        try:
            content = await attachment.fetch()
        except DownloadFailed:
            raise FileNotFetched(name) from None
        if len(content) > FILE_BYTES_MAX:
            raise FileTooLarge(name)
        return content


class PictureReader:
    """The reader of pictures makes of each what models get."""

    def __init__(self, file_reader: FileReader, downloads: BoundedDownloads) -> None:
        self._file_reader, self._downloads = file_reader, downloads

    def can_read(self, attachment: SentAttachment) -> bool:
        """See `AttachmentReader`."""
        return attachment.fetch is not None and attachment.kind == "picture"

    async def read(self, attachment: SentAttachment) -> ReadAttachment:
        """See `AttachmentReader`; raises `FileTooLarge`, `FileNotFetched` and `FileNotRead`."""
        name = shorten_name(attachment.name) or _UNNAMED_PICTURE
        async with self._downloads.wait_for_turn(attachment):
            content = await self._downloads.fetch(name, attachment)
            try:
                picture = await self._file_reader.read_picture(content)
            except FileUnreadable as unreadable:
                raise FileNotRead(name, unreadable.problem) from None
        return ReadAttachment(pictures=(picture,))


class DocumentReader:
    """The reader of text files and documents: source, Markdown, tables, what was pasted, PDF, Word,
    Excel."""

    def __init__(self, file_reader: FileReader, downloads: BoundedDownloads) -> None:
        self._file_reader, self._downloads = file_reader, downloads

    def can_read(self, attachment: SentAttachment) -> bool:
        """See `AttachmentReader`."""
        return attachment.fetch is not None and is_readable_file(attachment)

    async def read(self, attachment: SentAttachment) -> ReadAttachment:
        """See `AttachmentReader`; raises `FileTooLarge`, `FileNotFetched` and `FileNotRead`."""
        name = shorten_name(attachment.name) or PASTED_FILE
        async with self._downloads.wait_for_turn(attachment):
            return await self._read(name, await self._downloads.fetch(name, attachment))

    async def _read(self, name: str, content: bytes) -> ReadAttachment:
        # Nothing is parsed for plain text: it needs no process of its own, unless it is so long
        # that everybody else would wait for it.
        is_plain = len(content) <= TEXT_CHARS_MAX and not is_document(content)
        text = decode_text(content) if is_plain else None
        if text is not None:
            return ReadAttachment(repair_text(text).strip())
        read_pages = None
        if is_pdf(content):
            read_pages = partial(self._file_reader.read_pages, content, PICTURES_MAX)
        try:
            document = await self._file_reader.read_document(content)
        except FileUnreadable as unreadable:
            if unreadable.problem is FileProblem.SCANNED:
                return ReadAttachment(read_pages=read_pages)
            raise FileNotRead(name, unreadable.problem) from None
        part = FilePart(document.pages_read, document.pages) if document.is_cut else None
        beginning = document.text[: document.beginning_chars]
        return ReadAttachment(
            repair_text(document.text).strip(),
            part,
            repair_text(beginning).strip(),
            document.pages,
            read_pages=read_pages,
        )


def shorten_name(name: str) -> str:
    """A file's name on one line, of bounded length."""
    return " ".join(repair_text(name).split())[:_NAME_CHARS_MAX]
