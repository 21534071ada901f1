"""A reply to an older answer goes on from there; what follows goes on from the branch."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, strategies as st

from bots.chat.types import Answer, Place
from core.asks.conversations import _choose_window, _find_left_out
from core.money import Tokens
from tests.peers.suppliers import Answer as Says, Refuse
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

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


async def test_a_long_history_loses_its_oldest_half_at_once_and_only_grows_in_between(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        conversations = tom.app.services.asks.conversations
        conversations._max_history_tokens = Tokens(2_000)
        sent: list[list[str]] = []
        for number in range(24):
            clock.advance(seconds=1)
            tom.openai.script(Says(f"answer {number} " + "word " * 150))
            answer = await tom.answer(f"question {number} " + "why " * 50)
            messages = [one["content"] for one in tom.openai.calls[-1].body["messages"]]
            if left_out := number - len(messages) // 2:
                assert f"The {left_out} oldest turns" in answer.note
            sent.append(messages)
        grown = [sent[index + 1][: len(one)] == one for index, one in enumerate(sent[:-1])]
        cuts = [index for index, is_grown in enumerate(grown) if not is_grown]
        # A turn is some 230 tokens: 2,000 hold eight, and every fourth turn or so four of them go.
        assert 3 <= len(cuts) <= 5, cuts
        assert all(later - earlier >= 4 for earlier, later in itertools.pairwise(cuts))
        lengths = [len(one) // 2 for one in sent[8:]]
        assert min(lengths) >= 3
        assert max(lengths) <= 8


async def test_many_short_turns_are_left_out_ten_at_once(
    database_url: str, clock: TestClock
) -> None:
    async with talking(database_url, clock) as tom:
        conversations = tom.someone.app.services.asks.conversations
        conversations._max_history_tokens = Tokens(100_000)
        lengths = []
        for number in range(62):
            await tom.ask(f"q{number}")
            lengths.append(len(tom.someone.openai.calls[-1].body["messages"]) // 2)
        assert lengths == [*range(41), *range(31, 41), *range(31, 41), 31]


async def test_no_history_is_sent_where_none_is_wanted(database_url: str, clock: TestClock) -> None:
    async with talking(database_url, clock) as tom:
        tom.someone.app.services.asks.conversations._max_history_tokens = Tokens(0)
        await tom.ask("a")
        await tom.ask("b")
        assert tom.sent == "b"


@given(
    sizes=st.lists(st.integers(1, 3_000), min_size=1, max_size=60),
    limit=st.integers(0, 8_000),
)
def test_what_is_sent_fits_and_holds_what_can_be_held(sizes: list[int], limit: int) -> None:
    """Whatever the turns: never above the limit, never without the newest turn if it fits, and what
    follows within the room begins as this did."""

    def window(turns: list[int]) -> tuple[int, int]:
        newest = list(reversed(turns))[:40]
        return _choose_window(newest, all_turns=len(turns), all_tokens=sum(turns), limit=limit)

    kept, room = window(sizes)
    sent = sizes[len(sizes) - kept :]
    assert sum(sent) <= limit
    assert kept <= 40
    assert kept >= 1 or sizes[-1] > limit
    assert 0 <= room <= limit
    if room > 0:
        later, _ = window([*sizes, room])
        assert later == kept + 1


@pytest.mark.parametrize("limit", [0, 1, 7, 1_000])
def test_what_is_left_out_grows_in_blocks_and_leaves_no_more_than_the_limit(limit: int) -> None:
    block = max(1, limit // 2)
    left_out = [_find_left_out(total, limit, block) for total in range(5_000)]
    assert all(total - out <= limit for total, out in enumerate(left_out))
    assert all(out == 0 or total - out > limit - block for total, out in enumerate(left_out))
    assert left_out == sorted(left_out)
