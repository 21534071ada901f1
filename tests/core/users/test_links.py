"""Linking: two people become one; the sum of Credits never changes, nothing is shed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio

from core import chart
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.ledger.types import Move, Submission
from core.money import Credits
from core.pool.vault import Vault
from core.users.links import AlreadyLinked, LinkRefused, Links
from core.users.service import Users
from core.users.types import Person, TooManyAttempts, WelcomeGift
from tests.core.users.merges_support import nothing
from tests.support.databases import TestClock


@dataclass
class Two:
    """One on Telegram, the older; one on Discord."""

    people: Users
    links: Links
    ledger: Ledger
    clock: TestClock
    tom: Person
    tim: Person

    async def credits(self, person: Person) -> dict[str, int]:
        balances = await self.ledger.read_balances(chart.pockets(person.id))
        return {
            code.rpartition("/")[2]: balance.available
            for code, balance in balances.items()
            if balance.available
        }

    async def owed(self, person: Person) -> int:
        account = chart.owed(person.id)
        return -(await self.ledger.read_balances([account]))[account.code].posted

    async def circulation(self) -> int:
        """All pockets, held included, less what is owed."""
        total = 0
        for person in (self.tom, self.tim):
            balances = await self.ledger.read_balances(chart.pockets(person.id))
            total += sum(balance.posted for balance in balances.values())
            total -= await self.owed(person)
        return total

    async def linked(self) -> Person:
        code = await self.links.create_link_code(self.tom)
        proposal = await self.links.enter_code(self.tim, code)
        assert not await self.links.accept_proposal(proposal.id, self.tim)
        assert await self.links.accept_proposal(proposal.id, self.tom)
        return await self.people.get_or_create("discord", "9", language="en")


@pytest_asyncio.fixture
async def two(store: Database, ledger: Ledger, clock: TestClock) -> AsyncIterator[Two]:
    vault = await Vault.open([bytes([9]) * 32], store, ledger)
    people = Users(ledger=ledger, vault=vault, welcome_gift=WelcomeGift(Credits(20), 100))
    links = Links(ledger=ledger, users=people, plan_earnings_merge=nothing)
    tom = await people.get_or_create("telegram", "7", language="en")
    clock.advance(seconds=5)
    tim = await people.get_or_create("discord", "9", language="zh-CN")
    yield Two(people, links, ledger, clock, tom, tim)


async def test_two_become_one_and_everything_moves(two: Two) -> None:
    before = await two.circulation()
    survivor = await two.linked()
    assert survivor.id == two.tom.id
    assert survivor.language == "en", "the older person's language stays"
    assert await two.credits(two.tom) == {"gift": 40}
    assert await two.credits(two.tim) == {}
    assert await two.circulation() == before
    assert await two.people.list_merged_ids(two.tom.id) == [two.tom.id, two.tim.id]
    assert await two.people.list_identities(two.tom.id) == [("telegram", "7"), ("discord", "9")]


async def test_each_sees_whom_they_join_and_both_must_agree(two: Two) -> None:
    code = await two.links.create_link_code(two.tom)
    assert await two.links.find_pending_proposal(two.tom) is None
    seen = await two.links.enter_code(two.tim, code.lower())
    assert seen.names == ("telegram:7",)
    assert seen.survivor == two.tom
    other = await two.links.find_pending_proposal(two.tom)
    assert other is not None
    assert other.names == ("discord:9",)
    assert not await two.links.accept_proposal(seen.id, two.tim)
    assert not await two.links.accept_proposal(seen.id, two.tim)
    assert await two.credits(two.tim) == {"gift": 20}
    await two.links.cancel_proposal(seen.id, two.tom)
    with pytest.raises(LinkRefused):
        await two.links.accept_proposal(seen.id, two.tom)


async def test_a_stranger_can_neither_agree_nor_take_a_code_that_is_taken(two: Two) -> None:
    mallory = await two.people.get_or_create("telegram", "66", language="en")
    code = await two.links.create_link_code(two.tom)
    proposal = await two.links.enter_code(two.tim, code)
    with pytest.raises(LinkRefused):
        await two.links.enter_code(mallory, code)
    with pytest.raises(LinkRefused):
        await two.links.accept_proposal(proposal.id, mallory)
    assert await two.links.find_pending_proposal(mallory) is None


async def test_codes_are_ones_own_old_wrong_or_used(two: Two) -> None:
    code = await two.links.create_link_code(two.tom)
    with pytest.raises(AlreadyLinked):
        await two.links.enter_code(two.tom, code)
    two.clock.advance(seconds=601)
    with pytest.raises(LinkRefused):
        await two.links.enter_code(two.tim, code)
    for _ in range(4):
        with pytest.raises(LinkRefused):
            await two.links.enter_code(two.tim, "AAAA-AAAA-AAAA")
    with pytest.raises(TooManyAttempts):
        await two.links.enter_code(two.tim, await two.links.create_link_code(two.tom))
    two.clock.advance(seconds=601)
    await two.linked()


async def test_from_both_sides_at_once_and_twice(two: Two) -> None:
    before = await two.circulation()
    from_tom, from_tim = await asyncio.gather(
        two.links.create_link_code(two.tom), two.links.create_link_code(two.tim)
    )
    one = await two.links.enter_code(two.tim, from_tom)
    other = await two.links.enter_code(two.tom, from_tim)
    await asyncio.gather(
        *(
            two.links.accept_proposal(link, person)
            for link in (one.id, other.id)
            for person in (two.tom, two.tim)
        ),
        return_exceptions=True,
    )
    assert await two.credits(two.tom) == {"gift": 40}
    assert await two.credits(two.tim) == {}
    assert await two.circulation() == before


async def test_holds_that_were_open_on_both_return_to_the_survivor(two: Two) -> None:
    for person, amount in ((two.tom, 5), (two.tim, 12)):
        await two.ledger.submit(
            Submission(
                f"ask/{person.id}/hold",
                (chart.hold_credits(chart.pockets(person.id), "gpt-4", Credits(amount)),),
            )
        )
    before = await two.circulation()
    await two.linked()
    assert await two.credits(two.tom) == {"gift": 20 - 5 + 20 - 12}
    for person, charge in ((two.tom, 5), (two.tim, 4)):
        await two.ledger.submit(
            Submission(
                f"ask/{person.id}/settle",
                (chart.settle_credits(f"ask/{person.id}/hold", Credits(charge)),),
            )
        )
    await two.links.forward_merged_balances()
    await two.links.forward_merged_balances()
    assert await two.credits(two.tim) == {}
    assert await two.credits(two.tom) == {"gift": 40 - 5 - 4}
    assert await two.circulation() == before - 9


async def test_what_is_owed_moves_along_and_is_repaid_first(two: Two) -> None:
    owing = Move("owing", chart.owed(two.tim.id), chart.issued("contribution"), Credits(50))
    await two.ledger.submit(Submission("claw-back", (owing,)))
    before = await two.circulation()
    await two.linked()
    assert await two.owed(two.tim) == 0
    assert await two.owed(two.tom) == 10
    assert await two.credits(two.tom) == {}
    assert await two.circulation() == before


async def test_unlink_parts_the_name_alone_and_welcomes_nobody(two: Two) -> None:
    await two.linked()
    assert await two.people.unlink_identity("discord", "9")
    parted = await two.people.get_or_create("discord", "9", language="en")
    assert parted.id not in {two.tom.id, two.tim.id}
    assert await two.credits(parted) == {}
    assert await two.credits(two.tom) == {"gift": 40}
    assert not await two.people.unlink_identity("discord", "9"), "it is their only name now"
