"""Charts: a line of bars for anywhere, and pictures for who asks for one.

The picture's library takes a second to import, so it is loaded by the first picture, off the loop.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_COLOUR: Final = "#1f6feb"
_RED: Final = "#cf222e"
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
    """The figures of a report to be drawn; cash in cents."""

    #: Words above it all, one line each.
    title: tuple[str, ...]
    #: Beginnings of days (ms UTC), and what their answers brought at par and cost.
    days: tuple[tuple[int, int, int], ...]
    #: Models by name, with their profit on cost in percent.
    margins: tuple[tuple[str, int], ...]
    #: Keys by name: used, and left.
    keys: tuple[tuple[str, int, int], ...]
    #: What the panels are called, in their order, and the two lines of the first.
    panels: tuple[str, str, str]
    lines: tuple[str, str]


async def report_chart(picture: ReportPicture) -> bytes:
    """A PNG of a report: revenue and cost over time, margin by model, what keys have left."""
    return await asyncio.to_thread(_report, picture)


def _report(picture: ReportPicture) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    rows = max(len(picture.margins), len(picture.keys), 1)
    figure: Any = Figure(figsize=(7.2, 5.0 + 0.28 * rows), dpi=_DPI, layout="constrained")
    figure.suptitle("\n".join(picture.title), fontsize=11, x=0.02, ha="left")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1 + 0.28 * rows))
    over_time = figure.add_subplot(grid[0, :])
    margins, keys = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    for axes, title in zip((over_time, margins, keys), picture.panels, strict=True):
        axes.set_title(title, fontsize=10, loc="left")
        _plain(axes)
    dates: list[Any] = [datetime.fromtimestamp(at / 1_000, UTC).date() for at, _, _ in picture.days]
    for number, (colour, label) in enumerate(zip((_COLOUR, _RED), picture.lines, strict=True)):
        amounts = [day[number + 1] for day in picture.days]
        over_time.plot(dates, amounts, color=colour, label=label, marker="o", markersize=3)
    dollars = FuncFormatter(lambda cents, _: f"${cents / 100:,.2f}".removesuffix(".00"))
    over_time.yaxis.set_major_formatter(dollars)
    over_time.legend(frameon=False, fontsize=9)
    over_time.tick_params(axis="x", rotation=30)
    names = [name for name, _ in picture.margins]
    percents = [percent for _, percent in picture.margins]
    colours = [_RED if percent < 0 else _COLOUR for percent in percents]
    margins.barh(names, percents, color=colours)
    margins.xaxis.set_major_formatter(FuncFormatter(lambda percent, _: f"{percent:,.0f} %"))
    named = [name for name, _, _ in picture.keys]
    used = [cents for _, cents, _ in picture.keys]
    keys.barh(named, [cents for _, _, cents in picture.keys], left=used, color=_COLOUR)
    keys.barh(named, used, color="#d0d7de")
    keys.xaxis.set_major_formatter(dollars)
    for axes in (margins, keys):
        axes.invert_yaxis()
        axes.tick_params(labelsize=8)
    return _saved(figure)


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
