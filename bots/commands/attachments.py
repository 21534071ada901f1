"""What came with a question: read where there is a reader for it, named where there is none.

Whatever turns pictures, documents or other files into words for a model is a reader: it goes into
`READERS`, and everything else follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from bots.chat.attachments import (
    TEXT_BYTES_MAX,
    AttachmentKind,
    QuotedText,
    SentAttachment,
    decode_text,
    is_text_file,
)
from bots.chat.audio import DownloadFailed
from bots.chat.reply import Phrase, plain, say, say_count
from bots.commands.errors import (
    SecretSent,
    TextFileNotFetched,
    TextFileTooLarge,
    TextFileUnreadable,
)
from bots.commands.text import join_phrases
from bots.render.secret_scan import find_first_secret
from core.asks.types import QuestionSource
from core.text import repair_text

#: What Discord's app makes of a paste that is too long for a message: it is the message.
_PASTED_FILE: Final = "message.txt"
_NAME_CHARS_MAX: Final = 60


class AttachmentReader(Protocol):
    """A reader turns attachments of some kind into words that a model can be asked about."""

    def can_read(self, attachment: SentAttachment) -> bool:
        """Whether it is of a kind that this one reads; nothing is fetched for it."""
        ...

    async def read(self, attachment: SentAttachment) -> str:
        """Its words; raises a `Refusal` that says why there are none."""
        ...


class TextFileReader:
    """The reader of text files: source, Markdown, tables, what was pasted."""

    def can_read(self, attachment: SentAttachment) -> bool:
        """See `AttachmentReader`."""
        return attachment.fetch is not None and is_text_file(attachment)

    async def read(self, attachment: SentAttachment) -> str:
        """See `AttachmentReader`; raises `TextFileTooLarge`, `TextFileNotFetched` and
        `TextFileUnreadable`."""
        name = shorten_name(attachment.name) or _PASTED_FILE
        assert attachment.fetch is not None
        if attachment.size > TEXT_BYTES_MAX:
            raise TextFileTooLarge(name)
        try:
            content = await attachment.fetch()
        except DownloadFailed:
            raise TextFileNotFetched(name) from None
        if len(content) > TEXT_BYTES_MAX:
            raise TextFileTooLarge(name)
        text = decode_text(content)
        if text is None:
            raise TextFileUnreadable(name)
        return repair_text(text).strip()


READERS: Final[tuple[AttachmentReader, ...]] = (TextFileReader(),)


@dataclass(frozen=True, slots=True)
class ComposedQuestion:
    """A question with all that goes along, as it is asked, and what went along."""

    text: str
    sources: tuple[QuestionSource, ...] = ()


def list_unreadable(attachments: Sequence[SentAttachment]) -> list[SentAttachment]:
    """What there is no reader for."""
    return [one for one in attachments if _find_reader(one) is None]


async def compose_question(
    text: str, quotes: Sequence[QuotedText], attachments: Sequence[SentAttachment]
) -> ComposedQuestion:
    """The words with what was quoted before them, and what is read of attachments after them.
    Raises `SecretSent` where something of that looks like a key, and what readers raise."""
    before = [_mark_quote(one.text) for one in quotes if one.kind != "forward"]
    after = [one.text for one in quotes if one.kind == "forward"]
    sources = [QuestionSource(one.kind) for one in quotes]
    read: list[tuple[str, str]] = []
    for attachment in attachments:
        reader = _find_reader(attachment)
        if reader is not None:
            read.append((shorten_name(attachment.name), await reader.read(attachment)))
    sources += [QuestionSource("file", name or _PASTED_FILE) for name, _ in read]
    for name, words in read:
        is_pasted = name in {"", _PASTED_FILE}
        after.append(words if is_pasted or not words else f"{name}:\n{words}")
    gone_along = "\n".join((*(one.text for one in quotes), *(words for _, words in read)))
    secret = await find_first_secret(gone_along)
    if secret is not None:
        in_files = [await find_first_secret(words) for _, words in read]
        raise SecretSent(secret.kind, is_own_message=any(in_files))
    composed = "\n\n".join(filter(None, (*before, text, *after)))
    return ComposedQuestion(composed, tuple(sources))


def _find_reader(attachment: SentAttachment) -> AttachmentReader | None:
    return next((one for one in READERS if one.can_read(attachment)), None)


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
