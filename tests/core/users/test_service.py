"""People: made once, welcomed once and within a cap; settings and data keys survive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core import chart
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pool.vault import Unsealable, Vault
from core.users.roles import Roles
from core.users.service import Users
from core.users.types import UnknownPerson, WelcomeGift
from tests.support.databases import TestClock

MASTER = bytes([9]) * 32


@pytest_asyncio.fixture
async def people(store: Database, ledger: Ledger, clock: TestClock) -> AsyncIterator[Users]:
    yield await _people(store, ledger, clock)


async def _people(store: Database, ledger: Ledger, clock: TestClock, *, cap: int = 100) -> Users:
    vault = await Vault.open([MASTER], store, ledger)
    return Users(ledger=ledger, vault=vault, welcome_gift=WelcomeGift(Credits(20), cap))


async def _gift(ledger: Ledger, person: str) -> int:
    account = chart.pocket(person, "gift")
    return (await ledger.read_balances([account]))[account.code].available


async def test_someone_new_is_welcomed_once(people: Users, ledger: Ledger) -> None:
    tom = await people.get_or_create("telegram", "7", language="zh-CN")
    assert tom.language == "zh-CN"
    assert await _gift(ledger, tom.id) == 20
    again = await people.get_or_create("telegram", "7", language="en")
    assert again == tom
    assert await _gift(ledger, tom.id) == 20


async def test_two_processes_that_meet_someone_at_once_make_one_person(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    processes = [await _people(store, ledger, clock) for _ in range(4)]
    met = await asyncio.gather(
        *(one.get_or_create("telegram", "7", language="en") for one in processes)
    )
    assert len({person.id for person in met}) == 1
    account = chart.issued("welcome")
    assert (await ledger.read_balances([account]))[account.code].debits_posted == 20


async def test_no_more_people_a_day_are_welcomed_than_the_cap(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    people = await _people(store, ledger, clock, cap=2)
    gifts = []
    for sender in ("1", "2", "3"):
        person = await people.get_or_create("telegram", sender, language="en")
        gifts.append(await _gift(ledger, person.id))
    assert gifts == [20, 20, 0]
    clock.advance(days=1)
    person = await people.get_or_create("telegram", "4", language="en")
    assert await _gift(ledger, person.id) == 20


async def test_settings_are_seen_by_other_processes(
    people: Users, store: Database, ledger: Ledger, clock: TestClock
) -> None:
    other = await _people(store, ledger, clock)
    tom = await other.get_or_create("telegram", "7", language="en")
    await people.update_settings(tom, language="zh-CN", footer=False)
    clock.advance(seconds=11)
    seen = await other.get_or_create("telegram", "7", language="en")
    assert (seen.language, seen.footer) == ("zh-CN", False)


async def test_people_are_found_by_platform_id_or_own_id(people: Users) -> None:
    tom = await people.get_or_create("telegram", "7", language="en")
    assert (await people.find("telegram:7")).id == tom.id
    assert (await people.find(tom.id)).id == tom.id
    for wrong in ("telegram:8", "usr_nobody", "", "7"):
        with pytest.raises(UnknownPerson):
            await people.find(wrong)


async def test_what_was_sealed_before_an_erasure_is_gone(people: Users) -> None:
    tom = await people.get_or_create("telegram", "7", language="en")
    key = await people.get_data_key(tom)
    sealed = key.seal("ask/1/question", b"my secret")
    assert (await people.get_data_key(tom)).unseal("ask/1/question", sealed) == b"my secret"
    with pytest.raises(Unsealable):
        key.unseal("ask/2/question", sealed)
    await people.erase_history(tom)
    fresh = await people.get_data_key(await people.find(tom.id))
    with pytest.raises(Unsealable):
        fresh.unseal("ask/1/question", sealed)


async def test_an_owners_link_works_once_and_for_a_day(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    owners = Roles(ledger=ledger, operators=[("telegram", "1")])
    await owners.load()
    assert owners.get_role("telegram", "1") == "owner"
    code = await owners.create_operator_code()
    assert not await owners.claim_code("own_nonsense", "telegram", "7")
    assert await owners.claim_code(code, "telegram", "7")
    assert owners.get_role("telegram", "7") == "owner"
    assert not await owners.claim_code(code, "telegram", "66")
    assert owners.get_role("telegram", "66") is None
    late = await owners.create_operator_code()
    clock.advance(days=2)
    assert not await owners.claim_code(late, "telegram", "66")
    other = Roles(ledger=ledger, operators=())
    await other.load()
    assert other.list_admin_ids("telegram") == ["7"]


async def test_two_openers_of_one_link_make_one_owner(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    owners = Roles(ledger=ledger, operators=())
    code = await owners.create_operator_code()
    claimed = await asyncio.gather(*(owners.claim_code(code, "telegram", one) for one in "789"))
    assert sum(claimed) == 1
    assert len(owners.list_admin_ids("telegram")) == 1
