"""Charts: a line of bars for anywhere, and pictures for who asks for one.

The picture's library takes a second to import, so it is loaded by the first picture, off the loop.
Chinese is drawn with a font of the system's, else with the one that ships: a part of Noto Sans CJK
with every sign of the translations (`make chart-font`, its licence beside it).
"""

from __future__ import annotations

import asyncio
import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources
from threading import Lock
from typing import Any, Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_COLOUR: Final = "#1f6feb"
_RED: Final = "#cf222e"
_GREY: Final = "#d0d7de"
#: The share of its space that a bar fills.
_BAR_HEIGHT: Final = 0.6
_INCHES: Final = (7.2, 3.6)
_DPI: Final = 120
#: Of so few days each has its name.
_TICKS_MAX: Final = 8
#: Latin letters and digits, and the families that have Chinese, the better first.
_LATIN_FAMILY: Final = "DejaVu Sans"
_CHINESE_FAMILIES: Final[tuple[str, ...]] = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "Source Han Sans CN",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Noto Sans CJK JP",
)
#: In this package.
SHIPPED_FONT: Final = "chart_font.otf"
#: The library keeps state of its own: one picture at a time.
_DRAW_LOCK = Lock()


def format_bars(numbers: Sequence[int]) -> str:
    """A bar for each number, the highest one full."""
    highest = max((*numbers, 0)) or 1
    return "".join(_BARS[number * (len(_BARS) - 1) // highest] for number in numbers)


async def draw_earnings_chart(days: Sequence[tuple[int, int]], *, title: str, unit: str) -> bytes:
    """A PNG of Credits by day; `days` are their beginnings (ms UTC) with Credits, in order; `title`
    and `unit` are in the reader's words."""
    return await asyncio.to_thread(_draw_earnings, days, title, unit)


def _draw_earnings(days: Sequence[tuple[int, int]], title: str, unit: str) -> bytes:
    figure, axes = _new_figure()
    axes.set_title(title, fontsize=10, loc="left")
    dates: list[Any] = [datetime.fromtimestamp(at / 1_000, UTC).date() for at, _ in days]
    axes.bar(dates, [amount for _, amount in days], color=_COLOUR, width=0.8)
    axes.set_ylabel(unit)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.set_major_formatter(lambda amount, _: f"{round(amount):,}")
    if dates:
        _fit_dates(axes, dates)
    return _finish_figure(figure)


@dataclass(frozen=True, slots=True)
class ReportChartData:
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


async def draw_report_chart(chart_data: ReportChartData) -> bytes:
    """A PNG of a report: revenue and cost over time, costs, margins, what keys have left."""
    return await asyncio.to_thread(_draw_report, chart_data)


def _draw_report(chart_data: ReportChartData) -> bytes:
    Figure = _load_figures()  # noqa: N806 - a class

    middle = 0.8 + 0.3 * max(len(chart_data.costs), len(chart_data.margins), 1)
    bottom = 0.8 + 0.3 * max(len(chart_data.keys), 1)
    figure: Any = Figure(figsize=(7.2, 3.4 + middle + bottom), dpi=_DPI, layout="constrained")
    figure.suptitle("\n".join(chart_data.title), fontsize=10, x=0.02, ha="left")
    grid = figure.add_gridspec(3, 2, height_ratios=(2.8, middle, bottom))
    panels = [figure.add_subplot(grid[place]) for place in ((0, slice(None)), (1, 0), (1, 1))]
    panels.append(figure.add_subplot(grid[2, :]))
    for axes, title in zip(panels, chart_data.panels, strict=True):
        axes.set_title(title, fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
        _style_axes(axes)
    over_time, costs, margins, keys = panels
    _draw_over_time(over_time, chart_data)
    _draw_bars(costs, chart_data.costs, _format_dollars)
    _draw_bars(margins, chart_data.margins, lambda percent: f"{percent:+,} %".replace("-", "−"))
    used = [cents for _, cents, _ in chart_data.keys]
    names = [name for name, _, _ in chart_data.keys]
    keys.barh(names, used, color=_GREY, height=_BAR_HEIGHT)
    left = keys.barh(
        names,
        [cents for *_, cents in chart_data.keys],
        left=used,
        color=_COLOUR,
        height=_BAR_HEIGHT,
    )
    keys.bar_label(
        left, [_format_dollars(cents) for *_, cents in chart_data.keys], padding=3, fontsize=8
    )
    keys.xaxis.set_major_formatter(lambda cents, _: _format_dollars(round(cents)))
    keys.invert_yaxis()
    keys.margins(x=0.12)
    return _save_png(figure)


def _draw_over_time(axes: Any, chart_data: ReportChartData) -> None:
    dates: list[Any] = [
        datetime.fromtimestamp(at / 1_000, UTC).date() for at, *_ in chart_data.days
    ]
    for number, (colour, label) in enumerate(zip((_COLOUR, _RED), chart_data.lines, strict=True)):
        amounts = [day[number + 1] for day in chart_data.days]
        axes.plot(dates, amounts, color=colour, label=label, marker="o", markersize=3)
    axes.yaxis.set_major_formatter(lambda cents, _: _format_dollars(round(cents)))
    axes.legend(frameon=False, fontsize=8)
    axes.set_ylim(bottom=0)
    if dates:
        _fit_dates(axes, dates)
    axes.tick_params(axis="x", rotation=20)


def _fit_dates(axes: Any, dates: Sequence[date]) -> None:
    """The days of the figures and no other: there is none of tomorrow."""
    from matplotlib import dates as library

    dates_of: Any = library  # its constructors have no types
    half = timedelta(hours=14)
    first, last = (datetime.combine(day, time()) for day in (dates[0], dates[-1]))
    axes.set_xlim(first - half, last + half)
    axes.xaxis.set_major_locator(dates_of.AutoDateLocator(minticks=1, maxticks=8))
    axes.xaxis.set_major_formatter(dates_of.DateFormatter("%Y-%m-%d"))
    if len(dates) <= _TICKS_MAX:
        axes.set_xticks([datetime.combine(day, time()) for day in dates])


def _draw_bars(
    axes: Any, named: Sequence[tuple[str, int]], format_number: Callable[[int], str]
) -> None:
    numbers = [number for _, number in named]
    colours = [_RED if number < 0 else _COLOUR for number in numbers]
    drawn = axes.barh([name for name, _ in named], numbers, color=colours, height=_BAR_HEIGHT)
    axes.bar_label(drawn, [format_number(number) for number in numbers], padding=3, fontsize=8)
    axes.xaxis.set_visible(False)
    axes.invert_yaxis()
    axes.margins(x=0.35)


def _format_dollars(cents: int) -> str:
    sign = "−" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02}".removesuffix(".00")


def _style_axes(axes: Any) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)


@functools.cache
def _load_figures() -> type[Any]:
    """The library's figures, with fonts for both languages."""
    import matplotlib as library
    from matplotlib.figure import Figure

    library.rcParams["font.family"] = choose_families()
    return Figure


def choose_families() -> list[str]:
    """Families that have all signs together: the system's, else the one that ships."""
    from matplotlib import font_manager

    known = set(font_manager.fontManager.get_font_names())
    found = [name for name in _CHINESE_FAMILIES if name in known]
    if not found:
        with resources.as_file(resources.files("bots.render").joinpath(SHIPPED_FONT)) as path:
            font_manager.fontManager.addfont(path)
            found = [font_manager.FontProperties(fname=path).get_name()]
    return [str(_LATIN_FAMILY), *found[:1]]


def _new_figure() -> tuple[Any, Any]:
    """An empty figure; no window, no global state."""
    figure = _load_figures()(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    _style_axes(axes)
    return figure, axes


def _finish_figure(figure: Any) -> bytes:
    figure.autofmt_xdate(rotation=30)
    return _save_png(figure)


def _save_png(figure: Any) -> bytes:
    out = io.BytesIO()
    with _DRAW_LOCK:
        figure.savefig(out, format="png")
    return out.getvalue()
