"""Contributions: a person's key is validated, valued, agreed on, and then serves everybody.

Its figures never change: more of the same key is another contribution, less of it ends a part. How
one ends is `core.earnings.termination`. It vests as it serves: of what was charged for an answer
nine tenths of what the asker had bought or earned become earned, of anything else a gift. These are
plans of the settling submission, which they can never refuse.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from core import chart
from core.db import schema
from core.db.database import Database
from core.db.writes import Companion, Delete, Insert, Update
from core.earnings.types import (
    CONSENT_VERSION,
    Contribution,
    ContributionProposal,
    ContributionState,
    EarningPolicy,
    NotContributable,
    ProposalGone,
    SameOrganisation,
    TooManyContributions,
    WorthNothing,
    contribution_from_row,
)
from core.earnings.valuation import AverageRequest, KeyValuer, Valuation
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import Credits, NanoUsd
from core.pool.contributed_keys import activate_offered_key, delete_offered_key
from core.pool.key_validation import ValidationResult
from core.pool.pool import Pool
from core.pool.types import ContributionTerms, DuplicateKey, KeyRefused, UnknownKey
from core.users.service import list_merged_ids
from core.users.types import Person

#: An offer waits this long for its contributor's answer, then it is deleted.
OFFER_SECONDS = 3_600
#: How many offers one person may have waiting, and how many contributions open, at once.
OFFERS_MAX, OPEN_MAX = 3, 20
#: The inviter's share of a contribution's net Credits, in percent.
INVITER_PERCENT = 5
_ATTEMPTS_MAX = 8


#: Gives the id of whoever invited a person; empty for nobody.
FindInviter = Callable[[str], Awaitable[str]]


class Contributions:
    """Takes contributed keys: offers them, opens them, raises them, and reads them."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        pool: Pool,
        valuer: KeyValuer,
        policy: EarningPolicy,
        find_inviter: FindInviter,
    ) -> None:
        self._db, self._ledger, self._pool = ledger.db, ledger, pool
        self._valuer, self._clock, self.policy = valuer, ledger.clock, policy
        self._find_inviter = find_inviter

    # --- offering -------------------------------------------------------------------------------

    async def create_proposal(
        self, person: Person, supplier: str, secret: SecretStr, account_id: str
    ) -> ContributionProposal:
        """Validates a key by real calls and keeps it, sealed, until its contributor answers. Raises
        `NotContributable`, `KeyRefused`, `DuplicateKey`, `SameOrganisation`, `WorthNothing`,
        `TooManyContributions`."""
        if supplier not in self.policy.suppliers:
            raise NotContributable(supplier, tuple(sorted(self.policy.suppliers)))
        await self._check_open_count(person)
        validation = await self._pool.validate_key(supplier, secret, account_id=account_id)
        average = await self._valuer.calculate_average(supplier, validation.models)
        if average is None:
            raise KeyRefused(supplier, "no_model")
        valuation = self._value_verified_key(validation, average)
        id_, key_row = await self._pool.contributed_keys.build_offered_key(
            supplier, secret, validation, contributor=person.id, account_id=account_id
        )
        quota = NanoUsd(0) if valuation is None else valuation.quota
        contribution_row = self._new_row(id_, person.id, quota, valuation is not None)
        contribution_row["organisation"] = self._pool.contributed_keys.fingerprint_organisation(
            supplier, validation.organisation
        )
        try:
            await self._ledger.record(key_row, Insert(schema.contribution, contribution_row))
        except CompanionRefused as refused:
            if refused.table == schema.key.name:
                raise DuplicateKey(supplier, key_row.row["tail"]) from None
            raise SameOrganisation(supplier) from None
        return ContributionProposal(
            id_, supplier, key_row.row["tail"], validation.models, average, valuation
        )

    async def get_proposal(self, key: str, person: Person) -> ContributionProposal:
        """An offer that waits for its contributor's answer; raises `OfferGone`."""
        contributions = await self._list_contributions(
            schema.key.c.id == key, schema.key.c.owner == person.id
        )
        if not contributions or contributions[0].state != "offered":
            raise ProposalGone
        contribution = contributions[0]
        record = next(
            key_record for key_record in await self._pool.list_key_records() if key_record.id == key
        )
        models = record.models or frozenset()
        average = await self._valuer.calculate_average(contribution.supplier, models)
        if average is None:
            raise ProposalGone
        valuation = average.value_quota(contribution.quota) if contribution.verified else None
        return ContributionProposal(
            key, contribution.supplier, contribution.tail, models, average, valuation
        )

    async def decline_proposal(self, key: str, person: Person) -> None:
        """The contributor declines: nothing of the key is kept. Raises `OfferGone`."""
        await self.get_proposal(key, person)
        await self._delete_proposal(key)

    async def accept_proposal(self, key: str, person: Person, quota: NanoUsd) -> Contribution:
        """The contributor agrees, to this quota at most: from now on the key serves. Raises
        `OfferGone`, `WorthNothing`."""
        offer = await self.get_proposal(key, person)
        if offer.valuation is not None:
            quota = min(quota, offer.valuation.quota)
        valuation = self._require_worth(offer.average.value_quota(quota))
        key_update = activate_offered_key(key, person.id)
        now = self._clock.now_ms()
        await self._open_contribution(
            key,
            person.id,
            valuation,
            verified=offer.valuation is not None,
            build_companions=lambda figures: (
                key_update,
                Update(
                    schema.contribution,
                    {"key": key},
                    {**figures, "state": "open", "consent": CONSENT_VERSION, "opened_at": now},
                    {"state": "offered"},
                ),
            ),
        )
        return await self.get(key, person.id)

    async def raise_contribution(self, key: str, person: Person, quota: NanoUsd) -> Contribution:
        """Contributes more of the same key, as a contribution of its own. Raises `UnknownKey`,
        `WorthNothing`, `TooManyContributions`."""
        contribution = await self.get(key, person.id)
        if contribution.state != "open":
            raise UnknownKey(key)
        await self._check_open_count(person)
        record = next(
            (
                key_record
                for key_record in await self._pool.list_key_records()
                if key_record.id == key
            ),
            None,
        )
        if record is None:
            raise UnknownKey(key)
        average = await self._valuer.calculate_average(
            contribution.supplier, record.models or frozenset()
        )
        if average is None:
            raise WorthNothing
        valuation = self._require_worth(average.value_quota(quota))
        id_, key_row = self._pool.contributed_keys.build_raised_key(key)
        contribution_row = self._new_row(id_, person.id, quota, False)
        now = self._clock.now_ms()
        contribution_row |= {
            "raises": key,
            "takes_files": contribution.takes_files,
            "takes_programs": contribution.takes_programs,
            "state": "open",
            "consent": CONSENT_VERSION,
            "opened_at": now,
        }
        await self._open_contribution(
            id_,
            person.id,
            valuation,
            verified=False,
            build_companions=lambda figures: (
                key_row,
                Insert(schema.contribution, {**contribution_row, **figures}),
            ),
        )
        return await self.get(id_, person.id)

    async def set_takes_files(
        self, key: str, takes_files: bool, *, also: Sequence[Companion] = ()
    ) -> None:
        """Says whether other people's pictures and files may pass through a key, `also` with it.
        Raises `UnknownKey` where its contribution isn't open."""
        await self._set_consent(key, {"takes_files": takes_files}, also)

    async def set_takes_programs(self, key: str, takes_programs: bool) -> None:
        """Says whether a key serves other people's programs. Raises `UnknownKey` where its
        contribution isn't open."""
        await self._set_consent(key, {"takes_programs": takes_programs}, ())

    async def _set_consent(
        self, key: str, change: Mapping[str, bool], also: Sequence[Companion]
    ) -> None:
        update = Update(schema.contribution, {"key": key}, change, {"state": "open"})
        if not await self._ledger.try_record(update, *also):
            raise UnknownKey(key)
        await self._pool.reload()

    async def calculate_average(self, contribution: Contribution) -> AverageRequest | None:
        """An average request to the models that a contribution's key can use."""
        record = next(
            (
                key_record
                for key_record in await self._pool.list_key_records()
                if key_record.id == contribution.key
            ),
            None,
        )
        models = record.models if record is not None else None
        return await self._valuer.calculate_average(contribution.supplier, models or frozenset())

    async def delete_expired_proposals(self) -> None:
        """A job: deletes keys whose contributors never answered their offer."""
        table, before = schema.contribution, self._clock.now_ms() - OFFER_SECONDS * 1_000
        for row in await self._db.fetch(
            sa.select(table.c.key).where(table.c.state == "offered", table.c.created_at < before)
        ):
            await self._delete_proposal(row.key)

    # --- reading --------------------------------------------------------------------------------

    async def get(self, key: str, contributor: str) -> Contribution:
        """A contribution of a person, by its key; raises `UnknownKey`."""
        contributions = await self._list_contributions(
            schema.key.c.id == key, schema.key.c.owner == contributor
        )
        if not contributions or contributions[0].state == "offered":
            raise UnknownKey(key)
        return contributions[0]

    async def list_for_contributor(self, contributor: str) -> list[Contribution]:
        """All contributions of a person, the oldest first, ended ones included."""
        contributions = await self._list_contributions(schema.key.c.owner == contributor)
        return [row for row in contributions if row.state != "offered"]

    async def decline_proposals(self, person: Person) -> None:
        """Ends all proposals that wait for a person's consent: their keys are gone."""
        for waiting in await self._list_contributions(schema.key.c.owner == person.id):
            if waiting.state == "offered":
                with suppress(ProposalGone):  # it has just ended by itself
                    await self.decline_proposal(waiting.key, person)

    async def list_in_state(self, state: ContributionState) -> list[Contribution]:
        """All contributions that are in a state."""
        return await self._list_contributions(schema.contribution.c.state == state)

    async def plan_merge(self, merged: str, survivor: str) -> list[Update]:
        """What changes where one person becomes a part of another: what contributions of those whom
        either invited bring from then on goes to the survivor, and to nobody for keys of their
        own."""
        people = {
            *await list_merged_ids(self._db, merged),
            *await list_merged_ids(self._db, survivor),
        }
        table, key = schema.contribution, schema.key
        rows = await self._db.fetch(
            sa.select(table.c.key, table.c.inviter, key.c.owner)
            .join(key, key.c.id == table.c.key)
            .where(
                table.c.inviter.in_(people),
                sa.or_(table.c.inviter == merged, key.c.owner.in_(people)),
            )
        )
        return [
            Update(
                table,
                {"key": row.key},
                {"inviter": None if row.owner in people else survivor},
                {"inviter": row.inviter},
            )
            for row in rows
        ]

    # --- helpers --------------------------------------------------------------------------------

    def _value_verified_key(
        self, validation: ValidationResult, average: AverageRequest
    ) -> Valuation | None:
        if validation.remaining_cash is None:
            return None
        return self._require_worth(
            average.value_quota(min(validation.remaining_cash, self.policy.quota_max))
        )

    def _require_worth(self, valuation: Valuation) -> Valuation:
        if valuation.net.units <= 0 or valuation.quota > self.policy.quota_max:
            raise WorthNothing
        return valuation

    async def _check_open_count(self, person: Person) -> None:
        contributions = await self._list_contributions(schema.key.c.owner == person.id)
        offered_count = sum(row.state == "offered" for row in contributions)
        open_count = sum(row.state in {"open", "closing"} for row in contributions)
        if offered_count >= OFFERS_MAX or open_count >= OPEN_MAX:
            raise TooManyContributions

    async def _open_contribution(
        self,
        key: str,
        person: str,
        valuation: Valuation,
        *,
        verified: bool,
        build_companions: Callable[[dict[str, Any]], tuple[Companion, ...]],
    ) -> None:
        """Opens a contribution in one submission: dollars, Credits, fee, advance, rows. Where the
        quota is not verified, the advance comes out of the person's credit line."""
        inviter = await self._find_inviter(person)
        inviter_credits = valuation.net.share_down(INVITER_PERCENT, 100) if inviter else Credits(0)
        lender = chart.advance_lender(person, verified=verified)
        for _ in range(_ATTEMPTS_MAX):
            advance = await self._determine_advance(person, valuation.net, verified=verified)
            figures = {
                "quota": valuation.quota.units,
                "credited": valuation.net.units,
                "fee": valuation.fee.units,
                "advance": advance.units,
                "inviter": inviter or None,
                "inviting": inviter_credits.units,
                "requests": valuation.requests,
            }
            advance_move = None if advance.is_zero else chart.lend_advance(key, lender, advance)
            entries = chart.open_contribution(
                key, valuation.quota, valuation.net, valuation.fee, inviter_credits, advance_move
            )
            try:
                await self._ledger.submit(
                    Submission(f"key/{key}/contributed", entries, build_companions(figures))
                )
            except InsufficientFunds:  # another of theirs took of the line since
                continue
            except (CompanionRefused, IdempotencyConflict):  # another answer was faster
                raise ProposalGone from None
            await self._pool.reload()
            return
        raise ProposalGone

    async def _determine_advance(self, person: str, net: Credits, *, verified: bool) -> Credits:
        if verified:
            return net.share_down(self.policy.advance_percent, 100)
        max_advance = self.policy.advance_unverified
        if max_advance.is_zero:
            return max_advance
        # The credit line is lent once for all contributions of a person, whatever comes of them.
        with suppress(IdempotencyConflict):  # when it was another sum
            grant = Submission(f"line/{person}", (chart.open_credit_line(person, max_advance),))
            await self._ledger.submit(grant)
        account = chart.advance_lender(person, verified=False)
        available = (await self._ledger.read_balances([account]))[account.code].available
        return min(net, Credits(available))

    def _new_row(
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
            "inviting": 0,
            "verified": verified,
            "requests": 0,
            "consent": "",
            "reason": "",
            "returned_quota": 0,
            "returned_credits": 0,
            "created_at": self._clock.now_ms(),
        }

    async def _delete_proposal(self, key: str) -> None:
        await self._ledger.record(
            delete_offered_key(key),
            Delete(schema.contribution, {"key": key, "state": "offered"}),
        )

    async def _list_contributions(self, *where: sa.ColumnElement[bool]) -> list[Contribution]:
        contribution, key = schema.contribution, schema.key
        rows = await self._db.fetch(
            sa.select(
                contribution,
                key.c.provider,
                key.c.tail,
                key.c.owner,
                key.c.state.label("health"),
                key.c.reason.label("why"),
            )
            .select_from(contribution.join(key, key.c.id == contribution.c.key))
            .where(*where)
            .order_by(contribution.c.key)
        )
        return [contribution_from_row(row) for row in rows]


async def find_open_guard(db: Database, key: str) -> Update | None:
    """A companion that refuses its submission where a contribution is no longer open; None where it
    isn't now."""
    table = schema.contribution
    rows = await db.fetch(sa.select(table.c.state).where(table.c.key == key))
    if not rows or rows[0].state != "open":
        return None
    is_open = {"state": "open"}
    return Update(table, {"key": key}, is_open, is_open)


async def has_contributions(db: Database) -> bool:
    """Whether a key was ever contributed, so that somebody may have earned something."""
    statement = sa.select(schema.contribution.c.key).where(
        schema.contribution.c.opened_at.is_not(None)
    )
    return bool(await db.fetch(statement.limit(1)))


#: What an ask's hold drew: codes of accounts with their Credits, in the order in which they pay.
DrawnAmounts = Sequence[tuple[str, int]]


def calculate_paid_part(drawn: DrawnAmounts, charge: Credits) -> Credits:
    """What of a charge the asker had bought or earned: a hold is posted in the order it drew."""
    remaining, paid = charge.units, 0
    for code, amount in drawn:
        part = min(remaining, amount)
        remaining -= part
        if chart.is_paid_pocket(code):
            paid += part
    return Credits(paid)


def build_vesting(
    key: str, terms: ContributionTerms | None, *, asker: str, charge: Credits, paid: Credits
) -> tuple[Entry, ...]:
    """The entries by which a charge vests, `paid` of it as `calculate_paid_part` says. None for a
    key of the operator's own, and for a contributor who asked on a key of their own."""
    if terms is None or terms.contributor == asker:
        return ()
    parts: tuple[tuple[chart.CreditOrigin, Credits], ...] = (
        ("paid", paid),
        ("free", charge - paid),
    )
    return tuple(
        chart.vest_charge(key, terms.contributor, terms.inviter, terms.advance, use, part)
        for use, part in parts
        if not part.is_zero
    )
