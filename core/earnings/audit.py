"""The audit of earnings: referrals, contributions and payouts have what the ledger says, and nobody
earned more by a key than nine tenths of what was paid for its answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from core import chart
from core.db import schema
from core.db.database import Database
from core.ledger.types import TransferKind
from core.money import Credits
from core.payment_records import PaymentRecords

_FINDINGS_MAX = 100


async def audit_earnings(db: Database, payment_records: PaymentRecords) -> list[str]:
    """Everything that is wrong with referrals, contributions and payouts."""
    return [
        *await audit_referrals(db, payment_records),
        *await db.read_snapshot(_audit_contributions_and_payouts),
    ]


def _audit_contributions_and_payouts(connection: sa.Connection) -> list[str]:
    """Checks contributions and payouts, read from one snapshot."""
    account, contributions, usage = schema.account, schema.contribution, schema.usage
    is_of_keys = sa.or_(*(account.c.code.like(pattern) for pattern in ("key/%", "use/%")))
    balances = {
        row.code: row
        for row in connection.execute(
            sa.select(account.c.code, account.c.debits_posted, account.c.credits_posted).where(
                is_of_keys
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
                usage.c.key,
                sa.func.sum(usage.c.paid).label("paid"),
                sa.func.sum(usage.c.charge).label("charge"),
            )
            .where(usage.c.key.in_(sa.select(contributions.c.key)))
            .group_by(usage.c.key)
        )
    }
    for key, (paid, free) in _sum_returned_by_key(connection).items():  # it vested all the same
        charged[key] = (charged[key][0] + paid, charged[key][1] + free)
    earned = _sum_earned_by_key(connection)
    findings = []
    for contribution in connection.execute(
        sa.select(contributions).where(contributions.c.opened_at.is_not(None))
    ):
        paid, free = charged.get(contribution.key, (0, 0))
        recorded = (
            posted(chart.key_usage(contribution.key, "paid").code),
            posted(chart.key_usage(contribution.key, "free").code),
        )
        if recorded != (paid, free):
            findings.append(
                f"use of {contribution.key}: {recorded} Credits, its answers say {(paid, free)}"
            )
        max_earned = Credits(paid).share_down(*chart.CONTRIBUTOR_SHARE).units
        if earned.get(contribution.key, 0) > max_earned:
            findings.append(
                f"{contribution.key} earned {earned[contribution.key]} Credits, at most"
                f" {max_earned} are due"
            )
        unvested = balances.get(chart.unvested_credits(contribution.key).code)
        if unvested is None or unvested.credits_posted != contribution.credited:
            findings.append(
                f"contribution {contribution.key}: the ledger has not its"
                f" {contribution.credited} Credits"
            )
        emptied_accounts = (
            chart.unvested_credits,
            chart.advance,
            chart.referral_reserve,
            chart.key_quota,
        )
        if contribution.state == "closed" and any(
            posted(of(contribution.key).code) for of in emptied_accounts
        ):
            findings.append(f"contribution {contribution.key} is closed, but not empty")
    return [*findings[:_FINDINGS_MAX], *_audit_payouts(connection)]


def _audit_payouts(connection: sa.Connection) -> list[str]:
    """Each withdrawal holds or took as much as it says, of what was earned, and no more cash than
    that is worth."""
    payout, account = schema.payout, schema.account
    expected = {"held": 0, "gone": 0, "cash": 0, "transit": 0}
    for row in connection.execute(
        sa.select(
            payout.c.state,
            sa.func.sum(payout.c.credits).label("credits"),
            sa.func.sum(payout.c.cash).label("cash"),
        )
        .where(payout.c.state.in_(("requested", "approved", "sent", "paid")))
        .group_by(payout.c.state)
    ):
        is_sent = row.state in {"sent", "paid"}
        expected["gone" if is_sent else "held"] += int(row.credits)
        expected["cash"] += int(row.cash) if is_sent else 0
        expected["transit"] += int(row.cash) if row.state == "sent" else 0
    codes = [chart.redeemed_credits().code, chart.payout_fee().code]
    sums = {
        row.code: row
        for row in connection.execute(
            sa.select(account).where(
                account.c.code.in_([*codes, chart.PAYOUTS.code, chart.PAYOUTS_IN_TRANSIT.code])
            )
        )
    }
    actual = {
        "held": sum(sums[code].credits_pending for code in codes if code in sums),
        "gone": _sum_taken_from_earned(connection, codes),
        "cash": _net_debits(sums.get(chart.PAYOUTS.code)),
        "transit": -_net_debits(sums.get(chart.PAYOUTS_IN_TRANSIT.code)),
    }
    return [
        f"payouts: {actual[what]} {words} by the ledger, {expected[what]} by what was asked for"
        for what, words in (
            ("held", "Credits are held"),
            ("gone", "earned Credits are gone"),
            ("cash", "nano-dollars were given away"),
            ("transit", "nano-dollars are on their way"),
        )
        if actual[what] != expected[what]
    ]


def _net_debits(row: sa.Row[Any] | None) -> int:
    """Posted debits less posted credits of an account's row."""
    return 0 if row is None else int(row.debits_posted - row.credits_posted)


def _sum_taken_from_earned(connection: sa.Connection, codes: Sequence[str]) -> int:
    """What moved from earned Credits to these accounts, less what came back."""
    transfer, account = schema.transfer.c, schema.account.c
    account_ids = sa.select(account.id).where(account.code.in_(codes))
    is_taken = transfer.credit.in_(account_ids)
    row = connection.execute(
        sa.select(sa.func.sum(sa.case((is_taken, transfer.amount), else_=-transfer.amount)))
        .select_from(
            schema.transfer.join(
                schema.account,
                account.id == sa.case((is_taken, transfer.debit), else_=transfer.credit),
            )
        )
        .where(
            sa.or_(is_taken, transfer.debit.in_(account_ids)),
            transfer.kind.in_((TransferKind.POSTED.value, TransferKind.POST.value)),
            account.code.like("user/%/earned"),
        )
    ).scalar_one()
    return int(row or 0)


def _sum_earned_by_key(connection: sa.Connection) -> dict[str, int]:
    """Earned Credits that each contribution brought its contributor, by key."""
    transfer, source, target = schema.transfer, schema.account.alias(), schema.account.alias()
    rows = connection.execute(
        sa.select(source.c.code, sa.func.sum(transfer.c.amount))
        .select_from(
            transfer.join(source, source.c.id == transfer.c.debit).join(
                target, target.c.id == transfer.c.credit
            )
        )
        .where(source.c.code.like("key/%/unvested"), target.c.code.like("user/%/earned"))
        .group_by(source.c.code)
    )
    return {code.split("/")[1]: int(amount) for code, amount in rows}


def _sum_returned_by_key(connection: sa.Connection) -> dict[str, tuple[int, int]]:
    """Credits that were given back for answers of each contribution that nobody saw: those that
    the askers had bought or earned, and others."""
    transfer, submission, usage = schema.transfer, schema.submission, schema.usage
    account = schema.account
    is_paid = sa.or_(account.c.code.like("user/%/bought"), account.c.code.like("user/%/earned"))
    paid = sa.func.sum(sa.case((is_paid, transfer.c.amount), else_=0))
    rows = connection.execute(
        sa.select(usage.c.key, paid.label("paid"), sa.func.sum(transfer.c.amount).label("all"))
        .select_from(
            transfer.join(submission, submission.c.seq == transfer.c.submission)
            .join(usage, submission.c.id == sa.literal("ask/") + usage.c.ask + "/reverse")
            .join(account, account.c.id == transfer.c.credit)
        )
        .where(
            transfer.c.entry.like(f"{chart.RETURNED_ENTRY}%"),
            usage.c.key.in_(sa.select(schema.contribution.c.key)),
        )
        .group_by(usage.c.key)
    )
    return {row.key: (int(row.paid), int(row.all) - int(row.paid)) for row in rows}


async def audit_referrals(db: Database, payment_records: PaymentRecords) -> list[str]:
    """Compares each referral with the orders that count to it, and their sum with what was issued.
    Each in one statement: one snapshot, also beside a running service."""
    referral, account = schema.referral, schema.account
    shares = payment_records.select_referral_shares()
    expected = sa.func.coalesce(shares.c.sum, 0)
    rows = await db.fetch(
        sa.select(referral.c.person, referral.c.earned, expected.label("shares"))
        .select_from(referral.outerjoin(shares, shares.c.referral == referral.c.person))
        .where(referral.c.undone_at.is_(None), referral.c.earned != expected)
        .limit(_FINDINGS_MAX)
    )
    transfer = schema.transfer
    of_topups = sa.select(
        sa.func.sum(
            sa.case((transfer.c.debit == account.c.id, transfer.c.amount), else_=-transfer.c.amount)
        )
    ).where(
        account.c.code == chart.issued("referral").code,
        transfer.c.entry == chart.REFERRAL_ENTRY,
        sa.or_(transfer.c.debit == account.c.id, transfer.c.credit == account.c.id),
    )
    earned = sa.select(sa.func.sum(referral.c.earned))
    sums = await db.fetch(
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
