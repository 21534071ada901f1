"""What the operator allows: switches, limits, roles; and that nobody else changes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from bots.chat.types import Answer, Card, Place
from core.admin_log import admin_log_row
from core.money import Credits
from core.users.limits import Allowance
from tests.bots.commands.admin.limits_support import acts
from tests.bots.commands.commands_support import button, text_of
from tests.peers.suppliers import Answer as Told
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        await tom.person()
        yield tom.someone("1")


async def test_asks_are_paused_with_the_operators_sentence(owner: Service) -> None:
    tom = owner.someone("7")
    shown = await owner.screen("/pause asks We are moving house until noon.")
    assert "Asks: paused since" in text_of(shown)
    assert text_of(*await tom.says("why?")).strip() == "We are moving house until noon."
    assert await tom.credits() == Credits(1_000)
    assert isinstance((await owner.says("why?"))[-1], Answer), "admins go on"
    asked = (await owner.presses(button(shown, "▶ Asks")))[-1]
    assert isinstance(asked, Card)
    on = (await owner.presses(button(asked, "Yes")))[-1]
    assert "Asks: running" in text_of(on)
    await tom.answer("why?")
    assert sorted(await acts(owner)) == ["go-on", "pause"]


async def test_by_a_button_our_own_sentence_is_told(owner: Service) -> None:
    shown = await owner.screen("/pause")
    await owner.presses(button(shown, "⏸ Asks"))
    assert "Questions are paused for a while." in text_of(*await owner.someone("7").says("why?"))
    zh = owner.someone("8", "zh-CN")
    assert "提问暂停中" in text_of(*await zh.says("why?"))


async def test_another_process_hears_of_it(owner: Service) -> None:
    await owner.screen("/pause topups")
    rules = owner.app.services.users.limits
    rules.pauses = {}
    await rules.load()
    assert list(rules.pauses) == ["topups"]


async def test_so_many_asks_a_minute(owner: Service, clock: TestClock) -> None:
    assert "Asks a minute: 2" in text_of(await owner.screen("/limit telegram:7 minute 2"))
    tom = owner.someone("7")
    await tom.answer("one?")
    clock.advance(seconds=20)
    await tom.answer("two?")
    told = text_of(*await tom.says("three?"))
    assert "the most is 2 a minute" in told
    assert "Ask again in 40 seconds" in told
    clock.advance(seconds=41)
    await tom.answer("three?")
    await owner.someone("8").answer("others as ever?")
    assert "Asks a minute: no limit" in text_of(await owner.screen("/limit telegram:7 minute 0"))


async def test_so_many_at_once(owner: Service) -> None:
    await owner.screen("/limit telegram:7 once 1")
    tom = owner.someone("7")
    held = asyncio.Event()
    owner.openai.always(Told("slow", before=held))
    shown_first = owner.app.chat.dispatcher.handle_message(tom.incoming("one?"))
    await anext(shown_first)
    other = Place("telegram", "-5", private=False)
    incoming = tom.incoming("/ask two?", place=other)
    shown = [one async for one in owner.app.chat.dispatcher.handle_message(incoming)]
    assert "A question of yours is being answered" in text_of(*shown)
    held.set()
    assert isinstance([one async for one in shown_first][-1], Answer)
    owner.openai.always(Told("quick"))
    await tom.answer("two?")


async def test_so_many_credits_a_day(owner: Service, clock: TestClock) -> None:
    await owner.screen("/limit telegram:7 day 1")
    tom = owner.someone("7")
    await tom.answer("one?")
    assert "You've reached your limit of 1 Credit a day" in text_of(*await tom.says("two?"))
    clock.advance(days=1)
    await tom.answer("two?")


async def test_a_groups_own_limit(owner: Service) -> None:
    group = Place("telegram", "-5", private=False)
    told = [
        one
        async for one in owner.app.chat.dispatcher.handle_message(
            owner.incoming("/limit here minute 1", place=group)
        )
    ]
    assert "Limits of telegram:-5" in text_of(*told)
    for sender, fine in (("7", True), ("8", False)):
        asker = owner.someone(sender)
        shown = [
            one
            async for one in owner.app.chat.dispatcher.handle_message(
                asker.incoming("/ask why?", place=group)
            )
        ]
        assert isinstance(shown[-1], Answer) is fine, text_of(*shown)
    await owner.someone("8").answer("in private as ever?")


async def test_who_is_blocked_asks_nothing_and_becomes_nobody_else(owner: Service) -> None:
    tom = owner.someone("7")
    person = await tom.person()
    row = admin_log_row(owner.clock, actor="usr_owner", act="block", before={}, after={})
    await owner.app.services.users.limits.set_allowance(
        person.id, Allowance(blocked=True), actor="usr_owner", companion=row
    )
    for text in ("why?", "/link"):
        assert "has blocked this account" in text_of(*await tom.says(text))
    assert "1,000 Credits" in text_of(*await tom.says("/balance"))
    assert await tom.credits() == Credits(1_000)


async def test_roles_support_reads_and_moves_nothing(owner: Service) -> None:
    shown = await owner.gives_role("telegram:7", "support")
    assert ("telegram:7", "support") in shown.table
    ann = owner.someone("7")
    assert "— System layer —" in (await ann.screen("/report")).lines
    for text in (
        "/grant telegram:7 5 why",
        "/setprice gpt-4 6",
        "/pause asks",
        "/pool",
        "/limit telegram:7 day 5",
        "/role telegram:7 admin",
    ):
        assert "for the operator only" in text_of(*await ann.says(text)), text
    menu = await owner.screen("/pause")
    assert "somebody else" in text_of(*await ann.presses(button(menu, "⏸ Asks")))
    assert not owner.app.services.users.limits.pauses

    await owner.gives_role("telegram:7", "admin")
    assert isinstance(await ann.screen("/pause asks"), Card)
    assert "for the operator only" in text_of(*await ann.says("/role telegram:8 admin"))
    await owner.gives_role("telegram:7", "none")
    assert "for the operator only" in text_of(*await ann.says("/report"))
    assert await acts(owner) == ["role", "pause", "role", "role"] or (
        sorted(await acts(owner)) == ["pause", "role", "role", "role"]
    )


async def test_owners_keep_their_role(owner: Service) -> None:
    assert "That is an owner" in text_of(*await owner.says("/role telegram:1 none"))
    assert owner.app.services.users.roles.get_role("telegram", "1") == "owner"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/pause everything", "What can be paused"),
        ("/limit telegram:7 hour 5", "Write it like this: /limit"),
        ("/limit telegram:7 day x", "Write it like this: /limit"),
        ("/limit here minute 5", "Write it like this: /limit"),
        ("/limit telegram:999 day 5", "telegram:999"),
        ("/role telegram:7 owner", "Write it like this: /role"),
        ("/role bob admin", "Write it like this: /role"),
    ],
)
async def test_what_is_mistyped_changes_nothing(owner: Service, text: str, told: str) -> None:
    await owner.someone("7").person()
    assert told in text_of(*await owner.says(text))
    assert await acts(owner) == []
