"""Settlement: an ask's end, its charge, the key's dollars, the usage row and the text, all in one
submission. What an ending costs is one table, from how the ask ended to Credits and dollars:

ending                              the asker pays              the key pays
done, length, filtered with usage   by usage, within the hold   by usage
the same with one that can't be     the lower of it and our     by usage, but not less than our
true of what they saw               count                       count where it is far too low
the same without usage              by our count                by our count
stopped, broken, timed out, lost    what was delivered; over    what was delivered; all that is held
                                    the API nothing, unless     when the model was reasoning
                                    its caller stopped it, or
                                    held it up
nothing delivered, any ending       nothing                     usage if reported; the prompt, if
                                                                it may have been billed; else 0

Audio is billed by the length that its supplier reports, else by our count: the asker pays at most
what was held, and nothing where nothing was said; the key pays what its supplier heard, a
contributed one at most what was held. How much more that is than what was held stays on record: see
`AUDIO_DOUBT`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core import chart
from core.api_tokens.caps import build_cap_release
from core.asks.api_calls import TokenCap
from core.asks.types import AskFailure, Outcome, Quote
from core.asks.unpaid_work import UnpaidCause, insert_unpaid_work
from core.db import schema
from core.db.writes import Companion, Insert, Update
from core.earnings.contributions import DrawnAmounts, build_vesting, calculate_paid_part
from core.ledger.types import Account, Entry, Submission
from core.money import NO_TOKENS, Credits, NanoUsd, Seconds, Tokens
from core.pool.providers.types import Fault, Usage
from core.pool.types import Candidate, ContributionTerms
from core.pricing.catalogue import Model
from core.pricing.costs import Costs
from core.pricing.promotions import release_use

#: Whoever settles an ask, or claims its delivery, has this long to deliver it before others may.
DELIVERY_LEASE_SECONDS = 120


_NO_CREDITS = Credits(0)


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
    #: Of an ask by a program: its token and day, and the Credits held, which count there.
    cap: TokenCap | None = None
    held: Credits = _NO_CREDITS

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
    unpaid_cause: UnpaidCause | None = None,
    will_deliver: bool = True,
    watch: Sequence[Account[Credits]] = (),
    also: Sequence[Companion] = (),
) -> Submission:
    """`ask/<id>/settle`: done once, only by the process that serves the ask, never above the hold.

    `unpaid_cause`: why its asker doesn't pay for work that they caused. `will_deliver`: the settler
    is about to deliver it; else anyone may claim it at once. The receipt has the balances of the
    key and of the accounts in `watch`. `also` is written with it.
    """
    paid = calculate_paid_part(open_ask.drawn, bill.charge)
    change: dict[str, object] = {
        "state": "settled",
        "outcome": outcome.value,
        "shown_tokens": delivered_tokens.units,
        "ended_at": at_ms,
        "lease_until": at_ms + DELIVERY_LEASE_SECONDS * 1000 if will_deliver else at_ms,
    }
    if answer is not None:
        change["answer"] = answer
    if open_ask.cap is not None:  # its answer went to the program, and is shown nowhere else
        change["landed_at"] = at_ms
    expected = {"state": "open", "owner": open_ask.process_id}
    companions: list[Companion] = [Update(schema.ask, {"id": open_ask.ask}, change, expected)]
    if not (bill.charge.is_zero and bill.cost.is_zero):
        companions.append(Insert(schema.usage, _usage_row(open_ask, bill, paid, at_ms)))
    if unpaid_cause is not None:
        unpaid_cost = _calculate_unpaid_cost(bill, open_ask.key_held)
        companions.append(
            insert_unpaid_work(open_ask.ask, open_ask.person, unpaid_cause, unpaid_cost, at_ms)
        )
    if open_ask.cap is not None and bill.charge < open_ask.held:
        unspent = open_ask.held - bill.charge
        companions.append(build_cap_release(open_ask.cap.token, open_ask.cap.day, unspent))
    if open_ask.promotion and bill.charge.is_zero:  # what gave nothing uses nothing up
        companions.append(release_use(open_ask.ask))
    return Submission(
        f"ask/{open_ask.ask}/settle",
        _build_entries(open_ask, bill, paid),
        (*companions, *also),
        watch=(*watch, chart.key_quota(open_ask.key)),
    )


def _build_entries(open_ask: OpenAsk, bill: AskBill, paid: Credits) -> tuple[Entry, ...]:
    """What moves: the charge, the key's dollars, what of a contribution vests."""
    entries: list[Entry] = [
        chart.settle_credits(open_ask.credits_hold, bill.charge),
        chart.settle_quota(open_ask.quota_hold, min(bill.cost, open_ask.key_held)),
    ]
    if bill.cost > open_ask.key_held:
        excess = bill.cost - open_ask.key_held
        is_contributed = open_ask.terms is not None
        overrun = chart.book_overrun(
            open_ask.key,
            open_ask.supplier,
            excess,
            contributed=is_contributed,
            quota_pays=not bill.is_excess_doubted,
        )
        entries.append(overrun)
    entries += build_vesting(
        open_ask.key, open_ask.terms, asker=open_ask.person, charge=bill.charge, paid=paid
    )
    return tuple(entries)


def _calculate_unpaid_cost(bill: AskBill, held: NanoUsd) -> NanoUsd:
    """What an answer that nobody pays for cost by its asker's doing. Their audio is as long as it
    was held for: a supplier that says more is mistaken."""
    if not bill.charge.is_zero:
        return NanoUsd(0)
    return bill.cost if bill.usage.audio.is_zero else min(bill.cost, held)


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
        "picture_tokens": bill.picture_tokens.units or None,
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
    """What is booked for an ask: the usage that its person pays, Credits charged, nano-dollars that
    the key pays."""

    usage: Usage
    charge: Credits
    cost: NanoUsd
    #: Whether some of the figures are our own counts.
    is_estimated: bool
    #: Whether what exceeds the hold is the word of a supplier that can't be true: it is an overrun,
    #: and takes nothing of what the key has left.
    is_excess_doubted: bool = False
    #: What of the usage's uncached input are pictures, by our count.
    picture_tokens: Tokens = NO_TOKENS


def is_plausible(
    usage: Usage, *, model: Model, quote: Quote, text: str, was_reasoning: bool = False
) -> bool:
    """Whether a supplier's usage can be true of what the person sent and saw, beside our own count
    of both. Models that reason, known as such or seen to, use what nobody sees."""
    max_input = 2 * quote.prompt_tokens.units + 256
    max_output = quote.answer_limit.units + quote.answer_limit.units // 10 + 64
    if not (model.thinking or was_reasoning):
        max_output = min(max_output, len(text.encode()) + 64)
    return 0 <= usage.input.units <= max_input and 0 <= usage.output.units <= max_output


#: Below so many characters a count may be small for many reasons.
_COUNTABLE_CHARACTERS = 200
#: A token has about so many characters at least, where text is long enough to be judged.
_COUNTABLE_TOKENS = Tokens(_COUNTABLE_CHARACTERS // 4)


def raise_low_counts(told: Usage, ours: Usage, text: str) -> Usage:
    """What a supplier will bill at least: where it told less than can be true (nothing, or under a
    quarter of our count of a text long enough to be judged), our count stands."""
    input_tokens, output_tokens = told.input, told.output
    is_prompt_long = ours.input >= _COUNTABLE_TOKENS
    if told.input.is_zero or (is_prompt_long and 4 * told.input.units < ours.input.units):
        input_tokens = ours.input
    is_text_long = len(text) >= _COUNTABLE_CHARACTERS
    if told.output.is_zero or (is_text_long and 4 * told.output.units < ours.output.units):
        output_tokens = ours.output
    if (input_tokens, output_tokens) == (told.input, told.output):
        return told
    return replace(told, input=input_tokens, output=output_tokens)


def calculate_bill(
    ending: AnswerEnding,
    *,
    model: Model,
    quote: Quote,
    candidate: Candidate,
    costs: Costs,
    at_ms: int,
    text: str,
    delivered_tokens: Tokens,
) -> AskBill:
    """The two bills of an ending, judged apart; `delivered_tokens` is our count of `text`.

    The person pays by what was told where that can be true of what they sent and saw, else by the
    lower of it and our count; never more Credits than were held. The key pays what its supplier
    will bill: what was told, more also (hidden thinking, a gateway's own prompt), but not less than
    can be true, and not more than a call can have used.
    """
    ours, told = _count_usage(quote, candidate, delivered_tokens), ending.usage
    if told is None:
        return _calculate_estimated_bill(ending, ours, quote, candidate, costs, at_ms, text)
    is_true = is_plausible(
        told, model=model, quote=quote, text=text, was_reasoning=ending.was_reasoning
    )
    seen = told
    if not is_true:
        seen = Usage(min(told.input, ours.input), min(told.output, ours.output))
    # A picture may count as far less than it counts as at most.
    billed = raise_low_counts(told, Usage(quote.text_tokens, delivered_tokens), text)
    context = model.context
    most = max(context, ours.input)
    possible = Usage(
        input=min(billed.input, most),
        output=min(billed.output, max(context, quote.answer_limit)),
        cached=min(billed.cached, most),
        cache_written=min(billed.cache_written, most - min(billed.cached, most)),
        audio=billed.audio,
    )
    cost = _cap_cost(costs.calculate_call_cost(candidate.route, possible, at_ms), candidate)
    pictures = _limit_pictures(quote, candidate, seen)
    return AskBill(
        seen,
        _calculate_charge(quote, seen, text, pictures),
        cost,
        is_estimated=seen != told or billed != told,
        is_excess_doubted=not is_true,
        picture_tokens=pictures,
    )


def _count_usage(quote: Quote, candidate: Candidate, delivered_tokens: Tokens) -> Usage:
    """Our own count, with pictures as the supplier that served counts them at most."""
    return Usage(quote.count_prompt(candidate.route), delivered_tokens)


def _count_pictures(quote: Quote, candidate: Candidate) -> Tokens:
    return quote.count_prompt(candidate.route) - quote.text_tokens


def _limit_pictures(quote: Quote, candidate: Candidate, usage: Usage) -> Tokens:
    """What of a usage's uncached input are pictures: suppliers don't tell."""
    return min(_count_pictures(quote, candidate), usage.input - min(usage.cached, usage.input))


def _calculate_estimated_bill(
    ending: AnswerEnding,
    ours: Usage,
    quote: Quote,
    candidate: Candidate,
    costs: Costs,
    at_ms: int,
    text: str,
) -> AskBill:
    """The bill where no usage was told."""
    pictures = _count_pictures(quote, candidate)
    charge = _calculate_charge(quote, ours, text, pictures)
    if ending.was_reasoning:
        return AskBill(ours, charge, candidate.hold, is_estimated=True, picture_tokens=pictures)
    if not text and not ending.maybe_billed:
        return AskBill(Usage(Tokens(0), Tokens(0)), charge, NanoUsd(0), is_estimated=True)
    cost = _cap_cost(costs.calculate_call_cost(candidate.route, ours, at_ms), candidate)
    return AskBill(ours, charge, cost, is_estimated=True, picture_tokens=pictures)


def _cap_cost(cost: NanoUsd, candidate: Candidate) -> NanoUsd:
    """What a key pays: nobody's contribution pays more than was held on it."""
    return cost if candidate.terms is None else min(cost, candidate.hold)


def _calculate_charge(quote: Quote, usage: Usage, text: str, pictures: Tokens) -> Credits:
    if not text:
        return Credits(0)
    charge = quote.price.calculate_charge(
        usage.input, usage.output, cached=usage.cached, pictures=pictures
    )
    return min(charge, quote.max_charge)


#: A supplier that heard so much more than was held had other audio before it than was counted:
#: operators are alerted, and the asker's audio is refused for the rest of the day. Suppliers that
#: bill a least length (ten seconds) stay below it.
AUDIO_DOUBT = Seconds(30)


def calculate_recording_bill(
    ending: AnswerEnding,
    *,
    quote: Quote,
    length: Seconds,
    candidate: Candidate,
    costs: Costs,
    at_ms: int,
    text: str,
) -> AskBill:
    """The two bills for audio of a `length` as it was counted; `AskBill.usage` is what its supplier
    heard."""
    no_tokens = Tokens(0)
    heard = length if ending.usage is None else ending.usage.audio
    charge = Credits(0)
    if text:
        paid_length = min(heard, quote.max_audio)
        charge = min(quote.price.calculate_audio_charge(paid_length), quote.max_charge)
    if ending.usage is None and not text and not ending.maybe_billed:
        heard = Seconds(0)
    cost = _cap_cost(costs.calculate_audio_cost(candidate.route, heard, at_ms), candidate)
    usage = Usage(no_tokens, no_tokens, audio=heard)
    return AskBill(usage, charge, cost, is_estimated=ending.usage is None)
