"""Several processes on one database, and processes that die: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import random
import sys
from asyncio.subprocess import PIPE, Process

import pytest
import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.ledger.types import Submission
from tests.core.ledger.accounts import BOUGHT, GIFT, ISSUED, SPENT, give
from tests.support.databases import TestClock
from tests.support.size import size

PATIENCE_S = 120


async def peer(url: str, name: str, asks: int, phase: str = "") -> Process:
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.core.ledger.ledger_process", url, name, str(asks), phase),
        stdin=PIPE,
        stdout=PIPE,
    )
    assert await read(started) == "ready"
    return started


async def read(process: Process) -> str:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)
    return line.decode().rstrip("\n")


async def journal(process: Process) -> list[str]:
    """Everything that the process says until it ends."""
    lines = []
    while line := await read(process):
        lines.append(line)
    await process.wait()
    return lines


async def submissions(store: Database) -> set[str]:
    rows = await store.fetch(sa.select(schema.submission.c.id))
    return {row.id for row in rows}


async def test_processes_share_one_ledger(
    database_url: str, store: Database, clock: TestClock
) -> None:
    """Four services on PostgreSQL; on SQLite, which is for one, an operator's command beside it."""
    count, asks = (4, size(small=60, full=1_000)) if "postgres" in database_url else (2, 100)
    peers = [await peer(database_url, f"p{n}", asks) for n in range(count)]
    ledger = Ledger(store, clock)
    await ledger.start()
    grants = [await ledger.submit(give(f"grant/{n}", 1)) for n in range(100)]
    journals = await asyncio.gather(*[journal(process) for process in peers])
    await ledger.stop()
    assert [lines[-1] for lines in journals] == ["end"] * count
    done = {line.split()[1] for lines in journals for line in lines if line.startswith("done")}
    assert done | {grant.id for grant in grants} == await submissions(store)
    assert not [line for lines in journals for line in lines if "ledger_unavailable" in line]
    found = await check_ledger(store)
    assert (found.findings, found.holds) == ((), 0)
    await ledger.start()
    balances = await ledger.read_balances([ISSUED, GIFT, BOUGHT, SPENT])
    await ledger.stop()
    settled = len([row_id for row_id in done if row_id.endswith("/settle")])
    assert balances[SPENT.code].posted == 2 * settled
    assert balances[GIFT.code].credits_posted == 2 * count * asks + asks + 100


@pytest.mark.parametrize("phase", ["", "begun", "written", "committed"])
async def test_what_was_acknowledged_survives_a_kill(
    database_url: str, store: Database, clock: TestClock, phase: str
) -> None:
    for turn in range(size(small=1, full=13)):
        process = await peer(database_url, f"turn{turn}", 1_000_000, phase)
        lines = [await read(process) for _ in range(random.Random(turn).randint(1, 200))]
        if phase:
            assert process.stdin is not None
            process.stdin.write(b"now\n")
            while lines[-1] != "frozen":
                lines.append(await read(process))
        process.kill()
        lines += await journal(process)
        there = await submissions(store)
        done = {line.split()[1] for line in lines if line.startswith("done ")}
        assert done <= there
        assert (await check_ledger(store)).findings == ()
    # Whoever comes next finds a ledger that works, and what came before can be asked again.
    ledger = Ledger(store, clock)
    await ledger.start()
    for row_id in sorted(done)[:5]:
        if row_id.startswith("give"):
            assert (await ledger.submit(give(row_id, 2))).existed
    await ledger.stop()
    assert (await check_ledger(store)).findings == ()


async def test_what_another_writer_did_is_seen_at_once(
    database_url: str, store: Database, clock: TestClock
) -> None:
    """Balances kept in memory are dropped when somebody else has written."""
    service, command = Ledger(store, clock), Ledger(store, clock)
    await service.start()
    await command.start()
    for n in range(3):
        await service.submit(give(f"service/{n}", 1))
        await command.submit(give(f"command/{n}", 10))
        assert (await service.read_balances([GIFT]))[GIFT.code].posted == 11 * (n + 1)
        watched = Submission(f"watch/{n}", (), watch=(GIFT,))
        assert (await service.submit(watched)).balances[GIFT.code].posted == 11 * (n + 1)
    await service.stop()
    await command.stop()
    assert (await check_ledger(store)).findings == ()
