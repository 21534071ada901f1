"""What an ending costs: the one table from how an ask ended to Credits and supplier dollars.

ending                              the asker pays              the key pays
done, length, filtered with usage   by usage, within the hold   by usage
the same without usage              by our count                by our count
stopped, broken, timed out, lost    what was shown              what was shown; all that is held
                                                                when the model was thinking
nothing shown, whatever the ending  nothing                     usage if told; the prompt, if the
                                                                call may have been billed; else 0

Audio is billed by the length that its supplier tells, else by the platform's, and is believed up to
the length that was held; where nothing was said, nothing is paid.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.asks.types import Outcome, Quote, Trouble
from core.money import Credits, NanoUsd, Seconds, Tokens
from core.pool.providers.types import Fault, Usage
from core.pricing.catalogue import Model, Route
from core.pricing.costs import Costs

#: After these the supplier may have worked, though nothing came: its prompt price is booked.
MAYBE_BILLED = frozenset({Fault.TIMEOUT, Fault.NETWORK})


@dataclass(frozen=True, slots=True)
class Ending:
    """How the stream ended, before anything is booked."""

    outcome: Outcome
    usage: Usage | None = None
    #: The supplier may have billed though it told nothing.
    maybe_billed: bool = False
    #: It was thinking when it was cut off: tokens that we can't count were spent.
    thinking: bool = False
    trouble: Trouble = Trouble.NONE


@dataclass(frozen=True, slots=True)
class Bill:
    """What is booked for an ask."""

    usage: Usage
    charge: Credits
    cost: NanoUsd
    #: The figures are our own counts.
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
    """The bill of an ending; `shown` is our count of `text`. Never more Credits than were held."""
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
    """The bill for audio of a `length` as the platform told it; never more than was held."""
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
