"""A part of a day of a million asks, at ten times its speed: what grows, and by how much.

    python -m benchmarks.day [--minutes 5] [--database sqlite|postgres]

A million asks a day are 116 in a second at ten times the speed. They come evenly, from 2,000
people, whatever the service does with them; the supplier, in a process of its own, answers at once.
A whole day takes 144 minutes. Sizes and memory are told by the minute, with what a day would make;
the audit reads everything at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
import uvloop

from benchmarks import supplier
from benchmarks.ask import new_database as make_sqlite
from benchmarks.scale import new_postgres as open_postgres
from benchmarks.service import ask, build_app, measure_resident_mb
from bots.app import App
from core.admin.audit import audit_books
from core.db import schema

_ASKS_A_DAY = 1_000_000
_SPEED = 10
_PER_SECOND = _ASKS_A_DAY * _SPEED / 86_400
#: More at once than this say that the service doesn't keep up.
_AT_ONCE_MAX = 2_000


async def _size_mb(app: App, url: str) -> float:
    if url.startswith("sqlite"):
        file = url.removeprefix("sqlite:///")
        return sum(path.stat().st_size for path in Path(file).parent.glob("bench.db*")) / 1e6
    size = sa.select(sa.func.pg_database_size(sa.func.current_database()).label("size"))
    return int((await app.services.base.db.fetch(size))[0].size) / 1e6


class _Load:
    """Asks that come evenly, and how long each took."""

    def __init__(self, app: App) -> None:
        self._app, self._numbers = app, itertools.count()
        self._running: set[asyncio.Task[None]] = set()
        self.seconds: list[float] = []
        self.asked = 0

    async def run(self, seconds: float) -> None:
        began = time.monotonic()
        count = round(seconds * _PER_SECOND)
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / _PER_SECOND - time.monotonic()))
            if len(self._running) >= _AT_ONCE_MAX:
                raise RuntimeError("the service doesn't keep up")
            task = asyncio.create_task(self._ask())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        self.asked += count

    async def finish(self) -> None:
        while self._running:
            await asyncio.gather(*self._running)

    async def _ask(self) -> None:
        self.seconds.append(await ask(self._app, next(self._numbers)))


async def _measure(app: App, url: str, minutes: int) -> None:
    load = _Load(app)
    await load.run(10)  # what is filled once is full
    memory, size, asked = measure_resident_mb(), await _size_mb(app, url), load.asked
    print(" minute     asks  database MB  memory MB  p50 ms  p99 ms")
    for minute in range(1, minutes + 1):
        load.seconds.clear()
        await load.run(60)
        took = sorted(load.seconds)
        sizes = f"{await _size_mb(app, url):>12.1f} {measure_resident_mb():>10.1f}"
        print(
            f"{minute:>7} {load.asked:>8} {sizes}"
            f" {statistics.median(took) * 1000:>7.0f} {took[int(len(took) * 0.99)] * 1000:>7.0f}",
            flush=True,
        )
    await load.finish()
    asks = load.asked - asked
    grown = await _size_mb(app, url) - size
    print(f"an ask takes {grown * 1e6 / asks:,.0f} bytes: {grown / asks * 1e6 / 1e3:,.1f} GB a day")
    print(f"memory grew by {measure_resident_mb() - memory:.1f} MB")
    base = app.services.base
    began = time.perf_counter()
    audit = await audit_books(base.db, base.payment_records)
    seconds = time.perf_counter() - began
    assert audit.findings == (), audit.findings
    transfers = audit.ledger.transfers
    each = seconds / transfers * 1e6
    print(f"audit of {transfers:,} transfers: {seconds:.1f} s, {each:.0f} µs each")
    count = sa.select(sa.func.count().label("count")).select_from(schema.account)
    accounts = int((await base.db.fetch(count))[0].count)
    print(f"closings: a row for each account that moved that day, {accounts} at most")


@asynccontextmanager
async def _open(database: str) -> AsyncIterator[str]:
    if database == "postgres":
        async with open_postgres("live") as (url, _):
            yield url
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield await make_sqlite(folder)


async def _run(database: str, minutes: int) -> None:
    async with supplier.running() as supplier_url, _open(database) as url:
        app = await build_app(f"{supplier_url}/plain/v1", url)
        try:
            await _measure(app, url, minutes)
        finally:
            await app.stop()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    chosen = parser.parse_args()
    uvloop.run(_run(chosen.database, chosen.minutes))


if __name__ == "__main__":
    main()
