"""The entry that takes the books back to a day, after a wrong clock took them ahead.

Transfers and submissions stay as they were written. The entry says up to which transfer, and to
which day at the latest, they count; what is derived from them follows: the closings of that day and
later ones go, as those days aren't over, and accounts count to it. The audit reads the entries and
computes the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from core.ledger.book_day import BookDay
from core.ledger.planner import format_day

_INSERT: Final = (
    "INSERT INTO day_correction (seq, last, day, before, at) SELECT"
    " (SELECT coalesce(max(seq), 0) + 1 FROM day_correction),"
    " (SELECT coalesce(max(seq), 0) FROM transfer), {0},"
    " (SELECT coalesce(max(day), 0) FROM account), {0}"
)
_DELETE_CLOSINGS: Final = "DELETE FROM closing WHERE day >= {0}"
_UPDATE_ACCOUNTS: Final = "UPDATE account SET day = {0} WHERE day > {0}"


def apply(execute: Callable[..., Any], mark: str, corrected: BookDay) -> int:
    """Writes the entry in the transaction of `execute`, which nobody else writes in; `mark` stands
    for a value in its statements. Gives how many accounts counted to a later day."""
    execute(_INSERT.format(mark), (corrected.day, corrected.at_ms))
    execute(_DELETE_CLOSINGS.format(mark), (format_day(corrected.day),))
    count: int = execute(_UPDATE_ACCOUNTS.format(mark), (corrected.day,) * 2).rowcount
    return count
