"""Quotes: the most that a question or a recording can cost, within what its asker can pay."""

from __future__ import annotations

from core.asks.types import NotEnoughCredits, QuestionTooLong, Quote, RecordingTooLong
from core.money import Credits, Seconds, Tokens
from core.pricing.catalogue import Model
from core.pricing.prices import Price

#: A shorter answer than this is not worth starting: a smaller balance is refused, and told what it
#: would need.
MIN_ANSWER_TOKENS = Tokens(200)
#: The same of models that think: below it they are likely to use it up before they write anything.
MIN_THINKING_TOKENS = Tokens(2_000)
#: So many times the usual limit, where that was used up before anything was written.
_MORE_ROOM = 2

#: Audio longer than this is not taken.
RECORDING_SECONDS_MAX = Seconds(3_600)
#: A supplier may count more seconds than the platform reported: a twentieth and this are held too.
_AUDIO_MARGIN = Seconds(2)


def quote_question(
    *,
    model: Model,
    price: Price,
    prompt_tokens: Tokens,
    history_tokens: Tokens,
    picture_tokens: Tokens,
    omitted_turns: int,
    available: Credits,
    held: Credits,
    has_more_room: bool = False,
    asked_limit: Tokens | None = None,
    min_limit: Tokens | None = None,
) -> Quote:
    """What this may cost at most, with the answer limit shrunk to what the balance can pay.

    `available` is free to spend, `held` is held by other asks, in Credits. `asked_limit` is the
    longest answer where the asker names it, `min_limit` what it may be shrunk to. Raises
    `QuestionTooLong` when the model has no room to answer, `NotEnoughCredits` when the balance
    can't pay for a useful answer.
    """
    room = model.calculate_answer_room(prompt_tokens)
    if room < MIN_ANSWER_TOKENS:
        raise QuestionTooLong(model, prompt_tokens)
    usual = Tokens(model.answer_limit.units * (_MORE_ROOM if has_more_room else 1))
    usual_limit = min(usual if asked_limit is None else asked_limit, room)

    def charge(limit: Tokens) -> Credits:
        return price.calculate_max_charge(prompt_tokens, limit, pictures=picture_tokens)

    max_charge = charge(usual_limit)
    if max_charge.units <= available.units:
        return Quote(price, prompt_tokens, history_tokens, usual_limit, max_charge, omitted_turns)
    limit = _max_affordable_answer(price, prompt_tokens, picture_tokens, available)
    min_limit = min(find_min_answer(model) if min_limit is None else min_limit, usual_limit)
    if limit.units < min_limit.units:
        raise NotEnoughCredits(
            model, price, charge(min_limit), available, held, payable_limit=limit
        )
    return Quote(
        price,
        prompt_tokens,
        history_tokens,
        limit,
        charge(limit),
        omitted_turns,
        shortened=True,
    )


def find_min_answer(model: Model) -> Tokens:
    """The shortest answer that is worth asking this model for."""
    return MIN_THINKING_TOKENS if model.thinking else MIN_ANSWER_TOKENS


def quote_recording(
    *, model: Model, price: Price, length: Seconds, available: Credits, held: Credits
) -> Quote:
    """What writing this down may cost at most: its length and a margin, or as much of the margin
    as the balance can pay. Raises `RecordingTooLong`, `NotEnoughCredits`."""
    if length > RECORDING_SECONDS_MAX:
        raise RecordingTooLong(length, RECORDING_SECONDS_MAX)
    min_charge = price.calculate_audio_charge(length)
    if min_charge > available:
        raise NotEnoughCredits(model, price, min_charge, available, held)
    max_length = length + length.share_up(1, 20) + _AUDIO_MARGIN
    max_charge = min(price.calculate_audio_charge(max_length), available)
    no_tokens = Tokens(0)
    return Quote(price, no_tokens, no_tokens, no_tokens, max_charge, max_audio=max_length)


def _max_affordable_answer(
    price: Price, prompt_tokens: Tokens, picture_tokens: Tokens, available: Credits
) -> Tokens:
    """The longest answer whose price, prompt included, is within `available`."""
    dearer = max(0, price.percents.picture - 100) * picture_tokens.units
    hundredths = 100 * prompt_tokens.units + dearer
    remaining_micro = available.units * 1_000_000 - -(-hundredths * price.input_rate.units // 100)
    return (
        Tokens(max(0, remaining_micro // price.output_rate.units))
        if price.output_rate.units
        else Tokens(0)
    )
