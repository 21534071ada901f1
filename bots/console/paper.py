"""What the console prints: cards, answers as they grow, footers, numbered buttons.

On a terminal words stay whole and Markdown is laid out; into a file goes the plain text.
"""

from __future__ import annotations

import re
from typing import Final, TextIO, final

from bots.chat.types import Button, ButtonRows, Card, without_copies
from bots.console.layout import (
    end_label,
    fit_table,
    flow,
    format_growing,
    format_markdown,
    style_text,
    wrap_text,
)
from bots.console.prompt import TerminalPrompt
from bots.render.blocks import format_table
from bots.render.plain_text import clean_text, defuse_footer_marks, format_footer, to_one_line

DIM: Final = "2"
_BOLD: Final = "1"
#: What may still grow together with what comes next: pictures and joiners.
_UNFINISHED_CHARS: Final = re.compile("[\u200c\u200d\u2190-\u2bff\ufe0f\U0001f000-\U000e007f]+$")


@final
class ConsolePrinter:
    """The printer writes to a file, or above the prompt of a terminal; nothing that it writes can
    drive the terminal."""

    def __init__(self, output: TextIO, prompt: TerminalPrompt | None = None) -> None:
        self._output, self._prompt = output, prompt
        self._encoding = getattr(output, "encoding", None) or "utf-8"
        #: What is printed of the answer that grows, None between answers; on a terminal the number
        #: of its lines.
        self._printed: str | None = None
        self._printed_lines = 0
        self._at_line_start = True

    def print_line(self, text: str = "", *, style: str = "") -> None:
        """A line of its own."""
        self.end_line()
        if self._prompt is None:
            self._write(text + "\n")
        else:
            lines = wrap_text(text, self._prompt.columns)
            self._write("".join(style_text(line, style) + "\n" for line in lines))

    def print_card(self, card: Card) -> None:
        """A card; its buttons are printed by `print_buttons`."""
        if card.title:
            self.print_line(to_one_line(card.title), style=_BOLD)
        if card.table:
            rows = tuple(tuple(to_one_line(cell) for cell in row) for row in card.table)
            if self._prompt is None:
                self._print_verbatim(format_table(rows, header=False).split("\n"))
            else:
                self._print_verbatim(fit_table(rows, self._prompt.columns))
        for text in card.lines:
            self.print_line(clean_text(text))

    def print_buttons(self, buttons: ButtonRows, first: int = 1) -> list[Button]:
        """Prints buttons with their numbers, from `first` on, and gives them in that order."""
        all_buttons = [button for row in without_copies(buttons) for button in row]
        for link in (button for button in all_buttons if button.url):
            self.print_line(f"{end_label(to_one_line(link.label))}{link.url}")
        numbered = [button for button in all_buttons if not button.url]
        shown = [f"[{at}] {to_one_line(each.label)}" for at, each in enumerate(numbered, first)]
        if shown and self._prompt is None:
            self._print_verbatim(["  ".join(shown)])
        elif shown and self._prompt is not None:
            self._print_verbatim(flow(shown, self._prompt.columns), style=DIM)
        return numbered

    def begin_answer(self, note: str) -> None:
        """An answer begins; its note comes first."""
        if note:
            for text in note.splitlines():
                self.print_line(to_one_line(text), style=DIM)
        self._printed, self._printed_lines = "", 0

    @property
    def is_answering(self) -> bool:
        """Whether an answer has begun and not ended."""
        return self._printed is not None

    def print_progress(self, text: str) -> None:
        """The answer so far: only what is new is printed, on a terminal by whole lines."""
        if self._prompt is not None:
            lines = format_growing(clean_text(text), self._prompt.columns)
            self._print_new_lines(lines)
            return
        self._print_new_text(_UNFINISHED_CHARS.sub("", defuse_footer_marks(clean_text(text))))

    def end_answer(self, text: str, footer: str) -> None:
        """The answer's end: the rest of its text, and the footer."""
        if self._prompt is None:
            self._print_new_text(defuse_footer_marks(clean_text(text)))
        else:
            self._print_new_lines(format_markdown(clean_text(text), self._prompt.columns))
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
        if self._prompt is not None:
            self._prompt.erase_line()

    def end_line(self) -> None:
        """Ends the line that is being written, if any."""
        if not self._at_line_start:
            self._write("\n")

    def _print_new_text(self, shown: str) -> None:
        before = self._printed or ""
        if shown.startswith(before):
            self._write(shown[len(before) :])
        else:
            self.end_line()
            self._write(shown)
        self._printed = shown

    def _print_new_lines(self, lines: list[str]) -> None:
        self._print_verbatim(lines[self._printed_lines :])
        self._printed_lines = max(self._printed_lines, len(lines))

    def _print_verbatim(self, lines: list[str], *, style: str = "") -> None:
        self.end_line()
        self._write("".join(style_text(line, style) + "\n" for line in lines))

    def _write(self, text: str) -> None:
        if not text:
            return
        self._at_line_start = text.endswith("\n")
        encoded = text.encode(self._encoding, "replace").decode(self._encoding)
        if self._prompt is not None:
            self._prompt.print_text(encoded)
            return
        self._output.write(encoded)
        self._output.flush()
