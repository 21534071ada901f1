"""The server that forks the processes of payment tests: `python -m tests.payments.fork_server`.

Importing the product takes two seconds of processor time, more than most of these processes live.
So one process imports what is asked of it and does nothing else: no thread, no event loop, no
connection. For each line on stdin, a JSON list of a number, a module and its arguments, it forks,
and the child alone runs that module as `python -m` would. When it has ended, its number and exit
code are a line on stdout. Each is a process of its own that a SIGKILL ends like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import runpy
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import IO

CHILDREN = (
    "tests.payments.history_child",
    "tests.payments.intents_child",
    "tests.payments.killed_child",
    "tests.payments.payouts_child",
)


class ForkServer:
    """The test's side: children by module, any number at once."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._numbers = itertools.count()
        self._codes: dict[int, Future[int]] = {}

    async def run(self, module: str, *arguments: object) -> int:
        """Runs a child to its end; its exit code, negative where a signal ended it."""
        assert module in CHILDREN
        number = next(self._numbers)
        ended = self._codes[number] = Future[int]()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([number, module, *map(str, arguments)]) + "\n")
        self._process.stdin.flush()
        async with asyncio.timeout(120):
            return await asyncio.wrap_future(ended)

    def read_codes(self, lines: IO[str]) -> None:
        """Hands each exit code to whoever waits for it, until the process ends."""
        for line in lines:
            number, code = json.loads(line)
            with contextlib.suppress(Exception):  # nobody waits any more
                self._codes.pop(number).set_result(code)


@contextlib.contextmanager
def open_fork_server() -> Iterator[ForkServer]:
    """A server; its process ends with it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.payments.fork_server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    fork_server = ForkServer(process)
    reader = threading.Thread(target=fork_server.read_codes, args=(process.stdout,), daemon=True)
    reader.start()
    try:
        yield fork_server
    finally:
        process.stdin.close()
        process.wait(30)
        reader.join(30)
        process.stdout.close()


def main() -> None:
    """Forks a child for each line, and tells how each ended, until stdin ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ, None)
        waiting, written = b"", True
        while written or len(selector.get_map()):
            for key, _ in selector.select():
                if key.data is not None:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    number, pid = key.data
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    print(json.dumps([number, code]), flush=True)
                    continue
                read = os.read(0, 65_536)
                if not read:
                    written = False
                    selector.unregister(0)
                    continue
                *lines, waiting = (waiting + read).split(b"\n")
                for line in lines:
                    number, module, *arguments = json.loads(line)
                    __import__(module)
                    pid = os.fork()
                    if not pid:
                        _become(module, arguments)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (number, pid))


def _become(module: str, arguments: list[str]) -> None:
    """Runs a module in this process, which ends with it."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        os.dup2(2, 1)  # stdout is the server's
        sys.argv = [module, *arguments]
        del sys.modules[module]
        runpy.run_module(module, run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
