"""How a contribution ends: withdrawn by its contributor, dead, used up, or reported stolen.

First it serves no more, nor is it spent in advance; once its running answers are settled, what is
left is calculated, and moves in one submission. Nothing that runs meanwhile can change those
figures, so they are exact.

Taken back are the Credits of the dollars that were not used, and at most those that didn't vest. So
a contributor keeps the better of what the use of the key was charged, and the used share of what it
was valued at; what of that didn't vest covers what was spent in advance, the rest is a gift.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from core import chart
from core.db import schema
from core.db.writes import Companion, Update
from core.earnings.contributions import Contributions
from core.earnings.types import Contribution
from core.errors import Refusal, describe_failure
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import Credits, NanoUsd
from core.notification import notification_row
from core.pool.contributed_keys import end_contributed_key, guard_contributor
from core.pool.pool import Pool
from core.pool.types import FINAL_STATES, UnknownKey

_log = logging.getLogger(__name__)

#: The kind of the notification that a contribution ended.
KEY_ENDED = "key_ended"

#: How often a change is tried again when others changed the same rows meanwhile.
_ATTEMPTS_MAX = 8

TerminationReason = Literal["withdrawn", "dead", "exhausted", "stolen"]

#: Gives the entries and rows that cancel a person's unsent withdrawals.
PlanCancellation = Callable[[str], Awaitable[tuple[Sequence[Entry], Sequence[Companion]]]]


class ContributionInUse(Refusal):
    """The contribution can't be lowered so far, since more of it was already spent in advance."""

    code: ClassVar[str] = "still_used"

    def __init__(self, minimum: Credits) -> None:
        self.minimum = minimum


@dataclass(frozen=True, slots=True)
class _Remainder:
    """What is left of a contribution when it ends, in Credits and nano-dollars."""

    #: Dollars that were not used, and the Credits and fee that go back with them.
    unused_quota: NanoUsd
    returned: Credits
    fee: Credits
    #: Credits of its use that didn't vest: what covers the spent advance, and what is kept as a
    #: gift.
    covered: Credits
    kept: Credits
    #: Of the advance: what wasn't spent, what is there above what was lent (an answer's use filled
    #: it up after it was lowered), and what was spent and nothing covers.
    unspent_advance: Credits
    excess_advance: Credits
    due: Credits


class ContributionTermination:
    """Ends contributions, whole or in part, and settles what is left of them."""

    def __init__(
        self,
        *,
        contributions: Contributions,
        ledger: Ledger,
        pool: Pool,
        plan_cancellation: PlanCancellation,
    ) -> None:
        self._contributions, self._ledger, self._pool = contributions, ledger, pool
        self._clock, self._plan_cancellation = ledger.clock, plan_cancellation

    async def withdraw_contribution(self, key: str, contributor: str) -> None:
        """The contributor takes the key back: its secret is deleted at once, the contribution ends
        as soon as its running answers do. Raises `UnknownKey`."""
        for _ in range(_ATTEMPTS_MAX):
            contribution = await self._contributions.get(key, contributor)
            if contribution.state != "open":
                raise UnknownKey(key)
            if await self._start_closing(contribution, "withdrawn"):
                await self.process_terminations()
                return
        raise UnknownKey(key)

    async def lower_contribution(self, key: str, contributor: str, remaining: Credits) -> None:
        """Lowers a contribution: only so much of what hasn't vested remains; the rest ends now.
        Raises `UnknownKey`, `ContributionInUse`."""
        for _ in range(_ATTEMPTS_MAX):
            contribution = await self._contributions.get(key, contributor)
            if contribution.state != "open":
                raise UnknownKey(key)
            submission = await self._build_lowering(contribution, remaining)
            if submission is None:
                return
            try:
                await self._ledger.submit(submission)
            except (InsufficientFunds, CompanionRefused, IdempotencyConflict):
                continue  # an answer of it was settled meanwhile
            await self._pool.reload()
            return
        raise UnknownKey(key)

    async def forfeit_contribution(self, key: str, *companions: Companion) -> None:
        """An admin ends a contribution because its key was reported stolen: what it brought and was
        not paid out is forfeited. `companions` are written with it. Raises `UnknownKey`."""
        for contribution in await self._contributions.list_in_state("open"):
            if contribution.key == key and await self._start_closing(
                contribution, "stolen", companions
            ):
                await self.process_terminations()
                return
        raise UnknownKey(key)

    async def process_terminations(self) -> None:
        """A job: starts to close what died or is used up; ends what has no running answers."""
        for contribution in await self._contributions.list_in_state("open"):
            reason = await self._find_reason(contribution)
            if reason is not None:
                await self._start_closing(contribution, reason)
        for contribution in await self._contributions.list_in_state("closing"):
            try:
                await self._close(contribution)
            except Exception as failure:  # noqa: BLE001 - the others go on
                _log.error("%s could not be ended: %s", contribution.key, describe_failure(failure))

    # --- beginning ------------------------------------------------------------------------------

    async def _find_reason(self, contribution: Contribution) -> TerminationReason | None:
        if contribution.health in FINAL_STATES:
            return "dead"
        quota_account, unvested_account = (
            chart.key_quota(contribution.key),
            chart.unvested_credits(contribution.key),
        )
        balances = await self._ledger.read_balances([quota_account, unvested_account])
        if balances[quota_account.code].held:
            return None
        # Whoever got all that the key was worth owes no more use of it.
        if not balances[unvested_account.code].posted:
            return "exhausted"
        is_used_up = NanoUsd(
            balances[quota_account.code].available
        ) < self._pool.contributed_keys.calculate_min_answer_cost(contribution.key)
        return "exhausted" if is_used_up else None

    async def _start_closing(
        self,
        contribution: Contribution,
        reason: TerminationReason,
        companions: Sequence[Companion] = (),
    ) -> bool:
        """Starts to close a contribution; False when it was changed since it was read."""
        now = self._clock.now_ms()
        state = "withdrawn" if reason == "stolen" else reason
        all_companions = (
            end_contributed_key(
                contribution.key,
                reason,
                now,
                state=state,
                was=contribution.health,
                contributor=contribution.contributor,
            ),
            Update(
                schema.contribution,
                {"key": contribution.key},
                {"state": "closing", "reason": reason},
                {"state": "open"},
            ),
            *companions,
        )
        if not await self._ledger.try_record(*all_companions):
            return False
        await self._pool.reload()
        return True

    # --- ending ---------------------------------------------------------------------------------

    async def _close(self, contribution: Contribution) -> None:
        remainder = await self._calculate_remainder(contribution)
        if remainder is None:
            return
        lender = contribution.lender
        entries: list[Entry] = []
        companions: list[Companion] = []
        is_stolen = contribution.reason == "stolen"
        if is_stolen or not remainder.due.is_zero:
            cancelled, rows = await self._plan_cancellation(contribution.contributor)
            entries += cancelled
            companions += rows
        entries += chart.lower_contribution(
            contribution.key, remainder.unused_quota, remainder.returned, remainder.fee
        )
        entries += chart.end_contribution(
            contribution.key,
            contribution.contributor,
            lender,
            covered=remainder.covered,
            kept=remainder.kept,
            unspent_advance=remainder.unspent_advance,
            excess_advance=remainder.excess_advance,
            due=remainder.due,
            inviter_credits=contribution.credited,
        )
        if is_stolen:
            entries += chart.forfeit_earnings(
                contribution.contributor,
                remainder.kept,
                await self._calculate_max_vested(contribution.key),
            )
        companions += self._build_companions(contribution, remainder)
        try:
            await self._ledger.submit(
                Submission(f"key/{contribution.key}/closed", tuple(entries), tuple(companions))
            )
        except (CompanionRefused, IdempotencyConflict, InsufficientFunds) as refused:
            _log.info("%s is ended later: %s", contribution.key, refused.code)

    async def _calculate_remainder(self, contribution: Contribution) -> _Remainder | None:
        """What is left of a contribution; None while an answer of its key runs, or an ask of its
        contributor that draws on the advance."""
        quota_account, unvested_account, advance_account = (
            chart.key_quota(contribution.key),
            chart.unvested_credits(contribution.key),
            chart.advance(contribution.key),
        )
        balances = await self._ledger.read_balances(
            [quota_account, unvested_account, advance_account]
        )
        if balances[quota_account.code].held or balances[advance_account.code].held:
            return None
        unused = NanoUsd(balances[quota_account.code].posted)
        unvested = balances[unvested_account.code].posted
        returned = min(_calculate_returned_credits(contribution, unused).units, unvested)
        left = unvested - returned
        advance_left = balances[advance_account.code].posted
        spent = max(0, contribution.advance.units - advance_left)
        covered = min(left, spent)
        return _Remainder(
            unused_quota=unused,
            returned=Credits(returned),
            fee=_calculate_returned_fee(contribution, Credits(returned)),
            covered=Credits(covered),
            kept=Credits(left - covered),
            unspent_advance=Credits(min(advance_left, contribution.advance.units)),
            excess_advance=Credits(max(0, advance_left - contribution.advance.units)),
            due=Credits(spent - covered),
        )

    async def _calculate_max_vested(self, key: str) -> tuple[Credits, Credits]:
        """What use of a key vested at most: as earned, and as a gift."""
        paid, free = chart.key_usage(key, "paid"), chart.key_usage(key, "free")
        balances = await self._ledger.read_balances([paid, free])
        charged = [Credits(balances[account.code].posted) for account in (paid, free)]
        return charged[0].share_down(*chart.CONTRIBUTOR_SHARE), charged[1].share_down(
            *chart.CONTRIBUTOR_SHARE
        )

    def _build_companions(
        self, contribution: Contribution, remainder: _Remainder
    ) -> tuple[Companion, ...]:
        now = self._clock.now_ms()
        returned = contribution.returned_credits + remainder.returned
        change = {
            "state": "closed",
            "ended_at": now,
            "returned_quota": (contribution.returned_quota + remainder.unused_quota).units,
            "returned_credits": returned.units,
        }
        facts: dict[str, str | int] = {
            "supplier": contribution.supplier,
            "tail": contribution.tail,
            "reason": contribution.reason,
            "kept": (contribution.credited - returned).units,
            "returned": remainder.returned.units,
            "due": remainder.due.units,
        }
        return (
            Update(schema.contribution, {"key": contribution.key}, change, {"state": "closing"}),
            guard_contributor(contribution.key, contribution.contributor),
            notification_row(
                self._clock,
                cause_id=f"key/{contribution.key}/ended",
                person=contribution.contributor,
                kind=KEY_ENDED,
                facts=facts,
            ),
        )

    # --- making smaller -------------------------------------------------------------------------

    async def _build_lowering(
        self, contribution: Contribution, remaining: Credits
    ) -> Submission | None:
        quota_account, unvested_account, advance_account = (
            chart.key_quota(contribution.key),
            chart.unvested_credits(contribution.key),
            chart.advance(contribution.key),
        )
        balances = await self._ledger.read_balances(
            [quota_account, unvested_account, advance_account]
        )
        unvested, unspent_advance = (
            balances[unvested_account.code].posted,
            balances[advance_account.code].available,
        )
        spent = contribution.advance.units - unspent_advance
        if remaining.units >= unvested:
            return None
        if remaining.units < spent:
            raise ContributionInUse(Credits(spent))
        # The dollars that go are those whose Credits go, and not more than are free.
        free_quota = balances[quota_account.code].available
        removed_quota = min(
            free_quota,
            (unvested - remaining.units) * contribution.quota.units // contribution.credited.units,
        )
        returned = _calculate_returned_credits(contribution, NanoUsd(removed_quota))
        recalled = min(unspent_advance, max(0, contribution.advance.units - remaining.units))
        entries: list[Entry] = [
            *chart.lower_contribution(
                contribution.key,
                NanoUsd(removed_quota),
                returned,
                _calculate_returned_fee(contribution, returned),
            )
        ]
        if recalled:
            entries.append(
                chart.recall_advance(contribution.key, contribution.lender, Credits(recalled))
            )
        change: dict[str, Any] = {
            "returned_quota": contribution.returned_quota.units + removed_quota,
            "returned_credits": (contribution.returned_credits + returned).units,
            "advance": contribution.advance.units - recalled,
        }
        expected = {
            "state": "open",
            "returned_quota": contribution.returned_quota.units,
            "advance": contribution.advance.units,
        }
        return Submission(
            f"key/{contribution.key}/lowered/{contribution.returned_quota.units}/{remaining.units}",
            tuple(entries),
            (Update(schema.contribution, {"key": contribution.key}, change, expected),),
        )


def _calculate_returned_credits(contribution: Contribution, quota: NanoUsd) -> Credits:
    """The Credits that go back with an unused quota: rounded up over all that ever went back of the
    contribution, so that however often a part goes, the sum is the same."""
    returned_quota = contribution.returned_quota + quota
    return (
        contribution.credited.share_up(returned_quota.units, contribution.quota.units)
        - contribution.returned_credits
    )


def _calculate_returned_fee(contribution: Contribution, returned: Credits) -> Credits:
    """The fee that was taken of the Credits that go back."""
    before, after = contribution.returned_credits, contribution.returned_credits + returned
    credited = contribution.credited.units
    return contribution.fee.share_down(after.units, credited) - contribution.fee.share_down(
        before.units, credited
    )
