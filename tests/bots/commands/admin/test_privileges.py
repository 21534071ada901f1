"""Whatever an operator's command or button does, nobody else does it: by a word, by somebody's
button, by one that was pressed before, by one that never was. Each try is a line of the log.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from bots.chat.callbacks import ButtonRepository
from bots.chat.command import Action, Command, is_allowed
from bots.chat.reply import Choice, Reply, say
from core.db import schema
from payments.gateways.sandbox import SandboxGateway
from tests.bots.commands.commands_support import text_of
from tests.core.earnings.world import BRIEFS
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

#: Tables that asking, looking and trying change by themselves.
_LIVING = frozenset({"button", "prompt", "person", "identity", "chore", "transfer", "submission"})


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    sandbox = SandboxGateway(url="http://127.0.0.1:9", secret=SecretStr("s"))
    sold = {"sandbox": sandbox}
    async with service.running(database_url, clock, gateways=sold, policy=BRIEFS) as tom:
        owner = tom.someone("1")
        for sender in ("1", "5", "7"):
            await owner.someone(sender).person()
        await owner.gives_role("telegram:5", "support")
        yield owner


def commands(owner: Service) -> list[Command]:
    every = owner.app.chat.dispatcher._registry.commands
    return [one for one in every if one.admin_only or one.owner_only]


def actions(owner: Service) -> list[Action]:
    every = owner.app.chat.dispatcher._registry._actions.values()
    return [one for one in every if one.admin_only or one.owner_only]


async def standing(owner: Service) -> str:
    """All that could have been changed, as text."""
    tables = [t for t in schema.metadata.sorted_tables if t.name not in _LIVING]
    return str([await owner.app.services.base.db.fetch(table.select()) for table in tables])


async def pressed(owner: Service, whose: Service, action: str, presser: Service) -> str:
    """A button of `whose`, in their place, pressed by somebody."""
    buttons = ButtonRepository(ledger=owner.app.services.base.ledger)
    data = dict.fromkeys(("person", "payout", "key", "what", "days", "model", "text"), "x")
    choice = Choice(say("Cancel"), action, data)
    rows = await buttons.create_buttons(
        Reply(choices=((choice,),)), person=(await whose.person()).id, place=whose.place.code
    )
    return text_of(*await presser.presses(rows[0][0][0]))


async def test_there_is_something_to_guard(owner: Service) -> None:
    assert len(commands(owner)) >= 15
    assert len(actions(owner)) >= 50


@pytest.mark.parametrize("sender", ["7", "5"])
async def test_a_word_does_nothing(
    owner: Service, sender: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other, role = owner.someone(sender), {"7": None, "5": "support"}[sender]
    before = await standing(owner)
    for command in commands(owner):
        if is_allowed(command, role):  # type: ignore[arg-type]
            continue
        caplog.clear()
        told = text_of(await other.screen(f"/{command.name} telegram:7 admin 5 5 5"))
        assert "operator only" in told or "There is no command" in told, command.name
        assert f"refused: {command.name} by" in caplog.text
    assert await standing(owner) == before


@pytest.mark.parametrize("sender", ["7", "5"])
async def test_no_button_does_anything_for_others(
    owner: Service, sender: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The owner's, pressed by somebody else; and one that is made out to them."""
    caplog.set_level(logging.INFO)
    other, role = owner.someone(sender), {"7": None, "5": "support"}[sender]
    before = await standing(owner)
    for action in actions(owner):
        caplog.clear()
        assert "somebody else" in await pressed(owner, owner, action.name, other), action.name
        assert f"refused: somebody's {action.name} by" in caplog.text
        if is_allowed(action, role):  # type: ignore[arg-type]
            continue
        assert "somebody else" in await pressed(owner, other, action.name, other), action.name
        assert f"refused: {action.name} by" in caplog.text
    assert await standing(owner) == before


async def test_a_button_that_never_was_or_was_used_is_over(
    owner: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert "no longer works" in text_of(*await owner.presses("btn_forged"))
    assert "refused: an unknown button by" in caplog.text
    sure = await owner.screen("/grant telegram:7 500 thanks")
    yes = sure.buttons[0][0].id
    await owner.presses(yes)
    before = await standing(owner)
    await owner.presses(yes)
    assert "refused: grant-now again or too late" in caplog.text
    assert await standing(owner) == before
