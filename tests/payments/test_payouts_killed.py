"""SIGKILL while people are paid: whenever the process died each payout left its gateway once, and
the ledger says the same. Two processes at one queue pay each once. Whatever the gateway."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import pytest_asyncio

from core.earnings.payouts import Payout
from core.money import NanoUsd, sum_amounts
from core.pool.vault import Vault
from tests.payments.conftest import Shop
from tests.payments.fork_server import ForkServer
from tests.payments.gateway_clients import MASTER
from tests.payments.payout_desks import GATEWAYS, Bank, Desk, bank_of
from tests.support.size import size


@dataclass
class Street:
    """A desk without a gateway of its own, and processes that pay."""

    desk: Desk
    bank: Bank
    fork_server: ForkServer

    async def child(self, url: str, dies_at: int = 0) -> int:
        """The chore once, in a process of its own; its exit code."""
        told = (url, self.bank.method, self.bank.url, self.desk.shop.clock.now_ms(), dies_at)
        return await self.fork_server.run("tests.payments.payouts_child", *told)

    async def settled(self, url: str, ours: Sequence[Payout]) -> None:
        """Everything arrives, and the ledger says so of exactly what the gateway paid."""
        clock = self.desk.shop.clock
        clock.advance(seconds=7_200)
        assert await self.child(url) == 0
        assert sorted(self.bank.has()) == sorted(one.id for one in ours)
        for one in ours:
            self.bank.arrives(one)
        clock.advance(seconds=7_200)
        assert await self.child(url) == 0
        now = [await self.desk.now(one) for one in ours]
        assert {one.state for one in now} == {"paid"}
        cash = sum_amounts(NanoUsd, (one.cash for one in ours)).units
        assert await self.desk.shop.stands("payouts", "payouts-in-transit") == [cash, 0]
        await self.desk.audited()


@pytest_asyncio.fixture(params=GATEWAYS[: size(small=2, full=3)])
async def street(
    shop: Shop, fork_server: ForkServer, request: pytest.FixtureRequest
) -> AsyncIterator[Street]:
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    async with bank_of(request.param) as bank:
        yield Street(Desk(shop, vault), bank, fork_server)


@pytest.mark.timeout(900)
async def test_killed_at_any_point_each_payout_leaves_once(
    street: Street, database_url: str
) -> None:
    chance = random.Random(7)
    ours: list[Payout] = []
    for _ in range(size(small=1, full=20)):
        ours += [await street.desk.approved(street.bank.method) for _ in range(2)]
        # Each of two is claimed, sent and noted: a batch has three points.
        dies_at = chance.randint(1, 18)
        assert await street.child(database_url, dies_at) == -signal.SIGKILL
        # Whoever died had a claim, which is over by then; half of what left arrives meanwhile.
        street.desk.shop.clock.advance(seconds=200)
        if chance.random() < 0.5 and street.bank.has():
            arrived = next(one for one in ours if one.id == street.bank.has()[-1])
            street.bank.arrives(arrived)
    await street.settled(database_url, ours)


@pytest.mark.timeout(900)
async def test_two_processes_at_the_same_queue_pay_once(street: Street, database_url: str) -> None:
    many = size(small=6, full=40)
    ours = [await street.desk.approved(street.bank.method) for _ in range(many)]
    codes = await asyncio.gather(*(street.child(database_url) for _ in range(2)))
    assert codes == [0, 0]
    await street.settled(database_url, ours)
