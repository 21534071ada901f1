"""Sentences that several commands share: amounts, prices, and how an answer ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bots.chat.reply import Phrase, plain, say, say_count
from core.asks.run import AskRun
from core.asks.types import AskFailure, AskResult, Outcome, QuestionSource
from core.money import (
    NO_TOKENS,
    Credits,
    MicroCredits,
    Seconds,
    Stars,
    Tokens,
    format_decimal,
    format_usd,
)
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Model
from core.pricing.prices import Price
from payments.types import Cash


def format_credits(amount: Credits) -> Phrase:
    """`1 Credit`, `1,234 Credits`."""
    if amount.units == 1:
        return say("1 Credit")
    return say("{amount} Credits", amount=amount)


def format_cash(amount: Cash) -> str:
    """`$10.00` or `1,540 ⭐`."""
    if isinstance(amount, Stars):
        return f"{amount.units:,} ⭐"
    return format_usd(amount)


def _group_digits(number: str) -> str:
    """`1000.5` → `1,000.5`."""
    whole, point, fraction = number.partition(".")
    return f"{int(whole):,}{point}{fraction}"


def format_price(price: Price) -> Phrase:
    """`5 Credits / 1K tokens`, or both sides where they differ; `2 Credits / minute` of audio."""
    if price.per == "second":
        minute = _group_digits(price.format_per_minute())
        return say("{price} Credits / minute", price=minute)
    inward, outward = map(_group_digits, price.format_per_1k())
    if inward == outward:
        return say("{price} Credits / 1K tokens", price=inward)
    return say("{inward} in · {outward} out, Credits / 1K tokens", inward=inward, outward=outward)


def format_percent(percent: int, *, signed: bool = False) -> Phrase:
    """`66 %`; signed `+66 %`, `−21 %`, `0 %`."""
    number = f"{percent:+,}" if signed and percent else f"{percent:,}"
    return say("{percent} %", percent=number.replace("-", "−"))


def format_short_price(price: Price) -> Phrase:
    """`5`, `5 · 15`, `2/min`."""
    if price.per == "second":
        return plain(f"{_group_digits(price.format_per_minute())}/min")
    inward, outward = map(_group_digits, price.format_per_1k())
    return plain(inward if inward == outward else f"{inward} · {outward}")


#: An average answer is taken as 1K tokens, a third of them out.
_AVERAGE_ANSWER_TOKENS = (Tokens(667), Tokens(333))


def compute_average_charge(price: Price, answers: int = 1) -> Credits:
    """What so many average answers cost together: rounded up once."""
    prompt, answer = _AVERAGE_ANSWER_TOKENS
    return price.calculate_charge(Tokens(prompt.units * answers), Tokens(answer.units * answers))


def format_footer_line(result: AskResult, model: str) -> Phrase:
    """Under an answer: model · tokens (of them history), or seconds · Credits · left."""
    tokens = result.prompt_tokens + result.output_tokens
    counted = say("{tokens} tokens", tokens=tokens)
    if result.audio is not None:
        counted = say("{seconds} s of audio", seconds=result.audio)
    elif result.history_tokens.units:
        counted = _format_tokens_with_history(result, tokens)
    charged = format_credits(result.charge)
    if result.remaining_credits is None:
        return say("{model} · {tokens} · {charge}", model=model, tokens=counted, charge=charged)
    return say(
        "{model} · {tokens} · {charge} · {left} left",
        model=model,
        tokens=counted,
        charge=charged,
        left=result.remaining_credits,
    )


def _format_tokens_with_history(result: AskResult, tokens: Tokens) -> Phrase:
    """How much of it was history, and what that cost, to the hundredth of a Credit."""
    price = result.history_charge
    hundredths = 0 if price is None else (price.units + 5_000) // 10_000
    if not hundredths or not result.charge.units:
        return say(
            "{tokens} tokens ({history} of them history)",
            tokens=tokens,
            history=result.history_tokens,
        )
    return say(
        "{tokens} tokens ({history} of them history, ≈ {cost} Credits)",
        tokens=tokens,
        history=result.history_tokens,
        cost=format_decimal(MicroCredits(hundredths * 10_000)),
    )


_SOURCES = {
    "reply": say("the message that you replied to"),
    "quote": say("the words that you quoted"),
    "forward": say("the message that you forwarded"),
}


def describe_sources(sources: Sequence[QuestionSource]) -> Phrase:
    """What went along with a question: `Read with it: notes.md, the words that you quoted`."""
    return say("Read with it: {what}", what=join_phrases(name_sources(sources)))


def name_sources(sources: Sequence[QuestionSource]) -> list[Phrase]:
    """Each by its name, pictures that have none together."""
    unnamed = sum(one.kind == "picture" and not one.name for one in sources)
    named = []
    for one in dict.fromkeys(sources):
        if one.kind == "picture" and not one.name:
            named.append(_name_pictures(unnamed))
        else:
            is_file = one.kind in {"file", "picture"}
            named.append(_name_file(one) if is_file else _SOURCES[one.kind])
    return named


def _name_pictures(count: int) -> Phrase:
    """Pictures that have no names."""
    return (
        say("your picture")
        if count == 1
        else say_count("{count} picture", "{count} pictures", count)
    )


def describe_files_along(run: AskRun) -> Phrase | None:
    """Which files go along with questions that follow, and what that costs; None: none do."""
    quote = run.quote
    if not quote.has_files:
        return None
    charge = format_credits(
        quote.price.calculate_charge(
            quote.follow_up_tokens, NO_TOKENS, pictures=quote.follow_up_pictures
        )
    )
    files = join_names(file.name for along in quote.along for file in along.files)
    if run.question.files and quote.along:
        return say(
            "Goes along for an hour, with {files}: ≈ {charge} a question",
            files=files,
            charge=charge,
        )
    if run.question.files:
        return say("Goes along for an hour: ≈ {charge} a question", charge=charge)
    return say("Goes along: {files} · ≈ {charge} a question", files=files, charge=charge)


def _name_file(source: QuestionSource) -> Phrase:
    """A file by its name; of one that was too long what was read of it."""
    if source.part is None:
        return plain(source.name)
    if not source.part.pages:
        return say("{name} (its beginning alone)", name=source.name)
    return say(
        "{name} (the first {read} of {pages} pages)",
        name=source.name,
        read=source.part.pages_read,
        pages=source.part.pages,
    )


def join_phrases(phrases: Sequence[Phrase]) -> Phrase:
    """Them with commas between."""
    joined = phrases[0]
    for phrase in phrases[1:]:
        joined = say("{first}, {next}", first=joined, next=phrase)
    return joined


def join_names(names: Iterable[str]) -> Phrase:
    """Names with commas between, as the reader's language has them; `–` for none."""
    return join_phrases([plain(name) for name in names] or [plain("–")])


def describe_successor(name: str, model: Model) -> Phrase:
    """Where a retired name leads."""
    return say("“{name}” has been retired; {model} is its successor.", name=name, model=model.name)


def list_answer_notes(run: AskRun, *, is_private: bool) -> list[Phrase]:
    """What is told in front of an answer; what its asker has only where nobody else reads."""
    notes = []
    if run.question.retired_name:
        notes.append(describe_successor(run.question.retired_name, run.question.model))
    if run.question.are_files_gone:
        notes.append(
            say(
                "What was in the file is kept for a day and is gone: only its name went with the"
                " question. Send it again to ask about it."
            )
        )
    if run.quote.branched:
        notes.append(
            say("This goes on from the answer that you replied to, without what came after it.")
        )
    if run.quote.omitted_turns:
        notes.append(
            say(
                "The {count} oldest turns of this conversation no longer fit and were left out;"
                " /new starts afresh.",
                count=run.quote.omitted_turns,
            )
        )
    if run.quote.shortened and is_private:
        notes.append(
            say(
                "Your balance pays for an answer of at most {tokens} tokens.",
                tokens=run.quote.answer_limit,
            )
        )
    elif run.quote.shortened:
        notes.append(say("This answer may be shorter than usual: write to me in private."))
    return notes


_ENDING_TEXTS = {
    Outcome.LENGTH: say("The answer reached its limit; press Continue for more."),
    Outcome.FILTERED: say("The supplier's content rules cut this answer off."),
    Outcome.STOPPED: say("Stopped. Only what you see was charged."),
    Outcome.BROKEN: say("The connection to the model was lost. Only what you see was charged."),
    Outcome.TIMED_OUT: say("The model took too long. Only what you see was charged."),
    Outcome.LOST: say("The service was interrupted here. Only what you see was charged."),
}

_CONTENT_REFUSED = say(
    "The model's supplier won't answer this because of its content rules. Nothing was charged."
)

_EMPTY_ANSWER_TEXTS = {
    Outcome.FILTERED: _CONTENT_REFUSED,
    Outcome.LENGTH: say(
        "The model used up its room before it wrote anything. Nothing was charged. Give it more"
        " room, ask for less at once, or choose another model: /models"
    ),
    Outcome.STOPPED: say("Stopped before anything arrived. Nothing was charged."),
    Outcome.TIMED_OUT: say("The model didn't answer in time. Nothing was charged. Try again."),
    Outcome.LOST: say(
        "The service was interrupted before anything arrived. Nothing was charged. Ask again."
    ),
}

_REFUSAL_TEXTS = {
    AskFailure.TOO_LONG: say(
        "That is too long for this model. Nothing was charged. Shorten it, start afresh with"
        " /new, or choose a model with more room: /models"
    ),
    AskFailure.CONTENT: _CONTENT_REFUSED,
}


UNREADABLE_AUDIO = say(
    "That could not be fetched or read as audio. Nothing was charged. Send a voice message, or an"
    " mp3, m4a, ogg, flac, wav or webm file."
)
_TRANSCRIPTION_FAILURE_TEXTS = {
    AskFailure.UNREADABLE: UNREADABLE_AUDIO,
    AskFailure.TOO_LONG: say(
        "The supplier doesn't take audio that long. Nothing was charged. Send it in parts."
    ),
}


def format_length(seconds: Seconds) -> Phrase:
    """`61:05`: minutes and seconds."""
    return plain(f"{seconds.units // 60}:{seconds.units % 60:02}")


def describe_ending(result: AskResult) -> Phrase | None:
    """How an answer ended, where it needs words."""
    if result.text:
        return _ENDING_TEXTS.get(result.outcome)
    if result.outcome in _EMPTY_ANSWER_TEXTS:
        return _EMPTY_ANSWER_TEXTS[result.outcome]
    if result.audio is not None:
        return _describe_no_transcript(result)
    return _REFUSAL_TEXTS.get(
        result.failure,
        say("No answer came. Nothing was charged. Try again, or choose another model: /models"),
    )


def _describe_no_transcript(result: AskResult) -> Phrase:
    if result.outcome is Outcome.DONE:
        return say("I couldn't hear any words in that. Nothing was charged.")
    return _TRANSCRIPTION_FAILURE_TEXTS.get(
        result.failure,
        say("That couldn't be transcribed just now. Nothing was charged. Send it again."),
    )


def get_supplier_title(name: str) -> str:
    """A supplier as people know it."""
    return SUPPLIERS[name].title if name in SUPPLIERS else name
