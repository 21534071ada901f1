"""Answers are cut before stop sequences wherever pieces part them, and bounded in all they hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, strategies as st

from core.money import Tokens
from core.pool.providers.answer_text import AnswerText, max_answer_bytes
from core.pool.providers.stop_sequences import StopFinder
from core.pool.providers.types import (
    Finish,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallDelta,
    Usage,
)

END = Finish("stop", Usage(Tokens(3), Tokens(4)))


def read(answer: AnswerText, events: Iterable[StreamEvent]) -> list[StreamEvent]:
    """What comes of events until the answer is over, its texts joined."""
    shown: list[StreamEvent] = []
    for event in events:
        for one in answer.read_event(event):
            if isinstance(one, TextDelta) and shown and isinstance(shown[-1], TextDelta):
                shown[-1] = TextDelta(shown[-1].text + one.text)
            else:
                shown.append(one)
        if answer.is_cut:
            break
    return shown


def cut(text: str, stops: Sequence[str]) -> tuple[str, str]:
    """The plainest way to say it: the one that ends first, of those that end there the longest."""
    for end in range(len(text) + 1):
        met = [one for one in stops if one and text[:end].endswith(one)]
        if met:
            longest = max(met, key=len)
            return text[: end - len(longest)], longest
    return text, ""


LETTERS = st.text("ab<", max_size=12)


@given(st.lists(LETTERS, max_size=8), st.lists(st.text("ab<", max_size=4), max_size=3))
def test_it_is_found_wherever_pieces_part_it(pieces: list[str], stops: list[str]) -> None:
    expected, met = cut("".join(pieces), stops)
    finder, shown = StopFinder(stops), ""
    for piece in pieces:
        text, found = finder.add_piece(piece)
        shown += text
        if found:
            assert (shown, found) == (expected, met)
            return
    assert not met
    assert shown + finder.finish() == expected


@given(st.lists(st.text("ab<", max_size=9), max_size=6), st.sampled_from(["ab", "aab", "<a", "b"]))
def test_an_answer_ends_before_it(pieces: list[str], stop: str) -> None:
    expected, met = cut("".join(pieces), [stop])
    answer = AnswerText(stop=(stop,))
    *texts, end = read(answer, [*(TextDelta(one) for one in pieces), END])
    assert "".join(one.text for one in texts if isinstance(one, TextDelta)) == expected
    assert isinstance(end, Finish)
    assert (end.reason, end.stop_sequence) == ("stop", met)
    assert answer.is_cut == bool(met)
    if not met:
        assert end == END


def test_what_may_begin_one_is_kept_until_it_is_known() -> None:
    answer = AnswerText(stop=("STOP",))
    assert list(answer.read_event(TextDelta("It ST"))) == [TextDelta("It ")]
    assert list(answer.read_event(TextDelta("ays"))) == [TextDelta("STays")]
    assert list(answer.read_event(TextDelta(" ST"))) == [TextDelta(" ")]
    call = ToolCallDelta(0, "a", "get_time")
    assert list(answer.read_event(call)) == [TextDelta("ST"), call]
    assert list(answer.read_event(TextDelta("OP"))) == [TextDelta("OP")]
    ended = Finish("stop", None, "STOP")
    assert list(answer.read_event(TextDelta("STOP it"))) == [ended]
    assert list(answer.add_piece("more")) == []


def test_one_in_thoughts_is_none() -> None:
    events = [TextDelta("<think>STOP</think>It "), TextDelta("is. STOP it"), END]
    answer = AnswerText(stop=("STOP",))
    assert read(answer, events)[1:] == [TextDelta("It is. "), Finish("stop", None, "STOP")]


@pytest.mark.parametrize(
    "event",
    [
        ToolCallDelta(0, arguments="天" * 500),
        ToolCallDelta(0, name="x" * 1_500),
        ReasoningDelta("x" * 1_500),
        ReasoningDelta(signature="x" * 1_500),
        ReasoningDelta(redacted="x" * 1_500),
        TextDelta("x" * 1_500),
    ],
)
def test_no_more_of_anything_is_taken_than_a_limit_can_be(event: StreamEvent) -> None:
    most = max_answer_bytes(Tokens(100))
    answer = AnswerText(most)
    events = read(answer, [event] * 1_000)
    assert answer.is_cut
    assert events[-1] == Finish("length", None)
    if isinstance(event, TextDelta):
        assert events[0] == TextDelta("x" * most)
    else:
        assert events[:-1] == [event] * (most // 1_500)


def test_halves_of_a_letter_are_mended_in_all_that_is_told() -> None:
    halves = ("\ud83d", "\ude00")
    answer = AnswerText()
    calls = read(answer, [ToolCallDelta(0, arguments=one) for one in halves])
    thoughts = read(answer, [ReasoningDelta(one) for one in halves])
    assert calls[-1] == ToolCallDelta(0, arguments="😀")
    assert thoughts[-1] == ReasoningDelta("😀")
    read(AnswerText(9), [ToolCallDelta(0, "\ud83d", "\ud83d"), ReasoningDelta("", "\ud83d")])
