"""Keeps the bot's token out of logs: it is a part of every address that the client calls."""

from __future__ import annotations

import logging
import traceback

_MASK = "<token>"
#: Whoever logs addresses, bots or their errors.
_LOGGERS = (
    "httpx",
    "httpcore",
    "telegram",
    "telegram.Bot",
    "telegram.ext.Application",
    "telegram.ext.AIORateLimiter",
    "telegram.ext.ExtBot",
    "telegram.ext.Updater",
    "telegram.ext._utils.networkloop",
    "telegram.request.BaseRequest",
    "telegram.request.HTTPXRequest",
)


class TokenFilter(logging.Filter):
    """Masks the token in a record's message and in the traceback that goes with it."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._token = token

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        message = record.getMessage()
        if self._token in message:
            record.msg, record.args = message.replace(self._token, _MASK), ()
        if record.exc_info and record.exc_info[1] is not None:
            trace = "".join(traceback.format_exception(record.exc_info[1]))
            if self._token in trace:
                record.exc_info, record.exc_text = None, trace.replace(self._token, _MASK)
        return True

    def attach(self) -> None:
        """Filters every logger that could say the token, and silences the logs of requests."""
        for name in _LOGGERS:
            logging.getLogger(name).addFilter(self)
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # A 429 is an answer, not an error: it is waited out chat by chat (`outbox`).
        logging.getLogger("telegram.ext.AIORateLimiter").setLevel(logging.CRITICAL)

    def detach(self) -> None:
        """Undoes the filtering; the levels stay."""
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(self)
