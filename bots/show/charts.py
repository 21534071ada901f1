"""Charts: a line of bars for anywhere, and pictures for who asks for one.

The picture's library takes a second to import, so it is loaded by the first picture, off the loop.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_COLOUR: Final = "#1f6feb"
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


def _canvas() -> tuple[Any, Any]:
    """An empty figure; no window, no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    return figure, axes


def _drawn(figure: Any) -> bytes:
    out = io.BytesIO()
    with _ONE:
        figure.autofmt_xdate(rotation=30)
        figure.savefig(out, format="png")
    return out.getvalue()
