"""The console: the same commands as everywhere, typed into a terminal or read from a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TextIO, final

from pydantic import SecretStr

from bots.chat.i18n import find_nearest_language, render
from bots.chat.reply import Phrase, say
from bots.chat.types import (
    Answer,
    AnswerProgress,
    Button,
    ButtonPress,
    ButtonRows,
    Card,
    ChatHandler,
    FormCard,
    FormSubmission,
    IncomingMessage,
    InputField,
    Output,
    Place,
    Sender,
    UndeliveredAnswer,
)
from bots.console.files import find_attachments, find_audio_file, save_attachment
from bots.console.layout import end_label
from bots.console.lines import LineReader
from bots.console.paper import DIM, ConsolePrinter
from bots.console.prompt import TerminalPrompt
from core.clock import Clock, SystemClock

_ADMIN_COMMAND: Final = "/admin"
_STOP_WORDS: Final = ("/stop", "停止")
_BUTTON_NUMBER: Final = re.compile("[0-9]{1,3}")
_STOPPED: Final = say("Stopped.")
_HOW_TO_LEAVE: Final = say("To leave, press Ctrl-C again, or Ctrl-D.")
_FOR_OWNER: Final = say("✉ There is news for the owner: /admin")
_FOR_PERSON: Final = say("✉ There is news for you: /admin")


@final
class ConsoleAdapter:
    """The console is a chat of one person, and of the operator after `/admin`; `run` lives until
    EOF.

    On a terminal what runs can be stopped by its button's number, `/stop` or Ctrl-C; from a pipe
    each line is answered before the next is read.
    """

    #: The one person's id on this platform, and the operator's.
    PERSON: ClassVar[str] = "you"
    OWNER: ClassVar[str] = "owner"
    #: How each is called in front of what they type.
    _NAMES: ClassVar[Mapping[str, Phrase]] = {PERSON: say("you"), OWNER: say("owner")}

    def __init__(
        self,
        chat_handler: ChatHandler,
        *,
        input: TextIO,  # noqa: A002 - as in `subprocess`
        output: TextIO,
        is_terminal: bool,
        language: str = "",
        clock: Clock | None = None,
        files: Path | None = None,
    ) -> None:
        """Files that are handed over are written into `files`; beside it, on a terminal, is the
        history of the lines that were typed."""
        self._chat_handler = chat_handler
        self._input = input
        self._prompt = (
            TerminalPrompt(
                input,
                output,
                on_interrupt=self._on_interrupt,
                history=None if files is None else files.with_name("history"),
            )
            if is_terminal
            else None
        )
        self._printer = ConsolePrinter(output, self._prompt)
        self._speaker = self.PERSON
        self._language = language
        self._clock = clock or SystemClock()
        self._files = files or Path()
        #: By their numbers; those of notices go on behind the last card's, which the next card's
        #: take the place of.
        self._buttons: dict[int, Button] = {}
        self._card_numbers: Sequence[int] = ()
        #: What stops the answer that grows, and whether all of it is shown.
        self._stop_button: Button | None = None
        self._has_answered = False
        self._lines_ahead: deque[str | None] = deque()
        #: Cards and answers for whoever speaks on the other side of `/admin`.
        self._waiting_cards: list[tuple[str, Card | UndeliveredAnswer]] = []
        #: What is to be filled in before the next line.
        self._form_to_fill: FormCard | None = None
        self._number = 0
        self._running_task: asyncio.Task[None] | None = None
        #: How often Ctrl-C was pressed since a line was typed.
        self._interrupts = 0
        self._quit = asyncio.Event()

    async def run(self) -> None:
        """Answers line after line until the input ends, or Ctrl-C is pressed twice while idle."""
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(contextlib.suppress(BrokenPipeError))
            if self._prompt is not None:
                stack.push_async_callback(self._prompt.close)
                stack.enter_context(self._handle_interrupts())
            else:
                self._lines = stack.enter_context(contextlib.closing(LineReader(self._input)))
            while (line := await self._next_line()) is not None:
                self._interrupts = 0
                await self._handle_line(line.strip())
                while (form_card := self._form_to_fill) is not None:
                    self._form_to_fill = None
                    await self._fill_form(form_card)

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> Sequence[str]:
        """See `Notifier`; an answer for the other side of `/admin` waits, and nobody reads those of
        anybody else."""
        chat = undelivered.place.chat
        if chat == self._speaker:
            return await self._show_saved(undelivered)
        if chat in (self.PERSON, self.OWNER):
            if not any(undelivered == waiting for _, waiting in self._waiting_cards):
                self._keep_waiting(chat, undelivered)
            return []
        messages = [self._new_id()]
        await self._chat_handler.mark_delivered(undelivered.ask, undelivered.place, messages)
        return messages

    async def _show_saved(self, undelivered: UndeliveredAnswer) -> Sequence[str]:
        self._printer.begin_answer(undelivered.answer.note)
        self._show_answer(undelivered.answer, is_notice=True)
        messages = [self._new_id()]
        await self._chat_handler.mark_delivered(undelivered.ask, undelivered.place, messages)
        return messages

    def _keep_waiting(self, whose: str, what: Card | UndeliveredAnswer) -> None:
        """Keeps it for the other side, and says once that something waits there."""
        if not any(each == whose for each, _ in self._waiting_cards):
            text = _FOR_OWNER if whose == self.OWNER else _FOR_PERSON
            self._printer.print_line(self._words(text), style=DIM)
        self._waiting_cards.append((whose, what))

    async def notify_person(self, sender: str, card: Card, *, replace_message: str = "") -> None:
        """See `Notifier`; printed lines are not changed. There is one reader, but the card's
        buttons are for one of two people: a card for the other side of `/admin` waits."""
        del replace_message
        if sender == self._speaker:
            await self._show_card(card, is_notice=True)
        elif sender in (self.PERSON, self.OWNER):
            self._keep_waiting(sender, card)

    def build_invitation_link(self, code: str) -> str:
        """See `Notifier`: a terminal has no address."""
        del code
        return ""

    # -- lines ---------------------------------------------------------------------------------

    async def _next_line(self) -> str | None:
        if self._lines_ahead:
            return self._lines_ahead.popleft()
        line = await self._line_or_quit(self._label())
        if line and self._prompt is None:
            self._printer.print_line(f"> {line}")
        return line

    async def _read_line(self, label: str, *, hidden: bool = False) -> str | None:
        if self._prompt is None:
            return await self._lines.read_line()
        return await self._prompt.read_line(label, hidden=hidden)

    async def _line_or_quit(self, label: str, *, hidden: bool = False) -> str | None:
        coming = asyncio.ensure_future(self._read_line(label, hidden=hidden))
        quitting = asyncio.ensure_future(self._quit.wait())
        try:
            await asyncio.wait({coming, quitting}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            await _cancel_all(coming, quitting)

    async def _handle_line(self, line: str) -> None:
        if not line:
            return
        if line == _ADMIN_COMMAND:
            await self._change_sides()
            return
        button = self._find_button(line)
        if button is not None:
            await self._show_outputs(self._press_button(button))
        elif _BUTTON_NUMBER.fullmatch(line):
            text = say(
                "There is no button {number} here. Nothing was charged. To ask just that:"
                " /ask {number}",
                number=line,
            )
            self._printer.print_line(self._words(text))
        else:
            await self._show_outputs(self._send_message(line))

    async def _change_sides(self) -> None:
        self._speaker = self.PERSON if self._speaker == self.OWNER else self.OWNER
        self._buttons, self._card_numbers = {}, ()
        if self._prompt is None:
            self._printer.print_line(f"[{self._words(self._NAMES[self._speaker])}]")
        own = [what for whose, what in self._waiting_cards if whose == self._speaker]
        self._waiting_cards = [one for one in self._waiting_cards if one[0] != self._speaker]
        for what in own:
            if isinstance(what, Card):
                await self._show_card(what, is_notice=True)
            else:
                await self._show_saved(what)

    async def _show_outputs(self, outputs: AsyncIterator[Output]) -> None:
        self._running_task = asyncio.create_task(self._present(outputs))
        self._stop_button, self._has_answered = None, False
        try:
            if self._prompt is not None:
                await self._watch_input(self._running_task)
            await self._running_task
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            if self._printer.is_answering:
                self._printer.drop_answer()
            if not self._quit.is_set():
                self._printer.print_line(self._words(_STOPPED))
        finally:
            await _cancel_all(self._running_task)
            self._running_task = self._stop_button = None
            self._has_answered = False

    async def _watch_input(self, running: asyncio.Task[None]) -> None:
        """While something runs: a number presses its button, `/stop` stops it, anything else waits
        its turn."""
        while not running.done():
            coming = asyncio.ensure_future(self._read_line(self._label()))
            await asyncio.wait({running, coming}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                await _cancel_all(coming)
                return
            line = coming.result()
            button = self._find_button(line.strip()) if line else None
            if line is not None and line.strip() in _STOP_WORDS and not running.done():
                await self._stop_running(running)
                continue
            if button is not None and not running.done():
                await self._present(self._press_button(button))
                continue
            self._lines_ahead.append(line)
            if line is None:
                return

    async def _stop_running(self, running: asyncio.Task[None]) -> None:
        """By the answer's own Stop, which charges what was seen; whatever else runs just ends."""
        if self._stop_button is not None:
            await self._present(self._press_button(self._stop_button))
        else:
            running.cancel()

    async def _fill_form(self, form_card: FormCard) -> None:
        """A line for each field; an empty one is the way out."""
        values = {}
        for field in form_card.form.fields:
            value = await self._read_field(field)
            if value is None:
                return
            if not value.strip():
                await self._show_outputs(self._press_button(form_card.cancel))
                return
            values[field.name] = SecretStr(value)
        submission = FormSubmission(
            self._place(), self._sender(), form_card.form.id, self._new_id(), values
        )
        await self._show_outputs(self._chat_handler.submit_form(submission))

    async def _read_field(self, field: InputField) -> str | None:
        """What is typed for a field, shown to nobody; None at the end of the input."""
        named = f"{field.label} ({field.hint})" if field.hint else field.label
        label = end_label(named)
        if self._prompt is None:
            self._printer.print_line(label.rstrip())
        return await self._line_or_quit(label, hidden=field.hidden)

    def _find_button(self, line: str) -> Button | None:
        """The button that a bare number means."""
        return self._buttons.get(int(line)) if _BUTTON_NUMBER.fullmatch(line) else None

    def _label(self) -> str:
        """What stands before a line that is typed."""
        return f"{self._words(self._NAMES[self._speaker])}> "

    def _words(self, phrase: Phrase) -> str:
        """A sentence of the console's own."""
        return render(phrase, find_nearest_language(self._language))

    # -- what is shown -------------------------------------------------------------------------

    def _send_message(self, line: str) -> AsyncIterator[Output]:
        audio = find_audio_file(line)
        text, attachments = ("", ()) if audio is not None else find_attachments(line)
        return self._chat_handler.handle_message(
            IncomingMessage(
                self._place(),
                self._sender(),
                self._new_id(),
                self._clock.now_ms(),
                text,
                audio=audio,
                attachments=attachments,
            )
        )

    def _press_button(self, button: Button) -> AsyncIterator[Output]:
        return self._chat_handler.handle_press(
            ButtonPress(self._place(), self._sender(), button.id, str(self._number))
        )

    async def _present(self, outputs: AsyncIterator[Output]) -> None:
        try:
            async for output in outputs:
                match output:
                    case Card():
                        await self._show_card(output)
                    case FormCard():
                        await self._show_card(Card(title=output.form.title, lines=output.lines))
                        self._form_to_fill = output
                    case AnswerProgress():
                        self._show_progress(output)
                    case Answer():
                        self._show_answer(output)
                        await self._chat_handler.mark_delivered(
                            output.ask, self._place(), [self._new_id()]
                        )
        finally:
            if isinstance(outputs, AsyncGenerator):
                await outputs.aclose()

    async def _show_card(self, card: Card, *, is_notice: bool = False) -> None:
        if card.erase_incoming:
            self._printer.erase_input_line()
        if self._printer.is_answering:
            self._printer.drop_answer()
        self._printer.print_card(card)
        if card.attachment is not None:
            path = await asyncio.to_thread(save_attachment, card.attachment, self._files)
            self._printer.print_line(f"→ {path}")
        self._number_buttons(card.buttons, is_notice=is_notice)

    def _number_buttons(self, rows: ButtonRows, *, is_notice: bool = False) -> None:
        """Prints the buttons: a card's from 1 on, in the place of the last card's; a notice's with
        the numbers that follow."""
        if not is_notice:
            for number in self._card_numbers:
                self._buttons.pop(number, None)
        first = max(self._buttons, default=0) + 1 if is_notice else 1
        shown = dict(enumerate(self._printer.print_buttons(rows, first), first))
        self._buttons |= shown
        if not is_notice:
            self._card_numbers = tuple(shown)

    def _show_progress(self, progress: AnswerProgress) -> None:
        if not self._printer.is_answering:
            if self._prompt is not None:
                self._number_buttons(progress.buttons)
                self._stop_button = self._buttons.get(1) if progress.buttons else None
            self._printer.begin_answer(progress.note)
        self._printer.print_progress(progress.text)

    def _show_answer(self, answer: Answer, *, is_notice: bool = False) -> None:
        if not self._printer.is_answering:
            self._printer.begin_answer(answer.note)
        self._printer.end_answer(answer.text, answer.footer)
        self._number_buttons(answer.buttons, is_notice=is_notice)
        if not is_notice:
            self._has_answered, self._interrupts = True, 0

    # -- who and which -------------------------------------------------------------------------

    def _place(self) -> Place:
        return Place("console", self._speaker)

    def _sender(self) -> Sender:
        return Sender(self._speaker, self._language)

    def _new_id(self) -> str:
        """Later than any of an earlier run, so that no line is taken for one of then."""
        self._number = max(self._number + 1, self._clock.now_ms() * 1_000)
        return str(self._number)

    # -- Ctrl-C --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _handle_interrupts(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _on_interrupt(self) -> None:
        """Ctrl-C: the first stops what runs, by its own Stop if it has one; the second ends it
        whatever it does. Where nothing runs the second one leaves."""
        self._interrupts += 1
        running = None if self._has_answered else self._running_task
        if running is None:
            if self._interrupts > 1:
                self._quit.set()
            else:
                self._printer.print_line(self._words(_HOW_TO_LEAVE), style=DIM)
        elif self._stop_button is None or self._interrupts > 1:
            self._interrupts = 0
            running.cancel()
        else:
            stop = asyncio.ensure_future(self._present(self._press_button(self._stop_button)))
            running.add_done_callback(lambda _: stop.cancel())


async def _cancel_all(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)
