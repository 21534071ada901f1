"""The operator's commands that read: audit, export, report. Each takes a snapshot."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping

from bots.chat.i18n import render
from bots.cli.output import CommandRefused, print_line
from bots.cli.session import open_for_reading
from bots.commands.admin.report import parse_period
from bots.commands.admin.report_texts import list_solvency, list_system_layer, list_user_layer
from bots.commands.terms import name_clause
from bots.config.gateways import load_catalogue
from bots.config.settings import load
from core.admin.audit import audit_books
from core.admin.report import OperatorReport, build_report
from core.clock import SystemClock
from core.ledger.export import write_beancount, write_csv
from core.money import Credits, format_decimal
from payments.payment_reader import PaymentReader


async def audit_ledger(arguments: argparse.Namespace) -> int:
    """0 when the ledger is what its transfers say, 1 on a finding."""
    async with open_for_reading(load()) as db:
        audit = await audit_books(db, PaymentReader(db))
    found, asks, promise = audit.ledger, audit.asks, audit.promise
    findings = audit.findings
    if arguments.json:
        told = {
            "accounts": found.accounts,
            "transfers": found.transfers,
            "holds": found.holds,
            "asks": {"open": asks.open_count, "settled": asks.settled_count},
            "promise": {one.clause: {"checked": one.checked} for one in promise},
            "findings": findings,
        }
        print_line(json.dumps(told, indent=1))
    else:
        print_line(
            f"{found.accounts} accounts, {found.transfers} transfers, {found.holds} holds,"
            f" {asks.settled_count} asks settled, {asks.open_count} open"
        )
        for one in promise:
            state = "broken" if one.findings else "kept"
            print_line(f"promise {state}: {render(name_clause(one), 'en')} ({one.checked} checked)")
        for finding in findings:
            print_line(f"FINDING {finding}")
        print_line("The ledger is exact." if not findings else f"{len(findings)} findings.")
    return 1 if findings else 0


async def export(arguments: argparse.Namespace) -> int:
    """The whole ledger to a file or standard output."""
    write = write_beancount if arguments.format == "beancount" else write_csv
    async with open_for_reading(load()) as db:
        if arguments.out is None:
            await write(db, sys.stdout)
            sys.stdout.flush()  # a short one was only gathered so far
        else:
            with arguments.out.open("w", encoding="utf-8", newline="") as out:
                await write(db, out)
    return 0


async def show_report(arguments: argparse.Namespace) -> int:
    """Both layers of a period, as text or JSON; dollars as exact decimals."""
    config, clock = load(), SystemClock()
    now = clock.now_ms()
    try:
        period = parse_period(arguments.days, now)
    except ValueError:
        raise CommandRefused(
            "--days is today, 7d, 30d, or two dates like '2026-03-01 2026-03-31'."
        ) from None
    async with open_for_reading(config) as db:
        told = await build_report(
            db, PaymentReader(db), period, now, usd_per_star=config.telegram.star_usd
        )
    if arguments.json:
        print_line(json.dumps(_facts(told), indent=1))
        return 0
    catalogue = load_catalogue(config, clock)
    for line in (
        *list_user_layer(told, catalogue),
        *list_system_layer(told, catalogue),
        *list_solvency(told),
    ):
        print_line(render(line, "en"))
    return 0


def _facts(told: OperatorReport) -> Mapping[str, object]:
    """Credits as whole numbers, dollars as decimal text."""
    stands = told.solvency
    return {
        "since": None if told.period.since is None else told.period.since.isoformat(),
        "until": told.period.until.isoformat(),
        "people": told.person_count,
        "active": told.active_count,
        "undelivered": told.undelivered_count,
        "undelivered_cost": format_decimal(told.undelivered_cost),
        "circulation": _units(told.circulation),
        "on_the_way": told.unvested.units,
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
                "cost": format_decimal(one.cost),
                "profit_on_cost_percent": one.margin_percent,
            }
            for name, one in told.sales.items()
        },
        "costs": {name: format_decimal(cost.total) for name, cost in told.costs.items()},
        "contributed_costs": {
            name: format_decimal(cost.contributed_keys) for name, cost in told.costs.items()
        },
        "cost": format_decimal(told.total_cost),
        "revenue_at_par": format_decimal(told.revenue_at_par),
        "profit_at_par": format_decimal(told.profit),
        "revenue_paid": format_decimal(told.paid_revenue),
        "profit_paid": format_decimal(told.paid_profit),
        "cash": {
            name: {
                "unit": one.balance.NAME,
                "in": format_decimal(one.inflow),
                "out": format_decimal(one.outflow),
                "there": format_decimal(one.balance),
            }
            for name, one in told.cash.items()
        },
        "gateway_fees": format_decimal(told.gateway_fees),
        "payouts_sent": format_decimal(told.paid_out),
        "payouts_in_transit": format_decimal(told.in_transit),
        "keys_headroom": format_decimal(told.headroom),
        "overrun": format_decimal(told.overrun),
        "disputes": told.disputes,
        "disputed": format_decimal(told.disputed),
        "bad_debt": format_decimal(told.bad_debt),
        "solvency": {
            "cash": format_decimal(stands.cash),
            "stars": stands.stars.units,
            "stars_worth": format_decimal(stands.stars_worth),
            "payouts": format_decimal(stands.payouts),
            "serving": format_decimal(stands.serving),
            "giveaways": format_decimal(stands.giveaways),
            "lent": format_decimal(stands.lent),
            "refunds": format_decimal(stands.refunds),
            "covered": stands.is_covered,
        },
    }


def _units(amounts: Mapping[str, Credits]) -> Mapping[str, int]:
    return {name: amount.units for name, amount in amounts.items()}
