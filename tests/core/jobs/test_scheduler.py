"""Chores: one process at a time under a lease, everywhere without; a failing one goes on."""

from __future__ import annotations

import asyncio

from core.db.database import Database
from core.jobs.scheduler import (
    Job,
    Scheduler,
    create_registration_job,
    is_key_on_every_process,
    unregister_process,
)
from core.ledger.ledger import Ledger
from tests.support.databases import TestClock


def _chores(
    store: Database, ledger: Ledger, clock: TestClock, owner: str, *chores: Job
) -> Scheduler:
    return Scheduler(ledger=ledger, process_id=owner, jobs=chores)


async def test_a_leased_chore_runs_on_one_process_a_turn(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    ran: list[str] = []

    def chore(owner: str) -> Job:
        async def run() -> None:
            ran.append(owner)

        return Job("count", 60.0, run)

    first, second = chore("a"), chore("b")
    a = _chores(store, ledger, clock, "a", first)
    b = _chores(store, ledger, clock, "b", second)
    for _ in range(3):
        await asyncio.gather(a.run_job_once(first), b.run_job_once(second))
        clock.advance(seconds=61)
    assert len(ran) == 3


async def test_a_chore_for_every_process_runs_on_each(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    ran = 0

    async def run() -> None:
        nonlocal ran
        ran += 1

    chore = Job("reload", 60.0, run, on_every_process=True)
    for owner in "abc":
        assert await _chores(store, ledger, clock, owner, chore).run_job_once(chore)
    assert ran == 3


async def test_a_chore_may_run_before_its_first_pause(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    ran: list[str] = []
    begun = asyncio.Event()

    async def run(name: str) -> None:
        ran.append(name)
        begun.set()

    later = Job("later", 3_600.0, lambda: run("later"))
    now = Job("now", 3_600.0, lambda: run("now"), runs_at_start=True)
    chores = _chores(store, ledger, clock, "a", later, now)
    await chores.start()
    async with asyncio.timeout(10):
        await begun.wait()
    await chores.stop()
    assert ran == ["now"]


async def test_a_chore_that_fails_is_tried_again_and_ends_with_its_runner(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    third = asyncio.Event()
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            third.set()
        raise ValueError("as chores do")

    chores = _chores(store, ledger, clock, "a", Job("fails", 0.001, run, on_every_process=True))
    await chores.start()
    async with asyncio.timeout(10):
        await third.wait()
    await chores.stop()
    assert runs >= 3


async def test_processes_say_with_which_master_keys_they_open(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    async def says(*keys: str) -> None:
        chore = create_registration_job(keys)
        await _chores(store, ledger, clock, "a", chore).run_job_once(chore)

    assert await is_key_on_every_process(store, clock, "new"), "nobody runs"
    await says("old")
    assert await is_key_on_every_process(store, clock, "old")
    assert not await is_key_on_every_process(store, clock, "new")
    await says("new", "old")
    assert not await is_key_on_every_process(store, clock, "new"), "one of two was restarted"
    await unregister_process(ledger, create_registration_job(["old"]))
    assert await is_key_on_every_process(store, clock, "new")
    await says("old")
    for _ in range(4):
        clock.advance(seconds=15)
        await says("new", "old")
    assert await is_key_on_every_process(store, clock, "new"), "the other was killed"
