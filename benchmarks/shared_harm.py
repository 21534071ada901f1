"""What nine people wait while a tenth repeats questions that suppliers refuse, against the same
nine beside a tenth whose questions are answered.

    python -m benchmarks.shared_harm [--times 15] [--rounds 8]

The whole service on SQLite in this process, its supplier on loopback: an answer takes 30 ms there,
a refusal comes at once. Nine people ask one question after the other; the tenth asks `times`
questions: with each kind of refusal, and with answers before and after, on three keys, one key, and
two contributed ones. A wait is the time from the message to the settled answer. A round is answers,
refusals twice, answers; its ratio is the 95th percentile beside refusals ÷ that beside answers, and
its yardstick the second answers' ÷ the first answers'. Printed is the median over the rounds, and
between which two rounds the true median lies nineteen times in twenty. Goal (issue): ≤ 1.1; nobody
of the nine goes without.
Commits wait for the disk: `TMPDIR` may name a folder in memory, where other work shares it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from bots.chat.types import Answer
from core.clock import SystemClock
from core.db.migrate import migrate
from core.earnings.types import EarningPolicy
from tests.core.earnings.world import TAKES_OPENAI, Market
from tests.peers.refusals import REFUSALS
from tests.peers.suppliers import Answer as Says, Script, Used
from tests.support import service

POOLS = {"three keys": 3, "one key": 1, "contributed keys": 0}
ANSWERED = "answered"
_WORDS = " why" * 100
_ANSWER_SECONDS = 0.03
_PEOPLE = 9


def _answer() -> Says:
    """An answer that begins when its supplier has had its time."""
    begins = asyncio.Event()
    asyncio.get_running_loop().call_later(_ANSWER_SECONDS, begins.set)
    return Says("Because.", usage=Used(100, 3), before=begins)


class _Rounds:
    """One service, on which the tenth person's questions are of one kind after the other."""

    def __init__(self, one: service.Service) -> None:
        self._one = one
        self._kind, self._numbers = ANSWERED, itertools.count(100)
        one.openai.by_body = self._choose

    def _choose(self, body: dict[str, Any]) -> Script:
        is_harmful = "HARM" in body["messages"][-1]["content"]
        return REFUSALS[self._kind] if is_harmful and self._kind != ANSWERED else _answer()

    async def welcome(self, count: int) -> list[service.Service]:
        """People who never asked before, warm."""
        people = [self._one.someone(str(next(self._numbers))) for _ in range(count)]
        for someone in people:
            assert await someone.answer(f"/ask gpt-4{_WORDS}"), "all are warm"
        return people

    async def play(self, nine: list[service.Service], kind: str, times: int) -> list[float]:
        """The waits of the nine, in seconds, while a tenth asks whom nothing has limited yet."""
        self._kind = kind
        (tenth,) = await self.welcome(1)
        ended, waits = asyncio.Event(), list[float]()

        async def ask_on(someone: service.Service) -> None:
            while not ended.is_set():
                began = time.perf_counter()
                answer = (await someone.says(f"/ask gpt-4{_WORDS}"))[-1]
                waits.append(time.perf_counter() - began)
                assert isinstance(answer, Answer), answer
                assert answer.text == "Because.", answer

        others = [asyncio.create_task(ask_on(one)) for one in nine]
        for _ in range(times):
            await tenth.says(f"/ask gpt-4 HARM{_WORDS}")
            await asyncio.sleep(_ANSWER_SECONDS)
        ended.set()
        await asyncio.gather(*others)
        return waits


class Case(NamedTuple):
    """What one kind of refusal did to the nine: ratios, one a round."""

    beside_refusals: list[float]
    beside_answers: list[float]


def _ninety_fifth(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=20)[-1]


async def _compare(played: _Rounds, kind: str, times: int, rounds: int) -> Case:
    case = Case([], [])
    for _ in range(rounds):
        nine = await played.welcome(_PEOPLE)
        first, *refused, last = [
            await played.play(nine, turn, times) for turn in (ANSWERED, kind, kind, ANSWERED)
        ]
        p95 = _ninety_fifth(list(itertools.chain(*refused)))
        case.beside_refusals.append(p95 / _ninety_fifth(first + last))
        case.beside_answers.append(_ninety_fifth(last) / _ninety_fifth(first))
    return case


async def _measure(keys: int, times: int, rounds: int) -> dict[str, Case]:
    """A case for each kind of refusal, on one pool."""
    clock, policy = SystemClock(), EarningPolicy(TAKES_OPENAI)
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'bench.db'}"
        await migrate(database, "live", clock)
        async with service.running(
            database, clock, keys=keys, policy=policy, budget="1000000", welcome=1_000_000
        ) as one:
            if not keys:
                for owner in ("ann", "bob"):
                    await Market(one, clock).contributes(owner, f"sk-of-{owner}-000000000", "1000")
            played = _Rounds(one)
            return {kind: await _compare(played, kind, times, rounds) for kind in REFUSALS}


def _interval(ratios: list[float]) -> tuple[float, float]:
    """Between which two of them their true median lies with 95 % at least: by ranks, so nothing is
    assumed of how they are spread. The least and the greatest where there are fewer than six."""
    ordered, outside = sorted(ratios), 0
    rank, total = 0, 2 ** len(ordered)
    while 40 * (outside := outside + math.comb(len(ordered), rank)) <= total:
        rank += 1
    return ordered[max(rank - 1, 0)], ordered[-max(rank, 1)]


def _line(ratios: list[float]) -> str:
    low, high = _interval(ratios)
    return f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=8)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    for pool, keys in POOLS.items():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(_measure(keys, arguments.times, arguments.rounds))
        for kind, case in found.items():
            beside = f"{_line(case.beside_refusals)}; answers beside answers"
            print(f"{pool:16} {kind:24} {beside} {_line(case.beside_answers)}", flush=True)


if __name__ == "__main__":
    main()
