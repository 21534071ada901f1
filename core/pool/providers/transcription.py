"""Transcription in the OpenAI wire format: an audio file goes in, its text and length come out."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from core.money import NO_TOKENS, Seconds
from core.pool.providers import faults, http
from core.pool.providers.types import (
    NO_AUDIO,
    AudioClip,
    Finish,
    StreamEvent,
    TextDelta,
    Usage,
)
from core.text import has_visible_text, repair_text

#: A longer duration is not believed.
_SECONDS_MAX = 1_000_000
_ANSWER_BYTES_MAX = 4 << 20


async def transcribe(
    client: http.SupplierClient, url: str, headers: Mapping[str, str], model: str, clip: AudioClip
) -> AsyncGenerator[StreamEvent, None]:
    """Transcribes a clip: yields its text, and a `Finish` with the length that the supplier bills;
    raises `SupplierFault`."""
    # Only the Whisper family has the verbose format, which alone holds the length everywhere.
    fields = {"model": model, "response_format": "verbose_json" if "whisper" in model else "json"}
    file = (clip.name, clip.content)
    async with http.post_form(client, url, headers, fields, file) as answer:
        body = http.parse_json(await http.read_body(answer, _ANSWER_BYTES_MAX))
    text = body.get("text") if isinstance(body, dict) else None
    if not isinstance(text, str):  # an error under 200, or nothing that can be read
        raise faults.fault_from_event(body)
    text = repair_text(text)
    length = _parse_length(body)
    if length == NO_AUDIO and has_visible_text(text):
        length = None  # what has words has a length: it wasn't told
    used = None if length is None else Usage(NO_TOKENS, NO_TOKENS, audio=length)
    if words := text.strip():
        yield TextDelta(words)
    yield Finish("stop", used)


def _parse_length(body: Mapping[str, Any]) -> Seconds | None:
    """The billed length, else the file's, in whole seconds, rounded up; None without either."""
    usage = body.get("usage")
    billed = usage.get("seconds") if isinstance(usage, dict) else None
    for seconds in (billed, body.get("duration")):
        if isinstance(seconds, (int, float)) and 0 <= seconds <= _SECONDS_MAX:
            return Seconds(math.ceil(seconds))
    return None
