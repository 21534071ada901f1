"""The owner's figures out of ledger rows, and grants that happen once."""

from __future__ import annotations

from core import chart
from core.admin.report import Cost, report
from core.admin.trial_balance import Period
from core.db import schema
from core.db.database import Store
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.ledger.types import Submission
from core.money import Credits, NanoUsd, usd
from core.users.balances import grant
from core.users.service import find
from tests.databases import TestClock


async def test_the_two_layers_are_sums_of_the_ledger(
    store: Store, ledger: Ledger, clock: TestClock
) -> None:
    """Brief § 6 in small: revenue at par less suppliers' cost."""
    await ledger.submit(
        Submission(
            "set-up",
            (
                chart.gift("usr_tom", "welcome", Credits(12_450)),
                chart.fund_own_key("key_1", usd("50")),
            ),
        )
    )
    await ledger.submit(
        Submission(
            "ask/1/hold",
            (
                chart.hold_credits(chart.pockets("usr_tom"), "gpt-4", Credits(100)),
                chart.hold_quota("key_1", "openai", usd("2")),
            ),
        )
    )
    held = await report(store, Period.whole(clock.now_ms()), clock.now_ms())
    assert held.balance == Credits(12_450), "what is held is still theirs"
    await ledger.submit(
        Submission(
            "ask/1/settle",
            (
                chart.settle_credits("ask/1/hold", Credits(60)),
                chart.settle_quota("ask/1/hold", usd("1.25")),
            ),
        )
    )
    told = await report(store, Period.whole(clock.now_ms()), clock.now_ms())
    assert told.circulation == {"gift": Credits(12_390)}
    assert told.issued == {"welcome": Credits(12_450)}
    assert told.spent == {"gpt-4": Credits(60)}
    assert told.costs == {"openai": Cost(usd("1.25"), NanoUsd(0))}
    assert told.headroom == usd("48.75")
    assert told.revenue_at_par == usd("0.6")
    assert told.profit == usd("-0.65")
    assert told.overrun == NanoUsd(0)
    # Circulation = issued − spent, to the unit, always.
    assert told.balance == Credits(12_450 - 60)


async def test_a_grant_of_one_cause_is_given_once(
    store: Store, ledger: Ledger, clock: TestClock
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
    tom = await find(store, "usr_tom")
    for _ in range(3):
        await grant(
            ledger,
            clock,
            cause="btn_1",
            person=tom,
            amount=Credits(500),
            actor="usr_owner",
            reason="a bug report",
        )
    account = chart.pocket("usr_tom", "gift")
    assert (await ledger.balances([account]))[account.code].available == 500
    logged = await store.fetch(schema.admin_log.select())
    assert [one.act for one in logged] == ["grant"]
    assert "a bug report" in logged[0].after
