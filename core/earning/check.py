"""The audit of referrals: inviters have what their friends' orders say, and the ledger says so."""

from __future__ import annotations

import sqlalchemy as sa

from core import chart
from core.store import Store, schema

_FINDINGS_MAX = 100


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
