"""The erasure of a person: the ledger keeps amounts, nothing keeps who it was.

What they have is forfeited, their keys are taken out, what waits to be paid out is cancelled first.
Whoever comes back by the same name is somebody new, without a welcome.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar, Literal

import sqlalchemy as sa

from core import chart, ids
from core.api_tokens.repository import build_token_erasure
from core.asks.conversations import build_ask_erasure, list_private_places
from core.db import schema
from core.db.writes import Companion, UpdateAll
from core.earnings.contributions import Contributions
from core.earnings.payout_methods import build_payout_erasure
from core.earnings.payouts import PayoutStateConflict
from core.earnings.termination import ContributionTermination
from core.earnings.withdrawals import Withdrawals
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import AtMost, CompanionRefused, Submission
from core.money import Credits
from core.notification import delete_notifications
from core.payment_records import PaymentRecords
from core.pool.types import UnknownKey
from core.pricing.promotions import build_discount_erasure
from core.users.service import Users
from core.users.types import Person

_UNLIMITED = Credits(10**15)

ErasureBlocker = Literal["asks", "order", "payout", "dispute", "owes", "role", "gone"]


class NotErasable(Refusal):
    """The person can't be erased before something of theirs has ended."""

    code: ClassVar[str] = "not_erasable"

    def __init__(self, reason: ErasureBlocker) -> None:
        self.reason: ErasureBlocker = reason


@dataclass(frozen=True, slots=True)
class ErasureLosses:
    """What a person loses with an erasure, in Credits and keys."""

    credits: Credits
    withdrawable: Credits
    #: Contributed keys that serve, close or wait for their contributor's answer.
    keys: int


@dataclass(frozen=True, slots=True)
class ErasureScope:
    """Whom and what an erasure is about: a person with all who were merged into them."""

    person_ids: tuple[str, ...]
    #: (platform, id there), by which they write.
    identities: tuple[tuple[str, str], ...]
    #: Places where nobody else ever wrote to the bot.
    private_places: tuple[str, ...]


class Erasure:
    """Erases people, and forfeits what comes back to them later."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        users: Users,
        contributions: Contributions,
        termination: ContributionTermination,
        withdrawals: Withdrawals,
        payment_records: PaymentRecords,
        build_chat_erasure: Callable[[ErasureScope], Sequence[Companion]],
    ) -> None:
        """`build_chat_erasure` gives the rows that front ends keep."""
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._users, self._contributions, self._termination = users, contributions, termination
        self._withdrawals, self._payment_records = withdrawals, payment_records
        self._build_chat_erasure = build_chat_erasure

    async def get_losses(self, person: Person, *, is_own_request: bool) -> ErasureLosses:
        """What a person would lose; `is_own_request`: they ask for it themselves. Raises
        `NotErasable`."""
        person_ids = await self._users.list_merged_ids(person.id)
        await self._check_erasable(person, person_ids, is_own_request=is_own_request)
        earnings = await self._withdrawals.get_earnings(person.id)
        balances = await self._ledger.read_balances(chart.pockets(person.id))
        keys = [
            contribution
            for contribution in await self._contributions.list_for_contributor(person.id)
            if contribution.state in _UNFINISHED_STATES
        ]
        return ErasureLosses(
            Credits(sum(balance.available for balance in balances.values())),
            earnings.withdrawable,
            len(keys),
        )

    async def erase_person(
        self, person: Person, *, is_own_request: bool, companion: Companion
    ) -> None:
        """Erases everything about a person but amounts, with `companion` in the same submission.
        Raises `NotErasable`."""
        person_ids = await self._users.list_merged_ids(person.id)
        await self._check_erasable(person, person_ids, is_own_request=is_own_request)
        await self._contributions.decline_proposals(person)
        for contribution in await self._contributions.list_for_contributor(person.id):
            if contribution.state == "open":
                with suppress(UnknownKey):  # it has just ended by itself
                    await self._termination.withdraw_contribution(contribution.key, person.id)
        for payout in await self._withdrawals.list_for_people(person_ids, limit=100):
            if payout.state == "requested":
                with suppress(PayoutStateConflict):
                    await self._withdrawals.cancel_payout(payout.id, person_ids)
        await self._check_erasable(person, person_ids, is_own_request=is_own_request)
        try:
            await self._ledger.submit(
                Submission(
                    f"person/{person.id}/erased",
                    _forfeit_entries(person.id),
                    (*await self._build_companions(person, person_ids), companion),
                )
            )
        except CompanionRefused:
            raise NotErasable("gone") from None
        self._users.clear_cache()

    async def forfeit_leftovers(self) -> None:
        """A job: forfeits what came to erased people later, out of a hold, a key, a top-up."""
        table, account = schema.person, schema.account
        pockets = [
            account.c.code == sa.literal("user/") + table.c.id + f"/{name}"
            for name in chart.POCKETS
        ]
        available = account.c.credits_posted - account.c.debits_posted - account.c.debits_pending
        for row in await self._db.fetch(
            sa.select(table.c.id).where(
                table.c.erased_at.is_not(None), sa.exists().where(sa.or_(*pockets), available > 0)
            )
        ):
            cause = ids.new_id("swp", self._clock.now_ms())
            await self._ledger.submit(
                Submission(f"person/{row.id}/swept/{cause}", _forfeit_entries(row.id))
            )

    # --- helpers --------------------------------------------------------------------------------

    async def _check_erasable(
        self, person: Person, person_ids: Sequence[str], *, is_own_request: bool
    ) -> None:
        ask, payout = schema.ask.c, schema.payout.c
        open_asks = sa.select(ask.id).where(ask.person.in_(person_ids), ask.state == "open")
        if await self._db.fetch(open_asks.limit(1)):
            raise NotErasable("asks")
        if await self._payment_records.has_unfinished_order(person_ids):
            raise NotErasable("order")
        if await self._payment_records.has_open_dispute(person_ids):
            raise NotErasable("dispute")
        decided = sa.select(payout.id).where(
            payout.person.in_(person_ids), payout.state.in_(("approved", "sent"))
        )
        if await self._db.fetch(decided.limit(1)):
            raise NotErasable("payout")
        names = await self._users.list_identities(person.id)
        if not names:
            raise NotErasable("gone")
        role = schema.owner.c
        for platform, id_ in names:
            role_query = sa.select(role.since).where(
                role.platform == platform, role.external_id == id_
            )
            if await self._db.fetch(role_query):
                raise NotErasable("role")
        owed = chart.owed(person.id)
        if is_own_request and (await self._ledger.read_balances([owed]))[owed.code].posted < 0:
            raise NotErasable("owes")

    async def _build_companions(self, person: Person, person_ids: Sequence[str]) -> list[Companion]:
        """The rows that are deleted and blanked; ids and amounts stay."""
        now, all_ids = self._clock.now_ms(), tuple(person_ids)
        scope = ErasureScope(
            all_ids,
            tuple(await self._users.list_identities(person.id)),
            await list_private_places(self._db, person_ids),
        )
        return [
            *self._users.build_erasure(all_ids, scope.identities, now),
            *build_ask_erasure(all_ids, scope.private_places, now),
            *self._payment_records.build_erasure(all_ids),
            *build_payout_erasure(all_ids),
            *build_discount_erasure(all_ids),
            *build_token_erasure(all_ids, now),
            *self._build_chat_erasure(scope),
            UpdateAll(schema.broadcast, {"by": all_ids}, {"place": "", "shown_in": ""}),
            delete_notifications(person=all_ids),
        ]


_UNFINISHED_STATES = frozenset({"open", "closing"})


def _forfeit_entries(person: str) -> tuple[AtMost[Credits], ...]:
    return chart.forfeit_pockets(person, _UNLIMITED)
