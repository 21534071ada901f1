"""All audits of what this service keeps, together: the ledger, the asks against it, what keys and
invitations brought, gateways' movements as they were last compared; and the promise to everybody
who pays with Credits, a clause each. What `/terms` says by default is what that audit reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa

from core import chart
from core.asks.audit import AskAuditResult, audit_asks
from core.db import schema
from core.db.database import Database
from core.earnings.audit import audit_earnings
from core.ledger.audit import AuditResult, check_ledger
from core.ledger.types import TransferKind
from core.payment_records import PaymentRecords

PromiseClause = Literal["nothing-unseen", "never-above", "no-expiry", "refunds"]

_FINDINGS_MAX: Final = 100
_MICRO: Final = 1_000_000
#: Where Credits may go from a person's pockets: answers, debts, withdrawals, payments that are
#: given back or disputed, loans on contributed keys, the same person's other account, what an
#: inviter got. None of it happens because time goes by.
_OUTFLOWS: Final = (
    *("spent/", "owed/", "redeemed/", "fee/payout", "order/", "advanced", "line/", "user/"),
    *("issued/topup", "issued/bonus", "issued/referral", chart.FORFEITED.code),
)
#: Causes that forfeit Credits: a person is erased, a stolen key ends.
_FORFEITING: Final = ("person/", "key/")


@dataclass(frozen=True, slots=True)
class ClauseResult:
    """A clause of the promise says how many rows it was compared with, and what breaks it."""

    clause: PromiseClause
    checked: int
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BooksAudit:
    """An audit of the books says what each part went through, and everything that is wrong."""

    ledger: AuditResult
    asks: AskAuditResult
    promise: tuple[ClauseResult, ...]
    findings: tuple[str, ...]


async def audit_books(db: Database, payment_records: PaymentRecords) -> BooksAudit:
    """Compares everything with everything. Raises DatabaseUnavailable."""
    ledger, asks = await check_ledger(db), await audit_asks(db)
    earnings = await audit_earnings(db, payment_records)
    promise = await audit_promise(db, payment_records)
    return BooksAudit(
        ledger,
        asks,
        promise,
        findings=(
            *ledger.findings,
            *asks.findings,
            *earnings,
            *(finding for clause in promise for finding in clause.findings),
            *await payment_records.audit_movements(),
        ),
    )


async def audit_promise(db: Database, payment_records: PaymentRecords) -> tuple[ClauseResult, ...]:
    """Compares each clause with what was charged, moved and given back. Raises
    DatabaseUnavailable."""
    refunded, wrong_refunds = await payment_records.audit_refunds()
    answers = await _count(db, schema.usage, schema.usage.c.charge > 0)
    return (
        ClauseResult("nothing-unseen", answers, tuple(await _find_unseen(db))),
        ClauseResult("never-above", answers, tuple(await _find_above_quote(db))),
        ClauseResult(
            "no-expiry",
            await _count(db, schema.account, schema.account.c.code.like("user/%")),
            tuple(await _find_lost_credits(db)),
        ),
        ClauseResult(
            "refunds",
            refunded,
            tuple(f"promise, refunds by the rule: {finding}" for finding in wrong_refunds),
        ),
    )


async def _count(db: Database, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
    statement = sa.select(sa.func.count()).select_from(table).where(condition)
    return int((await db.fetch(statement))[0][0])


async def _find_unseen(db: Database) -> list[str]:
    """Answers that were charged though no word of them is there; erased ones have no question
    either."""
    ask, usage = schema.ask.c, schema.usage.c
    rows = await db.fetch(
        sa.select(usage.ask, usage.charge)
        .select_from(schema.usage.join(schema.ask, ask.id == usage.ask))
        .where(usage.charge > 0, ask.answer.is_(None), ask.question.is_not(None))
        .limit(_FINDINGS_MAX)
    )
    return [
        f"promise, nothing seen, nothing charged: ask {row.ask} has no answer and was charged"
        f" {row.charge} Credits"
        for row in rows
    ]


async def _find_above_quote(db: Database) -> list[str]:
    """Charges above what was held for the ask, or above what its price makes of its usage: rounded
    up once, at least 1."""
    ask, usage, price = schema.ask.c, schema.usage.c, schema.price.c
    length = sa.case((usage.seconds < ask.seconds, usage.seconds), else_=ask.seconds)
    hundredths = (
        100 * usage.input_tokens
        - (100 - sa.func.coalesce(price.cached_percent, 100)) * usage.cached_tokens
        + (sa.func.coalesce(price.picture_percent, 100) - 100)
        * sa.func.coalesce(usage.picture_tokens, 0)
    )
    exact: sa.ColumnElement[Any] = sa.case(
        (price.per == "second", length * price.input_rate),
        else_=(hundredths * price.input_rate + 99) // 100 + usage.output_tokens * price.output_rate,
    )
    is_above = sa.and_(usage.charge > 1, (usage.charge - 1) * _MICRO >= exact)
    rows = await db.fetch(
        sa.select(usage.ask, usage.charge, ask.held)
        .select_from(
            schema.usage.join(schema.ask, ask.id == usage.ask).outerjoin(
                schema.price, price.id == usage.price
            )
        )
        .where(sa.or_(usage.charge > ask.held, is_above))
        .limit(_FINDINGS_MAX)
    )
    return [
        f"promise, never above the quoted price: ask {row.ask} was charged {row.charge} Credits of"
        f" {row.held} at most"
        for row in rows
    ]


async def _find_lost_credits(db: Database) -> list[str]:
    """Credits that left a pocket for an account where they could only have expired to."""
    transfer, submission = schema.transfer, schema.submission
    debit, credit = schema.account.alias("debit"), schema.account.alias("credit")
    is_known = sa.or_(*(credit.c.code.startswith(kind) for kind in _OUTFLOWS))
    may_forfeit = sa.or_(*(submission.c.id.startswith(cause) for cause in _FORFEITING))
    is_lost = sa.or_(~is_known, sa.and_(credit.c.code == chart.FORFEITED.code, ~may_forfeit))
    rows = await db.fetch(
        sa.select(submission.c.id, debit.c.code.label("pocket"), credit.c.code.label("counter"))
        .select_from(
            transfer.join(submission, submission.c.seq == transfer.c.submission)
            .join(debit, debit.c.id == transfer.c.debit)
            .join(credit, credit.c.id == transfer.c.credit)
        )
        .where(
            transfer.c.kind.in_((TransferKind.POSTED, TransferKind.POST)),
            debit.c.code.startswith("user/"),
            is_lost,
        )
        .limit(_FINDINGS_MAX)
    )
    return [
        f"promise, Credits don't expire: {row.id} took from {row.pocket} to {row.counter}"
        for row in rows
    ]
