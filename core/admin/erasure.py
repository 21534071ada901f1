"""The erasure of a person: the ledger keeps amounts, nothing keeps who it was.

What they have is forfeited, their keys are taken out, what waits to be paid out is cancelled first.
Whoever comes back by the same name is somebody new, without a welcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from core import chart, ids
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete, Insert, Update, UpdateAll
from core.earnings.contributions import Contributions
from core.earnings.payouts import METHODS, PayoutMoved
from core.earnings.termination import Closing
from core.earnings.types import OfferGone
from core.earnings.withdrawals import Withdrawals
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import AtMost, CompanionRefused, Submission
from core.money import Credits
from core.pool.types import UnknownKey
from core.users.service import People
from core.users.types import Person

_ALL = Credits(10**15)

Why = Literal["asks", "order", "payout", "dispute", "owes", "role", "gone"]


class NotErasable(Refusal):
    """The person can't be erased before something of theirs has ended."""

    code: ClassVar[str] = "not_erasable"

    def __init__(self, why: Why) -> None:
        self.why: Why = why


@dataclass(frozen=True, slots=True)
class Stakes:
    """What a person loses with an erasure, in Credits and keys."""

    credits: Credits
    withdrawable: Credits
    #: Contributed keys that serve, close or wait for their contributor's answer.
    keys: int


class Erasing:
    """Erases people, and forfeits what comes back to them later."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        people: People,
        contributions: Contributions,
        closing: Closing,
        withdrawals: Withdrawals,
        clock: Clock,
    ) -> None:
        self._store, self._ledger, self._people, self._clock = store, ledger, people, clock
        self._contributions, self._closing = contributions, closing
        self._withdrawals = withdrawals

    async def stakes(self, person: Person, *, theirs: bool) -> Stakes:
        """What a person would lose; `is_own_request`: they ask for it themselves. Raises
        `NotErasable`."""
        lineage = await self._people.lineage(person.id)
        await self._check(person, lineage, theirs=theirs)
        earnings = await self._withdrawals.earnings(person.id)
        balances = await self._ledger.balances(chart.pockets(person.id))
        keys = [one for one in await self._contributions.of(person.id) if one.state in _THERE]
        return Stakes(
            Credits(sum(balance.available for balance in balances.values())),
            earnings.withdrawable,
            len(keys),
        )

    async def erase(self, person: Person, *, theirs: bool, also: Companion) -> None:
        """Erases everything about a person but amounts, with `companion` in the same submission.
        Raises `NotErasable`."""
        lineage = await self._people.lineage(person.id)
        await self._check(person, lineage, theirs=theirs)
        for one in await self._contributions.of(person.id):
            with suppress(UnknownKey, OfferGone):  # it has just ended by itself
                if one.state == "open":
                    await self._closing.withdraw(one.key, person.id)
                elif one.state == "offered":
                    await self._contributions.drop(one.key, person)
        for payout in await self._withdrawals.of(lineage, most=100):
            if payout.state == "requested":
                with suppress(PayoutMoved):
                    await self._withdrawals.cancel(payout.id, lineage)
        await self._check(person, lineage, theirs=theirs)
        try:
            await self._ledger.submit(
                Submission(
                    f"person/{person.id}/erased",
                    _forfeited(person.id),
                    (*await self._rows(person, lineage), also),
                )
            )
        except CompanionRefused:
            raise NotErasable("gone") from None
        self._people.forget()

    async def sweep(self) -> None:
        """A job: forfeits what came to erased people later, out of a hold, a key, a top-up."""
        table, account = schema.person, schema.account
        pockets = [
            account.c.code == sa.literal("user/") + table.c.id + f"/{name}"
            for name in chart.POCKETS
        ]
        rest = account.c.credits_posted - account.c.debits_posted - account.c.debits_pending
        for row in await self._store.fetch(
            sa.select(table.c.id).where(
                table.c.erased_at.is_not(None), sa.exists().where(sa.or_(*pockets), rest > 0)
            )
        ):
            cause = ids.new("swp", self._clock.now_ms())
            await self._ledger.submit(
                Submission(f"person/{row.id}/swept/{cause}", _forfeited(row.id))
            )

    # --- helpers --------------------------------------------------------------------------------

    async def _check(self, person: Person, lineage: Sequence[str], *, theirs: bool) -> None:
        ask, order, payout = schema.ask.c, schema.order.c, schema.payout.c
        waits: tuple[tuple[Why, sa.Select[Any]], ...] = (
            ("asks", sa.select(ask.id).where(ask.person.in_(lineage), ask.state == "open")),
            (
                "order",
                sa.select(order.id).where(
                    order.person.in_(lineage), order.state.in_(("created", "pending"))
                ),
            ),
            (
                "dispute",
                sa.select(order.id).where(order.person.in_(lineage), order.dispute_state == "open"),
            ),
            (
                "payout",
                sa.select(payout.id).where(
                    payout.person.in_(lineage), payout.state.in_(("approved", "sent"))
                ),
            ),
        )
        for why, statement in waits:
            if await self._store.fetch(statement.limit(1)):
                raise NotErasable(why)
        names = await self._people.identities(person.id)
        if not names:
            raise NotErasable("gone")
        owner = schema.owner.c
        for platform, id_ in names:
            known = sa.select(owner.since).where(
                owner.platform == platform, owner.external_id == id_
            )
            if await self._store.fetch(known):
                raise NotErasable("role")
        owed = chart.owed(person.id)
        if theirs and (await self._ledger.balances([owed]))[owed.code].posted < 0:
            raise NotErasable("owes")

    async def _rows(self, person: Person, lineage: Sequence[str]) -> list[Companion]:
        """The rows that are deleted and blanked; ids and amounts stay."""
        now, everyone = self._clock.now_ms(), tuple(lineage)
        rows: list[Companion] = [
            Update(
                schema.person,
                {"id": one},
                {"erased_at": now, "data_key": None, "model": ""},
                {"erased_at": None},
            )
            for one in lineage
        ]
        for platform, id_ in await self._people.identities(person.id):
            print_ = self._people.print_of(platform, id_)
            rows += (
                Delete(schema.identity, {"platform": platform, "external_id": id_}),
                Insert(schema.erased, {"fingerprint": print_, "at": now}, ignore=True),
            )
        places = await self._places(lineage)
        if places:
            rows += (
                Delete(schema.shown, {"place": places}),
                Delete(schema.prompt, {"place": places}),
            )
        unsaid = {"place": "", "asked_in": "", "shown_in": ""}
        sealed = {"question": None, "answer": None, "way_back": None, "landed_at": now}
        rows += (
            UpdateAll(schema.ask, {"person": everyone}, {**unsaid, **sealed}),
            UpdateAll(schema.conversation, {"person": everyone}, {"place": "", "ended_at": now}),
            UpdateAll(schema.order, {"person": everyone}, {"place": "", "shown_in": "", "url": ""}),
            UpdateAll(schema.payout, {"person": everyone}, {"hint": "", "sealed": None}),
            Delete(
                schema.payout_method,
                {"id": tuple(f"{one}/{method}" for one in lineage for method in METHODS)},
            ),
            Delete(schema.tier_given, {"person": everyone}),
            Delete(schema.promotion_holder, {"person": everyone}),
            Delete(schema.button, {"person": everyone}),
            Delete(schema.notice, {"person": everyone}),
            Delete(schema.invitation, {"person": everyone}),
        )
        return rows

    async def _places(self, lineage: Sequence[str]) -> tuple[str, ...]:
        """The places where nobody else ever wrote to the bot."""
        table, other = schema.conversation, schema.conversation.alias()
        rows = await self._store.fetch(
            sa.select(table.c.place)
            .where(
                table.c.person.in_(lineage),
                ~sa.exists().where(other.c.place == table.c.place, other.c.person.not_in(lineage)),
            )
            .distinct()
        )
        return tuple(row.place for row in rows if row.place)


_THERE = frozenset({"offered", "open", "closing"})


def _forfeited(person: str) -> tuple[AtMost[Credits], ...]:
    return chart.all_forfeited(person, _ALL)
