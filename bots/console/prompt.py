"""The line that a person types on a terminal: edited in place, with the lines of before, while
what comes meanwhile is printed above it. A pasted block is one message.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO, final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import in_terminal
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.vt100 import Vt100_Output

from bots.render.plain_text import display_width
from bots.render.secret_scan import find_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What was printed since a line was typed is kept to be printed again, up to so many characters.
_REPRINT_CHARS_MAX: Final = 20_000
#: Of a terminal that doesn't tell its size.
_COLUMNS: Final = 80
_ROWS: Final = 24
_DIM: Final = "\x1b[2m{}\x1b[0m"


class _SafeHistory(FileHistory):
    """The lines of before in a file that its user alone reads; no line with a key is kept."""

    def store_string(self, string: str) -> None:
        if not find_secrets(string):
            super().store_string(string)

    def load_history_strings(self) -> Iterable[str]:
        Path(str(self.filename)).touch(mode=0o600)
        return super().load_history_strings()


@final
class TerminalPrompt:
    """A prompt stays at the bottom of the screen from `read_line` until the line is entered, also
    when the wait for it is cancelled: what was typed so far is not lost."""

    def __init__(
        self,
        source: TextIO,
        screen: TextIO,
        *,
        on_interrupt: Callable[[], None],
        history: Path | None = None,
    ) -> None:
        """`on_interrupt` is called for Ctrl-C on an empty line."""
        self._screen, self._on_interrupt = screen, on_interrupt
        self._input = Vt100Input(source)
        # Where the cursor stands isn't asked: not every terminal answers.
        self._output = Vt100_Output(
            screen, self._get_size, os.environ.get("TERM"), enable_cpr=False
        )
        kept: History = InMemoryHistory() if history is None else _SafeHistory(str(history))
        self._session = self._create_session(kept)
        self._hidden = self._create_session(InMemoryHistory())
        self._reading: asyncio.Task[str | None] | None = None
        self._is_hidden, self._label = False, ""
        self._unprinted: list[str] = []
        self._printing: asyncio.Task[None] | None = None
        #: The line just entered with its prompt, and what was printed since.
        self._echo, self._since = "", ""

    def _create_session(self, history: History) -> PromptSession[str]:
        return PromptSession(
            input=self._input,
            output=self._output,
            history=history,
            key_bindings=self._bind_keys(),
            mouse_support=False,
            prompt_continuation="  ",
        )

    def _bind_keys(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("c-c")
        def _(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            else:
                self._on_interrupt()

        return bindings

    @property
    def columns(self) -> int:
        """How wide the terminal is now."""
        return self._get_size().columns

    def _get_size(self) -> Size:
        try:
            columns, rows = os.get_terminal_size(self._screen.fileno())
        except (OSError, ValueError):
            columns = rows = 0
        return Size(rows or _ROWS, columns or _COLUMNS)

    async def read_line(self, label: str, *, hidden: bool = False) -> str | None:
        """The next line; None at the end (Ctrl-D). A cancelled wait leaves the prompt standing, for
        the next call; what is typed so far stands behind a new `label`, too. `hidden`: what is
        typed isn't shown or kept."""
        typed = ""
        if self._reading is not None and hidden != self._is_hidden:
            await self._end_reading()
        elif self._reading is not None and label != self._label and not self._reading.done():
            typed = self._session.default_buffer.text
            await self._end_reading()
        if self._reading is None:
            self._is_hidden, self._label = hidden, label
            self._reading = asyncio.create_task(self._read(label, typed, hidden=hidden))
        line = await asyncio.shield(self._reading)
        self._reading = None
        return line

    async def _read(self, label: str, typed: str = "", *, hidden: bool) -> str | None:
        await self._flush()
        session = self._hidden if hidden else self._session
        try:
            line = await session.prompt_async(
                ANSI(_DIM.format(label)), default=typed, is_password=hidden, handle_sigint=False
            )
        except EOFError:
            return None
        self._echo, self._since = ("" if hidden else label + line), ""
        return line

    def print_text(self, text: str) -> None:
        """Prints whole lines above the prompt, in their order."""
        self._unprinted.append(text)
        self._since = (self._since + text)[-_REPRINT_CHARS_MAX:]
        if not self._session.app.is_running and not self._hidden.app.is_running:
            self._write_out()
        elif self._printing is None or self._printing.done():
            self._printing = asyncio.create_task(self._print_above())

    def erase_line(self) -> None:
        """Takes the line that was entered last off the screen; what was printed since stays."""
        if not self._echo:
            return
        since, self._since = self._since, ""
        rows = self._count_rows(self._echo) + self._count_rows(since.removesuffix("\n"))
        self._echo = ""
        self.print_text(f"\x1b[{rows}A\r\x1b[J{since}")

    def _count_rows(self, text: str) -> int:
        if not text:
            return 0
        return sum(max(1, -(-display_width(line) // self.columns)) for line in text.split("\n"))

    async def _print_above(self) -> None:
        async with in_terminal():
            self._write_out()

    def _write_out(self) -> None:
        text = "".join(self._unprinted)
        self._unprinted.clear()
        with contextlib.suppress(BrokenPipeError):
            self._screen.write(text)
            self._screen.flush()

    async def _flush(self) -> None:
        if self._printing is not None:
            await asyncio.wait({self._printing})
        self._write_out()

    async def _end_reading(self) -> None:
        if self._reading is None:
            return
        app = (self._hidden if self._is_hidden else self._session).app
        app.erase_when_done = True
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        app.erase_when_done, self._reading = False, None

    async def close(self) -> None:
        """Takes the prompt away and prints what is left."""
        await self._end_reading()
        await self._flush()

    def __repr__(self) -> str:  # never what was typed
        return f"{type(self).__name__}()"
