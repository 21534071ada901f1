"""The pool from the operator's phone: look, pause, budget, remove, and end what was stolen."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bots.chat.types import Card, FormCard, FormSubmission, Output, Sender
from core import chart
from core.db import schema
from core.money import parse_usd
from tests.bots.commands.commands_support import button, text_of
from tests.core.earnings.world import BRIEFS, Market, market
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

KEY = "sk-theirs-000000000001"


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        yield tom.someone("1")
        assert await tom.findings() == []


@pytest.fixture
async def bobs(database_url: str, clock: TestClock) -> AsyncIterator[Market]:
    async with market(database_url, clock, policy=BRIEFS) as made:
        yield made
        assert await made.service.findings() == []


async def acts(owner: Service) -> list[str]:
    rows = await owner.app.services.base.db.fetch(sa.select(schema.admin_log.c.act))
    return [row.act for row in rows]


def card(*outputs: Output) -> Card:
    assert isinstance(outputs[-1], Card), outputs
    return outputs[-1]


async def pressed(owner: Service, screen: Card, label: str) -> Card:
    return card(*await owner.presses(button(screen, label)))


async def test_a_key_is_paused_and_resumed_by_button_or_words(owner: Service) -> None:
    shown = await pressed(owner, await owner.screen("/pool"), "OpenAI …0001")
    assert "May cost $500.00: $0.00 used" in text_of(shown)
    assert "State: paused" in text_of(await pressed(owner, shown, "Pause"))
    assert "isn't available right now" in text_of(*await owner.says("/ask gpt-4 why?"))
    assert "State: active" in text_of(await owner.screen("/pool resume 0001"))
    await owner.answer("/ask gpt-4 why?")
    assert "State: paused" in text_of(await owner.screen("/pool pause …0001"))
    assert await acts(owner) == ["pause", "resume", "pause"]


async def test_a_budget_is_set_but_not_below_what_is_used(owner: Service) -> None:
    await owner.answer("/ask gpt-4 why?")
    assert "May cost $12.50" in text_of(await owner.screen("/pool budget 0001 12.5"))
    assert (await owner.app.services.pool.pool.list_keys())[0].budget == parse_usd("12.5")
    assert "can't be taken back" in text_of(await owner.screen("/pool budget 0001 0.000001"))
    shown = await pressed(owner, await owner.screen("/pool"), "OpenAI …0001")
    asked = (await owner.presses(button(shown, "Budget")))[-1]
    assert isinstance(asked, FormCard)
    filled = FormSubmission(
        owner.place, Sender("1", "en"), asked.form.id, "77", {"budget": SecretStr("800")}
    )
    told = [one async for one in owner.app.chat.dispatcher.submit_form(filled)]
    assert "May cost $800.00" in text_of(*told)
    assert await acts(owner) == ["budget", "budget"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("budget 0001", "Write it like this: /pool budget"),
        ("budget 0001 0", "Write it like this: /pool budget"),
        ("budget 9999 5", "Which key?"),
        ("pause", "Which key?"),
        ("pause 9999", "Which key?"),
        ("resume 9999", "Which key?"),
    ],
)
async def test_what_is_meant_by_no_key_changes_nothing(
    owner: Service, words: str, told: str
) -> None:
    before = await owner.app.services.pool.pool.list_keys()
    assert told in text_of(await owner.screen(f"/pool {words}"))
    assert await owner.app.services.pool.pool.list_keys() == before
    assert await acts(owner) == []


async def test_an_own_key_is_removed_after_a_second_press(owner: Service) -> None:
    shown = await pressed(owner, await owner.screen("/pool"), "OpenAI …0001")
    sure = await pressed(owner, shown, "Remove")
    assert len(await owner.app.services.pool.pool.list_keys()) == 1
    assert "is erased" in text_of(await pressed(owner, sure, "Yes, erase it"))
    assert await owner.app.services.pool.pool.list_keys() == []
    rows = await owner.app.services.base.db.fetch(
        sa.select(schema.key.c.sealed, schema.key.c.state)
    )
    assert [tuple(row) for row in rows] == [(None, "withdrawn")]
    assert await acts(owner) == ["remove"]


async def test_nobody_else_sees_or_does_any_of_it(owner: Service) -> None:
    shown = await pressed(owner, await owner.screen("/pool"), "OpenAI …0001")
    tom = owner.someone("7")
    assert "for the operator only" in text_of(*await tom.says("/pool pause 0001"))
    await tom.presses(button(shown, "Pause"))
    assert [one.state for one in await owner.app.services.pool.pool.list_keys()] == ["active"]


async def test_a_contributor_can_not_resume_what_the_operator_paused(bobs: Market) -> None:
    await bobs.contributes("bob", KEY, "500")
    owner, bob = bobs.service.someone("1"), bobs.service.someone("bob")
    assert "State: paused" in text_of(await owner.screen("/pool pause 0001"))
    shown = await pressed(bob, await bob.screen("/keys"), "OpenAI …0001")
    assert "paused by the operator" in text_of(shown)
    assert "The operator paused that key" in text_of(await pressed(bob, shown, "Resume"))
    assert "its owner contributed it" in text_of(await owner.screen("/pool budget 0001 9")).lower()
    assert "State: active" in text_of(await owner.screen("/pool resume 0001"))
    shown = await pressed(bob, await bob.screen("/keys"), "OpenAI …0001")
    assert "State: serving" in text_of(shown)


async def test_what_a_stolen_key_brought_is_forfeited(bobs: Market) -> None:
    """security.md: it forfeits what was not paid out; what its thief bought stays theirs."""
    await bobs.contributes("bob", KEY, "500")
    await bobs.gets("bob", 50)
    await bobs.gets("alice", 1_000)
    await bobs.gets("carol", 100, "gift")
    await bobs.asks("alice", 100)
    await bobs.asks("carol", 10)
    assert await bobs.has("bob") == {"bought": 50, "earned": 450, "gift": 45}
    owner = bobs.service.someone("1")
    shown = await pressed(owner, await owner.screen("/pool"), "OpenAI …0001")
    sure = await pressed(owner, shown, "Reported stolen")
    assert "what it brought is forfeited" in text_of(await pressed(owner, sure, "Yes, erase it"))
    assert await bobs.has("bob") == {"bought": 50}
    assert await bobs.posted(chart.FORFEITED) == [495]
    assert await acts(owner) == ["stolen"]
    rows = await owner.app.services.base.db.fetch(sa.select(schema.key.c.sealed))
    assert [row.sealed for row in rows] == [None]


async def test_what_a_thief_has_spent_in_advance_is_owed(bobs: Market) -> None:
    await bobs.contributes("bob", KEY, "500")
    await bobs.contributes("dora", "sk-honest-00000000002", "500")
    await bobs.asks("bob", 10)
    owner = bobs.service.someone("1")
    key = next(one for one in await owner.app.services.pool.pool.list_keys() if one.tail == "0001")
    await owner.app.services.earnings.termination.forfeit_contribution(key.id)
    assert await bobs.has("bob") == {"owed": 50}
