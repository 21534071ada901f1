"""Voice messages and audio files: written down by a model that hears, at its price a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bots.chat.audio import AUDIO_BYTES_MAX, AudioAttachment, make_supplier_filename, read_duration
from bots.chat.callbacks import ButtonExpired
from bots.chat.command import Request, action
from bots.commands.errors import RecordingTooLarge, RecordingUnreadable
from core import ids
from core.asks.run import AskRun
from core.asks.service import AskService
from core.asks.types import NoTranscriptionKey, Question, Recording
from core.money import Seconds, Tokens
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, Model
from core.users.types import Person

#: Files that are looked into at the same time, because no platform told their length.
_MEASURED_AT_ONCE_MAX = 4


class VoiceCommands:
    """The action that writes down voice messages and audio files."""

    def __init__(self, *, ask_service: AskService, pool: Pool, catalogue: Catalogue) -> None:
        self._ask_service, self._pool, self._catalogue = ask_service, pool, catalogue
        self._measuring = asyncio.Semaphore(_MEASURED_AT_ONCE_MAX)

    @action("write-down", is_ask=True)
    async def write_down(self, request: Request) -> AskRun:
        """Begins to write audio down, with what was written beside it kept for the question."""
        audio = request.audio
        if audio is None:
            raise ButtonExpired
        name = make_supplier_filename(audio.name, audio.mime)
        if name is None:
            raise RecordingUnreadable
        if audio.size > AUDIO_BYTES_MAX:
            raise RecordingTooLarge(audio.size, AUDIO_BYTES_MAX)
        if audio.seconds is not None:
            return await self._ask_model(
                request, Recording(name, Seconds(audio.seconds), lambda: _fetch_audio(audio))
            )
        async with self._measuring:
            return await self._ask_model(request, await self._measure_recording(name, audio))

    async def _measure_recording(self, name: str, audio: AudioAttachment) -> Recording:
        """The recording of a file that says itself how long it is."""
        content = await _fetch_audio(audio)
        seconds = await asyncio.to_thread(read_duration, content)
        if seconds is None:
            raise RecordingUnreadable
        return Recording(name, Seconds(seconds), _make_reader(content))

    async def _ask_model(self, request: Request, recording: Recording) -> AskRun:
        place = request.place
        return await self._ask_service.start_ask(
            Question(
                id=ids.derive_id("ask", request.at_ms, place.platform, place.chat, request.message),
                person=request.person,
                place=place.code,
                asked_in=request.message,
                text=request.text,
                model=self._choose_model(request.person, recording.length),
                recording=recording,
                is_privileged=request.is_admin,
            )
        )

    def _choose_model(self, person: Person, length: Seconds) -> Model:
        """The first of those that hear which this person can be served with now; else the first."""
        hearing = self._catalogue.audio_models
        if not hearing:
            raise NoTranscriptionKey
        return next(
            (model for model in hearing if self._can_serve(model, person, length)), hearing[0]
        )

    def _can_serve(self, model: Model, person: Person, length: Seconds) -> bool:
        candidate = self._pool.choose_candidate(
            model,
            Tokens(0),
            Tokens(0),
            own_keys_only=person.own_keys_only,
            asker=person.id,
            audio=length,
        )
        return candidate is not None


async def _fetch_audio(audio: AudioAttachment) -> bytes:
    content = await audio.fetch()
    if len(content) > AUDIO_BYTES_MAX:
        raise RecordingTooLarge(len(content), AUDIO_BYTES_MAX)
    return content


def _make_reader(content: bytes) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return content

    return read
