"""What a failover adds to an ask: the same ask, in the same process, with keys before it that fail.

    python -m benchmarks.failover [--asks 300]

One ask at a time, from the message to the settled answer, its ledger on SQLite with every commit
durable. By turns nothing fails, or one key, or three (an ask tries four): the supplier, a process
of its own, answers them with 500 at once. So what is added is ours: another choice, the hold on the
next key (a commit), another call. A supplier that takes its time to fail adds that time to it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import tempfile
from pathlib import Path

import uvloop
from pydantic import SecretStr

from benchmarks import service, supplier
from bots.app import App
from core.clock import SystemClock
from core.db.migrate import migrate
from core.money import parse_usd
from core.pool.types import KeyRecord

#: How many keys fail before the one that answers.
TURNS = (0, 1, 3)
_FAR_MS = 1 << 50


def _set(records: list[KeyRecord], failing: int) -> None:
    """Nothing is remembered of earlier asks; so many bad keys are tried before the good one."""
    good, *bad = records
    good.first_text_ms = 60_000.0  # held against it: the others are chosen first
    for number, record in enumerate(bad):
        record.failures = record.last_fault_at = 0
        record.load.is_doubted = False
        record.cooling_until = 0 if number < failing else _FAR_MS


async def _measure(app: App, asks: int) -> dict[int, float]:
    """The median of each turn, in milliseconds."""
    for number in range(max(TURNS)):
        secret = SecretStr(f"sk-bad-00000000000{number}")
        await app.services.pool.pool.add_own_key("openai", secret, parse_usd("1000000"))
    records = list(app.services.pool.pool._records.values())
    circuit = app.services.pool.pool._router.circuits["openai"]
    took: dict[int, list[float]] = {failing: [] for failing in TURNS}
    for number in range(asks * len(TURNS)):
        failing = TURNS[number % len(TURNS)]
        _set(records, failing)
        circuit.record_success()
        took[failing].append(await service.ask(app, number))
    # The first tenth warms up.
    return {
        failing: statistics.median(each[asks // 10 :]) * 1_000 for failing, each in took.items()
    }


async def _run(asks: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'bench.db'}"
        await migrate(database, "live", SystemClock())
        async with supplier.running() as url:
            app = await service.build_app(f"{url}/plain/v1", database)
            try:
                medians = await _measure(app, asks)
            finally:
                await app.stop()
    plain = medians[0]
    lines = [f"{'keys that fail':>14} {'ask, ms':>8} {'added, ms':>9} {'ratio':>6}"]
    for failing, median in medians.items():
        lines.append(f"{failing:>14} {median:>8.2f} {median - plain:>9.2f} {median / plain:>6.2f}")
    return lines


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--asks", type=int, default=300)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # each of the failures is one
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in runner.run(_run(arguments.asks)):
            print(line)


if __name__ == "__main__":
    main()
