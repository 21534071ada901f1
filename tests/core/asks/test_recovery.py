"""Processes that die or stall: their asks are settled once, by whoever is first, for what was
shown; answers that never reached the chat are landed once."""

from __future__ import annotations

import asyncio

import sqlalchemy as sa

from bots.chat.types import Answer, UndeliveredAnswer
from core import ids
from core.admin.audit import _find_above_quote
from core.asks.run import AskRun
from core.asks.types import Outcome, Question, Recording
from core.db import schema
from core.money import Credits, MicroCredits, Seconds, parse_usd
from core.pricing.prices import KindPercents, NewPrice
from tests.peers.suppliers import Answer as Says
from tests.support import brief, service
from tests.support.audio import VOICE
from tests.support.databases import TestClock
from tests.support.sent_files import make_question, read_picture
from tests.support.service import Service

CHUNKS = tuple(f"word{n:02} " for n in range(20))


async def _begun(tom: Service) -> AskRun:
    """An ask that has shown ten chunks and goes no further."""
    tom.openai.script(Says(chunks=CHUNKS, hangs_after=10))
    run = await tom.app.services.asks.asks.start_ask(
        Question(
            id=ids.derive_id("ask", tom.clock.now_ms(), "lost"),
            person=await tom.person(),
            place="telegram:7:",
            asked_in="1",
            text="why?",
            model=brief.GPT_4,
        )
    )
    async for text in run.stream_text():
        if text == "".join(CHUNKS[:10]):
            break
    return run


async def test_a_stalled_process_that_was_swept_settles_nothing_itself(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        run = await _begun(tom)
        await tom.app.services.asks.asks._heartbeat.record([run])
        clock.advance(seconds=13)
        async with service.running(database_url, clock) as other:
            assert await other.app.services.asks.recovery.recover_lapsed_asks() == 1
            assert await other.app.services.asks.recovery.recover_lapsed_asks() == 0
            # 26 tokens asked, 21 shown, at 5 Credits/1K; the key pays all that it held.
            assert await other.spent() == Credits(1)
            assert (await other.held()).is_zero
        run.stop()
        result = await run.result
        assert result.outcome is Outcome.LOST
        assert result.charge == Credits(1)
        assert await tom.credits() == Credits(999)
        assert await tom.key_left() == parse_usd("500") - run.candidate.hold


async def test_pictures_of_a_process_that_died_cost_their_own_price(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        prices = tom.app.services.pricing.prices
        rate = MicroCredits(100_000)
        cheap = NewPrice("gpt-4", rate, rate, "token", KindPercents(picture=10))
        await prices.set_prices([cheap], set_by="admin")
        tom.openai.script(Says(chunks=CHUNKS, hangs_after=10))
        run = await tom.app.services.asks.asks.start_ask(
            await make_question(tom, read_picture(1_568, 1_176))
        )
        async for text in run.stream_text():
            if text == "".join(CHUNKS[:10]):
                break
        await tom.app.services.asks.asks._heartbeat.record([run])
        clock.advance(seconds=13)
        assert await _recover(database_url, clock) == 1
        # A tenth of 0.1 Credits for each of 765 tokens, and few others.
        assert Credits(8) < await tom.spent() < Credits(20)
        (usage,) = await tom.app.services.base.db.fetch(sa.select(schema.usage))
        assert usage.picture_tokens == run.quote.picture_tokens.units == 765
        assert await _find_above_quote(tom.app.services.base.db) == []
        run.stop()
        await run.result


async def _recover(database_url: str, clock: TestClock) -> int:
    async with service.running(database_url, clock) as other:
        return await other.app.services.asks.recovery.recover_lapsed_asks()


async def test_a_live_process_is_never_swept(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock) as tom:
        run = await _begun(tom)
        for _ in range(3):
            clock.advance(seconds=8)
            await tom.app.services.asks.asks._heartbeat.record([run])
            assert await tom.app.services.asks.recovery.recover_lapsed_asks() == 0
        run.stop()
        assert (await run.result).outcome is Outcome.STOPPED


async def test_a_stop_on_another_process_reaches_the_one_that_serves(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        run = await _begun(tom)
        async with service.running(database_url, clock) as other:
            stranger = await other.someone("66").person()
            assert not await other.app.services.asks.asks.stop_ask(run.id, stranger.id)
            assert await other.app.services.asks.asks.stop_ask(run.id, run.question.person.id)
        await tom.app.services.asks.asks._heartbeat.record([run])
        assert (await run.result).outcome is Outcome.STOPPED


async def test_audio_of_a_process_that_died_costs_nothing(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.hold()

        async def read() -> bytes:
            return VOICE

        run = await tom.app.services.asks.asks.start_ask(
            Question(
                id=ids.derive_id("ask", tom.clock.now_ms(), "lost"),
                person=await tom.person(),
                place="telegram:7:",
                asked_in="1",
                text="",
                model=brief.WHISPER_1,
                recording=Recording("voice.ogg", Seconds(61), read),
            )
        )
        await tom.openai.arrived(1)
        # Words that came, but whose bill did not, are not kept: nothing of them counts.
        run.append_text("Why is the sky blue?")
        await tom.app.services.asks.asks._heartbeat.record([run])
        assert await tom.held() == Credits(3)
        clock.advance(seconds=13)
        async with service.running(database_url, clock) as other:
            assert await other.app.services.asks.recovery.recover_lapsed_asks() == 1
            assert await other.app.services.asks.recovery.recover_lapsed_asks() == 0
            assert await other.spent("whisper-1") == Credits(0)
            assert (await other.held()).is_zero
            assert await other.credits() == Credits(1_000)
            booked = await other.app.services.base.db.fetch(sa.select(schema.usage))
            assert [(row.charge, row.seconds, row.estimated) for row in booked] == [(0, 67, True)]
            clock.advance(seconds=1)
            chat = Chat()
            other.app.chat.redelivery.register_notifier("telegram", chat)  # type: ignore[arg-type]
            await other.app.chat.redelivery.redeliver_answers()
            (landed,) = chat.shown
            assert "Nothing was charged" in landed.answer.text
            assert (landed.answer.footer, landed.answer.buttons) == ("", ())
        run.stop()
        assert (await run.result).outcome is Outcome.LOST
        # As of every ask that was lost: nobody knows what the supplier took.
        assert await tom.key_left() == parse_usd("500") - run.candidate.hold


class Chat:
    """A front end that shows saved answers."""

    def __init__(self) -> None:
        self.shown: list[UndeliveredAnswer] = []

    async def deliver_answer(self, undelivered: UndeliveredAnswer) -> list[str]:
        self.shown.append(undelivered)
        return ["new-message"]


async def test_an_answer_that_never_landed_is_landed_once(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        outputs = [
            output async for output in tom.app.chat.dispatcher.handle_message(tom.incoming("why?"))
        ]
        assert isinstance(outputs[-1], Answer)
        chat = Chat()
        tom.app.chat.redelivery.register_notifier("telegram", chat)  # type: ignore[arg-type]
        await tom.app.chat.redelivery.redeliver_answers()
        assert chat.shown == [], "whoever answered it still has time to show it"
        clock.advance(seconds=121)
        async with service.running(database_url, clock) as other:
            other.app.chat.redelivery.register_notifier("telegram", chat)  # type: ignore[arg-type]
            await asyncio.gather(
                tom.app.chat.redelivery.redeliver_answers(),
                other.app.chat.redelivery.redeliver_answers(),
            )
            await other.app.chat.redelivery.redeliver_answers()
        assert [one.answer.text for one in chat.shown] == [outputs[-1].text]
        assert "1 Credit" in chat.shown[0].answer.footer


async def test_a_message_that_comes_again_after_a_crash_gets_its_saved_answer(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        incoming = tom.incoming("why?", message="42")
        first = [output async for output in tom.app.chat.dispatcher.handle_message(incoming)]
        left = await tom.credits()
    clock.advance(seconds=121)
    async with service.running(database_url, clock) as again:
        second = [output async for output in again.app.chat.dispatcher.handle_message(incoming)]
        assert isinstance(first[-1], Answer)
        assert [output.text for output in second if isinstance(output, Answer)] == [first[-1].text]
        third = [output async for output in again.app.chat.dispatcher.handle_message(incoming)]
        assert third == []
        assert await again.credits() == left
        assert again.openai.calls == []
