"""The exports: beancount's own checker accepts one, and the other has every transfer."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from beancount import loader
from hypothesis import given, strategies as st

from core.db.database import Database
from core.ledger import export as ledgers
from core.ledger.export import from_beancount_account, to_beancount_account
from core.ledger.ledger import Ledger
from core.ledger.types import Account, BalanceLimit, Move, Submission
from core.money import NanoUsd, Stars, parse_usd
from tests.core.ledger.accounts import give, hold, settle
from tests.support.databases import TestClock

KEY = Account("key/key_01h-Ü", NanoUsd, BalanceLimit.DEBITS_WITHIN_CREDITS)


async def fill(ledger: Ledger, clock: TestClock) -> None:
    await ledger.submit(give("g1", 100))
    await ledger.submit(hold("ask/1", 60))
    own = Move("own", Account("supply/own", NanoUsd), KEY, parse_usd("499.955000001"))
    stars = Move("stars", Account("cash/telegram", Stars), Account("sales", Stars), Stars(5))
    await ledger.submit(Submission('with "quotes"', (own, stars)))
    clock.advance(days=1)
    await ledger.submit(settle("ask/1", 8))
    await ledger.submit(hold("ask/2", 7))


async def test_bean_check_accepts_the_ledger(
    ledger: Ledger, store: Database, clock: TestClock, tmp_path: Path
) -> None:
    await fill(ledger, clock)
    out = io.StringIO()
    await ledgers.write_beancount(store, out)
    file = tmp_path / "ledger.beancount"
    file.write_text(out.getvalue())
    entries, errors, _ = loader.load_file(str(file))
    assert errors == []
    assert len([entry for entry in entries if type(entry).__name__ == "Transaction"]) == 3
    assert "2026-03-03 balance Liabilities:User:1:Gift -92 ~ 0 CREDIT" in out.getvalue()
    assert "-499.955000001 ~ 0 USD" in out.getvalue()


async def test_a_figure_altered_in_the_export_is_not_accepted(
    ledger: Ledger, store: Database, clock: TestClock, tmp_path: Path
) -> None:
    await fill(ledger, clock)
    out = io.StringIO()
    await ledgers.write_beancount(store, out)
    file = tmp_path / "ledger.beancount"
    file.write_text(out.getvalue().replace("  8 CREDIT", "  9 CREDIT"))
    assert loader.load_file(str(file))[1]


async def test_the_csv_has_every_transfer(
    ledger: Ledger, store: Database, clock: TestClock
) -> None:
    await fill(ledger, clock)
    out = io.StringIO()
    await ledgers.write_csv(store, out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [(row["kind"], row["amount"], row["unit"]) for row in rows] == [
        ("posted", "100", "CREDIT"),
        ("pending", "60", "CREDIT"),
        ("posted", "499.955000001", "USD"),
        ("posted", "5", "STAR"),
        ("post", "8", "CREDIT"),
        ("pending", "7", "CREDIT"),
    ]
    assert rows[4]["pending"] == rows[1]["seq"]
    assert rows[4]["at"] == "2026-03-02T12:00:00+00:00"


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(list(BalanceLimit)))
def test_every_code_comes_back_from_its_beancount_name(code: str, limit: BalanceLimit) -> None:
    assert from_beancount_account(to_beancount_account(code, limit)) == code


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("user/p_1/gift", "Equity:User:P-5f1:Gift"),
        ("0-ab", "Equity:0-2dab"),
        ("GPT/-x//", "Equity:0-GPT:0--2dx:0-:0-"),
    ],
)
def test_names_are_legal(code: str, name: str) -> None:
    assert to_beancount_account(code, BalanceLimit.NONE) == name
    assert from_beancount_account(name) == code
