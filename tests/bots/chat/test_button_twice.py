"""A button that works once, pressed by an update that is worked twice because its process died."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from bots.chat.callbacks import ButtonExpired
from bots.chat.types import ButtonPress, Card, Sender
from core.db import schema
from core.db.writes import UpdateAll
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        await tom.says("/balance")
        yield tom.someone("1")


async def _granting(owner: Service) -> ButtonPress:
    (card,) = await owner.says("/grant telegram:7 500 because")
    assert isinstance(card, Card)
    (yes,) = (one for row in card.buttons for one in row if "Yes" in one.label)
    return ButtonPress(owner.place, Sender("1", "en"), yes.id, "9", id="query-1")


async def _pressed(owner: Service, press: ButtonPress) -> str:
    outputs = owner.app.chat.dispatcher.handle_press(press)
    return str([output async for output in outputs])


async def test_the_same_press_goes_on_where_its_process_died(owner: Service) -> None:
    press, buttons = await _granting(owner), owner.app.chat.buttons
    person = (await owner.person()).id
    named = {"person": person, "place": owner.place.code}
    await buttons.authorize_press(press.button, **named, press=press.id)
    # The process dies here: the button is used up, nothing is given.
    with pytest.raises(ButtonExpired):
        await buttons.authorize_press(press.button, **named, press="another press")
    before = await owner.someone("7").credits()
    await _pressed(owner, press)
    assert await owner.someone("7").credits() == before + type(before)(500)
    await _pressed(owner, press)
    assert await owner.someone("7").credits() == before + type(before)(500), "given once"
    rows = await owner.app.services.base.db.fetch(
        sa.select(schema.button.c.used_by).where(schema.button.c.id == press.button)
    )
    assert [row.used_by for row in rows] == [None], "what was done is done"
    with pytest.raises(ButtonExpired):
        await buttons.authorize_press(press.button, **named, press=press.id)


async def test_what_was_given_before_it_died_is_not_given_again(owner: Service) -> None:
    press, base = await _granting(owner), owner.app.services.base
    before = await owner.someone("7").credits()
    await _pressed(owner, press)
    # As if it had died right behind the gift: the press doesn't count as done.
    await base.ledger.record(UpdateAll(schema.button, {"id": press.button}, {"used_by": press.id}))
    await _pressed(owner, press)
    assert await owner.someone("7").credits() == before + type(before)(500)
