"""Prints each farmer's profit by profile, beside what the check reckons; then each guard off."""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
from collections.abc import Sequence

from benchmarks.economy.guards import GUARDS, compared, pays
from benchmarks.economy.town import economy_of, policy_of
from benchmarks.economy.year import Year, played
from core.admin.abuse_check import list_abuse_scenarios
from core.money import NanoUsd

#: Figures of simulation and check agree to a cent in a thousand Credits and rounding of answers.
_CLOSE = NanoUsd(50_000_000)


async def main() -> None:
    """See the package."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.economy", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--months", type=int, default=12)
    parser.add_argument("--profile", choices=("safe", "brief"))
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    wrong = 0
    for profile in (given.profile,) if given.profile else ("safe", "brief"):
        wrong += await _profile(profile, given.seeds, given.months)
    wrong += await _unguarded(given.months)
    raise SystemExit(bool(wrong))


async def _profile(profile: str, seeds: int, months: int) -> int:
    """How many farms were not as the check says."""
    years = [await played(profile, seed, months) for seed in range(1, seeds + 1)]
    quiet = [await played(profile, seed, months, names=()) for seed in range(1, 3)]
    check = {farm.name: farm for farm in list_abuse_scenarios(economy_of(policy_of(profile)))}
    print(f"\n{profile}: {seeds} seeds of {months} months; dollars per 1,000 Credits put in play")
    print(f"{'farm':<18} {'cash':>16} {'check':>7} {'answers':>16} {'check':>7} {'owed':>7}")
    wrong = 0
    for at, farm in enumerate(years[0].farms):
        outcomes = [year.farms[at] for year in years]
        said = check[farm.name]
        cash = [one.per_played(one.cash) for one in outcomes]
        answers = [one.per_played(one.answers) for one in outcomes]
        owed = [one.per_played(one.owed) for one in outcomes]
        agree = all(_close(one, said.profit) for one in cash) and all(
            _close(one, said.answers_cost) for one in answers
        )
        wrong += not agree
        print(
            f"{farm.name:<18} {_range(cash):>16} {_usd(said.profit):>7} {_range(answers):>16}"
            f" {_usd(said.answers_cost):>7} {_median(owed):>7}"
            f"{'  PROFITS' if any(one.cash > NanoUsd(0) for one in outcomes) else ''}"
            f"{'' if agree else '  NOT AS CHECKED'}"
        )
    _platform("the platform, farms and all", years)
    _platform("the platform with honest people alone", quiet)
    return wrong


def _platform(title: str, years: Sequence[Year]) -> None:
    covered = sum(year.covered for year in years)
    findings = sum(len(year.findings) for year in years)
    print(
        f"{title}: cash {_range([year.cash for year in years])},"
        f" profit {_range([year.profit for year in years])},"
        f" honest contributors were paid {_range([year.contributors for year in years])},"
        f" solvent in {covered} of {len(years)}, audit findings {findings}"
    )


async def _unguarded(months: int) -> int:
    """How many farms don't pay although their guard is off."""
    print("\neach guard off: dollars in all, guarded → unguarded")
    wrong = 0
    for name, guard in GUARDS.items():
        on, off = await compared(name, months)
        wrong += not pays(on, off)
        print(
            f"{name:<18} cash {_usd(on.cash)} → {_usd(off.cash)},"
            f" answers {_usd(on.answers)} → {_usd(off.answers)},"
            f" owed {_usd(on.owed)} → {_usd(off.owed)}"
            f"  {'pays' if pays(on, off) else 'DOES NOT PAY'}: {guard.what}"
        )
    return wrong


def _close(one: NanoUsd, other: NanoUsd) -> bool:
    return abs(one.units - other.units) <= _CLOSE.units


def _usd(amount: NanoUsd) -> str:
    cents = round(amount.units / 10_000_000)
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02}"


def _median(amounts: Sequence[NanoUsd]) -> str:
    return _usd(NanoUsd(round(statistics.median(one.units for one in amounts))))


def _range(amounts: Sequence[NanoUsd]) -> str:
    least, most = _usd(min(amounts)), _usd(max(amounts))
    return least if least == most else f"{least} … {most}"


asyncio.run(main())
