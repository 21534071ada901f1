"""SIGTERM with many streams open: each ends or settles, lands in its chat, and the exit is 0."""

from __future__ import annotations

import time
from pathlib import Path

import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from tests.peers.suppliers import Answer as Says, FakeSupplier, Used
from tests.peers.telegram import TOKEN, FakeTelegram
from tests.support.config import KEYS
from tests.support.databases import TestClock
from tests.support.size import size
from tests.system.peers import telegram
from tests.system.processes_books import Books
from tests.system.processes_command import audited, environment, running

__all__ = ["telegram"]

STREAMS = size(small=12, full=100)
WORDS = "word " * 100


async def test_sigterm_ends_or_settles_every_stream_lands_it_and_exits_0(
    sqlite_url: str, tmp_path: Path, telegram: FakeTelegram, clock: TestClock
) -> None:
    """One half ends by itself while the service stops; the other would never end."""
    async with FakeSupplier("openai", models=["gpt-4o"], strict=False) as supplier:
        supplier.allow(*KEYS)
        gate = supplier.hold()
        supplier.script(*[Says(WORDS, usage=Used(20, 100))] * (STREAMS // 2))
        supplier.always(Says(chunks=(WORDS, "never"), hangs_after=1))
        env = environment(
            sqlite_url,
            telegram_token=TOKEN,
            telegram_api_url=await telegram.start(),
            supplier_openai_url=supplier.url,
            supplier_openai_key=KEYS[0],
            supplier_openai_quota="1000",
            default_model="gpt-4o",
            welcome_credits="1000",
            admins="telegram:999",
        )
        async with running(tmp_path, env) as service:
            telegram.user(999)  # is told which models end soon
            people = [telegram.user(1_000 + number) for number in range(STREAMS)]
            for person in people:
                telegram.says(person, "why is the sky blue?")
            await telegram.wait_for(
                lambda: all("word" in telegram.chat(person.id).draft for person in people), 90
            )
            assert len(supplier.calls) == STREAMS
            began = time.monotonic()
            service.terminate()
            gate.set()
            code, log = await service.ended()
            print(f"{STREAMS} streams, {time.monotonic() - began:.1f} s from SIGTERM to the exit")
        assert code == 0, log
        assert not [line for line in log.splitlines() if "error" in line or "warning" in line], log
        for person in people:
            # The answer alone: the message that held Stop is gone.
            assert len(telegram.chat(person.id).bot_messages) == 1
            shown = telegram.chat(person.id).last
            assert WORDS.strip() in shown.text
            assert "Credit" in shown.text
            assert shown.labels[-1] == "🔁 Again"
    told = await audited(tmp_path, env)
    assert (told["holds"], told["asks"]) == (0, {"open": 0, "settled": STREAMS})
    await _books_are_right(sqlite_url, clock)


async def _books_are_right(url: str, clock: TestClock) -> None:
    store = await Database.open(url, kind=None, clock=clock)
    books = Books(store)
    await books.are_clean()
    assert await books.unlanded() == 0
    assert len(await books.usage()) == STREAMS
    outcomes = await store.fetch(
        sa.select(schema.ask.c.outcome, sa.func.count().label("number")).group_by(
            schema.ask.c.outcome
        )
    )
    half = STREAMS // 2
    assert {row.outcome: row.number for row in outcomes} == {
        "done": half,
        "stopped": STREAMS - half,
    }
    await store.close()
