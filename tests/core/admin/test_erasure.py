"""Erasing: nothing keeps who it was, the ledger keeps every amount, and nothing is farmed by it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from core import chart
from core.admin.erasure import NotErasable
from core.admin_log import admin_log_row
from core.db import schema
from core.db.writes import Delete, Insert
from core.ledger.types import Entry, Submission
from core.money import Credits
from tests.core.admin.erasure_support import _filled, _payout
from tests.core.earnings.world import BRIEFS, Market
from tests.support.databases import TestClock
from tests.support.service import running

#: An id that stands nowhere by chance.
NAME = "770077007"


@pytest.fixture
async def there(database_url: str, clock: TestClock) -> AsyncIterator[Market]:
    async with running(
        database_url, clock, welcome=20, keys=2, policy=BRIEFS, budget="100"
    ) as service:
        yield Market(service, clock)


async def erases(there: Market, name: str, *, theirs: bool = True) -> str:
    person = await there.person(name)
    row = admin_log_row(there.clock, actor=person.id, act="erase", before={}, after={})
    await there.service.app.services.admin.erasure.erase_person(
        person, is_own_request=theirs, companion=row
    )
    return person.id


async def everything(there: Market) -> str:
    """Each row of each table, as text."""
    rows = [
        await there.service.app.services.base.db.fetch(t.select())
        for t in schema.metadata.sorted_tables
    ]
    return "\n".join(str(list(row)) for found in rows for row in found)


async def test_nothing_keeps_the_name_and_every_amount_stays(there: Market) -> None:
    tom = there.service.someone(NAME)
    await tom.answer("a canary question?")
    await tom.screen("/balance")
    await tom.screen("/invite")
    await there.gets(NAME, 500)
    assert NAME in await everything(there)
    spent = await there.posted(chart.spent("gpt-4"))
    person = await erases(there, NAME)
    assert NAME not in await everything(there)
    assert await there.posted(*chart.pockets(person)) == [0, 0, 0]
    assert await there.posted(chart.FORFEITED) == [520 - spent[0]]
    assert await there.posted(chart.spent("gpt-4")) == spent
    rows = await there.service.app.services.base.db.fetch(sa.select(schema.ask))
    assert [(row.question, row.answer) for row in rows] == [(None, None)]


async def test_who_comes_back_is_new_without_a_welcome_or_an_inviter(there: Market) -> None:
    friend = await there.person("8")
    code = await there.service.app.services.users.referrals.get_or_create_code(friend)
    before = await erases(there, NAME)
    back = await there.person(NAME)
    assert back.id != before
    assert await there.has(NAME) == {}
    bound = await there.service.app.services.users.referrals.bind_inviter(
        back, code, "telegram", NAME
    )
    assert not bound, "or each return would be a friend again"
    assert await there.has("9") == {"gift": 20}, "others are welcome as ever"


async def test_keys_are_taken_out_and_a_withdrawal_is_cancelled(there: Market) -> None:
    key = await there.contributes(NAME, "sk-erased-person-00000001", "10")
    await there.gets("8", 200)
    await there.asks("8", 20)
    held = (await there.person(NAME)).id
    stakes = await there.service.app.services.admin.erasure.get_losses(
        await there.person(NAME), is_own_request=True
    )
    assert stakes.keys == 1
    await erases(there, NAME)
    await there.service.app.services.earnings.termination.process_terminations()
    await there.service.app.services.admin.erasure.forfeit_leftovers()
    assert await there.posted(*chart.pockets(held)) == [0, 0, 0]
    rows = await there.service.app.services.base.db.fetch(
        sa.select(schema.key.c.sealed, schema.key.c.state).where(schema.key.c.id == key)
    )
    assert [(row.sealed, row.state) for row in rows] == [(None, "withdrawn")]


async def test_a_key_that_waits_for_consent_goes_at_once(there: Market) -> None:
    key = await there.offers(NAME, "sk-erased-person-00000002")
    await erases(there, NAME)
    found = await there.service.app.services.base.db.fetch(
        sa.select(schema.key.c.sealed).where(schema.key.c.id == key)
    )
    assert [row.sealed for row in found if row.sealed is not None] == []


async def test_what_comes_later_is_swept(there: Market) -> None:
    gone = await erases(there, NAME)
    entry = chart.give_gift(gone, "referral", Credits(7))
    await there.service.app.services.base.ledger.submit(_late(entry))
    await there.service.app.services.admin.erasure.forfeit_leftovers()
    await there.service.app.services.admin.erasure.forfeit_leftovers()
    assert await there.posted(*chart.pockets(gone)) == [0, 0, 0]
    assert await there.posted(chart.FORFEITED) == [27]


@pytest.mark.parametrize("why", ["order", "payout", "dispute", "owes", "role", "gone"])
async def test_what_has_to_end_first(there: Market, why: str) -> None:
    person = await there.person(NAME)
    store, ledger = there.service.app.services.base.db, there.service.app.services.base.ledger
    match why:
        case "order" | "dispute":
            await ledger.record(Insert(schema.order, _order(person.id, why)))
        case "payout":
            await ledger.record(Insert(schema.payout, _payout(person.id)))
        case "owes":
            await ledger.submit(_late(*chart.reverse_topup(person.id, Credits(100), Credits(0))))
        case "role":
            row = {"platform": "telegram", "external_id": NAME, "since": 1, "role": "support"}
            await ledger.record(Insert(schema.owner, row))
        case "gone":
            await erases(there, NAME)
    row = admin_log_row(there.clock, actor="", act="erase", before={}, after={})
    with pytest.raises(NotErasable) as refused:
        await there.service.app.services.admin.erasure.erase_person(
            person, is_own_request=True, companion=row
        )
    assert refused.value.reason == why
    names = await store.fetch(
        sa.select(schema.identity).where(schema.identity.c.external_id == NAME)
    )
    assert len(names) == (why != "gone")
    if why in {"order", "dispute", "payout"}:  # rows of this test alone, which no audit knows
        for table in (schema.order, schema.payout):
            await ledger.record(_deleted(table, person.id))


async def test_the_operator_may_erase_who_owes(there: Market) -> None:
    person = await there.person(NAME)
    owed = chart.reverse_topup(person.id, Credits(100), Credits(0))
    await there.service.app.services.base.ledger.submit(_late(*owed))
    await erases(there, NAME, theirs=False)
    assert await there.posted(chart.owed(person.id)) == [-80]


async def test_twice_at_once_is_once(there: Market) -> None:
    await there.gets(NAME, 500)
    done = await asyncio.gather(*(erases(there, NAME) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(one, str | NotErasable) for one in done)
    assert await there.posted(chart.FORFEITED) == [520]


def _late(*entries: Entry) -> Submission:
    return Submission(f"test/{len(entries)}", entries)


def _deleted(table: sa.Table, person: str) -> Delete:
    return Delete(table, {"person": person})


def _order(person: str, why: str) -> dict[str, Any]:
    """A row that stands for one that is open, or disputed."""
    given: dict[str, Any] = {
        "id": "ord_1",
        "person": person,
        "gateway": "sandbox",
        "unit": "USD",
        "state": "pending" if why == "order" else "expired",
        "dispute_state": "open" if why == "dispute" else "",
    }
    return _filled(schema.order, given)
