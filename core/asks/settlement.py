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
from core.asks.types import AskFailure, Outcome, Quote
from core.db import schema
from core.db.writes import Companion, Delete, Insert, Update
from core.earnings.contributions import DrawnAmounts, build_vesting, calculate_paid_part
from core.ledger.types import Account, Entry, Submission
from core.money import Credits, NanoUsd, Seconds, Tokens
from core.pool.providers.types import Fault, Usage
from core.pool.types import Candidate, ContributionTerms
from core.pricing.catalogue import Model, Route
from core.pricing.costs import Costs

#: Whoever settles an ask, or claims its delivery, has this long to deliver it before others may.
DELIVERY_LEASE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class OpenAsk:
    """What an ask that isn't settled yet holds, and which process may settle it."""

    ask: str
    person: str
    model: str
    #: The id of the price that it was quoted at.
    price: str
    key: str
    supplier: str
    key_held: NanoUsd
    attempt: int
    #: The process that serves it.
    process_id: str
    #: What its hold drew from the asker.
    drawn: DrawnAmounts
    #: The terms on which the key that serves now was contributed; None for the operator's own.
    terms: ContributionTerms | None
    #: The promotion that made its price what it is; empty: none.
    promotion: str = ""

    @property
    def credits_hold(self) -> str:
        """The submission that holds the asker's Credits: the first one, through every attempt."""
        return f"ask/{self.ask}/hold"

    @property
    def quota_hold(self) -> str:
        """The submission that holds the dollars of the key that serves now."""
        return self.credits_hold if self.attempt == 1 else f"ask/{self.ask}/key/{self.attempt}"


def build_settlement(
    open_ask: OpenAsk,
    bill: AskBill,
    *,
    outcome: Outcome,
    delivered_tokens: Tokens,
    answer: bytes | None,
    at_ms: int,
    will_deliver: bool = True,
    watch: Sequence[Account[Credits]] = (),
) -> Submission:
    """`ask/<id>/settle`: done once, only by the process that serves the ask, never above the hold.

    `will_deliver`: the settler is about to deliver it; else anyone may claim it at once. The
    receipt has the balances of the key and of the accounts in `watch`.
    """
    paid = calculate_paid_part(open_ask.drawn, bill.charge)
    entries: list[Entry] = [
        chart.settle_credits(open_ask.credits_hold, bill.charge),
        chart.settle_quota(open_ask.quota_hold, min(bill.cost, open_ask.key_held)),
    ]
    if bill.cost > open_ask.key_held:
        excess = bill.cost - open_ask.key_held
        is_contributed = open_ask.terms is not None
        overrun = chart.book_overrun(
            open_ask.key, open_ask.supplier, excess, contributed=is_contributed
        )
        entries.append(overrun)
    entries += build_vesting(
        open_ask.key, open_ask.terms, asker=open_ask.person, charge=bill.charge, paid=paid
    )
    change: dict[str, object] = {
        "state": "settled",
        "outcome": outcome.value,
        "shown_tokens": delivered_tokens.units,
        "ended_at": at_ms,
        "lease_until": at_ms + DELIVERY_LEASE_SECONDS * 1000 if will_deliver else at_ms,
    }
    if answer is not None:
        change["answer"] = answer
    companions: list[Companion] = [
        Update(
            schema.ask,
            {"id": open_ask.ask},
            change,
            {"state": "open", "owner": open_ask.process_id},
        )
    ]
    if not (bill.charge.is_zero and bill.cost.is_zero):
        companions.append(Insert(schema.usage, _usage_row(open_ask, bill, paid, at_ms)))
    if open_ask.promotion and bill.charge.is_zero:  # what gave nothing uses nothing up
        companions.append(Delete(schema.promotion_use, {"cause": open_ask.ask}))
    return Submission(
        f"ask/{open_ask.ask}/settle",
        tuple(entries),
        tuple(companions),
        watch=(*watch, chart.key_quota(open_ask.key)),
    )


def build_failover(open_ask: OpenAsk, candidate: Candidate, *, cost: NanoUsd) -> Submission:
    """`ask/<id>/key/<n>`: the failed key pays what it may owe, the next key holds; the Credits'
    hold stays."""
    attempt, key, hold = open_ask.attempt + 1, candidate.key, candidate.hold
    change = {"key": key, "key_held": hold.units, "tries": attempt}
    is_contributed = candidate.terms is not None
    expected = {"state": "open", "owner": open_ask.process_id, "tries": open_ask.attempt}
    return Submission(
        f"ask/{open_ask.ask}/key/{attempt}",
        (
            chart.settle_quota(open_ask.quota_hold, min(cost, open_ask.key_held)),
            chart.hold_quota(key, candidate.supplier, hold, contributed=is_contributed),
        ),
        (Update(schema.ask, {"id": open_ask.ask}, change, expected),),
        watch=(chart.key_quota(open_ask.key), chart.key_quota(key)),
    )


def _usage_row(open_ask: OpenAsk, bill: AskBill, paid: Credits, at_ms: int) -> dict[str, object]:
    return {
        "ask": open_ask.ask,
        "person": open_ask.person,
        "at": at_ms,
        "model": open_ask.model,
        "price": open_ask.price,
        "provider": open_ask.supplier,
        "key": open_ask.key,
        "input_tokens": bill.usage.input.units,
        "cached_tokens": bill.usage.cached.units,
        "output_tokens": bill.usage.output.units,
        "seconds": bill.usage.audio.units or None,
        "estimated": bill.is_estimated,
        "charge": bill.charge.units,
        "paid": paid.units,
        "cost": bill.cost.units,
    }


#: After these faults the supplier may have billed, though nothing came: the prompt is booked.
MAYBE_BILLED = frozenset({Fault.TIMEOUT, Fault.NETWORK})


@dataclass(frozen=True, slots=True)
class AnswerEnding:
    """How the stream of an answer ended, before anything is booked."""

    outcome: Outcome
    usage: Usage | None = None
    #: Whether the supplier may have billed though it reported nothing.
    maybe_billed: bool = False
    #: Whether the model was reasoning when it was cut off: tokens that we can't count were spent.
    was_reasoning: bool = False
    failure: AskFailure = AskFailure.NONE


@dataclass(frozen=True, slots=True)
class AskBill:
    """What is booked for an ask: its usage, Credits charged, nano-dollars of cost."""

    usage: Usage
    charge: Credits
    cost: NanoUsd
    #: Whether the figures are our own counts.
    is_estimated: bool


def is_plausible(usage: Usage, *, model: Model, quote: Quote, text: str) -> bool:
    """Whether a supplier's usage can be true, beside our own count of prompt and answer."""
    max_input = 2 * quote.prompt_tokens.units + 256
    max_output = quote.answer_limit.units + quote.answer_limit.units // 10 + 64
    if not model.thinking:
        max_output = min(max_output, len(text.encode()) + 64)
    return 0 <= usage.input.units <= max_input and 0 <= usage.output.units <= max_output


def calculate_bill(
    ending: AnswerEnding,
    *,
    quote: Quote,
    route: Route,
    costs: Costs,
    at_ms: int,
    text: str,
    delivered_tokens: Tokens,
    key_held: NanoUsd,
) -> AskBill:
    """The bill of an ending; `delivered_tokens` is our count of `text`. Never more Credits than
    were held."""
    usage = ending.usage or Usage(quote.prompt_tokens, delivered_tokens)
    is_estimated = ending.usage is None
    charge = Credits(0)
    if text:
        charge = min(quote.price.calculate_charge(usage.input, usage.output), quote.max_charge)
    if is_estimated and ending.was_reasoning:
        cost = key_held
    elif is_estimated and not text and not ending.maybe_billed:
        usage, cost = Usage(Tokens(0), Tokens(0)), NanoUsd(0)
    else:
        cost = costs.calculate_call_cost(route, usage, at_ms)
    return AskBill(usage, charge, cost, is_estimated)


def calculate_recording_bill(
    ending: AnswerEnding,
    *,
    quote: Quote,
    length: Seconds,
    route: Route,
    costs: Costs,
    at_ms: int,
    text: str,
) -> AskBill:
    """The bill for audio of a `length` as the platform reported it; never more than was held."""
    no_tokens = Tokens(0)
    billed_length = length if ending.usage is None else min(ending.usage.audio, quote.max_audio)
    charge = (
        min(quote.price.calculate_audio_charge(billed_length), quote.max_charge)
        if text
        else Credits(0)
    )
    if ending.usage is None and not text and not ending.maybe_billed:
        billed_length = Seconds(0)
    return AskBill(
        Usage(no_tokens, no_tokens, audio=billed_length),
        charge,
        costs.calculate_audio_cost(route, billed_length, at_ms),
        is_estimated=ending.usage is None,
    )
