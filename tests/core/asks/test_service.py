"""The road of an ask in the brief's world: what is held, charged, shown and booked."""

from __future__ import annotations

from bots.chat.types import Answer, AnswerProgress
from core.money import Credits, parse_usd
from tests.peers.suppliers import Answer as Says, Used
from tests.support import service
from tests.support.databases import TestClock


async def test_the_briefs_example_costs_8_credits_and_leaves_499_955_dollars(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, budget="500") as tom:
        tom.openai.script(Says("word " * 500, usage=Used(1_000, 500)))
        answer = await tom.answer("/ask gpt-4 " + "why " * 990)
        assert "8 Credits" in answer.footer
        assert "1,500 tokens" in answer.footer
        assert await tom.credits() == Credits(992)
        assert await tom.spent() == Credits(8)
        assert await tom.key_left() == parse_usd("499.955")
        assert (await tom.held()).is_zero


async def test_a_delivered_again_message_is_answered_and_charged_once(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        first = await tom.says("why is the sky blue?", message="42")
        left = await tom.credits()
        again = await tom.says("why is the sky blue?", message="42")
        assert isinstance(first[-1], Answer)
        assert again == []
        assert await tom.credits() == left
        assert len(tom.openai.calls) == 1


async def test_half_an_emoji_in_a_question_is_sent_as_a_replacement(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says("Yes.", usage=Used(20, 2)))
        answer = await tom.answer("/ask gpt-4 Sunny \ud83d?")
        assert answer.text == "Yes."
        assert (
            tom.openai.calls[-1].body["messages"][-1]["content"]
            == "Sunny \N{REPLACEMENT CHARACTER}?"
        )


async def test_a_question_in_which_nothing_can_be_seen_is_none(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock) as tom:
        for text in ("\u200b\u2060", "/ask \ufe0f\u3164"):
            card = await tom.screen(text)
            assert "What would you like to ask?" in " ".join(card.lines)
        assert tom.openai.calls == []
        assert await tom.spent() == Credits(0)


async def test_frames_grow_and_the_answer_is_the_whole_text(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says(chunks=("Blue ", "light ", "scatters."), usage=Used(20, 3)))
        shown = await tom.says("why is the sky blue?")
        texts = [output.text for output in shown if isinstance(output, AnswerProgress)]
        assert texts[0] == ""
        assert texts == sorted(texts, key=len)
        assert isinstance(shown[-1], Answer)
        assert shown[-1].text == "Blue light scatters."


async def test_a_model_that_used_up_its_room_is_offered_more(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(Says("", usage=Used(20, 2_000), thinking=3, finish="length"))
        answer = await tom.answer("why is the sky blue?")
        assert "used up its room" in answer.text
        assert [one.label for row in answer.buttons for one in row] == ["🔁 With more room"]
        tom.openai.always(Says("Because.", usage=Used(20, 2_500), thinking=3))
        shown = await tom.presses(answer.buttons[0][0].id)
        assert isinstance(shown[-1], Answer)
        assert shown[-1].text == "Because."
        limits = [call.body["max_completion_tokens"] for call in tom.openai.calls]
        assert limits == [2_000, 4_000]
