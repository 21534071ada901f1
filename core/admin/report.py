"""The operator's report in two layers: Credits as users see them, dollars as suppliers charge them.

Everything that is money is read from the ledger's accounts and their daily closings, so that the
report is the ledger, and that of a past day the same whenever it is asked for. What each model was
asked for and cost comes from the rows of answers, which never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from core import chart
from core.admin.trial_balance import AccountSums, ReportPeriod, TrialBalance, read_trial_balance
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.earnings.payouts import convert_to_cash
from core.money import Credits, NanoUsd, Stars, sum_amounts
from core.payment_records import PaymentRecords
from core.pricing.formula import MARKUP_PERCENT, PAR

_CONTRIBUTED: Final = "/contributed"
_NO_DOLLARS: Final = NanoUsd(0)
#: What suppliers took lately is read of so long, and of so many answers at least.
_COST_DAYS_MS: Final = 30 * DAY_MS
_ANSWERS_LEAST: Final = 20


@dataclass(frozen=True, slots=True)
class SupplierCosts:
    """What a supplier was paid in nano-dollars: by the operator's own keys and by contributed
    ones."""

    own_keys: NanoUsd
    contributed_keys: NanoUsd

    @property
    def total(self) -> NanoUsd:
        """What was paid by all keys together."""
        return self.own_keys + self.contributed_keys


@dataclass(frozen=True, slots=True)
class ModelSales:
    """What answers of a model brought and cost; `paid`: Credits that were bought or earned."""

    answers: int
    charge: Credits
    paid: Credits
    cost: NanoUsd

    @property
    def margin_percent(self) -> int | None:
        """Profit on cost at par, rounded down; None where nothing was paid for it."""
        if self.cost.is_zero:
            return None
        return (PAR.multiply_by(self.charge.units) - self.cost).units * 100 // self.cost.units


@dataclass(frozen=True, slots=True)
class GatewayCash:
    """What came in at a gateway, what went out, and what is there; in one unit."""

    inflow: NanoUsd | Stars
    outflow: NanoUsd | Stars
    balance: NanoUsd | Stars


@dataclass(frozen=True, slots=True)
class Solvency:
    """Whether the cash that is there covers what people have (at the end of the period)."""

    cash: NanoUsd
    stars: Stars
    #: What these Stars bring the operator.
    stars_worth: NanoUsd
    #: What it costs to pay out all that is earned (or to serve it, where that costs more), to give
    #: back all that is bought, and to serve what is bought and can be spent. Serving is reckoned
    #: at what a Credit's answers cost lately.
    payouts: NanoUsd
    refunds: NanoUsd
    serving: NanoUsd
    #: What it costs to serve gifts: nobody paid for those, so no cash is there for them; the
    #: operator gives them away.
    giveaways: NanoUsd
    #: What it costs to serve what is lent in advance of contributions: their keys still earn it.
    lent: NanoUsd

    @property
    def available(self) -> NanoUsd:
        """All that is at gateways."""
        return self.cash + self.stars_worth

    @property
    def claims(self) -> NanoUsd:
        """What people may take who paid or earned. Bought Credits count once: served."""
        return self.payouts + self.serving

    @property
    def is_covered(self) -> bool:
        """Whether everyone who paid or earned could be served and paid out."""
        return self.available >= self.claims


@dataclass(frozen=True, slots=True)
class OperatorReport:
    """The report of a period; balances are those at its end."""

    period: ReportPeriod
    person_count: int
    #: How many people asked.
    active_count: int
    #: How many answers no chat took, so that they were given back; what they cost suppliers.
    undelivered_count: int
    undelivered_cost: NanoUsd
    #: Credits in circulation, by pocket, what is held included; unvested ones; owed ones.
    circulation: Mapping[str, Credits]
    unvested: Credits
    owed: Credits
    #: Credits made, by cause; charged for answers, by model, the most first; paid out; fees by
    #: cause; forfeited.
    issued: Mapping[str, Credits]
    spent: Mapping[str, Credits]
    redeemed: Credits
    fees: Mapping[str, Credits]
    forfeited: Credits
    #: By model, what its answers brought and cost.
    sales: Mapping[str, ModelSales]
    #: What suppliers were paid out of keys, what above their quotas, and what keys can still pay.
    costs: Mapping[str, SupplierCosts]
    overrun: NanoUsd
    headroom: NanoUsd
    #: By gateway; what gateways kept; payouts that were sent, and those of them on their way.
    cash: Mapping[str, GatewayCash]
    gateway_fees: NanoUsd
    paid_out: NanoUsd
    in_transit: NanoUsd
    #: Disputes that are open now; the cash that banks took back for them, and what was lost.
    disputes: int
    disputed: NanoUsd
    bad_debt: NanoUsd
    solvency: Solvency

    @property
    def user_balance(self) -> Credits:
        """All Credits that users have."""
        return sum_amounts(Credits, self.circulation.values())

    @property
    def revenue(self) -> Credits:
        """Credits charged for answers."""
        return sum_amounts(Credits, self.spent.values())

    @property
    def revenue_at_par(self) -> NanoUsd:
        """The revenue at $0.01 a Credit."""
        return PAR.multiply_by(self.revenue.units)

    @property
    def paid_revenue(self) -> NanoUsd:
        """What of the revenue was really paid: gifts brought nothing, and gateways kept fees."""
        paid = PAR.multiply_by(sum(one.paid.units for one in self.sales.values()))
        inflow = sum(
            one.inflow.units for one in self.cash.values() if isinstance(one.inflow, NanoUsd)
        )
        fees = self.gateway_fees.units
        if inflow + fees <= 0:
            return paid
        return NanoUsd(paid.units * inflow // (inflow + fees))

    @property
    def total_cost(self) -> NanoUsd:
        """What all suppliers were paid."""
        return sum_amounts(NanoUsd, (cost.total for cost in self.costs.values()))

    @property
    def profit(self) -> NanoUsd:
        """Revenue at par less cost; below zero is a loss."""
        return self.revenue_at_par - self.total_cost

    @property
    def paid_profit(self) -> NanoUsd:
        """What was really paid less cost."""
        return self.paid_revenue - self.total_cost


@dataclass(frozen=True, slots=True)
class DailySales:
    """What the answers of a UTC day brought in Credits and cost in nano-dollars."""

    #: Its beginning, in milliseconds UTC.
    starts_at_ms: int
    charge: Credits
    cost: NanoUsd


async def list_daily_sales(db: Database, period: ReportPeriod) -> list[DailySales]:
    """The sales of each day of a period that has a beginning."""
    usage = schema.usage.c
    day_start = (usage.at - usage.at % DAY_MS).label("begins")
    rows = await db.fetch(
        sa.select(
            day_start,
            sa.func.sum(usage.charge).label("charge"),
            sa.func.sum(usage.cost).label("cost"),
        )
        .where(*_is_within(period))
        .group_by(day_start)
    )
    by_day = {int(row.begins): (int(row.charge), int(row.cost)) for row in rows}
    days = []
    for starts_at_ms in range(period.from_ms, period.to_ms, DAY_MS):
        charge, cost = by_day.get(starts_at_ms, (0, 0))
        days.append(DailySales(starts_at_ms, Credits(charge), NanoUsd(cost)))
    return days


async def build_report(
    db: Database,
    payment_records: PaymentRecords,
    period: ReportPeriod,
    now_ms: int,
    *,
    usd_per_star: NanoUsd = _NO_DOLLARS,
) -> OperatorReport:
    """Builds the report of a period from one snapshot; `usd_per_star`: what a Star brings."""

    def read(connection: sa.Connection) -> OperatorReport:
        return _read_report(connection, payment_records, period, now_ms, usd_per_star)

    return await db.read_snapshot(read)


def _read_report(
    connection: sa.Connection,
    payment_records: PaymentRecords,
    period: ReportPeriod,
    now_ms: int,
    usd_per_star: NanoUsd,
) -> OperatorReport:
    is_now = period.to_ms > now_ms
    closing = read_trial_balance(connection, None if is_now else period.until)
    opening = (
        TrialBalance({}) if period.before is None else read_trial_balance(connection, period.before)
    )
    changes = closing.changes_since(opening)
    sales = _read_sales(connection, period)
    undelivered_count, undelivered_cost = _read_undelivered(connection, period)
    issued = {name: Credits(-sums.posted) for name, sums in changes.list_under("issued").items()}
    circulation = {
        name: Credits(sums.posted) for name, sums in closing.list_under("pocket").items()
    }
    return OperatorReport(
        period=period,
        person_count=_count_people(connection, period),
        active_count=_count_active(connection, period),
        undelivered_count=undelivered_count,
        undelivered_cost=undelivered_cost,
        circulation={name: amount for name, amount in circulation.items() if not amount.is_zero},
        unvested=closing.get_credits("unvested"),
        owed=Credits(-closing["owed"].posted),
        issued={name: amount for name, amount in issued.items() if not amount.is_zero},
        spent=_largest_first(changes.list_under("spent")),
        redeemed=sum_amounts(Credits, _posted_credits(changes.list_under("redeemed")).values()),
        fees=_posted_credits(changes.list_under("fee")),
        forfeited=changes.get_credits(chart.FORFEITED.code),
        sales=sales,
        costs=_supplier_costs(changes.list_under("supplier")),
        overrun=changes.get_dollars(chart.OVERRUN.code),
        headroom=NanoUsd(closing["key"].posted - closing["key"].held),
        cash=_gateway_cash(changes.list_under("cash"), closing),
        gateway_fees=changes.get_dollars(chart.gateway_fees(NanoUsd).code),
        paid_out=changes.get_dollars(chart.PAYOUTS.code),
        in_transit=NanoUsd(closing[chart.PAYOUTS_IN_TRANSIT.code].posted),
        disputes=payment_records.count_open_disputes(connection) if is_now else 0,
        disputed=closing.get_dollars(chart.DISPUTED_CASH.code),
        bad_debt=changes.get_dollars(chart.BAD_DEBT.code),
        solvency=_calculate_solvency(closing, circulation, sales.values(), usd_per_star),
    )


def _count_people(connection: sa.Connection, period: ReportPeriod) -> int:
    person = schema.person
    statement = sa.select(sa.func.count()).where(person.c.created_at < period.to_ms)
    return int(connection.execute(statement.select_from(person)).scalar_one())


def _count_active(connection: sa.Connection, period: ReportPeriod) -> int:
    usage = schema.usage.c
    statement = sa.select(sa.func.count(sa.distinct(usage.person))).where(*_is_within(period))
    return int(connection.execute(statement).scalar_one())


def _read_undelivered(connection: sa.Connection, period: ReportPeriod) -> tuple[int, NanoUsd]:
    work = schema.unpaid_work.c
    row = connection.execute(
        sa.select(sa.func.count().label("number"), sa.func.sum(work.cost).label("cost")).where(
            work.cause == "undelivered", work.at >= period.from_ms, work.at < period.to_ms
        )
    ).one()
    return int(row.number), NanoUsd(int(row.cost or 0))


def _is_within(period: ReportPeriod) -> tuple[sa.ColumnElement[bool], ...]:
    at = schema.usage.c.at
    return at >= period.from_ms, at < period.to_ms


def _read_sales(connection: sa.Connection, period: ReportPeriod) -> Mapping[str, ModelSales]:
    usage = schema.usage.c
    rows = connection.execute(
        sa.select(
            usage.model,
            sa.func.count().label("answers"),
            sa.func.sum(usage.charge).label("charge"),
            sa.func.sum(usage.paid).label("paid"),
            sa.func.sum(usage.cost).label("cost"),
        )
        .where(*_is_within(period))
        .group_by(usage.model)
        .order_by(sa.desc("charge"), usage.model)
    )
    return {
        row.model: ModelSales(
            int(row.answers),
            Credits(int(row.charge)),
            Credits(int(row.paid)),
            NanoUsd(int(row.cost)),
        )
        for row in rows
    }


def _posted_credits(sums: Mapping[str, AccountSums]) -> dict[str, Credits]:
    return {
        name: Credits(account_sums.posted)
        for name, account_sums in sums.items()
        if account_sums.posted
    }


def _largest_first(sums: Mapping[str, AccountSums]) -> Mapping[str, Credits]:
    amounts = _posted_credits(sums)
    return dict(sorted(amounts.items(), key=lambda item: (-item[1].units, item[0])))


def _supplier_costs(sums: Mapping[str, AccountSums]) -> Mapping[str, SupplierCosts]:
    names = sorted({name.removesuffix(_CONTRIBUTED) for name in sums})
    nothing = AccountSums()
    return {
        name: SupplierCosts(
            NanoUsd(sums.get(name, nothing).posted),
            NanoUsd(sums.get(f"{name}{_CONTRIBUTED}", nothing).posted),
        )
        for name in names
        if sums.get(name, nothing).posted or sums.get(f"{name}{_CONTRIBUTED}", nothing).posted
    }


def _gateway_cash(
    changes: Mapping[str, AccountSums], closing: TrialBalance
) -> Mapping[str, GatewayCash]:
    balances = closing.list_under("cash")
    by_gateway = {}
    for name, sums in changes.items():
        unit: type[NanoUsd] | type[Stars] = Stars if sums.unit == Stars.NAME else NanoUsd
        by_gateway[name] = GatewayCash(
            unit(sums.debits), unit(sums.credits), unit(-balances[name].posted)
        )
    return by_gateway


def _calculate_solvency(
    closing: TrialBalance,
    circulation: Mapping[str, Credits],
    sales: Iterable[ModelSales],
    usd_per_star: NanoUsd,
) -> Solvency:
    cash_sums = closing.list_under("cash").values()
    stars = Stars(-sum(one.posted for one in cash_sums if one.unit == Stars.NAME))
    nothing = Credits(0)
    bought, earned = circulation.get("bought", nothing), circulation.get("earned", nothing)
    given, lent = circulation.get("gift", nothing), circulation.get("advance", nothing)
    sales = tuple(sales)
    return Solvency(
        cash=NanoUsd(-sum(one.posted for one in cash_sums if one.unit == NanoUsd.NAME)),
        stars=stars,
        stars_worth=usd_per_star.multiply_by(stars.units),
        payouts=max(convert_to_cash(earned), _estimate_cost(earned, sales)),
        refunds=PAR.multiply_by(bought.units),
        serving=_estimate_cost(bought, sales),
        giveaways=_estimate_cost(given, sales),
        lent=_estimate_cost(lent, sales),
    )


def _estimate_cost(amount: Credits, sales: Sequence[ModelSales]) -> NanoUsd:
    """What answers for so many Credits cost at suppliers, as those of the period did; while there
    were none, as the formula prices them."""
    charge, cost = sum(one.charge.units for one in sales), sum(one.cost.units for one in sales)
    if not charge:
        return PAR.multiply_by(amount.units).share_down(100, 100 + MARKUP_PERCENT)
    return NanoUsd(amount.units * cost // charge)


async def read_cost_percent(db: Database, now_ms: int) -> int:
    """Of what is charged at par, what suppliers take: lately, or by the formula's markup."""
    used = schema.usage.c
    rows = await db.fetch(
        sa.select(
            sa.func.count().label("answers"),
            sa.func.coalesce(sa.func.sum(used.charge), 0).label("charge"),
            sa.func.coalesce(sa.func.sum(used.cost), 0).label("cost"),
        ).where(used.at >= now_ms - _COST_DAYS_MS)
    )
    if rows[0].answers < _ANSWERS_LEAST or not rows[0].charge:
        return 100 * 100 // (100 + MARKUP_PERCENT)
    return -(-int(rows[0].cost) * 100 // PAR.multiply_by(int(rows[0].charge)).units)
