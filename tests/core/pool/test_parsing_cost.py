"""Reading an answer takes time in proportion to its bytes, in whatever way a server writes and cuts
them; and wherever it is cut, it says the same.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from core.pool.providers.answer_text import AnswerText
from core.pool.providers.sse import Event, EventParser
from core.text import TextJoiner
from tests.support.size import size
from tests.wires.cases import draw_case
from tests.wires.encoding import encode_case

SMALL, TIMES = 10_000, 4
#: In proportion it is 4, with the square it is 16.
RATIO_MAX = 10.0

_CHUNK = json.dumps({"choices": [{"delta": {"content": "It scatters. "}}]}).encode()
_PRETTY = json.dumps({"choices": [{"delta": {"content": "x"}}]}, indent=1).encode()


def _repeat(unit: bytes, count: int) -> bytes:
    return (unit * (count // len(unit) + 1))[:count]


#: What a body consists of, from its length.
BODIES: dict[str, Callable[[int], bytes]] = {
    "events": lambda n: _repeat(b"data: " + _CHUNK + b"\n\n", n),
    "events of CRs": lambda n: _repeat(b"data: " + _CHUNK + b"\r\r", n),
    "events without blank lines": lambda n: _repeat(b"data: " + _CHUNK + b"\n", n),
    "events of many lines": lambda n: _repeat(
        b"\n".join(b"data: " + line for line in _PRETTY.split(b"\n")) + b"\n\n", n
    ),
    "one event of short lines": lambda n: _repeat(b"data: 1,\n", n),
    "one event of empty lines": lambda n: _repeat(b"data:\n", n),
    "one event of whole lines that blanks follow": lambda n: b"data: {}\n" + b"data:\n" * (n // 6),
    "one line": lambda n: b"data: " + b"x" * n,
    "one line of JSON": lambda n: b'data: {"x":"' + b"x" * n + b'"}\n\n',
    "nested": lambda n: b"data: " + b"[" * n,
    "comments": lambda n: _repeat(b": keep-alive\n\n", n),
    "names": lambda n: _repeat(b"event: x\n", n),
    "errors": lambda n: _repeat(b'error: {"x":1}\n', n),
    "bare JSON": lambda n: b"[" + _repeat(b" 1,", n),
    "blanks": lambda n: b" " * n,
    "lines of bare JSON": lambda n: b": ok\n" + _repeat(b'{"error":"x"}\n', n),
    "no fields": lambda n: _repeat(b"x", n),
    "newlines": lambda n: b"\r\n" * (n // 2),
}


def _cut(body: bytes, piece: int) -> Iterator[bytes]:
    return (body[at : at + piece] for at in range(0, len(body), piece))


def parse(pieces: Iterable[bytes]) -> list[Event]:
    parser = EventParser()
    found = [event for piece in pieces for event in parser.feed(piece)]
    return found + list(parser.finish())


def _time(work: Callable[[], object]) -> float:
    """The lesser of two runs, in seconds of this process."""
    best = float("inf")
    for _ in range(2):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def _grows_with_size(work: Callable[[int], object]) -> None:
    # What is quick whatever its size is no concern: clocks have their grain.
    small, large = (_time(lambda n=n: work(n)) for n in (SMALL, SMALL * TIMES))  # type: ignore[misc]
    assert large <= RATIO_MAX * max(small, 0.005), (small, large)


@pytest.mark.slow
@pytest.mark.parametrize("piece", [1, 40, 1_400, 1 << 20])
@pytest.mark.parametrize("name", BODIES)
def test_time_is_in_proportion_to_bytes(name: str, piece: int) -> None:
    _grows_with_size(lambda n: parse(_cut(BODIES[name](n), piece)))


@pytest.mark.slow
@pytest.mark.parametrize("start", ["", "<think>", "<think></think>", "<", " \n"])
@pytest.mark.parametrize("unit", ["x", "<", " ", "</think", "\ud83d", "😀"])
@pytest.mark.parametrize("piece", [1, 1_000])
def test_time_is_in_proportion_to_text(start: str, unit: str, piece: int) -> None:
    def show(count: int) -> None:
        text, answer = start + unit * (count // len(unit)), AnswerText(max_bytes=1 << 30)
        for at in range(0, len(text), piece):
            list(answer.add_piece(text[at : at + piece]))
        list(answer.finish())

    _grows_with_size(show)


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["x" * 9_000 + "y", "xy" * 3_000 + "z"])
@pytest.mark.parametrize("piece", [1, 1_000])
def test_time_is_in_proportion_to_text_that_may_stop(stop: str, piece: int) -> None:
    def show(count: int) -> None:
        text, answer = "xy" * (count // 8) + "x" * (count // 4), AnswerText(stop=(stop, "end"))
        for at in range(0, len(text), piece):
            list(answer.add_piece(text[at : at + piece]))
        list(answer.finish())

    _grows_with_size(show)


@pytest.mark.slow
def test_time_is_in_proportion_to_halves_of_letters() -> None:
    def join(count: int) -> None:
        joiner = TextJoiner()
        for _ in range(count):
            joiner.add_piece("\ud83d")

    _grows_with_size(join)


@pytest.mark.parametrize("number", range(size(small=40, full=400)))
def test_an_answer_says_the_same_wherever_it_is_cut(number: int) -> None:
    """In two at each byte, inside letters and inside escapes; and into single bytes."""
    cases = (draw_case(f"cut/{number}/{at}") for at in itertools.count())
    bodies = (
        b"".join(encode_case(case).pieces)
        for case in cases
        if case.error_at is not None or not case.error
    )
    body = next(body for body in bodies if 0 < len(body) < 3_000)
    whole = parse([body])
    assert parse(_cut(body, 1)) == whole
    for at in range(1, len(body)):
        assert parse((body[:at], body[at:])) == whole, (at, body[at - 9 : at], body[at : at + 9])
