"""Somebody who earned and is paid: withdrawals over a shop's ledger, and gateways that pay, each
with its peer on loopback so that one test serves them all."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from pydantic import SecretStr

from bots.sandbox.payment_service import SandboxPaymentService
from core import chart
from core.earnings.payouts import Payout, PayoutMethod
from core.ledger.types import Move, Submission
from core.money import Credits, parse_usd
from core.pool.vault import Vault
from payments.payouts import PayoutProvider, Payouts
from tests.payments.conftest import Shop
from tests.payments.gateway_clients import MASTER, SANDBOX_SECRET, disburser_of, withdrawals_on
from tests.peers.btcpay import FakeBtcPay
from tests.peers.paypal import FakePayPal

GATEWAYS: tuple[PayoutMethod, ...] = ("paypal", "btcpay", "sandbox")
#: Where people are paid; each person needs a coin address of their own.
ADDRESSES: Mapping[PayoutMethod, Callable[[int], str]] = {
    "paypal": lambda number: f"bob{number}@canary.example",
    "btcpay": lambda number: f"bc1q{'canary'.replace('b', 'q')}{number:020}",
    "sandbox": lambda _: "wait",
    "manual": lambda number: f"Bob Canary\nGB{number:020}",
}


@dataclass(frozen=True, slots=True)
class Bank:
    """The other side of a gateway."""

    method: PayoutMethod
    url: str
    #: What becomes of a payout there.
    arrives: Callable[[Payout], None]
    comes_back: Callable[[Payout], None]
    #: How many payouts it has of each of our ids.
    has: Callable[[], list[str]]


@contextlib.asynccontextmanager
async def bank_of(method: PayoutMethod) -> AsyncIterator[Bank]:
    """The service of that name."""
    async with {"paypal": _paypal, "btcpay": _btcpay, "sandbox": _sandbox}[method]() as bank:
        yield bank


@contextlib.asynccontextmanager
async def _paypal() -> AsyncIterator[Bank]:
    async with FakePayPal() as fake:
        yield Bank(
            "paypal",
            fake.url,
            lambda one: fake.payouts.works(one.id, "SUCCESS"),
            lambda one: fake.payouts.works(one.id, "RETURNED", error="RECEIVER_UNREGISTERED"),
            lambda: [
                batch["items"][0]["payout_item"]["sender_item_id"]
                for batch in fake.payouts.batches.values()
            ],
        )


@contextlib.asynccontextmanager
async def _btcpay() -> AsyncIterator[Bank]:
    async with FakeBtcPay() as fake:
        yield Bank(
            "btcpay",
            fake.url,
            lambda one: fake.payouts.becomes(one.id, "Completed"),
            lambda one: fake.payouts.becomes(one.id, "Cancelled"),
            lambda: [str(one["metadata"]["payout"]) for one in fake.payouts.made.values()],
        )


@contextlib.asynccontextmanager
async def _sandbox() -> AsyncIterator[Bank]:
    service = SandboxPaymentService(SANDBOX_SECRET)
    url = await service.start()
    made = service.payouts.payouts
    try:
        yield Bank(
            "sandbox",
            url,
            lambda one: made[one.id].apply_action("arrive"),
            lambda one: made[one.id].apply_action("return"),
            lambda: list(made),
        )
    finally:
        await service.stop()


@dataclass
class Desk:
    """People who withdraw, an admin who approves, and who pays."""

    shop: Shop
    vault: Vault
    disbursers: Mapping[PayoutMethod, PayoutProvider] = field(default_factory=dict)
    #: Whether the operator has paused payouts.
    paused: bool = False

    def __post_init__(self) -> None:
        self.addresses, self.withdrawals = withdrawals_on(
            self.shop.store, self.shop.ledger, self.vault, self.shop.clock
        )
        self.payouts = Payouts(
            withdrawals=self.withdrawals,
            payout_methods=self.addresses,
            providers=self.disbursers,
            clock=self.shop.clock,
            is_paused=lambda: self.paused,
        )
        self._numbers = itertools.count(1)
        self._homes: dict[str, str] = {}

    async def earns(self, person: str, amount: int) -> None:
        """Earned Credits out of nowhere."""
        earned = chart.pocket(person, "earned")
        move = Move("earned", chart.issued("contribution"), earned, Credits(amount))
        cause = f"earns/{person}/{next(self._numbers)}"
        await self.shop.ledger.submit(Submission(cause, (move,)))

    async def asked(
        self, method: PayoutMethod, *, amount: int = 1_000, person: str = "", address: str = ""
    ) -> Payout:
        """Somebody has earned that much and asks for it; somebody new unless said."""
        number = next(self._numbers)
        person = person or await self.shop.person()
        await self.earns(person, amount)
        where = self._homes.setdefault(person, address or ADDRESSES[method](number))
        await self.addresses.save_address(person, method, SecretStr(where), "b•••")
        return await self.withdrawals.request_payout(
            person,
            Credits(amount),
            method,
            cause=f"press/{number}",
            at_ms=self.shop.clock.now_ms(),
        )

    async def approved(
        self, method: PayoutMethod, *, amount: int = 1_000, address: str = ""
    ) -> Payout:
        one = await self.asked(method, amount=amount, address=address)
        return await self.withdrawals.approve_payout(one.id, actor="usr_admin")

    async def now(self, one: Payout) -> Payout:
        return await self.withdrawals.get(one.id)

    async def works(self, *, times: int = 1, hours: int = 2) -> None:
        """The chore, with so long between."""
        for _ in range(times):
            await self.payouts.process_due_payouts()
            self.shop.clock.advance(seconds=hours * 3_600)

    async def owners_heard(self) -> list[tuple[str, str]]:
        """Kinds and reasons of the notices for owners."""
        told = await self.shop.told("owners")
        return [(kind, str(facts["reason"])) for kind, facts in told]

    async def audited(self) -> None:
        await self.shop.audited()


@dataclass
class Counter:
    """A desk with one gateway, and its other side."""

    desk: Desk
    bank: Bank


@pytest_asyncio.fixture(params=GATEWAYS)
async def counter(shop: Shop, request: pytest.FixtureRequest) -> AsyncIterator[Counter]:
    vault = await Vault.open([MASTER], shop.store, shop.ledger)
    async with bank_of(request.param) as bank:
        disburser = disburser_of(bank.method, bank.url)
        yield Counter(Desk(shop, vault, {bank.method: disburser}), bank)
        await disburser.close()


@pytest_asyncio.fixture
async def desk(shop: Shop) -> Desk:
    """One that no gateway pays for."""
    return Desk(shop, await Vault.open([MASTER], shop.store, shop.ledger))


def payout_of(cash: str = "674.97", *, external: str = "", number: int = 1) -> Payout:
    """One that is sent, in nobody's books."""
    return Payout(
        id=f"out_{number:026}",
        person="usr_1",
        credits=Credits(74_997),
        cash=parse_usd(cash),
        method="paypal",
        hint="b•••",
        state="sent",
        created_at=0,
        state_at=0,
        decided_by="",
        reason="",
        external_id=external,
        attempts=0,
        due_at=0,
    )
