"""The operator's command line as an operator has it: a folder, settings, and processes in it.

    place = commandline.place(tmp_path)               # a fixture of the same name gives one
    done = await place.creditbot("audit", "--json")   # done.out, done.err; the code must be 0
    service = await place.start("run")
    await service.said("creditbot runs")
    done = await service.stopped()                    # SIGTERM

Nothing that a process says may be a traceback or hold one of `place.secrets`. Importing the product
takes a second of processor time, so commands are forked from one process that imports and does
nothing else (`python -m tests.system.commandline`); each is a process of its own all the same, with
its own environment, folder, descriptors and exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

#: However slow the machine is, nothing takes longer.
PATIENCE_S = 90.0
_REQUEST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Done:
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it said, read as JSON."""
        return json.loads(self.out)


class Process:
    """A process that may still run; what it says is kept."""

    def __init__(self, pid: int, status: int, out: int, err: int, secrets: set[str]) -> None:
        self.pid = pid
        self._secrets = secrets
        self._changed = asyncio.Event()
        self._said = {"out": b"", "err": b""}
        self._ended = asyncio.create_task(self._follow(status, out, err))

    @property
    def out(self) -> str:
        return self._said["out"].decode()

    @property
    def err(self) -> str:
        return self._said["err"].decode()

    async def said(self, text: str) -> None:
        """Returns once standard output or standard error holds `text`."""
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.out and text not in self.err:
                assert not self._ended.done(), f"ended without {text!r}: {self.out}\n{self.err}"
                self._changed.clear()
                changed = asyncio.ensure_future(self._changed.wait())
                # What it says last may be read before its end is known.
                await asyncio.wait({changed, self._ended}, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()

    async def ended(self) -> Done:
        """Once it has ended by itself."""
        async with asyncio.timeout(PATIENCE_S):
            code = await asyncio.shield(self._ended)
        done = Done(code, self.out, self.err)
        for said in (done.out, done.err):
            assert "Traceback" not in said, said
            assert "Error:" not in said, said
            for secret in self._secrets:
                assert secret not in said, f"said a secret: {said}"
        return done

    async def stopped(self, how: signal.Signals = signal.SIGTERM) -> Done:
        """Once it has ended by the signal."""
        assert not self._ended.done(), f"had ended already: {self.out}\n{self.err}"
        os.kill(self.pid, how)
        return await self.ended()

    async def end(self) -> None:
        """Whatever state it is in."""
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        await asyncio.wait_for(self._ended, PATIENCE_S)

    async def _follow(self, status: int, out: int, err: int) -> int:
        code, _, _ = await asyncio.gather(
            self._read(status), self._read(out, "out"), self._read(err, "err")
        )
        return int(code)

    async def _read(self, descriptor: int, name: str = "") -> bytes:
        reader = asyncio.StreamReader()
        pipe = os.fdopen(descriptor, "rb")
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):  # nobody reads
            pipe.close()
            return b""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        whole = b""
        try:
            while chunk := await reader.read(1 << 16):
                whole += chunk
                if name:
                    self._said[name] = whole
                self._changed.set()
        finally:
            transport.close()
        return whole


@dataclass
class Press:
    """The process that commands are forked from, and the line to it."""

    line: socket.socket

    def fork(self, request: dict[str, Any], stdin: int, *, deaf: bool) -> tuple[int, int, int, int]:
        """Starts a command; its pid, and where its exit code and both outputs are read."""
        pipes = [os.pipe() for _ in range(3)]
        if deaf:
            os.close(pipes[1][0])
            pipes[1] = (os.open(os.devnull, os.O_RDONLY), pipes[1][1])
        ends = [stdin, *(write for _, write in pipes)]
        socket.send_fds(self.line, [json.dumps(request).encode()], ends)
        answer = self.line.recv(_REQUEST_BYTES)
        for end in ends:
            os.close(end)
        (status, _), (out, _), (err, _) = pipes
        return int(answer), status, out, err


@pytest.fixture(scope="session")
def press() -> Iterator[Press]:
    """One for the session: it takes a second to be ready."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(PATIENCE_S)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.system.commandline", str(its.fileno())],
        pass_fds=[its.fileno()],
    ) as process:
        its.close()
        yield Press(ours)
        ours.close()
        process.wait(PATIENCE_S)


@pytest_asyncio.fixture
async def place(press: Press, tmp_path: Path) -> AsyncIterator[Place]:
    """An operator's empty folder, without a setting; what still runs in it is killed."""
    folder = tmp_path / "here"
    folder.mkdir()
    made = Place(folder, press)
    try:
        yield made
    finally:
        for process in made.processes:
            await process.end()


@dataclass
class Place:
    """A folder on a machine of the operator's, and the settings there."""

    folder: Path
    press: Press
    settings: dict[str, str] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)
    processes: list[Process] = field(default_factory=list)

    @property
    def database(self) -> Path:
        """The file of the usual database."""
        return self.folder / "creditbot.db"

    async def start(
        self, *argv: str, stdin: str = "", deaf: bool = False, **settings: str
    ) -> Process:
        """A command begins; `settings` are named without their prefix, and come over the rest.
        With `deaf` nobody reads what it writes: its standard output is a pipe without an end."""
        read, write = os.pipe()
        # What is written at once must fit into a pipe: nobody reads it yet.
        os.write(write, stdin.encode()[:_REQUEST_BYTES])
        os.close(write)
        prefixed = {
            f"CREDITBOT_{name.upper()}": value
            for name, value in {**self.settings, **settings}.items()
        }
        request = {
            "argv": argv,
            "folder": str(self.folder),
            "environment": {
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "LANG": "C.UTF-8",
                **prefixed,
            },
        }
        forked = await asyncio.to_thread(self.press.fork, request, read, deaf=deaf)
        process = Process(*forked, self.secrets)
        self.processes.append(process)
        return process

    async def creditbot(self, *argv: str, stdin: str = "", code: int = 0, **settings: str) -> Done:
        """A command from its beginning to its end, which must be `code`."""
        done = await (await self.start(*argv, stdin=stdin, **settings)).ended()
        assert done.code == code, f"{done.code}: {done.out}\n{done.err}"
        return done

    async def refused(self, *argv: str, stdin: str = "", **settings: str) -> str:
        """What a command says when it can't go on: one sentence on standard error, code 1."""
        done = await self.creditbot(*argv, stdin=stdin, code=1, **settings)
        assert done.out == "", done.out
        assert done.err.strip(), "refused without a word"
        return done.err.strip()


#: What commands load when they are wanted: here once, before the first is forked.
_LOADED = (
    *(f"bots.cli.{name}" for name in ("books", "check", "codes", "init", "operator", "payments")),
    *("bots.demo", "bots.run"),
)


def _serve(line: socket.socket) -> None:
    """Forks a command for each request, until the other side is gone."""
    from bots.cli import main as cli

    for module in _LOADED:
        importlib.import_module(module)
    while True:
        message, ends, _, _ = socket.recv_fds(line, _REQUEST_BYTES, 4)
        if not message:
            return
        if os.fork() == 0:
            try:
                _mind(json.loads(message), ends, line.detach(), cli.main)
            finally:
                os._exit(1)
        for end in ends:
            os.close(end)


def _mind(request: dict[str, Any], ends: Sequence[int], line: int, main: Any) -> None:
    """A process that only waits for the command's, and tells its pid and its code."""
    stdin, status, out, err = ends
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        os.close(line)
        _become(request, (stdin, out, err), main)
    os.write(line, str(pid).encode())
    for end in (stdin, out, err, line):
        os.close(end)
    _, waited = os.waitpid(pid, 0)
    os.write(status, str(os.waitstatus_to_exitcode(waited)).encode())


def _become(request: dict[str, Any], standard: Sequence[int], main: Any) -> None:
    """What the interpreter does with `creditbot …`."""
    for number, end in enumerate(standard):
        os.dup2(end, number)
        os.close(end)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    code = 1
    try:
        code = main(request["argv"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    assert threading.active_count() == 1
    # Nobody waits for those who mind commands.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _serve(socket.socket(fileno=int(sys.argv[1])))
