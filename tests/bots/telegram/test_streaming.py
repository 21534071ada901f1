"""Answers on the unmodified client: streamed, stopped, long, hindered, and always landed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from bots.chat.types import (
    Answer,
    AnswerProgress,
    Card,
    IncomingMessage,
    Output,
    Place,
    UndeliveredAnswer,
)
from bots.render.plain_text import FOOTER_MARK
from bots.telegram.adapter import TelegramAdapter
from bots.telegram.sender import TelegramRefused
from tests.bots.telegram.conftest import CONFIG, running
from tests.bots.telegram.scripted import AGAIN, STOP, ScriptedFront
from tests.peers.telegram import FakeTelegram
from tests.peers.telegram_chats import Chat, utf16

WORDS = [f"word{n}" for n in range(40)]
WRITES = ("sendMessageDraft", "sendMessage", "editMessageText")
FOOTER = "GPT-4 · 1,500 tokens · 8 Credits"


class Stream:
    """An answer that goes on when the test says so."""

    def __init__(self, *gates_at: int) -> None:
        self.gates = {word: asyncio.Event() for word in gates_at}

    async def __call__(self, incoming: IncomingMessage) -> AsyncIterator[Output]:
        ask = f"ask_{incoming.message}"
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


def whole(chat: Chat) -> str:
    return "\n".join(each.text for each in chat.bot_messages)


async def test_in_private_it_grows_as_a_draft_under_a_stop_button(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann = fake.user(7)
    stream = front.script = Stream(20)
    asked = fake.says(ann, "go")
    chat = fake.chat(7)
    await fake.wait_for(lambda: "word18" in chat.draft)
    (holder,) = chat.bot_messages
    assert (holder.text, holder.labels, holder.silent) == ("…", ["Stop"], True)
    assert front.started_in == [(f"ask_{asked}", str(holder.id))]
    stream.go_on()
    answer = await fake.seen(7, FOOTER)
    await fake.wait_for(lambda: chat.bot_messages == [answer])
    assert answer.text == " ".join(WORDS) + f"\n\n{FOOTER_MARK} {FOOTER}"
    assert (answer.labels, answer.silent) == (["Again"], False)
    await fake.wait_for(lambda: front.landed_in)
    assert front.landed_in == [(f"ask_{asked}", str(answer.id))]
    assert "sendChatAction" in fake.called()
    assert "editMessageText" not in fake.called()
    # Frames came forty times; the chat was written to at its own pace.
    assert len(set(chat.drafts)) == len(chat.drafts) < 30


async def test_in_a_group_one_message_is_edited_and_becomes_the_answer(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann, group = fake.user(7), fake.group(-5, forum=True)
    stream = front.script = Stream(20)
    asked = fake.says(ann, "/ask go", chat=-5, thread=3)
    await fake.seen(-5, "word18")
    (message,) = group.bot_messages
    assert (message.labels, message.reply_to, message.thread) == (["Stop"], asked, 3)
    assert not message.silent, "it becomes the answer: there is no other one to be heard"
    assert front.handled[0].place == Place("telegram", "-5", "3", private=False)
    stream.go_on()
    answer = await fake.seen(-5, FOOTER)
    assert group.bot_messages == [message]
    assert (answer.id, answer.labels) == (message.id, ["Again"])
    assert fake.called("sendMessageDraft") == []
    await fake.wait_for(lambda: front.landed_in)
    assert front.landed_in == [(f"ask_{asked}", str(message.id))]
    assert front.started_in == front.landed_in


async def test_stop_reaches_the_front_while_the_answer_grows(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield AnswerProgress("ask_1", "so far", STOP)
        await front.stopped.wait()
        yield Answer("ask_1", "so far", "stopped · 2 Credits", AGAIN)

    ann = fake.user(7)
    front.script = script
    fake.says(ann, "go")
    holder = await fake.seen(7, "…")
    fake.presses(ann, holder, "Stop")
    await fake.seen(7, "so far\n\n◈ stopped · 2 Credits")
    assert [(press.button, press.message) for press in front.pressed] == [
        ("btn_stop", str(holder.id))
    ]
    await fake.wait_for(lambda: fake.called("answerCallbackQuery"))


async def test_a_refused_draft_falls_back_to_edits_of_the_same_message(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann = fake.user(7)
    fake.chat(7).drafts_refused = True
    stream = front.script = Stream(20)
    fake.says(ann, "go")
    growing = await fake.seen(7, "word18")
    assert growing.labels == ["Stop"]
    stream.go_on()
    answer = await fake.seen(7, FOOTER)
    # What was begun without a sound makes room for what is heard.
    await fake.wait_for(lambda: fake.chat(7).bot_messages == [answer])
    assert (growing.silent, answer.silent) == (True, False)
    front.script = Stream(20)
    fake.says(ann, "once more")
    await fake.wait_for(lambda: len(fake.chat(7).bot_messages) == 2)
    growing = fake.chat(7).last
    front.script.go_on()
    await fake.wait_for(lambda: len(front.landed_in) == 2)
    assert fake.chat(7).bot_messages == [answer, growing]
    assert not growing.silent
    assert len(fake.called("sendMessageDraft")) == 1, "what was refused once is not asked again"


async def test_a_draft_is_shown_again_before_it_fades(
    fake: FakeTelegram,
    front: ScriptedFront,
    telegram: TelegramAdapter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bots.telegram.streaming._TYPING_SECONDS", 0.01)
    monkeypatch.setattr("bots.telegram.streaming._DRAFT_SECONDS", 0.05)
    stream = front.script = Stream(2)
    fake.says(fake.user(7), "go")
    await fake.wait_for(lambda: fake.chat(7).drafts[:3] == ["word0"] * 3)
    stream.go_on()
    await fake.seen(7, FOOTER)


async def test_typing_is_shown_until_the_first_text(
    fake: FakeTelegram,
    front: ScriptedFront,
    telegram: TelegramAdapter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bots.telegram.streaming._TYPING_SECONDS", 0.01)
    stream = front.script = Stream(1, 30)
    fake.group(-5)
    fake.says(fake.user(7), "/ask", chat=-5)
    await fake.wait_for(lambda: len(fake.called("sendChatAction")) >= 3)
    stream.go_on()
    await fake.seen(-5, "word28")
    before = len(fake.called("sendChatAction"))
    stream.go_on()
    await fake.seen(-5, FOOTER)
    assert len(fake.called("sendChatAction")) <= before + 1


LONG = "\n\n".join(
    f"## Part {n}\n\nSome words about part {n}, **bold {n}** and `code {n}`.\n\n"
    f"```python\n" + "\n".join(f"line_{n}_{k} = '💎'" for k in range(30)) + "\n```"
    for n in range(36)
)


@pytest.mark.parametrize("place", [7, -5])
async def test_twenty_thousand_characters_with_code_arrive_whole(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter, place: int
) -> None:
    assert len(LONG) > 20_000

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        for end in range(500, len(LONG), 500):
            yield AnswerProgress("ask_1", LONG[:end], STOP)
            await asyncio.sleep(0)
        yield Answer("ask_1", LONG, FOOTER, AGAIN)

    ann = fake.user(7)
    if place < 0:
        fake.group(place)
    front.script = script
    fake.says(ann, "/ask go", chat=place)
    await fake.wait_for(lambda: front.landed_in)
    chat = fake.chat(place)
    await fake.wait_for(lambda: not any(each.text == "…" for each in chat.bot_messages))
    messages = chat.bot_messages
    assert len(messages) >= 6
    assert re.findall(r"line_\d+_\d+", whole(chat)) == re.findall(r"line_\d+_\d+", LONG)
    for message in messages:
        assert utf16(message.text) <= 4096
        for entity in message.entities:
            if "line_" in message.part(entity):
                assert (entity["type"], entity["language"]) == ("pre", "python")
    covered = sum(
        message.part(entity).count("line_") for message in messages for entity in message.entities
    )
    assert covered == 36 * 30, "all code is shown as code"
    assert [message.labels for message in messages] == [[]] * (len(messages) - 1) + [["Again"]]
    assert [message.silent for message in messages] == [False] + [True] * (len(messages) - 1)
    assert messages[-1].text.endswith(f"◈ {FOOTER}")
    assert front.landed_in == [("ask_1", str(messages[-1].id))]


HUGE = "\n\n".join(f"word{n} " + "and more " * 50 for n in range(120))


async def test_an_answer_of_more_than_eight_messages_comes_as_a_file(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Answer("ask_1", HUGE, FOOTER, AGAIN)

    front.script = script
    fake.says(fake.user(7), "go")
    await fake.wait_for(lambda: front.landed_in)
    first, file, footer = fake.chat(7).bot_messages
    assert first.text.startswith("word0 and more")
    assert len(fake.called("sendDocument")) == 1
    assert (file.text, file.labels) == ("", [])
    assert (footer.text, footer.labels) == (f"◈ {FOOTER}", ["Again"])
    assert front.landed_in == [("ask_1", str(footer.id))]


async def test_where_no_file_may_be_sent_the_answer_comes_in_messages(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Answer("ask_1", HUGE, FOOTER, AGAIN)

    front.script = script
    fake.fail_next("sendDocument", 400, description="Bad Request: not enough rights")
    fake.says(fake.user(7), "go")
    await fake.wait_for(lambda: front.landed_in)
    messages = fake.chat(7).bot_messages
    assert re.findall(r"word\d+", whole(fake.chat(7))) == re.findall(r"word\d+", HUGE)
    assert len(messages) > 8
    assert messages[-1].labels == ["Again"]


@pytest.mark.slow
async def test_a_429_in_the_middle_is_waited_out_as_told(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    ann = fake.user(7)
    chat = fake.chat(7)
    stream = front.script = Stream(20, 30)
    fake.says(ann, "go")
    await fake.wait_for(lambda: "word18" in chat.draft)
    before = len(fake.calls)
    fake.fail_next("sendMessageDraft", 429, retry_after=1)
    stream.go_on()
    await fake.wait_for(lambda: "word28" in chat.draft)
    fake.fail_next("sendMessage", 429, retry_after=1)
    stream.go_on()
    answer = await fake.seen(7, FOOTER)
    assert answer.text.startswith(" ".join(WORDS))
    await fake.wait_for(lambda: chat.bot_messages == [answer])
    calls = [each for each in fake.calls[before:] if each.method in WRITES]
    limited = [at for at, each in enumerate(calls) if each.status == 429]
    assert [calls[at].method for at in limited] == ["sendMessageDraft", "sendMessage"]
    for at in limited:
        assert calls[at + 1].at - calls[at].at >= 1.0, "sent again before it was allowed"


async def test_a_broken_connection_is_tried_again(
    fake: FakeTelegram,
    front: ScriptedFront,
    telegram: TelegramAdapter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bots.render.throttle._BACKOFF_SECONDS", 0.02)
    fake.fail_next("sendMessage", 500, times=2)
    fake.says(fake.user(7), "hi")
    await fake.seen(7, "echo: hi")
    assert len(fake.called("sendMessage")) == 3


async def test_formatting_that_is_refused_is_left_out_not_the_text(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Answer("ask_1", "some **bold** text", FOOTER, AGAIN)

    front.script = script
    fake.fail_next("sendMessage", 400, description="Bad Request: can't parse entities: no")
    fake.says(fake.user(7), "hi")
    answer = await fake.seen(7, "some bold text")
    assert answer.entities == []
    assert answer.labels == ["Again"]


async def test_an_answer_whose_message_was_deleted_comes_as_a_new_one(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    stream = front.script = Stream(20)
    group = fake.group(-5)
    fake.says(fake.user(7), "/ask", chat=-5)
    message = await fake.seen(-5, "word18")
    group.messages.remove(message)
    stream.go_on()
    await fake.seen(-5, FOOTER)
    await fake.wait_for(lambda: front.landed_in)


async def test_an_answer_that_never_ends_leaves_nothing_behind(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    gate = asyncio.Event()

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield AnswerProgress("ask_1", "", STOP)
        await gate.wait()
        yield Card(lines=("It failed; nothing was charged.",))

    front.script = script
    fake.says(fake.user(7), "hi")
    await fake.seen(7, "…")
    gate.set()
    card = await fake.seen(7, "nothing was charged")
    await fake.wait_for(lambda: fake.chat(7).bot_messages == [card])
    assert front.landed_in == []


async def test_a_saved_answer_is_landed_in_the_message_that_began_to_show_it(
    fake: FakeTelegram, front: ScriptedFront, telegram: TelegramAdapter
) -> None:
    stream = front.script = Stream(2)
    fake.group(-5)
    fake.says(fake.user(7), "/ask", chat=-5)
    begun = await fake.seen(-5, "word0")
    answer = Answer("ask_9", "the saved answer", FOOTER)
    place = Place("telegram", "-5", private=False)
    message = await telegram.deliver_answer(
        UndeliveredAnswer("ask_9", place, "1", str(begun.id), answer)
    )
    assert message == [str(begun.id)]
    assert begun.text.startswith("the saved answer")
    message = await telegram.deliver_answer(UndeliveredAnswer("ask_9", place, "1", "", answer))
    assert message != [str(begun.id)]
    stream.go_on()
    fake.user(8, unreachable=True)
    with pytest.raises(TelegramRefused) as refused:
        await telegram.deliver_answer(
            UndeliveredAnswer("ask_9", Place("telegram", "8"), "1", "", answer)
        )
    assert "blocked" in refused.value.reason


@pytest.mark.slow
async def test_stopping_lets_running_answers_end(
    fake: FakeTelegram, front: ScriptedFront, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bots.telegram.rate_limiter._PER_SECOND", 300.0)
    stream = front.script = Stream(20)
    async with running(fake, front) as telegram:
        for person in range(20):
            fake.says(fake.user(100 + person), "go")
        await fake.wait_for(lambda: len(front.started_in) == 20)
        stopping = asyncio.create_task(telegram.stop())
        stream.go_on()
        await stopping
        assert len(front.landed_in) == 20
        telegram.stop = _nothing  # type: ignore[method-assign]


async def _nothing() -> None:
    pass


async def test_stopping_ends_what_does_not_end_by_itself(
    fake: FakeTelegram, front: ScriptedFront
) -> None:
    ended = asyncio.Event()

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        try:
            yield AnswerProgress("ask_1", "for ever", STOP)
            await asyncio.Event().wait()
        finally:
            ended.set()

    front.script = script
    timing = CONFIG.timing.model_copy(update={"stop_seconds": 0.05})
    async with running(fake, front, CONFIG.model_copy(update={"timing": timing})):
        fake.says(fake.user(7), "go")
        await fake.wait_for(lambda: front.started_in)
    assert ended.is_set()
    assert front.landed_in == []
