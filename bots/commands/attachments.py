"""What came with a question: read where there is a reader for it, named where there is none.

Whatever turns attachments of some kind into words or pictures for a model is a reader:
`QuestionComposer` has them, and everything else follows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from bots.chat.attachments import AttachmentKind, QuotedText, SentAttachment
from bots.chat.reply import Phrase, plain, say
from bots.commands.attachment_readers import (
    PASTED_FILE,
    AttachmentReader,
    BoundedDownloads,
    DocumentReader,
    PictureReader,
    ReadAttachment,
    shorten_name,
)
from bots.commands.errors import FileNotRead, SecretSent, TooManyPictures
from bots.commands.text import join_phrases
from bots.render.secret_scan import find_first_secret
from core.asks.file_repository import FILES_KEPT_MAX
from core.asks.types import (
    FilePart,
    FileText,
    QuestionSource,
    SentFile,
    SentPicture,
    list_pictures,
)
from core.attachments.reader import FileReader
from core.attachments.types import (
    BEGINNING_PAGES,
    PICTURES_MAX,
    FileProblem,
    FileUnreadable,
    PictureSize,
)


@dataclass(frozen=True, slots=True)
class ComposedQuestion:
    """A question with all that goes along, as it is asked, and what went along."""

    text: str
    sources: tuple[QuestionSource, ...] = ()
    #: The files whose marks end the text.
    sent_files: tuple[SentFile, ...] = ()
    #: Whether anything of it was written or quoted: else it is a file alone.
    has_words: bool = True
    #: The same with the first pages alone of each long document; None where none is long.
    shorter: ComposedQuestion | None = None
    #: Gives the same with the first pages of its document as pictures; raises `FileNotRead`. None
    #: where it has no such document, or several.
    compose_pages: Callable[[], Awaitable[ComposedQuestion]] | None = None
    #: Whether its document has no words: only pictures of its pages can be asked about.
    is_scanned: bool = False

    @property
    def files(self) -> tuple[QuestionSource, ...]:
        """The files that went along, but for a paste, which is the message itself."""
        return tuple(one for one in self.sources if one.kind == "file" and one.name != PASTED_FILE)

    @property
    def pictures(self) -> tuple[PictureSize, ...]:
        """The sizes of its pictures."""
        return tuple(one.size for one in list_pictures(self.sent_files))

    def add_words(self, words: str) -> ComposedQuestion:
        """The same with words of ours before it, where its sender wrote none."""
        shorter = None if self.shorter is None else self.shorter.add_words(words)
        return replace(self, text=f"{words}\n\n{self.text}", shorter=shorter)


class QuestionComposer:
    """Composes a question of its words and what came with them, by a reader for each kind."""

    def __init__(self, file_reader: FileReader) -> None:
        downloads = BoundedDownloads()
        self._readers: tuple[AttachmentReader, ...] = (
            PictureReader(file_reader, downloads),
            DocumentReader(file_reader, downloads),
        )

    def list_unreadable(self, attachments: Sequence[SentAttachment]) -> list[SentAttachment]:
        """What there is no reader for."""
        return [one for one in attachments if self._find_reader(one) is None]

    async def compose_question(
        self, text: str, quotes: Sequence[QuotedText], attachments: Sequence[SentAttachment]
    ) -> ComposedQuestion:
        """The words with what was quoted before them, and what is read of attachments after them.
        Raises `SecretSent` where something of that looks like a key, `TooManyPictures`, and what
        readers raise."""
        pictures = sum(one.kind == "picture" for one in attachments)
        if pictures > PICTURES_MAX:
            raise TooManyPictures(pictures)
        read: list[tuple[str, ReadAttachment]] = []
        for attachment in attachments:
            if (reader := self._find_reader(attachment)) is not None:
                found = await reader.read(attachment)
                name = shorten_name(attachment.name)
                read.append((name or ("" if found.pictures else PASTED_FILE), found))
        in_files = [found.words for _, found in read]
        secret = await find_first_secret("\n".join((*(one.text for one in quotes), *in_files)))
        if secret is not None:
            is_in_file = [await find_first_secret(words) for words in in_files]
            raise SecretSent(secret.kind, is_own_message=any(is_in_file))
        composed = _join(text, quotes, read)
        scanned = [name for name, found in read if not found.words and found.read_pages]
        if scanned and len(read) > 1:
            raise FileNotRead(scanned[0], FileProblem.SCANNED)
        if len(read) == 1 and read[0][1].read_pages is not None:
            composed = replace(
                composed,
                compose_pages=partial(_compose_pages, text, quotes, *read[0]),
                is_scanned=bool(scanned),
            )
        if not any(found.beginning for _, found in read):
            return composed
        shorter = [(name, _take_beginning(found)) for name, found in read]
        return replace(composed, shorter=_join(text, quotes, shorter))

    def _find_reader(self, attachment: SentAttachment) -> AttachmentReader | None:
        return next((one for one in self._readers if one.can_read(attachment)), None)


async def _compose_pages(
    text: str, quotes: Sequence[QuotedText], name: str, found: ReadAttachment
) -> ComposedQuestion:
    assert found.read_pages is not None
    try:
        read = await found.read_pages()
    except FileUnreadable as unreadable:
        raise FileNotRead(name, unreadable.problem) from None
    count = len(read.pictures)
    part = FilePart(count, read.pages) if count < read.pages else None
    pages = ReadAttachment(part=part, pages=read.pages, pictures=read.pictures)
    return _join(text, quotes, [(name, pages)])


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
    sent_files: list[SentFile] = []
    for name, found in read:
        kind: Literal["file", "picture"] = "file" if name else "picture"
        sources.append(QuestionSource(kind, name, found.part))
        if found.pictures:
            sent_files += _name_pictures(name, found)
        elif not found.words or name == PASTED_FILE:  # it is the message
            after.append(found.words)
        else:
            sent_files.append(FileText(_describe_part(name, found), f"{name}:\n{found.words}"))
    sent_files.sort(key=lambda one: isinstance(one, FileText))
    # Texts that would be crowded out are a part of the words.
    kept, others = sent_files[:FILES_KEPT_MAX], sent_files[FILES_KEPT_MAX:]
    after += [one.text for one in others if isinstance(one, FileText)]
    after += [one.mark for one in kept]
    composed = "\n\n".join(filter(None, (*before, text, *after)))
    has_words = bool(text or quotes)
    return ComposedQuestion(composed, tuple(sources), tuple(kept), has_words=has_words)


def _name_pictures(name: str, found: ReadAttachment) -> list[SentFile]:
    """Pictures by name, page and size, as models read it in any language."""
    is_paged = found.pages > 0
    named: list[SentFile] = []
    for number, reading in enumerate(found.pictures, 1):
        size = f"{reading.whole.size.width} × {reading.whole.size.height}"
        page = f"page {number}" if is_paged else ""
        parts = (name or "picture", page, size)
        named.append(SentPicture(", ".join(filter(None, parts)), reading.whole, reading.small))
    return named


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
    phrases: list[Phrase] = []
    for attachment in attachments:
        phrase = _describe(attachment)
        if attachment.name or phrase not in phrases:
            phrases.append(phrase)
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
