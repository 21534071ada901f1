"""What nine people wait while a tenth repeats questions that suppliers refuse, against the same
nine beside a tenth whose questions are answered.

    python -m benchmarks.shared_harm [--times 25] [--rounds 3]

The whole service on SQLite in this process, its supplier on loopback: an answer takes 30 ms there,
a refusal comes at once. Nine people ask one question after the other; the tenth asks `times`
questions: with each kind of refusal, and with answers before and after, on three keys, one key, and
two contributed ones. A wait is the time from the message to the settled answer. Goal (issue): the
95th percentile beside refusals ≤ 1.1 × that beside answers; nobody of the nine goes without.
Commits wait for the disk: `TMPDIR` may name a folder in memory, where other work shares it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

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

    async def play(self, kind: str, times: int) -> list[float]:
        """The waits of the nine, in seconds, while the tenth asks; all are people who never asked
        before."""
        self._kind = kind
        people = [self._one.someone(str(next(self._numbers))) for _ in range(_PEOPLE + 1)]
        for someone in people:
            assert await someone.answer(f"/ask gpt-4{_WORDS}"), "all are warm"
        ended, waits = asyncio.Event(), list[float]()

        async def ask_on(someone: service.Service) -> None:
            while not ended.is_set():
                began = time.perf_counter()
                answer = (await someone.says(f"/ask gpt-4{_WORDS}"))[-1]
                waits.append(time.perf_counter() - began)
                assert isinstance(answer, Answer), answer
                assert answer.text == "Because.", answer

        others = [asyncio.create_task(ask_on(one)) for one in people[:_PEOPLE]]
        for _ in range(times):
            await people[-1].says(f"/ask gpt-4 HARM{_WORDS}")
            await asyncio.sleep(_ANSWER_SECONDS)
        ended.set()
        await asyncio.gather(*others)
        return waits


async def _measure(keys: int, times: int, rounds: int) -> dict[str, tuple[float, float]]:
    """For each kind the 95th percentiles beside answers and beside it, in seconds."""
    found: dict[str, tuple[float, float]] = {}
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
            for kind in REFUSALS:
                waits: dict[str, list[float]] = {ANSWERED: [], kind: []}
                for _ in range(rounds):
                    for turn in (ANSWERED, kind, kind, ANSWERED):
                        waits[turn] += await played.play(turn, times)
                beside_answers, beside_refusals = (
                    statistics.quantiles(each, n=20)[-1] for each in waits.values()
                )
                found[kind] = beside_answers, beside_refusals
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    for pool, keys in POOLS.items():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(_measure(keys, arguments.times, arguments.rounds))
        for kind, (beside_answers, p95) in found.items():
            figures = f"{p95 * 1e3:6.1f} ÷ {beside_answers * 1e3:6.1f} ms"
            print(f"{pool:16} {kind:24} {figures} = {p95 / beside_answers:.2f}")


if __name__ == "__main__":
    main()
