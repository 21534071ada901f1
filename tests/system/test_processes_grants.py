"""`creditbot grant` beside a service that serves: no grant and no charge is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from bots.chat.types import Answer, Place
from core import chart
from core.clock import SystemClock
from core.db import schema
from core.db.database import Database
from core.money import Credits
from tests.peers.suppliers import Answer as Says, FakeSupplier, Used
from tests.support import service
from tests.support.service import Service
from tests.support.size import size
from tests.system.processes_books import Books
from tests.system.processes_command import Environment, audited, command, environment

GRANTS = size(small=2, full=100)
ASKS = size(small=60, full=10_000)
CALLERS = 8
WELCOME, AMOUNT = 1_000_000, 7
CHARGE = -(-1_016 * 5 // 1_000)


class _Moment(asyncio.Event):
    """What a supplier takes before its first word; the processor is for the operator meanwhile."""

    async def wait(self) -> bool:  # type: ignore[override]
        await asyncio.sleep(0.1)
        return True


async def _grants(folder: Path, env: Environment, ended: asyncio.Event) -> None:
    """One operator, one command after the other; every fifth is given twice by its id."""
    try:
        for number in range(GRANTS):
            arguments = ("grant", "telegram:7", str(AMOUNT), "--reason", f"number {number}")
            for _ in range(2 if number % 5 == 0 else 1):
                code, _, errors = await command(folder, env, *arguments, "--id", f"g{number}")
                assert (code, errors) == (0, ""), errors
    finally:
        ended.set()


async def _asks(tom: Service, granted: asyncio.Event) -> Counter[str]:
    """People ask without a pause, until there are enough asks and the last grant was given; gives
    how often each asked."""
    numbers, asked = itertools.count(), Counter[str]()

    async def caller(who: str) -> None:
        while (number := next(numbers)) < ASKS or not granted.is_set():
            # A thread each: no history goes with it.
            chat = replace(tom.someone(who), place=Place("telegram", who, str(number)))
            *_, answer = await chat.says("why?", message=str(number))
            assert isinstance(answer, Answer), answer
            assert f"{CHARGE} Credits" in answer.footer
            asked[who] += 1

    # The one who is granted Credits asks too, several questions at once.
    people = ["7"] * (CALLERS // 2) + [str(number) for number in range(8, 8 + CALLERS // 2)]
    async with asyncio.TaskGroup() as callers:
        for who in people:
            callers.create_task(caller(who))
    return asked


@pytest.mark.timeout(1_800)
async def test_nothing_is_lost_when_an_operator_grants_beside_a_running_service(
    sqlite_url: str, tmp_path: Path
) -> None:
    clock = SystemClock()
    env = environment(sqlite_url)
    async with FakeSupplier("openai", models=["gpt-4"], strict=False) as supplier:
        supplier.always(Says("word " * 1_000, usage=Used(16, 1_000), before=_Moment()))
        async with service.running(
            sqlite_url, clock, welcome=WELCOME, budget="10000", supplier=supplier
        ) as tom:
            await tom.person()
            granted = asyncio.Event()
            async with asyncio.TaskGroup() as both:
                asking = both.create_task(_asks(tom, granted))
                both.create_task(_grants(tmp_path, env, granted))
            asked = asking.result()
            # The service itself knows what another process gave.
            assert await tom.credits() == Credits(_left("7", asked))
    print(f"{GRANTS} grants beside {asked.total()} asks")
    assert asked.total() >= ASKS
    store = await Database.open(sqlite_url, kind=None, clock=clock)
    await _all_is_there(store, asked)
    await store.close()
    told = await audited(tmp_path, env)
    assert (told["holds"], told["asks"]) == (0, {"open": 0, "settled": asked.total()})


def _left(who: str, asked: Counter[str]) -> int:
    given = GRANTS * AMOUNT if who == "7" else 0
    return WELCOME + given - asked[who] * CHARGE


async def _all_is_there(store: Database, asked: Counter[str]) -> None:
    books = Books(store)
    await books.are_clean()
    usage = await books.usage()
    assert len(usage) == asked.total()
    assert {row.charge for row in usage.values()} == {CHARGE}
    assert await books.spent() == asked.total() * CHARGE
    for who in asked:
        assert await books.credits(who) == _left(who, asked)
    (issued,) = await books.balances(chart.issued("grant"))
    assert issued.debits_posted == GRANTS * AMOUNT
    submission, log = schema.submission.c, schema.admin_log.c
    grants = await store.fetch(sa.select(submission.id).where(submission.id.like("grant/%")))
    assert {row.id for row in grants} == {f"grant/g{number}" for number in range(GRANTS)}
    logged = await store.fetch(sa.select(log.id).where(log.act == "grant"))
    assert len(logged) == GRANTS
