"""The operator's commands that read: audit, export, report. Each takes a snapshot."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping

from bots.chat.i18n import render
from bots.cli.errors import Unusable
from bots.commands.admin.report import period_of, solvency, system_layer, user_layer
from bots.config.settings import Configuration, load
from bots.output import tell
from bots.run import demo_database
from core.admin.report import Report, report
from core.asks.audit import check as check_asks
from core.clock import SystemClock
from core.db.database import Store
from core.earnings.audit import check_earning
from core.ledger.audit import audit
from core.ledger.export import beancount, csv
from core.money import Credits, decimal_text
from core.pricing.catalogue import Catalogue


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
        found, asks = await audit(store), await check_asks(store)
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
    """Both layers of a period, as text or JSON; dollars as exact decimals."""
    configuration, now = load(), SystemClock().now_ms()
    try:
        period = period_of(arguments.days, now)
    except ValueError:
        raise Unusable(
            "--days is today, 7d, 30d, or two dates like '2026-03-01 2026-03-31'."
        ) from None
    async with _read() as store:
        told = await report(store, period, now)
    if arguments.json:
        tell(json.dumps(_facts(told), indent=1))
        return 0
    catalogue = Catalogue.load(configuration.settings.overlay)
    for line in (
        *user_layer(told, catalogue),
        *system_layer(told, catalogue),
        *solvency(told),
    ):
        tell(render(line, "en"))
    return 0


def _facts(told: Report) -> Mapping[str, object]:
    """Credits as whole numbers, dollars as decimal text."""
    stands = told.solvency
    return {
        "since": None if told.period.since is None else told.period.since.isoformat(),
        "until": told.period.until.isoformat(),
        "people": told.people,
        "active": told.active,
        "circulation": _units(told.circulation),
        "on_the_way": told.on_the_way.units,
        "owed": told.owed.units,
        "issued": _units(told.issued),
        "spent": _units(told.spent),
        "revenue": told.revenue.units,
        "redeemed": told.redeemed.units,
        "fees": _units(told.fees),
        "forfeited": told.forfeited.units,
        "models": {
            name: {
                "answers": one.answers,
                "charge": one.charge.units,
                "paid": one.paid.units,
                "cost": decimal_text(one.cost),
                "profit_on_cost_percent": one.margin_percent,
            }
            for name, one in told.sold.items()
        },
        "costs": {name: decimal_text(cost.all) for name, cost in told.costs.items()},
        "contributed_costs": {
            name: decimal_text(cost.contributed) for name, cost in told.costs.items()
        },
        "cost": decimal_text(told.cost),
        "revenue_at_par": decimal_text(told.revenue_at_par),
        "profit_at_par": decimal_text(told.profit),
        "revenue_paid": decimal_text(told.revenue_paid),
        "profit_paid": decimal_text(told.profit_paid),
        "cash": {
            name: {
                "unit": one.there.NAME,
                "in": decimal_text(one.came),
                "out": decimal_text(one.went),
                "there": decimal_text(one.there),
            }
            for name, one in told.cash.items()
        },
        "gateway_fees": decimal_text(told.gateway_fees),
        "payouts_sent": decimal_text(told.paid_out),
        "payouts_in_transit": decimal_text(told.in_transit),
        "keys_headroom": decimal_text(told.headroom),
        "overrun": decimal_text(told.overrun),
        "disputes": told.disputes,
        "disputed": decimal_text(told.disputed),
        "bad_debt": decimal_text(told.bad_debt),
        "solvency": {
            "cash": decimal_text(stands.cash),
            "stars": stands.stars.units,
            "payouts": decimal_text(stands.payouts),
            "serving": decimal_text(stands.serving),
            "refunds": decimal_text(stands.refunds),
            "covered": stands.covered,
        },
    }


def _units(amounts: Mapping[str, Credits]) -> Mapping[str, int]:
    return {name: amount.units for name, amount in amounts.items()}
