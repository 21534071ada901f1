"""What came with a question: read where there is a reader for it, named where there is none.

Whatever turns attachments of some kind into words for a model is a reader: `QuestionComposer` has
them, and everything else follows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Final, Protocol

from bots.chat.attachments import (
    AttachmentKind,
    QuotedText,
    SentAttachment,
    is_readable_file,
)
from bots.chat.audio import DownloadFailed
from bots.chat.reply import Phrase, plain, say, say_count
from bots.commands.errors import FileNotFetched, FileNotRead, FileTooLarge, SecretSent
from bots.commands.text import join_phrases
from bots.render.secret_scan import find_first_secret
from core.asks.file_texts import FILES_KEPT_MAX
from core.asks.types import FilePart, FileText, QuestionSource
from core.attachments.plain_text import decode_text
from core.attachments.reader import FileReader
from core.attachments.types import (
    BEGINNING_PAGES,
    FILE_BYTES_MAX,
    TEXT_CHARS_MAX,
    FileUnreadable,
    is_document,
)
from core.text import repair_text

#: What Discord's app makes of a paste that is too long for a message: it is the message.
_PASTED_FILE: Final = "message.txt"
_NAME_CHARS_MAX: Final = 60
#: So many larger files are in memory at once; others wait before they are fetched.
_LARGE_AT_ONCE_MAX: Final = 8
_SMALL_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ReadAttachment:
    """What a reader made of an attachment: its words, and which part of it they are."""

    words: str
    part: FilePart | None = None
    #: The words of its first pages, where there are many.
    beginning: str = ""
    pages: int = 0


class AttachmentReader(Protocol):
    """A reader turns attachments of some kind into words that a model can be asked about."""

    def can_read(self, attachment: SentAttachment) -> bool:
        """Whether it is of a kind that this one reads; nothing is fetched for it."""
        ...

    async def read(self, attachment: SentAttachment) -> ReadAttachment:
        """Its words; raises a `Refusal` that says why there are none."""
        ...


class DocumentReader:
    """The reader of text files and documents: source, Markdown, tables, what was pasted, PDF, Word,
    Excel."""

    def __init__(self, file_reader: FileReader) -> None:
        self._file_reader = file_reader
        self._large_turns = asyncio.Semaphore(_LARGE_AT_ONCE_MAX)

    def can_read(self, attachment: SentAttachment) -> bool:
        """See `AttachmentReader`."""
        return attachment.fetch is not None and is_readable_file(attachment)

    async def read(self, attachment: SentAttachment) -> ReadAttachment:
        """See `AttachmentReader`; raises `FileTooLarge`, `FileNotFetched` and `FileNotRead`."""
        name = shorten_name(attachment.name) or _PASTED_FILE
        if attachment.size > FILE_BYTES_MAX:
            raise FileTooLarge(name)
        is_small = 0 < attachment.size <= _SMALL_BYTES
        async with nullcontext() if is_small else self._large_turns:
            return await self._read(name, attachment)

    async def _read(self, name: str, attachment: SentAttachment) -> ReadAttachment:
        assert attachment.fetch is not None
        try:
            content = await attachment.fetch()
        except DownloadFailed:
            raise FileNotFetched(name) from None
        if len(content) > FILE_BYTES_MAX:
            raise FileTooLarge(name)
        # Nothing is parsed for plain text: it needs no process of its own, unless it is so long
        # that everybody else would wait for it.
        is_plain = len(content) <= TEXT_CHARS_MAX and not is_document(content)
        text = decode_text(content) if is_plain else None
        if text is not None:
            return ReadAttachment(repair_text(text).strip())
        try:
            document = await self._file_reader.read_document(content)
        except FileUnreadable as unreadable:
            raise FileNotRead(name, unreadable.problem) from None
        part = FilePart(document.pages_read, document.pages) if document.is_cut else None
        beginning = document.text[: document.beginning_chars]
        return ReadAttachment(
            repair_text(document.text).strip(),
            part,
            repair_text(beginning).strip(),
            document.pages,
        )


@dataclass(frozen=True, slots=True)
class ComposedQuestion:
    """A question with all that goes along, as it is asked, and what went along."""

    text: str
    sources: tuple[QuestionSource, ...] = ()
    #: The files whose marks end the text.
    file_texts: tuple[FileText, ...] = ()
    #: Whether anything of it was written or quoted: else it is a file alone.
    has_words: bool = True
    #: The same with the first pages alone of each long document; None where none is long.
    shorter: ComposedQuestion | None = None

    @property
    def files(self) -> tuple[QuestionSource, ...]:
        """The files that went along, but for a paste, which is the message itself."""
        return tuple(one for one in self.sources if one.kind == "file" and one.name != _PASTED_FILE)

    def add_words(self, words: str) -> ComposedQuestion:
        """The same with words of ours before it, where its sender wrote none."""
        shorter = None if self.shorter is None else self.shorter.add_words(words)
        return replace(self, text=f"{words}\n\n{self.text}", shorter=shorter)


class QuestionComposer:
    """Composes a question of its words and what came with them, by a reader for each kind."""

    def __init__(self, file_reader: FileReader) -> None:
        self._readers: tuple[AttachmentReader, ...] = (DocumentReader(file_reader),)

    def list_unreadable(self, attachments: Sequence[SentAttachment]) -> list[SentAttachment]:
        """What there is no reader for."""
        return [one for one in attachments if self._find_reader(one) is None]

    async def compose_question(
        self, text: str, quotes: Sequence[QuotedText], attachments: Sequence[SentAttachment]
    ) -> ComposedQuestion:
        """The words with what was quoted before them, and what is read of attachments after them.
        Raises `SecretSent` where something of that looks like a key, and what readers raise."""
        read: list[tuple[str, ReadAttachment]] = []
        for attachment in attachments:
            if (reader := self._find_reader(attachment)) is not None:
                name = shorten_name(attachment.name) or _PASTED_FILE
                read.append((name, await reader.read(attachment)))
        in_files = [found.words for _, found in read]
        secret = await find_first_secret("\n".join((*(one.text for one in quotes), *in_files)))
        if secret is not None:
            is_in_file = [await find_first_secret(words) for words in in_files]
            raise SecretSent(secret.kind, is_own_message=any(is_in_file))
        composed = _join(text, quotes, read)
        if not any(found.beginning for _, found in read):
            return composed
        shorter = [(name, _take_beginning(found)) for name, found in read]
        return replace(composed, shorter=_join(text, quotes, shorter))

    def _find_reader(self, attachment: SentAttachment) -> AttachmentReader | None:
        return next((one for one in self._readers if one.can_read(attachment)), None)


def _take_beginning(found: ReadAttachment) -> ReadAttachment:
    if not found.beginning:
        return found
    return ReadAttachment(found.beginning, FilePart(BEGINNING_PAGES, found.pages))


def _join(
    text: str, quotes: Sequence[QuotedText], read: Sequence[tuple[str, ReadAttachment]]
) -> ComposedQuestion:
    before = [_mark_quote(one.text) for one in quotes if one.kind != "forward"]
    after = [one.text for one in quotes if one.kind == "forward"]
    sources = [QuestionSource(one.kind) for one in quotes]
    file_texts: list[FileText] = []
    for name, found in read:
        sources.append(QuestionSource("file", name, found.part))
        if not found.words or name == _PASTED_FILE:  # it is the message
            after.append(found.words)
            continue
        file_texts.append(FileText(_describe_part(name, found), f"{name}:\n{found.words}"))
    # Those that would crowd each other out are a part of the words.
    kept, others = file_texts[:FILES_KEPT_MAX], file_texts[FILES_KEPT_MAX:]
    after += [*(one.text for one in others), *(one.mark for one in kept)]
    composed = "\n\n".join(filter(None, (*before, text, *after)))
    has_words = bool(text or quotes)
    return ComposedQuestion(composed, tuple(sources), tuple(kept), has_words=has_words)


def _describe_part(name: str, found: ReadAttachment) -> str:
    """A file by its name and how much of it was read, as models read it in any language."""
    part = found.part
    if part is None:
        pages = f"{found.pages} pages" if found.pages > 1 else ""
        return ", ".join(filter(None, (name, pages)))
    if not part.pages:
        return f"{name}, its beginning"
    return f"{name}, the first {part.pages_read} of {part.pages} pages"


def _mark_quote(text: str) -> str:
    """As Markdown marks a quotation: models know whose words are which."""
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines())


def shorten_name(name: str) -> str:
    """A file's name on one line, of bounded length."""
    return " ".join(repair_text(name).split())[:_NAME_CHARS_MAX]


_UNNAMED: Final[dict[AttachmentKind, Phrase]] = {
    "animation": say("an animation"),
    "audio": say("a recording in another message"),
    "checklist": say("a checklist"),
    "contact": say("a contact"),
    "dice": say("dice"),
    "file": say("a file"),
    "hidden": say("the message that you replied to (copy its words into yours)"),
    "location": say("a location"),
    "other": say("a message of that kind"),
    "picture": say("a picture"),
    "poll": say("a poll"),
    "sticker": say("a sticker"),
    "story": say("a story"),
    "video": say("a video"),
}
#: So many are named one by one.
_NAMED_MAX: Final = 4


def describe_attachments(attachments: Sequence[SentAttachment]) -> Phrase:
    """Each by its kind and its file's name: `a picture, the file “contract.pdf”`."""
    counts = Counter(_describe(one).text for one in attachments if not one.name)
    phrases: list[Phrase] = []
    for attachment in attachments:
        phrase = _describe(attachment)
        if attachment.name or phrase not in phrases:
            phrases.append(phrase)
    pictures = counts[_UNNAMED["picture"].text]
    if pictures > 1:
        many = say_count("{count} picture", "{count} pictures", pictures)
        phrases = [many if one == _UNNAMED["picture"] else one for one in phrases]
    if len(phrases) > _NAMED_MAX:
        phrases = [*phrases[:_NAMED_MAX], plain("…")]
    return join_phrases(phrases)


def _describe(attachment: SentAttachment) -> Phrase:
    name = shorten_name(attachment.name)
    if not name:
        return _UNNAMED[attachment.kind]
    match attachment.kind:
        case "picture":
            return say("the picture “{name}”", name=name)
        case "video":
            return say("the video “{name}”", name=name)
        case "audio":
            return say("the recording “{name}”", name=name)
        case _:
            return say("the file “{name}”", name=name)
