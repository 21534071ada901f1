"""Prompts: a key is asked for in private, taken once, and left nowhere but in the vault."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from bots.chat.types import ButtonPress, Card, Form, FormCard, Place, Sender
from core.db import schema
from core.money import parse_usd
from tests.bots.chat.forms_support import filled
from tests.bots.commands.commands_support import button, text_of
from tests.peers.suppliers import FakeSupplier, Refuse
from tests.support import service
from tests.support.config import KEYS
from tests.support.databases import TestClock
from tests.support.service import Service

#: No shape of a key that would be known anywhere: only the prompt keeps it from a model.
KEY = "sk-canary-key-of-the-owner-own"
#: A shape that is known.
PASTED = "sk-proj-canary0123456789canary0123456789"


async def asked(owner: Service, command: str = "/pool add openai 50") -> FormCard:
    """The prompt that a command brings."""
    shown = await owner.says(command)
    assert len(shown) == 1
    assert isinstance(shown[0], FormCard), shown
    return shown[0]


async def keys(owner: Service) -> list[str]:
    return [card.tail for card in await owner.app.services.pool.pool.list_keys()]


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        tom.openai.allow(KEY, PASTED)
        yield tom.someone("1")


@pytest.mark.parametrize("key", [KEY, PASTED])
async def test_the_next_message_is_the_key_and_goes_at_once(owner: Service, key: str) -> None:
    card = await asked(owner)
    assert card.form.title == "A key of OpenAI"
    assert "It may cost $50.00." in card.lines
    assert "within 10 minutes" in text_of(card.to_card())
    gone, told = await owner.says(f" {key}\n")
    assert isinstance(gone, Card)
    assert gone.erase_incoming, "deleted before it is tried"
    assert "couldn't delete" in gone.kept_note
    assert "Added OpenAI …" in text_of(told)
    assert (await owner.app.services.pool.pool.list_keys())[1].budget == parse_usd("50")
    # The next one is a question again, and the key reached no model.
    await owner.answer("/ask gpt-4 why?")
    assert len(owner.openai.calls) == 1
    assert key not in str(owner.openai.calls[0].body)
    rows = await owner.app.services.base.db.fetch(sa.select(schema.admin_log))
    assert [(row.act, row.actor) for row in rows] == [("key", (await owner.person()).id)]
    for table in schema.metadata.sorted_tables:
        assert key not in str(await owner.app.services.base.db.fetch(table.select())), table.name


async def test_a_dialog_brings_it_too_and_only_once(owner: Service) -> None:
    card = await asked(owner)
    press = ButtonPress(owner.place, Sender("1", "en"), card.form.id, "5")
    assert await owner.app.chat.dispatcher.get_form(press) == card.form
    assert "Added OpenAI …-own" in text_of(*await filled(owner, card, key=KEY))
    assert await filled(owner, card, key=KEY) == [], "the same delivered again"
    assert "That has expired" in text_of(*await filled(owner, card, "78", key=PASTED))
    over = await owner.app.chat.dispatcher.get_form(press)
    assert not isinstance(over, Form)
    assert "That has expired" in text_of(over)
    assert await keys(owner) == ["0001", "-own"]


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("hunter2-is-no-key", "doesn't look like a key of OpenAI"),
        ("sk-ant-of-another-supplier", "doesn't look like a key of OpenAI"),
        ("sk-nobody-knows-this-one", "OpenAI refuses that key"),
        (KEYS[0], "OpenAI …0001 is in the pool already"),
        ("two\nlines", "isn't what was asked for: API key"),
        ("", "isn't what was asked for: API key"),
        ("x" * 401, "isn't what was asked for: API key"),
    ],
)
async def test_a_wrong_key_is_one_sentence_and_changes_nothing(
    owner: Service, key: str, told: str
) -> None:
    before = await owner.app.services.pool.pool.list_keys()
    await asked(owner)
    shown = await owner.says(key)
    gone, sentence = shown
    assert isinstance(gone, Card)
    assert gone.erase_incoming
    assert isinstance(sentence, Card)
    assert [told in line for line in sentence.lines] == [True]
    assert await owner.app.services.pool.pool.list_keys() == before
    assert owner.openai.calls == []


async def test_a_supplier_that_does_not_answer_is_told(owner: Service) -> None:
    owner.openai.listing = Refuse(503)
    await asked(owner)
    assert "can't be reached to check that key" in text_of(*await owner.says(KEY))
    assert await keys(owner) == ["0001"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("/pool add openai", "Write it like this"),
        ("/pool add openai 50 " + KEY, "asked for afterwards"),
        *((f"/pool add openai {wrong}", "above zero") for wrong in ("0", "-5", "abc", "1e9", "∞")),
        ("/pool add openai 1000001", "at most"),
        (
            "/pool add opnai 50",
            "“opnai” is no supplier here. Nothing was changed.",
        ),
    ],
)
async def test_a_wrong_command_asks_for_nothing(owner: Service, command: str, told: str) -> None:
    assert told in text_of(await owner.screen(command))
    assert await owner.app.services.base.db.fetch(sa.select(schema.prompt)) == []


async def test_what_was_mistyped_may_be_typed_again(owner: Service) -> None:
    await asked(owner)
    assert "Try again" in text_of(*await owner.says("two\nlines"))
    assert "Added" in text_of(*await owner.says(KEY))


async def test_cancelled_by_its_button_or_by_any_command(owner: Service) -> None:
    card = await asked(owner)
    cancel = button(card.to_card(), "Cancel")
    assert "Cancelled" in text_of(*await owner.presses(cancel))
    assert "That has expired" in text_of(*await owner.presses(cancel))
    # A newer prompt is not ended by an older one's button.
    await asked(owner)
    assert "That has expired" in text_of(*await owner.presses(cancel))
    assert "Added" in text_of(*await owner.says(KEY))
    await asked(owner)
    await owner.screen("/balance")
    (told,) = await owner.says(PASTED)
    assert "looks like a secret key" in text_of(told)
    assert await keys(owner) == ["0001", "-own"]


async def test_a_key_beside_a_command_that_asks_for_one_is_told_how_to_give_it(
    owner: Service,
) -> None:
    told = text_of(await owner.screen(f"/pool add openai {PASTED}"))
    assert "looks like a secret key (OpenAI)" in told
    assert "send /pool without a key" in told
    plain = text_of(await owner.screen(f"/balance {PASTED}"))
    assert "looks like a secret key (OpenAI)" in plain
    assert "without a key" not in plain


async def test_too_late_is_still_known_as_the_answer_but_a_question_is_one(
    owner: Service, clock: TestClock
) -> None:
    card = await asked(owner)
    clock.advance(seconds=601)
    gone, told = await owner.says(KEY)
    assert isinstance(gone, Card)
    assert gone.erase_incoming
    assert "That has expired" in text_of(told)
    assert "That has expired" in text_of(*await filled(owner, card, key=KEY))
    assert owner.openai.calls == []
    await owner.answer("why is the sky blue?")
    assert len(owner.openai.calls) == 1
    await owner.answer("a-word-of-more-than-sixteen-letters")
    assert await keys(owner) == ["0001"]


async def test_a_restart_loses_nothing_and_the_same_message_again_is_no_question(
    database_url: str, clock: TestClock
) -> None:
    async with FakeSupplier("openai", models=["gpt-4"], strict=False) as openai:
        openai.allow(KEY)
        async with service.running(database_url, clock, supplier=openai) as tom:
            await asked(tom.someone("1"))
        async with service.running(database_url, clock, supplier=openai) as tom:
            assert "Added" in text_of(*await tom.someone("1").says(KEY, message="500"))
        async with service.running(database_url, clock, supplier=openai) as tom:
            owner = tom.someone("1")
            gone, told = await owner.says(KEY, message="500")
            assert isinstance(gone, Card)
            assert gone.erase_incoming
            assert "That has expired" in text_of(told)
            assert await keys(owner) == ["0001", "-own"]
        assert openai.calls == []


async def test_only_an_admin_is_asked_and_is_asked_again_who_they_are(owner: Service) -> None:
    tom = owner.someone("7")
    assert "operator only" in text_of(await tom.screen("/pool add openai 50"))
    card = await asked(owner)
    assert "That has expired" in text_of(*await filled(tom, card, key=KEY))
    owners = owner.app.services.users.roles
    owners._configured, before = {}, owners._configured
    assert "belongs to somebody else" in text_of(*await owner.says(KEY))
    owners._configured = before
    await owners.load()
    assert await keys(owner) == ["0001"]


async def test_in_a_group_it_is_asked_for_in_private(owner: Service) -> None:
    group = replace(owner, place=Place("telegram", "-100", private=False))
    card = await asked(group)
    assert "in private" in card.public_note
    assert card.to_card().private
    # What is said in the group is not taken for it; what is said in private is.
    await group.says("/ask gpt-4 hello all?")
    assert "Added" in text_of(*await owner.says(KEY))
    assert len(owner.openai.calls) == 1


async def test_several_fields_are_a_line_each(owner: Service) -> None:
    openai = owner.app.services.pool.pool._suppliers["openai"]
    owner.app.services.pool.pool._suppliers = {"openai": replace(openai, wire="cloudflare")}
    card = await asked(owner)
    assert [field.name for field in card.form.fields] == ["key", "account"]
    assert [field.hidden for field in card.form.fields] == [True, False]
    assert "each on a line of its own" in card.instructions
    assert "API key, Account ID" in card.instructions
    assert "isn't what was asked for: API key, Account ID" in text_of(*await owner.says(KEY))
    wrong = f"{KEY}\n{'z' * 32}"
    assert "account ID of OpenAI" in text_of(*await owner.says(wrong))
    assert await keys(owner) == ["0001"]


async def test_in_chinese(owner: Service) -> None:
    await owner.screen("/language zh-CN")
    card = await asked(owner)
    assert card.form.title == "OpenAI 的密钥"
    assert "作为下一条消息" in card.instructions
    assert "已添加 OpenAI" in text_of((await owner.says(KEY))[-1])


async def test_what_nobody_answers_is_forgotten(owner: Service, clock: TestClock) -> None:
    await asked(owner)
    forget = next(one for one in owner.app.scheduler._jobs if one.name == "forget prompts")
    clock.advance(days=1)
    await forget.run()
    assert len(await owner.app.services.base.db.fetch(sa.select(schema.prompt))) == 1
    clock.advance(seconds=601)
    await forget.run()
    assert await owner.app.services.base.db.fetch(sa.select(schema.prompt)) == []
