"""What the console prints: cards, answers as they grow, footers, numbered buttons."""

from __future__ import annotations

import re
from typing import Final, TextIO, final

from bots.chat.types import Button, ButtonRows, Card, without_copies
from bots.render.blocks import format_table
from bots.render.plain_text import clean_text, defuse_footer_marks, format_footer, to_one_line

DIM: Final = "2"
_BOLD: Final = "1"
#: What may still grow together with what comes next: pictures and joiners.
_UNFINISHED_CHARS: Final = re.compile("[\u200c\u200d\u2190-\u2bff\ufe0f\U0001f000-\U000e007f]+$")


@final
class ConsolePrinter:
    """The printer writes to a terminal or a file; nothing that it writes can drive the terminal."""

    def __init__(self, output: TextIO, *, is_terminal: bool) -> None:
        self._output = output
        self._styled = is_terminal
        self._encoding = getattr(output, "encoding", None) or "utf-8"
        #: What is printed of the answer that grows, None between answers.
        self._printed: str | None = None
        self._at_line_start = True

    def print_line(self, text: str = "", *, style: str = "") -> None:
        """A line of its own."""
        self.end_line()
        self._write(self._in_style(text, style) + "\n")

    def print_input_prompt(self, text: str) -> None:
        """What stands before the place to type."""
        self.end_line()
        self._write(self._in_style(text, DIM))
        self._at_line_start = True  # the person's Enter ends the line

    def print_card(self, card: Card) -> None:
        """A card; its buttons are printed by `print_buttons`."""
        if card.title:
            self.print_line(to_one_line(card.title), style=_BOLD)
        if card.table:
            rows = tuple(tuple(to_one_line(cell) for cell in row) for row in card.table)
            for text in format_table(rows, header=False).split("\n"):
                self.print_line(text)
        for text in card.lines:
            self.print_line(clean_text(text))

    def print_buttons(self, buttons: ButtonRows) -> list[Button]:
        """Prints buttons with their numbers, and gives them in that order."""
        all_buttons = [button for row in without_copies(buttons) for button in row]
        for link in (button for button in all_buttons if button.url):
            self.print_line(f"{to_one_line(link.label)}: {link.url}")
        numbered = [button for button in all_buttons if not button.url]
        shown = [f"[{number}] {to_one_line(each.label)}" for number, each in enumerate(numbered, 1)]
        if shown:
            self.print_line("  ".join(shown), style=DIM)
        return numbered

    def begin_answer(self, note: str) -> None:
        """An answer begins; its note comes first."""
        if note:
            for text in note.splitlines():
                self.print_line(to_one_line(text), style=DIM)
        self._printed = ""

    @property
    def is_answering(self) -> bool:
        """Whether an answer has begun and not ended."""
        return self._printed is not None

    def print_progress(self, text: str, *, is_final: bool = False) -> None:
        """The answer so far: only what is new is printed."""
        shown = defuse_footer_marks(clean_text(text))
        if not is_final:
            shown = _UNFINISHED_CHARS.sub("", shown)
        before = self._printed or ""
        if shown.startswith(before):
            self._write(shown[len(before) :])
        else:
            self.end_line()
            self._write(shown)
        self._printed = shown

    def end_answer(self, text: str, footer: str) -> None:
        """The answer's end: the rest of its text, and the footer."""
        self.print_progress(text, is_final=True)
        self._printed = None
        self.end_line()
        if footer:
            for line in format_footer(footer).split("\n"):
                self.print_line(line, style=DIM)

    def drop_answer(self) -> None:
        """The answer will not end."""
        self._printed = None
        self.end_line()

    def erase_input_line(self) -> None:
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
