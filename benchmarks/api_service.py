"""The service process of `benchmarks.api`: everything but chat platforms, its API on loopback.

    python -m benchmarks.api_service SUPPLIER_URL DATABASE_URL PEOPLE

It tells its port, a token of each of so many people, and what its start took. Lines on its standard
input are commands: `tick` begins to watch the event loop, `stall` tells how long it stood still at
most since then, and how much of the processor its thread took between two ticks at most: on a
machine that others use, too, that is what is its own. Its end is the input's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

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


@dataclass(slots=True)
class LoopTicks:
    """The longest that an event loop stood still, and the most of the processor that its thread
    took between two ticks, in seconds."""

    stall: float = 0.0
    cpu: float = 0.0

    async def watch(self) -> None:
        """Ticks until it is cancelled."""
        while True:
            began, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(_TICK_SECONDS)
            self.stall = max(self.stall, time.perf_counter() - began - _TICK_SECONDS)
            self.cpu = max(self.cpu, time.thread_time() - cpu)


@contextlib.asynccontextmanager
async def watch_loop() -> AsyncIterator[Callable[[], dict[str, float]]]:
    """Gives what was seen of the event loop since the beginning, in ms."""
    ticks = LoopTicks()
    ticker = asyncio.create_task(ticks.watch())
    try:
        yield lambda: {"stall_ms": ticks.stall * 1000, "loop_cpu_ms": ticks.cpu * 1000}
    finally:
        ticker.cancel()


async def _obey() -> None:
    """Does what is written to the standard input, until its end."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as watched:
        describe: Callable[[], dict[str, float]] | None = None
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "tick":
                describe = await watched.enter_async_context(watch_loop())
            elif describe is not None:
                print(json.dumps(describe()), flush=True)
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
    # Nobody is there to be told of tokens.
    logging.disable(logging.WARNING)
    uvloop.run(_serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
