"""Prepared reads of PostgreSQL: many on a few connections, each told its own rows and its own
failure; what becomes of them when connections die, when nobody waits, and when it is closed."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from core.db import connections, postgres_connection, schema
from core.db.connections import DatabaseAddress
from core.db.errors import DatabaseUnavailable
from core.db.postgres_reads import CONNECTIONS, PostgresReads
from core.db.prepared import PreparedSelect

COUNT = PreparedSelect(sa.select(sa.func.count()).select_from(schema.meta))
ECHO = PreparedSelect(
    sa.select(
        sa.cast(sa.bindparam("text"), sa.Text).label("text"),
        sa.cast(sa.bindparam("number"), sa.BigInteger).label("number"),
        sa.cast(sa.bindparam("content"), sa.LargeBinary).label("content"),
        sa.cast(sa.bindparam("flag"), sa.Boolean).label("flag"),
    )
)
NAMED = PreparedSelect(
    sa.select(schema.meta.c.name)
    .where(schema.meta.c.name == sa.any_(sa.bindparam("names", type_=sa.ARRAY(sa.Text))))
    .order_by(schema.meta.c.name)
)
DIVIDED = PreparedSelect(
    sa.select((sa.literal_column("6") / sa.bindparam("by", type_=sa.Integer)).label("part"))
)
SLEEP = PreparedSelect(sa.select(sa.cast(sa.func.pg_sleep(sa.bindparam("seconds")), sa.Text)))
OLD = PreparedSelect(sa.select(sa.literal_column("old.x").label("x")).select_from(sa.text("old")))
VALUES = {"text": "", "number": 0, "content": b"", "flag": False}


@pytest.fixture
def address(postgres_url: str) -> DatabaseAddress:
    return connections.parse_url(postgres_url)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[psycopg.Connection[Any]]:
    """The connections that were opened to read by."""
    found: list[psycopg.Connection[Any]] = []
    really_open = connections.open_postgres

    def open_and_note(address: DatabaseAddress) -> psycopg.Connection[Any]:
        found.append(really_open(address))
        return found[-1]

    monkeypatch.setattr(connections, "open_postgres", open_and_note)
    return found


def _run(address: DatabaseAddress, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(address.conninfo, autocommit=True) as admin:
        cursor = admin.execute(statement)  # type: ignore[call-overload]
        return list(cursor.fetchall()) if cursor.description else []


def _kill_others(address: DatabaseAddress) -> None:
    _run(
        address,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )


def _kill_sleepers(address: DatabaseAddress, besides: frozenset[object]) -> frozenset[object]:
    """Kills whoever runs `SLEEP`, once somebody does; gives their processes, `besides` those that
    were killed before."""
    statement = (
        "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    )
    killed: frozenset[object] = frozenset()
    while not killed:
        killed = frozenset(pid for pid, _ in _run(address, statement)) - besides
    return killed


@pytest.mark.parametrize(
    ("text", "number", "content", "flag"),
    [
        ("", 0, b"", False),
        ("{\"'\\}, \U0001f600", -(1 << 63), bytes(range(256)), True),
        (None, None, None, None),
        ("x" * 3_000_000, (1 << 63) - 1, b"\0" * 300_000, True),
    ],
)
async def test_values_come_back_as_they_went(
    address: DatabaseAddress,
    text: str | None,
    number: int | None,
    content: bytes | None,
    flag: bool | None,
) -> None:
    reads = PostgresReads(address)
    values = {"text": text, "number": number, "content": content, "flag": flag}
    (row,) = await reads.fetch(ECHO, values)
    assert dict(row._mapping) == values
    await reads.close()


async def test_a_list_is_one_parameter(address: DatabaseAddress) -> None:
    reads = PostgresReads(address)
    everything = [row.name for row in await reads.fetch(NAMED, {"names": ["kind", "format", "x"]})]
    assert everything == [name for name in ("format", "kind") if name in everything]
    assert await reads.fetch(NAMED, {"names": []}) == []
    assert len(await reads.fetch(NAMED, {"names": everything * 50})) == len(everything) > 0
    await reads.close()


async def test_many_reads_share_a_few_connections(
    address: DatabaseAddress, opened: list[psycopg.Connection[Any]]
) -> None:
    reads = PostgresReads(address)
    asked = [{**VALUES, "text": f"read {number}", "number": number} for number in range(300)]
    told = await asyncio.gather(*(reads.fetch(ECHO, values) for values in asked))
    assert [dict(rows[0]._mapping) for rows in told] == asked
    assert len(opened) == CONNECTIONS
    await reads.close()
    assert all(one.closed for one in opened)


async def test_one_at_a_time_needs_one_connection_and_prepares_once(
    address: DatabaseAddress, opened: list[psycopg.Connection[Any]]
) -> None:
    reads = PostgresReads(address)
    prepared = PreparedSelect(
        sa.select(sa.func.count().label("n")).select_from(sa.text("pg_prepared_statements"))
    )
    counted = [(await reads.fetch(prepared, {}))[0].n for _ in range(3)]
    await reads.fetch(COUNT, {})
    await reads.fetch(COUNT, {})
    assert [*counted, (await reads.fetch(prepared, {}))[0].n] == [1, 1, 1, 2]
    assert len(opened) == 1
    await reads.close()


async def test_one_that_fails_costs_its_neighbours_nothing(address: DatabaseAddress) -> None:
    reads = PostgresReads(address)
    await reads.fetch(DIVIDED, {"by": 2})
    asked = [reads.fetch(DIVIDED, {"by": number % 3}) for number in range(12)]
    told = await asyncio.gather(*asked, return_exceptions=True)
    for number, one in enumerate(told):
        if number % 3 == 0:
            assert isinstance(one, psycopg.errors.DivisionByZero)
        else:
            assert not isinstance(one, BaseException)
    assert (await reads.fetch(COUNT, {}))[0][0] == 3
    await reads.close()


async def test_what_can_not_be_sent_is_the_callers_fault(address: DatabaseAddress) -> None:
    reads = PostgresReads(address)
    for text in ("a\0b", "\ud800"):
        with pytest.raises((psycopg.DataError, UnicodeEncodeError)):
            await reads.fetch(ECHO, {**VALUES, "text": text})
    with pytest.raises(KeyError):
        await reads.fetch(ECHO, {"text": ""})
    assert (await reads.fetch(COUNT, {}))[0][0] == 3
    await reads.close()


async def test_who_is_cancelled_takes_nothing_from_others(address: DatabaseAddress) -> None:
    reads = PostgresReads(address)
    await reads.fetch(COUNT, {})
    asked = [{**VALUES, "number": number} for number in range(20)]
    waiting = [asyncio.create_task(reads.fetch(ECHO, values)) for values in asked]
    await asyncio.sleep(0)
    for read in waiting[::2]:
        read.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended[::2])
    numbers = [one[0].number for one in ended[1::2]]  # type: ignore[index]
    assert numbers == list(range(1, 20, 2))
    await reads.close()
    with pytest.raises(RuntimeError):
        await reads.fetch(COUNT, {})


async def test_connections_that_died_are_no_failure(address: DatabaseAddress) -> None:
    reads = PostgresReads(address)
    await asyncio.gather(*(reads.fetch(COUNT, {}) for _ in range(50)))
    # Nobody of the loop has heard of it yet.
    _kill_others(address)
    told = await asyncio.gather(*(reads.fetch(COUNT, {}) for _ in range(50)))
    assert [rows[0][0] for rows in told] == [3] * 50
    # Nor is one that dies under what it runs.
    asleep = [asyncio.create_task(reads.fetch(SLEEP, {"seconds": 0.5})) for _ in range(3)]
    await asyncio.to_thread(_kill_sleepers, address, frozenset())
    assert [len(rows) for rows in await asyncio.gather(*asleep)] == [1, 1, 1]
    await reads.close()


async def test_a_read_that_loses_two_connections_is_given_up(address: DatabaseAddress) -> None:
    reads = PostgresReads(address)
    asleep = asyncio.create_task(reads.fetch(SLEEP, {"seconds": 60}))
    killed = await asyncio.to_thread(_kill_sleepers, address, frozenset())
    killed |= await asyncio.to_thread(_kill_sleepers, address, killed)
    with pytest.raises(DatabaseUnavailable):
        await asleep
    assert len(killed) == 2
    assert (await reads.fetch(COUNT, {}))[0][0] == 3
    await reads.close()


async def test_a_statement_that_takes_too_long_is_given_up(
    address: DatabaseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = postgres_connection._OPTIONS.replace("statement_timeout=30000", "statement_timeout=9")
    monkeypatch.setattr(postgres_connection, "_OPTIONS", options)
    reads = PostgresReads(address)
    with pytest.raises(DatabaseUnavailable):
        await reads.fetch(SLEEP, {"seconds": 60})
    await reads.close()


async def test_a_database_that_comes_back_is_read_again(
    address: DatabaseAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = PostgresReads(connections.parse_url("postgresql://someone:hunter2@127.0.0.1:1/db"))
    told = await asyncio.gather(
        *(reads.fetch(COUNT, {}) for _ in range(10)), return_exceptions=True
    )
    assert all(isinstance(one, DatabaseUnavailable) for one in told)
    assert "hunter2" not in repr(told)
    monkeypatch.setattr(reads, "_address", address)
    assert (await reads.fetch(COUNT, {}))[0][0] == 3
    await reads.close()


async def test_a_column_of_another_type_is_read_again_after_one_failure(
    address: DatabaseAddress,
) -> None:
    _run(address, "CREATE TABLE old (x int)")
    _run(address, "INSERT INTO old VALUES (1)")
    try:
        reads = PostgresReads(address)
        assert [row.x for row in await reads.fetch(OLD, {})] == [1]
        _run(address, "ALTER TABLE old ALTER x TYPE text")
        with pytest.raises(psycopg.Error):
            await reads.fetch(OLD, {})
        assert [row.x for row in await reads.fetch(OLD, {})] == ["1"]
        await reads.close()
    finally:
        _run(address, "DROP TABLE old")


async def test_closing_waits_for_the_reads_that_run(
    address: DatabaseAddress, opened: list[psycopg.Connection[Any]]
) -> None:
    reads = PostgresReads(address)
    waiting = [asyncio.create_task(reads.fetch(COUNT, {})) for _ in range(20)]
    await asyncio.sleep(0)
    await reads.close()
    assert [rows[0][0] for rows in await asyncio.gather(*waiting)] == [3] * 20
    assert len(opened) == CONNECTIONS
    assert all(one.closed for one in opened)


async def test_closing_while_it_opens_leaves_nothing_open(
    address: DatabaseAddress, opened: list[psycopg.Connection[Any]]
) -> None:
    reads = PostgresReads(address)
    read = asyncio.create_task(reads.fetch(COUNT, {}))
    await asyncio.sleep(0)
    read.cancel()
    await reads.close()
    with pytest.raises(asyncio.CancelledError):
        await read
    assert [one.closed for one in opened] == [True]
