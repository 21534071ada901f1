"""What libraries log of what was said: nothing, at any level; what they say of themselves stays."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from bots.logs import configure_logging

CANARY = "sk-proj-canary-of-ann"
LIBRARIES = (
    *("telegram.ext.Updater", "telegram.ext.ExtBot", "telegram.request.BaseRequest"),
    *("discord.gateway", "discord.state", "discord.http", "httpx", "httpcore.http11", "stripe"),
    *("aiohttp.client", "asyncio", "uvicorn.error", "apscheduler.scheduler", "psycopg.pool"),
)


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What a process writes at its most talkative setting."""
    root = logging.getLogger()
    before, levels = root.handlers, {name: logging.getLogger(name).level for name in LIBRARIES}
    level = root.level
    configure_logging("debug")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield stream
    root.handlers = before
    root.setLevel(level)
    for name, was in levels.items():
        logging.getLogger(name).setLevel(was)


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.ERROR, logging.CRITICAL])
def test_a_library_says_nothing_of_what_was_said(
    written: io.StringIO, name: str, level: int
) -> None:
    logger = logging.getLogger(name)
    logger.log(level, "Got updates %s of 100 %% of them", [{"message": {"text": CANARY}}])
    logger.log(level, f"Made of {CANARY}")  # noqa: G004 - as libraries do
    try:
        int(CANARY)
    except ValueError:
        logger.log(level, "Failed", exc_info=True, stack_info=True)
    told = written.getvalue()
    assert CANARY not in told
    assert told.count("\n") >= 3
    assert "ValueError" in told
    assert "Got updates" in told


def test_ours_is_as_it_was(written: io.StringIO) -> None:
    logging.getLogger("bots.telegram.adapter").warning("an update %s could not be read", "of ours")
    assert "an update of ours could not be read" in written.getvalue()
