"""People: made once, welcomed once and within a cap; settings and data keys survive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core import chart
from core.db.database import Store
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pool.vault import Unsealable, Vault
from core.users.roles import Owners
from core.users.service import People
from core.users.types import UnknownPerson, Welcome
from tests.databases import TestClock

MASTER = bytes([9]) * 32


@pytest_asyncio.fixture
async def people(store: Store, ledger: Ledger, clock: TestClock) -> AsyncIterator[People]:
    yield await _people(store, ledger, clock)


async def _people(store: Store, ledger: Ledger, clock: TestClock, *, cap: int = 100) -> People:
    vault = await Vault.open([MASTER], store, ledger)
    return People(
        store=store, ledger=ledger, vault=vault, clock=clock, welcome=Welcome(Credits(20), cap)
    )


async def _gift(ledger: Ledger, person: str) -> int:
    account = chart.pocket(person, "gift")
    return (await ledger.balances([account]))[account.code].available


async def test_someone_new_is_welcomed_once(people: People, ledger: Ledger) -> None:
    tom = await people.of("telegram", "7", language="zh-CN")
    assert tom.language == "zh-CN"
    assert await _gift(ledger, tom.id) == 20
    again = await people.of("telegram", "7", language="en")
    assert again == tom
    assert await _gift(ledger, tom.id) == 20


async def test_two_processes_that_meet_someone_at_once_make_one_person(
    store: Store, ledger: Ledger, clock: TestClock
) -> None:
    processes = [await _people(store, ledger, clock) for _ in range(4)]
    met = await asyncio.gather(*(one.of("telegram", "7", language="en") for one in processes))
    assert len({person.id for person in met}) == 1
    account = chart.issued("welcome")
    assert (await ledger.balances([account]))[account.code].debits_posted == 20


async def test_no_more_people_a_day_are_welcomed_than_the_cap(
    store: Store, ledger: Ledger, clock: TestClock
) -> None:
    people = await _people(store, ledger, clock, cap=2)
    gifts = []
    for sender in ("1", "2", "3"):
        person = await people.of("telegram", sender, language="en")
        gifts.append(await _gift(ledger, person.id))
    assert gifts == [20, 20, 0]
    clock.advance(days=1)
    person = await people.of("telegram", "4", language="en")
    assert await _gift(ledger, person.id) == 20


async def test_settings_are_seen_by_other_processes(
    people: People, store: Store, ledger: Ledger, clock: TestClock
) -> None:
    other = await _people(store, ledger, clock)
    tom = await other.of("telegram", "7", language="en")
    await people.change(tom, language="zh-CN", footer=False)
    clock.advance(seconds=11)
    seen = await other.of("telegram", "7", language="en")
    assert (seen.language, seen.footer) == ("zh-CN", False)


async def test_people_are_found_by_platform_id_or_own_id(people: People) -> None:
    tom = await people.of("telegram", "7", language="en")
    assert (await people.find("telegram:7")).id == tom.id
    assert (await people.find(tom.id)).id == tom.id
    for wrong in ("telegram:8", "usr_nobody", "", "7"):
        with pytest.raises(UnknownPerson):
            await people.find(wrong)


async def test_what_was_sealed_before_an_erasure_is_gone(people: People) -> None:
    tom = await people.of("telegram", "7", language="en")
    key = await people.data_key(tom)
    sealed = key.seal("ask/1/question", b"my secret")
    assert (await people.data_key(tom)).unseal("ask/1/question", sealed) == b"my secret"
    with pytest.raises(Unsealable):
        key.unseal("ask/2/question", sealed)
    await people.erase_history(tom)
    fresh = await people.data_key(await people.find(tom.id))
    with pytest.raises(Unsealable):
        fresh.unseal("ask/1/question", sealed)


async def test_an_owners_link_works_once_and_for_a_day(
    store: Store, ledger: Ledger, clock: TestClock
) -> None:
    owners = Owners(store=store, ledger=ledger, clock=clock, admins=[("telegram", "1")])
    await owners.load()
    assert owners.role("telegram", "1") == "owner"
    code = await owners.offer()
    assert not await owners.claim("own_nonsense", "telegram", "7")
    assert await owners.claim(code, "telegram", "7")
    assert owners.role("telegram", "7") == "owner"
    assert not await owners.claim(code, "telegram", "66")
    assert owners.role("telegram", "66") is None
    late = await owners.offer()
    clock.advance(days=2)
    assert not await owners.claim(late, "telegram", "66")
    other = Owners(store=store, ledger=ledger, clock=clock, admins=())
    await other.load()
    assert other.on("telegram") == ["7"]


async def test_two_openers_of_one_link_make_one_owner(
    store: Store, ledger: Ledger, clock: TestClock
) -> None:
    owners = Owners(store=store, ledger=ledger, clock=clock, admins=())
    code = await owners.offer()
    claimed = await asyncio.gather(*(owners.claim(code, "telegram", one) for one in "789"))
    assert sum(claimed) == 1
    assert len(owners.on("telegram")) == 1
