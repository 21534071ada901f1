"""Settlement: an ask's end, its charge, the key's dollars, the usage row and the text, all in one
submission. What an ending costs is one table, from how the ask ended to Credits and dollars:

ending                              the asker pays              the key pays
done, length, filtered with usage   by usage, within the hold   by usage
the same without usage              by our count                by our count
stopped, broken, timed out, lost    what was delivered          what was delivered; all that is held
                                                                when the model was reasoning
nothing delivered, any ending       nothing                     usage if reported; the prompt, if
                                                                it may have been billed; else 0

Audio is billed by the length that its supplier reports, else by the platform's, and at most by the
length that was held; where nothing was said, nothing is paid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core import chart
from core.asks.types import Outcome, Quote, Trouble
from core.db import schema
from core.db.writes import Companion, Delete, Insert, Update
from core.earnings.contributions import Drawn, paid_of, vesting
from core.ledger.types import Account, Entry, Submission
from core.money import Credits, NanoUsd, Seconds, Tokens
from core.pool.providers.types import Fault, Usage
from core.pool.types import Candidate, Terms
from core.pricing.catalogue import Model, Route
from core.pricing.costs import Costs

#: Whoever settles an ask, or claims its delivery, has this long to deliver it before others may.
LANDING_LEASE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Standing:
    """What an ask that isn't settled yet holds, and which process may settle it."""

    ask: str
    person: str
    model: str
    #: The id of the price that it was quoted at.
    price: str
    key: str
    supplier: str
    key_held: NanoUsd
    tries: int
    #: The process that serves it.
    owner: str
    #: What its hold drew from the asker.
    drawn: Drawn
    #: The terms on which the key that serves now was contributed; None for the operator's own.
    terms: Terms | None
    #: The promotion that made its price what it is; empty: none.
    promotion: str = ""

    @property
    def credits_hold(self) -> str:
        """The submission that holds the asker's Credits: the first one, through every attempt."""
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
    """`ask/<id>/settle`: done once, only by the process that serves the ask, never above the hold.

    `will_deliver`: the settler is about to deliver it; else anyone may claim it at once. The
    receipt has the balances of the key and of the accounts in `watch`.
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


#: After these faults the supplier may have billed, though nothing came: the prompt is booked.
MAYBE_BILLED = frozenset({Fault.TIMEOUT, Fault.NETWORK})


@dataclass(frozen=True, slots=True)
class Ending:
    """How the stream of an answer ended, before anything is booked."""

    outcome: Outcome
    usage: Usage | None = None
    #: Whether the supplier may have billed though it reported nothing.
    maybe_billed: bool = False
    #: Whether the model was reasoning when it was cut off: tokens that we can't count were spent.
    thinking: bool = False
    trouble: Trouble = Trouble.NONE


@dataclass(frozen=True, slots=True)
class Bill:
    """What is booked for an ask: its usage, Credits charged, nano-dollars of cost."""

    usage: Usage
    charge: Credits
    cost: NanoUsd
    #: Whether the figures are our own counts.
    estimated: bool


def plausible(usage: Usage, *, model: Model, quote: Quote, text: str) -> bool:
    """Whether a supplier's usage can be true, beside our own count of prompt and answer."""
    most_input = 2 * quote.prompt.units + 256
    most_output = quote.answer_limit.units + quote.answer_limit.units // 10 + 64
    if not model.thinking:
        most_output = min(most_output, len(text.encode()) + 64)
    return 0 <= usage.input.units <= most_input and 0 <= usage.output.units <= most_output


def bill(
    ending: Ending,
    *,
    quote: Quote,
    route: Route,
    costs: Costs,
    at_ms: int,
    text: str,
    shown: Tokens,
    key_held: NanoUsd,
) -> Bill:
    """The bill of an ending; `delivered_tokens` is our count of `text`. Never more Credits than
    were held."""
    usage = ending.usage or Usage(quote.prompt, shown)
    estimated = ending.usage is None
    charge = Credits(0)
    if text:
        charge = min(quote.price.charge(usage.input, usage.output), quote.most)
    if estimated and ending.thinking:
        cost = key_held
    elif estimated and not text and not ending.maybe_billed:
        usage, cost = Usage(Tokens(0), Tokens(0)), NanoUsd(0)
    else:
        cost = costs.cost(route, usage, at_ms)
    return Bill(usage, charge, cost, estimated)


def bill_recording(
    ending: Ending,
    *,
    quote: Quote,
    length: Seconds,
    route: Route,
    costs: Costs,
    at_ms: int,
    text: str,
) -> Bill:
    """The bill for audio of a `length` as the platform reported it; never more than was held."""
    none = Tokens(0)
    heard = length if ending.usage is None else min(ending.usage.audio, quote.audio)
    charge = min(quote.price.charge_seconds(heard), quote.most) if text else Credits(0)
    if ending.usage is None and not text and not ending.maybe_billed:
        heard = Seconds(0)
    return Bill(
        Usage(none, none, audio=heard),
        charge,
        costs.seconds(route, heard, at_ms),
        estimated=ending.usage is None,
    )
