"""Only one's own words act: a command, a title, an answer to a form that is forwarded, or was sent
by means of another bot, is a question at most.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bots.chat.types import Answer, Card, Output
from core.earnings.types import EarningPolicy
from tests.bots.commands.commands_support import button, text_of
from tests.core.earnings.world import TAKES_OPENAI
from tests.peers.suppliers import Answer as Says, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

SECRET = "sk-proj-canary-of-a-contributor-0001"


@pytest.fixture
async def owner(sqlite_url: str, clock: TestClock) -> AsyncIterator[Service]:
    policy = EarningPolicy(TAKES_OPENAI)
    async with service.running(sqlite_url, clock, policy=policy) as one:
        one.openai.always(Says("That is a command.", usage=Used(5, 4)))
        yield one.someone("1")


async def forwards(one: Service, text: str) -> list[Output]:
    """Sends what somebody else wrote."""
    incoming = replace(one.incoming(text), is_own=False)
    return [each async for each in one.app.chat.dispatcher.handle_message(incoming)]


async def test_no_command_acts_by_others_words(owner: Service) -> None:
    """Each of them, as an owner would be tricked into, and by its title."""
    registry = owner.app.chat.dispatcher._registry
    roles = owner.app.services.users.roles
    before = (roles.list_roles(), dict(owner.app.services.users.limits.pauses))
    texts = [f"/{each.name} telegram:666 admin asks gpt-4 4" for each in registry.commands]
    texts += ["/role telegram:666 admin", "/pause asks", "/setprice gpt-4 4", "Balance", "余额"]
    for text in texts:
        shown = (await forwards(owner, text))[-1]
        assert isinstance(shown, Answer), (text, shown)
        asked = owner.openai.calls[-1].body["messages"][-1]["content"]
        assert asked == text, "it is asked as it was written, of the usual model"
    assert (roles.list_roles(), dict(owner.app.services.users.limits.pauses)) == before
    assert "666" not in text_of(await owner.screen("/audit"))


async def test_a_forward_fills_in_no_form(owner: Service) -> None:
    ann = owner.someone("7")
    await ann.says("/contribute openai")
    calls = len(owner.openai.calls)
    shown = (await forwards(ann, SECRET))[-1]
    assert isinstance(shown, Card)
    assert shown.erase_incoming
    assert "Type it yourself" in text_of(shown)
    assert len(owner.openai.calls) == calls, "it was asked of nobody"
    assert SECRET not in text_of(shown)
    # The form waits still: what ann types herself is her answer.
    assert "deleted your message" in text_of(*await ann.says(SECRET))


async def test_a_role_takes_two_taps_and_is_read_afresh(owner: Service) -> None:
    asked = await owner.screen("/role telegram:7 admin")
    assert "Nobody has written here under that name yet" in text_of(asked)
    roles = owner.app.services.users.roles
    assert roles.get_role("telegram", "7") is None
    given = (await owner.presses(button(asked, "Yes, give it")))[-1]
    assert ("telegram:7", "admin") in given.table  # type: ignore[union-attr]
    ann = owner.someone("7")
    assert isinstance(await ann.screen("/pause"), Card)
    # Another process takes it away: this one hears of it at the next command.
    known = dict(roles._roles)
    taken = await owner.screen("/role telegram:7 none")
    await owner.presses(button(taken, "Yes, take it away"))
    roles._roles = known
    assert "for the operator only" in text_of(*await ann.says("/pause asks"))


async def test_what_acts_at_once_can_be_undone_by_a_tap(owner: Service) -> None:
    limits = owner.app.services.users.limits
    paused = await owner.screen("/pause asks We move house.")
    assert limits.pauses["asks"].sentence == "We move house."
    again = await owner.screen("/pause asks Until noon.")
    await owner.presses(button(again, "Undo"))
    assert limits.pauses["asks"].sentence == "We move house."
    await owner.presses(button(paused, "Undo"))
    assert not limits.pauses
    ann = await owner.someone("7").person()
    limited = await owner.screen("/limit telegram:7 minute 5")
    assert limits.get_override(ann.id).per_minute == 5
    await owner.presses(button(limited, "Undo"))
    assert limits.get_override(ann.id).per_minute is None


async def test_what_was_paused_goes_on_after_a_second_tap(owner: Service) -> None:
    limits = owner.app.services.users.limits
    paused = await owner.screen("/pause asks")
    asked = (await owner.presses(button(paused, "▶ Asks")))[-1]
    assert isinstance(asked, Card)
    assert "asks" in limits.pauses
    await owner.presses(button(asked, "Yes, let it run"))
    assert not limits.pauses
