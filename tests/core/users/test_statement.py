"""Statements against what people had, in whatever order hypothesis thinks of: what they had before,
and each movement, make what they have; the movements are the ledger's transfers."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from core import chart
from core.asks.run import AskRun
from core.clock import as_datetime
from core.db import schema
from core.earnings.payouts import Payout
from core.errors import Refusal
from core.ledger.account_history import AccountHistory
from core.ledger.daily_closings import close_days
from core.money import Credits, parse_usd, sum_amounts
from core.users.statement import StatementLine, StatementPeriod, Statements, StatementSummary
from payments.types import Payment
from tests.core.earnings.linking_support import LITTLE
from tests.core.earnings.world import Market, market
from tests.support.databases import TestClock
from tests.support.size import size

NAMES = ("tom", "ann", "bob", "alt")
EVERYTHING = StatementPeriod()
names = st.sampled_from(NAMES)
choices = st.integers(0, 999)


def open_statements(shop: Market) -> Statements:
    db = shop.service.app.services.base.db
    return Statements(db=db, history=AccountHistory(db))


async def read_lines(
    statements: Statements, person: str, period: StatementPeriod, count: int = 3
) -> list[StatementLine]:
    """All movements, page by page, the oldest first."""
    page = await statements.list_page(person, period, count)
    lines = list(page.lines)
    while page.next_line is not None:
        start = (page.next_line.seq, page.next_line.at_ms)
        page = await statements.list_page(person, period, count, start=start)
        assert page.lines
        lines += page.lines
    return lines[::-1]


async def check_adds_up(
    statements: Statements, person: str, period: StatementPeriod
) -> StatementSummary:
    summary = await statements.summarize(person, period)
    lines = await read_lines(statements, person, period)
    balance, sums = summary.opening, defaultdict[str, list[int]](lambda: [0, 0])
    for line in lines:
        balance += line.change
        assert line.balance == balance, (line, balance)
        sums[line.kind][0] += 1
        sums[line.kind][1] += line.change.units
    assert balance == summary.closing
    assert dict(sums) == {
        kind: [total.count, total.change.units] for kind, total in summary.kinds.items()
    }
    answers = [summary.kinds[kind].change for kind in ("answer", "returned") if kind in sums]
    models = [total.change for total in summary.models.values()]
    assert sum_amounts(Credits, answers) == sum_amounts(Credits, models)
    return summary


class StatementMachine(RuleBasedStateMachine):
    """Four people; each rule is something that happens to one of them, through the services."""

    #: Gives a fresh database.
    make_url: Callable[[], str]

    def __init__(self) -> None:
        super().__init__()
        self.clock = TestClock()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.numbers = itertools.count(1)
        self.runs: list[AskRun] = []
        self.payments: list[Payment] = []
        self.payouts: list[Payout] = []
        #: What everybody had at some times (ms UTC), by their id.
        self.seen: list[tuple[int, dict[str, int]]] = []
        self.runner.run(self._open())

    async def _open(self) -> None:
        market_context = market(type(self).make_url(), self.clock, policy=LITTLE)
        self.shop = await self.stack.enter_async_context(market_context)
        for name in NAMES:
            await self.shop.gets(name, 30, "gift")
            self.clock.advance(seconds=1)
        await self._look()
        self.keys = [("bob", await self.shop.contributes("bob", "sk-bob-0000000000", "3"))]
        self.clock.advance(seconds=1)
        await self._look()

    def _do(self, work: Any) -> Any:
        """Something happens, or is refused; some seconds later everybody looks at what they
        have."""

        async def whole() -> Any:
            result = None
            with suppress(Refusal):
                result = await work
            self.clock.advance(seconds=1)
            await self._look()
            return result

        return self.runner.run(whole())

    async def _look(self) -> None:
        services = self.shop.service.app.services
        found = {}
        for name in NAMES:
            person = await self.shop.person(name)
            people = await services.users.users.list_merged_ids(person.id)
            keys = await services.base.db.fetch(
                sa.select(schema.contribution.c.key).where(schema.contribution.c.person.in_(people))
            )
            accounts = [account for each in people for account in chart.pockets(each)]
            accounts += [chart.advance(row.key) for row in keys]
            found[person.id] = sum(await self.shop.posted(*accounts))
        self.seen.append((self.clock.now_ms(), found))

    # --- what happens ---------------------------------------------------------------------------

    @rule(hours=st.sampled_from([1, 9, 30]), closing=st.booleans())
    def wait(self, hours: int, closing: bool) -> None:
        async def work() -> None:
            self.clock.advance(seconds=hours * 3_600)
            base = self.shop.service.app.services.base
            if closing:
                today = as_datetime(self.clock.now_ms()).date().isoformat()
                await close_days(base.db, base.ledger, self.clock, today)
            await self.shop.service.app.services.links.forward_merged_balances()

        self._do(work())

    @rule(name=names, dollars=st.sampled_from([3, 100]))
    def buy(self, name: str, dollars: int) -> None:
        bought = self._do(self.shop.buys(name, parse_usd(str(dollars))))
        if bought is not None:
            self.payments.append(bought[1])

    @precondition(lambda self: self.payments)
    @rule(which=choices, what=st.sampled_from(["refund", "open", "lost"]))
    def take_back_payment(self, which: int, what: Any) -> None:
        payment = self.payments[which % len(self.payments)]
        work = self.shop.refunds(payment) if what == "refund" else None
        self._do(work or self.shop.disputes(payment, what))

    @rule(name=names, times=st.integers(1, 6))
    def ask(self, name: str, times: int) -> None:
        self.runs += self._do(self.shop.asks(name, times)) or ()

    @precondition(lambda self: self.runs)
    @rule(which=choices)
    def give_back(self, which: int) -> None:
        run = self.runs[which % len(self.runs)]
        self._do(self.shop.service.app.services.asks.reversal.reverse(run.id))

    @rule(name=names)
    def contribute(self, name: str) -> None:
        secret = f"sk-{name}-{next(self.numbers):010}"
        key = self._do(self.shop.contributes(name, secret, "3"))
        if key is not None:
            self.keys.append((name, key))

    @precondition(lambda self: len(self.keys) > 1)
    @rule(which=choices)
    def take_back_key(self, which: int) -> None:
        name, key = self.keys.pop(which % len(self.keys))
        self._do(self.shop.takes_back(name, key))

    @precondition(lambda self: self.runs)
    @rule(name=names)
    def withdraw(self, name: str) -> None:
        self.clock.advance(days=LITTLE.payout_hold_days + 1)
        payout = self._do(self.shop.withdraws(name, 10))
        if payout is not None:
            self.payouts.append(payout)

    @precondition(lambda self: self.payouts)
    @rule(paid=st.booleans())
    def decide_payout(self, paid: bool) -> None:
        payout = self.payouts.pop()
        withdrawals = self.shop.service.app.services.earnings.withdrawals
        if paid:
            self._do(self.shop.pays_out(payout))
        else:
            self._do(withdrawals.reject_payout(payout.id, actor="usr_operator", reason="no"))

    @rule(name=names, inviter=names)
    def invite(self, name: str, inviter: str) -> None:
        async def work() -> None:
            referrals = self.shop.service.app.services.users.referrals
            code = await referrals.get_or_create_code(await self.shop.person(inviter))
            friend = await self.shop.person(name)
            await referrals.bind_inviter(friend, code, "telegram", name)

        self._do(work())

    @rule(older=names, younger=names)
    def link(self, older: str, younger: str) -> None:
        if older != younger:
            self._do(self.shop.links(older, younger))

    @rule(name=names)
    def unlink(self, name: str) -> None:
        users = self.shop.service.app.services.users.users
        self._do(users.unlink_identity("telegram", name))

    # --- what must hold ---------------------------------------------------------------------------

    def teardown(self) -> None:
        self.runner.run(self._check())
        self.runner.run(self.stack.aclose())  # it leaves with every audit clean
        self.runner.close()

    async def _check(self) -> None:
        statements = open_statements(self.shop)
        for person in self.seen[-1][1]:
            summary = await check_adds_up(statements, person, EVERYTHING)
            assert summary.opening == Credits(0)
            await self._check_times(statements, person)
            await self._check_transfers(person, summary)

    async def _check_times(self, statements: Statements, person: str) -> None:
        """Between any two looks the statement begins and ends with what there was."""
        seen = [(at, found[person]) for at, found in self.seen if person in found]
        middle = seen[len(seen) // 2]
        for start, end in {(seen[0], middle), (middle, seen[-1]), (seen[0], seen[-1])}:
            # What happens at the very moment of a look comes after it.
            period = StatementPeriod(start[0], end[0])
            summary = await check_adds_up(statements, person, period)
            assert (summary.opening.units, summary.closing.units) == (start[1], end[1])

    async def _check_transfers(self, person: str, summary: StatementSummary) -> None:
        """What was paid for answers, came from top-ups and was given are the ledger's own sums."""
        db = self.shop.service.app.services.base.db
        people = await self.shop.service.app.services.users.users.list_merged_ids(person)
        if len(people) > 1 or "link" in summary.kinds:
            return
        own = {account.code for account in chart.pockets(person)}
        rows = await db.fetch(sa.select(schema.contribution.c.key, schema.contribution.c.person))
        own |= {chart.advance(row.key).code for row in rows if row.person == person}
        debit, credit = schema.account.alias(), schema.account.alias()
        transfer = schema.transfer.c
        sums: dict[str, int] = defaultdict(int)
        for row in await db.fetch(
            sa.select(debit.c.code.label("debit"), credit.c.code.label("credit"), transfer.amount)
            .join(debit, debit.c.id == transfer.debit)
            .join(credit, credit.c.id == transfer.credit)
            .where(transfer.kind.in_((0, 2)))
        ):
            if row.debit in own and row.credit not in own:
                sums[row.credit.split("/")[0]] -= row.amount
            elif row.credit in own and row.debit not in own:
                sums[row.debit.split("/")[0]] += row.amount
        kinds = {kind: total.change.units for kind, total in summary.kinds.items()}
        assert sum(sums.values()) == summary.closing.units
        assert sums["spent"] == kinds.get("answer", 0) + kinds.get("returned", 0)
        assert sums["owed"] == kinds.get("repaid", 0)
        assert sums["order"] == kinds.get("dispute", 0)
        assert sums["advanced"] + sums["line"] == kinds.get("advance", 0)
        assert sums["redeemed"] + sums["fee"] == kinds.get("withdrawal", 0)
        issued = ("topup", "refund", "grant", "referral")
        keys = sum(kinds.get(kind, 0) for kind in (*issued, "earned"))
        assert sums["issued"] + sums["key"] == keys
        assert "other" not in kinds


@pytest.fixture(params=["sqlite", "postgresql"])
def make_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Gives fresh databases of each kind."""
    if request.param == "sqlite":
        template, files = request.getfixturevalue("sqlite_template"), itertools.count()

        def copy() -> str:
            return f"sqlite:///{shutil.copyfile(template, tmp_path / f'{next(files)}.db')}"

        yield copy
        return
    postgres = request.getfixturevalue("postgres")
    template, made = request.getfixturevalue("postgres_template"), list[str]()

    def borrow() -> str:
        made.append(postgres.borrow(template))
        return str(postgres.url(made[-1]))

    yield borrow
    for name in made:
        postgres.give_back(name)


@pytest.mark.integration
def test_statements_add_up(make_url: Callable[[], str]) -> None:
    machine = type("Machine", (StatementMachine,), {"make_url": staticmethod(make_url)})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=size(small=2, full=150),
            stateful_step_count=50,
            phases=[Phase.generate],
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
