"""The audit of what is earned finds what was changed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from core.db.connections import create_engine, parse_url
from core.earnings.audit import audit_earnings
from core.money import Credits
from tests.core.earnings.world import BRIEFS, market
from tests.support.databases import TestClock

LITTLE = replace(BRIEFS, payout_least=Credits(100))
ALTERATIONS = {
    "use": "UPDATE usage SET paid = paid - 1, charge = charge + 1",
    "worth": "UPDATE contribution SET credited = credited + 1",
    "an end that was none": "UPDATE contribution SET state = 'closed'",
    "a payout that was never sent": "UPDATE payout SET state = 'sent'",
    "a payout of more": "UPDATE payout SET credits = credits + 1",
    "a payout that holds still": "UPDATE payout SET state = 'rejected'",
}


@pytest.mark.parametrize("what", ALTERATIONS)
async def test_what_was_changed_by_hand_is_found(
    sqlite_url: str, clock: TestClock, what: str
) -> None:
    async with market(sqlite_url, clock, policy=LITTLE) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", "500")
        await bobs.gets("tom", 300)
        await bobs.asks("tom", 60)
        app, bob = bobs.service.app, await bobs.person("bob")
        base = app.services.base
        await app.services.earnings.payout_methods.save_address(
            bob.id, "manual", SecretStr("Bob, GB33"), "GB••33"
        )
        await app.services.earnings.withdrawals.request_payout(
            bob.id, Credits(100), "manual", cause="one", at_ms=clock.now_ms()
        )
        assert await audit_earnings(base.db, base.payment_records) == []
        # By the product's own SQLite: two copies in one process drop each other's locks.
        engine = create_engine(parse_url(sqlite_url), write=True, size=1)
        with engine.begin() as connection:
            connection.execute(sa.text(ALTERATIONS[what]))
        engine.dispose()
        assert await audit_earnings(base.db, base.payment_records) != []
        bobs.service.farmed = True
