"""The lines of Word files, inside the reading process.

What people send was written by many programs and has passed through many hands: words stand in
tracked changes, content controls, text boxes, fields and notes, and a clause's number is nowhere
but in what counts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from core.attachments.office_parts import WordPackage, find_attribute, find_name
from core.attachments.word_numbers import Numbering

#: Words that were deleted or moved away, how signs are read, and older twins of text boxes.
_SKIPPED: Final = frozenset({"del", "moveFrom", "rt", "Fallback"})
_SIGNS: Final = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
#: Kinds of notes, each with what tells its numbers from those of the others.
_NOTES: Final = {"footnote": "", "endnote": "e", "comment": "c"}
_REFERENCES: Final = {f"{kind}Reference": letter for kind, letter in _NOTES.items()}


def list_word_lines(content: bytes) -> Iterator[str]:
    """What a Word file says, in its order: paragraphs with their numbers, rows of tables with tabs
    between cells, and behind each paragraph the boxes that hang on it. What heads its pages comes
    first, what foots them and the notes last; a note is referred to as in Markdown. Raises whatever
    its libraries raise of a damaged one."""
    package = WordPackage(content)
    numbering = next(package.list_parts("numbering"), None)
    reader = _WordReader(Numbering(numbering, next(package.list_parts("styles"), None)))
    yield from dict.fromkeys(reader.list_lines(package.list_parts("header")))
    yield from reader.list_lines((package.document,))
    yield from dict.fromkeys(reader.list_lines(package.list_parts("footer")))
    for kind, letter in _NOTES.items():
        for notes in package.list_parts(f"{kind}s"):
            yield from reader.list_notes(notes, letter)


class _WordReader:
    """The reader goes through elements in their order, and counts what has a number."""

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering

    def list_lines(self, elements: Iterable[Any]) -> Iterator[str]:
        """The paragraphs and rows within, however they are wrapped."""
        for element in elements:
            name = find_name(element)
            if name == "p":
                yield from self._list_paragraph(element)
            elif name == "tr":
                cells = (" ".join(self.list_lines(cell)) for cell in _list_cells(element))
                line = "\t".join(cells).replace("\n", " ").rstrip()
                if line:
                    yield line
            elif name not in _SKIPPED:
                yield from self.list_lines(element)

    def list_notes(self, notes: Any, letter: str) -> Iterator[str]:
        """Each with what refers to it; what separates footnotes from the text has no words."""
        for note in notes:
            words = " ".join(self.list_lines(note))
            if words:
                author = find_attribute(note, "author")
                said = f"{author}: {words}" if author else words
                yield f"[^{letter}{find_attribute(note, 'id')}]: {said}"

    def _list_paragraph(self, paragraph: Any) -> Iterator[str]:
        number = self._numbering.count_paragraph(paragraph)
        pieces: list[str] = []
        boxes: list[Any] = []
        _add_pieces(paragraph, pieces, boxes)
        line = "".join(pieces)
        if line.strip():
            yield f"{number} {line}" if number else line
        yield from self.list_lines(boxes)


def _list_cells(element: Any) -> Iterator[Any]:
    for child in element:
        if find_name(child) == "tc":
            yield child
        elif find_name(child) not in _SKIPPED:
            yield from _list_cells(child)


def _add_pieces(element: Any, pieces: list[str], boxes: list[Any]) -> None:
    for child in element:
        name = find_name(child)
        if name == "t":
            pieces.append(child.text or "")
        elif name in _SIGNS:
            pieces.append(_SIGNS[name])
        elif name in _REFERENCES:
            pieces.append(f"[^{_REFERENCES[name]}{find_attribute(child, 'id')}]")
        elif name == "txbxContent":
            boxes.append(child)
        elif name not in _SKIPPED and not name.endswith("Pr"):
            _add_pieces(child, pieces, boxes)
