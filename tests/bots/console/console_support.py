"""What tests of console share."""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

from bots.console.console import ConsoleAdapter
from tests.bots.telegram.scripted import ScriptedFront


async def to_its_end(running: Awaitable[None]) -> None:
    """Returns once a console has come to its end; it must, soon."""
    async with asyncio.timeout(20):
        await running


class Terminal:
    """A person at a real terminal, as the program sees it."""

    def __init__(self) -> None:
        self.screen, self._program = pty.openpty()
        self.input = os.fdopen(os.dup(self._program), "r")
        self.output = os.fdopen(self._program, "w")
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    async def until(self, text: str, then: str = "") -> None:
        """Returns once `text` is on the screen, and `then` behind it."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            while text not in self.seen or then not in self.seen.rpartition(text)[2]:
                readable = asyncio.Event()
                loop.add_reader(self.screen, readable.set)
                await readable.wait()
                loop.remove_reader(self.screen)
                self.seen += os.read(self.screen, 65_536).decode()


@contextmanager
def a_terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    try:
        yield terminal
    finally:
        terminal.input.close()
        terminal.output.close()
        os.close(terminal.screen)


def console_at(front: ScriptedFront, terminal: Terminal) -> ConsoleAdapter:
    return ConsoleAdapter(front, input=terminal.input, output=terminal.output, is_terminal=True)


def start_console(front: ScriptedFront, terminal: Terminal) -> asyncio.Task[None]:
    """A console that runs at the terminal."""
    return asyncio.create_task(console_at(front, terminal).run())
