"""The service process of `benchmarks.api`: everything but chat platforms, its API on loopback.

    python -m benchmarks.api_service SUPPLIER_URL DATABASE_URL PEOPLE

It tells its port, a token of each of so many people, and what its start took. Lines on its standard
input are commands: `tick` begins to watch the event loop, `stall` tells how long it stood still at
most since then. Its end is the input's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable

import uvloop

from benchmarks.service import build_app, measure_resident_mb
from bots.api_server import build_api_server
from bots.app import App
from core.api_tokens.types import PER_DAY_MAX

_TICK_SECONDS = 0.005


async def make_token(app: App, number: int) -> str:
    """A token of a person's own, by which they may spend all that they have."""
    users, tokens = app.services.users.users, app.services.api.tokens
    person = await users.get_or_create("telegram", str(number), language="en")
    token, secret = await tokens.create_token(person.id, "bench")
    await tokens.set_day_cap(person.id, token.id, PER_DAY_MAX)
    return secret.get_secret_value()


@contextlib.asynccontextmanager
async def watch_loop() -> AsyncIterator[Callable[[], float]]:
    """Gives the longest stall of the event loop since the beginning, in seconds."""
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            began = time.perf_counter()
            await asyncio.sleep(_TICK_SECONDS)
            longest = max(longest, time.perf_counter() - began - _TICK_SECONDS)

    ticker = asyncio.create_task(tick())
    try:
        yield lambda: longest
    finally:
        ticker.cancel()


async def _obey() -> None:
    """Does what is written to the standard input, until its end."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as watched:
        find_longest: Callable[[], float] | None = None
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "tick":
                find_longest = await watched.enter_async_context(watch_loop())
            elif find_longest is not None:
                print(json.dumps({"stall_ms": find_longest() * 1000}), flush=True)
                await watched.aclose()


async def _serve(url: str, database: str, people: int) -> None:
    app = await build_app(url, database)
    server = build_api_server(app.services, port=0)
    port = await server.start()
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "port": port,
        "idle_mb": measure_resident_mb(),
        "ready_cpu_s": used.ru_utime + used.ru_stime,
        "process": os.getpid(),
        "tokens": [await make_token(app, number) for number in range(people)],
    }
    print(json.dumps(told), flush=True)
    await _obey()
    await server.stop()
    await app.stop()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
