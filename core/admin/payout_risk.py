"""The risk card of a payout: who paid for what was earned, by what means, how long ago."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.earnings.payouts import convert_to_cash
from core.earnings.types import DISPUTABLE_DAYS
from core.money import Credits, NanoUsd
from core.payment_records import PaymentRecords

_ASKERS_SHOWN = 5
#: Gateways whose payments no bank takes back: on a blockchain, or by a voucher.
_FINAL_GATEWAYS = frozenset({"btcpay", "code"})
#: Whoever spent so many per cent of all they ever paid with on one person's keys asks nearly
#: nowhere else; the card advises a refusal when so many per cent of what was earned come of such
#: people.
_CAPTIVE_PERCENT = 80
_DOUBTFUL_PERCENT = 50


@dataclass(frozen=True, slots=True)
class PayingAsker:
    """A person whose paid asks a contributor's keys served."""

    person: str
    #: Credits that they had bought or earned and that were charged there.
    paid: Credits
    #: Gateways by which they ever paid, their newest payment (ms UTC; 0: none), their disputes.
    gateways: tuple[str, ...]
    newest_payment_at: int
    disputes: int
    #: Whether they ask nearly nowhere else, and a bank can still take back what they paid.
    is_captive: bool
    is_disputable: bool


@dataclass(frozen=True, slots=True)
class PayoutRisk:
    """What an admin should consider before approving a payout."""

    #: Credits charged by all that ever paid there, and how many people those are.
    paid: Credits
    asker_count: int
    #: The askers who paid most.
    biggest_askers: tuple[PayingAsker, ...]
    disputes: int
    #: Names by which the payee writes.
    names: tuple[str, ...]
    #: Keys of the payee that died.
    dead_keys: int
    #: Nano-dollars at gateways, and what all earned Credits would be paid out as.
    cash: NanoUsd
    owed: NanoUsd

    @property
    def doubtful_percent(self) -> int:
        """Of what was paid on their keys, what came of people who ask nearly nowhere else and whose
        payments can still be taken back: friends, or other accounts of theirs."""
        doubtful = sum(
            asker.paid.units
            for asker in self.biggest_askers
            if asker.is_captive and asker.is_disputable
        )
        return doubtful * 100 // self.paid.units if self.paid.units else 0

    @property
    def advises_refusal(self) -> bool:
        """Whether the card advises a no for now: the money may be taken back after it was paid
        out, or was before."""
        return self.disputes > 0 or self.doubtful_percent >= _DOUBTFUL_PERCENT

    @property
    def is_covered(self) -> bool:
        """Whether the cash that came in covers what is owed out."""
        return self.cash >= self.owed


async def assess_payout_risk(
    db: Database, payment_records: PaymentRecords, people: Sequence[str], now_ms: int
) -> PayoutRisk:
    """The risk of paying out to a payee, given by their own id and those merged into it."""
    usage, key = schema.usage, schema.key
    rows = await db.fetch(
        sa.select(usage.c.person, sa.func.sum(usage.c.paid).label("paid"))
        .select_from(usage.join(key, key.c.id == usage.c.key))
        .where(key.c.owner.in_(people), usage.c.paid > 0)
        .group_by(usage.c.person)
        .order_by(sa.text("paid DESC"))
    )
    biggest = [await _read_asker(db, payment_records, row, now_ms) for row in rows[:_ASKERS_SHOWN]]
    identity = schema.identity
    names = await db.fetch(
        sa.select(identity.c.platform, identity.c.external_id).where(identity.c.person.in_(people))
    )
    dead_keys = await db.fetch(
        sa.select(sa.func.count())
        .select_from(key)
        .where(key.c.owner.in_(people), key.c.state == "dead")
    )
    cash, owed = await _read_solvency(db)
    return PayoutRisk(
        paid=Credits(sum(int(row.paid) for row in rows)),
        asker_count=len(rows),
        biggest_askers=tuple(biggest),
        disputes=await payment_records.count_disputed_orders([row.person for row in rows]),
        names=tuple(f"{row.platform}:{row.external_id}" for row in names),
        dead_keys=int(dead_keys[0][0]),
        cash=cash,
        owed=owed,
    )


async def _read_asker(
    db: Database, payment_records: PaymentRecords, row: sa.Row[Any], now_ms: int
) -> PayingAsker:
    usage = schema.usage.c
    payments = await payment_records.list_payments([row.person])
    total_paid = await db.fetch(
        sa.select(sa.func.sum(usage.paid).label("paid")).where(usage.person == row.person)
    )
    gateways = Counter(one.gateway for one in payments)
    since = now_ms - DISPUTABLE_DAYS * DAY_MS
    return PayingAsker(
        person=row.person,
        paid=Credits(int(row.paid)),
        gateways=tuple(name for name, _ in gateways.most_common()),
        newest_payment_at=max((one.at for one in payments), default=0),
        disputes=sum(one.is_disputed for one in payments),
        is_captive=int(row.paid) * 100 >= int(total_paid[0].paid) * _CAPTIVE_PERCENT,
        is_disputable=any(
            one.at > since and one.gateway not in _FINAL_GATEWAYS for one in payments
        ),
    )


async def _read_solvency(db: Database) -> tuple[NanoUsd, NanoUsd]:
    account = schema.account
    rows = await db.fetch(
        sa.select(
            account.c.code,
            account.c.debits_posted,
            account.c.credits_posted,
        ).where(
            account.c.unit == NanoUsd.NAME,
            account.c.code.like("cash/%"),
        )
    )
    earned = await db.fetch(
        sa.select(
            sa.func.sum(account.c.credits_posted - account.c.debits_posted).label("earned")
        ).where(account.c.code.like("user/%/earned"))
    )
    cash = sum(row.debits_posted - row.credits_posted for row in rows)
    return NanoUsd(cash), convert_to_cash(Credits(int(earned[0].earned or 0)))
