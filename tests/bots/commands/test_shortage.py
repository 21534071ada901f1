"""A balance that doesn't pay for a question: what is said, and where the buttons lead."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr

from bots.chat.types import Answer, Card, Place
from bots.commands.models import ModelCommands
from core.earnings.types import EarningPolicy
from core.money import Credits
from core.pricing.catalogue import Catalogue, Route
from core.pricing.costs import Costs
from payments.gateways.sandbox import SandboxGateway
from tests.bots.commands.commands_support import button, text_of
from tests.core.earnings.world import TAKES_OPENAI
from tests.peers.suppliers import FakeSupplier
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service

#: One key serves all three.
CLAUDE = replace(brief.CLAUDE_3, routes=(Route("openai", "claude-3"),))
LLAMA = replace(brief.LLAMA_3, routes=(Route("openai", "llama-3"),))
COSTS = Costs({model.routes[0]: brief.flat("0.001") for model in (brief.GPT_4, CLAUDE, LLAMA)})


@asynccontextmanager
async def asking(
    url: str, clock: TestClock, *, welcome: int, leads_on: bool = True, claude: bool = False
) -> AsyncIterator[Service]:
    """GPT-4 costs five times what Llama does, Claude four times."""
    models = (brief.GPT_4, LLAMA, *((CLAUDE,) if claude else ()))
    sandbox = SandboxGateway(url="http://127.0.0.1:9", secret=SecretStr("s"))
    served = [model.routes[0].model for model in models]
    async with (
        FakeSupplier("openai", models=served, strict=False) as supplier,
        service.running(
            url,
            clock,
            welcome=welcome,
            supplier=supplier,
            catalogue=Catalogue(models),
            costs=COSTS,
            gateways={"sandbox": sandbox} if leads_on else None,
            policy=EarningPolicy(TAKES_OPENAI if leads_on else frozenset()),
            prices={model.id: brief.PRICES[model.id] for model in models},
        ) as one,
    ):
        yield one


def labels(card: Card) -> list[list[str]]:
    return [[one.label for one in row] for row in card.buttons]


async def test_a_shortage_leads_on(sqlite_url: str, clock: TestClock) -> None:
    async with asking(sqlite_url, clock, welcome=1) as one:
        tom = replace(one, place=Place("discord", "7"))
        card = await tom.screen("/ask gpt-4 why?")
        assert card.lines == (
            "This needs 2 Credits; you have 1 Credit.",
            "GPT-4 Turbo: 5 Credits / 1K tokens",
            "Nothing was charged.",
        )
        assert labels(card) == [["➕ Top up", "🔑 Earn Credits"], ["Ask a cheaper model: Llama 3"]]
        assert "Starter: 1,000 Credits" in text_of((await tom.presses(button(card, "Top up")))[-1])
        assert tom.openai.calls == []
        answer = (await tom.presses(button(card, "Llama 3")))[-1]
        assert isinstance(answer, Answer), answer
        assert "Llama 3" in answer.footer
        assert tom.openai.calls[0].body["messages"][-1]["content"] == "why?"
        # Whoever presses again gets no second answer.
        again = (await tom.presses(button(card, "Llama 3")))[-1]
        assert isinstance(again, Card), again
        assert len(tom.openai.calls) == 1


async def test_only_ways_that_exist_are_offered(sqlite_url: str, clock: TestClock) -> None:
    async with asking(sqlite_url, clock, welcome=0, leads_on=False) as tom:
        assert labels(await tom.screen("/ask gpt-4 why?")) == []
        assert labels(await tom.screen("/balance")) == [["Usage", "Statement", "Models"]]


async def test_the_balance_offers_the_same(sqlite_url: str, clock: TestClock) -> None:
    async with asking(sqlite_url, clock, welcome=2) as tom:
        card = await tom.screen("/balance")
        assert labels(card) == [
            ["🔑 Earn Credits"],  # nothing is sold on Telegram, where people aren't led outside
            ["Cheaper model: Llama 3"],
            ["Usage", "Statement", "Models"],
        ]
        chosen = (await tom.presses(button(card, "Llama 3")))[-1]
        assert "Llama 3 answers you from now on." in text_of(chosen)
        assert labels(await tom.screen("/balance"))[1:] == [["Usage", "Statement", "Models"]]


async def test_a_group_reads_nothing_of_the_balance(sqlite_url: str, clock: TestClock) -> None:
    async with asking(sqlite_url, clock, welcome=1) as tom:
        group = replace(tom, place=Place("telegram", "-100", private=False))
        card = await group.screen("/ask gpt-4 why?")
        assert card.lines[0] == "This needs 2 Credits: more than you have."


@pytest.mark.parametrize(
    ("available", "cheaper"),
    [(0, ""), (1, "llama-3"), (12, "llama-3"), (20, "claude-3")],
)
async def test_the_cheaper_model_is_the_best_that_is_paid_ten_times(
    sqlite_url: str, clock: TestClock, available: int, cheaper: str
) -> None:
    async with asking(sqlite_url, clock, welcome=0, claude=True) as tom:
        services = tom.app.services
        found = await ModelCommands(
            catalogue=services.pricing.catalogue,
            prices=services.pricing.prices,
            deals=services.pricing.deals,
            pool=services.pool.pool,
            users=services.users.users,
            balances=services.users.balances,
            default_model="",
        ).find_cheaper_model(
            await tom.person(), brief.GPT_4, needed=Credits(2), available=Credits(available)
        )
        assert (found.id if found is not None else "") == cheaper
