"""The clients that people use, before the demo: which of them work, how often each asks, and what
that costs.

    python -m tests.clients [--quick] [--install] [--only aider] [--folder .bench/clients]
                            [--seconds 900]

Nothing of a client is changed, and nothing is asked but the demo on loopback: where the system
lets it, there is no other network. For each scenario it says how many requests came and how many of
them began to be answered, how often a supplier was asked and how many of its answers were whole,
how many rows `/v1/usage` has of it and what they cost. What is paid are the whole answers, a row
each. `--quick` is what CI runs; a client that can't be installed in so many seconds is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.closed_network import close_network
from tests.clients.commands import GPT, REFUSED, Client, Target, list_clients, list_sets
from tests.clients.installed import InstalledClients
from tests.clients.request_counter import RequestCounter
from tests.peers.suppliers import GOOD_KEY, Answer, FakeSupplier, Hang, Refuse, Script
from tests.support.demo_api import ApiDemo

#: Some clients repeat what can't be mended until somebody ends them.
_CLIENT_SECONDS = 75
_COLUMNS = "{:<24}{:<10}{:>6}{:>7}{:>10}{:>7}{:>6}{:>9}{:>6}  {}"
_HEADS = (
    "client",
    "scenario",
    "tries",
    "begun",
    "supplier",
    "whole",
    "rows",
    "Credits",
    "s",
    "good",
)
_BROKEN = Answer(chunks=("The ", "sky ", "is "), breaks_after=2)
_DOWN = Refuse(500, type="server_error")
#: Before a supplier that is scripted: what its first answer is, and what all others are. Its stream
#: breaks once, or always; it says nothing; it is down. In this order its key isn't given up before
#: it must be.
_TROUBLES: dict[str, tuple[Script, Script]] = {
    "recovery": (_BROKEN, Answer("The sky is blue.")),
    "break": (_BROKEN, _BROKEN),
    "time-out": (Hang(), Hang()),
    "down": (_DOWN, _DOWN),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A demo, what counts the requests to it, and its scripted supplier where it has one."""

    demo: ApiDemo
    counter: RequestCounter
    base: str
    token: str
    supplier: FakeSupplier | None = None

    def count_supplier_calls(self) -> int:
        """How often suppliers were asked until now."""
        return (
            self.demo.count_supplier_calls() if self.supplier is None else len(self.supplier.calls)
        )

    def count_whole_answers(self) -> int:
        """How many of the suppliers' answers came to their end; the sandbox's always do."""
        return self.demo.count_supplier_calls() if self.supplier is None else self.supplier.finished


@asynccontextmanager
async def _open_place(
    folder: Path, supplier: FakeSupplier | None = None, *, cap: int, **settings: str
) -> AsyncIterator[Place]:
    demo = ApiDemo(folder, **settings)
    await asyncio.to_thread(demo.__enter__)
    try:
        await asyncio.to_thread(demo.set_cap, 1, cap)
        counter = RequestCounter(int(demo.base.rpartition(":")[2]))
        base = await counter.start()
        try:
            yield Place(demo, counter, base, demo.secret, supplier)
        finally:
            await counter.stop()
    finally:
        await asyncio.to_thread(demo.end)


class ClientRunner:
    """Runs clients through scenarios, and prints a line for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.failed = 0
        self.run_count = 0

    async def run(self, client: Client, scenario: str, place: Place, token: str = "") -> None:
        """Runs one client through one scenario."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        target = Target(
            base=place.base,
            token=token or place.token,
            wrong_model="claude-nonesuch" if scenario == "404" else "",
            folder=folder,
        )
        known = {one["request_id"] for one in place.demo.list_usage()}
        calls, whole = place.count_supplier_calls(), place.count_whole_answers()
        place.counter.reset()
        began = time.monotonic()
        said = await _run_command(*client.build(scenario, target), folder)
        seconds = time.monotonic() - began
        rows = [one for one in place.demo.list_usage() if one["request_id"] not in known]
        calls = place.count_supplier_calls() - calls
        whole = place.count_whole_answers() - whole
        tries, begun = place.counter.tries, place.counter.statuses[200]
        words = " ".join(said.split())  # some break lines
        good = any(one in words for one in client.find_expected(scenario))
        good &= tries in client.find_tries(scenario)
        good &= _is_settled(scenario, calls, whole, rows)
        self.run_count += 1
        self.failed += not good
        cost = sum(one["credits"] for one in rows)
        counts = (tries, begun, calls, whole, len(rows), cost, f"{seconds:.1f}")
        print(_COLUMNS.format(client.name, scenario, *counts, "yes" if good else "NO"), flush=True)
        if not good:
            print(f"    {said.strip()[-600:]}", flush=True)


def _is_settled(scenario: str, calls: int, whole: int, rows: Sequence[dict[str, Any]]) -> bool:
    """Whether each whole answer was paid, by a row of its own, and nothing else was."""
    paid = sum(one["credits"] > 0 for one in rows)
    if scenario in REFUSED:
        return calls == len(rows) == 0
    if scenario == "down":  # soon no supplier is asked
        return paid == whole == 0
    if scenario in _TROUBLES:
        return paid == whole < calls
    return paid == whole == len(rows) == calls > 0


async def _run_command(
    command: Sequence[str | Path], settings: dict[str, str], folder: Path
) -> str:
    """What a client says until it ends, or is ended."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*", **settings},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(_CLIENT_SECONDS):
            while chunk := await process.stdout.read(1 << 16):
                said += chunk
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        said += f"\nended after {_CLIENT_SECONDS} s".encode()
    return said.decode(errors="replace")


async def _run_all(clients: Sequence[Client]) -> ClientRunner:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runner = ClientRunner(folder)
        answered = [
            (client, one)
            for client in clients
            for one in client.scenarios
            if one not in {"402", "403", *_TROUBLES}
        ]
        async with _open_place(folder / "rich", welcome_credits="100000", cap=90_000) as rich:
            for client, scenario in answered:
                await runner.run(client, scenario, rich, "cbk_wrong" if scenario == "401" else "")
        if capped_clients := _list_those(clients, "403"):
            async with _open_place(folder / "capped", cap=1) as capped:
                for client in capped_clients:
                    await runner.run(client, "403", capped)
        if poor_clients := _list_those(clients, "402"):
            async with _open_place(folder / "poor", welcome_credits="0", cap=90_000) as poor:
                for client in poor_clients:
                    await runner.run(client, "402", poor)
        await _run_troubles(runner, folder, clients)
        return runner


def _list_those(clients: Iterable[Client], scenario: str) -> list[Client]:
    return [one for one in clients if scenario in one.scenarios]


async def _run_troubles(runner: ClientRunner, folder: Path, clients: Sequence[Client]) -> None:
    supplier = FakeSupplier(models=[GPT])
    address = {
        "supplier_openai_url": await supplier.start(),
        "supplier_openai_key": GOOD_KEY,
        "supplier_openai_quota": "50",
    }
    try:
        async with _open_place(folder / "troubled", supplier, cap=90_000, **address) as place:
            for scenario, (first, others) in _TROUBLES.items():
                supplier.always(others)
                for client in _list_those(clients, scenario):
                    supplier.script(first)
                    await runner.run(client, scenario, place)
    finally:
        await supplier.stop()


def main() -> None:
    """Installs what is missing, and runs all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="clients whose names have this in them")
    parser.add_argument("--quick", action="store_true", help="what CI runs: a part of it")
    parser.add_argument("--install", action="store_true", help="installs them, and runs none")
    parser.add_argument("--folder", type=Path, default=Path(".bench/clients"))
    parser.add_argument("--seconds", type=float, default=900, help="that installing may take")
    chosen = parser.parse_args()
    installed = InstalledClients(chosen.folder.resolve())
    installed.install(list_sets(chosen.only, is_quick=chosen.quick), chosen.seconds)
    if chosen.install:
        return
    is_closed = close_network()
    print(
        "no network but loopback" if is_closed else "the network can't be closed here", flush=True
    )
    clients = list_clients(installed, chosen.only, is_quick=chosen.quick)
    if installed.missing:
        told = "; ".join(f"{name} ({reason})" for name, reason in installed.missing.items())
        print(f"skipped: {told}", flush=True)
    if not clients:
        return
    print(_COLUMNS.format(*_HEADS), flush=True)
    runner = asyncio.run(_run_all(clients))
    print(f"{runner.run_count} scenarios, {runner.failed} of them not as they must be")
    sys.exit(runner.failed > 0)


if __name__ == "__main__":
    main()
