"""A random year of operations: every figure of every report is what its transfers add up to."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from core import chart
from core.admin.report import OperatorReport, build_report
from core.admin.trial_balance import ReportPeriod
from core.clock import DAY_MS, as_utc_day
from core.db import schema
from core.db.database import Database
from core.db.writes import Insert
from core.earnings.payouts import convert_to_cash
from core.ledger.daily_closings import close_days
from core.ledger.ledger import Ledger
from core.ledger.types import Entry, Submission, TransferKind
from core.money import Credits, NanoUsd, Stars, parse_usd
from core.pricing.formula import PAR
from payments.payment_reader import PaymentReader
from tests.support.databases import TestClock
from tests.support.size import size

PEOPLE = [f"usr_{number}" for number in range(6)]
MODELS = ("gpt-4", "claude-3", "llama-3")
SUPPLIERS = ("openai", "anthropic", "cloudflare")
OPERATIONS = size(small=220, full=4_000)


@dataclass
class Year:
    """Who does what, at random."""

    ledger: Ledger
    clock: TestClock
    chance: random.Random
    number: int = 0
    used: list[dict[str, Any]] = field(default_factory=list)

    async def does(self, *entries: Entry) -> None:
        self.number += 1
        await self.ledger.submit(Submission(f"op/{self.number}", entries))

    async def something(self) -> None:
        chance, person = self.chance, self.chance.choice(PEOPLE)
        amount = Credits(chance.randint(1, 5_000))
        match chance.randint(0, 8):
            case 0:
                fee = NanoUsd(chance.randint(0, 900_000_000))
                cash = PAR.multiply_by(amount.units + 100)
                await self.does(
                    *chart.credit_topup(person, amount, Credits(chance.randint(0, 500))),
                    *chart.receive_cash("stripe", cash, fee),
                )
            case 1:
                await self.does(
                    *chart.credit_topup(person, amount, Credits(0)),
                    *chart.receive_cash("stars", Stars(amount.units), Stars(0)),
                )
            case 2:
                await self.does(
                    chart.give_gift(person, chance.choice(("welcome", "grant")), amount)
                )
            case 3:
                back = Credits(min(amount.units, 300))
                await self.does(
                    *chart.reverse_topup(person, back, Credits(0)),
                    chart.refund_cash("stripe", PAR.multiply_by(back.units)),
                )
            case 4:
                out = convert_to_cash(amount)
                if not out.is_zero:
                    await self.does(chart.send_payout(out))
                    if chance.random() < 0.9:
                        await self.does(*chart.complete_payout("paypal", out, parse_usd("0.25")))
            case _:
                await self.asks(person)

    async def asks(self, person: str) -> None:
        """An ask that is held, and settled at once, with its row."""
        chance = self.chance
        model, supplier = chance.choice(MODELS), chance.choice(SUPPLIERS)
        contributed = chance.random() < 0.4
        pockets = (await self.ledger.read_balances(list(chart.pockets(person)))).values()
        have = sum(max(0, one.available) for one in pockets)
        if not have:
            return
        key = f"key_{supplier}_{'theirs' if contributed else 'own'}"
        charge = Credits(chance.randint(1, min(have, 900)))
        cost = NanoUsd(chance.randint(1, 9_000_000_000))
        self.number += 1
        hold = f"op/{self.number}/hold"
        await self.ledger.submit(
            Submission(
                hold,
                (
                    chart.hold_credits(chart.pockets(person), model, charge),
                    chart.hold_quota(key, supplier, cost, contributed=contributed),
                ),
            )
        )
        paid = chance.randint(0, charge.units)
        row = {
            "ask": f"ask_{self.number}",
            "person": person,
            "at": self.clock.now_ms(),
            "model": model,
            "price": "pri_1",
            "provider": supplier,
            "key": key,
            "input_tokens": 1,
            "cached_tokens": 0,
            "output_tokens": 1,
            "estimated": False,
            "charge": charge.units,
            "paid": paid,
            "cost": cost.units,
        }
        self.used.append(row)
        entries = (chart.settle_credits(hold, charge), chart.settle_quota(hold, cost))
        settled = Submission(f"op/{self.number}/settle", entries, (Insert(schema.usage, row),))
        await self.ledger.submit(settled)


@dataclass(frozen=True)
class Moved:
    """A transfer as the database has it, with the day that it was made on."""

    day: date
    debit: str
    credit: str
    amount: int


async def moves(store: Database) -> list[Moved]:
    """Every posted transfer, plainly."""
    debit, credit = schema.account.alias(), schema.account.alias()
    made = schema.transfer
    rows = await store.fetch(
        sa.select(schema.submission.c.at, debit.c.code, credit.c.code.label("to"), made.c.amount)
        .select_from(
            made.join(schema.submission, schema.submission.c.seq == made.c.submission)
            .join(debit, debit.c.id == made.c.debit)
            .join(credit, credit.c.id == made.c.credit)
        )
        .where(made.c.kind.in_((TransferKind.POSTED.value, TransferKind.POST.value)))
    )
    return [
        Moved(datetime.fromtimestamp(row.at / 1_000, UTC).date(), row.code, row.to, row.amount)
        for row in rows
    ]


def recomputed(
    told: Sequence[Moved], used: Sequence[dict[str, Any]], period: ReportPeriod
) -> dict[str, Any]:
    """The figures of a period by adding up, knowing nothing of accounts' rows or closings."""
    there: defaultdict[str, int] = defaultdict(int)
    within: defaultdict[str, int] = defaultdict(int)
    came: defaultdict[str, int] = defaultdict(int)
    for one in told:
        if one.day <= period.until:
            there[one.debit] -= one.amount
            there[one.credit] += one.amount
            if period.since is None or one.day >= period.since:
                within[one.debit] -= one.amount
                within[one.credit] += one.amount
                came[one.debit] += one.amount
    rows = [row for row in used if period.from_ms <= row["at"] < period.to_ms]
    pockets: defaultdict[str, int] = defaultdict(int)
    for code, amount in there.items():
        if code.startswith("user/"):
            pockets[code.rpartition("/")[2]] += amount
    costs: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for code, amount in within.items():
        if code.startswith("supplier/"):
            costs[code.split("/")[1]][code.endswith("/contributed")] += amount

    def named(kind: str, sign: int = 1) -> dict[str, int]:
        found = {
            code.partition("/")[2]: sign * n
            for code, n in within.items()
            if code.startswith(f"{kind}/") and n
        }
        return dict(sorted(found.items()))

    spent = named("spent")
    return {
        "circulation": {name: amount for name, amount in pockets.items() if amount},
        "owed": -sum(amount for code, amount in there.items() if code.startswith("owed/")),
        "issued": named("issued", -1),
        "spent": spent,
        "active": len({row["person"] for row in rows}),
        "costs": {name: tuple(pair) for name, pair in costs.items() if any(pair)},
        "charge": sum(row["charge"] for row in rows),
        "paid": sum(row["paid"] for row in rows),
        "cash": {
            code.partition("/")[2]: (came[code], -there[code])
            for code in within
            if code.startswith("cash/")
        },
        "fees": -within["gateway-fees"],
        "payouts": -within["payouts"],
        "transit": there["payouts-in-transit"],
        "profit": sum(spent.values()) * PAR.units - sum(sum(pair) for pair in costs.values()),
    }


def as_figures(told: OperatorReport) -> dict[str, Any]:
    sold = told.sales.values()
    return {
        "circulation": {name: one.units for name, one in told.circulation.items()},
        "owed": told.owed.units,
        "issued": {name: one.units for name, one in told.issued.items()},
        "spent": dict(sorted((name, one.units) for name, one in told.spent.items())),
        "active": told.active_count,
        "costs": {
            name: (cost.own_keys.units, cost.contributed_keys.units)
            for name, cost in told.costs.items()
        },
        "charge": sum(one.charge.units for one in sold),
        "paid": sum(one.paid.units for one in sold),
        "cash": {
            name: (one.inflow.units, one.balance.units)
            for name, one in told.cash.items()
            if one.inflow.units or one.outflow.units or one.balance.units
        },
        "fees": told.gateway_fees.units,
        "payouts": told.paid_out.units,
        "transit": told.in_transit.units,
        "profit": told.profit.units,
    }


def same(told: OperatorReport, plain: dict[str, Any]) -> None:
    """Gateways at which nothing moved may be left out."""
    figures = as_figures(told)
    cash = {name: pair for name, pair in figures.pop("cash").items() if name in plain["cash"]}
    assert cash == plain["cash"]
    plain = {name: value for name, value in plain.items() if name != "cash"}
    assert figures == plain, told.period


async def test_what_is_given_away_is_no_debt_and_what_was_paid_for_is(
    store: Database, ledger: Ledger, clock: TestClock
) -> None:
    async def is_covered() -> bool:
        period = ReportPeriod.whole_history(clock.now_ms())
        told = await build_report(
            store, PaymentReader(store), period, clock.now_ms(), usd_per_star=PAR
        )
        return told.solvency.is_covered

    year = Year(ledger, clock, random.Random(1))
    await year.does(chart.give_gift("usr_1", "welcome", Credits(10_000)))
    assert await is_covered(), "gifts alone are no debt"
    await year.does(*chart.credit_topup("usr_1", Credits(1_000), Credits(0)))
    assert not await is_covered(), "Credits that were sold, and no cash for them"
    # $0.01 ÷ 1.35 each, as there were no answers yet.
    await year.does(*chart.receive_cash("stars", Stars(740), Stars(0)))
    assert not await is_covered()
    await year.does(*chart.receive_cash("stars", Stars(1), Stars(0)))
    assert await is_covered(), "Stars count as what they bring"
    period = ReportPeriod.whole_history(clock.now_ms())
    told = (await build_report(store, PaymentReader(store), period, clock.now_ms())).solvency
    assert told.giveaways == parse_usd("100").share_down(100, 135)


async def test_what_is_earned_is_a_debt(store: Database, ledger: Ledger, clock: TestClock) -> None:
    year = Year(ledger, clock, random.Random(1))
    earned = chart.Move(
        "earned", chart.issued("grant"), chart.pocket("usr_1", "earned"), Credits(9)
    )
    await year.does(earned)
    period = ReportPeriod.whole_history(clock.now_ms())
    told = (await build_report(store, PaymentReader(store), period, clock.now_ms())).solvency
    assert (told.claims, told.is_covered) == (parse_usd("0.08"), False)


@pytest.mark.parametrize("seed", range(2))
async def test_every_figure_is_what_transfers_add_up_to(
    store: Database, ledger: Ledger, clock: TestClock, seed: int
) -> None:
    chance = random.Random(seed)
    first = datetime.fromtimestamp(clock.now_ms() / 1_000, UTC).date()
    year = Year(ledger, clock, chance)
    for supplier in SUPPLIERS:
        for whose in ("own", "theirs"):
            await year.does(chart.fund_own_key(f"key_{supplier}_{whose}", parse_usd("1000000")))
    told_then: dict[ReportPeriod, OperatorReport] = {}
    while (clock.now_ms() - _ms(first)) < 365 * DAY_MS:
        await year.something()
        clock.advance(seconds=chance.randint(1, 2 * 365 * 86_400 // OPERATIONS))
        if chance.random() < 0.1:
            await close_days(store, ledger, clock, as_utc_day(clock.now_ms()))
        if chance.random() < 0.03:
            # Yesterday's report as it was told then.
            yesterday = _day(clock) - timedelta(days=1)
            if yesterday >= first:
                period = ReportPeriod(max(first, yesterday - timedelta(days=6)), yesterday)
                told_then[period] = await build_report(
                    store, PaymentReader(store), period, clock.now_ms()
                )
    moved, now, today = await moves(store), clock.now_ms(), _day(clock)
    periods = [
        ReportPeriod.whole_history(now),
        ReportPeriod.last_days(1, now),
        ReportPeriod.last_days(30, now),
    ]
    for _ in range(25):
        days = sorted(first + timedelta(days=chance.randint(0, 365)) for _ in range(2))
        periods.append(ReportPeriod(min(days[0], today), min(days[1], today)))
    for period in periods:
        same(
            await build_report(store, PaymentReader(store), period, now),
            recomputed(moved, year.used, period),
        )
    assert told_then
    for period, then in told_then.items():
        again = await build_report(store, PaymentReader(store), period, now)
        assert as_figures(again) == as_figures(then), "the same whenever it is asked for"


def _day(clock: TestClock) -> date:
    return datetime.fromtimestamp(clock.now_ms() / 1_000, UTC).date()


def _ms(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000)
