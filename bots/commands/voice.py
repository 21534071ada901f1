"""Voice messages and audio files: written down by a model that hears, at its price a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bots.chat.audio import BYTES_MAX, name_for_suppliers, seconds_of
from bots.chat.callbacks import ButtonGone
from bots.chat.command import Action, Request, Room
from bots.chat.types import Audio
from bots.commands.errors import RecordingTooLarge, RecordingUnreadable
from core import ids
from core.asks.run import Run
from core.asks.service import Asking
from core.asks.types import NothingHears, Question, Recording
from core.money import Seconds, Tokens
from core.pool.pool import Pool
from core.pricing.catalogue import Catalogue, Model
from core.users.types import Person

#: Files that are looked into at the same time, because no platform told their length.
_LOOKED_INTO_MAX = 4


class VoiceCommands:
    """The action that writes down voice messages and audio files."""

    def __init__(self, *, asking: Asking, pool: Pool, catalogue: Catalogue) -> None:
        self._asking, self._pool, self._catalogue = asking, pool, catalogue
        self._looking = asyncio.Semaphore(_LOOKED_INTO_MAX)

    def room(self) -> Room:
        """The one action; no button leads to it."""
        return Room(actions=(Action("write-down", self.write_down, asks=True),))

    async def write_down(self, request: Request) -> Run:
        """Begins to write audio down, with what was written beside it kept for the question."""
        audio = request.audio
        if audio is None:
            raise ButtonGone
        name = name_for_suppliers(audio.name, audio.mime)
        if name is None:
            raise RecordingUnreadable
        if audio.size > BYTES_MAX:
            raise RecordingTooLarge(audio.size, BYTES_MAX)
        if audio.seconds is not None:
            return await self._ask(
                request, Recording(name, Seconds(audio.seconds), lambda: _fetched(audio))
            )
        async with self._looking:
            return await self._ask(request, await self._measured(name, audio))

    async def _measured(self, name: str, audio: Audio) -> Recording:
        """The recording of a file that says itself how long it is."""
        content = await _fetched(audio)
        seconds = await asyncio.to_thread(seconds_of, content)
        if seconds is None:
            raise RecordingUnreadable
        return Recording(name, Seconds(seconds), _giving(content))

    async def _ask(self, request: Request, recording: Recording) -> Run:
        place = request.place
        return await self._asking.ask(
            Question(
                id=ids.derived("ask", request.at_ms, place.platform, place.chat, request.message),
                person=request.person,
                place=place.code,
                asked_in=request.message,
                text=request.text,
                model=self._model(request.person, recording.length),
                recording=recording,
                privileged=request.admin,
            )
        )

    def _model(self, person: Person, length: Seconds) -> Model:
        """The first of those that hear which this person can be served with now; else the first."""
        hearing = self._catalogue.hearing
        if not hearing:
            raise NothingHears
        return next((model for model in hearing if self._serves(model, person, length)), hearing[0])

    def _serves(self, model: Model, person: Person, length: Seconds) -> bool:
        candidate = self._pool.candidate(
            model,
            Tokens(0),
            Tokens(0),
            own_keys_only=person.own_keys_only,
            asker=person.id,
            audio=length,
        )
        return candidate is not None


async def _fetched(audio: Audio) -> bytes:
    content = await audio.fetch()
    if len(content) > BYTES_MAX:
        raise RecordingTooLarge(len(content), BYTES_MAX)
    return content


def _giving(content: bytes) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        return content

    return read
