"""The service process of `benchmarks.ask`: everything but a chat platform, driven as one drives it.

python -m benchmarks.service SUPPLIER_URL DATABASE_URL ASKS CONCURRENT
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path

import uvloop
from pydantic import SecretStr

from benchmarks.supplier import MODEL
from bots import run as _everything_that_run_imports  # noqa: F401 - for the memory it takes
from bots.app import App, build
from bots.chat.types import Answer, IncomingMessage, Place, Sender
from bots.config.settings import Config, OperatorConfig, SupplierConfig, UsersConfig
from bots.externals import Externals
from core.clock import SystemClock
from core.db.database import Database
from core.money import parse_usd
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs

#: So many that nobody meets a limit a minute.
PEOPLE = 2_000
#: Few enough that each has asked before anything is measured: a person's first ask opens accounts
#: and grants Credits, which costs as much again.
_WARM_PEOPLE = 200


def measure_resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def build_app(url: str, database: str) -> App:
    """The service on a migrated database, started, with one key of a supplier at `url`."""
    clock = SystemClock()
    key = SupplierConfig(key=SecretStr("sk-bench-000000000001"), quota=parse_usd("1000000"))
    config = Config(
        operator=OperatorConfig(master_keys=SecretStr(base64.b64encode(bytes(32)).decode())),
        users=UsersConfig(
            welcome_credits=1_000_000, welcome_people_per_day=1_000_000, asks_per_minute=1_000
        ),
    )
    externals = Externals(
        catalogue=Catalogue.load(),
        costs=Costs.load(),
        suppliers={"openai": SUPPLIERS["openai"].with_base_url(url)},
        own_keys=[("openai", key)],
        gateways={},
        payout_providers={},
        payout_methods=("manual",),
    )
    db = await Database.open(database, kind="live", clock=clock)
    app = await build(config, db=db, clock=clock, externals=externals)
    await app.start()
    await app.services.pool.pool.wait_for_first_check(10)
    return app


async def ask(app: App, number: int, people: int = PEOPLE) -> float:
    """One ask as an adapter hands it over, in seconds until its answer had landed."""
    person = str(number % people)
    incoming = IncomingMessage(
        place=Place("telegram", person, str(number)),
        sender=Sender(person, "en"),
        message=str(number),
        at_ms=app.services.base.clock.now_ms(),
        may_fill_form=True,
        text=f"/ask {MODEL} why is the sky blue? " + "tell me more about it " * 8,
    )
    began = time.perf_counter()
    shown = []
    async for output in app.chat.dispatcher.handle_message(incoming):
        shown.append(output)
        if isinstance(output, Answer):
            assert "Credit" in output.footer, output
            await app.chat.dispatcher.mark_delivered(output.ask, incoming.place, ["1"])
            return time.perf_counter() - began
    raise AssertionError(f"no answer: {shown}")


async def _measure(url: str, database: str, asks: int, concurrent: int) -> dict[str, float]:
    app = await build_app(url, database)
    idle, started = measure_resident_mb(), resource.getrusage(resource.RUSAGE_SELF)
    numbers = itertools.count()

    async def load(count: int) -> list[float]:
        waiting = iter(range(count))

        async def caller() -> list[float]:
            return [await ask(app, next(numbers), _WARM_PEOPLE) for _ in waiting]

        took = await asyncio.gather(*(caller() for _ in range(concurrent)))
        return [one for ones in took for one in ones]

    # Callers begin at the same instant; after four rounds they have spread.
    await load(max(4 * concurrent, _WARM_PEOPLE))
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    took = await load(asks)
    after, ended = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    await app.stop()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    took.sort()
    return {
        "cpu_ms": cpu * 1000 / asks,
        "per_second": asks / (ended - began),
        "idle_mb": idle,
        "ready_cpu_s": started.ru_utime + started.ru_stime,
        "p50_ms": statistics.median(took) * 1000,
        "p99_ms": took[int(len(took) * 0.99)] * 1000,
    }


if __name__ == "__main__":
    measured = uvloop.run(_measure(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5])))
    print(json.dumps(measured))
