"""What an operator allows of contributing and cashing out, as a set (`CREDITBOT_PROFILE`)."""

from __future__ import annotations

from dataclasses import dataclass

from core.money import Credits, NanoUsd, usd

#: Which text contributors agree to; raise it when the text changes what they agree to.
CONSENT = "2026-11"
#: A payer's bank may take a payment back for so long.
DISPUTABLE_DAYS = 120


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers of design § Withdrawing; those of the brief where it names them."""

    #: Suppliers whose keys may be contributed; none until the operator names them.
    suppliers: frozenset[str] = frozenset()
    #: Of a contribution whose quota its supplier tells, so much may be spent before it vests.
    advance_percent: int = 25
    #: Of all others, so much in all for one person.
    advance_unverified: Credits = Credits(1_000)  # noqa: RUF009 - a constant
    #: Earned Credits can be withdrawn so long after they were earned.
    payout_hold_days: int = 30
    #: The least that is paid out (brief § 7).
    payout_least: Credits = Credits(10_000)  # noqa: RUF009
    #: One contribution is worth at most so much.
    quota_most: NanoUsd = usd("10000")  # noqa: RUF009


SAFE = Policy()
#: As the brief has it: withdrawable at once, spendable in full where the quota is verified.
BRIEF = Policy(advance_percent=100, payout_hold_days=0)
