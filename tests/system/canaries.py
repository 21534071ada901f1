"""Where canaries are looked for: every log record, every value of the database."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Iterator

import pytest

from bots import logs as bots_logs
from core.db import schema
from core.db.database import Database


class Everything(logging.Handler):
    """Every record of every logger, formatted as it would be written, traceback included."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def logs() -> Iterator[Everything]:
    root, handler = logging.getLogger(), Everything()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


#: Loggers that the product quiets.
_QUIET = (*bots_logs._NOISY_LOGGERS, "psycopg")


@pytest.fixture
def product_logs() -> Iterator[Everything]:
    """What the product writes at its most talkative."""
    root, handler = logging.getLogger(), Everything()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in _QUIET}
    bots_logs.configure_logging("debug")
    root.handlers = [*handlers, handler]
    yield handler
    root.handlers = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def found(canaries: Iterable[str], text: str | bytes) -> list[str]:
    """Those that are in it, plain or in base64."""
    content = text.encode() if isinstance(text, str) else text
    return [
        canary
        for canary in canaries
        if canary.encode() in content or base64.b64encode(canary.encode()).rstrip(b"=") in content
    ]


async def columns(store: Database) -> Iterator[tuple[str, bytes]]:
    """Every value of every table, as the database has it."""
    values = []
    for table in schema.metadata.sorted_tables:
        for row in await store.fetch(table.select()):
            for column in table.columns:
                value = getattr(row, column.name)
                content = bytes(value) if isinstance(value, bytes | memoryview) else str(value)
                values.append((f"{table.name}.{column.name}", content))
    return iter((name, one if isinstance(one, bytes) else one.encode()) for name, one in values)
