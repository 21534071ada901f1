"""A reply to an older answer goes on from there; what follows goes on from the branch."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from bots.chat.types import Answer, Place
from tests import service
from tests.databases import TestClock
from tests.fakes.suppliers import Answer as Says, Refuse
from tests.service import Service

GROUP = Place("telegram", "-5", private=False)


@dataclass
class Talk:
    """Questions `a`, `b`, … are answered `A`, `B`, …."""

    someone: Service
    clock: TestClock

    async def ask(self, question: str, *, reply_to: Answer | str = "") -> Answer:
        self.clock.advance(seconds=1)
        self.someone.openai.script(Says(question.upper()))
        shown_in = reply_to
        if isinstance(reply_to, Answer):
            shown_in = self.someone.shown_in(reply_to)[-1]
        return await self.someone.answer(question, replies_to=str(shown_in))

    async def press(self, answer: Answer, label: str, says: str) -> Answer:
        self.clock.advance(seconds=1)
        self.someone.openai.script(Says(says))
        buttons = [each for row in answer.buttons for each in row if label in each.label]
        shown = await self.someone.presses(buttons[0].id)
        assert isinstance(shown[-1], Answer)
        return shown[-1]

    @property
    def sent(self) -> str:
        """All that went to the model with the newest question, in one word."""
        return "".join(
            message["content"] for message in self.someone.openai.calls[-1].body["messages"]
        )


@contextlib.asynccontextmanager
async def talking(url: str, clock: TestClock) -> AsyncIterator[Talk]:
    async with service.running(url, clock) as tom:
        yield Talk(tom, clock)


async def test_a_reply_to_an_older_answer_branches_and_what_follows_goes_on_from_it(
    database_url: str, clock: TestClock
) -> None:
    async with talking(database_url, clock) as tom:
        a, b = await tom.ask("a"), await tom.ask("b")
        c = await tom.ask("c")
        assert tom.sent == "aAbBc"
        assert c.note == ""
        d = await tom.ask("d", reply_to=a)
        assert tom.sent == "aAd"
        assert "goes on from the answer that you replied to" in d.note
        e = await tom.ask("e")
        assert (tom.sent, e.note) == ("aAdDe", "")
        # A branch of the branch; back to what was left; and to the stem that both have.
        await tom.ask("f", reply_to=d)
        assert tom.sent == "aAdDf"
        await tom.ask("g")
        assert tom.sent == "aAdDfFg"
        await tom.ask("h", reply_to=b)
        assert tom.sent == "aAbBh"
        await tom.ask("i", reply_to=e)
        await tom.ask("j")
        assert tom.sent == "aAdDeEiIj"
        await tom.ask("k", reply_to=a)
        assert tom.sent == "aAk"


async def test_a_reply_to_the_newest_answer_just_goes_on(
    database_url: str, clock: TestClock
) -> None:
    async with talking(database_url, clock) as tom:
        a = await tom.ask("a")
        b = await tom.ask("b", reply_to=a)
        assert (tom.sent, b.note) == ("aAb", "")
        c = await tom.ask("c")
        assert tom.sent == "aAbBc"
        await tom.ask("d", reply_to=a)
        # Nothing was said on the branch yet: its newest answer is where it began.
        tom.someone.openai.script(Refuse(400, code="content_policy_violation"))
        clock.advance(seconds=1)
        await tom.someone.says("refused", replies_to=tom.someone.shown_in(c)[-1])
        last = await tom.ask("e", reply_to=c)
        assert (tom.sent, last.note) == ("aAbBcCe", "")


async def test_any_message_of_a_long_answer_stands_for_it(
    database_url: str, clock: TestClock
) -> None:
    async with talking(database_url, clock) as tom:
        a = await tom.ask("a")
        await tom.ask("b")
        await tom.ask("c", reply_to=tom.someone.shown_in(a)[0])
        assert tom.sent == "aAc"


async def test_what_is_no_answer_of_ones_own_is_nothing_to_go_on_from(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as service_:
        tom = Talk(replace(service_, place=GROUP), clock)
        ann = Talk(replace(service_.someone("8"), place=GROUP), clock)
        a, b = await tom.ask("a"), await ann.ask("b")
        await tom.ask("c")
        # Not Ann's answer, nor one of another place, nor a card: then just the next question.
        for number, other in enumerate((b, "1", "shown-nothing")):
            asked = await tom.ask(f"d{number}", reply_to=other)
            assert asked.note == ""
        assert tom.sent == "aAcCd0D0d1D1d2"
        alone = Talk(service_, clock)
        await alone.ask("e", reply_to=a)
        assert alone.sent == "e"
        await ann.ask("f", reply_to=a)
        assert ann.sent == "bBf"


async def test_new_leaves_every_branch_and_a_reply_goes_back(
    database_url: str, clock: TestClock
) -> None:
    async with talking(database_url, clock) as tom:
        a = await tom.ask("a")
        b = await tom.ask("b")
        await tom.ask("c", reply_to=a)
        await tom.someone.screen("/new")
        await tom.ask("d")
        assert tom.sent == "d"
        await tom.ask("e", reply_to=b)
        assert tom.sent == "aAbBe"


async def test_again_and_continue_stay_with_their_answer(
    database_url: str, clock: TestClock
) -> None:
    async with talking(database_url, clock) as tom:
        a = await tom.ask("a")
        tom.someone.openai.script(Says("B", finish="length"))
        clock.advance(seconds=1)
        b = await tom.someone.answer("b")
        await tom.ask("c", reply_to=a)
        # On the branch that was left: with its own history, and without moving the place there.
        await tom.press(b, "Continue", "B2")
        assert tom.sent == "aAbBGo on exactly where you stopped."
        again = await tom.press(b, "Again", "B3")
        assert tom.sent == "aAb"
        await tom.ask("d")
        assert tom.sent == "aAcCd"
        await tom.ask("e", reply_to=again)
        assert tom.sent.startswith("aAbB")
        # Of what was left behind by /new too.
        await tom.someone.screen("/new")
        await tom.press(again, "Again", "B4")
        assert tom.sent == "aAb"


async def test_an_erased_answer_is_nothing_to_go_on_from(
    database_url: str, clock: TestClock
) -> None:
    async with talking(database_url, clock) as tom:
        a = await tom.ask("a")
        await tom.ask("b")
        person = await tom.someone.person()
        await tom.someone.app.services.users.users.erase_history(person)
        asked = await tom.ask("c", reply_to=a)
        assert (tom.sent, asked.note) == ("c", "")
