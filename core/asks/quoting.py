"""The quote: counted prompt and answer limit → the most that an ask can cost (design § Prices)."""

from __future__ import annotations

from core.asks.types import NotEnoughCredits, QuestionTooLong, Quote, RecordingTooLong
from core.money import Credits, Seconds, Tokens
from core.pricing.catalogue import Model
from core.pricing.prices import Price

#: A shorter answer than this is not worth beginning; a smaller balance is told what it would need.
USEFUL_ANSWER = Tokens(200)

#: Audio longer than this is not taken.
RECORDING_SECONDS_MAX = Seconds(3_600)
#: A supplier may hear more than the platform told: a twentieth and this are held beside it.
_MARGIN = Seconds(2)


def quote(
    *,
    model: Model,
    price: Price,
    prompt: Tokens,
    history: Tokens,
    left_out: int,
    have: Credits,
    held: Credits,
) -> Quote:
    """What this may cost at most, with the answer limit shrunk to what the balance can pay.

    `have` is free to spend, `held` reserved elsewhere. Raises `QuestionTooLong` when the model has
    no room to answer, `NotEnoughCredits` when the balance can't pay for a useful answer.
    """
    room = model.context.units - prompt.units
    if room < USEFUL_ANSWER.units:
        raise QuestionTooLong(model, prompt)
    usual = Tokens(min(model.answer_limit.units, room))
    most = price.charge(prompt, usual)
    if most.units <= have.units:
        return Quote(price, prompt, history, usual, most, left_out)
    limit = _affordable(price, prompt, have)
    useful = Tokens(min(USEFUL_ANSWER.units, usual.units))
    if limit.units < useful.units:
        raise NotEnoughCredits(model, price, price.charge(prompt, useful), have, held)
    return Quote(
        price, prompt, history, limit, price.charge(prompt, limit), left_out, shortened=True
    )


def quote_recording(
    *, model: Model, price: Price, length: Seconds, have: Credits, held: Credits
) -> Quote:
    """What writing this down may cost at most: its length and a margin, or as much of the margin
    as the balance can pay. Raises `RecordingTooLong`, `NotEnoughCredits`."""
    if length > RECORDING_SECONDS_MAX:
        raise RecordingTooLong(length, RECORDING_SECONDS_MAX)
    least = price.charge_seconds(length)
    if least > have:
        raise NotEnoughCredits(model, price, least, have, held)
    longest = length + length.share_up(1, 20) + _MARGIN
    most = min(price.charge_seconds(longest), have)
    none = Tokens(0)
    return Quote(price, none, none, none, most, audio=longest)


def _affordable(price: Price, prompt: Tokens, have: Credits) -> Tokens:
    """The longest answer whose price, prompt included, is within `have`."""
    rest = have.units * 1_000_000 - prompt.units * price.input_rate.units
    return Tokens(max(0, rest // price.output_rate.units)) if price.output_rate.units else Tokens(0)
