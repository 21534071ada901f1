"""Structured logs: one JSON object a line, or plain words on a terminal.

Tracebacks come without locals, and HTTP libraries' request logs are off: the Bot API's token is in
its URLs (security.md).
"""

from __future__ import annotations

import logging
import sys

import structlog

_LOUD = ("alembic", "httpx", "httpcore", "aiohttp.access", "telegram", "apscheduler")


def set_up_logs(level: str) -> None:
    """Sends every log of this process to standard error."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor]
    if sys.stderr.isatty():
        renderer = [
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        ]
    else:
        tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        renderer = [
            structlog.processors.ExceptionRenderer(tracebacks),
            structlog.processors.JSONRenderer(),
        ]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # A refused submission ends its pipeline early; the library warns of it, with a name in it.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.WARNING)
