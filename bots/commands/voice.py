"""Voice messages and audio files: written down by a model that hears, at its price a minute.

How long one is, is counted in the file itself before anything is held: what its platform says is
its sender's word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from bots.chat.audio import AUDIO_BYTES_MAX, AudioAttachment, make_supplier_filename
from bots.chat.callbacks import ButtonExpired
from bots.chat.command import Request, action
from bots.chat.reply import Reply
from bots.commands.errors import RecordingTooLarge, RecordingUnreadable
from bots.commands.shortage import ShortageCards
from core.asks.quotes import RECORDING_SECONDS_MAX
from core.asks.repository import AskRepository
from core.asks.run import AskRun
from core.asks.service import AskService
from core.asks.types import (
    AlreadyAsked,
    NotEnoughCredits,
    NoTranscriptionKey,
    Question,
    Recording,
    RecordingsDoubted,
    RecordingTooLong,
    RecordingUncounted,
)
from core.audio.measurement import AudioMeasurer
from core.clock import DAY_MS, Clock
from core.money import Seconds, Tokens
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, Model
from core.users.types import Person

#: Files that are fetched and measured at the same time; of one person one after the other.
_MEASURED_AT_ONCE_MAX = 4


class VoiceCommands:
    """The action that writes down voice messages and audio files."""

    def __init__(
        self,
        *,
        ask_service: AskService,
        ask_repository: AskRepository,
        pool: Pool,
        catalogue: Catalogue,
        measurer: AudioMeasurer,
        shortage_cards: ShortageCards,
        clock: Clock,
    ) -> None:
        self._ask_service, self._ask_repository = ask_service, ask_repository
        self._pool, self._catalogue, self._clock = pool, catalogue, clock
        self._measurer, self._shortage_cards = measurer, shortage_cards
        self._measuring = asyncio.Semaphore(_MEASURED_AT_ONCE_MAX)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @action("write-down", is_ask=True)
    async def write_down(self, request: Request) -> AskRun | Reply:
        """Begins to write audio down, with what was written beside it kept for the question."""
        audio = request.audio
        if audio is None:
            raise ButtonExpired
        name = make_supplier_filename(audio.name, audio.mime)
        if name is None:
            raise RecordingUnreadable
        if audio.size > AUDIO_BYTES_MAX:
            raise RecordingTooLarge(audio.size, AUDIO_BYTES_MAX)
        if audio.seconds is not None and audio.seconds > RECORDING_SECONDS_MAX.units:
            raise RecordingTooLong(Seconds(audio.seconds), RECORDING_SECONDS_MAX)
        person = request.person.id
        turn = self._turns.setdefault(person, asyncio.Lock())
        async with turn, self._measuring:
            id_ = request.ask_id
            if await self._ask_repository.has_ask(id_):
                raise AlreadyAsked(id_)
            today = self._clock.now_ms() // DAY_MS * DAY_MS
            if await self._ask_repository.has_doubted_recording(person, today):
                raise RecordingsDoubted
            return await self._ask_model(request, id_, await self._make_recording(name, audio))

    async def _make_recording(self, name: str, audio: AudioAttachment) -> Recording:
        """The file with its length; raises what it is refused for."""
        content = await audio.fetch()
        if len(content) > AUDIO_BYTES_MAX:
            raise RecordingTooLarge(len(content), AUDIO_BYTES_MAX)
        measured = await self._measurer.measure(content)
        if measured is None:
            raise RecordingUnreadable
        length = Seconds(measured.seconds)
        if length > RECORDING_SECONDS_MAX and not measured.is_counted:
            raise RecordingUncounted(length, RECORDING_SECONDS_MAX)
        return Recording(name, length, _make_reader(content))

    async def _ask_model(self, request: Request, id_: str, recording: Recording) -> AskRun | Reply:
        question = Question(
            id=id_,
            person=request.person,
            place=request.place.code,
            asked_in=request.message,
            text=request.text,
            model=self._choose_model(request.person, recording.length),
            recording=recording,
            is_privileged=request.is_admin,
        )
        try:
            return await self._ask_service.start_ask(question)
        except NotEnoughCredits as refusal:
            return await self._shortage_cards.make_card(refusal, request, question)

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


def _make_reader(content: bytes) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return content

    return read
