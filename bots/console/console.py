"""The console: the same commands as everywhere, typed into a terminal or read from a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TextIO, final

from pydantic import SecretStr

from bots.chat.audio import AudioAttachment, DownloadFailed, make_supplier_filename
from bots.chat.types import (
    Answer,
    AnswerProgress,
    Attachment,
    Button,
    ButtonPress,
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
from bots.console.lines import LineReader, hide_input
from bots.console.paper import DIM, ConsolePrinter
from core.clock import Clock, SystemClock

_ADMIN_COMMAND: Final = "/admin"
#: Files of one name that are kept beside each other.
_COPIES_MAX: Final = 1_000


@final
class ConsoleAdapter:
    """The console is a chat of one person, and of the operator after `/admin`; `run` lives until
    EOF.

    On a terminal an answer can be stopped by its button's number or by Ctrl-C; from a pipe each
    line is answered before the next is read.
    """

    #: The one person's id on this platform, and the operator's.
    PERSON: ClassVar[str] = "you"
    OWNER: ClassVar[str] = "owner"

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
        self._chat_handler = chat_handler
        self._input = input
        self._printer = ConsolePrinter(output, is_terminal=is_terminal)
        self._is_terminal = is_terminal
        self._speaker = self.PERSON
        self._language = language
        self._clock = clock or SystemClock()
        self._files = files or Path()
        self._buttons: list[Button] = []
        self._lines_ahead: deque[str | None] = deque()
        #: Cards for whoever speaks on the other side of `/admin`.
        self._waiting_cards: list[tuple[str, Card]] = []
        #: What is to be filled in before the next line.
        self._form_to_fill: FormCard | None = None
        self._number = 0
        self._running_task: asyncio.Task[None] | None = None
        self._stopping = False
        self._quit = asyncio.Event()

    async def run(self) -> None:
        """Answers line after line until the input ends, or Ctrl-C is pressed while idle."""
        with (
            contextlib.closing(LineReader(self._input)) as lines,
            self._handle_interrupts(),
            contextlib.suppress(BrokenPipeError),
        ):
            while (line := await self._next_line(lines)) is not None:
                await self._handle_line(line.strip(), lines)
                while (form_card := self._form_to_fill) is not None:
                    self._form_to_fill = None
                    await self._fill_form(form_card, lines)

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> Sequence[str]:
        """See `Notifier`."""
        self._printer.begin_answer(undelivered.answer.note)
        self._show_answer(undelivered.answer)
        messages = [self._new_id()]
        await self._chat_handler.mark_delivered(undelivered.ask, undelivered.place, messages)
        return messages

    async def notify_person(self, sender: str, card: Card, *, replace_message: str = "") -> None:
        """See `Notifier`; printed lines are not changed. There is one reader, but the card's
        buttons are for one of two people: a card for the other side of `/admin` waits."""
        del replace_message
        if sender == self._speaker:
            await self._show_card(card)
            return
        if sender not in (self.PERSON, self.OWNER):
            return
        self._waiting_cards.append((sender, card))
        self._printer.print_line(f"✉ {_ADMIN_COMMAND}", style=DIM)

    def build_invitation_link(self, code: str) -> str:
        """See `Notifier`: a terminal has no address."""
        del code
        return ""

    # -- lines ---------------------------------------------------------------------------------

    async def _next_line(self, lines: LineReader) -> str | None:
        if self._lines_ahead:
            return self._lines_ahead.popleft()
        if self._is_terminal:
            self._printer.print_input_prompt(f"{self._speaker}> ")
        line = await self._line_or_quit(lines)
        if line and not self._is_terminal:
            self._printer.print_line(f"> {line}")
        return line

    async def _line_or_quit(self, lines: LineReader) -> str | None:
        coming = asyncio.ensure_future(lines.read_line())
        quitting = asyncio.ensure_future(self._quit.wait())
        try:
            await asyncio.wait({coming, quitting}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            await _cancel_all(coming, quitting)

    async def _handle_line(self, line: str, lines: LineReader) -> None:
        if not line:
            return
        if line == _ADMIN_COMMAND:
            self._speaker = self.PERSON if self._speaker == self.OWNER else self.OWNER
            self._buttons = []
            if not self._is_terminal:
                self._printer.print_line(f"[{self._speaker}]")
            own_cards = [card for whose, card in self._waiting_cards if whose == self._speaker]
            self._waiting_cards = [one for one in self._waiting_cards if one[0] != self._speaker]
            for card in own_cards:
                await self._show_card(card)
            return
        button = self._find_button(line)
        await self._show_outputs(
            self._press_button(button) if button else self._send_message(line), lines
        )

    async def _show_outputs(self, outputs: AsyncIterator[Output], lines: LineReader) -> None:
        self._running_task = asyncio.create_task(self._present(outputs))
        self._stopping = False
        try:
            if self._is_terminal:
                await self._watch_input(self._running_task, lines)
            await self._running_task
        except asyncio.CancelledError:
            if not self._quit.is_set():
                raise
        finally:
            await _cancel_all(self._running_task)
            self._running_task = None

    async def _watch_input(self, running: asyncio.Task[None], lines: LineReader) -> None:
        """While an answer grows: a number presses its button, anything else waits its turn."""
        while not running.done():
            coming = asyncio.ensure_future(lines.read_line())
            await asyncio.wait({running, coming}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                await _cancel_all(coming)
                return
            line = coming.result()
            button = self._find_button(line.strip()) if line else None
            if button is not None and not running.done():
                await self._present(self._press_button(button))
                continue
            self._lines_ahead.append(line)
            if line is None:
                return

    async def _fill_form(self, form_card: FormCard, lines: LineReader) -> None:
        """A line for each field; an empty one is the way out."""
        values = {}
        for field in form_card.form.fields:
            value = await self._read_field(field, lines)
            if value is None:
                return
            if not value.strip():
                await self._show_outputs(self._press_button(form_card.cancel), lines)
                return
            values[field.name] = SecretStr(value)
        submission = FormSubmission(
            self._place(), self._sender(), form_card.form.id, self._new_id(), values
        )
        await self._show_outputs(self._chat_handler.submit_form(submission), lines)

    async def _read_field(self, field: InputField, lines: LineReader) -> str | None:
        """What is typed for a field, shown to nobody; None at the end of the input."""
        label = f"{field.label} ({field.hint}): " if field.hint else f"{field.label}: "
        with hide_input(self._input) if field.hidden else contextlib.nullcontext():
            if self._is_terminal:
                self._printer.print_input_prompt(label)
            else:
                self._printer.print_line(label.rstrip())
            return await self._line_or_quit(lines)

    def _find_button(self, line: str) -> Button | None:
        """The button that a bare number means."""
        if not (line.isascii() and line.isdecimal() and len(line) <= 3):
            return None
        number = int(line)
        return self._buttons[number - 1] if 1 <= number <= len(self._buttons) else None

    # -- what is shown -------------------------------------------------------------------------

    def _send_message(self, line: str) -> AsyncIterator[Output]:
        audio = find_audio_file(line)
        at_ms, text = self._clock.now_ms(), line if audio is None else ""
        return self._chat_handler.handle_message(
            IncomingMessage(self._place(), self._sender(), self._new_id(), at_ms, text, audio=audio)
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

    async def _show_card(self, card: Card) -> None:
        if card.erase_incoming:
            self._printer.erase_input_line()
        if self._printer.is_answering:
            self._printer.drop_answer()
        self._printer.print_card(card)
        if card.attachment is not None:
            path = await asyncio.to_thread(_save_attachment, card.attachment, self._files)
            self._printer.print_line(f"→ {path}")
        self._buttons = self._printer.print_buttons(card.buttons)

    def _show_progress(self, progress: AnswerProgress) -> None:
        if not self._printer.is_answering:
            if self._is_terminal:
                self._buttons = self._printer.print_buttons(progress.buttons)
            self._printer.begin_answer(progress.note)
        self._printer.print_progress(progress.text)

    def _show_answer(self, answer: Answer) -> None:
        if not self._printer.is_answering:
            self._printer.begin_answer(answer.note)
        self._printer.end_answer(answer.text, answer.footer)
        self._buttons = self._printer.print_buttons(answer.buttons)

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
        if not self._is_terminal:
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _on_interrupt(self) -> None:
        """The first stops a running answer by its button; the second, or one while idle, ends."""
        running = self._running_task
        if running is None or self._stopping or not self._buttons:
            self._quit.set()
            if running is not None:
                running.cancel()
            return
        self._stopping = True
        stop = asyncio.ensure_future(self._present(self._press_button(self._buttons[0])))
        running.add_done_callback(lambda _: stop.cancel())


async def _cancel_all(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


def _save_attachment(attachment: Attachment, folder: Path) -> Path:
    """Writes a file for its user alone, beside older ones of the same name."""
    name = Path(attachment.name)
    for number in range(_COPIES_MAX):
        path = folder / (f"{name.stem}-{number}{name.suffix}" if number else name.name)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(handle, "wb") as file:
            file.write(attachment.content)
        return path
    raise FileExistsError(attachment.name)


def find_audio_file(line: str) -> AudioAttachment | None:
    """The file that a line names, as typed or as a terminal writes one that is dropped on it."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    if len(words) != 1 or make_supplier_filename(words[0], "") is None:
        return None
    path = Path(words[0]).expanduser()

    async def fetch() -> bytes:
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise DownloadFailed from None

    try:
        return (
            AudioAttachment(None, path.stat().st_size, "", path.name, fetch)
            if path.is_file()
            else None
        )
    except OSError:  # a name that is too long, a folder that may not be read
        return None
