"""Statements that go out together: their rows in order, what a failure stops, and what is left of
the connection then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from core.db import connections
from core.db.postgres_pipeline import PostgresPipeline

_ADD = "INSERT INTO chore (name, owner, lease_until, done_at) VALUES (%s, %s, %s, %s)"
_LIST = "SELECT name, lease_until FROM chore ORDER BY name"
_COUNT_PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'creditbot%%'"


@pytest.fixture
def connection(postgres_url: str) -> Iterator[psycopg.Connection[Any]]:
    opened = connections.open_postgres(connections.parse_url(postgres_url))
    yield opened
    opened.close()


@pytest.fixture
def pipeline(connection: psycopg.Connection[Any]) -> PostgresPipeline:
    return PostgresPipeline(connection)


def test_rows_come_in_the_order_of_statements(pipeline: PostgresPipeline) -> None:
    for _ in range(3):
        told = pipeline.run(
            [
                ("BEGIN", ()),
                (_ADD, ("a", "x", 1, 0)),
                (_LIST, ()),
                (_ADD, ("b", "\"'{}\\", (1 << 63) - 1, 0)),
                (_LIST, ()),
                ("DELETE FROM chore WHERE name = ANY(%s::text[])", (["a", "b"],)),
                ("COMMIT", ()),
            ]
        )
        assert told == [[], [], [("a", 1)], [], [("a", 1), ("b", (1 << 63) - 1)], [], []]


def test_more_than_nine_parameters_keep_their_places(pipeline: PostgresPipeline) -> None:
    columns = ", ".join(["%s::int"] * 12)
    assert pipeline.run([(f"SELECT {columns}", range(12))]) == [[tuple(range(12))]]


def test_a_statement_is_prepared_once(
    pipeline: PostgresPipeline, connection: psycopg.Connection[Any]
) -> None:
    for number in range(10):
        adds = [(_ADD, (f"{number} {one}", "", 0, 0)) for one in range(10)]
        pipeline.run([("BEGIN", ()), *adds, ("COMMIT", ())])
        # The driver is used beside it, and rolls back.
        for _ in range(10):
            connection.execute("SELECT %s::int", (number,))
        connection.execute("BEGIN")
        connection.execute("ROLLBACK")
    assert connection.execute(_COUNT_PREPARED, ()).fetchall() == [(3,)]


def test_a_failure_stops_all_that_follows(
    pipeline: PostgresPipeline, connection: psycopg.Connection[Any]
) -> None:
    for _ in range(2):
        with pytest.raises(psycopg.errors.DivisionByZero):
            pipeline.run(
                [
                    ("BEGIN", ()),
                    (_ADD, ("a", "", 0, 0)),
                    ("SELECT 1 / %s::int", (0,)),
                    (_ADD, ("b", "", 0, 0)),
                    ("COMMIT", ()),
                ]
            )
        connection.execute("ROLLBACK")
        assert pipeline.run([(_LIST, ()), ("SELECT 1 / %s::int", (1,))]) == [[], [(1,)]]
        # It was met behind the failure, where the server prepares nothing.
        assert pipeline.run([("BEGIN", ()), ("COMMIT", ())]) == [[], []]
    with pytest.raises(psycopg.errors.UndefinedTable):
        pipeline.run([("SELECT 1", ()), ("SELECT 1 FROM nowhere", ())])
    with pytest.raises(psycopg.errors.UniqueViolation):
        pipeline.run([("BEGIN", ()), *[(_ADD, ("a", "", 0, 0))] * 2, ("COMMIT", ())])
    connection.execute("ROLLBACK")
    assert pipeline.run([(_LIST, ())]) == [[]]


def test_what_can_not_be_sent_sends_nothing(pipeline: PostgresPipeline) -> None:
    for text in ("a\0b", "\ud800"):
        with pytest.raises((psycopg.DataError, UnicodeEncodeError)):
            pipeline.run([(_ADD, ("a", "", 0, 0)), (_ADD, (text, "", 0, 0))])
    assert pipeline.run([(_LIST, ())]) == [[]]


def test_much_goes_out_while_much_comes_back(pipeline: PostgresPipeline) -> None:
    text = "x" * 3_000_000
    told = pipeline.run([("SELECT %s::text", (text,))] * 12)
    assert [rows[0][0] == text for rows in told] == [True] * 12


def test_a_connection_that_breaks_is_told_and_closed(
    pipeline: PostgresPipeline, connection: psycopg.Connection[Any]
) -> None:
    with pytest.raises(psycopg.OperationalError):
        pipeline.run(
            [
                (_ADD, ("a", "", 0, 0)),
                ("SELECT pg_terminate_backend(pg_backend_pid())", ()),
                (_ADD, ("b", "", 0, 0)),
            ]
        )
    assert connection.closed
    with pytest.raises(psycopg.OperationalError):
        pipeline.run([(_LIST, ())])


def test_what_is_left_half_way_answers_nothing_later(
    pipeline: PostgresPipeline,
    connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop() -> None:
        raise MemoryError

    monkeypatch.setattr(pipeline, "_receive", stop)
    with pytest.raises(MemoryError):
        pipeline.run([(_LIST, ())])
    assert connection.closed
