"""The product's API beside LiteLLM's proxy, in one run on one machine.

    python -m benchmarks.api [--calls 400] [--rounds 3] [--venv .bench/litellm] [--postgres 1|2]

Both are processes of their own, called over HTTP by the same client and measured from outside in
turns; both ask the same supplier on loopback. LiteLLM runs with one key and without a database: it
books nothing. The product authenticates each call's token, counts its prompt, holds, settles and
books it, on a durable SQLite, or with `--postgres` on PostgreSQL in so many processes. CPU is that
of the processes, all threads, user and system; PostgreSQL's own is told apart.

Goals (issue): CPU a call at most a tenth of LiteLLM's, of 20 chunks a twelfth; added latency (above
the supplier's own) at most 5 ms at 1 KB and 60 ms at 400 KB, none of it on the event loop; 50 KB a
stream.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import peers, scale, supplier
from benchmarks.ask import new_database
from bots.api.access import REQUESTS_AT_ONCE

SLOW_STREAMS = 500
#: As many of one person's as may run at once make all the slow streams.
PEOPLE = -(-SLOW_STREAMS // REQUESTS_AT_ONCE)
_LONG_CHARS = 400_000
_LONG_CALLS = 30
_SENTENCE = "Why is the sky blue, and what of it changes when the sun goes down on a clear day? "
_FIGURES = {
    "plain_cpu_ms": ("CPU a call of one chunk, 64 callers, ms", 1 / 10),
    "stream_cpu_ms": ("CPU a call of 20 chunks, 64 callers, ms", 1 / 12),
    "postgres_ms": ("of PostgreSQL beside it, one chunk, ms", None),
    "alone_first_ms": ("added latency to the first chunk, 1 KB, p50, ms", None),
    "alone_ms": ("the same to the answer's end, ms", None),
    "long_first_ms": ("added latency to the first chunk, 400 KB, p50, ms", None),
    "long_ms": ("the same to the answer's end, ms", None),
    "stall_ms": ("longest stall of the event loop meanwhile, ms", None),
    "loop_cpu_ms": ("most CPU of the loop between two ticks, ms", None),
    "stream_kb": ("memory a stream, 500 slow ones at once, KB", None),
    "idle_mb": ("idle memory, MB", None),
    "ready_cpu_s": ("CPU from start to ready, s", None),
}

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Target:
    """What is called: addresses in turns, each call with the next of the tokens."""

    addresses: Sequence[str]
    tokens: Sequence[str]
    #: Whether its models are named by how the supplier answers; else the prompt says it.
    models_are_kinds: bool = False
    groups: Sequence[int] = ()
    process: asyncio.subprocess.Process | None = None
    started: Figures = field(default_factory=dict)

    def build_body(self, kind: str, prompt: str) -> dict[str, Any]:
        """A call whose answer is streamed, with its usage."""
        return {
            "model": kind if self.models_are_kinds else supplier.MODEL,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": f"kind:{kind} {prompt}"}],
        }

    def measure_cpu(self) -> float:
        """Seconds of all its processes."""
        return sum(map(peers.measure_cpu, self.groups))

    def measure_memory(self) -> float:
        """Resident, MB."""
        return sum(map(peers.measure_memory, self.groups))


def write_prompt(chars: int) -> str:
    """A prompt of so many characters, in words that don't repeat all alike."""
    sentences = (f"{number}. {_SENTENCE}" for number in itertools.count())
    text = ""
    while len(text) < chars:
        text += "".join(itertools.islice(sentences, 64))
    return text[:chars]


# --- calls -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Took:
    """What calls took, in seconds: to the first chunk, and to the end."""

    first: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


async def call(target: Target, kind: str, prompt: str, calls: int, callers: int) -> Took:
    """Calls it from so many callers."""
    took = Took()
    waiting = iter(range(calls))
    encoded = json.dumps(target.build_body(kind, prompt)).encode()
    connector = aiohttp.TCPConnector(limit=0)

    async def caller(session: aiohttp.ClientSession, number: int) -> None:
        address = target.addresses[number % len(target.addresses)]
        token = target.tokens[number % len(target.tokens)]
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        for _ in waiting:
            began = time.perf_counter()
            url = f"{address}/chat/completions"
            async with session.post(url, data=encoded, headers=headers) as answer:
                told = await answer.content.readany()
                first = time.perf_counter()
                told += await answer.content.read()
            if b"[DONE]" not in told:
                raise RuntimeError(f"{url} answered {answer.status}: {told[-300:]!r}")
            took.first.append(first - began)
            took.whole.append(time.perf_counter() - began)

    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(caller(session, number) for number in range(callers)))
    return took


async def measure_streams(target: Target) -> float:
    """KB of memory that a stream takes which has begun and waits for its supplier, above what the
    process had before."""
    encoded = json.dumps(target.build_body("drip", write_prompt(1_000))).encode()
    before = target.measure_memory()
    connector = aiohttp.TCPConnector(limit=0)
    begun = asyncio.Semaphore(0)

    async def follow(session: aiohttp.ClientSession, number: int) -> None:
        url = f"{target.addresses[number % len(target.addresses)]}/chat/completions"
        token = target.tokens[number % len(target.tokens)]
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        async with session.post(url, data=encoded, headers=headers) as answer:
            first = await answer.content.readany()
            if not first.startswith(b"data:"):
                raise RuntimeError(f"{url} answered {answer.status}: {first[-300:]!r}")
            begun.release()
            await answer.read()

    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for number in range(SLOW_STREAMS):
            group.create_task(follow(session, number))
        for _ in range(SLOW_STREAMS):
            await begun.acquire()
        after = target.measure_memory()
    return (after - before) * 1000 / SLOW_STREAMS


async def measure_added(
    name: str, target: Target, direct: Target, prompt: str, calls: int
) -> Figures:
    """How much longer the median call of one caller takes than with the supplier itself, ms."""
    await call(target, "plain", prompt, 5, 1)
    await call(direct, "plain", prompt, 5, 1)
    ours = await call(target, "plain", prompt, calls, 1)
    bare = await call(direct, "plain", prompt, calls, 1)

    def subtract(one: list[float], other: list[float]) -> float:
        return (statistics.median(one) - statistics.median(other)) * 1000

    return {
        f"{name}_first_ms": subtract(ours.first, bare.first),
        f"{name}_ms": subtract(ours.whole, bare.whole),
    }


async def measure(target: Target, direct: Target, calls: int) -> Figures:
    """All figures of one that has just started."""
    figures = dict(target.started)
    short, long = write_prompt(1_000), write_prompt(_LONG_CHARS)
    await call(target, "plain", short, 2 * peers.CONCURRENT, peers.CONCURRENT)
    await call(target, "plain", long, 4, 2)
    figures["stream_kb"] = await measure_streams(target)
    for kind in ("plain", "stream"):
        await call(target, kind, short, 2 * peers.CONCURRENT, peers.CONCURRENT)
        before = target.measure_cpu()
        await call(target, kind, short, calls, peers.CONCURRENT)
        figures[f"{kind}_cpu_ms"] = (target.measure_cpu() - before) * 1000 / calls
    figures |= await measure_added("alone", target, direct, short, max(100, calls // 4))
    await _tell(target, "tick")
    figures |= await measure_added("long", target, direct, long, _LONG_CALLS)
    if (told := await _tell(target, "stall")) is not None:
        figures |= json.loads(told)
    return figures


async def _tell(target: Target, command: str) -> bytes | None:
    """Commands the product's process; gives what `stall` tells."""
    if (process := target.process) is None:
        return None
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(command.encode() + b"\n")
    return await process.stdout.readline() if command == "stall" else None


# --- what is called ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def _service(url: str, database: str, people: int) -> AsyncIterator[Target]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.api_service", f"{url}/told/v1", database, str(people)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    told = json.loads(await process.stdout.readline())
    started = {name: told[name] for name in ("idle_mb", "ready_cpu_s")}
    addresses = [f"http://127.0.0.1:{told['port']}/v1"]
    try:
        yield Target(addresses, told["tokens"], False, [process.pid], process, started)
    finally:
        process.stdin.close()
        await process.wait()


async def measure_sqlite(url: str, direct: Target, calls: int) -> Figures:
    """The product on a SQLite of its own."""
    with tempfile.TemporaryDirectory() as folder:
        database = await new_database(folder)
        async with _service(url, database, PEOPLE) as target:
            return await measure(target, direct, calls)


async def measure_postgres(url: str, direct: Target, calls: int, processes: int) -> Figures:
    """The product on a PostgreSQL of its own, in so many processes."""
    async with (
        scale.new_postgres("live") as (database, postmaster),
        contextlib.AsyncExitStack() as up,
    ):
        first = await up.enter_async_context(_service(url, database, PEOPLE))
        more = [
            await up.enter_async_context(_service(url, database, 0)) for _ in range(1, processes)
        ]
        all_of_them = [first, *more]
        target = Target(
            [address for one in all_of_them for address in one.addresses],
            first.tokens,
            groups=[group for one in all_of_them for group in one.groups],
            process=first.process,
            started=first.started,
        )
        figures = await measure(target, direct, calls)
        before = scale.measure_postgres_cpu(postmaster)
        await call(target, "plain", write_prompt(1_000), calls, peers.CONCURRENT)
        spent = scale.measure_postgres_cpu(postmaster) - before
        return {**figures, "postgres_ms": spent * 1000 / calls}


async def measure_proxy(command: Path, url: str, direct: Target, calls: int) -> Figures:
    """LiteLLM's proxy."""
    with tempfile.TemporaryDirectory() as folder:
        async with peers.run_proxy(command, url, Path(folder)) as (group, address):
            target = Target(
                [f"{address}/v1"], [peers.PROXY_KEY], models_are_kinds=True, groups=[group]
            )
            target.started["ready_cpu_s"] = target.measure_cpu()
            target.started["idle_mb"] = target.measure_memory()
            return await measure(target, direct, calls)


# --- all of it -----------------------------------------------------------------------------------


async def _measure_all(command: Path, calls: int, rounds: int, postgres: int) -> list[str]:
    ours: list[Figures] = []
    theirs: list[Figures] = []
    async with supplier.running() as url:
        direct = Target([f"{url}/told/v1"], ["sk-bench"])
        for _ in range(rounds):
            if postgres:
                ours.append(await measure_postgres(url, direct, calls, postgres))
            else:
                ours.append(await measure_sqlite(url, direct, calls))
            theirs.append(await measure_proxy(command, url, direct, calls))
    return list(_format(ours, theirs))


def _format(ours: list[Figures], theirs: list[Figures]) -> Sequence[str]:
    def median(figures: list[Figures], name: str) -> float | None:
        found = [one[name] for one in figures if name in one]
        return statistics.median(found) if found else None

    lines = [f"{'':46}{'creditbot':>11}{'LiteLLM ' + peers.VERSION:>18}{'ratio':>8}{'goal':>7}"]
    for name, (title, goal) in _FIGURES.items():
        one, other = median(ours, name), median(theirs, name)
        if one is None:
            continue
        line = f"{title:46}{one:11.2f}"
        if other is not None:
            line += f"{other:18.2f}{one / other:8.3f}"
            line += "" if goal is None else f"{goal:7.3f}"
        lines.append(line)
    return lines


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--venv", type=Path, default=Path(".bench/litellm"))
    parser.add_argument("--postgres", type=int, default=0, metavar="PROCESSES")
    chosen = parser.parse_args()
    command = peers.install(chosen.venv.resolve())
    for line in asyncio.run(_measure_all(command, chosen.calls, chosen.rounds, chosen.postgres)):
        print(line)


if __name__ == "__main__":
    main()
