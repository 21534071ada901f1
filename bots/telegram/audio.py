"""What can be heard in Telegram's messages: voice, audio, round video notes, audio documents."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Final

from telegram import Audio as AudioFile
from telegram import Document, Message, VideoNote, Voice
from telegram.error import TelegramError

from bots.chat.types import Audio, NotFetched

_DOWNLOAD_SECONDS: Final = 60.0


def audio_of(message: Message) -> Audio | None:
    """The audio that a message carries."""
    if (voice := message.voice) is not None:
        return _audio(voice, voice.duration, voice.mime_type or "audio/ogg")
    if (note := message.video_note) is not None:
        return _audio(note, note.duration, "video/mp4")
    if (song := message.audio) is not None:
        return _audio(song, song.duration, song.mime_type or "", song.file_name or "")
    document = message.document
    if document is not None and (document.mime_type or "").startswith("audio/"):
        return _audio(document, None, document.mime_type or "", document.file_name or "")
    return None


def _audio(
    file: Voice | VideoNote | AudioFile | Document,
    duration: int | timedelta | None,
    mime: str,
    name: str = "",
) -> Audio:
    async def fetch() -> bytes:
        try:
            found = await file.get_file()
            return bytes(await found.download_as_bytearray(read_timeout=_DOWNLOAD_SECONDS))
        except TelegramError:
            # Its message may quote the file's address, which holds the token.
            raise NotFetched from None

    if isinstance(duration, timedelta):
        duration = math.ceil(duration.total_seconds())
    return Audio(duration, file.file_size or 0, mime, name, fetch)
