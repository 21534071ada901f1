"""Referrals: who came by whose link, and the inviter's share of what friends bring, on top of what
the friends get.

An inviter is always older than whom they invited, also after links, whose survivor is the older
one: so nobody invites themselves, and no ring can be. A binding is made once, by the message that
made the person, and never changed; only a link between the two undoes it. Of top-ups the share is
entries of the order's own submission; of contributions `chart.vest_charge` gives it as they vest.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from core import chart, ids
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import Entry
from core.money import Credits
from core.payment_records import PaymentRecords
from core.users.service import find_survivor, list_merged_ids
from core.users.types import Person

#: In front of a code, in a deep link's alphabet (A-Z a-z 0-9 _ -, 64 characters at most).
REFERRAL_PREFIX = "ref_"
#: 60 bits.
_CODE_CHARS = 12
#: The message that makes a person is handled within this time.
BIND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ReferralStats:
    """What came of a person's invitations: counts of people, and Credits earned."""

    joined_count: int
    #: How many of them have bought something that was not refunded, and what that earned.
    buyer_count: int
    earned: Credits


@dataclass(frozen=True, slots=True)
class ReferralReversal:
    """What a link undoes of referrals between two people: Credits earned, and changed rows."""

    earned: Credits
    companions: tuple[Companion, ...]


class Referrals:
    """Creates invitation codes and records who came by whose code."""

    def __init__(self, *, ledger: Ledger, payment_records: PaymentRecords) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._payment_records = payment_records

    async def get_or_create_code(self, person: Person) -> str:
        """A person's code, `ref_…`: created when first asked for, and theirs for good."""
        table = schema.invitation
        statement = sa.select(table.c.code).where(table.c.person == person.id)
        rows = await self._db.fetch(statement)
        while not rows:
            row = {
                "person": person.id,
                "code": ids.new_code(_CODE_CHARS),
                "created_at": self._clock.now_ms(),
            }
            await self._ledger.record(Insert(table, row, ignore=True))
            rows = await self._db.fetch(statement)
        return REFERRAL_PREFIX + str(rows[0].code)

    async def bind_inviter(
        self, person: Person, code: str, platform: str, external_id: str
    ) -> bool:
        """Records that this person came by that code; True also when they did before. False unless
        the code is an older person's and this one came into being just now, under this name, and
        has done nothing yet."""
        issuer = await self._find_older_issuer(person, code)
        if issuer is None:
            return False
        inviter, inviter_unmerged = await find_survivor(self._db, issuer)
        survivor_id, person_unmerged = await find_survivor(self._db, person.id)
        if inviter == await self.find_inviter(person.id):
            return True
        if survivor_id != person.id or not await self._is_new_person(person, platform, external_id):
            return False
        row = {
            "person": person.id,
            "inviter": inviter,
            "bound_at": self._clock.now_ms(),
            "earned": 0,
        }
        # Refused when bound before, or one of them has just become a part of somebody.
        return await self._ledger.try_record(
            Insert(schema.referral, row), inviter_unmerged, person_unmerged
        )

    async def get_stats(self, person: Person) -> ReferralStats:
        """What came of the invitations of a person and of whoever became a part of them."""
        table = schema.referral
        rows = await self._db.fetch(
            sa.select(table.c.earned).where(
                table.c.inviter.in_(await list_merged_ids(self._db, person.id)),
                table.c.undone_at.is_(None),
            )
        )
        earned = [int(row.earned) for row in rows]
        return ReferralStats(len(earned), sum(map(bool, earned)), Credits(sum(earned)))

    async def find_inviter(self, person: str) -> str:
        """The id of whoever invited a person, as merged by now; empty for nobody."""
        table = schema.referral
        rows = await self._db.fetch(
            sa.select(table.c.inviter).where(table.c.person == person, table.c.undone_at.is_(None))
        )
        return (await find_survivor(self._db, rows[0].inviter))[0] if rows else ""

    async def _find_older_issuer(self, person: Person, code: str) -> str | None:
        """Whose code it is, if they are older than `person`."""
        table, issuer = schema.invitation, schema.person
        rows = await self._db.fetch(
            sa.select(issuer.c.id, issuer.c.created_at)
            .join(table, table.c.person == issuer.c.id)
            .where(table.c.code == ids.normalize_code(code[len(REFERRAL_PREFIX) :]))
        )
        if not rows or (rows[0].created_at, rows[0].id) >= (person.created_at, person.id):
            return None
        return str(rows[0].id)

    async def _is_new_person(self, person: Person, platform: str, external_id: str) -> bool:
        if self._clock.now_ms() - person.created_at > BIND_SECONDS * 1000:
            return False
        identity = schema.identity
        identities = await self._db.fetch(
            sa.select(identity.c.person).where(
                identity.c.platform == platform,
                identity.c.external_id == external_id,
                identity.c.person == person.id,
                # A name that was parted from somebody is older than its new person.
                identity.c.created_at == person.created_at,
            )
        )
        if not identities:
            return False
        ask = schema.ask.c
        first_ask = await self._db.fetch(sa.select(ask.id).where(ask.person == person.id).limit(1))
        return not first_ask and not await self._payment_records.count_orders([person.id])


async def plan_referral_reversal(
    db: Database, at_ms: int, merged: str, survivor_id: str
) -> ReferralReversal:
    """What a link undoes, where `merged` becomes a part of `survivor_id`: invitations of either
    side, or of a part of it, by the other, with what their top-ups earned."""
    table = schema.referral
    merged_ids, survivor_ids = (
        await list_merged_ids(db, merged),
        await list_merged_ids(db, survivor_id),
    )
    rows = await db.fetch(
        sa.select(table.c.person, table.c.earned).where(
            table.c.undone_at.is_(None),
            sa.or_(
                sa.and_(table.c.person.in_(merged_ids), table.c.inviter.in_(survivor_ids)),
                sa.and_(table.c.person.in_(survivor_ids), table.c.inviter.in_(merged_ids)),
            ),
        )
    )
    updates = (
        Update(
            table,
            {"person": row.person},
            {"undone_at": at_ms, "earned": 0},
            {"undone_at": None, "earned": row.earned},
        )
        for row in rows
    )
    return ReferralReversal(Credits(sum(row.earned for row in rows)), tuple(updates))


def build_earned_update(person: str, *, earned: int, more: Credits) -> Update:
    """So much more (or less) was earned by inviting a person, if it was `earned` before and that
    counts."""
    return Update(
        schema.referral,
        {"person": person},
        {"earned": earned + more.units},
        {"earned": earned, "undone_at": None},
    )


#: The inviter's share of the Credits of a friend's top-up, in percent; the setting's default.
INVITER_TOPUP_PERCENT = 10


def calculate_inviter_share(credits_: Credits, percent: int) -> Credits:
    """An inviter's share of so many Credits, rounded down."""
    return credits_.share_down(percent, 100)


def adjust_referral_bonus(
    inviter: str, *, old_share: Credits, new_share: Credits
) -> tuple[Entry, ...]:
    """The entries by which an inviter's share follows a changed order: more is given as gift, less
    is taken back, gift first, the rest owed: nobody profits from a friend's refund."""
    if new_share >= old_share:
        return chart.give_referral_bonus(inviter, new_share - old_share)
    return chart.reverse_referral_bonus(inviter, old_share - new_share)
