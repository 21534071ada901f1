"""Reversals: an answer of which nothing was ever accepted by its chat, nor by its asker's private
one, is given back in full.

It is one submission, `ask/<id>/reverse`, and ends the ask's delivery with it: it is done once, by
the process that was to deliver the answer, and what is reversed can't be shown later. The Credits
go back to the accounts that paid. The key's dollars stay spent, as its supplier billed them: what
the answer cost counts to its asker's unpaid work. A contributed key's owner keeps a gift for it in
place of what it had earned.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core import chart
from core.asks.unpaid_work import insert_unpaid_work
from core.db import schema
from core.db.writes import Companion, Update
from core.earnings.contributions import find_open_guard
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    Submission,
    TransferKind,
)
from core.money import Credits, NanoUsd
from core.pricing.promotions import release_use
from core.users.service import find_survivor

log = logging.getLogger(__name__)

_ADVANCE_PREFIX, _ADVANCE_SUFFIX = "key/", "/advance"


@dataclass(frozen=True, slots=True)
class _SettledTransfer:
    """A transfer of an ask's settlement, by the codes of its accounts; in Credits."""

    entry: str
    debit: str
    credit: str
    amount: int


class AskReversal:
    """The service that gives back what nobody could be shown."""

    def __init__(self, *, ledger: Ledger, process_id: str) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._process_id = process_id

    async def reverse(self, ask: str) -> bool:
        """Reverses a settled ask that this process was to deliver; False where it was delivered,
        reversed or claimed by another process meanwhile."""
        row = await self._find(ask)
        if row is None:
            return False
        transfers = await self._list_transfers(ask)
        survivor, merge_guard = await find_survivor(self._db, row.person)
        entries, guards = await self._build_entries(survivor, transfers)
        if entries:
            entries.append(chart.repay_owed(survivor))
            guards.append(merge_guard)
        contributor, earned = _sum_earned(transfers)
        if earned.units:
            owner, owner_guard = await find_survivor(self._db, contributor)
            entries += chart.turn_earned_into_gift(owner, earned)
            guards.append(owner_guard)
        companions = [*self._build_companions(row), *guards]
        try:
            if entries:
                receipt = await self._ledger.submit(
                    Submission(f"ask/{ask}/reverse", tuple(entries), tuple(companions))
                )
                if receipt.existed:
                    return False
            else:
                await self._ledger.record(*companions)
        except (CompanionRefused, IdempotencyConflict):
            return False
        log.info("nothing of %s could be shown: it was given back", ask)
        return True

    async def _find(self, ask: str) -> sa.Row[Any] | None:
        table, usage = schema.ask, schema.usage
        rows = await self._db.fetch(
            sa.select(table.c.id, table.c.person, table.c.promotion, usage.c.charge, usage.c.cost)
            .select_from(table.outerjoin(usage, usage.c.ask == table.c.id))
            .where(table.c.id == ask, table.c.state == "settled", table.c.landed_at.is_(None))
        )
        return rows[0] if rows else None

    async def _list_transfers(self, ask: str) -> list[_SettledTransfer]:
        """What the settlement moved, in Credits, in its order."""
        transfer, submission = schema.transfer, schema.submission
        debit, credit = schema.account.alias(), schema.account.alias()
        rows = await self._db.fetch(
            sa.select(
                transfer.c.entry,
                debit.c.code.label("debit"),
                credit.c.code.label("credit"),
                transfer.c.amount,
            )
            .select_from(
                transfer.join(submission, submission.c.seq == transfer.c.submission)
                .join(debit, debit.c.id == transfer.c.debit)
                .join(credit, credit.c.id == transfer.c.credit)
            )
            .where(
                submission.c.id == f"ask/{ask}/settle",
                transfer.c.kind.in_((TransferKind.POSTED.value, TransferKind.POST.value)),
                sa.or_(transfer.c.entry == "charge", transfer.c.entry == "vest-paid"),
            )
            .order_by(transfer.c.seq)
        )
        return [_SettledTransfer(row.entry, row.debit, row.credit, row.amount) for row in rows]

    async def _build_entries(
        self, person: str, transfers: list[_SettledTransfer]
    ) -> tuple[list[Entry], list[Companion]]:
        """What was charged, back to each account that paid; an advance whose contribution has ended
        takes nothing any more, so that its part comes back as a gift."""
        entries: list[Entry] = []
        guards: list[Companion] = []
        for transfer in transfers:
            if transfer.entry != "charge":
                continue
            model = transfer.credit.partition("/")[2]
            amount = Credits(transfer.amount)
            target = chart.pocket(person, "gift")
            if transfer.debit.startswith(_ADVANCE_PREFIX):
                key = transfer.debit.removeprefix(_ADVANCE_PREFIX).removesuffix(_ADVANCE_SUFFIX)
                guard = await find_open_guard(self._db, key)
                if guard is not None:
                    target = chart.advance(key)
                    guards.append(guard)
            else:
                target = chart.find_pocket(person, transfer.debit)
            entries.append(chart.return_charge(len(entries) + 1, model, target, amount))
        return entries, guards

    def _build_companions(self, row: sa.Row[Any]) -> list[Companion]:
        now = self._clock.now_ms()
        companions: list[Companion] = [
            Update(
                schema.ask,
                {"id": row.id},
                {"landed_at": now, "way_back": None, "answer": None, "shown_in": ""},
                {"state": "settled", "landed_at": None, "owner": self._process_id},
            )
        ]
        if row.charge is None:
            return companions
        if row.charge:
            companions.append(Update(schema.usage, {"ask": row.id}, {"charge": 0, "paid": 0}))
            if row.promotion:  # what is given back uses nothing up
                companions.append(release_use(row.id))
        if row.cost:
            companions.append(
                insert_unpaid_work(row.id, row.person, "undelivered", NanoUsd(row.cost), now)
            )
        return companions


def _sum_earned(transfers: list[_SettledTransfer]) -> tuple[str, Credits]:
    """Whose key answered, and what that had earned them; nobody and nothing for an own key."""
    contributor, earned = "", 0
    for transfer in transfers:
        is_earned = transfer.credit.startswith("user/") and transfer.credit.endswith("/earned")
        if transfer.entry == "vest-paid" and is_earned:
            contributor, earned = transfer.credit.split("/")[1], earned + transfer.amount
    return contributor, Credits(earned)
