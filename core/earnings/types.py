"""An offer, a contribution, each way it can be refused; and what an operator allows of contributing
and cashing out, as a set (`CREDITBOT_PROFILE`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from core import chart
from core.earnings.valuation import Average, Worth
from core.errors import Refusal
from core.ledger.types import Account
from core.money import Credits, NanoUsd, usd

State = Literal["offered", "open", "closing", "closed"]


class NotContributable(Refusal):
    """Keys of that supplier aren't taken; `known` are the names of those that are."""

    code: ClassVar[str] = "not_contributable"

    def __init__(self, supplier: str, known: tuple[str, ...]) -> None:
        self.supplier, self.known = supplier, known


class SameOrganisation(Refusal):
    """A key of the same account at its supplier is in the pool: they share limits and money."""

    code: ClassVar[str] = "same_organisation"

    def __init__(self, supplier: str) -> None:
        self.supplier = supplier


class OfferGone(Refusal):
    """The offer was taken, dropped, or is too old."""

    code: ClassVar[str] = "offer_gone"


class TooManyContributions(Refusal):
    """So many keys of one person are in the pool, or wait for an answer."""

    code: ClassVar[str] = "too_many_contributions"


class WorthNothing(Refusal):
    """What is left of the key's quota isn't worth a single Credit, or is above all bounds."""

    code: ClassVar[str] = "worth_nothing"


@dataclass(frozen=True, slots=True)
class Offer:
    """A key that was examined, before its owner agreed."""

    key: str
    supplier: str
    tail: str
    #: How many models of the catalogue it can serve.
    models: frozenset[str]
    average: Average
    #: What its supplier says that it can still pay; None where that tells nothing, and its owner
    #: says for how many Credits it may be used.
    worth: Worth | None


@dataclass(frozen=True, slots=True)
class Contribution:
    """A contribution as its row says; what it brought so far is the ledger's to say."""

    key: str
    supplier: str
    tail: str
    owner: str
    state: State
    #: How the key fares: active, cooling, paused, …; and why.
    health: str
    why: str
    #: Who contributed it.
    person: str
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

    @property
    def lender(self) -> Account[Credits]:
        """Whose account lent what may be spent in advance."""
        return chart.lender(self.person, verified=self.verified)


def contribution_of(row: sa.Row[Any]) -> Contribution:
    """A contribution's row, joined with its key's."""
    return Contribution(
        key=row.key,
        supplier=row.provider,
        tail=row.tail,
        owner=row.owner,
        state=row.state,
        health=row.health,
        why=row.why,
        person=row.person,
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
    )


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
