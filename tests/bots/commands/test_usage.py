"""`/usage`: the statement's cards, pages and file, as a person sees them."""

from __future__ import annotations

import csv
import io

import pytest

from bots.chat.types import Card
from core import chart
from core.ledger.types import Move, Submission
from core.money import Credits, parse_usd
from core.users.types import Person
from tests.core.earnings.world import Market, market
from tests.peers.suppliers import Answer as Says, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

USUAL = Says("word " * 980, usage=Used(16, 980))


async def press(one: Service, card: Card, label: str) -> Card:
    """What a button of a card leads to, by its label."""
    (button,) = (each for row in card.buttons for each in row if each.label == label)
    shown = await one.presses(button.id)
    assert isinstance(shown[-1], Card), shown
    return shown[-1]


def rows_of(card: Card) -> list[tuple[str, ...]]:
    return [tuple(row) for row in card.table]


async def set_language(one: Service, **changes: str) -> Person:
    users = one.app.services.users.users
    await users.update_settings(await one.person(), **changes)
    return await one.person()


async def test_a_statement_adds_up_and_leads_to_its_movements(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock, welcome=100) as tom:
        await tom.screen("/balance")
        clock.advance(days=2)
        tom.openai.script(*[USUAL] * 14)
        for _ in range(14):
            await tom.says("/new")
            await tom.answer("/ask gpt-4 why?")
            clock.advance(seconds=60)
        everything = await tom.screen("/usage all")
        assert rows_of(everything) == [
            ("Opening balance", "0"),
            ("Answers (14)", "−70"),
            ("Welcome gift", "+100"),
            ("Closing balance", "30"),
        ]
        today = await press(tom, everything, "Today")
        assert rows_of(today)[0] == ("Opening balance", "100")
        first = await press(tom, today, "Movements")
        assert len(first.table) == 12
        assert rows_of(first)[0][1:] == ("GPT-4 Turbo", "−5", "= 30")
        older = await press(tom, first, "Older ▶")
        assert rows_of(older)[-1][1:] == ("GPT-4 Turbo", "−5", "= 95")
        assert older.lines[-1] == "Before that: 100 Credits"
        models = await press(tom, today, "By model")
        assert rows_of(models) == [("GPT-4 Turbo", "−70")]


async def test_the_file_holds_every_movement_with_the_balance_after_it(
    sqlite_url: str, clock: TestClock
) -> None:
    async with service.running(sqlite_url, clock, welcome=100) as tom:
        await set_language(tom, language="zh-CN", zone="Asia/Shanghai")
        tom.openai.script(USUAL)
        await tom.answer("/ask gpt-4 why?")
        card = await press(tom, await tom.screen("/usage all"), "CSV 文件")
        assert card.attachment is not None
        assert card.attachment.name == "statement-all.csv"
        rows = list(csv.reader(io.StringIO(card.attachment.content.decode("utf-8-sig"))))
        assert rows == [
            ["时间", "明细", "关于", "积分", "余额"],
            ["", "期初余额", "", "", "0"],
            ["2026-03-01T20:00:00+08:00", "新用户赠送", "", "100", "100"],
            ["2026-03-01T20:00:00+08:00", "回答", "GPT-4 Turbo", "-5", "95"],
        ]


async def test_days_and_months_begin_where_the_person_lives(
    sqlite_url: str, clock: TestClock
) -> None:
    """Noon in London on the last day of March is nine in the evening in Tokyo."""
    async with service.running(sqlite_url, clock, welcome=100) as tom:
        await set_language(tom, zone="Asia/Tokyo")
        clock.advance(days=30)
        for hours in (2, 2):  # 23:00 in March, 01:00 in April
            clock.advance(seconds=hours * 3_600)
            tom.openai.script(USUAL)
            await tom.says("/new")
            await tom.answer("/ask gpt-4 why?")
        today = await tom.screen("/usage today")
        assert rows_of(today)[:2] == [("Opening balance", "95"), ("Answers", "−5")]
        march = await tom.screen("/usage 2026-03")
        assert rows_of(march)[1:] == [
            ("Answers", "−5"),
            ("Welcome gift", "+100"),
            ("Closing balance", "95"),
        ]
        april = await press(tom, march, "2026-04 ▶")
        assert rows_of(april)[0] == ("Opening balance", "95")


@pytest.mark.parametrize("typed", ["tomorrow", "2026-13", "2027-01", "8"])
async def test_a_time_that_is_none_is_named(sqlite_url: str, clock: TestClock, typed: str) -> None:
    async with service.running(sqlite_url, clock) as tom:
        card = await tom.screen(f"/usage {typed}")
        assert card.lines[0] == f"“{typed}” isn't a period for a statement."


async def test_what_is_held_apart_is_named_with_its_reason(
    sqlite_url: str, clock: TestClock
) -> None:
    async with market(sqlite_url, clock) as shop:
        tom = shop.service
        _, payment = await shop.buys("7", parse_usd("10"))
        await shop.disputes(payment, "open")
        balance = await tom.screen("/balance")
        assert balance.lines[0] == "0 Credits"
        assert "1,000 Credits more are held until the dispute" in balance.lines[1]
        statement = await tom.screen("/usage all")
        assert rows_of(statement)[1:] == [
            ("Top-ups", "+1,000"),
            ("Disputed payments", "−1,000"),
            ("Closing balance", "0"),
        ]
        assert "1,000 Credits more are held until the dispute" in statement.lines[0]


async def test_a_withdrawal_on_its_way_is_no_answer_being_written(
    sqlite_url: str, clock: TestClock
) -> None:
    async with market(sqlite_url, clock) as shop:
        await _earn(shop, "7")
        clock.advance(days=1)
        payout = await shop.withdraws("7", 10_000)
        balance = await shop.service.screen("/balance")
        assert "10,000 Credits more are held for withdrawals in progress." in balance.lines
        await shop.pays_out(payout)
        statement = await shop.service.screen("/usage all")
        assert ("Withdrawals", "−10,000") in rows_of(statement)


async def _earn(shop: Market, name: str) -> None:
    """Credits that may be withdrawn, as use of a key brings them."""
    person = await shop.person(name)
    pocket = chart.pocket(person.id, "earned")
    move = Move("earned", chart.issued("contribution"), pocket, Credits(12_000))
    await shop.service.app.services.base.ledger.submit(Submission("earns", (move,)))


async def test_an_answer_is_found_by_the_id_that_programs_are_told(
    database_url: str, clock: TestClock
) -> None:
    async with service.running(database_url, clock) as tom:
        tom.openai.script(USUAL)
        answer = await tom.answer("/ask gpt-4 why?")
        shown = await tom.screen(f"/usage {answer.ask}")
        assert shown.title == "GPT-4 Turbo"
        assert shown.lines[1:] == ("16 tokens in, 980 out", "5 Credits", answer.ask)
        other = await tom.someone("8").screen(f"/usage {answer.ask}")
        assert "No answer of yours" in other.lines[0]
