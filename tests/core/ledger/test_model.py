"""The ledger against a plain one-at-a-time model, on whatever hypothesis thinks of."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from core.db import schema
from core.db.database import Database
from core.db.writes import Delete, Insert, Update
from core.ledger.audit import check_ledger
from core.ledger.ledger import Ledger
from core.ledger.types import (
    Account,
    Accrue,
    AtMost,
    BalanceLimit,
    Capped,
    Cascade,
    LedgerRefusal,
    Move,
    Settle,
    Share,
    Submission,
    SweepOwed,
)
from core.money import Credits, NanoUsd
from tests.core.ledger.accounts import BOUGHT, GIFT, ISSUED, OWED, SPENT
from tests.core.ledger.model import Model
from tests.support.databases import Postgres, TestClock
from tests.support.size import size

KEY = Account("key/1", NanoUsd, BalanceLimit.DEBITS_WITHIN_CREDITS)
SUPPLY = Account("supply/own", NanoUsd)
COUNTED = Account("counted", Credits)
ALL = (GIFT, BOUGHT, OWED, ISSUED, SPENT, KEY, SUPPLY, COUNTED)
IDS = [f"s{n}" for n in range(12)]
NAMES = ["a", "b", "c"]
OWNERS = ["x", "y"]

amounts = st.integers(1, 40)
credits_ = amounts.map(Credits)
pockets = st.sampled_from([(GIFT, BOUGHT), (BOUGHT, GIFT), (GIFT,)])
pairs = st.sampled_from(
    [(ISSUED, GIFT), (ISSUED, BOUGHT), (GIFT, SPENT), (OWED, ISSUED), (GIFT, OWED), (BOUGHT, GIFT)]
)
holds = st.tuples(st.sampled_from(IDS), st.sampled_from(NAMES)).map("/".join)


shares = st.builds(
    lambda parts, way, level: Share(min(parts), max(parts), way[0], ((way[1], level),), way[2]),
    st.tuples(st.integers(1, 10), st.integers(1, 10)),
    st.sampled_from([(GIFT, BOUGHT, SPENT), (BOUGHT, OWED, GIFT), (ISSUED, GIFT, OWED)]),
    st.integers(0, 60).map(Credits),
)


def entry(name: str) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.builds(
            lambda pair, amount, pending: Move(name, *pair, amount, pending),
            *(pairs, credits_, st.booleans()),
        ),
        st.builds(lambda n: Move(name, SUPPLY, KEY, NanoUsd(n)), amounts),
        st.builds(lambda n: Move(name, KEY, SUPPLY, NanoUsd(n), pending=True), amounts),
        st.builds(
            lambda debits, amount, pending: Cascade(name, debits, SPENT, amount, pending),
            *(pockets, credits_, st.booleans()),
        ),
        st.builds(lambda pair, amount: AtMost(name, *pair, amount), pairs, credits_),
        st.builds(lambda hold, n: Settle(name, hold, Credits(n)), holds, st.integers(0, 30)),
        st.builds(lambda debits: SweepOwed(name, debits, OWED), pockets),
        st.builds(
            lambda pair, amount, cap: Capped(name, *pair, amount, Credits(cap)),
            *(pairs, credits_, st.integers(0, 120)),
        ),
        st.builds(
            lambda amount, some: Accrue(name, ISSUED, COUNTED, amount, tuple(some)),
            *(credits_, st.lists(shares, min_size=1, max_size=3)),
        ),
    )


def chore(name: str, owner: str, ignore: bool) -> Insert:
    row = {"name": name, "owner": owner, "lease_until": 0, "done_at": 0}
    return Insert(schema.chore, row, ignore)


companions = st.one_of(
    st.builds(chore, st.sampled_from(NAMES), st.sampled_from(OWNERS), st.booleans()),
    st.builds(
        lambda name, owner, expect: Update(schema.chore, {"name": name}, {"owner": owner}, expect),
        *(st.sampled_from(NAMES), st.sampled_from(OWNERS)),
        st.sampled_from([{}, {"owner": "x"}, {"owner": "y"}]),
    ),
    st.builds(lambda name: Delete(schema.chore, {"name": name}), st.sampled_from(NAMES)),
)
submissions = st.builds(
    lambda row_id, entries, rows: Submission(row_id, entries, tuple(rows)),
    st.sampled_from(IDS),
    st.integers(0, 3).flatmap(lambda n: st.tuples(*[entry(name) for name in NAMES[:n]])),
    st.lists(companions, max_size=2),
)


class LedgerMachine(RuleBasedStateMachine):
    """Submits one or many at once, restarts the ledger, lets days pass."""

    new_url: Callable[[], str]
    done_with: Callable[[str], None]

    def __init__(self) -> None:
        super().__init__()
        self.model, self.clock = Model(), TestClock()
        self.runner = asyncio.Runner()
        self.url = type(self).new_url()
        self.store = self.runner.run(Database.open(self.url, kind="live", clock=self.clock))
        self.ledger = Ledger(self.store, self.clock)
        self.runner.run(self.ledger.start())

    @rule(batch=st.lists(submissions, min_size=1, max_size=6))
    def submit_at_once(self, batch: list[Submission]) -> None:
        expected = [self.model.submit(submission) for submission in batch]
        assert self.runner.run(self._submit(batch)) == expected
        balances = self.runner.run(self.ledger.read_balances(ALL))
        assert balances == {account.code: self.model.balance(account.code) for account in ALL}

    @rule()
    def restart(self) -> None:
        self.runner.run(self.ledger.stop())
        self.ledger = Ledger(self.store, self.clock, batch_max=3)
        self.runner.run(self.ledger.start())

    @rule(days=st.integers(-1, 2))
    def days_pass(self, days: int) -> None:
        self.clock.advance(days=days)

    async def _submit(self, batch: list[Submission]) -> list[Any]:
        answers = await asyncio.gather(
            *[self.ledger.submit(submission) for submission in batch], return_exceptions=True
        )
        return [self._outcome(answer) for answer in answers]

    def _outcome(self, answer: Any) -> Any:
        if isinstance(answer, LedgerRefusal):
            return type(answer)
        if isinstance(answer, BaseException):
            raise answer
        return [(t.entry, t.n, t.kind, t.debit, t.credit, t.amount) for t in answer.transfers]

    def teardown(self) -> None:
        try:
            self.runner.run(self._finish())
        finally:
            self.runner.close()
            type(self).done_with(self.url)

    async def _finish(self) -> None:
        await self.ledger.stop()
        found = await check_ledger(self.store)
        rows = await self.store.fetch(sa.select(schema.chore.c.name, schema.chore.c.owner))
        for row_id, (_, lines) in self.model.state.done.items():
            receipt = await self.ledger.find_receipt(row_id)
            assert receipt is not None
            assert self._outcome(receipt) == lines
        await self.store.close()
        assert found.findings == ()
        assert found.holds == sum(len(open_) for open_ in self.model.state.open.values())
        assert {row.name: row.owner for row in rows} == self.model.state.rows


def run(new_url: Callable[[], str], done_with: Callable[[str], None], examples: int) -> None:
    machine = type(
        "Machine",
        (LedgerMachine,),
        {"new_url": staticmethod(new_url), "done_with": staticmethod(done_with)},
    )
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=15,
            # A failure is told as it was met: making it smaller takes minutes on a real server.
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def folder() -> Any:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_on_sqlite(sqlite_template: Path, folder: Path) -> None:
    def new_url() -> str:
        file = folder / "machine.db"
        shutil.copyfile(sqlite_template, file)
        return f"sqlite:///{file}"

    run(new_url, lambda _url: (folder / "machine.db").unlink(), size(small=14, full=1_000))


def test_on_postgresql(postgres: Postgres, postgres_template: str) -> None:
    def new_url() -> str:
        names.append(postgres.borrow(postgres_template))
        return postgres.url(names[-1])

    names: list[str] = []
    run(new_url, lambda _url: postgres.give_back(names.pop()), size(small=6, full=300))
