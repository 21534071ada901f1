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

from bots.chat.audio import name_for_suppliers
from bots.chat.types import (
    Answer,
    Attachment,
    Audio,
    Button,
    Field,
    Filled,
    FormCard,
    Front,
    Incoming,
    NotFetched,
    Output,
    Place,
    Press,
    Progress,
    Screen,
    Sender,
    Unlanded,
)
from bots.console.lines import Lines, hidden
from bots.console.paper import DIM, Paper
from core.clock import Clock, SystemClock

_ADMIN: Final = "/admin"
#: Files of one name that are kept beside each other.
_COPIES_MAX: Final = 1_000


@final
class Console:
    """The console is a chat of one person, and of the operator after `/admin`; `run` lives until
    EOF.

    On a terminal an answer can be stopped by its button's number or by Ctrl-C; from a pipe each
    line is answered before the next is read.
    """

    #: The operator's id on this platform.
    OWNER: ClassVar[str] = "owner"

    def __init__(
        self,
        front: Front,
        *,
        input: TextIO,  # noqa: A002 - as in `subprocess`
        output: TextIO,
        is_terminal: bool,
        person: str = "you",
        language: str = "",
        clock: Clock | None = None,
        files: Path | None = None,
    ) -> None:
        self._front = front
        self._input = input
        self._paper = Paper(output, is_terminal=is_terminal)
        self._is_terminal = is_terminal
        self._person = self._speaker = person
        self._language = language
        self._clock = clock or SystemClock()
        self._files = files or Path()
        self._buttons: list[Button] = []
        self._ahead: deque[str | None] = deque()
        #: Cards for whoever speaks on the other side of `/admin`.
        self._waiting: list[tuple[str, Screen]] = []
        #: What is to be filled in before the next line.
        self._asked: FormCard | None = None
        self._number = 0
        self._running: asyncio.Task[None] | None = None
        self._stopping = False
        self._quit = asyncio.Event()

    async def run(self) -> None:
        """Answers line after line until the input ends, or Ctrl-C is pressed while idle."""
        with (
            contextlib.closing(Lines(self._input)) as lines,
            self._interrupts(),
            contextlib.suppress(BrokenPipeError),
        ):
            while (line := await self._next(lines)) is not None:
                await self._take(line.strip(), lines)
                while (asked := self._asked) is not None:
                    self._asked = None
                    await self._fill(asked, lines)

    async def deliver(self, unlanded: Unlanded) -> Sequence[str]:
        """See `Notifier`."""
        self._paper.begin(unlanded.answer.note)
        self._end(unlanded.answer)
        return [self._new_id()]

    async def notify(self, sender: str, screen: Screen, *, instead: str = "") -> None:
        """See `Notifier`; printed lines are not changed. There is one reader, but the card's
        buttons are for one of two people: a card for the other side of `/admin` waits."""
        del instead
        if sender == self._speaker:
            await self._card(screen)
            return
        if sender not in (self._person, self.OWNER):
            return
        self._waiting.append((sender, screen))
        self._paper.line(f"✉ {_ADMIN}", style=DIM)

    def invitation(self, code: str) -> str:
        """See `Notifier`: a terminal has no address."""
        del code
        return ""

    # -- lines ---------------------------------------------------------------------------------

    async def _next(self, lines: Lines) -> str | None:
        if self._ahead:
            return self._ahead.popleft()
        if self._is_terminal:
            self._paper.prompt(f"{self._speaker}> ")
        line = await self._line_or_quit(lines)
        if line and not self._is_terminal:
            self._paper.line(f"> {line}")
        return line

    async def _line_or_quit(self, lines: Lines) -> str | None:
        coming = asyncio.ensure_future(lines.next())
        quitting = asyncio.ensure_future(self._quit.wait())
        try:
            await asyncio.wait({coming, quitting}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            await _cancelled(coming, quitting)

    async def _take(self, line: str, lines: Lines) -> None:
        if not line:
            return
        if line == _ADMIN:
            self._speaker = self._person if self._speaker == self.OWNER else self.OWNER
            self._buttons = []
            if not self._is_terminal:
                self._paper.line(f"[{self._speaker}]")
            theirs = [card for whose, card in self._waiting if whose == self._speaker]
            self._waiting = [one for one in self._waiting if one[0] != self._speaker]
            for card in theirs:
                await self._card(card)
            return
        button = self._chosen(line)
        await self._show(self._pressed(button) if button else self._said(line), lines)

    async def _show(self, outputs: AsyncIterator[Output], lines: Lines) -> None:
        self._running = asyncio.create_task(self._play(outputs))
        self._stopping = False
        try:
            if self._is_terminal:
                await self._listening(self._running, lines)
            await self._running
        except asyncio.CancelledError:
            if not self._quit.is_set():
                raise
        finally:
            await _cancelled(self._running)
            self._running = None

    async def _listening(self, running: asyncio.Task[None], lines: Lines) -> None:
        """While an answer grows: a number presses its button, anything else waits its turn."""
        while not running.done():
            coming = asyncio.ensure_future(lines.next())
            await asyncio.wait({running, coming}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                await _cancelled(coming)
                return
            line = coming.result()
            button = self._chosen(line.strip()) if line else None
            if button is not None and not running.done():
                await self._play(self._pressed(button))
                continue
            self._ahead.append(line)
            if line is None:
                return

    async def _fill(self, asked: FormCard, lines: Lines) -> None:
        """A line for each field; an empty one is the way out."""
        values = {}
        for field in asked.form.fields:
            value = await self._typed(field, lines)
            if value is None:
                return
            if not value.strip():
                await self._show(self._pressed(asked.cancel), lines)
                return
            values[field.name] = SecretStr(value)
        filled = Filled(self._place(), self._sender(), asked.form.id, self._new_id(), values)
        await self._show(self._front.fill(filled), lines)

    async def _typed(self, field: Field, lines: Lines) -> str | None:
        """What is typed for a field, shown to nobody; None at the end of the input."""
        label = f"{field.label} ({field.hint}): " if field.hint else f"{field.label}: "
        with hidden(self._input) if field.hidden else contextlib.nullcontext():
            if self._is_terminal:
                self._paper.prompt(label)
            else:
                self._paper.line(label.rstrip())
            return await self._line_or_quit(lines)

    def _chosen(self, line: str) -> Button | None:
        """The button that a bare number means."""
        if not (line.isascii() and line.isdecimal() and len(line) <= 3):
            return None
        number = int(line)
        return self._buttons[number - 1] if 1 <= number <= len(self._buttons) else None

    # -- what is shown -------------------------------------------------------------------------

    def _said(self, line: str) -> AsyncIterator[Output]:
        audio = audio_at(line)
        at_ms, text = self._clock.now_ms(), line if audio is None else ""
        return self._front.handle(
            Incoming(self._place(), self._sender(), self._new_id(), at_ms, text, audio)
        )

    def _pressed(self, button: Button) -> AsyncIterator[Output]:
        return self._front.press(Press(self._place(), self._sender(), button.id, str(self._number)))

    async def _play(self, outputs: AsyncIterator[Output]) -> None:
        try:
            async for output in outputs:
                match output:
                    case Screen():
                        await self._card(output)
                    case FormCard():
                        await self._card(Screen(title=output.form.title, lines=output.lines))
                        self._asked = output
                    case Progress():
                        self._progress(output)
                    case Answer():
                        self._end(output)
                        await self._front.landed(output.ask, self._place(), [self._new_id()])
        finally:
            if isinstance(outputs, AsyncGenerator):
                await outputs.aclose()

    async def _card(self, screen: Screen) -> None:
        if screen.erase_incoming:
            self._paper.erase_typed()
        if self._paper.growing:
            self._paper.drop()
        self._paper.card(screen)
        if screen.attachment is not None:
            path = await asyncio.to_thread(_saved, screen.attachment, self._files)
            self._paper.line(f"→ {path}")
        self._buttons = self._paper.buttons(screen.buttons)

    def _progress(self, progress: Progress) -> None:
        if not self._paper.growing:
            if self._is_terminal:
                self._buttons = self._paper.buttons(progress.buttons)
            self._paper.begin(progress.note)
        self._paper.grow(progress.text)

    def _end(self, answer: Answer) -> None:
        if not self._paper.growing:
            self._paper.begin(answer.note)
        self._paper.end(answer.text, answer.footer)
        self._buttons = self._paper.buttons(answer.buttons)

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
    def _interrupts(self) -> Iterator[None]:
        if not self._is_terminal:
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    def _interrupted(self) -> None:
        """The first stops a running answer by its button; the second, or one while idle, ends."""
        running = self._running
        if running is None or self._stopping or not self._buttons:
            self._quit.set()
            if running is not None:
                running.cancel()
            return
        self._stopping = True
        stop = asyncio.ensure_future(self._play(self._pressed(self._buttons[0])))
        running.add_done_callback(lambda _: stop.cancel())


async def _cancelled(*futures: asyncio.Future[Any]) -> None:
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


def _saved(attachment: Attachment, folder: Path) -> Path:
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


def audio_at(line: str) -> Audio | None:
    """The file that a line names, as typed or as a terminal writes one that is dropped on it."""
    try:
        words = shlex.split(line)
    except ValueError:
        return None
    if len(words) != 1 or name_for_suppliers(words[0], "") is None:
        return None
    path = Path(words[0]).expanduser()

    async def fetch() -> bytes:
        try:
            return await asyncio.to_thread(path.read_bytes)
        except OSError:
            raise NotFetched from None

    try:
        return Audio(None, path.stat().st_size, "", path.name, fetch) if path.is_file() else None
    except OSError:  # a name that is too long, a folder that may not be read
        return None
