"""The operator's report in two layers: Credits as users see them, dollars as suppliers charge them.

Everything that is money is read from the ledger's accounts and their daily closings, so that the
report is the ledger, and that of a past day the same whenever it is asked for. What each model was
asked for and cost comes from the rows of answers, which never change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from core import chart
from core.admin.trial_balance import Period, Standing, Sums, standing
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Store
from core.earnings.payouts import cash_of
from core.money import Credits, NanoUsd, Stars, total
from core.pricing.formula import PAR

_CONTRIBUTED: Final = "/contributed"
#: Pockets whose Credits wait for the end of a dispute and can't be spent.
_WAITS: Final = frozenset({"disputed-gift", "disputed-bought"})


@dataclass(frozen=True, slots=True)
class Cost:
    """What a supplier was paid in nano-dollars: by the operator's own keys and by contributed
    ones."""

    own: NanoUsd
    contributed: NanoUsd

    @property
    def all(self) -> NanoUsd:
        """What was paid by all keys together."""
        return self.own + self.contributed


@dataclass(frozen=True, slots=True)
class Sold:
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
        return (PAR.times(self.charge.units) - self.cost).units * 100 // self.cost.units


@dataclass(frozen=True, slots=True)
class Cash:
    """What came in at a gateway, what went out, and what is there; in one unit."""

    came: NanoUsd | Stars
    went: NanoUsd | Stars
    there: NanoUsd | Stars


@dataclass(frozen=True, slots=True)
class Solvency:
    """Whether the cash that is there covers what people have (at the end of the period)."""

    cash: NanoUsd
    stars: Stars
    #: What it costs to pay out all that is earned, to give back all that is bought, and to serve
    #: every Credit that can be spent at what a Credit's answers cost lately.
    payouts: NanoUsd
    refunds: NanoUsd
    serving: NanoUsd

    @property
    def covered(self) -> bool:
        """Whether everyone could be paid out and served. Bought Credits count once: served."""
        return self.cash >= self.payouts + self.serving


@dataclass(frozen=True, slots=True)
class Report:
    """The report of a period; balances are those at its end."""

    period: Period
    people: int
    #: How many people asked.
    active: int
    #: Credits in circulation, by pocket, what is held included; unvested ones; owed ones.
    circulation: Mapping[str, Credits]
    on_the_way: Credits
    owed: Credits
    #: Credits made, by cause; charged for answers, by model, the most first; paid out; fees by
    #: cause; forfeited.
    issued: Mapping[str, Credits]
    spent: Mapping[str, Credits]
    redeemed: Credits
    fees: Mapping[str, Credits]
    forfeited: Credits
    #: By model, what its answers brought and cost.
    sold: Mapping[str, Sold]
    #: What suppliers were paid out of keys, what above their quotas, and what keys can still pay.
    costs: Mapping[str, Cost]
    overrun: NanoUsd
    headroom: NanoUsd
    #: By gateway; what gateways kept; payouts that were sent, and those of them on their way.
    cash: Mapping[str, Cash]
    gateway_fees: NanoUsd
    paid_out: NanoUsd
    in_transit: NanoUsd
    #: Disputes that are open now; the cash that banks took back for them, and what was lost.
    disputes: int
    disputed: NanoUsd
    bad_debt: NanoUsd
    solvency: Solvency

    @property
    def balance(self) -> Credits:
        """All Credits that users have."""
        return total(Credits, self.circulation.values())

    @property
    def revenue(self) -> Credits:
        """Credits charged for answers."""
        return total(Credits, self.spent.values())

    @property
    def revenue_at_par(self) -> NanoUsd:
        """The revenue at $0.01 a Credit."""
        return PAR.times(self.revenue.units)

    @property
    def revenue_paid(self) -> NanoUsd:
        """What of the revenue was really paid: gifts brought nothing, and gateways kept fees."""
        paid = PAR.times(sum(one.paid.units for one in self.sold.values()))
        came = sum(one.came.units for one in self.cash.values() if isinstance(one.came, NanoUsd))
        kept = self.gateway_fees.units
        if came + kept <= 0:
            return paid
        return NanoUsd(paid.units * came // (came + kept))

    @property
    def cost(self) -> NanoUsd:
        """What all suppliers were paid."""
        return total(NanoUsd, (cost.all for cost in self.costs.values()))

    @property
    def profit(self) -> NanoUsd:
        """Revenue at par less cost; below zero is a loss."""
        return self.revenue_at_par - self.cost

    @property
    def profit_paid(self) -> NanoUsd:
        """What was really paid less cost."""
        return self.revenue_paid - self.cost


@dataclass(frozen=True, slots=True)
class Day:
    """What the answers of a UTC day brought in Credits and cost in nano-dollars."""

    #: Its beginning, in milliseconds UTC.
    begins: int
    charge: Credits
    cost: NanoUsd


async def daily(store: Store, period: Period) -> list[Day]:
    """The sales of each day of a period that has a beginning."""
    used = schema.usage.c
    number = (used.at - used.at % DAY_MS).label("begins")
    rows = await store.fetch(
        sa.select(
            number,
            sa.func.sum(used.charge).label("charge"),
            sa.func.sum(used.cost).label("cost"),
        )
        .where(*_within(period))
        .group_by(number)
    )
    found = {int(row.begins): (int(row.charge), int(row.cost)) for row in rows}
    days = []
    for begins in range(period.from_ms, period.to_ms, DAY_MS):
        charge, cost = found.get(begins, (0, 0))
        days.append(Day(begins, Credits(charge), NanoUsd(cost)))
    return days


async def report(store: Store, period: Period, now_ms: int) -> Report:
    """Builds the report of a period from one snapshot."""

    def read(connection: sa.Connection) -> Report:
        return report_snapshot(connection, period, now_ms)

    return await store.read(read)


def report_snapshot(connection: sa.Connection, period: Period, now_ms: int) -> Report:
    """Builds the report of a period in the transaction of the caller's connection."""
    is_now = period.to_ms > now_ms
    end = standing(connection, None if is_now else period.until)
    begin = Standing({}) if period.before is None else standing(connection, period.before)
    moved = end.since(begin)
    sold = _sold(connection, period)
    issued = {name: Credits(-sums.posted) for name, sums in moved.under("issued").items()}
    circulation = {name: Credits(sums.posted) for name, sums in end.under("pocket").items()}
    return Report(
        period=period,
        people=_people(connection, period),
        active=_active(connection, period),
        circulation={name: one for name, one in circulation.items() if not one.is_zero},
        on_the_way=end.credits("unvested"),
        owed=Credits(-end["owed"].posted),
        issued={name: amount for name, amount in issued.items() if not amount.is_zero},
        spent=_most_first(moved.under("spent")),
        redeemed=total(Credits, _credits(moved.under("redeemed")).values()),
        fees=_credits(moved.under("fee")),
        forfeited=moved.credits(chart.FORFEITED.code),
        sold=sold,
        costs=_costs(moved.under("supplier")),
        overrun=moved.dollars(chart.OVERRUN.code),
        headroom=NanoUsd(end["key"].posted - end["key"].held),
        cash=_cash(moved.under("cash"), end),
        gateway_fees=moved.dollars(chart.gateway_fees(NanoUsd).code),
        paid_out=moved.dollars(chart.PAYOUTS.code),
        in_transit=NanoUsd(end[chart.IN_TRANSIT.code].posted),
        disputes=_disputes(connection) if is_now else 0,
        disputed=end.dollars(chart.DISPUTED.code),
        bad_debt=moved.dollars(chart.BAD_DEBT.code),
        solvency=_solvency(end, circulation, sold.values()),
    )


def _people(connection: sa.Connection, period: Period) -> int:
    person = schema.person
    known = sa.select(sa.func.count()).where(person.c.created_at < period.to_ms)
    return int(connection.execute(known.select_from(person)).scalar_one())


def _active(connection: sa.Connection, period: Period) -> int:
    used = schema.usage.c
    asked = sa.select(sa.func.count(sa.distinct(used.person))).where(*_within(period))
    return int(connection.execute(asked).scalar_one())


def _within(period: Period) -> tuple[sa.ColumnElement[bool], ...]:
    at = schema.usage.c.at
    return at >= period.from_ms, at < period.to_ms


def _disputes(connection: sa.Connection) -> int:
    dispute = schema.dispute
    waits = sa.select(sa.func.count()).select_from(dispute).where(dispute.c.state == "open")
    return int(connection.execute(waits).scalar_one())


def _sold(connection: sa.Connection, period: Period) -> Mapping[str, Sold]:
    used = schema.usage.c
    rows = connection.execute(
        sa.select(
            used.model,
            sa.func.count().label("answers"),
            sa.func.sum(used.charge).label("charge"),
            sa.func.sum(used.paid).label("paid"),
            sa.func.sum(used.cost).label("cost"),
        )
        .where(*_within(period))
        .group_by(used.model)
        .order_by(sa.desc("charge"), used.model)
    )
    return {
        row.model: Sold(
            int(row.answers),
            Credits(int(row.charge)),
            Credits(int(row.paid)),
            NanoUsd(int(row.cost)),
        )
        for row in rows
    }


def _credits(sums: Mapping[str, Sums]) -> dict[str, Credits]:
    return {name: Credits(one.posted) for name, one in sums.items() if one.posted}


def _most_first(sums: Mapping[str, Sums]) -> Mapping[str, Credits]:
    amounts = _credits(sums)
    return dict(sorted(amounts.items(), key=lambda item: (-item[1].units, item[0])))


def _costs(sums: Mapping[str, Sums]) -> Mapping[str, Cost]:
    names = sorted({name.removesuffix(_CONTRIBUTED) for name in sums})
    nothing = Sums()
    return {
        name: Cost(
            NanoUsd(sums.get(name, nothing).posted),
            NanoUsd(sums.get(f"{name}{_CONTRIBUTED}", nothing).posted),
        )
        for name in names
        if sums.get(name, nothing).posted or sums.get(f"{name}{_CONTRIBUTED}", nothing).posted
    }


def _cash(moved: Mapping[str, Sums], end: Standing) -> Mapping[str, Cash]:
    there = end.under("cash")
    found = {}
    for name, sums in moved.items():
        unit: type[NanoUsd] | type[Stars] = Stars if sums.unit == Stars.NAME else NanoUsd
        found[name] = Cash(unit(sums.debits), unit(sums.credits), unit(-there[name].posted))
    return found


def _solvency(end: Standing, circulation: Mapping[str, Credits], sold: Iterable[Sold]) -> Solvency:
    held = end.under("cash").values()
    sold = tuple(sold)
    charged, cost = sum(one.charge.units for one in sold), sum(one.cost.units for one in sold)
    spendable = sum(one.units for name, one in circulation.items() if name not in _WAITS)
    nothing = Credits(0)
    return Solvency(
        cash=NanoUsd(-sum(one.posted for one in held if one.unit == NanoUsd.NAME)),
        stars=Stars(-sum(one.posted for one in held if one.unit == Stars.NAME)),
        payouts=cash_of(circulation.get("earned", nothing)),
        refunds=PAR.times(circulation.get("bought", nothing).units),
        serving=NanoUsd(spendable * cost // charged if charged else 0),
    )
