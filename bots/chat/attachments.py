"""What comes with a message beside its words: files, pictures, stickers, quotes.

Adapters say what kind it is and how its bytes are had; what is done with it is decided in
`bots.commands.attachments`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final, Literal

from bots.chat.audio import AUDIO_BYTES_MAX
from core.attachments.types import FILE_BYTES_MAX

AttachmentKind = Literal[
    "animation",
    "audio",
    "checklist",
    "contact",
    "dice",
    "file",
    "hidden",
    "location",
    "other",
    "picture",
    "poll",
    "sticker",
    "story",
    "video",
]


@dataclass(frozen=True, slots=True)
class SentAttachment:
    """Something that was sent with a message, or with the message that it replies to, as the
    platform describes it. `hidden`: there is something that the platform doesn't show."""

    kind: AttachmentKind
    #: As its sender called it; may be empty.
    name: str = ""
    mime: str = ""
    #: Bytes; 0 where the platform tells no size.
    size: int = 0
    #: Gives the bytes, as `read_bounded` does; raises `DownloadFailed`. None for what is no file.
    fetch: Callable[[], Awaitable[bytes]] | None = field(default=None, repr=False, compare=False)
    #: Whether it belongs to the message that was replied to.
    is_from_reply: bool = False


@dataclass(frozen=True, slots=True)
class QuotedText:
    """Somebody's words that a message is about: the whole message that it replies to, the part of
    it that was quoted, or a message that was forwarded with it."""

    kind: Literal["reply", "quote", "forward"]
    text: str


#: What is taken of any file; who takes less looks at its length.
DOWNLOAD_BYTES_MAX: Final = max(FILE_BYTES_MAX, AUDIO_BYTES_MAX)
#: A whole file takes no longer than this, however slowly it comes.
DOWNLOAD_SECONDS: Final = 60.0
#: What is packed could unpack to more than is taken.
DOWNLOAD_HEADERS: Final = {"Accept-Encoding": "identity"}


async def read_bounded(chunks: AsyncIterable[bytes]) -> bytes:
    """A download, or of one that is longer than is taken its beginning, one byte too long. How long
    it is is known only now: what platforms say of it before is what somebody told them."""
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > DOWNLOAD_BYTES_MAX:
            return bytes(content[: DOWNLOAD_BYTES_MAX + 1])
    return bytes(content)


_SVG_MIME: Final = "image/svg+xml"
_TEXT_MIMES: Final = {
    *("application/json", "application/xml", "application/yaml", "application/x-yaml"),
    *("application/toml", "application/sql", "application/x-sh", "application/javascript"),
    *("application/x-python", "application/x-httpd-php", "application/x-tex", "application/csv"),
    _SVG_MIME,
}
#: Formats whose media type says text, but that nobody reads as such.
_FORMATTED_MIMES: Final = {"text/rtf", "text/richtext"}
# fmt: off
_TEXT_ENDINGS: Final = frozenset({
    "asm", "bash", "bat", "bib", "c", "cc", "cfg", "clj", "cmake", "conf", "cpp", "cs",
    "css", "csv", "cu", "cxx", "dart", "diff", "dockerfile", "env", "erl", "ex", "exs",
    "f90", "fish", "go", "gradle", "graphql", "groovy", "h", "hpp", "hs", "htm", "html",
    "ini", "ipynb", "java", "jl", "js", "json", "jsonl", "jsx", "kt", "kts", "less", "lisp",
    "log", "lua", "m", "make", "markdown", "md", "mjs", "ml", "nim", "patch", "php", "pl",
    "po", "proto", "ps1", "py", "pyi", "r", "rb", "rs", "rst", "sass", "scala", "scss", "sh",
    "sol", "sql", "srt", "svelte", "svg", "swift", "tex", "text", "tf", "toml", "ts", "tsv", "tsx",
    "txt", "v", "vb", "vhdl", "vtt", "vue", "xml", "yaml", "yml", "zig", "zsh",
})
# fmt: on


_OPEN_XML: Final = "application/vnd.openxmlformats-officedocument"
#: Each with macros and as a template, too: https://www.iana.org/assignments/media-types
_DOCUMENT_MIMES: Final = {
    "application/pdf",
    *(f"{_OPEN_XML}.wordprocessingml.{kind}" for kind in ("document", "template")),
    *(f"{_OPEN_XML}.spreadsheetml.{kind}" for kind in ("sheet", "template")),
    *(f"application/vnd.ms-word.{kind}.macroenabled.12" for kind in ("document", "template")),
    *(f"application/vnd.ms-excel.{kind}.macroenabled.12" for kind in ("sheet", "template")),
}
_DOCUMENT_ENDINGS: Final = {"pdf", "docx", "docm", "dotx", "dotm", "xlsx", "xlsm", "xltx", "xltm"}


#: Of pictures whose media type nobody told; which formats are seen is found out by their content.
_PICTURE_ENDINGS: Final = {"gif", "jpeg", "jpg", "png", "webp"}


def is_picture_file(name: str, mime: str) -> bool:
    """Whether a file seems to be a picture, by its media type or, where it has none, the ending of
    its name. An SVG is text."""
    kind = _normalize_mime(mime)
    if kind:
        return kind.startswith("image/") and kind != _SVG_MIME
    return PurePath(name.lower()).suffix.removeprefix(".") in _PICTURE_ENDINGS


def _normalize_mime(mime: str) -> str:
    return mime.partition(";")[0].strip().lower()


def is_readable_file(attachment: SentAttachment) -> bool:
    """Whether a file seems to be text or a document, by its media type or the ending of its
    name."""
    if attachment.kind != "file":
        return False
    mime = _normalize_mime(attachment.mime)
    if mime in _FORMATTED_MIMES:
        return False
    name = PurePath(attachment.name.lower())
    ending = name.suffix.removeprefix(".") or name.name.removeprefix(".")
    is_text = mime.startswith("text/") or mime in _TEXT_MIMES or ending in _TEXT_ENDINGS
    return is_text or mime in _DOCUMENT_MIMES or ending in _DOCUMENT_ENDINGS
