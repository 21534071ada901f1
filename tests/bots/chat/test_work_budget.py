"""What costs nothing has a budget a person: commands and buttons, but no asks and no Stop."""

from __future__ import annotations

import pytest

from bots.chat.types import Answer, Card, Output
from bots.chat.work_budget import BURST
from core.users.types import UnknownPerson
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


async def flood(one: Service, text: str, times: int) -> list[list[Output]]:
    return [await one.says(text) for _ in range(times)]


async def test_commands_are_answered_until_the_budget_is_spent(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        tom.is_hasty = True
        shown = await flood(tom, "/balance", BURST + 30)
        assert all("1,000 Credits" in text_of(*one) for one in shown[:BURST])
        assert "Wait a few seconds" in text_of(*shown[BURST])
        assert shown[BURST + 1 :] == [[]] * 29, "told once"
        # Asks and Stop are none of it, nor is anybody else.
        assert isinstance((await tom.says("why?"))[-1], Answer)
        assert "You have no answer in progress" in text_of(*await tom.says("/stop"))
        assert "1,000 Credits" in text_of(*await tom.someone("8").says("/balance"))
        clock.advance(seconds=3)
        shown = await flood(tom, "/balance", 4)
        assert [bool(one) for one in shown] == [True, True, True, False]
        clock.advance(seconds=60)
        shown = await flood(tom, "/balance", BURST + 1)
        assert "Wait a few seconds" in text_of(*shown[-1]), "told again"


async def test_buttons_are_of_the_same_budget_and_operators_have_none(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        tom.is_hasty = True
        card = await tom.screen("/settings")
        pressed = button(card, card.buttons[0][0].label)
        shown = [await tom.presses(pressed) for _ in range(BURST + 5)]
        assert isinstance(shown[0][-1], Card)
        assert "Wait a few seconds" in text_of(*shown[BURST - 1])
        assert shown[-1] == []
        owner = tom.someone("1")
        assert all(await flood(owner, "/balance", BURST + 5))


async def test_whoever_floods_first_leaves_no_row(sqlite_url: str, clock: TestClock) -> None:
    """The budget is looked at before anything is written for somebody."""
    async with service.running(sqlite_url, clock) as tom:
        tom.is_hasty = True
        budget = tom.app.chat.dispatcher.work_budget
        for _ in range(BURST):
            budget.take("telegram", "99")
        await tom.someone("99").says("/start")
        with pytest.raises(UnknownPerson):
            await tom.app.services.users.users.find("telegram:99")
