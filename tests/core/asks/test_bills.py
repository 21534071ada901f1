"""The two bills of an ask, whatever a supplier tells: nobody pays above what was held, a person
never for what they can't have seen, a contributed key never above its hold.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from core.asks.quotes import quote_question, quote_recording
from core.asks.settlement import (
    AnswerEnding,
    calculate_bill,
    calculate_recording_bill,
    is_plausible,
    raise_low_counts,
)
from core.asks.types import NotEnoughCredits, Outcome, Quote
from core.money import Credits, MicroCredits, Seconds, Tokens
from core.pool.providers.types import Usage
from core.pool.types import Candidate, ContributionTerms
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs
from core.pricing.prices import Price

CATALOGUE, COSTS = Catalogue.load(None), Costs.load(None)
MODELS = [model for model in CATALOGUE.models.values() if model.per == "token"]
# Read once here: the first question would take longer than an example may.
COSTS.preload()
AT_MS = 1_795_000_000_000
COUNTS = st.one_of(st.integers(0, 5_000), st.integers(0, 100_000_000))


@st.composite
def told_usages(draw: st.DrawFn) -> Usage | None:
    if draw(st.booleans()) and draw(st.booleans()):
        return None
    prompt = draw(COUNTS)
    cached = draw(st.integers(0, prompt))
    written = draw(st.integers(0, prompt - cached))
    return Usage(Tokens(prompt), Tokens(draw(COUNTS)), Tokens(cached), Tokens(written))


def make_quote(prompt: int, limit: int) -> Quote:
    rates = MicroCredits(3_000), MicroCredits(9_000)
    price = Price("prc_1", "m", "token", *rates, effective_at=0, set_by="test")
    held = price.calculate_charge(Tokens(prompt), Tokens(limit))
    return Quote(price, Tokens(prompt), Tokens(0), Tokens(limit), held)


def test_nothing_is_no_count_of_a_prompt_or_a_text() -> None:
    ours = Usage(Tokens(30), Tokens(2))
    assert raise_low_counts(Usage(Tokens(30), Tokens(0)), ours, "Yes.") == ours
    assert raise_low_counts(Usage(Tokens(0), Tokens(2)), ours, "Yes.") == ours
    nothing = Usage(Tokens(30), Tokens(0))
    assert raise_low_counts(Usage(Tokens(0), Tokens(0)), nothing, "") == nothing


def test_a_contribution_pays_no_more_than_was_held_where_nothing_was_told() -> None:
    quote, model = make_quote(30, 2_000), MODELS[0]
    route = model.routes[0]
    held = COSTS.calculate_max_cost(route, quote.prompt_tokens, quote.answer_limit, AT_MS)
    terms = ContributionTerms("usr_1", Credits(0), "")
    bills = [
        calculate_bill(
            AnswerEnding(Outcome.LENGTH),
            model=model,
            quote=quote,
            candidate=Candidate("key_1", route.provider, route, held, given),
            costs=COSTS,
            at_ms=AT_MS,
            text="word " * 9_000,
            delivered_tokens=Tokens(9_000),
        )
        for given in (terms, None)
    ]
    assert bills[0].cost == held < bills[1].cost
    assert {bill.charge for bill in bills} == {quote.max_charge}


@given(
    heard=st.one_of(st.none(), st.integers(0, 1_000_000)),
    length=st.integers(1, 3_600),
    text=st.sampled_from(("", "Hello.")),
    maybe_billed=st.booleans(),
    contributed=st.booleans(),
)
def test_audio_costs_its_asker_what_was_held_and_its_key_what_was_heard(
    heard: int | None, length: int, text: str, maybe_billed: bool, contributed: bool
) -> None:
    rate = MicroCredits(33_333)
    price = Price("prc_1", "whisper-1", "second", rate, rate, effective_at=0, set_by="test")
    available = Credits(1_000_000)
    model = CATALOGUE.models["whisper-1"]
    quote = quote_recording(
        model=model, price=price, length=Seconds(length), available=available, held=Credits(0)
    )
    route = model.routes[0]
    held = COSTS.calculate_audio_cost(route, quote.max_audio, AT_MS)
    terms = ContributionTerms("usr_1", Credits(0), "") if contributed else None
    used = None if heard is None else Usage(Tokens(0), Tokens(0), audio=Seconds(heard))
    bill = calculate_recording_bill(
        AnswerEnding(Outcome.DONE, usage=used, maybe_billed=maybe_billed),
        quote=quote,
        length=Seconds(length),
        candidate=Candidate("key_1", "openai", route, held, terms),
        costs=COSTS,
        at_ms=AT_MS,
        text=text,
    )
    assert bill.charge <= quote.max_charge
    assert bill.charge.is_zero == (not text)
    if heard is not None:
        cost = COSTS.calculate_audio_cost(route, Seconds(heard), AT_MS)
        assert bill.cost == (min(cost, held) if contributed else cost)
    else:
        is_billed = bool(text) or maybe_billed
        assert bill.usage.audio == Seconds(length if is_billed else 0)


@given(
    told=told_usages(),
    model=st.sampled_from(MODELS),
    prompt=st.integers(1, 4_000),
    text=st.text(st.sampled_from("ab 天😀"), max_size=3_000),
    was_reasoning=st.booleans(),
    contributed=st.booleans(),
)
def test_nobody_pays_for_what_cannot_be_true(
    told: Usage | None,
    model: Model,
    prompt: int,
    text: str,
    was_reasoning: bool,
    contributed: bool,
) -> None:
    quote = make_quote(prompt, 2_000)
    counted = Tokens(min(2_000, -(-len(text) // 4)))
    route = model.routes[0]
    held = COSTS.calculate_max_cost(route, quote.prompt_tokens, quote.answer_limit, AT_MS)
    terms = ContributionTerms("usr_1", Credits(0), "") if contributed else None
    candidate = Candidate("key_1", route.provider, route, held, terms)
    bill = calculate_bill(
        AnswerEnding(Outcome.DONE, usage=told, was_reasoning=was_reasoning),
        model=model,
        quote=quote,
        candidate=candidate,
        costs=COSTS,
        at_ms=AT_MS,
        text=text,
        delivered_tokens=counted,
    )
    assert Credits(0) <= bill.charge <= quote.max_charge
    assert bill.charge.is_zero == (not text)
    if contributed:
        assert bill.cost <= held
    if told is None:
        assert bill.is_estimated
        return
    plausible = is_plausible(told, model=model, quote=quote, text=text, was_reasoning=was_reasoning)
    ours = quote.price.calculate_charge(quote.prompt_tokens, counted)
    if text and not plausible:
        assert bill.charge <= ours
    possible = raise_low_counts(told, Usage(quote.prompt_tokens, counted), text)
    assert possible.input >= told.input
    assert possible.output >= told.output
    if possible == told and plausible:
        assert not bill.is_estimated
        if not contributed:
            assert bill.cost == COSTS.calculate_call_cost(route, told, AT_MS)
    # A key pays at least a part of what can be true, however little is told.
    least = Usage(told.input, Tokens(counted.units // 4), told.cached, told.cache_written)
    if len(text) >= 200 and not contributed and least.input.units <= model.context.units:
        assert bill.cost >= COSTS.calculate_call_cost(route, least, AT_MS)


@pytest.mark.parametrize(
    ("available", "limit"), [(1_000, 8_000), (19, 2_100), (18, 2_000), (17, None)]
)
def test_a_model_that_thinks_is_not_asked_below_a_useful_limit(
    available: int, limit: int | None
) -> None:
    model = replace(MODELS[0], thinking=True, answer_limit=Tokens(8_000), context=Tokens(100_000))
    price = make_quote(1, 1).price

    def quote(has_more_room: bool = False) -> Quote:
        return quote_question(
            model=model,
            price=price,
            prompt_tokens=Tokens(0),
            picture_tokens=Tokens(0),
            history_tokens=Tokens(0),
            omitted_turns=0,
            available=Credits(available),
            held=Credits(0),
            has_more_room=has_more_room,
        )

    if limit is None:
        with pytest.raises(NotEnoughCredits) as refused:
            quote()
        assert refused.value.needed == Credits(18)
        return
    assert quote().answer_limit.units // 100 * 100 == limit
    assert quote(has_more_room=True).answer_limit.units == (
        16_000 if limit == 8_000 else quote().answer_limit.units
    )


def test_thoughts_that_are_told_apart_make_no_estimate() -> None:
    model, text = MODELS[0], "Because. " * 40
    quote = make_quote(100, 2_000)
    route = model.routes[0]
    held = COSTS.calculate_max_cost(route, quote.prompt_tokens, quote.answer_limit, AT_MS)
    told = Usage(quote.prompt_tokens, Tokens(300), reasoning=Tokens(200))
    bill = calculate_bill(
        AnswerEnding(Outcome.DONE, usage=told, was_reasoning=True),
        model=model,
        quote=quote,
        candidate=Candidate("key_1", route.provider, route, held),
        costs=COSTS,
        at_ms=AT_MS,
        text=text,
        delivered_tokens=Tokens(90),
    )
    assert (bill.usage, bill.is_estimated) == (told, False)
