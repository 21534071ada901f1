"""A paste that the sender's app split is one message again."""

from __future__ import annotations

import asyncio

from bots.chat.types import IncomingMessage, Place, Sender
from bots.render.paste_joiner import PasteJoiner
from tests.bots.render.virtual import run

HERE = Place("telegram", "7")


def part(
    message: int, text: str, *more: str, sender: str = "7", place: Place = HERE
) -> IncomingMessage:
    return IncomingMessage(place, Sender(sender), str(message), 1000 * message, text, more=more)


def joined(*steps: IncomingMessage | float) -> list[tuple[float, IncomingMessage]]:
    """What is passed on, and when, of messages with pauses between them."""
    passed: list[tuple[float, IncomingMessage]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        joining = PasteJoiner(lambda each: passed.append((loop.time(), each)), near_limit_units=10)
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
