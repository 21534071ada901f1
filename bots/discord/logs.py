"""Keeps secrets out of the library's logs: addresses and events hold interactions' tokens."""

from __future__ import annotations

import logging
import re

_MASK = "<token>"
#: Whoever logs addresses, bodies or errors; levels are theirs.
_LOGGERS = (
    "discord.client",
    "discord.gateway",
    "discord.http",
    "discord.shard",
    "discord.state",
    "discord.webhook.async_",
)
_ADDRESS = re.compile(r"(/(?:webhooks|interactions)/\d+/)[^/\s?\"']+")


class TokenFilter(logging.Filter):
    """Masks tokens in a message; of a failure it leaves the kind, whose text may quote anything."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        message = record.getMessage().replace(self._token, _MASK)
        record.msg, record.args = _ADDRESS.sub(rf"\1{_MASK}", message), ()
        if record.exc_info and record.exc_info[0] is not None:
            record.msg += f" ({record.exc_info[0].__name__})"
        record.exc_info = record.exc_text = None
        return True

    def attach(self) -> None:
        """Filters every logger that could say a token; none of them says events (debug)."""
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.addFilter(self)
            if logger.level < logging.INFO:
                logger.setLevel(logging.INFO)
        # A 429 is an answer, not an error: the library waits it out.
        for name in ("discord.http", "discord.webhook.async_"):
            logging.getLogger(name).setLevel(logging.ERROR)

    def detach(self) -> None:
        """Undoes the filtering; the levels stay."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)
