"""A paste that the sender's app split is one message again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from bots.chat.attachments import QuotedText, SentAttachment
from bots.chat.audio import AudioAttachment
from bots.chat.types import IncomingMessage, Place, Sender
from bots.render.paste_joiner import PasteJoiner
from tests.bots.render.virtual_time import run

HERE = Place("telegram", "7")


def part(
    message: int, text: str, *more: str, sender: str = "7", place: Place = HERE
) -> IncomingMessage:
    return IncomingMessage(place, Sender(sender), str(message), 1000 * message, text, more=more)


async def no_bytes() -> bytes:
    return b""


def joined(
    *steps: IncomingMessage | float, company: float = 0.0
) -> list[tuple[float, IncomingMessage]]:
    """What is passed on, and when, of messages with pauses between them."""
    passed: list[tuple[float, IncomingMessage]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        joining = PasteJoiner(
            lambda each: passed.append((loop.time(), each)),
            near_limit_units=10,
            company_seconds=company,
        )
        for step in steps:
            if isinstance(step, IncomingMessage):
                joining.add(step)
            else:
                await asyncio.sleep(step)
        await asyncio.sleep(5)
        assert not joining.is_waiting_for(HERE.code, "7")

    run(main)
    return passed


def test_a_short_message_goes_at_once() -> None:
    assert joined(part(1, "hi"), part(2, "there")) == [(0, part(1, "hi")), (0, part(2, "there"))]


def test_parts_become_one_with_the_first_ones_id_and_time() -> None:
    steps: list[IncomingMessage | float] = [
        part(1, "a" * 10),
        0.2,
        part(2, "b" * 12),
        0.2,
        part(3, "c"),
    ]
    assert joined(*steps) == [(0.4, part(1, "a" * 10 + "\n" + "b" * 12 + "\nc", "2", "3"))]


def test_a_long_message_alone_goes_after_the_pause() -> None:
    assert joined(part(1, "a" * 10), 3.0, part(2, "b")) == [
        (1.0, part(1, "a" * 10)),
        (3.0, part(2, "b")),
    ]


def test_the_pause_counts_from_the_last_part() -> None:
    steps: list[IncomingMessage | float] = [
        part(1, "a" * 10),
        0.9,
        part(2, "b" * 10),
        0.9,
        part(3, "c" * 10),
    ]
    (only,) = joined(*steps)
    assert only == (2.8, part(1, "\n".join(letter * 10 for letter in "abc"), "2", "3"))


def test_length_counts_utf16_units_as_the_platform_does() -> None:
    assert joined(part(1, "💎" * 5), part(2, "b")) == [(0, part(1, "💎💎💎💎💎\nb", "2"))]


def test_other_people_places_and_commands_are_never_joined() -> None:
    group = Place("telegram", "-5", private=False)
    passed = joined(
        part(1, "a" * 10),
        part(2, "b", sender="8"),
        part(3, "c", place=group),
        part(4, "/stop"),
    )
    assert [each.message for _, each in passed] == ["2", "3", "1", "4"]


async def test_what_is_held_is_passed_on_when_the_service_stops() -> None:
    passed: list[IncomingMessage] = []
    joining = PasteJoiner(passed.append, near_limit_units=10)
    joining.add(part(1, "a" * 10))
    assert joining.is_waiting_for(HERE.code, "7")
    joining.flush_held()
    joining.flush_held()
    assert passed == [part(1, "a" * 10)]


def forwarded(message: int, text: str) -> IncomingMessage:
    return replace(part(message, text), is_own=False)


def test_a_forward_and_its_comment_are_one_question_of_ones_own() -> None:
    whole = replace(part(1, "true?", "2"), quotes=(QuotedText("forward", "/role me"),))
    assert joined(part(1, "true?"), 0.1, forwarded(2, "/role me"), company=0.25) == [(0.35, whole)]
    # The forward may come first.
    ((_, other_way),) = joined(forwarded(1, "/role me"), part(2, "true?"), company=0.25)
    assert (other_way.text, other_way.is_own) == ("true?", True)
    assert other_way.quotes == whole.quotes
    # What was forwarded together is one, and nobody's own words.
    ((_, both),) = joined(forwarded(1, "a"), forwarded(2, "b"), company=0.25)
    assert (both.text, both.is_own) == ("a\n\nb", False)


def test_commands_groups_and_late_ones_are_no_company() -> None:
    assert len(joined(part(1, "/ask why"), forwarded(2, "b"), company=0.25)) == 2
    assert len(joined(forwarded(1, "a"), part(2, "/stop"), company=0.25)) == 2
    assert len(joined(part(1, "a"), 0.3, forwarded(2, "b"), company=0.25)) == 2
    assert len(joined(part(1, "a"), part(2, "b"), company=0.25)) == 2
    group = Place("telegram", "-5", private=False)
    assert joined(part(1, "a", place=group), company=0.25) == [(0, part(1, "a", place=group))]


def test_an_album_is_one_and_what_nobody_addressed_is_nothing() -> None:
    group = Place("telegram", "-5", private=False)
    picture = (SentAttachment("picture"),)
    first, second, other = (
        replace(part(number, text, place=group), attachments=picture, album=album, is_part=is_part)
        for number, text, album, is_part in (
            (1, "which?", "9", False),
            (2, "", "9", True),
            (3, "", "8", True),
        )
    )
    whole = replace(first, attachments=picture * 2, more=("2",))
    assert joined(first, second) == [(1.5, whole)]
    # Its parts are uploaded one after another; how many there will be isn't told.
    assert joined(first, 1.4, second) == [(2.9, whole)]
    assert joined(first, other, company=0.25) == [(0, first)]
    assert joined(second, company=0.25) == []


def album_part(message: int, album: str = "9", **more: Any) -> IncomingMessage:
    picture = (SentAttachment("picture"),)
    return replace(part(message, ""), attachments=picture, album=album, **more)


def test_what_comes_after_its_album_was_passed_on_is_late() -> None:
    first, second, third = (album_part(number) for number in (1, 2, 3))
    steps: list[IncomingMessage | float] = [first, second, 2.0, third, 590.0, album_part(4)]
    passed = joined(*steps)
    assert [(each.message, each.more, each.is_late) for _, each in passed] == [
        ("1", ("2",), False),
        ("3", (), True),
        ("4", (), True),
    ]
    # It isn't held: nothing more is waited for.
    assert [at for at, _ in passed] == [1.5, 2.0, 592.0]


def test_nothing_else_is_late() -> None:
    first, group = album_part(1), Place("telegram", "-5", private=False)
    others = (
        album_part(2, "8"),
        album_part(3, sender=Sender("8")),
        album_part(4, place=group),
        first,  # delivered again
        part(5, "and?"),
    )
    for other in others:
        assert [each.is_late for _, each in joined(first, 2.0, other)] == [False, False]
    # Nobody remembers for longer than ten minutes.
    assert [each.is_late for _, each in joined(first, 602.0, album_part(2))] == [False, False]
    # Recordings are never joined, each of them is heard.
    sound = AudioAttachment(1, 1, "audio/ogg", "", no_bytes)
    songs = [replace(part(number, ""), audio=sound, album="9") for number in (1, 2)]
    assert [each.is_late for _, each in joined(songs[0], 2.0, songs[1])] == [False, False]


def test_in_a_group_a_late_part_is_told_of_though_nobody_was_named_in_it() -> None:
    group = Place("telegram", "-5", private=False)
    asked, late, other = (
        album_part(1, place=group),
        album_part(2, place=group, is_part=True),
        album_part(3, "8", place=group, is_part=True),
    )
    assert [(each.message, each.is_late) for _, each in joined(asked, 2.0, late, other)] == [
        ("1", False),
        ("2", True),
    ]
    assert joined(other, 2.0, replace(other, message="4")) == []


async def test_a_part_of_a_known_album_is_waited_for() -> None:
    passed: list[IncomingMessage] = []
    joining = PasteJoiner(passed.append, album_seconds=0)
    joining.add(album_part(1))
    assert [each.is_late for each in passed] == [False]
    assert joining.is_waiting_for(HERE.code, "7", "9")
    assert not joining.is_waiting_for(HERE.code, "7", "8")
    assert not joining.is_waiting_for(HERE.code, "7")
