"""Evidence writes each kind of cash and of answer as a person reads it."""

from __future__ import annotations

import pytest

from core.asks.repository import DeliveredAnswer
from core.money import Credits, Seconds, Stars, Tokens, parse_usd
from payments import evidence
from payments.types import Cash


@pytest.mark.parametrize(
    ("cash", "text"),
    [
        (parse_usd("1234.5"), "$1,234.50"),
        (parse_usd("0.05"), "$0.05"),
        (Stars(1_234), "1,234 Stars"),
    ],
)
def test_cash_is_written_with_its_unit(cash: Cash, text: str) -> None:
    assert evidence._format_cash(cash) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "1,200 tokens in, 30 out"), (Seconds(3_661), "3,661 s of audio")],
)
def test_an_answer_is_as_large_as_what_it_was_charged_by(
    seconds: Seconds | None, text: str
) -> None:
    answer = DeliveredAnswer(
        "ask_1", 0, "whisper-1", Tokens(1_200), Tokens(30), seconds, Credits(7), None
    )
    assert evidence._format_size(answer) == text
    lines = evidence._delivery_lines([answer], 0)
    assert (
        lines[-1]
        == f"1970-01-01 00:00:00  whisper-1  {text}  7 Credits  delivered as it was written"
    )
