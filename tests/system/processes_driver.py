"""The test's end of services in processes of their own: starting, telling, waiting, killing.

What a child said is kept by the test, so it is the journal of what was acknowledged: it survives
the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

#: However slow the machine is, nothing takes longer.
PATIENCE_S = 90.0

Event = dict[str, Any]
#: The process that services are forked from.
ForkServer = subprocess.Popen[str]


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """One for the session: it takes two seconds to be ready."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.system.processes_fork_server"],
        stdin=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE_S)


class Child:
    """A service; `events` is everything that it ever said."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.events: list[Event] = []
        self.pid = 0
        self._writer = writer
        self._changed = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(reader))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                self.events.append(json.loads(line))
                self._changed.set()
        self._writer.close()
        self._changed.set()

    def told(self, event: str, **facts: object) -> list[Event]:
        """Everything of that kind that it said so far."""
        return [
            each
            for each in self.events
            if each["event"] == event
            and all(each.get(name) == fact for name, fact in facts.items())
        ]

    async def until(self, event: str, *, count: int = 1, **facts: object) -> Event:
        """The newest of such events, once there are `count`; fails when the child failed."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(found := self.told(event, **facts)) < count:
                    assert not self.told("failed"), self.told("failed")
                    assert not self._listening.done(), f"gone before {event}: {self.events[-5:]}"
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"never said {event} {facts}: {self.events[-20:]}") from None
        return found[-1]

    async def does(self, do: str, said: str, **command: object) -> Event:
        """Gives a command and waits for one more `said` than there was."""
        before = len(self.told(said))
        self.send(do, **command)
        return await self.until(said, count=before + 1)

    def send(self, do: str, **command: object) -> None:
        self._writer.write(json.dumps({"do": do, **command}).encode() + b"\n")

    async def killed(self) -> None:
        """SIGKILL; returns when it is gone and all that it had said was heard."""
        assert not self._listening.done()
        os.kill(self.pid, signal.SIGKILL)
        await self._gone()

    async def stopped(self) -> None:
        """Ends it the clean way."""
        await self.does("stop", "stopped")
        await self._gone()

    async def _gone(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._listening
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    async def end(self) -> None:
        """Whatever state it is in."""
        if not self._listening.done() and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        await self._gone()


class ServiceProcesses:
    """Starts services on one database and one supplier."""

    def __init__(self, fork_server: ForkServer, socket_path: str, opening: Event) -> None:
        self._fork_server, self._path, self._opening = fork_server, socket_path, opening
        self._started: asyncio.Queue[Child] = asyncio.Queue()
        self._first = True
        self.children: list[Child] = []

    async def admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A child that was just started."""
        child = Child(reader, writer)
        self.children.append(child)
        child.pid = (await child.until("started"))["pid"]
        self._started.put_nowait(child)

    async def start_child(self, at_ms: int) -> Child:
        """A service that runs; its clock stands at `at_ms`. The first one sets the prices."""
        assert self._fork_server.poll() is None
        assert self._fork_server.stdin is not None
        self._fork_server.stdin.write(f"{self._path}\n")
        self._fork_server.stdin.flush()
        async with asyncio.timeout(PATIENCE_S):
            child = await self._started.get()
        first, self._first = self._first, False
        await child.does("open", "ready", **self._opening, at_ms=at_ms, first=first)
        return child


@contextlib.asynccontextmanager
async def open_services(
    fork_server: ForkServer, url: str, supplier: str, **world: object
) -> AsyncIterator[ServiceProcesses]:
    """`world`: welcome, budget and keys, as of `tests.support.service.running`; whether
    contributions are taken."""
    usual = {"welcome": 1_000_000, "budget": "100000", "keys": 1, "contributions": False}
    opening = {**usual, **world}
    # Socket paths are short by law.
    with tempfile.TemporaryDirectory(prefix="cb-") as folder:
        path = str(Path(folder) / "line")
        processes = ServiceProcesses(
            fork_server, path, {**opening, "url": url, "supplier": supplier}
        )
        server = await asyncio.start_unix_server(processes.admit, path, limit=1 << 24)
        try:
            yield processes
        finally:
            for child in processes.children:
                await child.end()
            server.close()
            await server.wait_closed()
