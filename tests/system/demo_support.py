"""What tests of demo share."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.system.commandline import PATIENCE_S, Done, Place

BIN = Path(sys.executable).parent


LINES = "/balance\n/ask gpt-4 why is the sky blue?\n/usage\n/balance\n"


async def the_real(place: Place, *argv: str | Path, stdin: str = "", **settings: str) -> Done:
    """A program of the environment's, as a shell starts it."""
    named = {f"CREDITBOT_{name.upper()}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=place.folder,
        env={"PATH": os.environ["PATH"], "HOME": str(place.folder), **named},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    assert b"Traceback" not in out + err
    return Done(process.returncode, out.decode(), err.decode())


def answers(done: Done, lines: str = LINES) -> list[str]:
    """What was printed for each line of input."""
    printed, rest = [], "\n" + done.out
    for line in lines.splitlines():
        before, echo, rest = rest.partition(f"\n> {line}\n")
        assert echo, (line, done.out)
        printed.append(before)
        rest = "\n" + rest
    return [*printed[1:], rest]
