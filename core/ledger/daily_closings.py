"""Daily closings: what each account stood at when a UTC day ended.

The writer writes an account's closing when the account first moves on a later day; the job here
closes those that have not moved since. So any past day is one row away, however long history is.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from core.clock import DAY_MS, Clock
from core.db import schema
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.ledger.planner import parse_day
from core.ledger.types import Balance

_ACCOUNTS_A_TIME = 500


async def close_days(db: Database, ledger: Ledger, clock: Clock, until_day: str) -> int:
    """Closes every day before `until_day` (YYYY-MM-DD, today at the latest); safe to run twice.

    Answers with how many accounts it closed. Raises ValueError for a day that is still to come.
    """
    until = parse_day(until_day)
    if until > clock.now_ms() // DAY_MS:
        raise ValueError(f"{until_day} is still to come")
    account, closing = schema.account.c, schema.closing.c
    # An account that hasn't moved since its closing is closed already, whatever day it is.
    newest = (
        sa.select(closing.head)
        .where(closing.account == account.id)
        .order_by(closing.day.desc())
        .limit(1)
        .correlate(schema.account)
        .scalar_subquery()
    )
    due = (
        sa.select(account.id, account.code)
        .where(account.head > sa.func.coalesce(newest, 0), account.day < until)
        .order_by(account.id)
        .limit(_ACCOUNTS_A_TIME)
    )
    closed, after = 0, 0
    while rows := await db.fetch(due.where(account.id > after)):
        after = rows[-1].id
        await ledger.close_accounts([row.code for row in rows], until)
        closed += len(rows)
    return closed


async def read_posted_balances(db: Database, codes: Sequence[str], day: str) -> dict[str, Balance]:
    """What the accounts stood at, holds not counted, when `day` (YYYY-MM-DD, UTC) ended."""
    account, closing = schema.account.c, schema.closing.c
    day_number = parse_day(day)
    newest = (
        sa.select(closing.account, sa.func.max(closing.day).label("day"))
        .where(closing.day <= day)
        .group_by(closing.account)
        .subquery()
    )
    unmoved = account.day <= day_number
    rows = await db.fetch(
        sa.select(
            account.code,
            sa.case((unmoved, account.debits_posted), else_=closing.debits_posted).label("debits"),
            sa.case((unmoved, account.credits_posted), else_=closing.credits_posted).label(
                "credits"
            ),
        )
        .select_from(schema.account)
        .outerjoin(newest, newest.c.account == account.id)
        .outerjoin(
            schema.closing,
            sa.and_(closing.account == account.id, closing.day == newest.c.day),
        )
        .where(account.code.in_(codes))
    )
    found = {row.code: Balance(0, row.debits or 0, 0, row.credits or 0) for row in rows}
    return {code: found.get(code, Balance()) for code in codes}
