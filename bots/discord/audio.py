"""What can be heard in Discord's messages: voice messages and attached audio files."""

from __future__ import annotations

import asyncio
import math
from typing import Final

import aiohttp
import discord

from bots.chat.types import Audio, NotFetched

_DOWNLOAD_SECONDS: Final = 60.0


def audio_of(message: discord.Message) -> Audio | None:
    """The first audio that is attached."""
    for attached in message.attachments:
        mime = attached.content_type or ""
        if attached.is_voice_message() or mime.startswith("audio/"):
            return _audio(attached, mime or "audio/ogg")
    return None


def _audio(attached: discord.Attachment, mime: str) -> Audio:
    async def fetch() -> bytes:
        try:
            async with asyncio.timeout(_DOWNLOAD_SECONDS):
                return await attached.read()
        except (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError):
            raise NotFetched from None

    seconds = None if attached.duration is None else math.ceil(attached.duration)
    return Audio(seconds, attached.size, mime, attached.filename, fetch)
