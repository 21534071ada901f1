"""What a supplier charges: rates per token by prompt size, date and hour; exact, in whole numbers.

Rates are pico-dollars (10⁻¹² $) per token: a published price per million tokens with up to six
decimals is exact in them. Only a cost that leaves this module is rounded up, to nano-dollars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from core.clock import DAY_MS
from core.money import NanoUsd

#: What a price or a rate is per: a token of chat, or a second of audio.
Per = Literal["token", "second"]

#: Pico-dollars in a nano-dollar.
PICO_PER_NANO = 1_000


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate is in pico-dollars per token; a prompt longer than a step's start has that step's rate
    for all its tokens."""

    base: int
    #: (start in prompt tokens, rate), ascending.
    steps: tuple[tuple[int, int], ...] = ()

    def get_for_prompt(self, prompt: int) -> int:
        """The rate for a prompt of so many tokens."""
        found = self.base
        for start, rate in self.steps:
            if prompt > start:
                found = rate
        return found

    def get_max_for_prompt(self, prompt: int) -> int:
        """The dearest rate of any prompt up to so many tokens."""
        return max((self.base, *(rate for start, rate in self.steps if prompt > start)))


NO_RATE = Rate(0)


@dataclass(frozen=True, slots=True)
class Rates:
    """A route has these rates at one time, in pico-dollars per token or second."""

    input: Rate
    output: Rate
    cached: Rate
    cache_written: Rate
    #: Per second of audio.
    second: Rate = NO_RATE

    def is_sellable(self, per: Per) -> bool:
        """Whether tokens in and out, or seconds, have a cost: a cost of zero is most likely a gap
        in the data."""
        if per == "second":
            return self.second.base > 0
        return self.input.base > 0 and self.output.base > 0

    def get_base_rates(self, per: Per) -> tuple[int, int]:
        """Pico-dollars per token in and out for a short prompt; for audio both are the rate per
        second."""
        if per == "second":
            return self.second.base, self.second.base
        return self.input.base, self.output.base

    def calculate_call_cost(self, uncached: int, cached: int, written: int, output: int) -> NanoUsd:
        """The cost in nano-dollars, rounded up, of a call with so many tokens; its prompt is the
        first three together."""
        prompt = uncached + cached + written
        pico = (
            uncached * self.input.get_for_prompt(prompt)
            + cached * self.cached.get_for_prompt(prompt)
            + written * self.cache_written.get_for_prompt(prompt)
            + output * self.output.get_for_prompt(prompt)
        )
        return NanoUsd(-(-pico // PICO_PER_NANO))

    def calculate_max_cost(self, prompt: int, output: int) -> NanoUsd:
        """The most that a call with so many tokens can cost, in nano-dollars, rounded up, however
        its prompt is cached."""
        dearest = max(
            rate.get_max_for_prompt(prompt)
            for rate in (self.input, self.cached, self.cache_written)
        )
        return NanoUsd(
            -(
                -(prompt * dearest + output * self.output.get_max_for_prompt(prompt))
                // PICO_PER_NANO
            )
        )


@dataclass(frozen=True, slots=True)
class RatePeriod:
    """Rates apply in a period: from a UTC day on, in daily UTC hours, or always."""

    rates: Rates
    since: date | None = None
    #: [start, end) of a day, may cross midnight.
    hours: tuple[time, time] | None = None

    def applies_at(self, at: datetime) -> bool:
        """Whether these rates apply at a time (UTC)."""
        if self.since is not None and at.date() < self.since:
            return False
        if self.hours is None:
            return True
        start, end = self.hours
        if end < start:
            return at.time() >= start or at.time() < end
        return start <= at.time() < end


def get_rates_at(periods: Sequence[RatePeriod], at_ms: int) -> Rates:
    """The rates at a time: those of the last period that applies, else of the first."""
    if len(periods) == 1:
        return periods[0].rates
    at = datetime.fromtimestamp(at_ms / 1000, UTC).replace(tzinfo=None)
    for period in reversed(periods):
        if period.applies_at(at):
            return period.rates
    return periods[0].rates


def list_rates_within(periods: Sequence[RatePeriod], at_ms: int, span: timedelta) -> list[Rates]:
    """All rates that apply at some time from `at_ms` to `span` later."""
    if len(periods) == 1:
        return [periods[0].rates]
    span_ms = span // timedelta(milliseconds=1)
    moments = {at_ms, at_ms + span_ms, *_list_change_times(periods, at_ms, span_ms)}
    return [get_rates_at(periods, moment) for moment in sorted(moments)]


def _list_change_times(periods: Sequence[RatePeriod], at_ms: int, span_ms: int) -> list[int]:
    first = datetime.fromtimestamp(at_ms / 1000, UTC).date()
    days = [first + timedelta(days=n) for n in range(span_ms // DAY_MS + 2)]
    times = {time()} | {edge for era in periods if era.hours for edge in era.hours}
    moments = [
        int(datetime.combine(day, at, UTC).timestamp() * 1000) for day in days for at in times
    ]
    return [moment for moment in moments if at_ms < moment < at_ms + span_ms]
