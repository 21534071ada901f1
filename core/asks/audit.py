"""The audit of asks against the ledger: what each charged is what its transfers moved, and every
hold of the ledger belongs to an ask that is open."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from core import chart, ids
from core.db import schema
from core.db.database import Database
from core.ledger.types import TransferKind

_FINDINGS_MAX = 100
#: Where an ask's id stands in `ask/<id>/…`.
_ID_START, _ID_LENGTH = len("ask/") + 1, len(ids.new_id("ask", 0))


@dataclass(frozen=True, slots=True)
class AskAuditResult:
    """How many asks are open and settled, and what of them does not fit the ledger."""

    open_count: int
    settled_count: int
    findings: tuple[str, ...]


async def audit_asks(db: Database) -> AskAuditResult:
    """Compares asks, usage and holds with the ledger's transfers."""
    counts = {
        row.state: row.number
        for row in await db.fetch(
            sa.select(schema.ask.c.state, sa.func.count().label("number")).group_by(
                schema.ask.c.state
            )
        )
    }
    findings = [
        *await _find_charge_mismatches(db),
        *await _find_stray_holds(db),
    ]
    return AskAuditResult(counts.get("open", 0), counts.get("settled", 0), tuple(findings))


async def _find_charge_mismatches(db: Database) -> list[str]:
    """Usage rows whose charge is not what the settlement posted from the person's pockets, less
    what was given back; and charges that have no usage row."""
    transfer, submission, usage = schema.transfer, schema.submission, schema.usage
    returned = (
        sa.select(
            submission.c.id.label("submission"), sa.func.sum(transfer.c.amount).label("amount")
        )
        .select_from(transfer.join(submission, submission.c.seq == transfer.c.submission))
        .where(
            submission.c.id.like("ask/%/reverse"),
            transfer.c.entry.like(f"{chart.RETURNED_ENTRY}%"),
        )
        .group_by(submission.c.id)
        .subquery()
    )
    posted = (
        sa.select(
            submission.c.id.label("submission"), sa.func.sum(transfer.c.amount).label("charge")
        )
        .select_from(transfer.join(submission, submission.c.seq == transfer.c.submission))
        .where(transfer.c.entry == "charge", transfer.c.kind == TransferKind.POST)
        .group_by(submission.c.id)
        .subquery()
    )
    kept = sa.func.coalesce(posted.c.charge, 0) - sa.func.coalesce(returned.c.amount, 0)
    rows = await db.fetch(
        sa.select(usage.c.ask, usage.c.charge, kept.label("posted"))
        .select_from(
            usage.outerjoin(
                posted, posted.c.submission == sa.literal("ask/") + usage.c.ask + "/settle"
            ).outerjoin(
                returned, returned.c.submission == sa.literal("ask/") + usage.c.ask + "/reverse"
            )
        )
        .where(usage.c.charge != kept)
        .limit(_FINDINGS_MAX)
    )
    unrecorded = await db.fetch(
        sa.select(posted.c.submission, posted.c.charge)
        .select_from(
            posted.outerjoin(
                usage, usage.c.ask == sa.func.substr(posted.c.submission, _ID_START, _ID_LENGTH)
            )
        )
        .where(posted.c.submission.like("ask/%/settle"), usage.c.ask.is_(None))
        .limit(_FINDINGS_MAX)
    )
    return [
        *(
            f"ask {row.ask}: usage says {row.charge} Credits, the ledger {row.posted or 0}"
            for row in rows
        ),
        *(
            f"{row.submission}: {row.charge} Credits charged, and no usage row"
            for row in unrecorded
        ),
    ]


async def _find_stray_holds(db: Database) -> list[str]:
    """Holds named after an ask that is not open, and open asks without a hold. Each in one
    statement: one snapshot, also beside a running service."""
    ask, hold = schema.ask, schema.hold
    stray = await db.fetch(
        sa.select(hold.c.name)
        .where(
            hold.c.name.like("ask/%"),
            ~sa.exists().where(
                ask.c.id == sa.func.substr(hold.c.name, _ID_START, _ID_LENGTH),
                ask.c.state == "open",
            ),
        )
        .limit(_FINDINGS_MAX)
    )
    unheld = await db.fetch(
        sa.select(ask.c.id)
        .where(
            ask.c.state == "open",
            ask.c.held > 0,
            ~sa.exists().where(hold.c.name == sa.literal("ask/") + ask.c.id + "/hold/credits"),
        )
        .limit(_FINDINGS_MAX)
    )
    return [
        *(f"hold {row.name}: without an open ask" for row in stray),
        *(f"ask {row.id}: open without a hold" for row in unheld),
    ]
