"""Random histories of people who may all be one: whatever they do, no more comes out as cash than
was paid for, no key is drawn past its quota, and no answer is free.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from core.asks.types import AskRefusal
from core.db import schema
from core.earnings.payouts import (
    NothingWithdrawable,
    PayoutStateConflict,
    WithdrawalBlocked,
    convert_to_cash,
)
from core.earnings.termination import ContributionInUse
from core.earnings.types import EarningPolicy, TooManyContributions, WorthNothing
from core.ledger.types import TransferKind
from core.money import Credits, NanoUsd, parse_usd
from core.pool.types import KeyRefused, UnknownKey
from tests.core.earnings.world import TAKES_OPENAI, Market, market
from tests.peers.suppliers import Answer, Refuse, Used
from tests.support.databases import TestClock
from tests.support.size import size

PEOPLE = ("ann", "bob", "cat", "dan")
POLICIES = (
    EarningPolicy(TAKES_OPENAI, payout_least=Credits(1)),
    EarningPolicy(TAKES_OPENAI, payout_least=Credits(1), payout_hold_days=0, advance_percent=100),
    EarningPolicy(TAKES_OPENAI, payout_least=Credits(1), payout_hold_days=1, advance_percent=50),
)
#: What may be refused to them, with nothing changed.
REFUSALS = (
    AskRefusal,
    KeyRefused,
    NothingWithdrawable,
    PayoutStateConflict,
    ContributionInUse,
    TooManyContributions,
    UnknownKey,
    WithdrawalBlocked,
    WorthNothing,
)
STEPS = 60


@dataclass
class Ring:
    """What one of them does next."""

    bobs: Market
    chance: random.Random
    number: int = 0

    @property
    def steps(self) -> list[Callable[[], Awaitable[None]]]:
        often = [self.asks] * 8
        return [
            *often,
            self.buys,
            self.buys,
            self.gets_a_gift,
            self.contributes,
            self.contributes,
            self.ends_a_key,
            self.lowers,
            self.raises,
            self.withdraws,
            self.withdraws,
            self.decides,
            self.reprices,
            self.waits,
            self.has_trouble,
            self.bobs.closes,
        ]

    def someone(self) -> str:
        return self.chance.choice(PEOPLE)

    async def asks(self) -> None:
        tokens = self.chance.choice((100, 300, 500))
        answer = Answer("word " * tokens, usage=Used(500, tokens))
        await self.bobs.asks(self.someone(), self.chance.randint(1, 4), answer=answer)

    async def buys(self) -> None:
        await self.bobs.gets(self.someone(), self.chance.randint(10, 120))

    async def gets_a_gift(self) -> None:
        await self.bobs.gets(self.someone(), self.chance.randint(10, 120), "gift")

    async def contributes(self) -> None:
        self.number += 1
        dollars = self.chance.choice(("0.3", "0.9", "2"))
        verified = self.chance.random() < 0.6
        secret = f"sk-key-{self.number:010}"
        await self.bobs.contributes(self.someone(), secret, dollars, verified=verified)

    async def key(self) -> tuple[str, str]:
        name = self.someone()
        person = await self.bobs.person(name)
        mine = await self.bobs.service.app.services.earnings.contributions.list_for_contributor(
            person.id
        )
        if not mine:
            raise UnknownKey(name)
        return name, self.chance.choice(mine).key

    async def ends_a_key(self) -> None:
        name, key = await self.key()
        person = await self.bobs.person(name)
        await self.bobs.service.app.services.earnings.termination.withdraw_contribution(
            key, person.id
        )

    async def lowers(self) -> None:
        name, key = await self.key()
        person = await self.bobs.person(name)
        left = Credits(self.chance.randint(0, 60))
        await self.bobs.service.app.services.earnings.termination.lower_contribution(
            key, person.id, left
        )

    async def raises(self) -> None:
        name, key = await self.key()
        await self.bobs.service.app.services.earnings.contributions.raise_contribution(
            key, await self.bobs.person(name), parse_usd("0.6")
        )

    async def withdraws(self) -> None:
        self.number += 1
        earning, person = (
            self.bobs.service.app.services.earnings,
            await self.bobs.person(self.someone()),
        )
        await earning.payout_methods.save_address(person.id, "manual", SecretStr("somewhere"), "s")
        can = (await earning.withdrawals.get_earnings(person.id)).withdrawable
        amount = Credits(self.chance.randint(1, max(1, can.units)))
        await earning.withdrawals.request_payout(
            person.id, amount, "manual", cause=str(self.number), at_ms=self.bobs.clock.at_ms
        )

    async def decides(self) -> None:
        earning = self.bobs.service.app.services.earnings
        for one in await earning.withdrawals.list_in_state("requested", "approved"):
            what = self.chance.choice(("reject", "cancel", "pay", "pay", "return"))
            if what == "reject":
                await earning.withdrawals.reject_payout(one.id, actor="usr_admin", reason="no")
            elif what == "cancel":
                await earning.withdrawals.cancel_payout(one.id, [one.person])
            else:
                if one.state == "requested":
                    await earning.withdrawals.approve_payout(one.id, actor="usr_admin")
                now = await earning.withdrawals.get(one.id)
                sent = await earning.withdrawals.mark_sent(now, next_check_ms=None)
                if what == "pay":
                    await earning.withdrawals.mark_paid(sent, fee=NanoUsd(0), external_id="x")
                else:
                    await earning.withdrawals.mark_returned(sent, reason="came back")

    async def reprices(self) -> None:
        rate = self.bobs.service.app.services.pricing.prices.find_current("gpt-4")
        assert rate is not None
        new = type(rate.input_rate)(self.chance.choice((1_000, 3_000, 5_000, 8_000)))
        self.bobs.clock.advance(seconds=3)
        await self.bobs.service.app.services.pricing.prices.set_price(
            "gpt-4", new, new, set_by="admin"
        )

    async def waits(self) -> None:
        self.bobs.clock.advance(days=self.chance.choice((1, 2, 40)))

    async def has_trouble(self) -> None:
        self.bobs.service.openai.script(
            self.chance.choice((Refuse(500), Refuse(429, code="insufficient_quota"), Refuse(503)))
        )


async def charged(bobs: Market, pocket: str) -> int:
    """Credits that asks of contributed keys took out of a pocket, from the ledger's transfers."""
    transfer, submission = schema.transfer, schema.submission
    account, usage, key = schema.account, schema.usage, schema.key
    settle = sa.literal("ask/") + usage.c.ask + "/settle"
    rows = await bobs.service.app.services.base.db.fetch(
        sa.select(sa.func.sum(transfer.c.amount))
        .select_from(
            usage.join(key, key.c.id == usage.c.key)
            .join(submission, submission.c.id == settle)
            .join(transfer, transfer.c.submission == submission.c.seq)
            .join(account, account.c.id == transfer.c.debit)
        )
        .where(
            key.c.owner.is_not(None),
            transfer.c.entry == "charge",
            transfer.c.kind == TransferKind.POST,
            account.c.code.like(f"user/%/{pocket}"),
        )
    )
    return int(rows[0][0] or 0)


async def check(bobs: Market) -> None:
    store = bobs.service.app.services.base.db
    bought, earned = await charged(bobs, "bought"), await charged(bobs, "earned")
    account = schema.account
    rows = {
        row.code: row
        for row in await store.fetch(
            sa.select(account.c.code, account.c.debits_posted, account.c.credits_posted)
        )
    }

    def posted(start: str, end: str = "") -> int:
        return sum(
            row.credits_posted - row.debits_posted
            for code, row in rows.items()
            if code.startswith(start) and code.endswith(end)
        )

    there = posted("user/", "/earned")
    gone = posted("redeemed/") + posted("fee/payout")
    paid_out = -sum(
        row.credits_posted - row.debits_posted for code, row in rows.items() if code == "payouts"
    )
    # Ever earned: what is there, what was cashed, what was spent, repaid or clawed back of it.
    assert there + gone <= 9 * (bought + earned) // 10 - earned
    assert paid_out + convert_to_cash(Credits(there)).units <= 8_100_000 * bought
    for code, row in rows.items():
        if code.startswith("key/") and code.count("/") == 1:
            assert row.debits_posted <= row.credits_posted, code
    usage = schema.usage
    free = await store.fetch(
        sa.select(usage.c.ask).where(usage.c.output_tokens > 0, usage.c.charge == 0)
    )
    assert free == []
    waiting = {
        row.key
        for row in await store.fetch(
            sa.select(schema.contribution.c.key).where(schema.contribution.c.state != "closed")
        )
    }
    lent = sum(
        row.advance
        for row in await store.fetch(
            sa.select(schema.contribution.c.advance).where(schema.contribution.c.state != "closed")
        )
    )
    assert -posted("advanced") - posted("line/") == lent, "what is lent is what open ones were"
    for code in rows:
        if code.endswith(("/unvested", "/advance")) and code.split("/")[1] not in waiting:
            assert posted(code) == 0, code


@pytest.mark.parametrize("seed", range(size(small=4, full=120)))
async def test_whatever_they_do_together(database_url: str, clock: TestClock, seed: int) -> None:
    chance = random.Random(seed)
    policy = POLICIES[seed % len(POLICIES)]
    own_keys = seed % 2
    async with market(database_url, clock, policy=policy, own_keys=own_keys) as bobs:
        ring = Ring(bobs, chance)
        for _ in range(STEPS):
            with contextlib.suppress(*REFUSALS):
                await chance.choice(ring.steps)()
        await check(bobs)
        # Everything ends: what is then there is exactly what the books say.
        for name in PEOPLE:
            person = await bobs.person(name)
            for one in await bobs.service.app.services.earnings.contributions.list_for_contributor(
                person.id
            ):
                # Ending one may have ended another that was used up.
                if one.state == "open":
                    with contextlib.suppress(UnknownKey):
                        await bobs.service.app.services.earnings.termination.withdraw_contribution(
                            one.key, person.id
                        )
        await bobs.closes()
        await check(bobs)
