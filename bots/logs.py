"""Structured logs: one JSON object a line, or plain words on a terminal; and what keeps secrets out
of the logs of chat platforms' libraries.

Tracebacks come without locals, and HTTP libraries' request logs are off: the Bot API's token is a
part of every address that its client calls.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from typing import ClassVar

import structlog

#: Requests, answers and events of libraries: addresses hold tokens, and answers what payers said of
#: themselves.
_NOISY_LOGGERS = (
    "alembic",
    "aiosqlite",
    "httpx",
    "httpcore",
    "stripe",
    "aiohttp.access",
    "telegram",
    "apscheduler",
)


#: Libraries that speak with platforms, suppliers and gateways: what they log may quote anybody.
_LIBRARIES = (
    *("telegram", "discord", "httpx", "httpcore", "stripe", "aiohttp", "apscheduler", "hpack"),
    *("markdown_it", "PIL", "matplotlib", "aiosqlite", "psycopg", "tenacity", "asyncio"),
    "uvicorn.error",
)


class LibraryFilter(logging.Filter):
    """A filter that lets libraries say what happened where, and never what was said: of a record
    its fixed words stay, of a failure its kind, at any level."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        if record.name.partition(".")[0] not in _LIBRARIES and record.name not in _LIBRARIES:
            return True
        # Words that are filled in are fixed themselves; others may have been made of anything.
        words = record.msg if record.args and isinstance(record.msg, str) else "–"
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        where = f"{record.funcName}:{record.lineno}"
        record.msg = f"{words} ({where}{', ' if kind else ''}{kind})"
        record.args, record.exc_info, record.exc_text, record.stack_info = (), None, None, None
        return True


def configure_logging(level: str) -> None:
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
    handler.addFilter(LibraryFilter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # A refused submission ends its pipeline early; the library warns of it, with a name in it.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


class TokenFilter(logging.Filter):
    """A filter that keeps a platform's token out of its library's logs. Subclasses name the loggers
    and what is hidden of a record."""

    mask: ClassVar[str] = "<token>"
    #: Whoever logs addresses, bodies, bots or their errors.
    loggers: ClassVar[tuple[str, ...]]
    #: The least level of some: requests are noise, and a 429 is an answer that is waited out.
    levels: ClassVar[dict[str, int]]

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def attach(self) -> None:
        """Filters every logger that could say the token."""
        for name in self.loggers:
            logging.getLogger(name).addFilter(self)
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)

    def detach(self) -> None:
        """Undoes the filtering; the levels stay."""
        for name in self.loggers:
            logging.getLogger(name).removeFilter(self)


class TelegramTokenFilter(TokenFilter):
    """The filter masks the bot's token in a record's message and in the traceback that goes with
    it."""

    loggers = (
        "httpx",
        "httpcore",
        "telegram",
        "telegram.Bot",
        "telegram.ext.Application",
        "telegram.ext.ExtBot",
        "telegram.ext.Updater",
        "telegram.ext._utils.networkloop",
        "telegram.request.BaseRequest",
        "telegram.request.HTTPXRequest",
    )
    levels: ClassVar[dict[str, int]] = {
        "httpx": logging.WARNING,
        "httpcore": logging.WARNING,
    }

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        message = record.getMessage()
        if self._token in message:
            record.msg, record.args = message.replace(self._token, self.mask), ()
        if record.exc_info and record.exc_info[1] is not None:
            trace = "".join(traceback.format_exception(record.exc_info[1]))
            if self._token in trace:
                record.exc_info, record.exc_text = None, trace.replace(self._token, self.mask)
        return True


class DiscordTokenFilter(TokenFilter):
    """The filter masks the bot's token and those of interactions, which addresses and events hold;
    of a failure it leaves the kind alone, whose text may quote anything."""

    loggers = (
        "discord.client",
        "discord.gateway",
        "discord.http",
        "discord.shard",
        "discord.state",
        "discord.webhook.async_",
    )
    levels: ClassVar[dict[str, int]] = {
        "discord.http": logging.ERROR,
        "discord.webhook.async_": logging.ERROR,
    }
    _address = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s?\"']+")

    def filter(self, record: logging.LogRecord) -> bool:
        """Never drops a record."""
        message = record.getMessage().replace(self._token, self.mask)
        record.msg, record.args = self._address.sub(rf"\1{self.mask}", message), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.msg += f" ({record.exc_info[0].__name__})"
        record.exc_info = record.exc_text = None
        return True

    def attach(self) -> None:
        """Filters every logger that could say a token; none of them says events (debug)."""
        for name in self.loggers:
            logger = logging.getLogger(name)
            if logger.level < logging.INFO:
                logger.setLevel(logging.INFO)
        super().attach()
