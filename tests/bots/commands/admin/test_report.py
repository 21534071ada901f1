"""The owner's report in chat: the brief's own numbers, periods, and what to do about them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from bots.chat.types import ButtonPress, Card, Sender
from bots.commands.admin import report
from bots.commands.admin.report import _to_cents
from bots.render.charts import ReportChartData
from core import chart
from core.db import schema
from core.db.writes import Insert
from core.ledger.types import Submission
from core.money import Credits, NanoUsd, format_usd, parse_usd
from tests.bots.commands.commands_support import button, text_of
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service

#: Brief § 6: what suppliers were paid.
PAID = {"openai": "1234", "anthropic": "567", "cloudflare": "89"}
REVENUE, BALANCE = 150_000, 12_450


@pytest.fixture
async def owner(database_url: str, clock: TestClock) -> AsyncIterator[Service]:
    async with service.running(database_url, clock, welcome=0) as tom:
        made = tom.someone("1")
        yield made
        tom.farmed = made.farmed


async def asked(
    owner: Service, number: int, supplier: str, charge: int, cost: NanoUsd, model: str = "gpt-4"
) -> None:
    """An answer, as the ledger and its row have it."""
    ledger, person = owner.app.services.base.ledger, "usr_alice"
    hold = f"made/{number}/hold"
    await ledger.submit(
        Submission(
            hold,
            (
                chart.hold_credits(chart.pockets(person), model, Credits(charge)),
                chart.hold_quota(f"key_{supplier}", supplier, cost),
            ),
        )
    )
    row = {
        "ask": f"ask_{number}",
        "person": person,
        "at": owner.clock.now_ms(),
        "model": model,
        "price": "pri_1",
        "provider": supplier,
        "key": f"key_{supplier}",
        "input_tokens": 1,
        "cached_tokens": 0,
        "output_tokens": 1,
        "estimated": False,
        "charge": charge,
        "paid": 0,
        "cost": cost.units,
    }
    entries = (chart.settle_credits(hold, Credits(charge)), chart.settle_quota(hold, cost))
    await ledger.submit(Submission(f"made/{number}/settle", entries, (Insert(schema.usage, row),)))


async def the_briefs(owner: Service, clock: TestClock) -> None:
    """Ten days in which 150,000 Credits were spent and $1,890 were paid; rows of answers are made
    up, without their asks, which the audit finds."""
    owner.farmed = True
    ledger = owner.app.services.base.ledger
    await ledger.submit(
        Submission(
            "made/people",
            (chart.give_gift("usr_alice", "grant", Credits(REVENUE + BALANCE)),),
        )
    )
    for supplier, dollars in PAID.items():
        budget = chart.fund_own_key(f"key_{supplier}", parse_usd(dollars))
        await ledger.submit(Submission(f"made/{supplier}", (budget,)))
    number = 0
    for _ in range(10):
        for supplier, dollars in PAID.items():
            number += 1
            charge = 5_000
            cost = NanoUsd(parse_usd(dollars).units // 10)
            await asked(owner, number, supplier, charge, cost)
        clock.advance(days=1)


async def test_the_briefs_two_layers(owner: Service, clock: TestClock) -> None:
    await the_briefs(owner, clock)
    shown = await owner.screen("/report")
    for line in (
        "User balance: 12,450 Credits",
        "Total revenue: 150,000 Credits",
        "  OpenAI: $1,234.00",
        "  Anthropic: $567.00",
        "  Cloudflare: $89.00",
        "Total cost: $1,890.00",
        "Revenue: 150,000 Credits ≈ $1,500.00",
        "Profit: $1,500.00 − $1,890.00 = −$390.00 (loss)",
    ):
        assert line in shown.lines, text_of(shown)
    assert shown.lines[:2] == ("— To do first —", "GPT-4 Turbo is sold under cost: −21 %.")
    assert "Solvency: nobody has bought or earned Credits, so you owe nothing." in shown.lines
    assert "Given away: Credits for $156.87 of answers" in text_of(shown)
    assert len(shown.lines) <= 15, text_of(shown)
    full = (await owner.presses(button(shown, "System layer")))[-1]
    assert "Really paid: $0.00. Profit: −$1,890.00" in text_of(full)
    assert "gifts of yours 162,450" in text_of(*await owner.presses(button(shown, "User layer"))), (
        "no word of the program"
    )
    drawn = (await owner.presses(button(shown, "Chart")))[-1]
    assert isinstance(drawn, Card)
    assert drawn.attachment is not None
    assert drawn.attachment.content.startswith(b"\x89PNG")
    if folder := os.environ.get("CREDITBOT_TEST_PICTURES"):
        (Path(folder) / "report.png").write_bytes(drawn.attachment.content)


async def test_credits_that_were_sold_without_cash_are_told(owner: Service) -> None:
    sold = chart.credit_topup("usr_alice", Credits(1_350), Credits(0))
    await owner.app.services.base.ledger.submit(Submission("made/sold", sold))
    shown = text_of(await owner.screen("/report"))
    assert "may take $10.00; $0.00 are at gateways, so $10.00 are missing." in shown
    assert "Given away" not in shown


async def test_a_period_counts_its_days_alone(owner: Service, clock: TestClock) -> None:
    await the_briefs(owner, clock)
    week = await owner.screen("/report 7d")
    # Today nothing was asked, so six days of it.
    assert "Total revenue: 90,000 Credits" in week.lines
    assert "  OpenAI: $740.40" in week.lines
    assert "User balance: 12,450 Credits" in week.lines
    first = await owner.screen("/report 2026-03-01")
    assert "Total revenue: 15,000 Credits" in first.lines
    assert "User balance: 147,450 Credits" in first.lines, "as it stood then"
    two = await owner.screen("/report 2026-03-01–2026-03-02")
    assert "Total revenue: 30,000 Credits" in two.lines
    today = (await owner.presses(button(two, "Today")))[-1]
    assert isinstance(today, Card)
    assert today.replace
    assert "Total revenue: 0 Credits" in today.lines


@pytest.mark.parametrize(
    "words", ["tomorrow", "0d", "2026-13-01", "2026-03-02 2026-03-01", "2027-01-01"]
)
async def test_what_is_no_period_is_told(owner: Service, words: str) -> None:
    assert "Write it like this: /report" in text_of(await owner.screen(f"/report {words}"))


async def test_a_price_under_cost_is_raised_by_its_button(owner: Service, clock: TestClock) -> None:
    await the_briefs(owner, clock)
    shown = await owner.screen("/report")
    # 5 Credits / 1K brought −21 %; 120 % of cost take 5 × 1890 × 1.2 ÷ 1500 = 7.56.
    sure = (await owner.presses(button(shown, "GPT-4 Turbo to 8")))[-1]
    assert "by more than half: from 5 Credits / 1K tokens to 8 Credits" in text_of(sure)
    assert isinstance(sure, Card)
    told = (await owner.presses(button(sure, "Yes, change it")))[-1]
    assert "8 Credits / 1K tokens" in text_of(told)


async def test_a_key_that_runs_out_leads_to_its_card(owner: Service, clock: TestClock) -> None:
    tom = owner.someone("7")
    gift = chart.give_gift((await tom.person()).id, "grant", Credits(100))
    await owner.app.services.base.ledger.submit(Submission("made/tom", (gift,)))
    await tom.answer("/ask gpt-4 why?")
    [key] = await owner.app.services.pool.pool.list_keys()
    await owner.app.services.pool.pool.set_key_budget(key.id, NanoUsd(key.used.units * 2))
    shown = await owner.screen("/report")
    assert "OpenAI …0001 has 50 % left: 24 hours at today's pace." in shown.lines
    card = (await owner.presses(button(shown, "OpenAI …0001")))[-1]
    assert "Your own key" in text_of(card)


async def test_nobody_else_reads_it(owner: Service) -> None:
    shown = await owner.screen("/report")
    tom = owner.someone("7")
    assert "for the operator only" in text_of(*await tom.says("/report"))
    assert "$" not in text_of(*await tom.presses(button(shown, "30 days")))


@pytest.mark.parametrize("text", ["190.049", "190.045", "190.044", "-0.005", "-1.234"])
def test_a_charts_cents_are_those_of_the_sentences(text: str) -> None:
    amount = NanoUsd(int(Decimal(text) * 10**9))
    sentence = format_usd(amount).replace("−", "-").replace("$", "")
    assert sentence == f"{Decimal(_to_cents(amount)) / 100:.2f}"


async def test_the_chart_shows_the_keys_that_are_used_most(
    sqlite_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[ReportChartData] = []

    async def draw(chart_data: ReportChartData) -> bytes:
        drawn.append(chart_data)
        return b"png"

    monkeypatch.setattr(report, "draw_report_chart", draw)
    monkeypatch.setattr(report, "_BARS_MAX", 1)
    async with service.running(sqlite_url, clock, keys=2) as tom:
        await tom.answer("why?")
        owner = tom.someone("1")
        for language in ("en", "zh-CN"):
            await owner.screen(f"/language {language}")
            shown = await owner.screen("/report")
            (chart_id,) = (one.id for row in shown.buttons for one in row if "📈" in one.label)
            pressed = tom.app.chat.dispatcher.handle_press(
                ButtonPress(owner.place, Sender("1", "en"), chart_id, "900")
            )
            assert [output async for output in pressed]
        cards = await tom.app.services.pool.pool.list_keys()
    english, chinese = drawn
    assert english.panels[-1] == "What keys have left: the 1 most used of 2"
    assert chinese.panels[-1] == "密钥剩余额度：2 个中用得最多的 1 个"
    most_used = max(cards, key=lambda card: card.used.units)
    assert most_used.used.units > 0
    ((name, _, _),) = english.keys
    assert name.endswith(most_used.tail)
