"""Where people are paid: kept while somebody needs it, replaceable whatever became of it."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.earnings.payout_methods import PayoutMethods
from core.earnings.payouts import PayoutStateConflict
from core.ledger.ledger import Ledger
from core.pool.vault import Vault
from tests.core.earnings.world import LITTLE, market
from tests.support.databases import TestClock

LOST, MASTER = bytes([8]) * 32, bytes([9]) * 32


async def test_an_address_that_nobody_can_open_any_more_can_be_given_again(
    store: Database, ledger: Ledger, clock: Clock
) -> None:
    def addresses(master: bytes) -> PayoutMethods:
        return PayoutMethods(ledger=ledger, vault=Vault([master]))

    await addresses(LOST).save_address("usr_1", "manual", SecretStr("first"), "f")
    now = addresses(MASTER)
    await now.save_address("usr_1", "manual", SecretStr("second"), "s")
    assert await now.get_hint("usr_1", "manual") == "s"
    assert await now.get_changed_at("usr_1", "manual") == clock.now_ms(), "payouts there wait"
    sealed, _ = await now.seal_for_payout("usr_1", "manual", "out_1")
    assert Vault([MASTER]).unseal("payout/out_1", sealed) == b"second"


async def test_two_first_addresses_at_once_are_one_and_its_successor(
    store: Database, ledger: Ledger, clock: Clock
) -> None:
    addresses = PayoutMethods(ledger=ledger, vault=Vault([MASTER]))
    given = ("first", "second", "second")
    await asyncio.gather(
        *(addresses.save_address("usr_1", "manual", SecretStr(one), one) for one in given)
    )
    assert await addresses.get_hint("usr_1", "manual") in given
    assert await addresses.get_changed_at("usr_1", "manual") == clock.now_ms()


async def test_addresses_that_follow_each_other_at_once_are_each_told(
    store: Database, ledger: Ledger, clock: Clock
) -> None:
    addresses = PayoutMethods(ledger=ledger, vault=Vault([MASTER]))
    for one in ("first", "second", "first", "second"):
        await addresses.save_address("usr_1", "manual", SecretStr(one), one)
    assert await addresses.get_hint("usr_1", "manual") == "second"
    assert len(await store.fetch(sa.select(schema.notice.c.id))) == 3


@pytest.mark.parametrize("how", ["paid", "cancelled", "rejected", "returned"])
async def test_a_payouts_address_is_forgotten_with_its_end(
    how: str, sqlite_url: str, clock: TestClock
) -> None:
    async with market(sqlite_url, clock, policy=LITTLE) as bobs:
        await bobs.contributes("bob", "sk-bob-0000000001", "3")
        await bobs.gets("tom", 1_000)
        await bobs.asks("tom", 10)
        withdrawals = bobs.service.app.services.earnings.withdrawals
        one = await bobs.withdraws("bob", 10, how)
        if how == "cancelled":
            await withdrawals.cancel_payout(one.id, [one.person])
        elif how == "rejected":
            await withdrawals.reject_payout(one.id, actor="usr_1", reason="no")
        else:
            one = await withdrawals.approve_payout(one.id, actor="usr_1")
            one = await withdrawals.mark_sent(one, next_check_ms=None)
            if how == "paid":
                await bobs.service.app.services.earnings.payouts.confirm_manual_payment(one.id)
            else:
                await withdrawals.mark_returned(one, reason="closed account")
        assert (await withdrawals.get(one.id)).state == how
        rows = await bobs.service.app.services.base.db.fetch(sa.select(schema.payout.c.sealed))
        assert [row.sealed for row in rows] == [None]
        with pytest.raises(PayoutStateConflict):
            await withdrawals.cancel_payout(one.id, [one.person])


async def test_a_claw_back_forgets_it_too(sqlite_url: str, clock: TestClock) -> None:
    async with market(sqlite_url, clock, policy=LITTLE, own_keys=1) as bobs:
        key = await bobs.contributes("bob", "sk-bob-0000000001", "3")
        await bobs.gets("tom", 1_000)
        while (await bobs.has("bob")).get("earned", 0) < 10:
            await bobs.asks("tom", 5)
        await bobs.withdraws("bob", 10, "w")
        while "earned" in await bobs.has("bob"):  # first what was earned, then the advance
            await bobs.asks("bob")
        await bobs.asks("bob", 20)
        bob = await bobs.person("bob")
        await bobs.service.app.services.earnings.termination.withdraw_contribution(key, bob.id)
        rows = await bobs.service.app.services.base.db.fetch(
            sa.select(schema.payout.c.state, schema.payout.c.sealed)
        )
        assert [tuple(row) for row in rows] == [("cancelled", None)]
