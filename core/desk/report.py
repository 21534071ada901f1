"""The owner's two layers (brief § 6): Credits as users see them, dollars as suppliers charge them.

All of it read from the ledger's accounts, so that the report is the ledger.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from core.ledger import Balance
from core.pricing import PAR
from core.store import Store, schema
from core.units import Credits, NanoUsd, total

_POCKETS = ("gift", "bought", "earned", "unvested", "disputed-gift", "disputed-bought")


@dataclass(frozen=True, slots=True)
class Report:
    """The ledger in the owner's words, since its beginning."""

    people: int
    #: Credits in circulation, by pocket, what is held included; and what people owe.
    circulation: Mapping[str, Credits]
    owed: Credits
    #: Credits made, by cause; and charged for answers, by model, the most first.
    issued: Mapping[str, Credits]
    spent: Mapping[str, Credits]
    #: What suppliers were paid out of keys, and what keys can still pay.
    costs: Mapping[str, NanoUsd]
    headroom: NanoUsd
    overrun: NanoUsd
    #: Payments that are disputed now: how many, and the cash that banks took back for them.
    disputes: int
    disputed: NanoUsd
    #: What disputes that were lost have cost.
    bad_debt: NanoUsd

    @property
    def balance(self) -> Credits:
        """All that users have."""
        return total(Credits, self.circulation.values())

    @property
    def revenue(self) -> Credits:
        """Credits charged for answers."""
        return total(Credits, self.spent.values())

    @property
    def revenue_at_par(self) -> NanoUsd:
        """The same at $0.01 a Credit."""
        return PAR.times(self.revenue.units)

    @property
    def cost(self) -> NanoUsd:
        """What all suppliers were paid."""
        return total(NanoUsd, self.costs.values())

    @property
    def profit(self) -> NanoUsd:
        """Revenue at par less cost; below zero is a loss."""
        return self.revenue_at_par - self.cost


async def report(store: Store) -> Report:
    """The report as of now, from one read of the accounts."""
    account = schema.account
    rows = await store.fetch(
        sa.select(
            account.c.code,
            account.c.debits_pending,
            account.c.debits_posted,
            account.c.credits_pending,
            account.c.credits_posted,
        )
    )
    circulation: defaultdict[str, Credits] = defaultdict(lambda: Credits(0))
    kinds: dict[str, dict[str, int]] = defaultdict(dict)
    owed = Credits(0)
    headroom = overrun = disputed = bad_debt = NanoUsd(0)
    for row in rows:
        balance = Balance(
            debits_pending=row.debits_pending,
            debits_posted=row.debits_posted,
            credits_pending=row.credits_pending,
            credits_posted=row.credits_posted,
        )
        kind, _, name = row.code.partition("/")
        pocket = name.rpartition("/")[2]
        if pocket in _POCKETS and kind in {"user", "key", "order"}:
            circulation[pocket] += Credits(balance.posted)
        elif kind == "owed":
            owed += Credits(-balance.posted)
        elif kind == "key":
            headroom += NanoUsd(balance.available)
        elif kind == "overrun":
            overrun = NanoUsd(-balance.posted)
        elif kind == "disputed":
            disputed = NanoUsd(-balance.posted)
        elif kind == "bad-debt":
            bad_debt = NanoUsd(-balance.posted)
        else:
            kinds[kind][name] = balance.posted
    people = await store.fetch(sa.select(sa.func.count()).select_from(schema.person))
    disputes = await store.fetch(
        sa.select(sa.func.count())
        .select_from(schema.dispute)
        .where(schema.dispute.c.state == "open")
    )
    return Report(
        people=people[0][0],
        circulation={name: circulation[name] for name in _POCKETS if not circulation[name].is_zero},
        owed=owed,
        issued={name: Credits(-posted) for name, posted in sorted(kinds["issued"].items())},
        spent=_most_first({name: Credits(posted) for name, posted in kinds["spent"].items()}),
        costs={name: NanoUsd(posted) for name, posted in sorted(kinds["supplier"].items())},
        headroom=headroom,
        overrun=overrun,
        disputes=disputes[0][0],
        disputed=disputed,
        bad_debt=bad_debt,
    )


def _most_first(amounts: Mapping[str, Credits]) -> Mapping[str, Credits]:
    ordered = sorted(amounts.items(), key=lambda item: (-item[1].units, item[0]))
    return {name: amount for name, amount in ordered if amount.units}
