"""A paste that the sender's app split is one message again."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from bots.chat.attachments import QuotedText, SentAttachment
from bots.chat.types import IncomingMessage, Place, Sender
from bots.render.paste_joiner import PasteJoiner
from tests.bots.render.virtual import run

HERE = Place("telegram", "7")


def part(
    message: int, text: str, *more: str, sender: str = "7", place: Place = HERE
) -> IncomingMessage:
    return IncomingMessage(place, Sender(sender), str(message), 1000 * message, text, more=more)


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
