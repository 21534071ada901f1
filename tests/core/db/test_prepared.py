"""Prepared reads: the same rows as the statement gives by itself, on both databases; who waits,
who is cancelled, and what is left when the database is closed or can't be opened."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from core.db import connections, schema
from core.db.database import Database
from core.db.errors import DatabaseUnavailable
from core.db.prepared import PreparedSelect
from core.db.sqlite_reads import CONNECTIONS, SqliteReads
from core.db.writes import Insert
from core.ledger.ledger import Ledger

#: Types that a driver doesn't know, a constant, a computed column, a limit.
PEOPLE = PreparedSelect(
    sa.select(
        schema.person.c.id,
        schema.person.c.footer,
        schema.person.c.own_keys_only,
        schema.person.c.data_key,
        schema.person.c.daily_limit,
        (schema.person.c.created_at + 1).label("later"),
    )
    .where(
        schema.person.c.language == "en",
        schema.person.c.id >= sa.bindparam("first"),
        schema.person.c.id <= sa.bindparam("last"),
    )
    .order_by(schema.person.c.id)
    .limit(3)
)
COUNT = PreparedSelect(sa.select(sa.func.count()).select_from(schema.meta))


async def _add_people(ledger: Ledger, count: int) -> None:
    for number in range(count):
        row = {
            "id": f"usr_{number}",
            "created_at": number,
            "language": "en",
            "zone": "UTC",
            "model": "",
            "footer": number % 2 == 0,
            "own_keys_only": number % 2 == 1,
            "daily_limit": None,
            "data_key": bytes([number]) * 4,
        }
        await ledger.record(Insert(schema.person, row))


async def test_rows_are_those_of_the_statement(store: Database, ledger: Ledger) -> None:
    await _add_people(ledger, 5)
    values = {"first": "usr_1", "last": "usr_9"}
    prepared = await store.fetch(PEOPLE, values)
    plain = await store.fetch(PEOPLE.statement, values)
    assert [tuple(row) for row in prepared] == [tuple(row) for row in plain]
    assert [row.later for row in prepared] == [2, 3, 4]
    assert [row.footer for row in prepared] == [False, True, False]
    assert [type(value) for value in prepared[0]] == [type(value) for value in plain[0]]
    assert prepared[0]._mapping["data_key"] == b"\x01" * 4


async def test_what_was_committed_is_read(store: Database, ledger: Ledger) -> None:
    values = {"first": "usr_", "last": "usr_~"}
    for number in range(20):
        row = {"name": f"job{number}", "owner": "", "lease_until": 0, "done_at": 0}
        await ledger.record(Insert(schema.chore, row))
        counted = await store.fetch(
            PreparedSelect(sa.select(sa.func.count()).select_from(schema.chore))
        )
        assert counted[0][0] == number + 1
    assert await store.fetch(PEOPLE, values) == []


def test_a_list_of_unknown_length_is_refused() -> None:
    statement = sa.select(schema.meta).where(
        schema.meta.c.name.in_(sa.bindparam("names", expanding=True))
    )
    with pytest.raises(ValueError, match="length"):
        _ = PreparedSelect(statement).sqlite
    with pytest.raises(ValueError, match="length"):
        _ = PreparedSelect(statement).postgres


async def test_a_parameter_that_is_missing_is_a_fault_of_the_caller(store: Database) -> None:
    with pytest.raises((KeyError, sa.exc.StatementError)):
        await store.fetch(PEOPLE, {"first": "usr_"})


@pytest.fixture
def address(sqlite_url: str) -> connections.DatabaseAddress:
    return connections.parse_url(sqlite_url)


async def test_many_reads_share_a_few_connections(address: connections.DatabaseAddress) -> None:
    opened = len(_list_handles(address))
    reads = SqliteReads(address)
    counted = await asyncio.gather(*(reads.fetch(COUNT, {}) for _ in range(200)))
    assert [rows[0][0] for rows in counted] == [3] * 200
    assert len(_list_handles(address)) - opened == CONNECTIONS
    await reads.close()
    assert len(_list_handles(address)) == opened


async def test_one_at_a_time_needs_one_connection(address: connections.DatabaseAddress) -> None:
    reads = SqliteReads(address)
    for _ in range(5):
        await reads.fetch(COUNT, {})
    assert len(_list_handles(address)) == 1
    await reads.close()


async def test_who_is_cancelled_takes_nothing_from_others(
    address: connections.DatabaseAddress,
) -> None:
    reads = SqliteReads(address)
    waiting = [asyncio.create_task(reads.fetch(COUNT, {})) for _ in range(20)]
    await asyncio.sleep(0)
    for read in waiting[::2]:
        read.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in ended[::2])
    assert all(one[0][0] == 3 for one in ended[1::2])  # type: ignore[index]
    await reads.close()
    with pytest.raises(RuntimeError):
        await reads.fetch(COUNT, {})


async def test_a_database_that_comes_back_is_read_again(
    address: connections.DatabaseAddress,
) -> None:
    hidden = address.file.with_suffix(".hidden")
    address.file.rename(hidden)
    reads = SqliteReads(address)
    failed = await asyncio.gather(
        *(reads.fetch(COUNT, {}) for _ in range(10)), return_exceptions=True
    )
    assert all(isinstance(one, DatabaseUnavailable) for one in failed)
    hidden.rename(address.file)
    assert (await reads.fetch(COUNT, {}))[0][0] == 3
    await reads.close()


async def test_closing_waits_for_the_reads_that_run(address: connections.DatabaseAddress) -> None:
    reads = SqliteReads(address)
    waiting = [asyncio.create_task(reads.fetch(COUNT, {})) for _ in range(20)]
    await asyncio.sleep(0)
    await reads.close()
    assert [rows[0][0] for rows in await asyncio.gather(*waiting)] == [3] * 20
    assert _list_handles(address) == []


def _list_handles(address: connections.DatabaseAddress) -> list[str]:
    """The open descriptors of the database's file, its WAL aside."""
    handles = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target == str(address.file):
            handles.append(target)
    return handles
