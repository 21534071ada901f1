"""Charts: a line of bars for anywhere, and pictures for who asks for one.

The picture's library takes a second to import, so it is loaded by the first picture, off the loop.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_COLOUR: Final = "#1f6feb"
_RED: Final = "#cf222e"
_GREY: Final = "#d0d7de"
#: The share of its space that a bar fills.
_THICK: Final = 0.6
_INCHES: Final = (7.2, 3.6)
_DPI: Final = 120
#: The library keeps state of its own: one picture at a time.
_ONE = Lock()


def bars(numbers: Sequence[int]) -> str:
    """A bar for each number, the highest one full."""
    most = max((*numbers, 0)) or 1
    return "".join(_BARS[number * (len(_BARS) - 1) // most] for number in numbers)


async def earnings_chart(days: Sequence[tuple[int, int]]) -> bytes:
    """A PNG of Credits by day; `days` are their beginnings (ms UTC) with Credits, in order."""
    return await asyncio.to_thread(_earnings, days)


def _earnings(days: Sequence[tuple[int, int]]) -> bytes:
    figure, axes = _canvas()
    dates: list[Any] = [datetime.fromtimestamp(at / 1_000, UTC).date() for at, _ in days]
    axes.bar(dates, [amount for _, amount in days], color=_COLOUR, width=0.8)
    axes.set_ylabel("Credits")
    axes.yaxis.get_major_locator().set_params(integer=True)
    return _drawn(figure)


@dataclass(frozen=True, slots=True)
class ReportPicture:
    """The figures of a report that are drawn as a chart; cash is in cents."""

    #: Words above it all, one line each.
    title: tuple[str, ...]
    #: Beginnings of days (ms UTC), and what their answers brought at par and cost.
    days: tuple[tuple[int, int, int], ...]
    #: Suppliers, with what they were paid.
    costs: tuple[tuple[str, int], ...]
    #: Models by name, with their profit on cost in percent.
    margins: tuple[tuple[str, int], ...]
    #: Keys by name: used, and left.
    keys: tuple[tuple[str, int, int], ...]
    #: What the panels are called, in their order, and the two lines of the first.
    panels: tuple[str, str, str, str]
    lines: tuple[str, str]


async def report_chart(picture: ReportPicture) -> bytes:
    """A PNG of a report: revenue and cost over time, costs, margins, what keys have left."""
    return await asyncio.to_thread(_report, picture)


def _report(picture: ReportPicture) -> bytes:
    from matplotlib.figure import Figure

    middle = 0.8 + 0.3 * max(len(picture.costs), len(picture.margins), 1)
    bottom = 0.8 + 0.3 * max(len(picture.keys), 1)
    figure: Any = Figure(figsize=(7.2, 3.4 + middle + bottom), dpi=_DPI, layout="constrained")
    figure.suptitle("\n".join(picture.title), fontsize=10, x=0.02, ha="left")
    grid = figure.add_gridspec(3, 2, height_ratios=(2.8, middle, bottom))
    panels = [figure.add_subplot(grid[place]) for place in ((0, slice(None)), (1, 0), (1, 1))]
    panels.append(figure.add_subplot(grid[2, :]))
    for axes, title in zip(panels, picture.panels, strict=True):
        axes.set_title(title, fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
        _plain(axes)
    over_time, costs, margins, keys = panels
    _over_time(over_time, picture)
    _bars(costs, picture.costs, _dollars)
    _bars(margins, picture.margins, lambda percent: f"{percent:+,} %".replace("-", "−"))
    used = [cents for _, cents, _ in picture.keys]
    names = [name for name, _, _ in picture.keys]
    keys.barh(names, used, color=_GREY, height=_THICK)
    left = keys.barh(
        names, [cents for *_, cents in picture.keys], left=used, color=_COLOUR, height=_THICK
    )
    keys.bar_label(left, [_dollars(cents) for *_, cents in picture.keys], padding=3, fontsize=8)
    keys.xaxis.set_major_formatter(lambda cents, _: _dollars(round(cents)))
    keys.invert_yaxis()
    keys.margins(x=0.12)
    return _saved(figure)


def _over_time(axes: Any, picture: ReportPicture) -> None:
    dates: list[Any] = [datetime.fromtimestamp(at / 1_000, UTC).date() for at, *_ in picture.days]
    for number, (colour, label) in enumerate(zip((_COLOUR, _RED), picture.lines, strict=True)):
        amounts = [day[number + 1] for day in picture.days]
        axes.plot(dates, amounts, color=colour, label=label, marker="o", markersize=3)
    axes.yaxis.set_major_formatter(lambda cents, _: _dollars(round(cents)))
    axes.legend(frameon=False, fontsize=8)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", rotation=20)


def _bars(axes: Any, named: Sequence[tuple[str, int]], words: Callable[[int], str]) -> None:
    numbers = [number for _, number in named]
    colours = [_RED if number < 0 else _COLOUR for number in numbers]
    drawn = axes.barh([name for name, _ in named], numbers, color=colours, height=_THICK)
    axes.bar_label(drawn, [words(number) for number in numbers], padding=3, fontsize=8)
    axes.xaxis.set_visible(False)
    axes.invert_yaxis()
    axes.margins(x=0.35)


def _dollars(cents: int) -> str:
    sign = "−" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02}".removesuffix(".00")


def _plain(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)


def _canvas() -> tuple[Any, Any]:
    """An empty figure; no window, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def _drawn(figure: Any) -> bytes:
    figure.autofmt_xdate(rotation=30)
    return _saved(figure)


def _saved(figure: Any) -> bytes:
    out = io.BytesIO()
    with _ONE:
        figure.savefig(out, format="png")
    return out.getvalue()
