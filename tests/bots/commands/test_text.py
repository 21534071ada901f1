"""How people write numbers of Credits, in every command alike."""

from __future__ import annotations

import pytest

from bots.commands.admin.setprice import SetPriceArguments
from bots.commands.arguments import parse_count
from core.clock import SystemClock
from tests.bots.commands.commands_support import text_of
from tests.support import service

WRITTEN = {
    "1500": 1_500,
    "1,500": 1_500,
    "1，500": 1_500,
    "１５００": 1_500,
    "١٥٠٠": 1_500,
    "1,234,567": 1_234_567,
    "007": 7,
    "0": 0,
    "999999999999": 999_999_999_999,
}
ODD = ["", " ", "-5", "+5", "1e3", "NaN", "inf", "²", "五", "10.5", "10,5", "1.000", "1_0"]
ODD += ["12,,34", ",5", "5,", "1,2345", "1234,567", "1 000", "1\u200b0", "9" * 13, "9" * 4_000]


@pytest.mark.parametrize(("text", "number"), WRITTEN.items())
def test_what_people_write_is_that_number(text: str, number: int) -> None:
    assert parse_count(text) == number


@pytest.mark.parametrize("text", ODD)
def test_what_is_odd_is_no_number(text: str) -> None:
    assert parse_count(text) is None


@pytest.mark.parametrize("word", ["1_0", "1_000.5", "NaN", "inf", "1__0"])
def test_what_only_programs_write_is_no_price(word: str) -> None:
    assert SetPriceArguments.from_text(f"gpt-4 {word}").price == ""


async def test_commands_read_numbers_alike(sqlite_url: str) -> None:
    async with service.running(sqlite_url, SystemClock()) as tom:
        await tom.person()
        owner = tom.someone("1")
        assert "1,500" in text_of(await owner.screen("/grant telegram:7 １,５００ soak"))
        assert "Nothing was moved" in text_of(await owner.screen("/grant telegram:7 12,,34 soak"))
        limited = text_of(await owner.screen("/limit telegram:7 day 1,500"))
        assert "1,500" in limited
