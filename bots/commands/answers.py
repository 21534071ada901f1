"""Answers on their way to the chat: frames while they grow, the final text with its footer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

from bots.chat.callbacks import answer_button
from bots.chat.command import Request
from bots.chat.i18n import render
from bots.chat.reply import Said, say
from bots.chat.types import Answer, Button, Buttons, Output, Progress
from bots.commands import text as phrases
from bots.render.queue import Lanes
from core.asks.repository import Records, Saved
from core.asks.run import Run
from core.asks.service import Asking
from core.asks.types import Outcome, Result
from core.pricing.catalogue import Catalogue
from core.users.types import Person

_CONTINUABLE = {
    Outcome.LENGTH,
    Outcome.STOPPED,
    Outcome.BROKEN,
    Outcome.TIMED_OUT,
    Outcome.LOST,
}

STOP = say("⏹ Stop")
AGAIN = say("🔁 Again")
CONTINUE = say("▶️ Continue")
ASK_THIS = say("💬 Ask this")


class Answers:
    """The renderer of answers: it turns running asks into progress as they grow, and saved ones
    into the final answer."""

    def __init__(
        self, *, asking: Asking, records: Records, catalogue: Catalogue, lanes: Lanes
    ) -> None:
        self._asking, self._records = asking, records
        self._catalogue, self._lanes = catalogue, lanes

    def lane(self, request: Request) -> AbstractAsyncContextManager[None]:
        """A person's asks in one place are answered one after the other."""
        return self._lanes.enter(f"{request.place.code}/{request.person.id}")

    async def follow(self, run: Run) -> AsyncIterator[Output]:
        """The answer as it grows, then its end; raises what kept it from being settled."""
        person = run.question.person
        stop = ((Button(answer_button("stop", run.id), _words(STOP, person)),),)
        note = "\n".join(_words(said, person) for said in phrases.before(run))
        yield Progress(ask=run.id, text="", buttons=stop, note=note)
        if run.question.recording is None:  # what is written down comes whole, when it is charged
            async for text in run.frames():
                yield Progress(ask=run.id, text=text, buttons=stop, note=note)
        yield self.answer(await run.result, person, note)

    async def resumed(self, ask: str) -> Answer | None:
        """For a message that came again: its answer, if nobody is left to show it."""
        saved = await self._asking.resume(ask)
        return self.saved(saved) if saved else None

    def saved(self, saved: Saved) -> Answer:
        """A settled ask as it is shown."""
        return self.answer(saved.result, saved.person, "")

    def answer(self, result: Result, person: Person, note: str) -> Answer:
        """The final text, how it ended, what it cost, and what can be done next."""
        ended = phrases.ending(result)
        footer = []
        if ended is not None and result.text:
            footer.append(_words(ended, person))
        if person.footer and result.text:
            model = self._catalogue.models.get(result.model)
            footer.append(
                _words(phrases.footer(result, model.name if model else result.model), person)
            )
        return Answer(
            ask=result.ask,
            text=result.text or (_words(ended, person) if ended else ""),
            footer="\n".join(footer),
            buttons=self._next(result, person),
            note=note,
        )

    async def started(self, ask: str, message: str) -> None:
        """This message will show the answer."""
        await self._records.started(ask, message)

    async def landed(self, ask: str, place: str, messages: Sequence[str]) -> None:
        """The final text is in the chat, in these messages."""
        await self._records.landed(ask, place, messages)

    @staticmethod
    def _next(result: Result, person: Person) -> Buttons:
        if result.audio is not None:
            if not result.text:
                return ()
            return ((Button(answer_button("ask-this", result.ask), _words(ASK_THIS, person)),),)
        again = Button(answer_button("again", result.ask), _words(AGAIN, person))
        if not result.text or result.outcome not in _CONTINUABLE:
            return ((again,),)
        on = Button(answer_button("continue", result.ask), _words(CONTINUE, person))
        return ((on, again),)


def _words(said: Said, person: Person) -> str:
    return render(said, person.language, person.zone)
