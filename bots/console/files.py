"""Files of a terminal's user: those whose paths they type, and those that they are handed."""

from __future__ import annotations

import asyncio
import io
import os
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from bots.chat.attachments import SentAttachment, is_picture_file, is_readable_file
from bots.chat.audio import AudioAttachment, DownloadFailed, make_supplier_filename
from bots.chat.types import Attachment

#: Files of one name that are kept beside each other.
_COPIES_MAX: Final = 1_000


def save_attachment(attachment: Attachment, folder: Path) -> Path:
    """Writes a file for its user alone, beside older ones of the same name."""
    name = Path(attachment.name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(_COPIES_MAX):
        path = folder / (f"{name.stem}-{number}{name.suffix}" if number else name.name)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(attachment.content)
        return path
    raise FileExistsError(attachment.name)


def find_audio_file(line: str) -> AudioAttachment | None:
    """The file that a line names, as typed or as a terminal writes one that is dropped on it."""
    word, rest = _split_first_word(line)
    if rest or make_supplier_filename(word, "") is None or (found := _find_file(word)) is None:
        return None
    path, size = found
    return AudioAttachment(None, size, "", path.name, _make_fetch(path))


def find_attachments(line: str) -> tuple[str, tuple[SentAttachment, ...]]:
    """The words of a line, and the pictures, text files and documents whose paths are its first
    words."""
    attachments: list[SentAttachment] = []
    word, rest = _split_first_word(line)
    while (attachment := _make_attachment(word)) is not None:
        attachments.append(attachment)
        line = rest
        word, rest = _split_first_word(line)
    return line, tuple(attachments)


def _make_attachment(word: str) -> SentAttachment | None:
    """The picture or the file whose path this is; None where there is none that can be read."""
    found = _find_file(word)
    if found is None:
        return None
    path, size = found
    file = SentAttachment("file", path.name, size=size, fetch=_make_fetch(path))
    if is_picture_file(path.name, ""):
        return replace(file, kind="picture")
    return file if is_readable_file(file) else None


def _find_file(word: str) -> tuple[Path, int] | None:
    """A file by its path, perhaps with an `@` before it as other programs want one, and its size
    in bytes."""
    for written in (word, word.removeprefix("@")):
        path = Path(written).expanduser()
        if (size := _find_size(path)) is not None:
            return path, size
    return None


def _split_first_word(line: str) -> tuple[str, str]:
    """As a shell splits it; empty where it can't be split."""
    stream = io.StringIO(line)
    words = shlex.shlex(stream, posix=True)
    words.whitespace_split, words.commenters = True, ""
    try:
        return words.get_token() or "", stream.read().strip()
    except ValueError:
        return "", ""


def _find_size(path: Path) -> int | None:
    """Bytes; None where there is no such file."""
    try:
        return path.stat().st_size if path.is_file() else None
    except (OSError, ValueError):  # a name that is too long, a folder that may not be read
        return None


def _make_fetch(path: Path) -> Callable[[], Awaitable[bytes]]:
    async def fetch() -> bytes:
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise DownloadFailed from None

    return fetch
