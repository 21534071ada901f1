"""`/help` in groups and one command in full; an operator's first steps and a newcomer's first
question."""

from __future__ import annotations

from bots.chat.types import Answer, Card
from bots.commands.help import HELP_GROUPS
from bots.register import MENU
from tests.bots.commands.commands_support import button, text_of
from tests.peers.suppliers import Answer as Says
from tests.support import service
from tests.support.databases import TestClock


async def test_help_is_grouped_a_line_each(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        mine = await tom.screen("/help")
        headings = [line for line in mine.lines if line.startswith("—")]
        assert headings == ["— Ask —", "— Credits —", "— Settings —"], "nothing is earned here"
        assert not any("[" in line for line in mine.lines), "without grammar"
        owner = await tom.someone("1").screen("/help")
        operators = owner.lines[owner.lines.index("— For the operator —") :]
        assert any(line.startswith("/setprice — ") for line in operators)
        assert not any("[" in line or "|" in line for line in operators)


async def test_every_command_stands_in_one_group(sqlite_url: str, clock: TestClock) -> None:
    grouped = [name for _, names in HELP_GROUPS for name in names]
    assert len(grouped) == len(set(grouped))
    async with service.running(sqlite_url, clock) as tom:
        commands = tom.app.chat.dispatcher._registry.commands
        offered = {command.name for command in commands if not command.admin_only}
    assert offered <= set(grouped) <= set(MENU)


async def test_one_command_is_explained(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        told = await tom.screen("/help usage")
        assert told.title == "/usage"
        assert "How to write it: /usage [today | 7 | 30 | 2026-11 | all]" in told.lines
        assert any(line.startswith("period: ") for line in told.lines)
        assert text_of(await tom.screen("/help /ask")).startswith("/ask")
        assert "Did you mean /usage?" in text_of(await tom.screen("/help usag"))
        assert "There is no command /setprice" in text_of(await tom.screen("/help setprice"))
        assert (await tom.someone("1").screen("/help setprice")).title == "/setprice"


async def test_a_newcomer_presses_a_first_question(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        card = await tom.screen("/start")
        tom.openai.script(Says("Because of Rayleigh."))
        pressed = await tom.presses(button(card, "Why is the sky blue?"))
        assert isinstance(pressed[-1], Answer)
        again = await tom.presses(button(card, "Why is the sky blue?"))
        assert not isinstance(again[-1], Answer) or "Rayleigh" in again[-1].text
        assert "Top up" not in text_of(card), "nothing is sold here"


async def test_an_owners_start_lists_the_first_steps(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        owner = tom.someone("1")
        card = await owner.screen("/start")
        assert card.title == "First steps: 2 of 5"
        assert "✅ Keys of suppliers: 1" in card.lines
        assert "⬜ Name a support contact: CREDITBOT_SUPPORT_CONTACT" in card.lines
        welcome = (await owner.presses(button(card, "What people see")))[-1]
        assert isinstance(welcome, Card)
        assert welcome.title == "Welcome!"
        report = await owner.presses(button(card, "Report"))
        assert "System layer" in text_of(*report)
