"""The history of some accounts, read backwards: where they stood when a day ended, and what moved
them before that, the newest first.

Each transfer names the one before it of either account, so a history is followed row by row from an
account's newest transfer, or from a day's closing, without a search: what is read is what is shown,
however long the books are. Rows never change, so pieces that are read one after another fit
together.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.ledger.planner import format_day
from core.ledger.types import TransferKind

#: Transfers of an account that are read at a time: few at first, for most readers stop early.
_FIRST_STEPS: Final = 64
_STEPS_MAX: Final = 1_024
_POSTING: Final = (TransferKind.POSTED.value, TransferKind.POST.value)


@dataclass(frozen=True, slots=True)
class AccountPosition:
    """A position is an account's newest transfer at some time (`head`, 0 before the first), and
    what it stood at then: credits less debits, holds not counted."""

    id: int
    code: str
    head: int
    posted: int


@dataclass(frozen=True, slots=True)
class PostedChange:
    """A change is what one transfer did to one account: `amount` is above zero where it came in.
    `counter` is the code of the other account."""

    seq: int
    submission: str
    at_ms: int
    code: str
    counter: str
    amount: int


class AccountHistory:
    """Reads where accounts stood, and what moved them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def read_positions(
        self, codes: Sequence[str], until_ms: int | None = None
    ) -> list[AccountPosition]:
        """Where accounts stood when the UTC day of a time ended, or now; accounts that were never
        used are left out."""
        account, closing = schema.account.c, schema.closing.c
        if not codes:
            return []
        if until_ms is None:
            rows = await self._db.fetch(_select_accounts().where(account.code.in_(codes)))
            return [_position_from_row(row) for row in rows]
        day = format_day(until_ms // DAY_MS)
        first = (
            sa.select(closing.account, sa.func.min(closing.day).label("day"))
            .where(
                closing.account.in_(sa.select(account.id).where(account.code.in_(codes))),
                closing.day >= day,
            )
            .group_by(closing.account)
            .subquery()
        )
        is_closed = closing.day.is_not(None)
        statement = (
            sa.select(
                account.id,
                account.code,
                sa.case((is_closed, closing.head), else_=account.head).label("head"),
                sa.case(
                    (is_closed, closing.credits_posted - closing.debits_posted),
                    else_=account.credits_posted - account.debits_posted,
                ).label("posted"),
            )
            .select_from(schema.account)
            .outerjoin(first, first.c.account == account.id)
            .outerjoin(
                schema.closing,
                sa.and_(closing.account == account.id, closing.day == first.c.day),
            )
            .where(account.code.in_(codes))
        )
        return [_position_from_row(row) for row in await self._db.fetch(statement)]

    async def walk(self, positions: Sequence[AccountPosition]) -> AsyncGenerator[PostedChange]:
        """All that was posted to the accounts up to their positions, the newest first."""
        walks = [self._walk_account(position) for position in positions if position.head]
        waiting: list[tuple[int, int, PostedChange]] = []
        for number, walk in enumerate(walks):
            if (change := await anext(walk, None)) is not None:
                heapq.heappush(waiting, (-change.seq, number, change))
        while waiting:
            _, number, change = heapq.heappop(waiting)
            yield change
            if (following := await anext(walks[number], None)) is not None:
                heapq.heappush(waiting, (-following.seq, number, following))

    async def _walk_account(self, position: AccountPosition) -> AsyncGenerator[PostedChange]:
        head, steps = position.head, _FIRST_STEPS
        while head:
            values = {"account": position.id, "head": head, "steps": steps}
            rows = await self._db.fetch(_CHAIN, values)
            for row in rows:
                if row.amount is not None:
                    yield PostedChange(
                        row.seq, row.submission, row.at, position.code, row.counter, row.amount
                    )
            head = rows[-1].previous if rows else 0
            steps = min(steps * 4, _STEPS_MAX)


def _select_accounts() -> sa.Select[Any]:
    account = schema.account.c
    posted = account.credits_posted - account.debits_posted
    return sa.select(account.id, account.code, account.head, posted.label("posted"))


def _position_from_row(row: sa.Row[Any]) -> AccountPosition:
    return AccountPosition(row.id, row.code, row.head, row.posted)


def _select_chain() -> sa.Select[Any]:
    """So many transfers of an account from one on, backwards; `amount` is null where nothing was
    posted."""
    transfer, submission, counter = schema.transfer, schema.submission, schema.account
    account = sa.bindparam("account", type_=sa.BigInteger)

    def columns(number: sa.ColumnElement[int]) -> list[sa.ColumnElement[Any]]:
        is_debit = transfer.c.debit == account
        is_posting = transfer.c.kind.in_(_POSTING)
        return [
            transfer.c.seq,
            transfer.c.submission.label("cause"),
            sa.case((is_debit, transfer.c.credit), else_=transfer.c.debit).label("other"),
            sa.case(
                (sa.and_(is_posting, is_debit), -transfer.c.amount),
                (is_posting, transfer.c.amount),
            ).label("amount"),
            sa.case((is_debit, transfer.c.debit_previous), else_=transfer.c.credit_previous).label(
                "previous"
            ),
            number.label("number"),
        ]

    start = sa.select(*columns(sa.literal(1))).where(
        transfer.c.seq == sa.bindparam("head", type_=sa.BigInteger)
    )
    chain = start.cte("chain", recursive=True)
    chain = chain.union_all(
        sa.select(*columns(chain.c.number + 1))
        .select_from(chain.join(transfer, transfer.c.seq == chain.c.previous))
        .where(chain.c.number < sa.bindparam("steps", type_=sa.BigInteger))
    )
    return (
        sa.select(
            chain.c.seq,
            chain.c.amount,
            chain.c.previous,
            submission.c.id.label("submission"),
            submission.c.at,
            counter.c.code.label("counter"),
        )
        .select_from(
            chain.join(submission, submission.c.seq == chain.c.cause).join(
                counter, counter.c.id == chain.c.other
            )
        )
        .order_by(chain.c.seq.desc())
    )


_CHAIN: Final = _select_chain()
