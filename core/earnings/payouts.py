"""Types of withdrawals: a payout, what can be withdrawn, and each way it can be refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal, get_args

import sqlalchemy as sa

from core.clock import as_datetime
from core.errors import Refusal
from core.money import Credits, NanoUsd

PayoutState = Literal["requested", "approved", "sent", "paid", "rejected", "returned", "cancelled"]
PayoutMethod = Literal["paypal", "btcpay", "manual", "sandbox"]
PAYOUT_METHODS: tuple[PayoutMethod, ...] = get_args(PayoutMethod)

#: Kinds of notifications: to the person about their payout; to operators about one that waits for
#: their decision, and about one that is stuck.
PAYOUT_CHANGED, PAYOUT_WAITS, PAYOUT_STUCK = "payout", "payout_waits", "payout_stuck"
#: 100 Credits are paid out as $0.90: nano-dollars for each Credit.
PAYOUT_RATE = NanoUsd(9_000_000)
_NANO_USD_PER_CENT = 10_000_000
#: Business days within which a request is handled.
BUSINESS_DAYS = 5


class NothingWithdrawable(Refusal):
    """The person can't withdraw this amount, or less than the minimum is withdrawable now."""

    code: ClassVar[str] = "nothing_withdrawable"

    def __init__(self, withdrawable: Credits, minimum: Credits, earned: Credits) -> None:
        self.withdrawable, self.minimum, self.earned = withdrawable, minimum, earned


class WithdrawalBlocked(Refusal):
    """For now this person can't withdraw: `reason` is owes, disputed, linked or moved (the
    address), `until` when that is over (ms UTC; 0 where nobody knows)."""

    code: ClassVar[str] = "withdrawals_wait"

    def __init__(
        self, reason: Literal["owes", "disputed", "linked", "moved"], until: int = 0
    ) -> None:
        self.reason, self.until = reason, until


class TooManyWithdrawals(Refusal):
    """As many payouts of this person wait to be sent as may wait at once."""

    code: ClassVar[str] = "too_many_withdrawals"

    def __init__(self, unsent_count: int) -> None:
        self.unsent_count = unsent_count


class PayoutStateConflict(Refusal):
    """The payout is no longer in a state that allows this."""

    code: ClassVar[str] = "payout_moved"

    def __init__(self, payout: str) -> None:
        self.payout = payout


class NoPayoutAddress(Refusal):
    """The person has no usable address for that payout method."""

    code: ClassVar[str] = "no_address"


@dataclass(frozen=True, slots=True)
class Earnings:
    """What a person earned, and what of it can be withdrawn."""

    #: Earned Credits that are not held.
    available: Credits
    withdrawable: Credits
    #: When all that is available can be withdrawn, at the latest (ms UTC); 0: now.
    all_withdrawable_at: int

    @property
    def not_yet_withdrawable(self) -> Credits:
        """Credits that were earned too lately to be withdrawn."""
        return self.available - self.withdrawable


@dataclass(frozen=True, slots=True)
class Payout:
    """A withdrawal of earned Credits for cash, in whatever state."""

    id: str
    person: str
    credits: Credits
    cash: NanoUsd
    method: PayoutMethod
    hint: str
    state: PayoutState
    created_at: int
    state_at: int
    decided_by: str
    reason: str
    external_id: str
    #: How often it was worked on in this state, and when it is due next (ms UTC).
    attempts: int
    due_at: int | None

    @property
    def hold(self) -> str:
        """The id of the submission that holds its Credits."""
        return f"payout/{self.id}/requested"

    @property
    def is_unsent(self) -> bool:
        """Whether its Credits can still come back."""
        return self.state in {"requested", "approved"}


def convert_to_cash(amount: Credits) -> NanoUsd:
    """What so many Credits are paid out as: rounded down to whole cents (74,997 → $674.97)."""
    return NanoUsd(amount.units * PAYOUT_RATE.units // _NANO_USD_PER_CENT * _NANO_USD_PER_CENT)


def calculate_due_date(at_ms: int) -> int:
    """When a request made at `at_ms` is handled at the latest: five business days on (ms UTC)."""
    at, days_left = as_datetime(at_ms), BUSINESS_DAYS
    while days_left:
        at += timedelta(days=1)
        days_left -= at.weekday() < 5
    return round(at.timestamp() * 1_000)


def payout_from_row(row: sa.Row[Any]) -> Payout:
    """A payout as its row says."""
    return Payout(
        id=row.id,
        person=row.person,
        credits=Credits(row.credits),
        cash=NanoUsd(row.cash),
        method=row.method,
        hint=row.hint,
        state=row.state,
        created_at=row.created_at,
        state_at=row.state_at,
        decided_by=row.decided_by,
        reason=row.reason,
        external_id=row.external or "",
        attempts=row.tries,
        due_at=row.due_at,
    )
