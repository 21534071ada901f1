"""What is said under an answer of what it did to one's Credits: that it cost far more than usual,
or that they run low. Each is one line, and rare: an ordinary answer reads nothing for it."""

from __future__ import annotations

import statistics
from typing import Final

from bots.chat.reply import Phrase, say
from bots.commands.text import compute_average_charge, format_credits
from core.asks.repository import AskHistory
from core.asks.types import AskResult
from core.db.errors import DatabaseUnavailable
from core.money import Credits
from core.pricing.deals import Deals

#: An answer is unusual beyond so many times the median of so many before it, if it also took this
#: share of what there was.
_UNUSUAL_TIMES: Final = 5
_COMPARED: Final = 20
_COMPARED_MIN: Final = 5
_SHARE_PERCENT: Final = 5
#: Credits run low where they pay for fewer average answers of the model that was asked.
_LOW_ANSWERS: Final = 10


class SpendingNotes:
    """Lines about one's spending, for footers of answers that only their asker reads."""

    def __init__(self, ask_history: AskHistory, deals: Deals) -> None:
        self._ask_history, self._deals = ask_history, deals

    async def list_notes(self, result: AskResult, person: str) -> list[Phrase]:
        """The lines for an answer of a person; none where what is left isn't known."""
        left = result.remaining_credits
        if left is None or not result.charge.units:
            return []
        notes = []
        if await self._is_unusual(result, person, left):
            notes.append(
                say(
                    "This one cost {charge}, far more than your answers usually do: long texts,"
                    " pictures and long conversations cost more. /new starts afresh.",
                    charge=format_credits(result.charge),
                )
            )
        if self._runs_low(result, person, left):
            notes.append(say("Your Credits are running low. /balance shows how to get more."))
        return notes

    async def _is_unusual(self, result: AskResult, person: str, left: Credits) -> bool:
        charge = result.charge.units
        if charge * 100 <= (left.units + charge) * _SHARE_PERCENT:
            return False
        try:
            latest = await self._ask_history.list_latest_charges((person,), _COMPARED + 1)
        except DatabaseUnavailable:  # the answer is there, and is shown
            return False
        before = [one.charge.units for one in latest if one.ask != result.ask][:_COMPARED]
        return len(before) >= _COMPARED_MIN and charge > _UNUSUAL_TIMES * statistics.median_low(
            before
        )

    def _runs_low(self, result: AskResult, person: str, left: Credits) -> bool:
        """Whether this very answer took them below: what is left rises by top-ups alone, so it is
        said once after each."""
        deal = self._deals.find_deal(person, result.model)
        if deal is None or result.audio is not None:
            return False
        low = _LOW_ANSWERS * compute_average_charge(deal.price).units
        return left.units < low <= left.units + result.charge.units
