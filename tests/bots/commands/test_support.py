"""`/paysupport words` reaches the operators, whose answer comes back; nobody else reads either."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bots.chat.types import Card, FormCard
from core.admin_log import admin_log_row
from core.db import schema
from core.users.support import MESSAGES_MAX
from payments.gateways.sandbox import SandboxGateway
from tests.bots.commands.admin.broadcast_support import Chats
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

WORDS = "Order ord_1 never came,\nplease look."


@pytest.fixture
async def tom(sqlite_url: str, clock: TestClock) -> AsyncIterator[Service]:
    gateways = {"sandbox": SandboxGateway(url="http://127.0.0.1:9", secret=SecretStr("s"))}
    async with service.running(sqlite_url, clock, gateways=gateways) as made:
        yield made


def listen(tom: Service) -> Chats:
    chats = Chats()
    tom.app.chat.redelivery.register_notifier("telegram", chats)
    return chats


async def deliver(tom: Service) -> None:
    for _ in range(2):  # one for the operators becomes one for each of them
        await tom.app.chat.notifications.deliver_due()


async def test_words_reach_the_operators_and_their_answer_comes_back(tom: Service) -> None:
    chats = listen(tom)
    assert "operators have your message" in text_of(await tom.screen(f"/paysupport {WORDS}"))
    await deliver(tom)
    (asked,) = [card for who, card in chats.shown if who == "1"]
    assert asked.title == "✉️ telegram:7 asks for help"
    assert asked.lines == tuple(WORDS.split("\n"))
    owner = tom.someone("1")
    form = (await owner.presses(button(asked, "Answer")))[-1]
    assert isinstance(form, FormCard)
    assert "Sent." in text_of(*await owner.says("It is there now."))
    await deliver(tom)
    (answer,) = [card for who, card in chats.shown if who == "7"]
    assert answer.title == "✉️ An answer from the operators"
    assert answer.lines[0] == "It is there now."
    # Nobody else may answer.
    told = await tom.someone("8").presses(button(asked, "Answer"))
    assert not isinstance(told[-1], FormCard)


async def test_nothing_of_it_is_stored_in_plain_and_erasing_erases_it(tom: Service) -> None:
    chats = listen(tom)
    await tom.screen(f"/paysupport {WORDS}")
    rows = await tom.app.services.base.db.fetch(sa.select(schema.notice.c.data))
    assert rows
    assert not any("ord_1" in row.data for row in rows)
    person = await tom.person()
    row = admin_log_row(tom.clock, actor=person.id, act="erase", before={}, after={})
    await tom.app.services.admin.erasure.erase_person(person, is_own_request=True, companion=row)
    await deliver(tom)
    shown = [card for who, card in chats.shown if who == "1"]
    assert all("ord_1" not in text_of(card) for card in shown)


async def test_nobody_floods_the_operators(tom: Service) -> None:
    for number in range(MESSAGES_MAX):
        assert "have your message" in text_of(await tom.screen(f"/paysupport help {number}"))
    refused = text_of(await tom.screen("/paysupport help!"))
    assert "three times in ten minutes" in refused
    long = text_of(await tom.someone("9").screen("/paysupport " + "x" * 1_001))
    assert "yours has 1,001" in long


async def test_without_words_it_is_the_card_of_ones_payments(tom: Service) -> None:
    card = await tom.screen("/paysupport")
    assert isinstance(card, Card)
    assert any("Write /paysupport and your words" in line for line in card.lines)
