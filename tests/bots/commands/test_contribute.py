"""Contributing a key and watching it earn, in words: `/contribute`, `/keys` (brief § 5)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from bots.chat.types import Card, FormCard
from core.db import schema
from tests.bots.commands.commands_support import button, text_of
from tests.core.earnings.world import Market, market
from tests.support.databases import TestClock
from tests.support.service import Service

KEY = "sk-canary-of-bobs-own-0001"
#: Nobody who contributes reads of money; "$0.90" stands on the withdrawal screens alone.
FORBIDDEN = ("$", "€", "usd", "dollar", "美元", "quota")


@pytest.fixture
async def bobs(database_url: str, clock: TestClock) -> AsyncIterator[Market]:
    async with market(database_url, clock) as made:
        made.service.openai.allow(KEY)
        made.service.openai.organisations[KEY] = "org-bob"
        yield made
        for table in schema.metadata.sorted_tables:
            assert KEY not in str(await made.service.app.services.base.db.fetch(table.select())), (
                table.name
            )


async def offered(bob: Service, key: str = KEY) -> Card:
    """The last card that a key brings."""
    asked = (await bob.says("/contribute openai"))[-1]
    assert isinstance(asked, FormCard)
    shown = await bob.says(key)
    assert isinstance(shown[0], Card)
    assert shown[0].erase_incoming
    assert key not in text_of(*shown)
    assert isinstance(shown[-1], Card)
    return shown[-1]


async def pressed(bob: Service, screen: Card, label: str) -> Card:
    shown = (await bob.presses(button(screen, label)))[-1]
    assert isinstance(shown, Card)
    return shown


async def test_the_briefs_card_and_one_tap(bobs: Market) -> None:
    bobs.service.openai.balances[KEY] = "500"
    bob = bobs.service.someone("bob")
    card = await offered(bob)
    told = text_of(card)
    assert "✅ Verified!" in told
    assert "OpenAI …0001 works for GPT-4 Turbo" in told
    assert "Estimated value: 75,000 Credits (after 10 % fee)" in told
    assert "≈ 16,666 requests" in told
    assert "You can spend all of it at once." in told
    assert "OpenAI's terms forbid" in told
    thanks = text_of(await pressed(bob, card, "Contribute"))
    assert "It earns you 74,997 Credits" in thanks
    for said in (told, thanks):
        assert not any(word in said.lower() for word in FORBIDDEN)
    assert "74,997 Credits" in text_of(await bob.screen("/balance"))
    rows = await bob.app.services.base.db.fetch(sa.select(schema.contribution.c.consent))
    assert [bool(row.consent) for row in rows] == [True], "the version that was agreed to"
    again = await bob.presses(button(card, "Contribute"))
    assert "no longer works" in text_of(*again)
    assert "74,997 Credits" in text_of(await bob.screen("/balance"))


async def test_where_nobody_tells_its_worth_the_owner_says_for_how_many(bobs: Market) -> None:
    bob = bobs.service.someone("bob")
    choice = await offered(bob)
    assert "doesn't say what is left" in text_of(choice)
    card = await pressed(bob, choice, "5,000 Credits (≈ 1,112 requests)")
    assert "You can spend up to 1,000 Credits at once" in text_of(card)
    assert "you can spend 1,000 of them" in text_of(await pressed(bob, card, "Contribute"))


async def test_no_thanks_leaves_nothing(bobs: Market) -> None:
    bob = bobs.service.someone("bob")
    assert "nothing of it is kept" in text_of(await pressed(bob, await offered(bob), "No, thanks"))
    assert await bob.app.services.base.db.fetch(sa.select(schema.contribution)) == []
    assert await bob.app.services.base.db.fetch(sa.select(schema.key)) == []
    assert "Verified" in text_of(await offered(bob)), "it can be offered again"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("hunter2", "doesn't look like a key of"),
        ("sk-ant-oat01-subscription-token-of-someone", "belongs to a subscription"),
        ("sk-admin-of-an-organisation-000000001", "administers a whole organisation"),
        ("sk-nobody-knows-this-one-00000001", "OpenAI refuses that key"),
    ],
)
async def test_what_is_no_key_of_theirs_is_told_in_a_sentence(
    bobs: Market, key: str, told: str
) -> None:
    bob = bobs.service.someone("bob")
    assert told.lower() in text_of(await offered(bob, key)).lower()
    assert await bob.app.services.base.db.fetch(sa.select(schema.key)) == []


async def test_the_same_key_or_account_is_refused_in_words(bobs: Market) -> None:
    bobs.service.openai.balances[KEY] = "500"
    bob, eve = bobs.service.someone("bob"), bobs.service.someone("eve")
    await pressed(bob, await offered(bob), "Contribute")
    assert "is in the pool already" in text_of(await offered(eve))
    other = "sk-canary-of-bobs-own-0002"
    bobs.service.openai.allow(other)
    bobs.service.openai.organisations[other] = "org-bob"
    assert "same account at OpenAI" in text_of(await offered(eve, other))
    # Also when it was withdrawn.
    keys = await pressed(bob, await bob.screen("/keys"), "OpenAI …0001")
    sure = await pressed(bob, keys, "Take it back")
    assert "Ended" in text_of(await pressed(bob, sure, "Yes, take it back"))
    assert "in the pool already" in text_of(await offered(bob))


async def test_an_owner_watches_it_and_takes_it_back(bobs: Market) -> None:
    bobs.service.openai.balances[KEY] = "500"
    bob = bobs.service.someone("bob")
    await pressed(bob, await offered(bob), "Contribute")
    await bobs.gets("tom", 1_000)
    await bobs.asks("tom", 100)
    listed = await bob.screen("/keys")
    assert "Usable 74,997 · still to earn 74,547 · withdrawable 450" in text_of(listed)
    assert "100 answers, 450 Credits" in text_of(listed)
    shown = await pressed(bob, listed, "OpenAI …0001")
    assert "Used: 0 % · 100 answers" in text_of(shown)
    chart = await pressed(bob, shown, "Chart")
    assert chart.attachment is not None
    assert chart.attachment.content.startswith(b"\x89PNG")
    assert "State: paused by you" in text_of(await pressed(bob, shown, "Pause"))
    paused = await pressed(bob, await bob.screen("/keys"), "OpenAI …0001")
    assert "State: serving" in text_of(await pressed(bob, paused, "Resume"))
    less = await pressed(bob, shown, "Lower its limit")
    assert "74,547 Credits are still to be earned" in text_of(less)
    assert "still to earn 18,6" in text_of(await pressed(bob, less, "Keep 18,636 Credits"))
    sure = await pressed(bob, shown, "Take it back")
    assert "What it has earned stays" in text_of(sure)
    assert "Ended" in text_of(await pressed(bob, sure, "Yes, take it back"))
    assert await bobs.has("bob") == {"earned": 450}
    for screen in (listed, shown, less, sure):
        assert not any(word in text_of(screen).lower() for word in FORBIDDEN)
    export = await bob.screen("/export")
    assert export.attachment is not None
    told = json.loads(export.attachment.content)
    assert [(one["key"], one["state"]) for one in told["contributions"]] == [
        ("openai …0001", "closed")
    ]
    assert told["credits"]["earned"] == 450
    assert KEY not in export.attachment.content.decode()


async def test_in_chinese_too(bobs: Market) -> None:
    bobs.service.openai.balances[KEY] = "500"
    bob = bobs.service.someone("bob", "zh-CN")
    card = await offered(bob)
    assert "75,000" in text_of(card)
    assert "Verified" not in text_of(card)
    assert not any(word in text_of(card).lower() for word in FORBIDDEN)
