"""Answers on the unmodified client: streamed, stopped, long, hindered, late, and always landed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from bots.chat.types import (
    Answer,
    AnswerProgress,
    ButtonPress,
    Card,
    IncomingMessage,
    Output,
    Place,
    UndeliveredAnswer,
)
from bots.discord.adapter import DiscordAdapter
from bots.discord.inbound import mark_question
from bots.discord.sender import DiscordRefused
from tests.bots.discord.conftest import CONFIG, running
from tests.bots.discord.scripted import DiscordFront
from tests.bots.telegram.scripted import AGAIN, STOP
from tests.peers.discord import FakeDiscord, plain
from tests.peers.discord_world import units

WORDS = [f"word{n}" for n in range(40)]
FOOTER = "GPT 4 · 1,500 tokens · 8 Credits"
EDIT = "PATCH /webhooks/{app}/{token}/messages"


class Stream:
    """An answer that goes on when the test says so."""

    def __init__(self, *gates_at: int) -> None:
        self.gates = {word: asyncio.Event() for word in gates_at}

    async def __call__(self, asked: IncomingMessage | ButtonPress) -> AsyncIterator[Output]:
        ask = f"ask_{asked.message}"
        yield AnswerProgress(ask, "", STOP)
        for count in range(1, len(WORDS) + 1):
            if count in self.gates:
                await self.gates[count].wait()
            yield AnswerProgress(ask, " ".join(WORDS[:count]), STOP)
            await asyncio.sleep(0)
        yield Answer(ask, " ".join(WORDS), FOOTER, AGAIN)

    def go_on(self) -> None:
        """Opens the next gate."""
        next(gate for gate in self.gates.values() if not gate.is_set()).set()


async def test_an_answer_grows_in_the_reply_to_its_command(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7, "zh-CN")
    stream = front.script = Stream(20)
    asked = fake.slash(ann, "/ask", {"question": "go"}, fake.text)
    growing = await fake.seen(fake.text, "word18")
    assert growing.labels == ["Stop"]
    assert growing is asked.original
    assert front.started_in == [(f"ask_{asked.id}", str(growing.id))]
    stream.go_on()
    answer = await fake.seen(fake.text, "8 Credits")
    assert answer is growing
    assert plain(answer.content) == "**go**\n\n" + " ".join(WORDS) + f"\n\n◈ {FOOTER}"
    assert answer.labels == ["Again"]
    assert fake.messages(fake.text) == [answer]
    await fake.wait_for(lambda: front.landed_in)
    assert front.landed_in == front.started_in
    # Deferred at once, for everybody; frames came forty times, edits at their own pace.
    assert asked.callbacks == [5]
    assert not asked.ephemeral
    assert answer.history[0] == "…" or "word" in answer.history[0]
    assert len(set(answer.history)) == len(answer.history) < 30
    (incoming,) = front.handled
    assert (incoming.sender.id, incoming.sender.language) == ("7", "zh-CN")
    assert (incoming.command, incoming.options) == ("ask", {"question": "go"})
    assert incoming.place == Place("discord", str(fake.text), private=False)
    assert abs(incoming.at_ms / 1000 - asked.id / 2**22 / 1000 - 1_420_070_400) < 1


async def test_stop_reaches_the_front_while_the_answer_grows_and_again_comes_below(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield AnswerProgress("ask_1", "so far", STOP)
        await front.stopped.wait()
        yield Answer("ask_1", "so far", "stopped · 2 Credits", AGAIN)

    front.script = script
    front.on_press = Stream()
    ann = fake.user(7)
    fake.slash(ann, "/ask", {"question": "go"})
    growing = await fake.seen(fake.dm(ann), "so far")
    pressed = fake.presses(ann, growing, "Stop")
    await fake.wait_for(lambda: "stopped" in growing.content)
    assert [(press.button, press.message) for press in front.pressed] == [
        ("btn_stop", str(growing.id))
    ]
    assert pressed.callbacks == [6]
    fake.presses(ann, growing, "Again")
    below = await fake.seen(fake.dm(ann), "8 Credits")
    assert fake.messages(fake.dm(ann)) == [growing, below]
    assert "stopped" in growing.content


async def test_what_would_look_the_same_is_not_sent(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        for text in ("same", "same ", "same\n", "same\n\n", "same \n"):
            yield AnswerProgress("ask_1", text, STOP)
            await asyncio.sleep(0.05)  # longer than the pace: each frame has its turn
        yield Answer("ask_1", "the end", FOOTER, AGAIN)

    front.script = script
    fake.slash(fake.user(7), "/ask", {"question": "go"}, fake.text)
    end = await fake.seen(fake.text, "the end")
    assert [text.split("\n")[2] for text in end.history] == ["same", "the end"]


async def test_what_the_bucket_refuses_is_shown_later(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    stream = front.script = Stream(10)
    ann = fake.user(7)
    fake.slash(ann, "/ask", {"question": "go"}, fake.text)
    await fake.seen(fake.text, "word8")
    fake.fail_next(EDIT, 429, retry_after=0.05, times=3)
    stream.go_on()
    await fake.seen(fake.text, "8 Credits")
    assert [call.status for call in fake.calls].count(429) == 3
    await fake.wait_for(lambda: len(front.landed_in) == 1)


async def test_a_slow_front_is_in_time_because_the_reply_is_deferred_first(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    slow = asyncio.Event()

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        await slow.wait()
        yield Card(lines=("at last",))

    front.script = script
    asked = fake.slash(fake.user(7), "/ask", {"question": "go"}, fake.text)
    await fake.wait_for(lambda: asked.thinking)
    fake.shift(60)
    slow.set()
    assert (await fake.seen(fake.text, "at last")) is asked.original


async def test_an_interaction_that_comes_too_late_is_left_alone(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    late = fake.slash(ann, "/ask", {"question": "go"}, fake.text)
    fake.shift(3.5)
    await fake.wait_for(lambda: fake.called("POST /interactions"))
    assert fake.calls[-1].status == 404
    fake.slash(ann, "/ask", {"question": "in time"}, fake.text)
    await fake.seen(fake.text, "in time")
    assert not late.acknowledged
    assert [each.options for each in front.handled] == [{"question": "in time"}], (
        "nothing shown, nothing done"
    )


async def test_after_fifteen_minutes_it_goes_on_by_the_bots_own_right(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    stream = front.script = Stream(20)
    fake.slash(fake.user(7), "/ask", {"question": "go"}, fake.text)
    growing = await fake.seen(fake.text, "word18")
    fake.shift(901)
    stream.go_on()
    answer = await fake.seen(fake.text, "8 Credits")
    assert answer is growing
    assert fake.messages(fake.text) == [answer]
    assert fake.called("PATCH /channels")
    await fake.wait_for(lambda: front.landed_in)


async def test_a_message_that_can_not_be_edited_any_more_is_followed_by_a_new_one(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    stream = front.script = Stream(20)
    fake.slash(fake.user(7), "/ask", {"question": "go"}, fake.text)
    growing = await fake.seen(fake.text, "word18")
    growing.gone = True
    fake.shift(901)
    stream.go_on()
    answer = await fake.seen(fake.text, "8 Credits")
    assert answer.id != growing.id
    await fake.wait_for(lambda: front.landed_in)
    assert front.landed_in[0][1] == str(answer.id)


class _Skipping:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.skipped = 0.0

    def now_ms(self) -> int:
        return 1_800_000_000_000

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.skipped


async def test_where_the_bot_is_not_it_says_so_in_time_and_goes_on_in_private(
    fake: FakeDiscord, front: DiscordFront
) -> None:
    stream = front.script = Stream(10, 20, 30)
    ann = fake.user(7, "zh-CN")
    elsewhere = fake.add_channel(fake.add_guild(bot=False))
    clock = _Skipping()
    async with running(fake, front, clock=clock):
        fake.slash(ann, "/ask", {"question": "go"}, elsewhere)
        growing = await fake.seen(elsewhere, "word8")
        clock.skipped = 850
        stream.go_on()
        await fake.seen(elsewhere, "15 分钟")
        clock.skipped = 890
        fake.shift(890)
        stream.go_on()
        stream.go_on()
        answer = await fake.seen(fake.dm(ann), "8 Credits")
        assert fake.messages(elsewhere) == [growing]
        await fake.wait_for(lambda: front.landed_in)
        assert front.landed_in[0][1] == str(answer.id)
        assert not fake.called("PATCH /channels"), "what is sure to be refused is not tried"


def _long(lines: int) -> str:
    code = "\n".join(f"    value_{n} = compute({n})  # 计算 🧮" for n in range(lines))
    return f"Before it @everyone <@7>.\n\n```python\n{code}\n```\n\nAfter it.\n"


def _words(text: str) -> list[str]:
    return re.findall(r"value_\d+|Before|After", text)


@pytest.mark.parametrize("channel", ["server", "private"])
async def test_a_long_answer_is_split_without_breaking_its_code(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter, channel: str
) -> None:
    text = _long(150)

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield AnswerProgress("ask_1", "", STOP)
        yield AnswerProgress("ask_1", text[:5000], STOP)
        yield Answer("ask_1", text, FOOTER, AGAIN)

    front.script = script
    ann = fake.user(7)
    where = fake.channels[fake.text] if channel == "server" else fake.dm(ann)
    fake.slash(ann, "/ask", {"question": "go"}, where.id)
    await fake.wait_for(lambda: front.landed_in)
    messages = fake.messages(where)
    assert 3 <= len(messages) <= 5
    for message in messages:
        assert units(message.content) <= 2000
        assert message.content.count("```") % 2 == 0
        assert "```python" in message.content or "```" not in message.content
    assert _words("\n".join(each.content for each in messages)) == _words(text)
    assert [each.labels for each in messages] == [[]] * (len(messages) - 1) + [["Again"]]
    assert not fake.pinged


async def test_a_very_long_answer_comes_as_a_file_and_nothing_of_it_is_lost(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    text = _long(600)
    assert len(text) > 20_000

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Answer("ask_1", text, FOOTER, AGAIN)

    front.script = script
    elsewhere = fake.add_channel(fake.add_guild(bot=False))
    fake.slash(fake.user(7), "/ask", {"question": "go"}, elsewhere)
    last = await fake.seen(elsewhere, "8 Credits")
    head, tail = fake.messages(elsewhere)
    assert head.content.count("```") == 2
    assert "value_0" in head.content
    assert tail is last
    assert tail.files == [("answer.md", text.encode())]
    assert tail.labels == ["Again"]


async def test_what_a_model_writes_pings_nobody(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield AnswerProgress("ask_1", "@everyone @here <@7> <@&9>", STOP)
        yield Answer("ask_1", "@everyone @here <@7> <@&9>", FOOTER, AGAIN)

    front.script = script
    ann = fake.user(7)
    fake.slash(ann, "/ask", {"question": "go"}, fake.text)
    fake.says(ann, "go", channel=fake.text, mention=True)
    await fake.wait_for(lambda: len(front.landed_in) == 2)
    assert not fake.pinged
    writes = [c for c in fake.calls if "messages" in c.route or c.route.endswith("{token}")]
    assert len(writes) >= 2
    for call in writes:
        # Nobody, not even the one who is replied to.
        assert call.body["allowed_mentions"] == {"parse": []}
    assert "<@7>" not in fake.messages(fake.text)[0].content


async def test_the_gateway_breaks_and_nothing_is_lost(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    stream = front.script = Stream(20)
    fake.slash(ann, "/ask", {"question": "go"}, fake.text)
    await fake.seen(fake.text, "word18")
    await fake.drop_gateway()
    # Said while nobody listened: told after the resume.
    fake.says(ann, "and this?", channel=fake.text, mention=True)
    await fake.wait_for(lambda: fake.gateway.resumed == 1)
    stream.go_on()
    await fake.wait_for(lambda: len(front.landed_in) == 2)
    assert [each.options for each in front.handled] == [{"question": "go"}, {}]
    assert len(fake.gateway.identified) == 1


async def test_a_session_that_was_forgotten_begins_anew(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeps = asyncio.sleep

    async def soon(seconds: float, *result: object) -> None:
        await sleeps(min(seconds, 0.01))

    monkeypatch.setattr("discord.shard.asyncio.sleep", soon)
    fake.gateway.forgetful = True
    await fake.drop_gateway()
    await fake.wait_for(lambda: len(fake.gateway.identified) == 2)
    fake.slash(fake.user(7), "/ask", {"question": "go"}, fake.text)
    await fake.seen(fake.text, "echo")


async def test_an_answer_that_never_landed_is_delivered(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    stream = front.script = Stream(20)
    asked = fake.slash(ann, "/ask", {"question": "go"}, fake.text)
    growing = await fake.seen(fake.text, "word18")
    answer = Answer("ask_1", "saved words", FOOTER, AGAIN)
    place = Place.from_code(f"discord:{fake.text}:")
    shown = await discord.deliver_answer(
        UndeliveredAnswer("ask_1", place, str(asked.id), str(growing.id), answer)
    )
    assert shown == [str(growing.id)]
    assert growing.content.startswith("saved words")
    way_back = mark_question(f"7:{asked.token}")
    await discord.deliver_answer(
        UndeliveredAnswer(
            *("ask_1", place, str(asked.id), str(growing.id), answer, way_back), asked="go"
        )
    )
    assert growing.content.startswith("**go**\n\nsaved words")
    # A person's own place is stored by the person's id.
    place = Place.from_code("discord:7:")
    shown = await discord.deliver_answer(
        UndeliveredAnswer("ask_2", place, "1", "", answer, asker="7")
    )
    assert [str(each.id) for each in fake.messages(fake.dm(ann))] == shown
    fake.user(8, unreachable=True)
    with pytest.raises(DiscordRefused):
        await discord.deliver_answer(
            UndeliveredAnswer("ask_3", Place.from_code("discord:8:"), "1", "", answer, asker="8")
        )
    await discord.notify_person("7", Card(title="News", lines=("a line",)))
    news = await fake.seen(fake.dm(ann), "News")
    assert news.content == "**News**\n\na line"
    stream.go_on()


async def test_stopping_lets_answers_end(fake: FakeDiscord, front: DiscordFront) -> None:
    stream = front.script = Stream(20)
    async with running(fake, front) as discord:
        fake.slash(fake.user(7), "/ask", {"question": "go"}, fake.text)
        await fake.seen(fake.text, "word18")
        stopping = asyncio.create_task(discord.stop())
        await asyncio.sleep(0)
        stream.go_on()
        await stopping
        await fake.seen(fake.text, "8 Credits")


async def test_stopping_waits_no_longer_than_told_and_leaves_no_stop_button(
    fake: FakeDiscord, front: DiscordFront
) -> None:
    front.script = Stream(20)
    timing = CONFIG.timing.model_copy(update={"stop_seconds": 0.01})
    async with running(fake, front, CONFIG.model_copy(update={"timing": timing})):
        fake.slash(fake.user(7), "/ask", {"question": "go"}, fake.text)
        growing = await fake.seen(fake.text, "word18")
    assert growing.labels == []


async def test_a_question_of_a_command_stands_above_its_answer_where_others_read(
    fake: FakeDiscord, front: DiscordFront, discord: DiscordAdapter
) -> None:
    ann = fake.user(7)
    front.script = answering
    for channel, shown in ((fake.text, "**why \\*so\\*?**\n\nBecause."), (None, "Because.")):
        fake.slash(ann, "/ask", {"question": "why\n*so*?"}, channel)
        where = fake.dm(ann) if channel is None else channel
        assert (await fake.seen(where, "8 Credits")).content.startswith(shown)
    fake.says(ann, "and @everyone?", channel=fake.text, mention=True)
    await fake.wait_for(lambda: len(fake.messages(fake.text)) == 2)
    assert fake.messages(fake.text)[1].content.startswith("Because.")


async def answering(incoming: IncomingMessage) -> AsyncIterator[Output]:
    ask = f"ask_{incoming.message}"
    yield AnswerProgress(ask, "Because.", STOP)
    yield Answer(ask, "Because.", "8 Credits", AGAIN)
