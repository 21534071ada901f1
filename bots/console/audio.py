"""What can be heard in the console: an audio file whose path is the whole line."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

from bots.chat.audio import name_for_suppliers
from bots.chat.types import Audio, NotFetched


def audio_at(line: str) -> Audio | None:
    """The file that a line names, as typed or as a terminal writes one that is dropped on it."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    if len(words) != 1 or name_for_suppliers(words[0], "") is None:
        return None
    path = Path(words[0]).expanduser()

    async def fetch() -> bytes:
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise NotFetched from None

    try:
        return Audio(None, path.stat().st_size, "", path.name, fetch) if path.is_file() else None
    except OSError:  # a name that is too long, a folder that may not be read
        return None
