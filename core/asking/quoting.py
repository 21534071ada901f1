"""The quote: counted prompt and answer limit → the most that an ask can cost (design § Prices)."""

from __future__ import annotations

from core.asking.types import NotEnoughCredits, QuestionTooLong, Quote
from core.pricing import Model, Price
from core.units import Credits, Tokens

#: A shorter answer than this is not worth beginning; a smaller balance is told what it would need.
USEFUL_ANSWER = Tokens(200)


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


def _affordable(price: Price, prompt: Tokens, have: Credits) -> Tokens:
    """The longest answer whose price, prompt included, is within `have`."""
    rest = have.units * 1_000_000 - prompt.units * price.input_rate.units
    return Tokens(max(0, rest // price.output_rate.units)) if price.output_rate.units else Tokens(0)
