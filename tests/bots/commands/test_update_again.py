"""A process is killed between a command's effect and the end of its update: the next one works it
again, and nothing happens twice."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from bots.chat.types import Answer, IncomingMessage
from core.db import schema
from core.earnings.types import EarningPolicy
from tests.bots.commands.commands_support import text_of
from tests.core.earnings.world import TAKES_OPENAI
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

#: What is typed, by an owner; every other command without a word.
TYPED: Final = {
    "ask": "/ask gpt-4 why?",
    "grant": "/grant telegram:8 5 because",
    "limit": "/limit telegram:8 day 5",
    "pause": "/pause asks soon back",
    "setprice": "/setprice gpt-4 6",
    "role": "/role telegram:8 support",
    "promo": "/promo new gpt-4 20% 7d",
    "broadcast": "/broadcast hello",
    "tier": "/tier telegram:8 none",
    "topup": "/topup 5",
    "paysupport": "/paysupport where is my order?",
    "contribute": "/contribute openai",
    "model": "/model gpt-4",
    "language": "/language en",
    "settings": "/settings zone Europe/Berlin",
    "redeem": "/redeem ABCD-EFGH-JKMN",
}
#: A fresh code takes the place of the one before.
HARMLESS: Final = {"/link": {"link": 1}}
#: Rows of these are of the moment: screens' buttons, prompts, jobs.
PASSING: Final = {"button", "chore", "chat_update", "prompt"}


async def count_rows(one: Service) -> dict[str, int]:
    db = one.app.services.base.db
    counted = {}
    for name, table in schema.metadata.tables.items():
        if name not in PASSING:
            rows = await db.fetch(sa.select(sa.func.count()).select_from(table))
            counted[name] = rows[0][0]
    return counted


async def work(one: Service, update: IncomingMessage) -> None:
    one.app.chat.dispatcher.work_budget._accounts.clear()
    async for output in one.app.chat.dispatcher.handle_message(update):
        if isinstance(output, Answer):
            await one.app.chat.dispatcher.mark_delivered(output.ask, update.place, ["1"])


async def test_no_command_happens_twice(sqlite_url: str, clock: TestClock) -> None:
    policy = EarningPolicy(TAKES_OPENAI)
    async with service.running(sqlite_url, clock, policy=policy) as one:
        await one.someone("8").person()
        owner = one.someone("1")
        await owner.person()
        dispatcher = one.app.chat.dispatcher
        twice = {}
        texts = [TYPED.get(each.name, f"/{each.name}") for each in dispatcher._registry.commands]
        for number, text in enumerate([*texts, "/setprice gpt-4 undo"], 1_000):
            update = owner.incoming(text, message=str(number))
            await work(owner, update)
            before = await count_rows(owner)
            dispatcher._seen_updates.clear()
            clock.advance(seconds=3)
            await work(owner, update)
            after = await count_rows(owner)
            changed = {name: after[name] - count for name, count in before.items()}
            if any(changed.values()):
                twice[text] = {name: count for name, count in changed.items() if count}
        assert twice == HARMLESS
        told = text_of(*await owner.says("/limit telegram:8 day 6"))
        assert "A day: 6 Credits" in told, "another message counts"
