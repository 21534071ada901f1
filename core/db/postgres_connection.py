"""Connections to PostgreSQL: durable, and none waits for ever.

The server ends statements that take too long, but only one that is there. A machine that lost its
power, or a network that drops what is sent, says nothing: what it leaves open would be waited for
a quarter of an hour (Linux' `tcp_retries2`), or for ever.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict

CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_MS: Final = 30_000
#: Whoever waits for a row's lock is told sooner that it is busy.
LOCK_TIMEOUT_MS: Final = 10_000
IDLE_IN_TRANSACTION_TIMEOUT_MS: Final = 30_000
#: A server that has said nothing for so long isn't there: it would have ended the statement.
SILENT_S: Final = STATEMENT_TIMEOUT_MS / 1000 + 5

_OPTIONS: Final = (
    "-c synchronous_commit=on "
    "-c default_transaction_isolation=read\\ committed "
    f"-c statement_timeout={STATEMENT_TIMEOUT_MS} "
    f"-c lock_timeout={LOCK_TIMEOUT_MS} "
    f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
)
#: A connection that nobody uses is given up too, before somebody does; an address may say other.
_NETWORK: Final[dict[str, int]] = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
#: So often it is looked whether a signal came.
_LOOK_S: Final = 0.1

_Result = TypeVar("_Result")


class PostgresConnection(psycopg.Connection[Any]):
    """A connection that is closed when its server says nothing any more; that is an
    `OperationalError`, as when it breaks."""

    def wait(
        self, gen: PQGen[_Result], interval: float = _LOOK_S, timeout: float | None = None
    ) -> _Result:
        """Waits for what the driver does on this connection, in seconds."""
        try:
            return super().wait(gen, interval, SILENT_S if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if error.sqlstate is None and timeout is None:
                self.pgconn.finish()  # what it would say next answers nothing that is asked next
            raise


def open_connection(conninfo: str) -> PostgresConnection:
    """A connection in autocommit mode: `BEGIN` is a statement. Raises `psycopg.Error`, whose text
    may repeat the password."""
    told = conninfo_to_dict(conninfo)
    network: dict[str, Any] = {name: value for name, value in _NETWORK.items() if name not in told}
    return PostgresConnection.connect(
        conninfo,
        autocommit=True,
        connect_timeout=CONNECT_TIMEOUT_S,
        options=_OPTIONS,
        application_name="creditbot",
        **network,
    )
