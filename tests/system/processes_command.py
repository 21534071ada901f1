"""The product's own command line as processes: `creditbot run`, `grant`, `audit`."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.config import MASTER_KEY
from tests.system.processes_driver import PATIENCE_S

Environment = dict[str, str]


def environment(url: str, **settings: str) -> Environment:
    """The settings, and nothing of whoever runs the tests; this very source is what runs."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PYTHONWARNINGS": "error",
        "CREDITBOT_DATABASE_URL": url,
        "CREDITBOT_MASTER_KEYS": base64.b64encode(MASTER_KEY).decode(),
        "CREDITBOT_HTTP_PORT": "0",
        **{f"CREDITBOT_{name.upper()}": value for name, value in settings.items()},
    }


async def _begun(folder: Path, env: Environment, *arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bots.cli.main", *arguments),
        cwd=folder,
        env=env,
        stdout=PIPE,
        stderr=PIPE,
    )


async def command(folder: Path, env: Environment, *arguments: str) -> tuple[int, str, str]:
    """Runs a command to its end; gives its exit code, output and errors."""
    process = await _begun(folder, env, *arguments)
    try:
        async with asyncio.timeout(PATIENCE_S):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def audited(folder: Path, env: Environment) -> dict[str, Any]:
    """What `creditbot audit` finds; it must exit 0."""
    code, output, errors = await command(folder, env, "audit", "--json")
    assert (code, errors) == (0, ""), output
    told: dict[str, Any] = json.loads(output)
    return told


class Running:
    """`creditbot run`, with all that it said."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._ended = asyncio.create_task(process.communicate())

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> tuple[int, str]:
        """Its exit code, and what it wrote to its log."""
        async with asyncio.timeout(PATIENCE_S):
            _, errors = await asyncio.shield(self._ended)
        assert self._process.returncode is not None
        return self._process.returncode, errors.decode()

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await asyncio.gather(self._ended, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(folder: Path, env: Environment) -> AsyncIterator[Running]:
    """The service, until the end of the block at most."""
    service = Running(await _begun(folder, env, "run"))
    try:
        yield service
    finally:
        await service.kill()
