"""The container's image: it holds all of the service, starts, says that it lives, and stops."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.peers.telegram import TOKEN, FakeTelegram
from tests.support.ports import find_free_port
from tests.system.commandline import PATIENCE_S
from tests.system.image import (
    ROOT,
    copy_context,
    install,
    is_sent,
    read_environment,
    read_instruction,
)
from tests.system.peers import telegram

__all__ = ["telegram"]

PACKAGES = ("bots", "core", "payments")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image has at `/venv`."""
    folder = tmp_path_factory.mktemp("image")
    copy_context(folder / "app")
    install(folder / "app", folder / "venv")
    return folder / "venv"


def test_the_image_holds_every_file_of_the_service_and_no_other(environment: Path) -> None:
    (site,) = environment.glob("lib/python*/site-packages")
    installed = {
        str(file.relative_to(site))
        for package in PACKAGES
        for file in (site / package).rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *PACKAGES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    there = {name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()}
    assert installed == there


def test_secrets_and_databases_are_not_sent_to_the_builder() -> None:
    for name in (".env", "creditbot.db", "creditbot.db-wal", ".demo/demo.db", ".git/config"):
        assert not is_sent(name), name
    assert not is_sent("bots/__pycache__/app.pyc")
    assert is_sent("bots/app.py")


async def test_the_image_starts_says_that_it_lives_and_stops(
    environment: Path, telegram: FakeTelegram, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    port = find_free_port()
    variables = {
        **read_environment(),
        "PATH": f"{environment}/bin:{os.environ['PATH']}",
        "HOME": str(data),
        "CREDITBOT_HTTP_PORT": str(port),
        "CREDITBOT_MASTER_KEYS": base64.b64encode(bytes(32)).decode(),
        "CREDITBOT_TELEGRAM_TOKEN": TOKEN,
        "CREDITBOT_TELEGRAM_API_URL": await telegram.start(),
    }
    process = await asyncio.create_subprocess_exec(
        *read_instruction("CMD"),
        cwd=data,
        env=variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            said = b""
            while b"creditbot runs" not in said:
                line = await process.stdout.readline()
                assert line, f"ended: {said.decode()}"
                said += line
        checking = await asyncio.create_subprocess_exec(
            *read_instruction("HEALTHCHECK"), env=variables
        )
        assert await asyncio.wait_for(checking.wait(), PATIENCE_S) == 0
        assert stat.S_IMODE((data / "creditbot.db").stat().st_mode) == 0o600
        # The shell has become the service: a stop reaches it.
        process.send_signal(signal.SIGTERM)
        said += await asyncio.wait_for(process.stdout.read(), PATIENCE_S)
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0, said.decode()
        assert b"Traceback" not in said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
