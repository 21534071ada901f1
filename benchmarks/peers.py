"""The product beside LiteLLM's proxy, in one run on one machine.

    python -m benchmarks.peers [--calls 600] [--rounds 3] [--venv .bench/litellm]

LiteLLM is installed apart, in an environment of its own, and runs with one key and without a
database: it books nothing, which the product does for each call on a durable SQLite. Both
speak to the same supplier on loopback and are measured from outside in the same way, in turns: CPU
is the process's own, all threads, user and system. LiteLLM is called over HTTP, the product as its
chat adapters call it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp

from benchmarks import supplier
from benchmarks.ask import _role, new_database

VERSION = "1.108.7"
CONCURRENT = 64
#: The models of the proxy: how the supplier answers each.
KINDS = ("plain", "stream", "drip")
_READY_SECONDS = 120
#: The proxy doesn't start without one.
PROXY_KEY = "sk-5e0c1f7a9d3b24688642b3d9a7f1c0e55e0c1f7a9d3b24688642b3d9a7f1c0e5"
_TICKS = os.sysconf("SC_CLK_TCK")
#: Nothing is fetched and nothing told while it is measured.
_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NO_PROXY": "*",
    "LITELLM_MASTER_KEY": PROXY_KEY,
}
_FIGURES = {
    "plain_cpu_ms": "CPU a call of one chunk, 64 callers, ms",
    "stream_cpu_ms": "CPU a call of 20 chunks, 64 callers, ms",
    "alone_p50_ms": "latency of one caller, p50, ms",
    "idle_mb": "idle memory, MB",
    "ready_cpu_s": "CPU from start to ready, s",
}


def install(folder: Path) -> Path:
    """The proxy's command, in an environment that is made once."""
    command = folder / "bin" / "litellm"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [folder / "bin" / "pip", "--quiet", "install", f"litellm[proxy]=={VERSION}"]
        subprocess.run(pip, check=True)
    return command


def _list_processes(group: int) -> list[list[str]]:
    """What `/proc/<pid>/stat` says behind the name, of each process of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                found.append(fields)
    return found


def measure_cpu(group: int) -> float:
    return sum(int(one[11]) + int(one[12]) for one in _list_processes(group)) / _TICKS


def measure_memory(group: int) -> float:
    pages = sum(int(one[21]) for one in _list_processes(group))
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.asynccontextmanager
async def run_proxy(command: Path, url: str, folder: Path) -> AsyncIterator[tuple[int, str]]:
    """Its process group and its address, once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    models = [
        {
            "model_name": kind,
            "litellm_params": {
                "model": f"openai/{supplier.MODEL}",
                "api_base": f"{url}/{kind}/v1",
                "api_key": "sk-bench",
            },
        }
        for kind in KINDS
    ]
    config = folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": models}))  # JSON is YAML
    with (folder / "litellm.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(command, "--config", config, "--host", "127.0.0.1", "--port", str(port)),
            *("--num_workers", "1"),
            stdout=log,
            stderr=log,
            env={**os.environ, **_QUIET},
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        ready = asyncio.create_task(_wait_until_ready(address))
        ended = asyncio.create_task(process.wait())
        await asyncio.wait((ready, ended), return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            sys.exit(f"LiteLLM ended at its start:\n{(folder / 'litellm.log').read_text()[-4000:]}")
        await ready
        yield process.pid, address
    finally:
        ready.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await ended


async def _wait_until_ready(address: str) -> None:
    ends = time.monotonic() + _READY_SECONDS
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < ends:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{address}/health/liveliness") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)
    raise TimeoutError("LiteLLM didn't start")


async def _call(address: str, kind: str, calls: int, concurrent: int) -> list[float]:
    """Calls the proxy; the seconds that each took, in order of size."""
    took: list[float] = []
    waiting = iter(range(calls))
    body = {
        "model": kind,
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": "why is the sky blue? " * 10}],
    }
    headers = {"Authorization": f"Bearer {PROXY_KEY}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def caller() -> None:
            for _ in waiting:
                began = time.perf_counter()
                async with session.post(f"{address}/v1/chat/completions", json=body) as answer:
                    if b"[DONE]" not in await answer.read():
                        raise RuntimeError(f"LiteLLM answered {answer.status}")
                took.append(time.perf_counter() - began)

        await asyncio.gather(*(caller() for _ in range(concurrent)))
    return sorted(took)


async def _measure_proxy(command: Path, url: str, calls: int, folder: Path) -> dict[str, float]:
    async with run_proxy(command, url, folder) as (group, address):
        figures = {"ready_cpu_s": measure_cpu(group), "idle_mb": measure_memory(group)}
        for kind in ("plain", "stream"):
            await _call(address, kind, 2 * CONCURRENT, CONCURRENT)
            before = measure_cpu(group)
            await _call(address, kind, calls, CONCURRENT)
            figures[f"{kind}_cpu_ms"] = (measure_cpu(group) - before) * 1000 / calls
        alone = await _call(address, "plain", max(100, calls // 4), 1)
        figures["alone_p50_ms"] = statistics.median(alone) * 1000
    return figures


async def _measure_product(url: str, calls: int, folder: Path) -> dict[str, float]:
    async def run(kind: str, asks: int, concurrent: int) -> Mapping[str, float]:
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            database = await new_database(fresh)
            return await asyncio.to_thread(
                _role, "service", f"{url}/{kind}/v1", database, str(asks), str(concurrent)
            )

    plain = await run("plain", calls, CONCURRENT)
    stream = await run("stream", calls, CONCURRENT)
    alone = await run("plain", max(100, calls // 4), 1)
    return {
        "ready_cpu_s": plain["ready_cpu_s"],
        "idle_mb": plain["idle_mb"],
        "plain_cpu_ms": plain["cpu_ms"],
        "stream_cpu_ms": stream["cpu_ms"],
        "alone_p50_ms": alone["p50_ms"],
    }


async def _measure(command: Path, calls: int, rounds: int) -> list[str]:
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with supplier.running() as url:
            for _ in range(rounds):
                ours.append(await _measure_product(url, calls, Path(folder)))
                theirs.append(await _measure_proxy(command, url, calls, Path(folder)))
    lines = [f"{'':42}{'creditbot':>12}{'LiteLLM ' + VERSION:>18}{'ratio':>9}"]
    for name, title in _FIGURES.items():
        one = statistics.median(figures[name] for figures in ours)
        other = statistics.median(figures[name] for figures in theirs)
        lines.append(f"{title:42}{one:12.2f}{other:18.2f}{one / other:9.2f}")
    return lines


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--venv", type=Path, default=Path(".bench/litellm"))
    arguments = parser.parse_args()
    command = install(arguments.venv.resolve())
    for line in asyncio.run(_measure(command, arguments.calls, arguments.rounds)):
        print(line)


if __name__ == "__main__":
    main()
