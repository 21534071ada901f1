"""Reads that share a transaction: what each is told, whoever fails beside it, to the very end."""

from __future__ import annotations

import asyncio
import threading

import pytest
import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.db.errors import DatabaseUnavailable
from core.db.readers import READER_THREADS

COUNT = sa.select(sa.func.count()).select_from(schema.meta)
#: It compiles, and fails in the database alone.
BROKEN = sa.select(sa.literal_column("nothing.here"))


class Occupied:
    """Every reader at work until `free`: what is asked for meanwhile waits together."""

    def __init__(self, store: Database) -> None:
        self._free = threading.Event()
        self._inside = threading.Semaphore(0)
        self._works = [
            asyncio.create_task(store.read_snapshot(self._work)) for _ in range(READER_THREADS)
        ]

    def _work(self, _: sa.Connection) -> None:
        self._inside.release()
        assert self._free.wait(60)

    async def begun(self) -> None:
        for _ in self._works:
            assert await asyncio.to_thread(self._inside.acquire, True, 60)

    async def free(self) -> None:
        self._free.set()
        await asyncio.gather(*self._works)


async def test_what_waits_shares_a_transaction(store: Database) -> None:
    begun: list[sa.Connection] = []
    note = begun.append
    sa.event.listen(sa.Engine, "begin", note)
    try:
        occupied = Occupied(store)
        await occupied.begun()
        reads = [asyncio.create_task(store.fetch(COUNT)) for _ in range(20)]
        await asyncio.sleep(0)
        begun.clear()
        await occupied.free()
        assert [rows[0][0] for rows in await asyncio.gather(*reads)] == [3] * 20
    finally:
        sa.event.remove(sa.Engine, "begin", note)
    # Each reader takes what waits: far fewer transactions than reads.
    assert 1 <= len(begun) <= READER_THREADS


async def test_one_that_fails_costs_its_neighbours_nothing(store: Database) -> None:
    occupied = Occupied(store)
    await occupied.begun()
    wanted = [COUNT, BROKEN, COUNT]
    reads = [asyncio.create_task(store.fetch(statement)) for statement in wanted]
    gone = asyncio.create_task(store.fetch(COUNT))
    await asyncio.sleep(0)
    gone.cancel()
    await occupied.free()
    one, failed, other = await asyncio.gather(*reads, return_exceptions=True)
    assert one[0][0] == other[0][0] == 3  # type: ignore[index]
    assert isinstance(failed, (DatabaseUnavailable, sa.exc.DBAPIError))
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_an_error_of_the_work_is_the_callers(store: Database) -> None:
    def bug(_: sa.Connection) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await store.read_snapshot(bug)
    assert (await store.fetch(COUNT))[0][0] == 3


async def test_closing_answers_what_waits_and_takes_no_more(store: Database) -> None:
    occupied = Occupied(store)
    await occupied.begun()
    reads = [asyncio.create_task(store.fetch(COUNT)) for _ in range(5)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await occupied.free()
    await closing
    assert [rows[0][0] for rows in await asyncio.gather(*reads)] == [3] * 5
    with pytest.raises(RuntimeError):
        await store.fetch(COUNT)
