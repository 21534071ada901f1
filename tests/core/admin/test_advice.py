"""The owner's figures out of ledger rows, and grants that happen once."""

from __future__ import annotations

from core import chart
from core.admin.report import SupplierCosts, build_report
from core.admin.trial_balance import ReportPeriod
from core.db import schema
from core.db.database import Database
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.ledger.types import Submission
from core.money import Credits, NanoUsd, parse_usd
from core.users.balances import grant_gift
from core.users.service import find_person
from payments.payment_reader import PaymentReader
from tests.support.databases import TestClock


async def test_the_two_layers_are_sums_of_the_ledger(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    """Brief § 6 in small: revenue at par less suppliers' cost."""
    await ledger.submit(
        Submission(
            "set-up",
            (
                chart.give_gift("usr_tom", "welcome", Credits(12_450)),
                chart.fund_own_key("key_1", parse_usd("50")),
            ),
        )
    )
    await ledger.submit(
        Submission(
            "ask/1/hold",
            (
                chart.hold_credits(chart.pockets("usr_tom"), "gpt-4", Credits(100)),
                chart.hold_quota("key_1", "openai", parse_usd("2")),
            ),
        )
    )
    held = await build_report(
        store, PaymentReader(store), ReportPeriod.whole_history(clock.now_ms()), clock.now_ms()
    )
    assert held.user_balance == Credits(12_450), "what is held is still theirs"
    await ledger.submit(
        Submission(
            "ask/1/settle",
            (
                chart.settle_credits("ask/1/hold", Credits(60)),
                chart.settle_quota("ask/1/hold", parse_usd("1.25")),
            ),
        )
    )
    told = await build_report(
        store, PaymentReader(store), ReportPeriod.whole_history(clock.now_ms()), clock.now_ms()
    )
    assert told.circulation == {"gift": Credits(12_390)}
    assert told.issued == {"welcome": Credits(12_450)}
    assert told.spent == {"gpt-4": Credits(60)}
    assert told.costs == {"openai": SupplierCosts(parse_usd("1.25"), NanoUsd(0))}
    assert told.headroom == parse_usd("48.75")
    assert told.revenue_at_par == parse_usd("0.6")
    assert told.profit == parse_usd("-0.65")
    assert told.overrun == NanoUsd(0)
    # Circulation = issued − spent, to the unit, always.
    assert told.user_balance == Credits(12_450 - 60)


async def test_a_grant_of_one_cause_is_given_once(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    row = {
        "id": "usr_tom",
        "created_at": 0,
        "language": "en",
        "zone": "UTC",
        "model": "",
        "footer": True,
        "own_keys_only": False,
        "data_key": None,
    }
    await ledger.record(Insert(schema.person, row))
    tom = await find_person(store, "usr_tom")
    for _ in range(3):
        await grant_gift(
            ledger,
            clock,
            cause="btn_1",
            person=tom,
            amount=Credits(500),
            actor="usr_owner",
            reason="a bug report",
        )
    account = chart.pocket("usr_tom", "gift")
    assert (await ledger.read_balances([account]))[account.code].available == 500
    logged = await store.fetch(schema.admin_log.select())
    assert [one.act for one in logged] == ["grant"]
    assert "a bug report" in logged[0].after
