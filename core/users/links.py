"""Links: a person of two platforms becomes one.

One side is shown a code, the other types it; both are told whom they join, and both agree. So
nobody takes over an account by a code that they were sent, and wrong codes are few. Then
the younger person becomes a part of the older one: what they have and what they owe moves in one
submission, the names by which they write lead to the survivor, and nothing is made or lost, but for
what one earned by inviting the other: nobody invites themselves. The survivor's language and
settings stay; being an admin belongs to a platform id and never moves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import AtMost, CompanionRefused, IdempotencyConflict, Submission
from core.money import Credits
from core.users.referrals import undone_between
from core.users.service import People, find
from core.users.ttl_cache import Recent
from core.users.types import Person, TooManyTries

#: 60 bits.
_CODE_CHARS = 12
CODE_SECONDS = 600
#: The upper bound of moves that take whatever an account has.
_ALL = Credits(10**15)
#: How often a merge is tried again when payments change its figures at the same time.
_TRIES = 8


class LinkRefused(Refusal):
    """A code that leads nowhere: unknown, too old, used, or one's own."""

    code: ClassVar[str] = "link_refused"


class AlreadyOne(Refusal):
    """Both sides of the link are the same person already."""

    code: ClassVar[str] = "already_one"


#: Gives what of a person's earned Credits is old enough to be withdrawn.
Aged = Callable[[str], Awaitable[Credits]]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Two people who may become one, as one of them sees it."""

    id: str
    other: Person
    #: `telegram:7`, by which the other writes.
    names: tuple[str, ...]
    #: Whose language and settings stay: the older person.
    survivor: Person
    agreed: bool
    other_agreed: bool


class Links:
    """Links two people into one: codes, proposals and the merge."""

    def __init__(
        self, *, store: Store, ledger: Ledger, people: People, clock: Clock, aged: Aged
    ) -> None:
        self._store, self._ledger, self._people, self._clock = store, ledger, people, clock
        self._aged = aged
        self._tries = Tries(clock)

    async def offer(self, person: Person) -> str:
        """A code for the other side to type, good for ten minutes: `ABCD-EFGH-JKLM`."""
        now = self._clock.now_ms()
        code = ids.fresh(_CODE_CHARS)
        row = {
            "id": ids.new("lnk", now),
            "code_digest": ids.digest(code),
            "issuer": person.id,
            "joiner": None,
            "expires_at": now + CODE_SECONDS * 1000,
            "issuer_agreed_at": None,
            "joiner_agreed_at": None,
            "done_at": None,
        }
        await self._ledger.record(Insert(schema.link, row))
        return ids.grouped(code)

    async def join(self, person: Person, code: str) -> Proposal:
        """Claims the code that a person typed; raises `LinkRefused`, `TooManyAttempts` or
        `AlreadyLinked`."""
        now, table = self._clock.now_ms(), schema.link
        self._tries.check(person.id)
        rows = await self._store.fetch(
            sa.select(table).where(
                table.c.code_digest == ids.digest(ids.bare(code)),
                table.c.expires_at >= now,
                table.c.done_at.is_(None),
                sa.or_(table.c.joiner.is_(None), table.c.joiner == person.id),
            )
        )
        if not rows:
            self._tries.wrong(person.id)
            raise LinkRefused
        row = rows[0]
        if row.issuer == person.id:
            raise AlreadyOne
        if row.joiner is None:
            taken = Update(table, {"id": row.id}, {"joiner": person.id}, {"joiner": None})
            try:
                await self._ledger.record(taken)
            except CompanionRefused:
                raise LinkRefused from None
        proposal = await self.proposal(row.id, person)
        assert proposal is not None
        return proposal

    async def waiting(self, person: Person) -> Proposal | None:
        """The newest proposal that concerns a person and that somebody has typed the code of."""
        table = schema.link
        rows = await self._store.fetch(
            sa.select(table.c.id)
            .where(
                sa.or_(table.c.issuer == person.id, table.c.joiner == person.id),
                table.c.joiner.is_not(None),
                table.c.done_at.is_(None),
                table.c.expires_at >= self._clock.now_ms(),
            )
            .order_by(table.c.id.desc())
            .limit(1)
        )
        return await self.proposal(rows[0].id, person) if rows else None

    async def proposal(self, link: str, person: Person) -> Proposal | None:
        """A proposal as this person sees it; None when it isn't theirs, is done or too old."""
        row = await self._live(link, person)
        if row is None:
            return None
        issuing = row.issuer == person.id
        other = await find(self._store, row.joiner if issuing else row.issuer)
        known = await self._people.identities(other.id)
        return Proposal(
            id=link,
            other=other,
            names=tuple(f"{platform}:{id_}" for platform, id_ in known),
            survivor=min(person, other, key=_age),
            agreed=(row.issuer_agreed_at if issuing else row.joiner_agreed_at) is not None,
            other_agreed=(row.joiner_agreed_at if issuing else row.issuer_agreed_at) is not None,
        )

    async def cancel(self, link: str, person: Person) -> None:
        """Ends the proposal, because either side says no."""
        if await self._live(link, person) is not None:
            await self._ledger.record(
                Update(schema.link, {"id": link}, {"done_at": self._clock.now_ms()})
            )

    async def agree(self, link: str, person: Person) -> bool:
        """One side says yes; True once both have and the two are merged. Raises `LinkRefused`."""
        row = await self._live(link, person)
        if row is None:
            raise LinkRefused
        side = "issuer_agreed_at" if row.issuer == person.id else "joiner_agreed_at"
        agreed = {side: self._clock.now_ms()}
        try:
            await self._ledger.record(Update(schema.link, {"id": link}, agreed, {"done_at": None}))
        except CompanionRefused:
            raise LinkRefused from None
        row = await self._live(link, person)
        if row is None or row.issuer_agreed_at is None or row.joiner_agreed_at is None:
            return False
        for _ in range(_TRIES):
            if await self._merge(link, row.issuer, row.joiner):
                return True
        raise LinkRefused

    async def pass_on_rests(self) -> None:
        """A job: passes on what comes back to merged people, whenever it does: out of a hold, a
        payout that was not sent, a key that they had contributed."""
        table, account = schema.person, schema.account
        pockets = [
            account.c.code == sa.literal("user/") + table.c.id + f"/{name}"
            for name in chart.POCKETS
        ]
        rest = account.c.credits_posted - account.c.debits_posted - account.c.debits_pending
        for row in await self._store.fetch(
            sa.select(table.c.id, table.c.merged_into).where(
                table.c.merged_into.is_not(None),
                sa.exists().where(sa.or_(*pockets), rest > 0),
            )
        ):
            cause = ids.new("rest", self._clock.now_ms())
            moves = chart.all_pockets(row.id, row.merged_into, _ALL)
            repaid = chart.repay_owed(row.merged_into)
            await self._ledger.submit(Submission(f"link/{cause}", (*moves, repaid)))

    async def _live(self, link: str, person: Person) -> sa.Row[Any] | None:
        table = schema.link
        rows = await self._store.fetch(
            sa.select(table).where(
                table.c.id == link,
                table.c.done_at.is_(None),
                table.c.joiner.is_not(None),
                table.c.expires_at >= self._clock.now_ms(),
                sa.or_(table.c.issuer == person.id, table.c.joiner == person.id),
            )
        )
        return rows[0] if rows else None

    async def _merge(self, link: str, issuer: str, joiner: str) -> bool:
        """`link/<id>/merge`: everything in one submission, or nothing. False when something of it
        changed meanwhile."""
        both = [await find(self._store, issuer), await find(self._store, joiner)]
        survivor, part = sorted(both, key=_age)
        now = self._clock.now_ms()
        invited = await undone_between(self._store, now, part.id, survivor.id)
        companions: list[Companion] = [
            # Neither may have become a part of somebody meanwhile.
            Update(
                schema.person,
                {"id": part.id},
                {"merged_into": survivor.id, "merged_at": now},
                {"merged_into": None},
            ),
            Update(
                schema.person,
                {"id": survivor.id},
                {"merged_into": None},
                {"merged_into": None},
            ),
            Update(schema.link, {"id": link}, {"done_at": now}, {"done_at": None}),
            *await self._names_move(part.id, survivor.id),
            *await self._ages_move(link, part.id, survivor.id),
            *invited.rows,
        ]
        entries = (
            *chart.all_pockets(part.id, survivor.id, _ALL),
            AtMost("owed", chart.owed(survivor.id), chart.owed(part.id), _ALL),
            *chart.referral_taken_back(survivor.id, invited.earned),
            chart.repay_owed(survivor.id),
        )
        try:
            await self._ledger.submit(Submission(f"link/{link}/merge", entries, tuple(companions)))
        except (CompanionRefused, IdempotencyConflict):
            # The other side's tap, another link or a payment was faster.
            if await self._live(link, survivor) is not None:
                return False
        self._people.forget()
        return True

    async def _ages_move(self, link: str, part: str, survivor: str) -> list[Companion]:
        """What the merged person earned long enough ago to be withdrawn keeps its age."""
        aged = await self._aged(part)
        if aged.is_zero:
            return []
        row = {
            "id": f"link/{link}",
            "person": survivor,
            "credits": aged.units,
            "at": self._clock.now_ms(),
        }
        return [Insert(schema.matured, row)]

    async def _names_move(self, part: str, survivor: str) -> list[Companion]:
        identities = await self._people.identities(part)
        parts = await self._store.fetch(
            sa.select(schema.person.c.id).where(schema.person.c.merged_into == part)
        )
        keys = await self._store.fetch(sa.select(schema.key.c.id).where(schema.key.c.owner == part))
        return [
            *(
                Update(
                    schema.identity,
                    {"platform": platform, "external_id": id_},
                    {"person": survivor},
                    {"person": part},
                )
                for platform, id_ in identities
            ),
            *(Update(schema.person, {"id": row.id}, {"merged_into": survivor}) for row in parts),
            *(
                Update(schema.key, {"id": row.id}, {"owner": survivor}, {"owner": part})
                for row in keys
            ),
        ]


def _age(person: Person) -> tuple[int, str]:
    return person.created_at, person.id


#: How many wrong codes a person may type within how many seconds.
TRIES_MAX = 5
TRIES_SECONDS = 600
_PEOPLE_MAX = 10_000


class Tries:
    """Limits how many wrong codes each person may type, counted in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wrong: Recent[str, list[int]] = Recent(clock, seconds=TRIES_SECONDS, most=_PEOPLE_MAX)

    def check(self, person: str) -> None:
        """Raises `TooManyAttempts`."""
        if len(self._lately(person)) >= TRIES_MAX:
            raise TooManyTries

    def wrong(self, person: str) -> None:
        """Counts a code that leads nowhere against a person."""
        self._wrong.put(person, [*self._lately(person), self._clock.now_ms()])

    def _lately(self, person: str) -> list[int]:
        since = self._clock.now_ms() - TRIES_SECONDS * 1000
        return [at for at in self._wrong.get(person) or () if at > since]
