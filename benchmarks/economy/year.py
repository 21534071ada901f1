"""A year: honest people every month, each farmer a turn a month, in an order that the seed says;
and what came of it, read from the rows and the ledger.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from benchmarks.economy.farmers import TURNS, Farmer
from benchmarks.economy.town import COST_PERCENT, OFFER, WELCOMES_A_DAY, Town, town
from core import chart
from core.admin.abuse_check import REFERENCE_CREDITS, ScenarioName
from core.admin.report import build_report
from core.admin.trial_balance import ReportPeriod
from core.db import schema
from core.earnings.types import EarningPolicy
from core.money import NanoUsd, parse_usd
from core.pricing.formula import PAR
from payments.offer import Offer

#: Farms act in the first half of the year: then nothing can be taken back by a bank any more when
#: the last ask for their cash.
_ACTS: Final = 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a farm got in all, and for how many Credits put in play."""

    name: ScenarioName
    played: int
    cash: NanoUsd
    answers: NanoUsd
    owed: NanoUsd

    def per_played(self, amount: NanoUsd) -> NanoUsd:
        """Of a sum, what comes to 1,000 Credits."""
        return (
            NanoUsd(amount.units * REFERENCE_CREDITS.units // self.played)
            if self.played
            else NanoUsd(0)
        )


@dataclass(frozen=True, slots=True)
class Year:
    """How it ended."""

    farms: Sequence[Outcome]
    findings: Sequence[str]
    #: Honest contributors' cash; the platform's cash and profit at what was really paid; whether
    #: it could pay and serve everybody.
    contributors: NanoUsd
    cash: NanoUsd
    profit: NanoUsd
    covered: bool


async def played(
    profile: str,
    seed: int,
    months: int,
    *,
    names: Sequence[ScenarioName] = tuple(TURNS),
    honest: bool = True,
    policy: EarningPolicy | None = None,
    offer: Offer = OFFER,
    welcomes_a_day: int = WELCOMES_A_DAY,
) -> Year:
    """Plays it, on a SQLite file of its own."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'year.db'}"
        async with town(url, profile, seed, policy, offer, welcomes_a_day) as here:
            farmers = [Farmer(name, TURNS[name]) for name in names]
            people = await _honest(here) if honest else []
            for month in range(months):
                turns = farmers[:]
                here.random.shuffle(turns)
                for farmer in turns:
                    if month * _ACTS < months:
                        await farmer.turn(farmer, here)
                    else:
                        await farmer.cashes(here)
                        for payment in farmer.payments:
                            await here.market.disputes(payment)
                        farmer.payments = []
                    here.clock.advance(seconds=here.random.randint(1, 40_000))
                for person in people:
                    await _month_of(here, person)
                await here.months(1)
            farms = [await _outcome(here, farmer) for farmer in farmers]
            now, base = here.clock.now_ms(), here.service.app.services.base
            told = await build_report(
                base.db, base.payment_records, ReportPeriod.whole_history(now), now
            )
            here.service.farmed = bool(await here.service.findings())
            return Year(
                farms=farms,
                findings=await here.service.findings(),
                contributors=await _paid_to(here, [n for n in people if n.startswith("honest")]),
                cash=told.solvency.cash,
                profit=told.paid_profit,
                covered=told.solvency.is_covered,
            )


async def _honest(here: Town) -> list[str]:
    """Two who contribute, and four who buy and ask."""
    contributors = [here.name("honest-owner") for _ in range(2)]
    for name in contributors:
        await here.person(name)
        key = await here.contributes(name, "300")
        await here.service.app.services.pool.pool.resume_key(key)
        here.open_keys.append(key)
    return [*contributors, *(here.name("buyer") for _ in range(4))]


async def _month_of(here: Town, name: str) -> None:
    if name.startswith("honest"):
        await here.cashes(name)
        return
    await here.buys(name, parse_usd(str(here.random.choice((5, 8, 10, 20)))))
    await here.asks(name, here.open_keys, here.random.randint(3, 12) * 100)


async def _outcome(here: Town, farmer: Farmer) -> Outcome:
    store, ledger = here.service.app.services.base.db, here.service.app.services.base.ledger
    ids = await _ids(here, farmer.people)
    order, usage = schema.order.c, schema.usage.c
    paid = await store.fetch(
        sa.select(sa.func.sum(order.paid - order.refunded - order.lost).label("paid")).where(
            order.person.in_(ids)
        )
    )
    served = await store.fetch(
        sa.select(sa.func.sum(usage.cost).label("cost")).where(
            usage.person.in_(ids), usage.key.not_in(farmer.keys)
        )
    )
    accounts = [account for id_ in ids for account in (*chart.pockets(id_), chart.owed(id_))]
    balances = await ledger.read_balances(accounts)
    left = sum(one.available for code, one in balances.items() if not code.startswith("owed/"))
    owed = sum(-one.posted for code, one in balances.items() if code.startswith("owed/"))
    cost = int(served[0].cost or 0) + _worth(left - farmer.aside).units
    return Outcome(
        farmer.name,
        farmer.played,
        await _paid_to(here, farmer.people) - NanoUsd(int(paid[0].paid or 0)),
        NanoUsd(cost),
        _worth(owed),
    )


async def _ids(here: Town, names: Sequence[str]) -> list[str]:
    """Theirs, and of whoever became a part of them."""
    people = here.service.app.services.users.users
    found = [await people.list_merged_ids((await here.person(name)).id) for name in names]
    return sorted({id_ for ids in found for id_ in ids})


def _worth(credits_: int) -> NanoUsd:
    """What answers for so many Credits cost at suppliers."""
    return PAR.multiply_by(credits_).share_down(COST_PERCENT, 100)


async def _paid_to(here: Town, names: Sequence[str]) -> NanoUsd:
    ids, table = await _ids(here, names), schema.payout.c
    rows = await here.service.app.services.base.db.fetch(
        sa.select(sa.func.sum(table.cash).label("cash")).where(
            table.person.in_(ids), table.state == "paid"
        )
    )
    return NanoUsd(int(rows[0].cash or 0))
