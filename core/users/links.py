"""Links: a person of two platforms becomes one.

One side is shown a code, the other types it; both are told whom they join, and both agree. So
nobody takes over an account by a code that they were sent, and wrong codes are few. Then
the younger person becomes a part of the older one: what they have and what they owe moves in one
submission, the names by which they write lead to the survivor, and nothing is made or lost, but for
what one earned by inviting the other: nobody invites themselves. The survivor's language and
settings stay; being an admin belongs to a platform id and never moves. Tokens of programs end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa
from cachetools import TTLCache

from core import chart, ids
from core.api_tokens.repository import plan_token_revocation
from core.clock import Clock
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import AtMost, CompanionRefused, IdempotencyConflict, Submission
from core.money import Credits
from core.pool.contributed_keys import plan_key_merge
from core.users.referrals import plan_referral_reversal
from core.users.service import Users, find_person
from core.users.types import Person, TooManyAttempts

#: 60 bits.
_CODE_CHARS = 12
LINK_CODE_SECONDS = 600
#: The upper bound of moves that take whatever an account has.
_UNLIMITED = Credits(10**15)
#: How often a merge is tried again when payments change its figures at the same time.
_MERGE_ATTEMPTS_MAX = 8


class LinkRefused(Refusal):
    """A code that leads nowhere: unknown, too old, used, or one's own."""

    code: ClassVar[str] = "link_refused"


class AlreadyLinked(Refusal):
    """Both sides of the link are the same person already."""

    code: ClassVar[str] = "already_one"


#: Gives the rows of what somebody earned that change where a merged person becomes a part of a
#: survivor, by a cause.
PlanEarningsMerge = Callable[[str, str, str], Awaitable[Sequence[Companion]]]


@dataclass(frozen=True, slots=True)
class LinkProposal:
    """Two people who may become one, as one of them sees it."""

    id: str
    other: Person
    #: `telegram:7`, by which the other writes.
    names: tuple[str, ...]
    #: Whose language and settings stay: the older person.
    survivor: Person
    accepted: bool
    other_accepted: bool


class Links:
    """Links two people into one: codes, proposals and the merge."""

    def __init__(
        self, *, ledger: Ledger, users: Users, plan_earnings_merge: PlanEarningsMerge
    ) -> None:
        self._db, self._ledger, self._users, self._clock = ledger.db, ledger, users, ledger.clock
        self._plan_earnings_merge = plan_earnings_merge
        self._attempts = AttemptLimiter(ledger.clock)

    async def create_link_code(self, person: Person) -> str:
        """A code for the other side to type, good for ten minutes: `ABCD-EFGH-JKLM`."""
        now = self._clock.now_ms()
        code = ids.new_code(_CODE_CHARS)
        row = {
            "id": ids.new_id("lnk", now),
            "code_digest": ids.hash_code(code),
            "issuer": person.id,
            "expires_at": now + LINK_CODE_SECONDS * 1000,
        }
        await self._ledger.record(Insert(schema.link, row))
        return ids.group_code(code)

    async def enter_code(self, person: Person, code: str) -> LinkProposal:
        """Claims the code that a person typed; raises `LinkRefused`, `TooManyAttempts` or
        `AlreadyLinked`."""
        now, table = self._clock.now_ms(), schema.link
        self._attempts.check_attempts(person.id)
        rows = await self._db.fetch(
            sa.select(table).where(
                table.c.code_digest == ids.hash_code(ids.normalize_code(code)),
                table.c.expires_at >= now,
                table.c.done_at.is_(None),
                sa.or_(table.c.joiner.is_(None), table.c.joiner == person.id),
            )
        )
        if not rows:
            self._attempts.record_wrong_code(person.id)
            raise LinkRefused
        row = rows[0]
        if row.issuer == person.id:
            raise AlreadyLinked
        if row.joiner is None:
            claim = Update(table, {"id": row.id}, {"joiner": person.id}, {"joiner": None})
            if not await self._ledger.try_record(claim):
                raise LinkRefused
        proposal = await self.get_proposal(row.id, person)
        assert proposal is not None
        return proposal

    async def find_pending_proposal(self, person: Person) -> LinkProposal | None:
        """The newest proposal that concerns a person and that somebody has typed the code of."""
        table = schema.link
        rows = await self._db.fetch(
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
        return await self.get_proposal(rows[0].id, person) if rows else None

    async def get_proposal(self, link: str, person: Person) -> LinkProposal | None:
        """A proposal as this person sees it; None when it isn't theirs, is done or too old."""
        row = await self._find_live_link(link, person)
        if row is None:
            return None
        is_issuer = row.issuer == person.id
        other = await find_person(self._db, row.joiner if is_issuer else row.issuer)
        identities = await self._users.list_identities(other.id)
        return LinkProposal(
            id=link,
            other=other,
            names=tuple(f"{platform}:{id_}" for platform, id_ in identities),
            survivor=min(person, other, key=_seniority_key),
            accepted=(row.issuer_agreed_at if is_issuer else row.joiner_agreed_at) is not None,
            other_accepted=(row.joiner_agreed_at if is_issuer else row.issuer_agreed_at)
            is not None,
        )

    async def cancel_proposal(self, link: str, person: Person) -> None:
        """Ends the proposal, because either side says no."""
        if await self._find_live_link(link, person) is not None:
            await self._ledger.record(
                Update(schema.link, {"id": link}, {"done_at": self._clock.now_ms()})
            )

    async def accept_proposal(self, link: str, person: Person) -> bool:
        """One side says yes; True once both have and the two are merged. Raises `LinkRefused`."""
        row = await self._find_live_link(link, person)
        if row is None:
            raise LinkRefused
        side = "issuer_agreed_at" if row.issuer == person.id else "joiner_agreed_at"
        accepted = {side: self._clock.now_ms()}
        if not await self._ledger.try_record(
            Update(schema.link, {"id": link}, accepted, {"done_at": None})
        ):
            raise LinkRefused
        row = await self._find_live_link(link, person)
        if row is None or row.issuer_agreed_at is None or row.joiner_agreed_at is None:
            return False
        for _ in range(_MERGE_ATTEMPTS_MAX):
            if await self._merge_people(link, row.issuer, row.joiner):
                return True
        raise LinkRefused

    async def forward_merged_balances(self) -> None:
        """A job: passes on what comes back to merged people, whenever it does: out of a hold, a
        payout that was not sent, a key that they had contributed."""
        table, account = schema.person, schema.account
        pockets = [
            account.c.code == sa.literal("user/") + table.c.id + f"/{name}"
            for name in chart.POCKETS
        ]
        available = account.c.credits_posted - account.c.debits_posted - account.c.debits_pending
        for row in await self._db.fetch(
            sa.select(table.c.id, table.c.merged_into).where(
                table.c.merged_into.is_not(None),
                sa.exists().where(sa.or_(*pockets), available > 0),
            )
        ):
            cause = ids.new_id("rest", self._clock.now_ms())
            moves = chart.merge_pockets(row.id, row.merged_into, _UNLIMITED)
            repayment = chart.repay_owed(row.merged_into)
            await self._ledger.submit(Submission(f"link/{cause}", (*moves, repayment)))

    async def _find_live_link(self, link: str, person: Person) -> sa.Row[Any] | None:
        table = schema.link
        rows = await self._db.fetch(
            sa.select(table).where(
                table.c.id == link,
                table.c.done_at.is_(None),
                table.c.joiner.is_not(None),
                table.c.expires_at >= self._clock.now_ms(),
                sa.or_(table.c.issuer == person.id, table.c.joiner == person.id),
            )
        )
        return rows[0] if rows else None

    async def _merge_people(self, link: str, issuer: str, joiner: str) -> bool:
        """`link/<id>/merge`: everything in one submission, or nothing. False when something of it
        changed meanwhile."""
        people = [await find_person(self._db, issuer), await find_person(self._db, joiner)]
        survivor, merged = sorted(people, key=_seniority_key)
        now = self._clock.now_ms()
        reversal = await plan_referral_reversal(self._db, now, merged.id, survivor.id)
        companions: list[Companion] = [
            # Neither may have become a part of somebody meanwhile.
            Update(
                schema.person,
                {"id": merged.id},
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
            *await self._move_identities(merged.id, survivor.id),
            *plan_token_revocation(now, merged.id, survivor.id),
            *await plan_key_merge(self._db, merged.id, survivor.id),
            *await self._plan_earnings_merge(f"link/{link}", merged.id, survivor.id),
            *reversal.companions,
        ]
        entries = (
            *chart.merge_pockets(merged.id, survivor.id, _UNLIMITED),
            AtMost("owed", chart.owed(survivor.id), chart.owed(merged.id), _UNLIMITED),
            *chart.reverse_referral_bonus(survivor.id, reversal.earned),
            chart.repay_owed(survivor.id),
        )
        try:
            await self._ledger.submit(Submission(f"link/{link}/merge", entries, tuple(companions)))
        except (CompanionRefused, IdempotencyConflict):
            # The other side's tap, another link or a payment was faster.
            if await self._find_live_link(link, survivor) is not None:
                return False
        self._users.clear_cache()
        return True

    async def _move_identities(self, merged: str, survivor: str) -> list[Companion]:
        identities = await self._users.list_identities(merged)
        merged_earlier = await self._db.fetch(
            sa.select(schema.person.c.id).where(schema.person.c.merged_into == merged)
        )
        return [
            *(
                Update(
                    schema.identity,
                    {"platform": platform, "external_id": id_},
                    {"person": survivor},
                    {"person": merged},
                )
                for platform, id_ in identities
            ),
            *(
                Update(schema.person, {"id": row.id}, {"merged_into": survivor})
                for row in merged_earlier
            ),
        ]


def _seniority_key(person: Person) -> tuple[int, str]:
    return person.created_at, person.id


#: How many wrong codes a person may type within how many seconds.
WRONG_CODES_MAX = 5
WRONG_CODES_SECONDS = 600
_PEOPLE_MAX = 10_000


class AttemptLimiter:
    """Limits how many wrong codes each person may type, counted in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: TTLCache[str, list[int]] = TTLCache(
            maxsize=_PEOPLE_MAX, ttl=WRONG_CODES_SECONDS, timer=clock.monotonic
        )

    def check_attempts(self, person: str) -> None:
        """Raises `TooManyAttempts`."""
        if len(self._recent_failures(person)) >= WRONG_CODES_MAX:
            raise TooManyAttempts

    def record_wrong_code(self, person: str) -> None:
        """Counts a code that leads nowhere against a person."""
        self._failures[person] = [*self._recent_failures(person), self._clock.now_ms()]

    def _recent_failures(self, person: str) -> list[int]:
        since = self._clock.now_ms() - WRONG_CODES_SECONDS * 1000
        return [at for at in self._failures.get(person) or () if at > since]
