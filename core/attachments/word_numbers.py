"""The numbers of a Word file's clauses and items. They stand nowhere in its text: whoever shows it
counts them, as the list says that a paragraph or its style names.

ECMA-376 part 1, 17.9: https://ecma-international.org/publications-and-standards/standards/ecma-376/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core.attachments.office_parts import find_attribute, find_child, find_value, list_children

_BULLET: Final = "•"
#: A style is based on another one, and so on; whatever a file says, that has an end.
_STYLES_MAX: Final = 20
#: Larger ones are written in decimals, whatever their list says.
_SPELLED_MAX: Final = 3_000
_ROMAN: Final = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc")),
    *((50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)


def _spell_roman(number: int) -> str:
    spelled = ""
    for value, sign in _ROMAN:
        times, number = divmod(number, value)
        spelled += sign * times
    return spelled


def _spell_letters(number: int) -> str:
    """`z` is followed by `aa`, then `bb`."""
    times, at = divmod(number - 1, 26)
    return chr(ord("a") + at) * (times + 1)


#: Formats that aren't here are written in decimals.
_FORMATS: Final[Mapping[str, Callable[[int], str]]] = {
    "lowerRoman": _spell_roman,
    "upperRoman": lambda number: _spell_roman(number).upper(),
    "lowerLetter": _spell_letters,
    "upperLetter": lambda number: _spell_letters(number).upper(),
    "decimalZero": lambda number: f"{number:02}",
    "none": lambda _: "",
}


@dataclass(frozen=True, slots=True)
class _Level:
    """How the items of a level are counted and written."""

    start: int
    format: str
    #: With `%1` where the number of the first level stands, and so on.
    pattern: str
    #: Whether all numbers in it are decimals.
    is_legal: bool

    def spell_number(self, number: int) -> str:
        """A number of this level."""
        if self.format not in _FORMATS or not 0 < number <= _SPELLED_MAX:
            return str(number)
        return _FORMATS[self.format](number)


@dataclass(slots=True)
class _List:
    """The levels of a list, and how far each was counted. Lists of one definition count on
    together, but for levels that begin anew with the first item of a list."""

    levels: Mapping[int, _Level]
    numbers: dict[int, int]
    restarts: dict[int, int] = field(default_factory=dict)

    def count_item(self, at: int) -> str:
        """The number of the next item of a level, as it is written."""
        for level, start in self.restarts.items():
            self.numbers[level] = start - 1
        self.restarts = {}
        if at not in self.levels:
            return ""
        self.numbers[at] = self.numbers.get(at, self.levels[at].start - 1) + 1
        for deeper in [level for level in self.numbers if level > at]:
            del self.numbers[deeper]
        if self.levels[at].format == "bullet":
            return _BULLET
        written = self.levels[at].pattern
        for level in [level for level in self.levels if level <= at]:
            number = self.numbers.setdefault(level, self.levels[level].start)
            is_legal = self.levels[at].is_legal
            spelled = str(number) if is_legal else self.levels[level].spell_number(number)
            written = written.replace(f"%{level + 1}", spelled)
        return written.strip()


class Numbering:
    """The lists of a file, and the styles that put paragraphs into them."""

    def __init__(self, numbering: Any, styles: Any) -> None:
        """The roots of those parts, each of which may be None."""
        self._lists = dict(_list_lists(numbering))
        self._styles = {
            find_attribute(style, "styleId"): style for style in list_children(styles, "style")
        }

    def count_paragraph(self, paragraph: Any) -> str:
        """The number of the next paragraph; empty where it has none."""
        list_, level, holder = "", "", paragraph
        for _ in range(_STYLES_MAX):
            list_ = find_value(holder, "pPr", "numPr", "numId")
            level = level or find_value(holder, "pPr", "numPr", "ilvl")
            style = find_value(holder, "pPr", "pStyle") or find_value(holder, "basedOn")
            if list_ or style not in self._styles:
                break
            holder = self._styles[style]
        if list_ not in self._lists:
            return ""
        return self._lists[list_].count_item(_read_number(level, 0))


def _list_lists(numbering: Any) -> Iterator[tuple[str, _List]]:
    definitions = {
        find_attribute(one, "abstractNumId"): (dict(_list_levels(one)), dict[int, int]())
        for one in list_children(numbering, "abstractNum")
    }
    for one in list_children(numbering, "num"):
        levels, numbers = definitions.get(find_value(one, "abstractNumId"), ({}, {}))
        list_ = _List(levels, numbers)
        for override in list_children(one, "lvlOverride"):
            list_.levels = {**list_.levels, **dict(_list_levels(override))}
            if find_child(override, "startOverride") is not None:
                start = _read_number(find_value(override, "startOverride"), 1)
                list_.restarts[_read_number(find_attribute(override, "ilvl"), 0)] = start
        yield find_attribute(one, "numId"), list_


def _list_levels(definition: Any) -> Iterator[tuple[int, _Level]]:
    for one in list_children(definition, "lvl"):
        yield (
            _read_number(find_attribute(one, "ilvl"), 0),
            _Level(
                _read_number(find_value(one, "start"), 1),
                find_value(one, "numFmt"),
                find_value(one, "lvlText"),
                find_child(one, "isLgl") is not None,
            ),
        )


def _read_number(written: str, otherwise: int) -> int:
    return int(written) if written.isascii() and written.isdecimal() else otherwise
