"""Invitations: bound once, by the message that made the person, to somebody older; never a ring."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio
import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.db.writes import Insert, Update
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pool.vault import Vault
from core.users.links import Links
from core.users.referrals import Referrals
from core.users.service import Users
from core.users.types import Person, WelcomeGift
from payments.payment_reader import PaymentReader
from tests.core.users.merges_support import nothing
from tests.support.databases import TestClock


@dataclass
class Circle:
    """Ann, who invites, and whoever comes."""

    store: Database
    ledger: Ledger
    clock: TestClock
    people: Users
    links: Links
    invitations: Referrals
    ann: Person

    async def comes(self, sender: str, code: str = "") -> tuple[Person, bool]:
        """Somebody's first message: `/start` with a code."""
        self.clock.advance(seconds=1)
        person = await self.people.get_or_create("telegram", sender, language="en")
        bound = bool(code) and await self.invitations.bind_inviter(person, code, "telegram", sender)
        return person, bound

    async def inviter(self, person: Person) -> str | None:
        table = schema.referral
        rows = await self.store.fetch(sa.select(table).where(table.c.person == person.id))
        return rows[0].inviter if rows and rows[0].undone_at is None else None

    async def joined(self, one: Person, other: Person) -> None:
        proposal = await self.links.enter_code(other, await self.links.create_link_code(one))
        await self.links.accept_proposal(proposal.id, one)
        await self.links.accept_proposal(proposal.id, other)


@pytest_asyncio.fixture
async def circle(store: Database, ledger: Ledger, clock: TestClock) -> AsyncIterator[Circle]:
    vault = await Vault.open([bytes([9]) * 32], store, ledger)
    people = Users(ledger=ledger, vault=vault, welcome_gift=WelcomeGift(Credits(0), 0))
    links = Links(ledger=ledger, users=people, plan_earnings_merge=nothing)
    invitations = Referrals(ledger=ledger, payment_records=PaymentReader(store))
    ann = await people.get_or_create("telegram", "1", language="en")
    yield Circle(store, ledger, clock, people, links, invitations, ann)


async def test_a_code_is_theirs_for_good_and_fits_a_deep_link(circle: Circle) -> None:
    codes = await asyncio.gather(
        *(circle.invitations.get_or_create_code(circle.ann) for _ in range(5))
    )
    assert len(set(codes)) == 1
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", codes[0])
    bob, _ = await circle.comes("2")
    assert await circle.invitations.get_or_create_code(bob) != codes[0]


async def test_who_comes_by_a_code_is_bound_once(circle: Circle) -> None:
    code = await circle.invitations.get_or_create_code(circle.ann)
    bob, bound = await circle.comes("2", code.lower())
    assert bound
    assert await circle.inviter(bob) == circle.ann.id
    cid, _ = await circle.comes("3", code)
    other = await circle.invitations.get_or_create_code(cid)
    assert not await circle.invitations.bind_inviter(bob, other, "telegram", "2"), "and never anew"
    assert await circle.inviter(bob) == circle.ann.id
    assert await circle.invitations.bind_inviter(bob, code, "telegram", "2"), "they did come by it"
    tally = await circle.invitations.get_stats(circle.ann)
    assert (tally.joined_count, tally.buyer_count, tally.earned) == (2, 0, Credits(0))


async def test_only_somebody_new_is_bound(circle: Circle) -> None:
    code = await circle.invitations.get_or_create_code(circle.ann)
    late, _ = await circle.comes("2")
    circle.clock.advance(seconds=61)
    assert not await circle.invitations.bind_inviter(late, code, "telegram", "2")
    busy, _ = await circle.comes("3")
    row = {
        name: "" if isinstance(column.type, sa.Text) else 0
        for name, column in schema.order.columns.items()
        if not column.nullable
    }
    await circle.ledger.record(Insert(schema.order, row | {"id": "ord_1", "person": busy.id}))
    assert not await circle.invitations.bind_inviter(busy, code, "telegram", "3")
    assert await circle.inviter(late) is await circle.inviter(busy) is None


async def test_nobody_is_bound_to_themselves_to_nobody_or_to_somebody_younger(
    circle: Circle,
) -> None:
    bob, _ = await circle.comes("2")
    theirs = await circle.invitations.get_or_create_code(bob)
    young, _ = await circle.comes("3")
    for code in (
        theirs,
        await circle.invitations.get_or_create_code(young),
        "ref_",
        "ref_AAAAAAAAAAAA",
        "ref",
    ):
        assert not await circle.invitations.bind_inviter(bob, code, "telegram", "2"), code
    assert await circle.inviter(bob) is None


async def test_a_name_that_was_parted_is_not_new(circle: Circle) -> None:
    code = await circle.invitations.get_or_create_code(circle.ann)
    bob, _ = await circle.comes("2")
    circle.clock.advance(seconds=1)
    cid = await circle.people.get_or_create("discord", "3", language="en")
    await circle.joined(bob, cid)
    circle.clock.advance(seconds=1)
    assert await circle.people.unlink_identity("discord", "3")
    parted = await circle.people.get_or_create("discord", "3", language="en")
    assert not await circle.invitations.bind_inviter(parted, code, "discord", "3")


async def test_an_old_code_leads_to_whom_its_owner_became_a_part_of(circle: Circle) -> None:
    bob, _ = await circle.comes("2")
    code = await circle.invitations.get_or_create_code(bob)
    await circle.joined(circle.ann, bob)
    cid, bound = await circle.comes("3", code)
    assert bound
    assert await circle.inviter(cid) == circle.ann.id
    assert (await circle.invitations.get_stats(circle.ann)).joined_count == 1


async def test_a_link_between_the_two_undoes_it_with_what_it_earned(circle: Circle) -> None:
    code = await circle.invitations.get_or_create_code(circle.ann)
    bob, _ = await circle.comes("2", code)
    await circle.joined(circle.ann, bob)
    assert await circle.inviter(bob) is None
    assert (await circle.invitations.get_stats(circle.ann)).joined_count == 0


async def test_a_survivor_keeps_its_own_inviter(circle: Circle) -> None:
    code = await circle.invitations.get_or_create_code(circle.ann)
    bob, _ = await circle.comes("2", code)
    cid, _ = await circle.comes("3", await circle.invitations.get_or_create_code(bob))
    dan, _ = await circle.comes("4", await circle.invitations.get_or_create_code(cid))
    # The grandchild becomes a part of the child: between them it is undone, above it stays.
    await circle.joined(bob, cid)
    assert await circle.inviter(bob) == circle.ann.id
    assert await circle.inviter(cid) is None
    assert await circle.inviter(dan) == cid.id, "who is a part of the survivor now"
    assert (await circle.invitations.get_stats(bob)).joined_count == 1


async def test_who_is_being_linked_at_that_moment_is_not_bound(circle: Circle) -> None:
    code = await circle.invitations.get_or_create_code(circle.ann)
    bob, _ = await circle.comes("2")
    change = {"merged_into": circle.ann.id, "merged_at": circle.clock.now_ms()}
    await circle.ledger.record(Update(schema.person, {"id": bob.id}, change))
    assert not await circle.invitations.bind_inviter(bob, code, "telegram", "2")
