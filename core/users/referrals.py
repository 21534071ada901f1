"""Referrals: who came by whose link, and the inviter's share of what friends bring, on top of what
the friends get.

An inviter is always older than whom they invited, also after links, whose survivor is the older
one: so nobody invites themselves, and no ring can be. A binding is made once, by the message that
made the person, and never changed; only a link between the two undoes it. Of top-ups the share is
entries of the order's own submission; of contributions `chart.vest_charge` gives it as they vest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, Entry
from core.money import Credits
from core.users.service import lineage, survivor
from core.users.types import Person

#: In front of a code, in a deep link's alphabet (A-Z a-z 0-9 _ -, 64 characters at most).
INVITATION_PREFIX = "ref_"
#: 60 bits.
_CODE_CHARS = 12
#: The message that makes a person is handled within this time.
BIND_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Tally:
    """What came of a person's invitations: counts of people, and Credits earned."""

    came: int
    #: How many of them have bought something that was not refunded, and what that earned.
    bought: int
    earned: Credits


@dataclass(frozen=True, slots=True)
class Undone:
    """What a link undoes of referrals between two people: Credits earned, and changed rows."""

    earned: Credits
    rows: tuple[Companion, ...]


class Invitations:
    """Creates invitation codes and records who came by whose code."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock

    async def code(self, person: Person) -> str:
        """A person's code, `ref_…`: created when first asked for, and theirs for good."""
        table = schema.invitation
        chosen = sa.select(table.c.code).where(table.c.person == person.id)
        rows = await self._store.fetch(chosen)
        while not rows:
            row = {
                "person": person.id,
                "code": ids.fresh(_CODE_CHARS),
                "created_at": self._clock.now_ms(),
            }
            await self._ledger.record(Insert(table, row, ignore=True))
            rows = await self._store.fetch(chosen)
        return INVITATION_PREFIX + str(rows[0].code)

    async def bind(self, person: Person, code: str, platform: str, external_id: str) -> bool:
        """Records that this person came by that code; True also when they did before. False unless
        the code is an older person's and this one came into being just now, under this name, and
        has done nothing yet."""
        owner = await self._older(person, code)
        if owner is None:
            return False
        inviter, inviter_still = await survivor(self._store, owner)
        whole, person_still = await survivor(self._store, person.id)
        if inviter == await self.inviter_of(person.id):
            return True
        if whole != person.id or not await self._is_new(person, platform, external_id):
            return False
        row = {
            "person": person.id,
            "inviter": inviter,
            "bound_at": self._clock.now_ms(),
            "earned": 0,
            "undone_at": None,
        }
        try:
            await self._ledger.record(Insert(schema.referral, row), inviter_still, person_still)
        except CompanionRefused:  # bound before, or one of them has just become a part of somebody
            return False
        return True

    async def tally(self, person: Person) -> Tally:
        """What came of the invitations of a person and of whoever became a part of them."""
        table = schema.referral
        rows = await self._store.fetch(
            sa.select(table.c.earned).where(
                table.c.inviter.in_(await lineage(self._store, person.id)),
                table.c.undone_at.is_(None),
            )
        )
        earned = [int(row.earned) for row in rows]
        return Tally(len(earned), sum(map(bool, earned)), Credits(sum(earned)))

    async def inviter_of(self, person: str) -> str:
        """The id of whoever invited a person, as merged by now; empty for nobody."""
        table = schema.referral
        rows = await self._store.fetch(
            sa.select(table.c.inviter).where(table.c.person == person, table.c.undone_at.is_(None))
        )
        return (await survivor(self._store, rows[0].inviter))[0] if rows else ""

    async def _older(self, person: Person, code: str) -> str | None:
        """Whose code it is, if they are older than `person`."""
        table, owner = schema.invitation, schema.person
        rows = await self._store.fetch(
            sa.select(owner.c.id, owner.c.created_at)
            .join(table, table.c.person == owner.c.id)
            .where(table.c.code == ids.bare(code[len(INVITATION_PREFIX) :]))
        )
        if not rows or (rows[0].created_at, rows[0].id) >= (person.created_at, person.id):
            return None
        return str(rows[0].id)

    async def _is_new(self, person: Person, platform: str, external_id: str) -> bool:
        if self._clock.now_ms() - person.created_at > BIND_SECONDS * 1000:
            return False
        name = schema.identity
        named = await self._store.fetch(
            sa.select(name.c.person).where(
                name.c.platform == platform,
                name.c.external_id == external_id,
                name.c.person == person.id,
                # A name that was parted from somebody is older than its new person.
                name.c.created_at == person.created_at,
            )
        )
        if not named:
            return False
        done: Sequence[sa.Row[Any]] = [
            *await self._first_of(schema.ask, person.id),
            *await self._first_of(schema.order, person.id),
        ]
        return not done

    async def _first_of(self, table: sa.Table, person: str) -> Sequence[sa.Row[Any]]:
        return await self._store.fetch(
            sa.select(table.c.id).where(table.c.person == person).limit(1)
        )


async def undone_between(store: Store, at_ms: int, part: str, survivor: str) -> Undone:
    """What a link undoes, where `merged` becomes a part of `survivor_id`: invitations of either
    side, or of a part of it, by the other, with what their top-ups earned. What contributions bring
    from then on goes to the survivor, and to nobody for keys that are their own."""
    table = schema.referral
    ours, theirs = await lineage(store, part), await lineage(store, survivor)
    rows = await store.fetch(
        sa.select(table.c.person, table.c.earned).where(
            table.c.undone_at.is_(None),
            sa.or_(
                sa.and_(table.c.person.in_(ours), table.c.inviter.in_(theirs)),
                sa.and_(table.c.person.in_(theirs), table.c.inviter.in_(ours)),
            ),
        )
    )
    undone = [
        Update(
            table,
            {"person": row.person},
            {"undone_at": at_ms, "earned": 0},
            {"undone_at": None, "earned": row.earned},
        )
        for row in rows
    ]
    both = {*ours, *theirs}
    return Undone(
        Credits(sum(row.earned for row in rows)),
        (*undone, *await _contributions_move(store, part, survivor, both)),
    )


async def _contributions_move(
    store: Store, part: str, survivor: str, both: set[str]
) -> list[Companion]:
    given, key = schema.contribution, schema.key
    rows = await store.fetch(
        sa.select(given.c.key, given.c.inviter, key.c.owner)
        .join(key, key.c.id == given.c.key)
        .where(given.c.inviter.in_(both), sa.or_(given.c.inviter == part, key.c.owner.in_(both)))
    )
    return [
        Update(
            given,
            {"key": row.key},
            {"inviter": None if row.owner in both else survivor},
            {"inviter": row.inviter},
        )
        for row in rows
    ]


#: The inviter's share of the Credits of a friend's top-up, in percent; the setting's default.
TOPUP_PERCENT = 10


def share_of(credits_: Credits, percent: int) -> Credits:
    """An inviter's share of so many Credits, rounded down."""
    return credits_.share_down(percent, 100)


def referral_of_topup(inviter: str, *, had: Credits, has: Credits) -> tuple[Entry, ...]:
    """The entries by which an inviter's share follows a changed order: more is given as gift, less
    is taken back, gift first, the rest owed: nobody profits from a friend's refund."""
    if has >= had:
        return chart.referral_given(inviter, has - had)
    return chart.referral_taken_back(inviter, had - has)


async def earned_by_keys(store: Store, ledger: Ledger, inviters: Sequence[str]) -> Credits:
    """What these people got, all together, of what friends' contributions have vested: calculated
    from the counts of use, as `chart.vest_charge` does."""
    table = schema.contribution
    rows = await store.fetch(
        sa.select(table.c.key, table.c.inviting).where(table.c.inviter.in_(inviters))
    )
    counts = await ledger.balances(
        chart.used(row.key, use) for row in rows for use in ("paid", "free")
    )
    part, whole = chart.INVITED
    earned = 0
    for row in rows:
        uses = (chart.used(row.key, "paid").code, chart.used(row.key, "free").code)
        grown = sum(counts[code].credits_posted * part // whole for code in uses)
        earned += min(grown, row.inviting)
    return Credits(earned)
