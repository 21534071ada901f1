"""People from the operator's phone: found, given to, limited, blocked, handed out, erased."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from bots.chat.types import Card, FormCard
from core.db import schema
from core.money import Credits
from tests.bots.chat.forms_support import filled
from tests.bots.commands.admin.limits_support import acts
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        await tom.person()
        yield tom.someone("1")


async def prompted(owner: Service, card: Card, label: str, **typed: str) -> Card:
    """A button that asks, filled in."""
    (form,) = await owner.presses(button(card, label))
    assert isinstance(form, FormCard)
    shown = (await filled(owner, form, f"m-{form.form.id}", **typed))[-1]
    assert isinstance(shown, Card)
    return shown


async def test_the_newest_come_first_and_older_ones_by_a_button(owner: Service) -> None:
    for number in range(20, 32):
        await owner.someone(str(number)).person()
    first = await owner.screen("/users")
    assert "telegram:31" in text_of(first)
    assert "telegram:7" not in text_of(first)
    older = (await owner.presses(button(first, "Older ▸")))[-1]
    assert "telegram:7" in text_of(older)
    card = (await owner.presses(button(older, "telegram:7")))[-1]
    assert "Gifts: 1,000 Credits" in text_of(card)


class NamedChats:
    """A platform that knows its people's names, but for those who left it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def find_name(self, sender: str) -> str:
        self.asked.append(sender)
        if sender == "8":
            raise ConnectionError
        return {"7": "Tom Lee (@tom)"}.get(sender, "")


async def test_people_have_names_where_their_platform_tells_them(owner: Service) -> None:
    await owner.someone("8").person()
    chats = NamedChats()
    owner.app.chat.redelivery.register_notifier("telegram", chats)  # type: ignore[arg-type]
    listed = await owner.screen("/users")
    assert [row[0] for row in listed.table] == [
        *("telegram:1", "telegram:8", "Tom Lee (@tom) · telegram:7"),
    ]
    assert "People in all: 3" in listed.lines
    assert (await owner.screen("/users 7")).title == "Tom Lee (@tom) · telegram:7"
    assert chats.asked.count("7") == 1, "for an hour nobody is asked again"


async def test_a_person_is_found_by_whatever_is_known(owner: Service) -> None:
    tom = owner.someone("7")
    await tom.answer("why?")
    person = (await tom.person()).id
    for asked in ("telegram:7", "7", person):
        card = text_of(await owner.screen(f"/users {asked}"))
        assert person in card
        assert "Answers: 1, " in card
        assert "No answers" not in card
    assert "I don't know" in text_of(await owner.screen("/users telegram:404"))
    assert "I don't know" in text_of(await owner.screen("/users ord_nothing"))


async def test_tier_and_history_without_a_word_of_it(owner: Service) -> None:
    await owner.screen("/tier add Gold spending 1 in 30 days 10% off")
    await owner.someone("7").answer("a canary question?")
    card = await owner.screen("/users 7")
    assert "Tier: Gold" in text_of(card)
    history = (await owner.presses(button(card, "History")))[-1]
    assert isinstance(history, Card)
    assert [row[1:] for row in history.table] == [("GPT-4 Turbo", "1 Credit")]
    assert "canary" not in text_of(history)


async def test_a_gift_a_limit_and_a_block(owner: Service) -> None:
    card = await owner.screen("/users 7")
    card = await prompted(owner, card, "Give Credits", credits="1,500", reason="for the bug report")
    assert "Gifts: 2,500 Credits" in text_of(card)
    card = await prompted(owner, card, "Limit", minute="3", once="0", day="400")
    assert "Asks a minute: 3" in text_of(card)
    assert "A day: 400 Credits" in text_of(card)
    card = await prompted(owner, card, "Block", reason="spam")
    assert "Blocked." in text_of(card)
    assert "has blocked this account" in text_of(*await owner.someone("7").says("why?"))
    card_ = (await owner.presses(button(card, "Unblock")))[-1]
    assert "Blocked." not in text_of(card_)
    await owner.someone("7").answer("why?")
    assert await acts(owner) == ["grant", "limit", "block", "unblock"]
    rows = await owner.app.services.base.db.fetch(
        sa.select(schema.admin_log).where(schema.admin_log.c.act == "block")
    )
    assert json.loads(rows[0].after)["reason"] == "spam"
    assert json.loads(rows[0].before)["blocked"] == 0


@pytest.mark.parametrize("typed", ["0", "-5", "1.5", "lots", "9" * 9 + "9"])
async def test_a_gift_that_is_none_moves_nothing(owner: Service, typed: str) -> None:
    card = await owner.screen("/users 7")
    told = await prompted(owner, card, "Give Credits", credits=typed, reason="why not")
    assert "Nothing was" in text_of(told)
    assert await owner.someone("7").credits() == Credits(1_000)
    assert await acts(owner) == []


async def test_what_is_kept_is_handed_out_without_their_words(owner: Service) -> None:
    await owner.someone("7").answer("a canary question?")
    shown = (await owner.presses(button(await owner.screen("/users 7"), "Export")))[-1]
    assert isinstance(shown, Card)
    assert shown.attachment is not None
    told = json.loads(shown.attachment.content)
    assert told["writes_from"] == ["telegram:7"]
    assert told["answers"] == []
    assert b"canary" not in shown.attachment.content
    assert await acts(owner) == ["export"]


async def test_somebody_is_erased_by_a_second_tap(owner: Service) -> None:
    tom = owner.someone("7")
    await tom.answer("why?")
    person = (await tom.person()).id
    sure = (await owner.presses(button(await owner.screen("/users 7"), "Erase")))[-1]
    assert isinstance(sure, Card)
    assert "are lost with it" in text_of(sure)
    gone = (await owner.presses(button(sure, "Yes, erase them")))[-1]
    assert "Erased " in text_of(gone)
    assert "telegram:7" not in text_of(gone)
    assert (await tom.person()).id != person
    assert await acts(owner) == ["erase"]
    assert await tom.credits() == Credits(0), "no second welcome"


async def test_somebody_erases_themselves(owner: Service) -> None:
    tom = owner.someone("7")
    await tom.answer("why?")
    person = (await tom.person()).id
    privacy = await tom.screen("/privacy")
    sure = (await tom.presses(button(privacy, "Erase everything about me")))[-1]
    assert isinstance(sure, Card)
    told = text_of(sure)
    assert "Credits are lost with it" in told
    assert "can't be undone" in told
    gone = (await tom.presses(button(sure, "Yes, erase everything")))[-1]
    assert "Everything about you is erased" in text_of(gone)
    assert (await tom.person()).id != person


async def test_support_reads_and_changes_nothing(owner: Service) -> None:
    await owner.gives_role("telegram:5", "support")
    helper = owner.someone("5")
    card = await helper.screen("/users 7")
    assert "Gifts: 1,000 Credits" in text_of(card)
    assert [[one.label for one in row] for row in card.buttons] == [["History"]]
    assert "No answers yet" in text_of(*await helper.presses(button(card, "History")))
    full = await owner.screen("/users 7")
    for label in ("Give Credits", "Limit", "Block", "Export", "Erase"):
        assert "Gifts" not in text_of(*await helper.presses(button(full, label)))
    assert "operator only" in text_of(await owner.someone("7").screen("/users 7"))
    assert await owner.someone("7").credits() == Credits(1_000)


async def test_helpers_are_not_blocked_or_erased(owner: Service) -> None:
    await owner.gives_role("telegram:7", "admin")
    card = await owner.screen("/users 7")
    assert "Role: admin" in text_of(card)
    told = await prompted(owner, card, "Block", reason="by mistake")
    assert "take their role first" in text_of(told)
    told_ = (await owner.presses(button(card, "Erase")))[-1]
    assert "Nothing was erased" in text_of(told_)
