"""What a token may spend in a day, as companions of the submissions that hold and settle.

Whoever admits an ask hands the hold's companion to the ledger with the ask's own entries: both are
written or neither, so that no number of processes passes a cap together. A row of the day must be
there before (`ApiTokens.prepare_day`). What was held is counted at once; what of it wasn't charged
is given back with the settlement, to the day on which it was held.
"""

from __future__ import annotations

from typing import Protocol

from core.clock import DAY_MS
from core.db import schema
from core.db.writes import Add
from core.money import Credits


class DayCap(Protocol):
    """A cap says what a token may spend on one UTC day, by the day's number since 1970."""

    @property
    def token(self) -> str:
        """The token's id."""
        ...

    @property
    def day(self) -> int:
        """The day's number since 1970."""
        ...

    @property
    def per_day(self) -> Credits:
        """How much it may spend on that day."""
        ...


def as_day_number(at_ms: int) -> int:
    """The UTC day of a time (milliseconds), by its number since 1970."""
    return at_ms // DAY_MS


def build_cap_hold(cap: DayCap, amount: Credits) -> Add:
    """Counts an amount that is held for an ask; refused (`CompanionRefused` with the table
    `api_spending`) where it would pass the cap."""
    return _build_change(cap.token, cap.day, amount.units, at_most=cap.per_day.units)


def build_cap_release(token: str, day: int, amount: Credits) -> Add:
    """Gives back to a day's cap what was held on it and not charged; never refused by the cap,
    which its person may have lowered meanwhile."""
    return _build_change(token, day, -amount.units, at_most=None)


def _build_change(token: str, day: int, units: int, *, at_most: int | None) -> Add:
    return Add(schema.api_spending, {"token": token, "day": day}, "credits", units, at_most)
