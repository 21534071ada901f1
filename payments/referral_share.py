"""The referral share: what a change of an order means for whoever invited its buyer.

Entries and rows for the order's own submission: the share is kept in step with what the order
gives, whether it is paid, refunded or lost. Which referral an order counts to is settled when it is
first credited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion
from core.ledger.types import Entry
from core.money import Credits
from core.notification import notification_row
from core.users.referrals import (
    adjust_referral_bonus,
    build_earned_update,
    calculate_inviter_share,
)
from core.users.service import find_survivor
from payments.offer import Offer
from payments.types import Order

#: Kinds of notifications to inviters.
FRIEND_BOUGHT, FRIEND_REFUNDED = "friend_bought", "friend_refunded"


@dataclass(frozen=True, slots=True)
class ReferralShare:
    """The inviter's share as parts of the order's submission; it is empty when nobody's share
    changes."""

    entries: tuple[Entry, ...] = ()
    companions: tuple[Companion, ...] = ()
    #: Of the order's own row, and figures for its history.
    change: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, int] = field(default_factory=dict)


_NO_SHARE = ReferralShare()


async def compute_referral_share(
    db: Database,
    clock: Clock,
    order: Order,
    *,
    total_given: Credits,
    payer: str,
    offer: Offer,
    cause: str,
) -> ReferralShare:
    """An order gives so much from now on; `payer` is whom its Credits belong to, and `cause` what
    changes it. `offer` counts for orders that kept none."""
    row = await _find_referral(db, order, payer)
    if row is None or row.undone_at is not None:
        return _NO_SHARE
    share_credits = calculate_inviter_share(total_given, (order.offer or offer).inviter_percent)
    if share_credits == order.share:
        return _NO_SHARE
    inviter, person_guard = await find_survivor(db, row.inviter)
    more = share_credits - order.share
    is_gain = more.units > 0
    notification = notification_row(
        clock,
        cause_id=f"shared/{cause}",
        person=inviter,
        kind=FRIEND_BOUGHT if is_gain else FRIEND_REFUNDED,
        facts={"credits": abs(more.units)},
    )
    earned = build_earned_update(row.person, earned=row.earned, more=more)
    return ReferralShare(
        adjust_referral_bonus(inviter, old_share=order.share, new_share=share_credits),
        (person_guard, earned, notification),
        {"referral": row.person, "share": share_credits.units},
        {"inviter": more.units},
    )


async def _find_referral(db: Database, order: Order, payer: str) -> sa.Row[Any] | None:
    if not order.referral and order.state == "credited":
        return None
    table = schema.referral
    rows = await db.fetch(sa.select(table).where(table.c.person == (order.referral or payer)))
    return rows[0] if rows else None
