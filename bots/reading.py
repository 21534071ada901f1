"""The operator's commands that read: audit, export, report. Each takes a snapshot."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping

from bots.commands.phrases import money
from bots.output import tell
from bots.service import demo_database
from bots.settings import Configuration, load
from core import asking
from core.clock import SystemClock
from core.desk import report
from core.earning import check_earning
from core.ledger import audit, beancount, csv
from core.store import Store
from core.units import decimal_text


def database_of(configuration: Configuration, *, demo: bool) -> str:
    """The address of the settings' database, or of the demo's."""
    settings = configuration.settings
    return demo_database(settings) if demo else settings.database_url.get_secret_value()


@contextlib.asynccontextmanager
async def _read() -> AsyncIterator[Store]:
    """The database as it is, of either kind."""
    store = await Store.open(database_of(load(), demo=False), kind=None, clock=SystemClock())
    try:
        yield store
    finally:
        await store.close()


async def audit_ledger(arguments: argparse.Namespace) -> int:
    """0 when the ledger is what its transfers say, 1 on a finding."""
    async with _read() as store:
        found, asks = await audit(store), await asking.check(store)
        findings = [*found.findings, *asks.findings, *await check_earning(store)]
    if arguments.json:
        told = {
            "accounts": found.accounts,
            "transfers": found.transfers,
            "holds": found.holds,
            "asks": {"open": asks.open, "settled": asks.settled},
            "findings": findings,
        }
        tell(json.dumps(told, indent=1))
    else:
        tell(
            f"{found.accounts} accounts, {found.transfers} transfers, {found.holds} holds,"
            f" {asks.settled} asks settled, {asks.open} open"
        )
        for finding in findings:
            tell(f"FINDING {finding}")
        tell("The ledger is exact." if not findings else f"{len(findings)} findings.")
    return 1 if findings else 0


async def export(arguments: argparse.Namespace) -> int:
    """The whole ledger to a file or standard output."""
    write = beancount if arguments.format == "beancount" else csv
    async with _read() as store:
        if arguments.out is None:
            await write(store, sys.stdout)
        else:
            with arguments.out.open("w", encoding="utf-8", newline="") as out:
                await write(store, out)
    return 0


async def show_report(arguments: argparse.Namespace) -> int:
    """Both layers, as text or JSON; dollars as exact decimals."""
    async with _read() as store:
        told = await report(store)
    facts: Mapping[str, object] = {
        "people": told.people,
        "circulation": {name: amount.units for name, amount in told.circulation.items()},
        "owed": told.owed.units,
        "issued": {name: amount.units for name, amount in told.issued.items()},
        "spent": {name: amount.units for name, amount in told.spent.items()},
        "revenue": told.revenue.units,
        "costs": {name: decimal_text(cost) for name, cost in told.costs.items()},
        "cost": decimal_text(told.cost),
        "profit_at_par": decimal_text(told.profit),
        "keys_headroom": decimal_text(told.headroom),
        "overrun": decimal_text(told.overrun),
        "disputes": told.disputes,
        "disputed": decimal_text(told.disputed),
        "bad_debt": decimal_text(told.bad_debt),
    }
    if arguments.json:
        tell(json.dumps(facts, indent=1))
        return 0
    tell(f"User layer     {told.people} people, balance {told.balance.units:,} Credits")
    for name, amount in told.circulation.items():
        tell(f"               {name} {amount.units:,}")
    tell(f"               revenue {told.revenue.units:,} Credits")
    for name, amount in told.spent.items():
        tell(f"               {name} {amount.units:,}")
    for name, cost in told.costs.items():
        tell(f"System layer   {name} {money(cost)}")
    tell(
        f"               cost {money(told.cost)}, revenue at par {money(told.revenue_at_par)},"
        f" profit {money(told.profit)}"
    )
    tell(f"               keys can still pay {money(told.headroom)}")
    tell(
        f"               {told.disputes} disputes now {money(told.disputed)}, lost by disputes"
        f" {money(told.bad_debt)}"
    )
    return 0
