"""Statements to PostgreSQL that go out together and are answered together: one round trip.

It speaks libpq's pipeline mode itself: the driver's own cursors take three times the CPU for small
statements, and wait in between for those that change many rows. Each statement is prepared when it
is first met, by its text alone; what its parameters are, the server knows from their places.
"""

from __future__ import annotations

import re
import select
from collections.abc import Sequence
from functools import cache
from typing import Any

import psycopg
from psycopg import errors
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ExecStatus, abc as pq

from core.db import postgres_connection

#: A statement, with `%s` where its parameters stand, and these.
Statement = tuple[str, Sequence[object]]

_PLACEHOLDER = re.compile("%s")


class PostgresPipeline:
    """The pipeline of one connection, which is in autocommit mode; for one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        # What the driver prepared by itself it would take back after a rollback: all that is.
        connection.prepare_threshold = None
        self._connection, self._pgconn = connection, connection.pgconn
        self._transformer = Transformer(connection)
        #: The names of prepared statements by their text.
        self._names: dict[str, bytes] = {}
        self._prepared_count = 0
        self._poll = select.poll()

    def run(self, statements: Sequence[Statement]) -> list[list[tuple[Any, ...]]]:
        """The rows of each statement, in order.

        The first that fails keeps all that follow from being run, and is raised; a transaction that
        they began is still to be ended. Where the connection breaks, nothing is known of what was
        run: psycopg.OperationalError.
        """
        dump, known = self._transformer.dump_sequence, len(self._names)
        dumped = [
            (text, dump(values, [PyFormat.TEXT] * len(values))) for text, values in statements
        ]
        try:
            self._pgconn.enter_pipeline_mode()
            are_statements = self._send(dumped)
            results = self._receive()
            self._pgconn.exit_pipeline_mode()
        except BaseException:
            self._connection.close()  # what it would say next answers nothing that is asked next
            raise
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                # Whether the server knows the new ones depends on what failed.
                for text in list(self._names)[known:]:
                    del self._names[text]
                raise errors.error_from_result(result)
        return [
            self._load_rows(result)
            for result, is_statement in zip(results, are_statements, strict=True)
            if is_statement
        ]

    def _send(self, dumped: Sequence[tuple[str, Sequence[Any]]]) -> list[bool]:
        """Of each command that is sent, whether it is a statement's, or prepares one."""
        are_statements: list[bool] = []
        for text, values in dumped:
            name = self._names.get(text)
            if name is None:
                name = self._prepare(text)
                are_statements.append(False)
            self._pgconn.send_query_prepared(name, values)
            are_statements.append(True)
        self._pgconn.pipeline_sync()
        return are_statements

    def _prepare(self, text: str) -> bytes:
        self._prepared_count += 1
        name = self._names[text] = b"creditbot%d" % self._prepared_count
        self._pgconn.send_prepare(name, _number_parameters(text))
        return name

    def _receive(self) -> list[pq.PGresult]:
        """One result for each command that was sent."""
        pgconn = self._pgconn
        self._poll.register(pgconn.socket, select.POLLIN | select.POLLOUT)
        while pgconn.flush():  # reading meanwhile: the server may wait to be heard, too
            self._wait()
        self._poll.modify(pgconn.socket, select.POLLIN)
        results: list[pq.PGresult] = []
        while True:
            while pgconn.is_busy():
                self._wait()
            result = pgconn.get_result()
            if result is None:  # stands between two commands
                continue
            if result.status == ExecStatus.PIPELINE_SYNC:
                return results
            results.append(result)

    def _wait(self) -> None:
        """Until the server says something, or takes more."""
        if not self._poll.poll(postgres_connection.SILENT_S * 1000):
            raise psycopg.OperationalError("the server says nothing")
        self._pgconn.consume_input()

    def _load_rows(self, result: pq.PGresult) -> list[tuple[Any, ...]]:
        if not result.ntuples:
            return []
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)


@cache
def _number_parameters(text: str) -> bytes:
    """The text as the server reads it."""
    first, *rest = _PLACEHOLDER.split(text)
    numbered = [f"${number}{part}" for number, part in enumerate(rest, 1)]
    return "".join([first, *numbered]).encode()
