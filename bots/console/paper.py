"""What the console prints: cards, answers as they grow, footers, numbered buttons."""

from __future__ import annotations

import re
from typing import Final, TextIO, final

from bots.chat.types import Button, Buttons, Screen
from bots.render.blocks import table_text
from bots.render.plain_text import clean, footer_lines, one_line, unforged

DIM: Final = "2"
_BOLD: Final = "1"
#: What may still grow together with what comes next: pictures and joiners.
_UNSETTLED: Final = re.compile("[\u200c\u200d\u2190-\u2bff\ufe0f\U0001f000-\U000e007f]+$")


@final
class Paper:
    """The printer writes to a terminal or a file; nothing that it writes can drive the terminal."""

    def __init__(self, output: TextIO, *, is_terminal: bool) -> None:
        self._output = output
        self._styled = is_terminal
        self._encoding = getattr(output, "encoding", None) or "utf-8"
        #: What is printed of the answer that grows, None between answers.
        self._grown: str | None = None
        self._at_line_start = True

    def line(self, text: str = "", *, style: str = "") -> None:
        """A line of its own."""
        self.end_line()
        self._write(self._in_style(text, style) + "\n")

    def prompt(self, text: str) -> None:
        """What stands before the place to type."""
        self.end_line()
        self._write(self._in_style(text, DIM))
        self._at_line_start = True  # the person's Enter ends the line

    def card(self, screen: Screen) -> None:
        """A card; its buttons are printed by `print_buttons`."""
        if screen.title:
            self.line(one_line(screen.title), style=_BOLD)
        if screen.table:
            rows = tuple(tuple(one_line(cell) for cell in row) for row in screen.table)
            for text in table_text(rows, header=False).split("\n"):
                self.line(text)
        for text in screen.lines:
            self.line(clean(text))

    def buttons(self, buttons: Buttons) -> list[Button]:
        """Prints buttons with their numbers, and gives them in that order."""
        every = [button for row in buttons for button in row]
        for leading in (button for button in every if button.url):
            self.line(f"{one_line(leading.label)}: {leading.url}")
        flat = [button for button in every if not button.url]
        shown = [f"[{number}] {one_line(each.label)}" for number, each in enumerate(flat, 1)]
        if shown:
            self.line("  ".join(shown), style=DIM)
        return flat

    def begin(self, note: str) -> None:
        """An answer begins; its note comes first."""
        if note:
            for text in note.splitlines():
                self.line(one_line(text), style=DIM)
        self._grown = ""

    @property
    def growing(self) -> bool:
        """Whether an answer has begun and not ended."""
        return self._grown is not None

    def grow(self, text: str, *, whole: bool = False) -> None:
        """The answer so far: only what is new is printed."""
        shown = unforged(clean(text))
        if not whole:
            shown = _UNSETTLED.sub("", shown)
        before = self._grown or ""
        if shown.startswith(before):
            self._write(shown[len(before) :])
        else:
            self.end_line()
            self._write(shown)
        self._grown = shown

    def end(self, text: str, footer: str) -> None:
        """The answer's end: the rest of its text, and the footer."""
        self.grow(text, whole=True)
        self._grown = None
        self.end_line()
        if footer:
            for line in footer_lines(footer).split("\n"):
                self.line(line, style=DIM)

    def drop(self) -> None:
        """The answer will not end."""
        self._grown = None
        self.end_line()

    def erase_typed(self) -> None:
        """Takes the line just typed off the screen, where that can be done."""
        if self._styled:
            self._write("\x1b[1A\x1b[2K")
            self._at_line_start = True

    def end_line(self) -> None:
        """Ends the line that is being written, if any."""
        if not self._at_line_start:
            self._write("\n")

    def _in_style(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if style and self._styled and text else text

    def _write(self, text: str) -> None:
        if not text:
            return
        self._at_line_start = text.endswith("\n")
        self._output.write(text.encode(self._encoding, "replace").decode(self._encoding))
        self._output.flush()
