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
from core.db.database import Store
from core.db.writes import Companion, Update
from core.ledger.types import Entry
from core.money import Credits
from core.notification import notice
from core.users.referrals import referral_of_topup, share_of
from core.users.service import survivor
from payments.offer import Offer
from payments.types import Order

#: Kinds of notifications to inviters.
FRIEND_BOUGHT, FRIEND_REFUNDED = "friend_bought", "friend_refunded"


@dataclass(frozen=True, slots=True)
class Shared:
    """The inviter's share as parts of the order's submission; it is empty when nobody's share
    changes."""

    entries: tuple[Entry, ...] = ()
    rows: tuple[Companion, ...] = ()
    #: Of the order's own row, and figures for its history.
    change: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, int] = field(default_factory=dict)


_NOTHING = Shared()


async def shared(
    store: Store,
    clock: Clock,
    order: Order,
    *,
    gives: Credits,
    payer: str,
    offer: Offer,
    cause: str,
) -> Shared:
    """An order gives so much from now on; `payer` is whom its Credits belong to, and `cause` what
    changes it. `offer` counts for orders that kept none."""
    row = await _counts_to(store, order, payer)
    if row is None or row.undone_at is not None:
        return _NOTHING
    has = share_of(gives, (order.offer or offer).inviter_percent)
    if has == order.share:
        return _NOTHING
    inviter, still = await survivor(store, row.inviter)
    more = has - order.share
    given = more.units > 0
    told = notice(
        clock,
        cause_id=f"shared/{cause}",
        person=inviter,
        kind=FRIEND_BOUGHT if given else FRIEND_REFUNDED,
        facts={"credits": abs(more.units)},
    )
    earned = Update(
        schema.referral,
        {"person": row.person},
        {"earned": row.earned + more.units},
        {"earned": row.earned, "undone_at": None},
    )
    return Shared(
        referral_of_topup(inviter, had=order.share, has=has),
        (still, earned, told),
        {"referral": row.person, "share": has.units},
        {"inviter": more.units},
    )


async def _counts_to(store: Store, order: Order, payer: str) -> sa.Row[Any] | None:
    if not order.referral and order.state == "credited":
        return None
    table = schema.referral
    rows = await store.fetch(sa.select(table).where(table.c.person == (order.referral or payer)))
    return rows[0] if rows else None
