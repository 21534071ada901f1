"""Voice messages in the brief's world: Whisper at 2 Credits and $0.006 a minute."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from bots.chat.audio import AUDIO_BYTES_MAX, AudioAttachment, DownloadFailed
from bots.chat.types import Answer, AnswerProgress, Card, Output
from core.db import schema
from core.money import Credits, NanoUsd, Seconds, parse_usd
from tests.peers.suppliers import Answer as Says, Drop, Heard, Refuse, Script
from tests.support import service
from tests.support.audio import VOICE, ogg, ogg_page, opus_heads, wav
from tests.support.config import KEYS
from tests.support.databases import TestClock
from tests.support.service import Service
from tests.support.size import size

WHISPER = "whisper-1"
#: Three Credits, by the supplier's own count of 61 seconds.
MINUTE = Heard("Why is the sky blue?", seconds=60.4, duration=60.4)
COST = parse_usd("0.0061")
FULL, NOTHING = parse_usd("500"), NanoUsd(0)


def voice(
    seconds: int | None = 61,
    content: bytes | None = None,
    *,
    mime: str = "audio/ogg",
    name: str = "",
    size: int | None = None,
) -> AudioAttachment:
    """A file as long as its platform tells, unless it is another."""
    file = ogg(seconds or 0) if content is None else content

    async def fetch() -> bytes:
        return file

    return AudioAttachment(seconds, len(file) if size is None else size, mime, name, fetch)


@pytest.fixture
async def tom(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock) as tom:
        yield tom


async def written(tom: Service, audio: AudioAttachment, caption: str = "") -> Answer:
    """What a voice message comes to."""
    shown = await tom.says(caption, audio=audio)
    assert isinstance(shown[-1], Answer), shown
    assert all(isinstance(each, AnswerProgress) for each in shown[:-1])
    return shown[-1]


async def refused(tom: Service, audio: AudioAttachment) -> str:
    """The sentence of one that is refused before anything is held or sent."""
    shown = await tom.says("", audio=audio)
    assert [type(each) for each in shown] == [Card]
    assert isinstance(shown[0], Card)
    assert tom.openai.calls == []
    await nothing_happened(tom)
    return "\n".join(shown[0].lines)


async def nothing_happened(tom: Service, cost: NanoUsd = NOTHING) -> None:
    assert await tom.held() == Credits(0)
    assert await tom.spent(WHISPER) == Credits(0)
    assert await tom.key_left() == FULL - cost


async def test_61_seconds_at_2_credits_a_minute_cost_3(tom: Service) -> None:
    tom.openai.script(MINUTE)
    answer = await written(tom, voice(61))
    assert answer.text == "Why is the sky blue?"
    assert answer.footer == "Whisper · 61 s of audio · 3 Credits · 997 left"
    assert [button.label for row in answer.buttons for button in row] == ["💬 Ask this"]
    assert (await tom.credits(), await tom.spent(WHISPER)) == (Credits(997), Credits(3))
    assert await tom.key_left() == FULL - COST
    call = tom.openai.calls[0]
    assert call.path == "/v1/audio/transcriptions"
    assert call.body == {
        "model": WHISPER,
        "response_format": "verbose_json",
        "file": ("voice.ogg", VOICE),
    }
    usage = await tom.screen("/usage")
    assert [[*row][1:] for row in usage.table] == [["Whisper", "3 Cr"]]


async def test_its_length_with_a_margin_is_held_before_anything_is_sent(
    tom: Service, clock: TestClock
) -> None:
    gate = tom.openai.hold()
    tom.openai.script(Heard("Hello.", seconds=90))
    # 90 s are exactly 3 Credits; 90 + 5 + 2 s are 4.
    waiting = asyncio.ensure_future(written(tom, voice(90)))
    await tom.openai.arrived(1)
    assert await tom.held() == Credits(4)
    assert await tom.key_left() == FULL - parse_usd("0.0097")
    clock.advance(seconds=5)
    gate.set()
    assert "3 Credits · 997 left" in (await waiting).footer
    assert await tom.key_left() == FULL - parse_usd("0.009")
    # How long a clip took tells nothing of how fast the key answers.
    assert [key.first_text_ms for key in tom.app.services.pool.pool._records.values()] == [0.0]


async def test_a_balance_of_the_length_alone_is_enough(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock, welcome=3) as tom:
        tom.openai.script(Heard("Hello.", seconds=97))
        assert "3 Credits · 0 left" in (await written(tom, voice(90))).footer


@dataclass(frozen=True)
class Billed:
    name: str
    audio: AudioAttachment
    said: Heard
    seconds: int
    charge: int
    #: What the key pays; as many seconds as are shown unless told.
    heard: int | None = None


BILLED = (
    Billed("billed seconds, rounded up", voice(61), Heard("a", 29.2, 61.0), 30, 1),
    Billed("else the file's length", voice(61), Heard("a", None, 59.9), 60, 2),
    Billed("else what was counted", voice(61), Heard("a"), 61, 3),
    Billed("whatever the platform told", voice(1, ogg(61)), Heard("a"), 61, 3),
    Billed("the asker at most what was held", voice(61), Heard("a", 600.0, 600.0), 67, 3, 600),
    Billed("never less than a Credit", voice(0, ogg(0.2)), Heard("a", 0, 0.2), 1, 1),
    Billed("nobody tells: the file does", voice(None, wav(61)), Heard("a"), 61, 3),
    Billed("the same of an Opus file", voice(None, ogg(60.3)), Heard("a", 60.3), 61, 3),
)


@pytest.mark.parametrize("billed", BILLED, ids=lambda billed: billed.name)
async def test_what_is_billed(billed: Billed, tom: Service) -> None:
    tom.openai.script(billed.said)
    answer = await written(tom, billed.audio)
    credit = "Credit" if billed.charge == 1 else "Credits"
    left = 1_000 - billed.charge
    assert answer.footer == (
        f"Whisper · {billed.seconds} s of audio · {billed.charge} {credit} · {left} left"
    )
    assert await tom.credits() == Credits(left)
    heard = billed.seconds if billed.heard is None else billed.heard
    assert await tom.key_left() == FULL - parse_usd("0.0001").multiply_by(heard)


@dataclass(frozen=True)
class Unheard:
    name: str
    script: tuple[Script, ...]
    told: str
    content: bytes = VOICE
    #: What the supplier takes for it all the same.
    cost: NanoUsd = NOTHING


UNHEARD = (
    Unheard("silence", (Heard("  ", seconds=60.4),), "couldn't hear any words", cost=COST),
    Unheard("in a form that it can't read", (Refuse(400),), "could not be fetched or read"),
    Unheard("too large", (Refuse(413),), "doesn't take audio that long"),
    Unheard("failing", (Refuse(500), Refuse(500)), "couldn't be transcribed just now"),
    Unheard("the key refused", (Refuse(401),), "couldn't be transcribed just now"),
    Unheard("cut off", (Drop(),), "couldn't be transcribed just now", cost=COST),
)


@pytest.mark.parametrize("unheard", UNHEARD, ids=lambda unheard: unheard.name)
async def test_what_is_not_heard_costs_nothing(unheard: Unheard, tom: Service) -> None:
    tom.openai.script(*unheard.script)
    answer = await written(tom, voice(61, unheard.content))
    assert unheard.told in answer.text
    assert "Nothing was charged" in answer.text
    assert (answer.footer, answer.buttons) == ("", ())
    assert await tom.credits() == Credits(1_000)
    await nothing_happened(tom, unheard.cost)


async def test_what_cannot_be_had_costs_nothing_and_is_not_asked_for(tom: Service) -> None:
    async def fetch() -> bytes:
        raise DownloadFailed

    for seconds in (61, None):
        audio = AudioAttachment(seconds, 64, "audio/ogg", "", fetch)
        assert "could not be fetched" in await refused(tom, audio)


async def test_too_long_too_large_and_in_no_known_format(tom: Service) -> None:
    assert "That is 60:01 long" in await refused(tom, voice(3_601, VOICE))
    assert "That is 60:01 long" in await refused(tom, voice(1, wav(3_601), mime="audio/wav"))
    assert "audio is 60:00" in await refused(tom, voice(None, wav(3_601)))
    assert "has 21 MB" in await refused(tom, voice(61, size=AUDIO_BYTES_MAX + 1))
    assert "audio is 20 MB" in await refused(tom, voice(None, bytes(AUDIO_BYTES_MAX + 1), size=0))
    assert "mp3, m4a, ogg" in await refused(tom, voice(61, mime="audio/amr"))
    for seconds in (61, None):
        assert "mp3, m4a, ogg" in await refused(tom, voice(seconds, b"garbage"))


async def test_larger_than_told_is_not_passed_on(tom: Service) -> None:
    assert "has 21 MB" in await refused(tom, voice(61, VOICE + bytes(AUDIO_BYTES_MAX), size=64))


async def test_not_enough_credits_says_need_and_have(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock, welcome=2) as tom:
        told = await refused(tom, voice(61))
        assert told.startswith("This needs 3 Credits; you have 2 Credits.")
        assert "Whisper: 2 Credits / minute" in told


async def test_without_a_key_that_hears(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock, budget="0.001") as tom:
        shown = await tom.says("", audio=voice(61))
        assert isinstance(shown[0], Card)
        assert shown[0].lines[0].startswith("Audio can't be transcribed right now.")


async def test_so_many_at_once_and_no_more(tom: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.asks.service.RECORDINGS_MAX", 1)
    gate = tom.openai.hold()
    waiting = asyncio.ensure_future(written(tom, voice(61)))
    await tom.openai.arrived(1)
    ann = tom.someone("8")
    shown = await ann.says("", audio=voice(61))
    assert isinstance(shown[0], Card)
    assert "Too many questions at once" in shown[0].lines[0]
    gate.set()
    await waiting
    assert await ann.credits() == Credits(1_000)


async def test_a_failing_key_is_left_for_the_next(database_url: str, clock: TestClock) -> None:
    async with service.running(database_url, clock, keys=2) as tom:
        tom.openai.script(Refuse(429, code="rate_limit_exceeded", retry_after="20"), MINUTE)
        answer = await written(tom, voice(61))
        assert "61 s of audio · 3 Credits" in answer.footer
        assert {call.key for call in tom.openai.calls} == set(KEYS)
        assert [call.body["file"] for call in tom.openai.calls] == [("voice.ogg", VOICE)] * 2
        left = [card.headroom for card in await tom.app.services.pool.pool.list_keys()]
        assert sorted(left, reverse=True) == [FULL, FULL - COST]


async def test_the_same_message_twice_is_done_and_charged_once(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(MINUTE)
        incoming = tom.incoming("", message="42", audio=voice(61))
        first = await _all(tom, incoming)
        assert isinstance(first[-1], Answer)
        assert await _all(tom, incoming) == []
        assert len(tom.openai.calls) == 1
    clock.advance(seconds=121)
    async with service.running(database_url, clock) as again:
        # It never landed in the chat: the saved words do now, once.
        second = await _all(again, incoming)
        assert [each.text for each in second if isinstance(each, Answer)] == [first[-1].text]
        assert isinstance(second[-1], Answer)
        assert "Whisper · 61 s of audio · 3 Credits" in second[-1].footer
        assert second[-1].buttons == first[-1].buttons
        assert await _all(again, incoming) == []
        assert again.openai.calls == []
        assert await again.credits() == Credits(997)


async def _all(tom: Service, incoming: object) -> list[Output]:
    return [output async for output in tom.app.chat.dispatcher.handle_message(incoming)]  # type: ignore[arg-type]


async def test_ask_this_asks_it_once_for_its_own_person_also_after_a_restart(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(MINUTE)
        button = (await written(tom, voice(61), "Answer in one word:")).buttons[0][0].id
    async with service.running(database_url, clock) as tom:
        stranger = await tom.someone("66").presses(button)
        assert isinstance(stranger[-1], Card)
        assert "somebody else" in stranger[-1].lines[0]
        tom.openai.script(Says("Scattering."))
        shown = await tom.presses(button)
        assert isinstance(shown[-1], Answer)
        assert shown[-1].text == "Scattering."
        sent = tom.openai.calls[-1].body
        assert sent["model"] == "gpt-4"
        assert [each["content"] for each in sent["messages"]] == [
            "Answer in one word:\n\nWhy is the sky blue?"
        ]
        assert isinstance((await tom.presses(button))[-1], Card)
        assert len(tom.openai.calls) == 1
        # A button of an answer's doesn't fit what was written down, nor the other way round.
        for wrong in (f"a{button[1:]}", f"c{button[1:]}", f"q:{shown[-1].ask}"):
            done = (await tom.presses(wrong))[-1]
            assert isinstance(done, Card)
            assert "no longer works" in done.lines[0]
        assert len(tom.openai.calls) == 1


async def test_stopped_before_the_words_come_costs_nothing(tom: Service) -> None:
    tom.openai.hold()
    shown = tom.app.chat.dispatcher.handle_message(tom.incoming("", audio=voice(61)))
    begun = await anext(shown)
    assert isinstance(begun, AnswerProgress)
    # The supplier is asked once the front end has shown that.
    ended = asyncio.ensure_future(anext(shown))
    await tom.openai.arrived(1)
    await tom.presses(begun.buttons[0][0].id)
    answer = await ended
    assert isinstance(answer, Answer)
    assert "Nothing was charged" in answer.text
    # The supplier may have heard all of it.
    await nothing_happened(tom, COST)


async def test_a_model_that_hears_is_shown_but_neither_asked_nor_chosen(tom: Service) -> None:
    models = await tom.screen("/models")
    assert "1 model is available. Yours: GPT-4 Turbo." in models.lines
    assert models.lines[-1] == "🎤 Whisper — 2 Credits / minute"
    card = await tom.screen("/model whisper")
    assert card.title == "Whisper"
    assert card.lines[:2] == (
        "2 Credits / minute",
        "🎤 Transcribes voice messages and audio files of up to 60 minutes: send one.",
    )
    assert card.lines[2] == "≈ 500 minutes with your 1,000 Credits"
    assert (await tom.person()).model == ""
    assert not any("Use this" in button.label for row in card.buttons for button in row)
    # As a first word it is an ordinary word.
    await tom.answer("/ask whisper why")
    assert tom.openai.calls[-1].body["messages"][-1]["content"] == "whisper why"


async def test_an_admin_sets_its_price_per_minute(tom: Service) -> None:
    admin = tom.someone("1")
    shown = await admin.screen("/setprice whisper 2.5")
    assert shown.lines[:2] == (
        "Whisper: 2.5 Credits / minute (before: 2 Credits / minute)",
        "Profit on cost: +316 % (before: +233 %)",
    )
    tom.openai.script(MINUTE)
    assert "3 Credits" in (await written(tom, voice(61))).footer


# --- audio that is longer than it looks ---------------------------------------------------------


async def test_a_supplier_that_heard_far_more_is_paid_and_its_asker_stopped_for_the_day(
    tom: Service, clock: TestClock
) -> None:
    """A file made to look like a second, in which an hour is heard."""
    tom.openai.script(Heard("A whole hour.", 3_600, 3_600))
    incoming = tom.incoming("", message="42", audio=voice(1, ogg(1)))
    answer = (await _all(tom, incoming))[-1]
    assert isinstance(answer, Answer)
    # One second was held, and the margin: four seconds are one Credit.
    assert answer.footer == "Whisper · 4 s of audio · 1 Credit · 999 left"
    hour = parse_usd("0.0001").multiply_by(3_600)
    assert await tom.key_left() == FULL - hour
    shown = await tom.says("", audio=voice(61))
    assert isinstance(shown[0], Card)
    assert "heard far more in your audio today" in shown[0].lines[0]
    assert len(tom.openai.calls) == 1
    saved = await tom.app.services.asks.repository.get_result(answer.ask)
    assert (saved.audio, saved.charge) == (Seconds(4), Credits(1))
    # Nobody else, and no question of theirs.
    tom.openai.script(MINUTE, Says("Scattering."))
    assert "61 s" in (await written(tom.someone("8"), voice(61))).footer
    assert (await tom.answer("/ask gpt-4 why")).text == "Scattering."
    # The same update again is what it was, not a new refusal.
    assert await _all(tom, incoming) == []
    await tom.app.services.admin.monitor.check_service()
    table = schema.notice.c
    rows = await tom.app.services.base.db.fetch(sa.select(table.data).where(table.kind == "alert"))
    facts = [json.loads(row.data) for row in rows]
    person = (await tom.person()).id
    assert [one for one in facts if one["what"] == "audio"] == [
        {
            "what": "audio",
            "subject": person,
            "person": person,
            "supplier": "openai",
            "held": 4,
            "heard": 3_600,
        }
    ]
    clock.advance(seconds=12 * 3_600)
    tom.openai.script(MINUTE)
    assert "61 s" in (await written(tom, voice(61))).footer


async def test_a_little_more_is_nobodys_lie(tom: Service) -> None:
    """A supplier that bills ten seconds at least, or rounds up to half a minute."""
    for heard in (10, 30):
        tom.openai.script(Heard("Yes.", heard, heard))
        assert "4 s of audio" in (await written(tom, voice(1, ogg(1)))).footer
    await tom.app.services.admin.monitor.check_service()
    rows = await tom.app.services.base.db.fetch(sa.select(schema.alert.c.id))
    assert not any(row.id.startswith("audio") for row in rows)


async def test_what_a_granule_position_says_is_not_held(tom: Service) -> None:
    gate = tom.openai.hold()
    tom.openai.script(Heard("Hello.", seconds=90))
    waiting = asyncio.ensure_future(written(tom, voice(1, ogg(90, granule=48_000))))
    await tom.openai.arrived(1)
    assert await tom.held() == Credits(4)
    gate.set()
    assert "90 s of audio · 3 Credits" in (await waiting).footer


async def test_what_cannot_be_counted_is_held_by_its_size(tom: Service) -> None:
    # 45,000 bytes are a minute at the least bitrate that speech has; three seconds were heard.
    speex = ogg_page([b"Speex   " + bytes(72)], flags=2)
    tom.openai.script(Heard("Hello.", seconds=3))
    gate = tom.openai.hold()
    waiting = asyncio.ensure_future(written(tom, voice(3, speex + bytes(45_000 - len(speex)))))
    await tom.openai.arrived(1)
    assert await tom.held() == Credits(3)
    gate.set()
    assert "3 s of audio · 1 Credit" in (await waiting).footer


async def test_what_cannot_be_counted_and_may_be_too_long_is_refused(tom: Service) -> None:
    speex = ogg_page([b"Speex   " + bytes(72)], flags=2)
    told = await refused(tom, voice(3, speex + bytes(3_000_000)))
    assert told.startswith("Its length can't be told; by its size it may be 66:")


async def test_a_file_of_tiny_pieces_is_refused_and_costs_nothing(tom: Service) -> None:
    page = ogg_page([b"\xe0"] * 255)
    size_max = AUDIO_BYTES_MAX // size(small=4, full=1)
    content = opus_heads() + page * (size_max // len(page) - 1)
    assert "length can't be told" in await refused(tom, voice(1, content))
    empty = ogg_page([b""] * 250)
    assert "long; the limit for audio is 60:00" in await refused(
        tom, voice(1, opus_heads() + empty * 5_000)
    )


async def test_files_of_one_person_are_measured_one_after_the_other(tom: Service) -> None:
    at_once, most = 0, 0

    async def fetch() -> bytes:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        at_once -= 1
        return VOICE

    tom.openai.script(*[MINUTE] * 3)
    audio = AudioAttachment(61, len(VOICE), "audio/ogg", "", fetch)
    await asyncio.gather(*(written(tom, audio) for _ in range(3)))
    assert most == 1


async def test_a_command_beside_audio_is_a_command(tom: Service) -> None:
    shown = await tom.says("/balance", audio=voice(61))
    assert isinstance(shown[0], Card)
    assert shown[0].title == "💎 My Balance"
    assert tom.openai.calls == []
