"""An offer, a contribution, each way it can be refused; and the operator's policy of contributions
and withdrawals (`CREDITBOT_PROFILE`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from core import chart
from core.earnings.valuation import AverageRequest, Valuation
from core.errors import Refusal
from core.ledger.types import Account
from core.money import Credits, NanoUsd, parse_usd

ContributionState = Literal["offered", "open", "closing", "closed"]


class NotContributable(Refusal):
    """Keys of that supplier aren't taken; `known_suppliers` are those whose keys are."""

    code: ClassVar[str] = "not_contributable"

    def __init__(self, supplier: str, known_suppliers: tuple[str, ...]) -> None:
        self.supplier, self.known_suppliers = supplier, known_suppliers


class SameOrganisation(Refusal):
    """A key of the same supplier account is in the pool: both share its limits and its money."""

    code: ClassVar[str] = "same_organisation"

    def __init__(self, supplier: str) -> None:
        self.supplier = supplier


class ProposalGone(Refusal):
    """The offer was accepted, declined, or is too old."""

    code: ClassVar[str] = "offer_gone"


class TooManyContributions(Refusal):
    """As many keys of this person are in the pool, or wait for an answer, as may be at once."""

    code: ClassVar[str] = "too_many_contributions"


class WorthNothing(Refusal):
    """What is left of the key's quota isn't worth a single Credit, or is above all bounds."""

    code: ClassVar[str] = "worth_nothing"


@dataclass(frozen=True, slots=True)
class ContributionProposal:
    """A validated key with its valuation, before its contributor agreed."""

    key: str
    supplier: str
    tail: str
    #: Models of the catalogue that it can serve.
    models: frozenset[str]
    average: AverageRequest
    #: The valuation of what its supplier says that it can still pay; None where the supplier says
    #: nothing, and the contributor says for how many Credits it may be used.
    valuation: Valuation | None


@dataclass(frozen=True, slots=True)
class Contribution:
    """A contribution as its row says; what it vested so far is in the ledger."""

    key: str
    supplier: str
    tail: str
    contributor: str
    state: ContributionState
    #: The state of the key: active, cooling, paused, …; and why.
    health: str
    health_reason: str
    #: The person who contributed it, before any link merged them.
    original_contributor: str
    quota: NanoUsd
    credited: Credits
    fee: Credits
    advance: Credits
    inviter: str
    verified: bool
    requests: int
    reason: str
    returned_quota: NanoUsd
    returned_credits: Credits
    opened_at: int
    ended_at: int
    #: Whether other people's pictures and files may pass through the key.
    takes_files: bool = False
    #: Whether other people's programs may be served by it.
    takes_programs: bool = False

    @property
    def lender(self) -> Account[Credits]:
        """The account that lent what may be spent in advance."""
        return chart.advance_lender(self.original_contributor, verified=self.verified)


def contribution_from_row(row: sa.Row[Any]) -> Contribution:
    """A contribution from its row, joined with its key's."""
    return Contribution(
        key=row.key,
        supplier=row.provider,
        tail=row.tail,
        contributor=row.owner,
        state=row.state,
        health=row.health,
        health_reason=row.why,
        original_contributor=row.person,
        quota=NanoUsd(row.quota),
        credited=Credits(row.credited),
        fee=Credits(row.fee),
        advance=Credits(row.advance),
        inviter=row.inviter or "",
        verified=row.verified,
        requests=row.requests,
        reason=row.reason,
        returned_quota=NanoUsd(row.returned_quota),
        returned_credits=Credits(row.returned_credits),
        opened_at=row.opened_at or 0,
        ended_at=row.ended_at or 0,
        takes_files=bool(row.takes_files),
        takes_programs=bool(row.takes_programs),
    )


#: The version of the text that contributors agree to; changes when what they agree to changes.
CONSENT_VERSION = "2026-11"
#: For so many days a payer's bank may take a payment back.
DISPUTABLE_DAYS = 120


@dataclass(frozen=True, slots=True)
class EarningPolicy:
    """What the operator allows of contributions and withdrawals, in numbers."""

    #: Suppliers whose keys may be contributed; none until the operator names them.
    suppliers: frozenset[str] = frozenset()
    #: Of a contribution whose quota its supplier reports, so much may be spent before it vests.
    advance_percent: int = 25
    #: Of all other contributions of one person together, so much.
    advance_unverified: Credits = Credits(1_000)  # noqa: RUF009 - a constant
    #: Earned Credits can be withdrawn so long after they were earned.
    payout_hold_days: int = 30
    #: The least that is paid out at once.
    payout_least: Credits = Credits(10_000)  # noqa: RUF009
    #: The most that the quota of one contribution may be.
    quota_max: NanoUsd = parse_usd("10000")  # noqa: RUF009


SAFE_POLICY = EarningPolicy()
#: The profile `brief`: withdrawable at once, spendable in full where the quota is verified.
BRIEF_POLICY = EarningPolicy(advance_percent=100, payout_hold_days=0)
