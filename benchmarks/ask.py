"""What an ask costs the service process, against a bare router in the same run.

    python -m benchmarks.ask [--asks 2000] [--rounds 3]

The service (commands, admission, pool, ledger on SQLite with every commit durable) runs in a
process of its own, is driven there as an adapter drives it, and speaks to a supplier in another
process that answers at once. Callers begin at the same instant, so four rounds of all of them
warm up. CPU is that process's own, all threads, user and system. The yardstick is a router of 40
lines over aiohttp (`benchmarks/router.py`): no quote, no ledger, no history, only bytes.

Goals (issue): ≤ 2 ms of CPU a plain ask, ≤ 3 ms a stream of 20 chunks; 256 asks in flight against
a supplier that takes 1 s: p50 ≤ 1.1 s; idle memory ≤ 150 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import supplier
from core.clock import SystemClock
from core.db.migrate import migrate


def _role(role: str, *arguments: str) -> dict[str, float]:
    """Runs a role in a process of its own and gives what it measured."""
    command = [sys.executable, "-m", f"benchmarks.{role}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


async def new_database(folder: str) -> str:
    """A new database, migrated here: a service that starts finds it up to date."""
    url = f"sqlite:///{Path(folder) / 'bench.db'}"
    await migrate(url, "live", SystemClock())
    return url


async def _measure(asks: int, rounds: int) -> list[str]:
    lines = []
    async with supplier.running() as url:
        for kind, limit in (("plain", 2.0), ("stream", 3.0)):
            service, router = [], []
            for _ in range(rounds):
                with tempfile.TemporaryDirectory() as folder:
                    database = await new_database(folder)
                    told = await asyncio.to_thread(
                        _role, "service", f"{url}/{kind}/v1", database, str(asks), "64"
                    )
                service.append(told)
                router.append(
                    await asyncio.to_thread(_role, "router", f"{url}/{kind}/v1", str(asks), "64")
                )
            cpu = statistics.median(one["cpu_ms"] for one in service)
            bare = statistics.median(one["cpu_ms"] for one in router)
            rate = statistics.median(one["per_second"] for one in service)
            lines.append(
                f"{kind:7} {cpu:5.2f} ms CPU an ask (goal ≤ {limit}), bare router {bare:.2f} ms:"
                f" {cpu / bare:.1f} ×; {rate:.0f} asks/s"
            )
        idle = statistics.median(one["idle_mb"] for one in service)
        lines.append(f"idle    {idle:.0f} MB resident (goal ≤ 150)")
        slow = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                database = await new_database(folder)
                slow.append(
                    await asyncio.to_thread(
                        _role, "service", f"{url}/slow/v1", database, "2560", "256"
                    )
                )
        p50, p99 = (statistics.median(one[name] for one in slow) for name in ("p50_ms", "p99_ms"))
        lines.append(
            f"256 in flight, supplier of 1 s: p50 {p50:.0f} ms (goal ≤ 1100), p99 {p99:.0f} ms"
        )
    return lines


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--asks", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for line in asyncio.run(_measure(arguments.asks, arguments.rounds)):
        print(line)


if __name__ == "__main__":
    main()
