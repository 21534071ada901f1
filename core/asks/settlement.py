"""Settling: an ask's end, its charge, the key's dollars, the usage row and the text, all in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core import chart
from core.asks.billing import Bill
from core.asks.types import Outcome
from core.db import schema
from core.db.writes import Companion, Delete, Insert, Update
from core.earnings.vesting import Drawn, paid_of, vesting
from core.ledger.types import Account, Entry, Submission
from core.money import Credits, NanoUsd, Tokens
from core.pool.types import Candidate, Terms

#: Whoever settles an ask, or claims its landing, has this long to show it before others may.
LANDING_LEASE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Standing:
    """What an open ask holds, and who may settle it."""

    ask: str
    person: str
    model: str
    #: The price's id that it was quoted at.
    price: str
    key: str
    supplier: str
    key_held: NanoUsd
    tries: int
    #: The process that serves it.
    owner: str
    #: What its hold drew from the asker.
    drawn: Drawn
    #: On which terms the key that serves now was contributed; None for the operator's own.
    terms: Terms | None
    #: The promotion that made its price what it is; empty: none.
    promotion: str = ""

    @property
    def credits_hold(self) -> str:
        """The submission that holds the asker's Credits: the first, through every try."""
        return f"ask/{self.ask}/hold"

    @property
    def quota_hold(self) -> str:
        """The submission that holds the dollars of the key that serves now."""
        return self.credits_hold if self.tries == 1 else f"ask/{self.ask}/key/{self.tries}"


def settlement(
    standing: Standing,
    bill: Bill,
    *,
    outcome: Outcome,
    shown: Tokens,
    answer: bytes | None,
    at_ms: int,
    showing: bool = True,
    watch: Sequence[Account[Credits]] = (),
) -> Submission:
    """`ask/<id>/settle`: done once, by the ask's owner only, never above what was held.

    `showing`: the settler is about to show it; else anyone may land it at once. Beside the key's
    balance that of the accounts in `watch` is told.
    """
    paid = paid_of(standing.drawn, bill.charge)
    entries: list[Entry] = [
        chart.settle_credits(standing.credits_hold, bill.charge),
        chart.settle_quota(standing.quota_hold, min(bill.cost, standing.key_held)),
    ]
    if bill.cost > standing.key_held:
        excess = bill.cost - standing.key_held
        contributed = standing.terms is not None
        over = chart.over_quota(standing.key, standing.supplier, excess, contributed=contributed)
        entries.append(over)
    entries += vesting(
        standing.key, standing.terms, asker=standing.person, charge=bill.charge, paid=paid
    )
    change: dict[str, object] = {
        "state": "settled",
        "outcome": outcome.value,
        "shown_tokens": shown.units,
        "ended_at": at_ms,
        "lease_until": at_ms + LANDING_LEASE_SECONDS * 1000 if showing else at_ms,
    }
    if answer is not None:
        change["answer"] = answer
    companions: list[Companion] = [
        Update(schema.ask, {"id": standing.ask}, change, {"state": "open", "owner": standing.owner})
    ]
    if not (bill.charge.is_zero and bill.cost.is_zero):
        companions.append(Insert(schema.usage, _usage_row(standing, bill, paid, at_ms)))
    if standing.promotion and bill.charge.is_zero:  # what gave nothing uses nothing up
        companions.append(Delete(schema.promotion_use, {"cause": standing.ask}))
    return Submission(
        f"ask/{standing.ask}/settle",
        tuple(entries),
        tuple(companions),
        watch=(*watch, chart.key_quota(standing.key)),
    )


def next_try(standing: Standing, candidate: Candidate, *, cost: NanoUsd) -> Submission:
    """`ask/<id>/key/<n>`: the failed key pays what it may owe, the next key holds; the Credits'
    hold stays."""
    tries, key, hold = standing.tries + 1, candidate.key, candidate.hold
    moved = {"key": key, "key_held": hold.units, "tries": tries}
    contributed = candidate.terms is not None
    expected = {"state": "open", "owner": standing.owner, "tries": standing.tries}
    return Submission(
        f"ask/{standing.ask}/key/{tries}",
        (
            chart.settle_quota(standing.quota_hold, min(cost, standing.key_held)),
            chart.hold_quota(key, candidate.supplier, hold, contributed=contributed),
        ),
        (Update(schema.ask, {"id": standing.ask}, moved, expected),),
        watch=(chart.key_quota(standing.key), chart.key_quota(key)),
    )


def _usage_row(standing: Standing, bill: Bill, paid: Credits, at_ms: int) -> dict[str, object]:
    return {
        "ask": standing.ask,
        "person": standing.person,
        "at": at_ms,
        "model": standing.model,
        "price": standing.price,
        "provider": standing.supplier,
        "key": standing.key,
        "input_tokens": bill.usage.input.units,
        "cached_tokens": bill.usage.cached.units,
        "output_tokens": bill.usage.output.units,
        "seconds": bill.usage.audio.units or None,
        "estimated": bill.estimated,
        "charge": bill.charge.units,
        "paid": paid.units,
        "cost": bill.cost.units,
    }
