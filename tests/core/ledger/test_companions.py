"""Companions: written with their submission or not at all, and never at a neighbour's cost."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.db.writes import Add, Companion, Delete, Insert, Update, UpdateAll
from core.ledger.ledger import Ledger
from core.ledger.types import Balance, CompanionRefused, Submission
from tests.core.ledger.accounts import GIFT, give
from tests.support.databases import TestClock


def chore(name: str, owner: str = "nobody", *, ignore: bool = False) -> Insert:
    row = {"name": name, "owner": owner, "lease_until": 0, "done_at": 0}
    return Insert(schema.chore, row, ignore=ignore)


def take(name: str, owner: str, /, **expect: Any) -> Update:
    return Update(schema.chore, {"name": name}, {"owner": owner}, expect)


def with_rows(submission: Submission, *companions: Companion) -> Submission:
    return Submission(submission.id, submission.entries, companions, submission.watch)


async def owners(store: Database) -> dict[str, str]:
    rows = await store.fetch(sa.select(schema.chore.c.name, schema.chore.c.owner))
    return {row.name: row.owner for row in rows}


async def test_rows_are_written_with_the_transfers(ledger: Ledger, store: Database) -> None:
    await ledger.submit(with_rows(give("g", 5), chore("sweep"), take("sweep", "me")))
    assert await owners(store) == {"sweep": "me"}


async def test_on_postgresql_a_submission_with_its_rows_is_two_round_trips(
    postgres_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.db.postgres_pipeline import PostgresPipeline

    store = await Database.open(postgres_url, kind=None, clock=clock)
    ledger = Ledger(store, clock)
    await ledger.start()
    await ledger.submit(give("g0", 5))
    trips: list[str] = []
    run, execute = PostgresPipeline.run, psycopg.Connection.execute

    def run_and_note(self: PostgresPipeline, statements: Any) -> Any:
        trips.append("together")
        return run(self, statements)

    def execute_and_note(self: psycopg.Connection[Any], *arguments: Any, **options: Any) -> Any:
        trips.append("alone")
        return execute(self, *arguments, **options)

    monkeypatch.setattr(PostgresPipeline, "run", run_and_note)
    monkeypatch.setattr(psycopg.Connection, "execute", execute_and_note)
    rows = (chore("a"), chore("b"), take("a", "me"), Delete(schema.chore, {"name": "b"}))
    await ledger.submit(with_rows(give("g1", 5), *rows))
    assert trips == ["together", "together"]
    monkeypatch.undo()
    assert await owners(store) == {"a": "me"}
    await ledger.stop()
    await store.close()


async def test_a_refused_row_refuses_its_submission(ledger: Ledger, store: Database) -> None:
    await ledger.record(chore("sweep", "first"))
    with pytest.raises(CompanionRefused) as refused:
        await ledger.submit(with_rows(give("g", 5), chore("audit"), chore("sweep", "second")))
    assert refused.value.table == "chore"
    assert await owners(store) == {"sweep": "first"}
    assert await ledger.find_receipt("g") is None
    assert await ledger.read_balances([GIFT]) == {"user/1/gift": Balance()}


async def test_an_update_counts_only_while_the_row_is_as_expected(
    ledger: Ledger, store: Database
) -> None:
    await ledger.record(chore("sweep", "a"))
    await ledger.record(take("sweep", "b", owner="a"))
    with pytest.raises(CompanionRefused):
        await ledger.record(take("sweep", "c", owner="a"))
    await ledger.record(take("sweep", "d", owner=("a", "b"), lease_until=0))
    with pytest.raises(CompanionRefused):
        await ledger.record(take("absent", "e"))
    assert await owners(store) == {"sweep": "d"}


async def test_null_is_something_to_expect(ledger: Ledger, store: Database) -> None:
    row = {"name": "fingerprint", "sealed": b"\0sealed"}
    await ledger.record(Insert(schema.vault_secret, row))
    identity = {"id": "p_1", "created_at": 1, "language": "en", "zone": "UTC", "model": ""}
    person = {**identity, "footer": True, "own_keys_only": False}
    await ledger.record(Insert(schema.person, person))
    take_key = Update(schema.person, {"id": "p_1"}, {"data_key": b"\0"}, {"data_key": None})
    await ledger.record(take_key)
    with pytest.raises(CompanionRefused):
        await ledger.record(take_key)
    found = (await store.fetch(sa.select(schema.person)))[0]
    assert (found.footer, found.own_keys_only, found.data_key) == (True, False, b"\0")


async def test_ignored_inserts_leave_what_is_there(ledger: Ledger, store: Database) -> None:
    await ledger.record(chore("sweep", "first"))
    await ledger.record(chore("sweep", "second", ignore=True), chore("audit", ignore=True))
    assert await owners(store) == {"sweep": "first", "audit": "nobody"}


async def test_deletions_remove_what_matches(ledger: Ledger, store: Database) -> None:
    await ledger.record(chore("a", "x"), chore("b", "x"), chore("c", "y"))
    await ledger.record(Delete(schema.chore, {"owner": "x"}), Delete(schema.chore, {"name": "?"}))
    assert await owners(store) == {"c": "y"}


async def test_rows_come_and_go_in_the_order_given(ledger: Ledger, store: Database) -> None:
    await ledger.record(chore("c"), Delete(schema.chore, {"name": "c"}), chore("d"))
    assert await owners(store) == {"d": "nobody"}


async def test_a_row_may_change_hands_within_one_record(ledger: Ledger, store: Database) -> None:
    await ledger.record(chore("a"), Delete(schema.chore, {"name": "a"}), chore("a", "again"))
    assert await owners(store) == {"a": "again"}


def day(token: str, units: int = 0) -> Insert:
    return Insert(schema.api_spending, {"token": token, "day": 1, "credits": units})


def add(token: str, units: int, at_most: int | None = None) -> Add:
    return Add(schema.api_spending, {"token": token, "day": 1}, "credits", units, at_most)


async def spending(store: Database) -> dict[str, int]:
    table = schema.api_spending
    return {row.token: row.credits for row in await store.fetch(sa.select(table))}


async def test_what_is_added_is_added_to_what_is_there(ledger: Ledger, store: Database) -> None:
    await ledger.record(day("a", 5), day("b", 7))
    await ledger.record(add("a", 3), add("a", -9), add("a", 2, at_most=1))
    assert await spending(store) == {"a": 1, "b": 7}


async def test_nothing_is_added_above_a_bound_or_where_no_row_is(
    ledger: Ledger, store: Database
) -> None:
    await ledger.record(day("a", 5))
    await ledger.record(add("a", 5, at_most=10))
    for refused in (add("a", 1, at_most=10), add("a", 0, at_most=9), add("absent", 1)):
        with pytest.raises(CompanionRefused) as raised:
            await ledger.submit(with_rows(give("g", 5), refused))
        assert raised.value.table == "api_spending"
    assert await ledger.find_receipt("g") is None
    assert await spending(store) == {"a": 10}


@pytest.mark.parametrize("amounts", [[1] * 64, [7] * 64, [9, 1] * 32, [65, *[1] * 63]])
async def test_in_a_batch_of_64_a_bound_holds_and_takes_all_that_fits(
    ledger: Ledger, store: Database, amounts: list[int]
) -> None:
    bound = 40
    await ledger.record(day("a"), day("b"))
    answers = await asyncio.gather(
        *[
            ledger.submit(with_rows(give(f"g{n:02}", 1), add("a", amount, bound), add("b", 1)))
            for n, amount in enumerate(amounts)
        ],
        return_exceptions=True,
    )
    expected = fits = 0
    for amount, answer in zip(amounts, answers, strict=True):
        does_fit = expected + amount <= bound
        assert isinstance(answer, CompanionRefused) is not does_fit, answer
        expected, fits = (expected + amount, fits + 1) if does_fit else (expected, fits)
    assert await spending(store) == {"a": expected, "b": fits}
    assert await ledger.read_balances([GIFT]) == {"user/1/gift": Balance(0, 0, 0, fits)}


async def test_in_a_batch_of_64_one_stale_companion_stops_only_itself(
    ledger: Ledger, store: Database
) -> None:
    await ledger.record(*[chore(f"c{n:02}", "before") for n in range(64)])
    await ledger.record(take("c17", "somebody else"))
    submissions = [
        with_rows(give(f"g{n:02}", 1), take(f"c{n:02}", "after", owner="before")) for n in range(64)
    ]
    answers = await asyncio.gather(
        *[ledger.submit(submission) for submission in submissions], return_exceptions=True
    )
    assert [n for n, answer in enumerate(answers) if isinstance(answer, Exception)] == [17]
    assert isinstance(answers[17], CompanionRefused)
    assert await ledger.read_balances([GIFT]) == {"user/1/gift": Balance(0, 0, 0, 63)}
    assert set((await owners(store)).values()) == {"after", "somebody else"}
    # What was refused may come again once it fits, under the same id.
    await ledger.submit(with_rows(give("g17", 1), take("c17", "after")))
    assert await ledger.read_balances([GIFT]) == {"user/1/gift": Balance(0, 0, 0, 64)}


async def test_a_retry_does_not_carry_out_companions_again(ledger: Ledger, store: Database) -> None:
    await ledger.submit(with_rows(give("g", 5), chore("sweep")))
    again = await ledger.submit(with_rows(give("g", 5), chore("sweep")))
    assert again.existed
    assert await owners(store) == {"sweep": "nobody"}


@pytest.mark.parametrize(
    "companion",
    [
        Insert(schema.chore, {"name": "a"}),
        Insert(schema.chore, {"nome": "a"}),
        Insert(schema.account, {"id": 1}),
        Insert(schema.chore, {"name": 1, "owner": "", "lease_until": 0, "done_at": 0}),
        Insert(schema.chore, {"name": "a\0", "owner": "", "lease_until": 0, "done_at": 0}),
        Insert(schema.chore, {"name": "\ud800", "owner": "", "lease_until": 0, "done_at": 0}),
        Insert(schema.chore, {"name": "a", "owner": "", "lease_until": 1 << 63, "done_at": 0}),
        Insert(schema.chore, {"name": "a", "owner": "", "lease_until": True, "done_at": 0}),
        Update(schema.chore, {"owner": "a"}, {"owner": "b"}),
        Update(schema.chore, {"name": "a"}, {}),
        Update(schema.chore, {"name": "a"}, {"owner": "b"}, {"owner": ()}),
        Add(schema.chore, {"name": "a"}, "nome", 1),
        Add(schema.chore, {"owner": "a"}, "done_at", 1),
        Add(schema.chore, {"name": "a"}, "done_at", 1 << 63),
        Add(schema.chore, {"name": "a"}, "done_at", 1, 1 << 63),
        Add(schema.transfer, {"seq": 1}, "amount", 1),
        Delete(schema.chore, {}),
        UpdateAll(schema.chore, {}, {"owner": "b"}),
        UpdateAll(schema.chore, {"owner": "a"}, {}),
        Delete(schema.transfer, {"seq": 1}),
    ],
)
async def test_bugs_are_told_before_anything_queues(ledger: Ledger, companion: Companion) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        await ledger.record(companion)
