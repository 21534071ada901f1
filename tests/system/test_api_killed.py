"""Two services answer programs on one PostgreSQL; one after the other is killed while it does.

Whatever moment it is, what died is free: every charge is of an answer that was settled whole, the
token's cap is the sum of the charges, and nothing is held once the others have swept up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import httpx
import pytest_asyncio
import sqlalchemy as sa

from bots.api.access import REQUESTS_AT_ONCE
from core.db import schema
from core.db.database import Database
from tests.peers.suppliers import Answer, FakeSupplier, Used
from tests.support.config import KEYS
from tests.support.databases import NOON_MS, TestClock
from tests.support.size import size
from tests.system.processes_books import Books
from tests.system.processes_driver import Child, ForkServer, fork_server, open_services

__all__ = ["fork_server"]

ROUNDS = size(small=2, full=60)
#: Of each round, over both services: as many as both take at once of one person.
CALLS = 2 * REQUESTS_AT_ONCE
#: What a whole answer comes to: 1,016 tokens at five Credits a thousand.
CHARGE = 6
WORDS = tuple("word " * 50 for _ in range(20))
WELCOME = 1_000_000


@pytest_asyncio.fixture
async def supplier() -> AsyncIterator[FakeSupplier]:
    async with FakeSupplier("openai", models=["gpt-4"], strict=False) as openai:
        openai.allow(*KEYS)
        yield openai


@pytest_asyncio.fixture
async def store(postgres_url: str, clock: TestClock) -> AsyncIterator[Database]:
    opened = await Database.open(postgres_url, kind=None, clock=clock)
    yield opened
    await opened.close()


async def ask(port: int, secret: str, name: str, *, streams: bool, key: str) -> str:
    """What a program reads of one answer until its end, or its service's."""
    headers = {"authorization": f"Bearer {secret}"} | ({"idempotency-key": key} if key else {})
    messages = [{"role": "user", "content": f"{name} why?"}]
    body = {"model": "gpt-4", "messages": messages, "stream": streams}
    read = b""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    async with httpx.AsyncClient(trust_env=False, timeout=90) as client:
        try:
            async with client.stream("POST", url, json=body, headers=headers) as answer:
                async for chunk in answer.aiter_bytes():
                    read += chunk
        except httpx.TransportError:
            return ""
    is_whole = answer.status_code == 200 and (not streams or b"[DONE]" in read)
    return "whole" if is_whole else str(answer.status_code)


async def serve(child: Child) -> int:
    """The port at which a service answers programs."""
    port = (await child.does("api", "api"))["port"]
    assert isinstance(port, int)
    return port


async def test_whatever_moment_a_process_is_killed_at_nothing_is_charged_that_was_not_settled(
    fork_server: ForkServer, postgres_url: str, supplier: FakeSupplier, store: Database
) -> None:
    dice, books, now = random.Random("killed"), Books(store), NOON_MS
    wholes = calls = killed_calls = 0
    async with open_services(fork_server, postgres_url, supplier.url, welcome=WELCOME) as processes:
        children = [await processes.start_child(now), await processes.start_child(now)]
        ports = [await serve(child) for child in children]
        token = await children[0].does("token", "token", who="7", per_day=WELCOME)
        for round_ in range(ROUNDS):
            between = asyncio.Event()
            supplier.always(Answer(chunks=WORDS, usage=Used(16, 1_000), between=between))
            before = len(supplier.calls)
            asked = [
                (
                    ports[n % 2],
                    f"r{round_}c{n}",
                    dice.random() < 0.5,
                    dice.choice(("", f"{round_}/{n}")),
                )
                for n in range(CALLS)
            ]
            asking = [
                asyncio.create_task(ask(port, token["secret"], name, streams=streams, key=key))
                for port, name, streams, key in asked
            ]
            await supplier.arrived(before + dice.randint(1, CALLS))
            if dice.random() < 0.7:
                between.set()
            for _ in range(dice.randint(0, 200)):
                await asyncio.sleep(0)
            victim = dice.randrange(2)
            await children[victim].killed()
            between.set()
            read = await asyncio.gather(*asking)
            wholes, calls = wholes + read.count("whole"), calls + CALLS
            killed_calls += read.count("")
            survivors = [one for n, one in enumerate(read) if n % 2 != victim]
            assert survivors == ["whole"] * (CALLS // 2), read
            now += 13_000  # the leases of the dead lapse
            other = children[1 - victim]
            await other.does("clock", "clock", at_ms=now)
            await other.does("sweep", "swept")
            asks = len(supplier.calls)
            for _, name, streams, key in asked:
                if key:
                    again = await ask(
                        ports[1 - victim], token["secret"], name, streams=streams, key=key
                    )
                    # One that never was admitted is asked now; one that was lost, anew.
                    assert again == "whole", again
            wholes += len(supplier.calls) - asks
            children[victim] = await processes.start_child(now)
            ports[victim] = await serve(children[victim])
            await books.are_clean()
        charges = [row.charge for row in (await books.usage()).values() if row.charge]
        assert set(charges) == {CHARGE}
        assert wholes <= len(charges) <= calls
        assert killed_calls
        assert await books.credits("7") == WELCOME - sum(charges)
        rows = await store.fetch(sa.select(schema.api_spending.c.credits))
        assert sum(row.credits for row in rows) == sum(charges)
        for child in children:
            await child.stopped()
        await books.are_clean()
