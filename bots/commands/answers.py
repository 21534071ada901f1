"""Answers on their way to the chat: frames while they grow, the final text with its footer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from cachetools import LRUCache

from bots.chat.callbacks import make_answer_button_id
from bots.chat.command import Request
from bots.chat.i18n import render
from bots.chat.reply import Phrase, say
from bots.chat.types import Answer, AnswerProgress, Button, ButtonRows, Output
from bots.commands import text as phrases
from bots.commands.spending_notes import SpendingNotes
from bots.render.queue import ConversationQueue
from core.asks.repository import AskRepository, SettledAsk
from core.asks.reversal import AskReversal
from core.asks.run import AskRun
from core.asks.service import AskService
from core.asks.types import AskResult, Outcome, QuestionSource
from core.pricing.catalogue import Catalogue
from core.users.types import Person

_CONTINUABLE = {
    Outcome.LENGTH,
    Outcome.STOPPED,
    Outcome.BROKEN,
    Outcome.TIMED_OUT,
    Outcome.LOST,
}

#: Places remembered in which an answer was shown.
_PLACES_MAX = 20_000
#: Said at the first contact, as the European rules on artificial intelligence want it:
#: https://eur-lex.europa.eu/eli/reg/2024/1689/oj (article 50).
MACHINE_ANSWERS = say("A machine writes the answers here, a language model: it can be wrong.")

STOP_LABEL = say("⏹ Stop")
AGAIN_LABEL = say("🔁 Again")
MORE_ROOM_LABEL = say("🔁 With more room")
_ELSEWHERE = say("I can't write any more where you asked this, so the answer comes to you here.")
CONTINUE_LABEL = say("▶️ Continue")
ASK_THIS_LABEL = say("💬 Ask this")
WITHOUT_FILE_LABEL = say("📎 Without the file")


class AnswerRenderer:
    """The renderer of answers: it turns running asks into progress as they grow, and saved ones
    into the final answer."""

    def __init__(
        self,
        *,
        ask_service: AskService,
        ask_repository: AskRepository,
        ask_reversal: AskReversal,
        catalogue: Catalogue,
        conversation_queue: ConversationQueue,
        spending_notes: SpendingNotes,
    ) -> None:
        self._ask_service, self._ask_repository = ask_service, ask_repository
        self._ask_reversal, self._spending_notes = ask_reversal, spending_notes
        self._catalogue, self._conversation_queue = catalogue, conversation_queue
        self._answered_places: LRUCache[str, bool] = LRUCache(maxsize=_PLACES_MAX)

    def enter_queue(self, request: Request) -> AbstractAsyncContextManager[None]:
        """A person's asks in one place are answered one after the other."""
        return self._conversation_queue.enter(f"{request.place.code}/{request.person.id}")

    async def stream_run(self, run: AskRun, *, is_private: bool) -> AsyncIterator[Output]:
        """The answer as it grows, then its end; raises what kept it from being settled. What the
        asker has is told only where `is_private`: nobody else reads there."""
        person = run.question.person
        stop_button = (
            (Button(make_answer_button_id("stop", run.id), _localize(STOP_LABEL, person)),),
        )
        # A chat of which it isn't known that it takes messages is tried before a supplier is asked.
        run.delay_serving()
        try:
            notes = phrases.list_answer_notes(run, is_private=is_private)
            if not is_private and await self._is_first_answer(run.question.place):
                notes.insert(0, MACHINE_ANSWERS)
            note = "\n".join(_localize(said, person) for said in notes)
            yield AnswerProgress(ask=run.id, text="", buttons=stop_button, note=note)
        finally:
            run.begin_serving()
        if run.question.recording is None:  # what is written down comes whole, when it is charged
            async for text in run.stream_text():
                yield AnswerProgress(ask=run.id, text=text, buttons=stop_button, note=note)
        result = await run.result
        if not is_private:
            result = replace(result, remaining_credits=None)
        spending = await self._spending_notes.list_notes(result, person.id)
        along = phrases.describe_files_along(run)
        yield self.render_answer(result, person, note, run.question.sources, spending, along)

    async def _is_first_answer(self, place: str) -> bool:
        """Whether none of a place was answered before, as far as this process or the tables
        know."""
        if place in self._answered_places:
            return False
        was_shown = await self._ask_repository.has_shown(place)
        self._answered_places[place] = True
        return not was_shown

    async def resume_answer(self, ask_id: str) -> Answer | None:
        """For a message that came again: its answer, if nobody is left to show it."""
        saved = await self._ask_service.claim_saved_answer(ask_id)
        return self.render_saved(saved) if saved else None

    def render_saved(self, saved: SettledAsk) -> Answer:
        """A settled ask as it is shown."""
        return self.render_answer(saved.result, saved.person, "")

    def render_answer(
        self,
        result: AskResult,
        person: Person,
        note: str,
        sources: Sequence[QuestionSource] = (),
        spending: Sequence[Phrase] = (),
        along: Phrase | None = None,
    ) -> Answer:
        """The final text, how it ended, what it cost, what went along with the question, and what
        can be done next; `spending` is said below what it cost, `along` of files that go along
        with the next questions."""
        ended = phrases.describe_ending(result)
        footer = []
        if ended is not None and result.text:
            footer.append(_localize(ended, person))
        if person.footer and result.text:
            footer.append(
                _localize(
                    phrases.format_footer_line(result, self._catalogue.get_name(result.model)),
                    person,
                )
            )
        if person.footer and result.text:
            footer += (_localize(said, person) for said in spending)
        if sources and result.text:
            footer.append(_localize(phrases.describe_sources(sources), person))
        buttons = self._next_buttons(result, person)
        if along is not None and result.text:
            footer.append(_localize(along, person))
            without = make_answer_button_id("without-file", result.ask)
            buttons = (*buttons, (Button(without, _localize(WITHOUT_FILE_LABEL, person)),))
        return Answer(
            ask=result.ask,
            text=result.text or (_localize(ended, person) if ended else ""),
            footer="\n".join(footer),
            buttons=buttons,
            note=note,
            elsewhere_note=_localize(_ELSEWHERE, person),
        )

    async def mark_started(self, ask_id: str, message: str) -> None:
        """This message will show the answer."""
        await self._ask_repository.mark_started(ask_id, message)

    async def mark_delivered(self, ask_id: str, place: str, messages: Sequence[str]) -> None:
        """The final text is in the chat, in these messages."""
        await self._ask_repository.mark_delivered(ask_id, place, messages)

    async def mark_undelivered(self, ask_id: str) -> None:
        """Nothing of it was accepted anywhere, and never will be: it is ended where it still runs,
        and given back."""
        await self._ask_service.interrupt_ask(ask_id)
        await self._ask_reversal.reverse(ask_id)

    @staticmethod
    def _next_buttons(result: AskResult, person: Person) -> ButtonRows:
        if result.audio is not None:
            if not result.text:
                return ()
            return (
                (
                    Button(
                        make_answer_button_id("ask-this", result.ask),
                        _localize(ASK_THIS_LABEL, person),
                    ),
                ),
            )
        label = MORE_ROOM_LABEL if result.is_thought_away else AGAIN_LABEL
        again = Button(make_answer_button_id("again", result.ask), _localize(label, person))
        if not result.text or result.outcome not in _CONTINUABLE:
            return ((again,),)
        go_on = Button(
            make_answer_button_id("continue", result.ask), _localize(CONTINUE_LABEL, person)
        )
        return ((go_on, again),)


def _localize(phrase: Phrase, person: Person) -> str:
    return render(phrase, person.language, person.zone)
