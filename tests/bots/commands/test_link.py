"""`/link` and `/unlink` as two chats of one person meet them."""

from __future__ import annotations

import re
from dataclasses import replace

from bots.chat.types import Card, Place
from core.money import Credits
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service


def _discord(tom: Service) -> Service:
    """The same person's private chat on another platform."""
    return replace(tom, place=Place("discord", "9"), sender="9")


async def _code(tom: Service) -> str:
    told = text_of(await tom.screen("/link"))
    found = re.search(r"/link ([A-Z2-9-]{14})", told)
    assert found is not None
    return found[1]


async def test_two_chats_become_one_balance(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock) as tom:
        await tom.answer("My name is Tom.")
        clock.advance(seconds=5)
        tim = _discord(tom)
        code = await _code(tom)
        seen = await tim.screen(f"/link {code}")
        assert "telegram:7" in seen.title
        assert "the older account is kept: theirs" in text_of(seen).lower()
        waiting = text_of(*await tim.presses(button(seen, "Yes")))
        assert "agree on the other side, too" in waiting
        other = await tom.screen("/link")
        assert "discord:9" in other.title
        done = text_of(*await tom.presses(button(other, "Yes")))
        assert "Linked: /balance" in done
        for chat in (tom, tim):
            assert "1,999 Credits" in text_of(await chat.screen("/balance"))
            assert "Spent: 1 Credit" in text_of(await chat.screen("/usage"))


async def test_a_wrong_code_and_a_no_change_nothing(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        tim = _discord(tom)
        assert "wrong, used or too old" in text_of(await tim.screen("/link ABCD-EFGH-JKLM"))
        code = await _code(tom)
        assert "your own code" in text_of(await tom.screen(f"/link {code}"))
        seen = await tim.screen(f"/link {code}")
        assert "Nothing was changed" in text_of(*await tim.presses(button(seen, "No")))
        assert "wrong, used or too old" in text_of(*await tim.presses(button(seen, "Yes")))
        assert await tom.credits() == Credits(1_000)


async def test_in_a_group_no_code_is_shown(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        group = replace(tom, place=Place("telegram", "-100", private=False))
        shown = (await group.says("/link"))[0]
        assert isinstance(shown, Card)
        assert "private" in text_of(shown)
        assert "ABCD" not in text_of(shown)


async def test_unlink_begins_anew_with_nothing(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        assert "Nothing is linked" in text_of(await tom.screen("/unlink"))
        tim = _discord(tom)
        seen = await tim.screen(f"/link {await _code(tom)}")
        await tim.presses(button(seen, "Yes"))
        await tom.presses(button(await tom.screen("/link"), "Yes"))
        sure = await tim.screen("/unlink")
        assert "stay with telegram:7" in text_of(sure)
        await tim.presses(button(sure, "Yes"))
        assert "0 Credits" in text_of(await tim.screen("/balance"))
        assert "2,000 Credits" in text_of(await tom.screen("/balance"))


class Told:
    """A front end that keeps what it is told to show; or refuses to."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.shown: list[tuple[str, Card]] = []

    async def notify_person(self, sender: str, card: Card) -> None:
        if self.refuses:
            raise ConnectionError
        self.shown.append((sender, card))


async def test_the_other_side_is_asked_by_itself(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock) as tom:
        told = Told()
        tom.app.chat.redelivery.register_notifier("telegram", told)
        clock.advance(seconds=5)
        tim = _discord(tom)
        seen = await tim.screen(f"/link {await _code(tom)}")
        ((sender, card),) = told.shown
        assert (sender, card.private) == ("7", True)
        assert card.title == "Link your account with discord:9?"
        await tim.presses(button(seen, "Yes"))
        # Its button is theirs alone, there.
        assert "somebody else" in text_of(*await tim.presses(button(card, "Yes")))
        assert "Linked: /balance" in text_of(*await tom.presses(button(card, "Yes")))
        assert "2,000 Credits" in text_of(await tim.screen("/balance"))


async def test_who_can_not_be_asked_finds_it_in_link(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        tom.app.chat.redelivery.register_notifier("telegram", Told(refuses=True))
        seen = await _discord(tom).screen(f"/link {await _code(tom)}")
        assert "Link your account with telegram:7?" in seen.title
        assert "Link your account with discord:9?" in (await tom.screen("/link")).title
