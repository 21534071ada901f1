"""Contributions: a person's key is validated, valued, agreed on, and then serves everybody.

Its figures never change: more of the same key is another contribution, less of it ends a part. How
one ends is `core.earnings.termination`. It vests as it serves: of what was charged for an answer
nine tenths of what the asker had bought or earned become earned, of anything else a gift. These are
plans of the settling submission, which they can never refuse.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from core import chart
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Delete, Insert, Update
from core.earnings.types import (
    CONSENT,
    Contribution,
    NotContributable,
    Offer,
    OfferGone,
    Policy,
    SameOrganisation,
    State,
    TooManyContributions,
    WorthNothing,
    contribution_of,
)
from core.earnings.valuation import Average, Valuer, Worth
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import Credits, NanoUsd
from core.pool.key_validation import Findings
from core.pool.pool import Pool
from core.pool.types import DuplicateKey, KeyRefused, Terms, UnknownKey
from core.users.types import Person

#: An offer waits this long for its contributor's answer, then it is deleted.
OFFER_SECONDS = 3_600
#: How many offers one person may have waiting, and how many contributions open, at once.
OFFERS_MAX, OPEN_MAX = 3, 20
#: The inviter's share of a contribution's net Credits, in percent.
INVITER_PERCENT = 5
_TRIES = 8


#: Gives the id of whoever invited a person; empty for nobody.
InviterOf = Callable[[str], Awaitable[str]]


class Contributions:
    """Takes contributed keys: offers them, opens them, raises them, and reads them."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        pool: Pool,
        valuer: Valuer,
        clock: Clock,
        policy: Policy,
        inviter_of: InviterOf,
    ) -> None:
        self._store, self._ledger, self._pool = store, ledger, pool
        self._valuer, self._clock, self.policy = valuer, clock, policy
        self._inviter_of = inviter_of

    # --- offering -------------------------------------------------------------------------------

    async def examine(
        self, person: Person, supplier: str, secret: SecretStr, account: str
    ) -> Offer:
        """Validates a key by real calls and keeps it, sealed, until its contributor answers. Raises
        `NotContributable`, `KeyRefused`, `DuplicateKey`, `SameOrganisation`, `WorthNothing`,
        `TooManyContributions`."""
        if supplier not in self.policy.suppliers:
            raise NotContributable(supplier, tuple(sorted(self.policy.suppliers)))
        await self._room_for(person)
        findings = await self._pool.examine(supplier, secret, account=account)
        average = await self._valuer.average(supplier, findings.models)
        if average is None:
            raise KeyRefused(supplier, "no_model")
        worth = self._told(findings, average)
        id_, row = await self._pool.contributed.offered(
            supplier, secret, findings, owner=person.id, account=account
        )
        quota = NanoUsd(0) if worth is None else worth.quota
        offered = self._row(id_, person.id, quota, worth is not None)
        offered["organisation"] = self._pool.contributed.organisation(
            supplier, findings.organisation
        )
        try:
            await self._ledger.record(row, Insert(schema.contribution, offered))
        except CompanionRefused as refused:
            if refused.table == schema.key.name:
                raise DuplicateKey(supplier, row.row["tail"]) from None
            raise SameOrganisation(supplier) from None
        return Offer(id_, supplier, row.row["tail"], findings.models, average, worth)

    async def offer(self, key: str, person: Person) -> Offer:
        """An offer that waits for its contributor's answer; raises `OfferGone`."""
        found = await self._rows(schema.key.c.id == key, schema.key.c.owner == person.id)
        if not found or found[0].state != "offered":
            raise OfferGone
        row = found[0]
        record = next(one for one in await self._pool.listed() if one.id == key)
        models = record.models or frozenset()
        average = await self._valuer.average(row.supplier, models)
        if average is None:
            raise OfferGone
        worth = average.worth(row.quota) if row.verified else None
        return Offer(key, row.supplier, row.tail, models, average, worth)

    async def drop(self, key: str, person: Person) -> None:
        """The contributor declines: nothing of the key is kept. Raises `OfferGone`."""
        await self.offer(key, person)
        await self._forget(key)

    async def open(self, key: str, person: Person, quota: NanoUsd) -> Contribution:
        """The contributor agrees, to this quota at most: from now on the key serves. Raises
        `OfferGone`, `WorthNothing`."""
        offer = await self.offer(key, person)
        if offer.worth is not None:
            quota = min(quota, offer.worth.quota)
        worth = self._checked(offer.average.worth(quota))
        taken = Update(
            schema.key, {"id": key}, {"state": "active"}, {"state": "validated", "owner": person.id}
        )
        now = self._clock.now_ms()
        await self._began(
            key,
            person.id,
            worth,
            verified=offer.worth is not None,
            companions=lambda figures: (
                taken,
                Update(
                    schema.contribution,
                    {"key": key},
                    {**figures, "state": "open", "consent": CONSENT, "opened_at": now},
                    {"state": "offered"},
                ),
            ),
        )
        return await self.get(key, person.id)

    async def raised(self, key: str, person: Person, quota: NanoUsd) -> Contribution:
        """Contributes more of the same key, as a contribution of its own. Raises `UnknownKey`,
        `WorthNothing`, `TooManyContributions`."""
        first = await self.get(key, person.id)
        if first.state != "open":
            raise UnknownKey(key)
        await self._room_for(person)
        record = next((one for one in await self._pool.listed() if one.id == key), None)
        if record is None:
            raise UnknownKey(key)
        average = await self._valuer.average(first.supplier, record.models or frozenset())
        if average is None:
            raise WorthNothing
        worth = self._checked(average.worth(quota))
        id_, row = self._pool.contributed.raised(key)
        offered = self._row(id_, person.id, quota, False)
        now = self._clock.now_ms()
        offered |= {"raises": key, "state": "open", "consent": CONSENT, "opened_at": now}
        await self._began(
            id_,
            person.id,
            worth,
            verified=False,
            companions=lambda figures: (row, Insert(schema.contribution, {**offered, **figures})),
        )
        return await self.get(id_, person.id)

    async def average_of(self, contribution: Contribution) -> Average | None:
        """An average request to the models that a contribution's key can use."""
        record = next(
            (one for one in await self._pool.listed() if one.id == contribution.key), None
        )
        models = record.models if record is not None else None
        return await self._valuer.average(contribution.supplier, models or frozenset())

    async def forget_offers(self) -> None:
        """A job: deletes keys whose contributors never answered their offer."""
        table, before = schema.contribution, self._clock.now_ms() - OFFER_SECONDS * 1_000
        for row in await self._store.fetch(
            sa.select(table.c.key).where(table.c.state == "offered", table.c.created_at < before)
        ):
            await self._forget(row.key)

    # --- reading --------------------------------------------------------------------------------

    async def get(self, key: str, owner: str) -> Contribution:
        """A contribution of a person, by its key; raises `UnknownKey`."""
        found = await self._rows(schema.key.c.id == key, schema.key.c.owner == owner)
        if not found or found[0].state == "offered":
            raise UnknownKey(key)
        return found[0]

    async def of(self, owner: str) -> list[Contribution]:
        """All contributions of a person, the oldest first, ended ones included."""
        rows = await self._rows(schema.key.c.owner == owner)
        return [row for row in rows if row.state != "offered"]

    async def in_state(self, state: State) -> list[Contribution]:
        """All contributions that are in a state."""
        return await self._rows(schema.contribution.c.state == state)

    # --- helpers --------------------------------------------------------------------------------

    def _told(self, findings: Findings, average: Average) -> Worth | None:
        if findings.left is None:
            return None
        return self._checked(average.worth(min(findings.left, self.policy.quota_most)))

    def _checked(self, worth: Worth) -> Worth:
        if worth.net.units <= 0 or worth.quota > self.policy.quota_most:
            raise WorthNothing
        return worth

    async def _room_for(self, person: Person) -> None:
        rows = await self._rows(schema.key.c.owner == person.id)
        waiting = sum(row.state == "offered" for row in rows)
        serving = sum(row.state in {"open", "closing"} for row in rows)
        if waiting >= OFFERS_MAX or serving >= OPEN_MAX:
            raise TooManyContributions

    async def _began(
        self,
        key: str,
        person: str,
        worth: Worth,
        *,
        verified: bool,
        companions: Callable[[dict[str, Any]], tuple[Companion, ...]],
    ) -> None:
        """Opens a contribution in one submission: dollars, Credits, fee, advance, rows. Where the
        quota is not verified, the advance comes out of the person's credit line."""
        inviter = await self._inviter_of(person)
        inviting = worth.net.share_down(INVITER_PERCENT, 100) if inviter else Credits(0)
        lender = chart.lender(person, verified=verified)
        for _ in range(_TRIES):
            line = await self._line(person, worth.net, verified=verified)
            figures = {
                "quota": worth.quota.units,
                "credited": worth.net.units,
                "fee": worth.fee.units,
                "advance": line.units,
                "inviter": inviter or None,
                "inviting": inviting.units,
                "requests": worth.requests,
            }
            moved = None if line.is_zero else chart.lent(key, lender, line)
            entries = chart.contributed(key, worth.quota, worth.net, worth.fee, inviting, moved)
            try:
                await self._ledger.submit(
                    Submission(f"key/{key}/contributed", entries, companions(figures))
                )
            except InsufficientFunds:  # another of theirs took of the line since
                continue
            except (CompanionRefused, IdempotencyConflict):  # another answer was faster
                raise OfferGone from None
            await self._pool.reload()
            return
        raise OfferGone

    async def _line(self, person: str, net: Credits, *, verified: bool) -> Credits:
        if verified:
            return net.share_down(self.policy.advance_percent, 100)
        most = self.policy.advance_unverified
        if most.is_zero:
            return most
        # The credit line is lent once for all contributions of a person, whatever comes of them.
        with suppress(IdempotencyConflict):  # when it was another sum
            grant = Submission(f"line/{person}", (chart.credit_line(person, most),))
            await self._ledger.submit(grant)
        account = chart.lender(person, verified=False)
        left = (await self._ledger.balances([account]))[account.code].available
        return min(net, Credits(left))

    def _row(
        self,
        key: str,
        person: str,
        quota: NanoUsd,
        verified: bool,
    ) -> dict[str, Any]:
        return {
            "key": key,
            "person": person,
            "state": "offered",
            "quota": quota.units,
            "credited": 0,
            "fee": 0,
            "advance": 0,
            "inviter": None,
            "inviting": 0,
            "verified": verified,
            "requests": 0,
            "organisation": None,
            "raises": None,
            "consent": "",
            "reason": "",
            "returned_quota": 0,
            "returned_credits": 0,
            "created_at": self._clock.now_ms(),
            "opened_at": None,
            "ended_at": None,
        }

    async def _forget(self, key: str) -> None:
        await self._ledger.record(
            Delete(schema.key, {"id": key, "state": "validated"}),
            Delete(schema.contribution, {"key": key, "state": "offered"}),
        )

    async def _rows(self, *where: sa.ColumnElement[bool]) -> list[Contribution]:
        given, key = schema.contribution, schema.key
        rows = await self._store.fetch(
            sa.select(
                given,
                key.c.provider,
                key.c.tail,
                key.c.owner,
                key.c.state.label("health"),
                key.c.reason.label("why"),
            )
            .select_from(given.join(key, key.c.id == given.c.key))
            .where(*where)
            .order_by(given.c.key)
        )
        return [contribution_of(row) for row in rows]


async def any_contributions(store: Store) -> bool:
    """Whether a key was ever contributed, so that somebody may have earned something."""
    opened = sa.select(schema.contribution.c.key).where(
        schema.contribution.c.opened_at.is_not(None)
    )
    return bool(await store.fetch(opened.limit(1)))


#: What an ask's hold drew: codes of accounts with their Credits, in the order in which they pay.
Drawn = Sequence[tuple[str, int]]


def paid_of(drawn: Drawn, charge: Credits) -> Credits:
    """What of a charge the asker had bought or earned: a hold is posted in the order it drew."""
    left, paid = charge.units, 0
    for code, amount in drawn:
        take = min(left, amount)
        left -= take
        if chart.was_paid(code):
            paid += take
    return Credits(paid)


def vesting(
    key: str, terms: Terms | None, *, asker: str, charge: Credits, paid: Credits
) -> tuple[Entry, ...]:
    """The entries by which a charge vests, `paid` of it as `calculate_paid_part` says. None for a
    key of the operator's own, and for a contributor who asked on a key of their own."""
    if terms is None or terms.owner == asker:
        return ()
    uses: tuple[tuple[chart.Use, Credits], ...] = (("paid", paid), ("free", charge - paid))
    return tuple(
        chart.vest(key, terms.owner, terms.inviter, terms.advance, use, part)
        for use, part in uses
        if not part.is_zero
    )
