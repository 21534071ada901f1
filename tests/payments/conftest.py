"""Somebody who buys, and what becomes of it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import sqlalchemy as sa
import stripe

from core import chart, ids
from core.admin.audit import audit_books
from core.db import schema
from core.db.database import Database
from core.db.writes import Insert
from core.ledger.ledger import Ledger
from core.ledger.types import Move, Submission
from core.money import Credits, NanoUsd, parse_usd
from core.pool.vault import Vault
from payments.fulfillment import Fulfillment
from payments.gateways import http
from payments.gateways.base import Gateway
from payments.offer import Offer
from payments.orders import Orders
from payments.payment_reader import PaymentReader
from payments.types import Cash, InvalidSignature, Order, Payment
from payments.webhooks import WebhookInbox
from tests.payments.fork_server import ForkServer, open_fork_server
from tests.payments.order_services import OrderServices
from tests.support.databases import TestClock


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What may be repeated is tried again without a pause."""
    monkeypatch.setattr(http, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)


@dataclass
class Shop:
    """Orders over a real ledger, with the questions that tests ask of it."""

    store: Database
    ledger: Ledger
    clock: TestClock
    offer: Offer = field(default_factory=Offer)
    #: Those that are asked again before a dispute that ended is taken up.
    gateways: dict[str, Gateway] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.orders = Orders(ledger=self.ledger, offer=self.offer)
        self.crediting = Fulfillment(
            orders=self.orders, ledger=self.ledger, offer=self.offer, gateways=self.gateways
        )
        self._causes = itertools.count()

    async def person(self) -> str:
        id_ = ids.new_id("usr", self.clock.now_ms())
        row = {
            "id": id_,
            "created_at": self.clock.now_ms(),
            "language": "en",
            "zone": "UTC",
            "model": "",
            "footer": True,
            "own_keys_only": False,
            "data_key": None,
        }
        await self.ledger.record(Insert(schema.person, row))
        return id_

    async def friend(self, inviter: str) -> str:
        """Somebody younger, who came by that invitation."""
        self.clock.advance(seconds=1)
        person = await self.person()
        row = {
            "person": person,
            "inviter": inviter,
            "bound_at": self.clock.now_ms(),
            "earned": 0,
            "undone_at": None,
        }
        await self.ledger.record(Insert(schema.referral, row))
        return person

    async def order(
        self,
        person: str,
        value: NanoUsd,
        *,
        gateway: str = "stripe",
        amount: Cash | None = None,
        place: str = "telegram:1:",
    ) -> Order:
        return await self.orders.create_order(
            cause=f"press/{next(self._causes)}",
            at_ms=self.clock.now_ms(),
            person=person,
            place=place,
            message="5",
            gateway=gateway,
            value=value,
            amount=value if amount is None else amount,
            lifetime_seconds=1_800,
        )

    async def pay(self, order: Order, *, fee: Cash | None = None, id_: str = "") -> Order:
        payment = Payment(
            order.gateway,
            id_ or f"pi_{order.id}",
            order.id,
            order.amount,
            type(order.amount)(0) if fee is None else fee,
        )
        return await self.crediting.credit_payment(payment)

    async def spend(self, person: str, amount: Credits, pocket: chart.Pocket = "bought") -> None:
        move = Move("spent", chart.pocket(person, pocket), chart.spent("gpt-4"), amount)
        await self.ledger.submit(Submission(f"spend/{next(self._causes)}", (move,)))

    async def has(self, person: str) -> dict[str, int]:
        accounts = [*chart.pockets(person), chart.owed(person)]
        found = await self.ledger.read_balances(accounts)
        names = ("gift", "bought", "earned", "owed")
        figures = zip(names, (balance.posted for balance in found.values()), strict=True)
        return {name: abs(posted) for name, posted in figures if posted}

    async def told(self, person: str) -> list[tuple[str, dict[str, int | str]]]:
        """The notices that were written for somebody: kind and facts."""
        table = schema.notice
        rows = await self.store.fetch(
            table.select().where(table.c.person == person).order_by(table.c.created_at, table.c.id)
        )
        return [(row.kind, json.loads(row.data)) for row in rows]

    async def stands(self, *codes: str) -> list[int]:
        """The posted sums of accounts, as cash lies there: debits less credits."""
        table = schema.account
        rows = {row.code: row for row in await self.store.fetch(table.select())}
        return [
            rows[code].debits_posted - rows[code].credits_posted if code in rows else 0
            for code in codes
        ]

    async def audited(self) -> None:
        """The ledger is right, referrals are what orders say, and circulation is what was issued
        less what was spent and paid out."""
        assert (await audit_books(self.store, PaymentReader(self.store))).findings == ()
        sums = dict.fromkeys(("pockets", "owed", "issued", "spent", "redeemed", "fee"), 0)
        for row in await self.store.fetch(schema.account.select()):
            kind = row.code.partition("/")[0]
            posted = row.credits_posted - row.debits_posted
            group = {"user": "pockets", "order": "pockets"}.get(kind, kind)
            if group in sums:
                sums[group] += posted
        gone = sums["spent"] + sums["redeemed"] + sums["fee"]
        assert sums["pockets"] + sums["owed"] == -sums["issued"] - gone


#: A webhook as it arrives: its body and its headers.
Message = tuple[bytes, Mapping[str, str]]


class Counter(OrderServices):
    """A shop with one gateway: people buy, messages come, somebody works through them."""

    def __init__(self, shop: Shop, gateway: Gateway, vault: Vault) -> None:
        self.shop, self.gateway = shop, gateway
        gateways = {gateway.name: gateway}
        shop.gateways |= gateways
        self.inbox = WebhookInbox(
            gateways=gateways, fulfillment=shop.crediting, ledger=shop.ledger, vault=vault
        )
        super().__init__(
            gateways,
            shop.orders,
            shop.crediting,
            db=shop.store,
            ledger=shop.ledger,
            clock=shop.clock,
        )
        self.presses = 0

    async def buys(self, person: str, cash: str) -> Order:
        self.presses += 1
        return await self.checkout.place_order(
            cause=f"btn_{self.presses}",
            at_ms=self.shop.clock.now_ms(),
            person=person,
            place="telegram:1:",
            message="5",
            gateway=self.gateway.name,
            value=parse_usd(cash),
            description="1,000 Credits",
            language="zh-CN",
        )

    async def again(self, order: Order) -> Order:
        """As it stands now."""
        return await self.shop.orders.get(order.id)

    async def receives(self, body: bytes, headers: Mapping[str, str]) -> None:
        await self.inbox.receive(self.gateway.name, headers, body)

    async def works(self) -> None:
        while await self.inbox.process_due():
            pass

    async def floods(self, messages: Sequence[Message]) -> int:
        """Messages arrive, eight at a time; how many are refused as forged."""

        async def deliver(part: Sequence[Message]) -> int:
            refused = 0
            for body, headers in part:
                try:
                    await self.receives(body, headers)
                except InvalidSignature:
                    refused += 1
            return refused

        return sum(await asyncio.gather(*(deliver(messages[at::8]) for at in range(8))))

    async def settles(self) -> None:
        """Three at once work through everything, and through what had to wait."""
        await asyncio.gather(*(self.works() for _ in range(3)))
        self.shop.clock.advance(seconds=120)
        await self.works()

    async def webhooks(self) -> dict[str, str]:
        rows = await self.shop.store.fetch(sa.select(schema.webhook))
        return {row.id: row.verdict for row in rows}

    async def kept(self) -> str:
        """Everything that is in the database, as text."""
        tables = schema.metadata.tables.values()
        return str([await self.shop.store.fetch(table.select()) for table in tables])


@pytest.fixture
def shop(store: Database, ledger: Ledger, clock: TestClock) -> Shop:
    return Shop(store, ledger, clock)


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    """What forks a module's child processes."""
    with open_fork_server() as one:
        yield one
