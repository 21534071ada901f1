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
from core.clock import Clock
from core.db import schema
from core.db.writes import Companion, Update
from core.earnings.contributions import Contributions
from core.earnings.types import Contribution
from core.errors import Refusal, cause
from core.ledger.ledger import Ledger
from core.ledger.types import (
    CompanionRefused,
    Entry,
    IdempotencyConflict,
    InsufficientFunds,
    Submission,
)
from core.money import Credits, NanoUsd
from core.notification import notice
from core.pool.pool import Pool
from core.pool.types import OVER, UnknownKey

_log = logging.getLogger(__name__)

#: The kind of the notification that a contribution ended.
KEY_ENDED = "key_ended"

#: How often a change is tried again when others changed the same rows meanwhile.
_TRIES = 8

Reason = Literal["withdrawn", "dead", "exhausted", "stolen"]

#: Gives the entries and rows that cancel a person's unsent withdrawals.
Cancelling = Callable[[str], Awaitable[tuple[Sequence[Entry], Sequence[Companion]]]]


class StillUsed(Refusal):
    """The contribution can't be lowered so far, since more of it was already spent in advance."""

    code: ClassVar[str] = "still_used"

    def __init__(self, least: Credits) -> None:
        self.least = least


@dataclass(frozen=True, slots=True)
class _Rest:
    """What is left of a contribution when it ends, in Credits and nano-dollars."""

    #: Dollars that were not used, and the Credits and fee that go back with them.
    quota: NanoUsd
    returned: Credits
    fee: Credits
    #: Credits of its use that didn't vest: what covers the spent advance, and what is kept as a
    #: gift.
    covered: Credits
    kept: Credits
    #: Of the advance: what wasn't spent, what is there above what was lent (an answer's use filled
    #: it up after it was lowered), and what was spent and nothing covers.
    line: Credits
    over: Credits
    due: Credits


class Closing:
    """Ends contributions, whole or in part, and settles what is left of them."""

    def __init__(
        self,
        *,
        contributions: Contributions,
        ledger: Ledger,
        pool: Pool,
        clock: Clock,
        cancelling: Cancelling,
    ) -> None:
        self._contributions, self._ledger, self._pool = contributions, ledger, pool
        self._clock, self._cancelling = clock, cancelling

    async def withdraw(self, key: str, owner: str) -> None:
        """The contributor takes the key back: its secret is deleted at once, the contribution ends
        as soon as its running answers do. Raises `UnknownKey`."""
        for _ in range(_TRIES):
            one = await self._contributions.get(key, owner)
            if one.state != "open":
                raise UnknownKey(key)
            if await self._begin(one, "withdrawn"):
                await self.work()
                return
        raise UnknownKey(key)

    async def lower(self, key: str, owner: str, left: Credits) -> None:
        """Lowers a contribution: only so much of what hasn't vested remains; the rest ends now.
        Raises `UnknownKey`, `ContributionInUse`."""
        for _ in range(_TRIES):
            one = await self._contributions.get(key, owner)
            if one.state != "open":
                raise UnknownKey(key)
            submission = await self._lowered(one, left)
            if submission is None:
                return
            try:
                await self._ledger.submit(submission)
            except (InsufficientFunds, CompanionRefused, IdempotencyConflict):
                continue  # an answer of it was settled meanwhile
            await self._pool.reload()
            return
        raise UnknownKey(key)

    async def forfeit(self, key: str, *also: Companion) -> None:
        """An admin ends a contribution because its key was reported stolen: what it brought and was
        not paid out is forfeited. `companions` are written with it. Raises `UnknownKey`."""
        for one in await self._contributions.in_state("open"):
            if one.key == key and await self._begin(one, "stolen", also):
                await self.work()
                return
        raise UnknownKey(key)

    async def work(self) -> None:
        """A job: starts to close what died or is used up; ends what has no running answers."""
        for one in await self._contributions.in_state("open"):
            reason = await self._over(one)
            if reason is not None:
                await self._begin(one, reason)
        for one in await self._contributions.in_state("closing"):
            try:
                await self._end(one)
            except Exception as failure:  # noqa: BLE001 - the others go on
                _log.error("%s could not be ended: %s", one.key, cause(failure))

    # --- beginning ------------------------------------------------------------------------------

    async def _over(self, one: Contribution) -> Reason | None:
        if one.health in OVER:
            return "dead"
        quota, waits = chart.key_quota(one.key), chart.unvested(one.key)
        balances = await self._ledger.balances([quota, waits])
        if balances[quota.code].held:
            return None
        # Whoever got all that the key was worth owes no more use of it.
        if not balances[waits.code].posted:
            return "exhausted"
        dust = NanoUsd(balances[quota.code].available) < self._pool.contributed.least(one.key)
        return "exhausted" if dust else None

    async def _begin(
        self, one: Contribution, reason: Reason, also: Sequence[Companion] = ()
    ) -> bool:
        """Starts to close a contribution; False when it was changed since it was read."""
        now = self._clock.now_ms()
        state = "withdrawn" if reason == "stolen" else reason
        gone = {"state": state, "reason": reason, "state_at": now, "sealed": None}
        companions = (
            Update(schema.key, {"id": one.key}, gone, {"state": one.health, "owner": one.owner}),
            Update(
                schema.contribution,
                {"key": one.key},
                {"state": "closing", "reason": reason},
                {"state": "open"},
            ),
            *also,
        )
        try:
            await self._ledger.record(*companions)
        except CompanionRefused:
            return False
        await self._pool.reload()
        return True

    # --- ending ---------------------------------------------------------------------------------

    async def _end(self, one: Contribution) -> None:
        rest = await self._rest(one)
        if rest is None:
            return
        to = one.lender
        entries: list[Entry] = []
        companions: list[Companion] = []
        stolen = one.reason == "stolen"
        if stolen or not rest.due.is_zero:
            cancelled, rows = await self._cancelling(one.owner)
            entries += cancelled
            companions += rows
        entries += chart.lowered(one.key, rest.quota, rest.returned, rest.fee)
        entries += chart.ended(
            one.key,
            one.owner,
            to,
            covered=rest.covered,
            kept=rest.kept,
            line=rest.line,
            over=rest.over,
            due=rest.due,
            inviting=one.credited,
        )
        if stolen:
            entries += chart.forfeited(one.owner, rest.kept, await self._brought(one.key))
        companions += self._rows(one, rest)
        try:
            await self._ledger.submit(
                Submission(f"key/{one.key}/closed", tuple(entries), tuple(companions))
            )
        except (CompanionRefused, IdempotencyConflict, InsufficientFunds) as refused:
            _log.info("%s is ended later: %s", one.key, refused.code)

    async def _rest(self, one: Contribution) -> _Rest | None:
        """What is left of a contribution; None while an answer of its key runs, or an ask of its
        contributor that draws on the advance."""
        quota, waits, line = (
            chart.key_quota(one.key),
            chart.unvested(one.key),
            chart.advance(one.key),
        )
        balances = await self._ledger.balances([quota, waits, line])
        if balances[quota.code].held or balances[line.code].held:
            return None
        unused = NanoUsd(balances[quota.code].posted)
        unvested = balances[waits.code].posted
        returned = min(_returned(one, unused).units, unvested)
        left = unvested - returned
        back = balances[line.code].posted
        spent = max(0, one.advance.units - back)
        covered = min(left, spent)
        return _Rest(
            quota=unused,
            returned=Credits(returned),
            fee=_fee(one, Credits(returned)),
            covered=Credits(covered),
            kept=Credits(left - covered),
            line=Credits(min(back, one.advance.units)),
            over=Credits(max(0, back - one.advance.units)),
            due=Credits(spent - covered),
        )

    async def _brought(self, key: str) -> tuple[Credits, Credits]:
        """What use of a key vested at most: as earned, and as a gift."""
        paid, free = chart.used(key, "paid"), chart.used(key, "free")
        balances = await self._ledger.balances([paid, free])
        charged = [Credits(balances[account.code].posted) for account in (paid, free)]
        return charged[0].share_down(*chart.NET), charged[1].share_down(*chart.NET)

    def _rows(self, one: Contribution, rest: _Rest) -> tuple[Companion, ...]:
        now = self._clock.now_ms()
        returned = one.returned_credits + rest.returned
        change = {
            "state": "closed",
            "ended_at": now,
            "returned_quota": (one.returned_quota + rest.quota).units,
            "returned_credits": returned.units,
        }
        facts: dict[str, str | int] = {
            "supplier": one.supplier,
            "tail": one.tail,
            "reason": one.reason,
            "kept": (one.credited - returned).units,
            "returned": rest.returned.units,
            "due": rest.due.units,
        }
        return (
            Update(schema.contribution, {"key": one.key}, change, {"state": "closing"}),
            # The contributor must not have changed since it was read.
            Update(schema.key, {"id": one.key}, {"owner": one.owner}, {"owner": one.owner}),
            notice(
                self._clock,
                cause_id=f"key/{one.key}/ended",
                person=one.owner,
                kind=KEY_ENDED,
                facts=facts,
            ),
        )

    # --- making smaller -------------------------------------------------------------------------

    async def _lowered(self, one: Contribution, left: Credits) -> Submission | None:
        quota, waits, line = (
            chart.key_quota(one.key),
            chart.unvested(one.key),
            chart.advance(one.key),
        )
        balances = await self._ledger.balances([quota, waits, line])
        unvested, lendable = balances[waits.code].posted, balances[line.code].available
        spent = one.advance.units - lendable
        if left.units >= unvested:
            return None
        if left.units < spent:
            raise StillUsed(Credits(spent))
        # The dollars that go are those whose Credits go, and not more than are free.
        most = balances[quota.code].available
        gone = min(most, (unvested - left.units) * one.quota.units // one.credited.units)
        returned = _returned(one, NanoUsd(gone))
        recalled = min(lendable, max(0, one.advance.units - left.units))
        entries: list[Entry] = [
            *chart.lowered(one.key, NanoUsd(gone), returned, _fee(one, returned))
        ]
        if recalled:
            entries.append(chart.recalled(one.key, one.lender, Credits(recalled)))
        change: dict[str, Any] = {
            "returned_quota": one.returned_quota.units + gone,
            "returned_credits": (one.returned_credits + returned).units,
            "advance": one.advance.units - recalled,
        }
        expected = {
            "state": "open",
            "returned_quota": one.returned_quota.units,
            "advance": one.advance.units,
        }
        return Submission(
            f"key/{one.key}/lowered/{one.returned_quota.units}/{left.units}",
            tuple(entries),
            (Update(schema.contribution, {"key": one.key}, change, expected),),
        )


def _returned(one: Contribution, quota: NanoUsd) -> Credits:
    """The Credits that go back with an unused quota: rounded up over all that ever went back of the
    contribution, so that however often a part goes, the sum is the same."""
    whole = one.returned_quota + quota
    return one.credited.share_up(whole.units, one.quota.units) - one.returned_credits


def _fee(one: Contribution, returned: Credits) -> Credits:
    """The fee that was taken of the Credits that go back."""
    before, after = one.returned_credits, one.returned_credits + returned
    whole = one.credited.units
    return one.fee.share_down(after.units, whole) - one.fee.share_down(before.units, whole)
