"""Whoever invites, links, buys and gives back at random: no ring, nothing lost, the audit clean."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest_asyncio
import sqlalchemy as sa

from core.db import schema
from core.money import Credits, parse_usd
from core.pool.vault import Vault
from core.users.links import LinkRefused, Links
from core.users.referrals import Referrals
from core.users.service import Users, find_survivor
from core.users.types import Person, WelcomeGift
from payments.payment_reader import PaymentReader
from payments.types import Order, Refund
from tests.core.users.merges_support import nothing
from tests.payments.conftest import Shop
from tests.support.size import size


class Town:
    """People who do as they like."""

    def __init__(self, shop: Shop, people: Users) -> None:
        self.shop, self.people = shop, people
        self.links = Links(ledger=shop.ledger, users=people, plan_earnings_merge=nothing)
        records = PaymentReader(shop.store)
        self.invitations = Referrals(ledger=shop.ledger, payment_records=records)
        self.everyone: list[Person] = []
        self.orders: list[Order] = []

    async def comes(self, code: str = "") -> bool:
        self.shop.clock.advance(seconds=1)
        sender = str(len(self.everyone) + 1)
        person = await self.people.get_or_create("telegram", sender, language="en")
        self.everyone.append(person)
        return bool(code) and await self.invitations.bind_inviter(person, code, "telegram", sender)

    async def link(self, one: Person, other: Person) -> None:
        """The two as they are now; unless they are one already."""
        ids = [(await find_survivor(self.shop.store, person.id))[0] for person in (one, other)]
        if ids[0] == ids[1]:
            return
        first, second = [await self.people.find(id_) for id_ in ids]
        proposal = await self.links.enter_code(second, await self.links.create_link_code(first))
        await self.links.accept_proposal(proposal.id, second)
        await self.links.accept_proposal(proposal.id, first)

    async def buys(self, person: Person, cash: str) -> Order:
        whose, _ = await find_survivor(self.shop.store, person.id)
        order = await self.shop.pay(await self.shop.order(whose, parse_usd(cash)))
        self.orders.append(order)
        return order

    async def gives_back(self, order: Order, cents: int, id_: str) -> None:
        back = Refund(order.gateway, id_, f"pi_{order.id}", parse_usd("0.01").multiply_by(cents))
        await self.shop.crediting.apply_refund(back)

    async def bindings(self) -> set[tuple[str, str]]:
        rows = await self.shop.store.fetch(sa.select(schema.referral))
        return {(row.person, row.inviter) for row in rows}

    async def rings(self) -> list[str]:
        """Whoever is invited by themselves, by somebody younger, or by themselves over others."""
        table = schema.referral
        ages = {person.id: (person.created_at, person.id) for person in self.everyone}
        found, inviters = [], {}
        for row in await self.shop.store.fetch(sa.select(table)):
            whose, _ = await find_survivor(self.shop.store, row.person)
            if whose != row.person or row.undone_at is not None:
                continue  # dropped, or undone
            inviter, _ = await find_survivor(self.shop.store, row.inviter)
            inviters[whose] = inviter
            if ages[inviter] >= ages[whose]:
                found.append(f"{inviter} is not older than {whose}")
        for start in inviters:
            seen, at = {start}, inviters.get(start)
            while at is not None and at not in seen:
                seen.add(at)
                at = inviters.get(at)
            if at is not None:
                found.append(f"a ring through {start}")
        return found


@pytest_asyncio.fixture
async def town(shop: Shop) -> AsyncIterator[Town]:
    vault = await Vault.open([bytes(32)], shop.store, shop.ledger)
    people = Users(ledger=shop.ledger, vault=vault, welcome_gift=WelcomeGift(Credits(5), 10_000))
    yield Town(shop, people)


async def test_undone_with_what_it_earned(town: Town) -> None:
    await town.comes()
    ann = town.everyone[0]
    await town.comes(await town.invitations.get_or_create_code(ann))
    bob = town.everyone[1]
    order = await town.buys(bob, "90")
    assert await town.shop.has(ann.id) == {"gift": 1_005}
    await town.link(ann, bob)
    assert await town.shop.has(ann.id) == {"bought": 9_000, "gift": 1_010}, "the share is gone"
    await town.gives_back(order, 9_000, "re_1")
    await town.buys(ann, "90")
    assert await town.shop.has(ann.id) == {"bought": 9_000, "gift": 1_010}
    await town.shop.audited()


async def test_a_payment_while_two_become_one_is_never_lost(town: Town) -> None:
    for number in range(size(small=3, full=25)):
        await town.comes()
        ann = town.everyone[-1]
        await town.comes(await town.invitations.get_or_create_code(ann))
        bob = town.everyone[-1]
        orders = [await town.shop.order(bob.id, parse_usd("10")) for _ in range(4)]
        proposal = await town.links.enter_code(bob, await town.links.create_link_code(ann))
        await town.links.accept_proposal(proposal.id, bob)
        await asyncio.gather(
            *(town.shop.pay(order) for order in orders[:2]),
            town.links.accept_proposal(proposal.id, ann),
            *(town.shop.pay(order) for order in orders[2:]),
        )
        assert await town.shop.has(ann.id) == {"bought": 4_000, "gift": 10}, number
        assert await town.shop.has(bob.id) == {}
        await town.shop.audited()


async def test_at_random_no_ring_and_nothing_is_lost(town: Town) -> None:
    chance = random.Random(41)
    for _ in range(3):
        await town.comes()
    left: dict[str, int] = {}
    for step in range(size(small=120, full=2_000)):
        act = chance.choice(["comes", "comes", "buys", "buys", "back", "link", "late", "spends"])
        someone = chance.choice(town.everyone)
        if act == "comes":
            assert await town.comes(await town.invitations.get_or_create_code(someone))
        elif act == "late":  # whoever is there already is bound to nobody else
            other = chance.choice(town.everyone)
            town.shop.clock.advance(seconds=61)
            code = await town.invitations.get_or_create_code(other)
            sender = str(town.everyone.index(someone) + 1)
            before = await town.bindings()
            await town.invitations.bind_inviter(someone, code, "telegram", sender)
            assert await town.bindings() == before
        elif act == "buys":
            order = await town.buys(someone, chance.choice(["10", "90", "100", "800"]))
            left[order.id] = order.paid.units // 10_000_000
        elif act == "back" and town.orders:
            order = chance.choice(town.orders)
            cents = min(left[order.id], chance.randint(1, 5_000))
            if cents:
                left[order.id] -= cents
                await town.gives_back(order, cents, f"re_{step}")
        elif act == "spends":
            whose, _ = await find_survivor(town.shop.store, someone.id)
            have = (await town.shop.has(whose)).get("gift")
            if have:
                await town.shop.spend(whose, Credits(chance.randint(1, have)), "gift")
        elif act == "link" and chance.random() < 0.5:
            try:
                await town.link(someone, chance.choice(town.everyone))
            except LinkRefused:
                raise AssertionError(step) from None
        if step % 20 == 0:
            assert await town.rings() == []
            await town.shop.audited()
    assert await town.rings() == []
    await town.shop.audited()
