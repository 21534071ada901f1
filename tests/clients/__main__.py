"""The clients that people use, before the demo: which of them work, how often each asks, and what
that costs.

    python -m tests.clients [--only aider] [--folder .bench/clients]

Nothing of a client is changed, and nothing is asked but the demo on loopback. For each scenario it
says how many requests came, which of them were answered, how often a supplier was asked, how many
rows `/v1/usage` has of it and what they cost: answers, calls and rows are the same number, and what
is an error costs nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.clients.commands import GPT, REFUSED, Client, Target, list_clients
from tests.clients.installed import InstalledClients
from tests.clients.request_counter import RequestCounter
from tests.peers.suppliers import GOOD_KEY, Answer, FakeSupplier, Hang, Refuse
from tests.support.demo_api import ApiDemo

#: Some clients repeat what can't be mended until somebody ends them.
_CLIENT_SECONDS = 75
_COLUMNS = "{:<24}{:<10}{:>6}{:>10}{:>10}{:>6}{:>9}  {}"
#: Before a supplier that is scripted: its stream breaks, it says nothing, it is down.
_TROUBLES = {
    "break": Answer(chunks=("The ", "sky ", "is "), breaks_after=2),
    "time-out": Hang(),
    "down": Refuse(500, type="server_error"),
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
        calls = place.count_supplier_calls()
        place.counter.reset()
        said = await _run_command(*client.build(scenario, target), folder)
        rows = [one for one in place.demo.list_usage() if one["request_id"] not in known]
        cost = sum(one["credits"] for one in rows)
        calls = place.count_supplier_calls() - calls
        answered = place.counter.statuses[200]
        is_error = scenario in REFUSED or scenario in _TROUBLES
        words = " ".join(said.split())  # some break lines
        good = any(one in words for one in client.find_expected(scenario))
        good &= cost == 0 if is_error else len(rows) == calls == answered > 0
        self.failed += not good
        tries = place.counter.tries
        counts = (tries, answered, calls, len(rows), cost, "yes" if good else "NO")
        print(_COLUMNS.format(client.name, scenario, *counts), flush=True)
        if not good:
            print(f"    {said.strip()[-600:]}", flush=True)


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


async def _run_all(clients: Sequence[Client]) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runner = ClientRunner(folder)
        async with _open_place(folder / "rich", welcome_credits="100000", cap=90_000) as rich:
            for client in clients:
                for scenario in client.answers:
                    if scenario not in REFUSED and scenario not in _TROUBLES:
                        await runner.run(client, scenario, rich)
                await runner.run(client, "401", rich, "cbk_wrong")
                await runner.run(client, "404", rich)
                if "400" in client.answers:
                    await runner.run(client, "400", rich)
        async with _open_place(folder / "capped", cap=1) as capped:
            for client in clients:
                await runner.run(client, "403", capped)
        async with _open_place(folder / "poor", welcome_credits="0", cap=90_000) as poor:
            for client in clients:
                await runner.run(client, "402", poor)
        await _run_troubles(runner, folder, [one for one in clients if "down" in one.answers])
        return runner.failed


async def _run_troubles(runner: ClientRunner, folder: Path, clients: Sequence[Client]) -> None:
    for scenario, script in _TROUBLES.items():
        supplier = FakeSupplier(models=[GPT])
        supplier.always(script)
        address = {
            "supplier_openai_url": await supplier.start(),
            "supplier_openai_key": GOOD_KEY,
            "supplier_openai_quota": "50",
        }
        try:
            async with _open_place(folder / scenario, supplier, cap=90_000, **address) as place:
                for client in clients:
                    await runner.run(client, scenario, place)
        finally:
            await supplier.stop()


def main() -> None:
    """Installs what is missing, and runs all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="clients whose names have this in them")
    parser.add_argument("--folder", type=Path, default=Path(".bench/clients"))
    chosen = parser.parse_args()
    installed = InstalledClients(chosen.folder.resolve())
    installed.install()
    clients = [one for one in list_clients(installed) if chosen.only in one.name]
    heads = ("client", "scenario", "tries", "answered", "supplier", "rows", "Credits", "good")
    print(_COLUMNS.format(*heads), flush=True)
    failed = asyncio.run(_run_all(clients))
    for name, reason in installed.missing.items():
        print(f"{name} is left out: {reason}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
