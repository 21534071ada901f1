"""The audit of earnings: referrals, contributions and payouts have what the ledger says, and nobody
earned more by a key than nine tenths of what was paid for its answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from core import chart
from core.db import schema
from core.db.database import Store
from core.ledger.types import Kind
from core.money import Credits

_FINDINGS_MAX = 100


async def check_earning(store: Store) -> list[str]:
    """Everything that is wrong with referrals, contributions and payouts."""
    return [*await check_referrals(store), *await store.read(_contributions_and_payouts)]


def _contributions_and_payouts(connection: sa.Connection) -> list[str]:
    """Checks contributions and payouts, read from one snapshot."""
    account, given, used = schema.account, schema.contribution, schema.usage
    wanted = sa.or_(*(account.c.code.like(pattern) for pattern in ("key/%", "use/%")))
    balances = {
        row.code: row
        for row in connection.execute(
            sa.select(account.c.code, account.c.debits_posted, account.c.credits_posted).where(
                wanted
            )
        )
    }

    def posted(code: str) -> int:
        row = balances.get(code)
        return 0 if row is None else row.credits_posted - row.debits_posted

    charged = {
        row.key: (int(row.paid), int(row.charge - row.paid))
        for row in connection.execute(
            sa.select(
                used.c.key,
                sa.func.sum(used.c.paid).label("paid"),
                sa.func.sum(used.c.charge).label("charge"),
            )
            .where(used.c.key.in_(sa.select(given.c.key)))
            .group_by(used.c.key)
        )
    }
    earned = _earned(connection)
    findings = []
    for one in connection.execute(sa.select(given).where(given.c.opened_at.is_not(None))):
        paid, free = charged.get(one.key, (0, 0))
        told = posted(chart.used(one.key, "paid").code), posted(chart.used(one.key, "free").code)
        if told != (paid, free):
            findings.append(f"use of {one.key}: {told} Credits, its answers say {(paid, free)}")
        most = Credits(paid).share_down(*chart.NET).units
        if earned.get(one.key, 0) > most:
            findings.append(f"{one.key} earned {earned[one.key]} Credits, at most {most} are due")
        waits = balances.get(chart.unvested(one.key).code)
        if waits is None or waits.credits_posted != one.credited:
            findings.append(
                f"contribution {one.key}: the ledger has not its {one.credited} Credits"
            )
        over = (chart.unvested, chart.advance, chart.invited, chart.key_quota)
        if one.state == "closed" and any(posted(of(one.key).code) for of in over):
            findings.append(f"contribution {one.key} is closed, but not empty")
    return [*findings[:_FINDINGS_MAX], *_payouts(connection)]


def _payouts(connection: sa.Connection) -> list[str]:
    """Each withdrawal holds or took as much as it says, of what was earned, and no more cash than
    that is worth."""
    out, account = schema.payout, schema.account
    told = {"held": 0, "gone": 0, "cash": 0, "transit": 0}
    for row in connection.execute(
        sa.select(
            out.c.state,
            sa.func.sum(out.c.credits).label("credits"),
            sa.func.sum(out.c.cash).label("cash"),
        )
        .where(out.c.state.in_(("requested", "approved", "sent", "paid")))
        .group_by(out.c.state)
    ):
        sent = row.state in {"sent", "paid"}
        told["gone" if sent else "held"] += int(row.credits)
        told["cash"] += int(row.cash) if sent else 0
        told["transit"] += int(row.cash) if row.state == "sent" else 0
    taken = [chart.redeemed().code, chart.payout_fee().code]
    sums = {
        row.code: row
        for row in connection.execute(
            sa.select(account).where(
                account.c.code.in_([*taken, chart.PAYOUTS.code, chart.IN_TRANSIT.code])
            )
        )
    }
    stand = {
        "held": sum(sums[code].credits_pending for code in taken if code in sums),
        "gone": _taken_of_earned(connection, taken),
        "cash": _stands(sums.get(chart.PAYOUTS.code)),
        "transit": -_stands(sums.get(chart.IN_TRANSIT.code)),
    }
    return [
        f"payouts: {stand[what]} {words} by the ledger, {told[what]} by what was asked for"
        for what, words in (
            ("held", "Credits are held"),
            ("gone", "earned Credits are gone"),
            ("cash", "nano-dollars were given away"),
            ("transit", "nano-dollars are on their way"),
        )
        if stand[what] != told[what]
    ]


def _stands(row: sa.Row[Any] | None) -> int:
    """Posted debits less posted credits of an account's row."""
    return 0 if row is None else int(row.debits_posted - row.credits_posted)


def _taken_of_earned(connection: sa.Connection, codes: Sequence[str]) -> int:
    """What moved from earned Credits to these accounts, less what came back."""
    moved, account = schema.transfer.c, schema.account.c
    these = sa.select(account.id).where(account.code.in_(codes))
    taken = moved.credit.in_(these)
    row = connection.execute(
        sa.select(sa.func.sum(sa.case((taken, moved.amount), else_=-moved.amount)))
        .select_from(
            schema.transfer.join(
                schema.account, account.id == sa.case((taken, moved.debit), else_=moved.credit)
            )
        )
        .where(
            sa.or_(taken, moved.debit.in_(these)),
            moved.kind.in_((Kind.POSTED.value, Kind.POST.value)),
            account.code.like("user/%/earned"),
        )
    ).scalar_one()
    return int(row or 0)


def _earned(connection: sa.Connection) -> dict[str, int]:
    """Earned Credits that each contribution brought its contributor, by key."""
    moved, whence, into = schema.transfer, schema.account.alias(), schema.account.alias()
    rows = connection.execute(
        sa.select(whence.c.code, sa.func.sum(moved.c.amount))
        .select_from(
            moved.join(whence, whence.c.id == moved.c.debit).join(into, into.c.id == moved.c.credit)
        )
        .where(whence.c.code.like("key/%/unvested"), into.c.code.like("user/%/earned"))
        .group_by(whence.c.code)
    )
    return {code.split("/")[1]: int(amount) for code, amount in rows}


async def check_referrals(store: Store) -> list[str]:
    """Compares each referral with the orders that count to it, and their sum with what was issued.
    Each in one statement: one snapshot, also beside a running service."""
    order, referral, account = schema.order, schema.referral, schema.account
    shares = (
        sa.select(order.c.referral, sa.func.sum(order.c.share).label("sum"))
        .where(order.c.referral.is_not(None))
        .group_by(order.c.referral)
        .subquery()
    )
    stood = sa.func.coalesce(shares.c.sum, 0)
    rows = await store.fetch(
        sa.select(referral.c.person, referral.c.earned, stood.label("shares"))
        .select_from(referral.outerjoin(shares, shares.c.referral == referral.c.person))
        .where(referral.c.undone_at.is_(None), referral.c.earned != stood)
        .limit(_FINDINGS_MAX)
    )
    moved = schema.transfer
    of_topups = sa.select(
        sa.func.sum(sa.case((moved.c.debit == account.c.id, moved.c.amount), else_=-moved.c.amount))
    ).where(
        account.c.code == chart.issued("referral").code,
        moved.c.entry == chart.REFERRAL,
        sa.or_(moved.c.debit == account.c.id, moved.c.credit == account.c.id),
    )
    earned = sa.select(sa.func.sum(referral.c.earned))
    sums = await store.fetch(
        sa.select(
            sa.func.coalesce(of_topups.scalar_subquery(), 0).label("issued"),
            sa.func.coalesce(earned.scalar_subquery(), 0).label("earned"),
        )
    )
    findings = [
        f"referral of {row.person}: earned {row.earned} Credits, its orders say {row.shares}"
        for row in rows
    ]
    if sums[0].issued != sums[0].earned:
        findings.append(
            f"referrals earned {sums[0].earned} Credits, the ledger issued {sums[0].issued}"
        )
    return findings
