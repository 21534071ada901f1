"""What a generated answer means, in plain arithmetic: what is shown, what it may cost its person
and its key, and whether the key is to blame. Nothing of the product is used here.

The person pays the lower of what was told and what can be true of what they saw, within the quote.
The key is booked what its supplier bills as far as it can be known: what was told, unless that is
nothing or under a quarter of a text long enough to be judged; beyond what can be true it is an
overrun, and nobody's contribution pays more than was held on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.wires.cases import Case, Told
from tests.wires.errors import OF_THE_KEY, OF_THE_QUESTION

#: The world's prices in micro-Credits, and its suppliers' rates in nano-dollars, per token: in,
#: out; in, cached, written, out.
PRICES = {"chat": (150_000, 450_000), "messages": (60_000, 200_000)}
RATES = {"chat": (10_000, 1_000, 12_500, 30_000), "messages": (3_000, 300, 3_750, 15_000)}
CONTEXT = {"chat": 8_192, "messages": 200_000}
ANSWER_LIMIT = 2_000
#: Of a second of audio: micro-Credits, nano-dollars.
SECOND_PRICE, SECOND_RATE = 2_000_000, 100_000
#: Keys that there are, all of which are asked where one fails.
KEYS = 2
#: The most bytes of text that are read of an answer: past them its server heeds no limit.
TEXT_BYTES_MAX = 4_096 + 16 * ANSWER_LIMIT
#: More than any call has: a larger count is none.
_COUNT_MAX = 100_000_000


@dataclass(frozen=True)
class Range:
    """The least and the most that something may be."""

    low: int
    high: int

    def __contains__(self, value: int) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Expected:
    """What must come of a case."""

    #: Each of these texts is right: where a stream breaks, its last half letter may be missing.
    texts: frozenset[str]
    outcomes: frozenset[str]
    failures: frozenset[str]
    charge: Range
    #: What all keys together are booked.
    booked: Range
    #: True: a key must not go on as before; False: it must; None: it may rest for a moment.
    key_moves: bool | None
    requests: Range


def explain_case(case: Case, *, contributed: bool) -> Expected:
    """What must come of the case, on own or on contributed keys."""
    if case.wire == "audio":
        return _explain_audio(case)
    if (cut := _cut_endless(case)) is not None:
        return _explain_whole(cut, "length", contributed=contributed)
    ending = _find_ending(case)
    if ending in {"stop", "length", "filtered"}:
        return _explain_whole(case, ending, contributed=contributed)
    return _explain_broken(case, ending)


def count_prompt(case: Case) -> int:
    """Our count of the question: its words and two parts of its number, a message, a call."""
    words = case.question_words + 2
    return _count(case, words, len(write_question(case, 0).encode())) + 24


def write_question(case: Case, number: int) -> str:
    """The question as it is asked."""
    return f"{number:06d}" + " why" * case.question_words


# --- how it ends, and what is shown ---------------------------------------------------------------


def _find_ending(case: Case) -> str:
    """stop, length or filtered; cut; or the kind of an error."""
    if case.error is not None:
        return case.error.kind
    if case.is_cut:
        return "cut"
    if case.meaning == "broken":
        return "over"
    if case.is_blocked and case.reason is None and not case.is_bare:
        counts = _believed(case)
        return "filtered" if counts is not None and counts.output == 0 else "stop"
    return case.meaning if case.reason is not None else "stop"


def _cut_endless(case: Case) -> Case | None:
    """The case as if it ended where its text has become too long; None where it doesn't."""
    count = len(case.pieces) if case.error is None else (case.error_at or 0)
    if case.is_bare and case.error is not None:
        count = 0
    (text,) = show_text(case.pieces[:count], is_whole=True)
    content = text.encode()
    if len(content) <= TEXT_BYTES_MAX:
        return None
    kept = content[:TEXT_BYTES_MAX].decode(errors="ignore")
    words = kept.count(" ")
    tags = ("<think></think>",) if _thinks(case, count) and case.thinking == "tags" else ()
    return replace(
        case,
        pieces=(*tags, kept),
        told=(),
        tokens=(words - 8, words + 120),
        error=None,
        usage_form="missing",
    )


def show_text(pieces: tuple[str, ...], *, is_whole: bool) -> frozenset[str]:
    """What can be shown of pieces: whole letters, without the thoughts at the beginning."""
    text = "".join(pieces)
    shown = {_mend(_without_thoughts(text))}
    if not is_whole:
        if text and "\ud800" <= text[-1] <= "\udbff":
            text = text[:-1]
        shown.add(_mend(_without_thoughts(text)))
        if "<think>".startswith(text.strip()):
            shown.add("")
    return frozenset(shown)


def _without_thoughts(text: str) -> str:
    if not text.lstrip().startswith("<think>"):
        return text
    return text.partition("</think>")[2].lstrip()


def _mend(text: str) -> str:
    content = text.encode("utf-16-le", "surrogatepass")
    return content.decode("utf-16-le", "replace").replace("\0", "\ufffd")


def _is_visible(text: str) -> bool:
    return bool(text.replace("\u200b", "").strip())


# --- counts ---------------------------------------------------------------------------------------


def _count(case: Case, tokens: int, size: int) -> int:
    """Our count of so many tokens of OpenAI's: other makers' are estimated, never too few."""
    if case.wire == "chat":
        return tokens
    return max(-(-tokens * 140 // 100), -(-size // 3))


def _ours(case: Case, text: str, *, part: float = 1.0) -> Range:
    """Our count of what was shown; of a part of it, anything up to the whole, and more by what the
    parts of its last word are."""
    low, high = case.tokens
    high += 0 if part == 1.0 else 4
    size = len(text.encode())
    low = 0 if part < 1.0 else low
    return Range(_count(case, min(low, size), size if low else 0), _count(case, high, size))


def _believed(case: Case) -> Told | None:
    """The counts that were told in the end; None where there are none that can be read."""
    told = [one for one in case.told if one is not None and _is_count(one)]
    if case.usage_form == "first only" and case.wire == "messages" and not case.is_bare:
        return None  # the beginning is no count of the answer
    if not told or all(one.input == 0 and one.output == 0 for one in told):
        return None
    return Told(
        max(one.input for one in told),
        max(one.output for one in told),
        max(one.cached for one in told),
        max(one.written for one in told),
    )


def _is_count(told: Told) -> bool:
    return all(type(one) is int and 0 <= one <= _COUNT_MAX for one in (told.input, told.output))


def _has_odd_counts(case: Case) -> bool:
    return case.usage_form in {"strings", "floats", "negative", "huge"}


def _price(case: Case, input_: int, output: int) -> int:
    rates = PRICES[case.wire]
    return max(1, -(-(input_ * rates[0] + output * rates[1]) // 1_000_000))


def _price_ours(case: Case, ours: Range) -> Range:
    """The price of our counts, within the quote."""
    prompt = count_prompt(case)
    quote = _price(case, prompt, ANSWER_LIMIT)
    low, high = (_price(case, prompt, one) for one in (ours.low, ours.high))
    return Range(min(low, quote), min(high, quote))


def _cost(case: Case, told: Told) -> int:
    plain, cached, written, output = RATES[case.wire]
    parts = told.cached * cached + told.written * written
    return parts + (told.input - told.cached - told.written) * plain + told.output * output


def _hold(case: Case) -> int:
    _, _, written, output = RATES[case.wire]
    return count_prompt(case) * written + ANSWER_LIMIT * output


# --- bills ----------------------------------------------------------------------------------------


def _explain_whole(case: Case, ending: str, *, contributed: bool) -> Expected:
    texts = show_text(case.pieces, is_whole=True)
    (text,) = texts
    visible = text if _is_visible(text) else ""
    outcome, failure = {"stop": "done"}.get(ending, ending), ""
    if ending == "filtered" and not text:
        outcome, failure = "refused", "content"
    ours = _ours(case, visible) if visible else Range(0, 0)
    charge, booked = _bill(case, visible, ours)
    if contributed:
        booked = Range(min(booked.low, _hold(case)), min(booked.high, _hold(case)))
    return Expected(
        texts=frozenset({visible}),
        outcomes=frozenset({outcome}),
        failures=frozenset({failure}),
        charge=charge if visible else Range(0, 0),
        booked=booked,
        key_moves=False,
        requests=Range(1, 1),
    )


def _bill(case: Case, text: str, ours: Range) -> tuple[Range, Range]:
    """What the person and an own key may pay for a whole answer."""
    prompt, told, hold = count_prompt(case), _believed(case), _hold(case)
    quote = _price(case, prompt, ANSWER_LIMIT)
    by_ours = _price_ours(case, ours)
    if told is None:
        cost = Range(
            _cost(case, Told(prompt, ours.low)) if text else 0,
            _cost(case, Told(prompt, ours.high)) if text else 0,
        )
        if _thinks(case):
            cost = Range(hold, hold)
        if _has_odd_counts(case):  # it may be read, too
            return Range(1, by_ours.high), Range(0, hold)
        return by_ours, cost
    size, thinks = len(text.encode()), _thinks(case) or case.always_thinks
    most_output = ANSWER_LIMIT * 11 // 10 + 64
    if not thinks:
        most_output = min(most_output, size + 64)
    can_be_true = told.input <= 2 * prompt + 256 and told.output <= most_output
    charge = Range(
        _price(case, min(told.input, prompt), min(told.output, ours.low)),
        _price(case, min(told.input, 2 * prompt + 256), min(told.output, most_output)),
    )
    if can_be_true:
        charge = Range(_price(case, told.input, told.output), charge.high)
    return Range(min(charge.low, quote), min(charge.high, quote)), _book(
        case, text, told, ours, prompt, hold if can_be_true is False else None
    )


def _book(
    case: Case, text: str, told: Told, ours: Range, prompt: int, doubted: int | None
) -> Range:
    """What an own key is booked; `doubted` is the hold where what was told can't be true."""
    context = max(CONTEXT[case.wire], prompt)
    inputs, outputs = (
        _corrected(told.input, Range(prompt, prompt), is_long=prompt >= 50),
        Range(told.output, told.output),
    )
    if text:
        outputs = _corrected(told.output, ours, is_long=len(text) >= 200)
    cached = min(told.cached, context)
    low = Told(min(inputs.low, context), min(outputs.low, context), cached, told.written)
    high = Told(min(inputs.high, context), min(outputs.high, context), cached, told.written)
    booked = Range(_cost(case, low), _cost(case, high))
    if doubted is None:
        return booked
    return Range(min(booked.low, doubted), min(booked.high, doubted))


def _corrected(told: int, ours: Range, *, is_long: bool) -> Range:
    """A count that was told, or ours where it was nothing or far too low."""
    if told == 0 or (is_long and 4 * told < ours.low):
        return ours
    if is_long and 4 * told < ours.high:
        return Range(min(told, ours.low), max(told, ours.high))
    return Range(told, told)


def _thinks(case: Case, shown_pieces: int | None = None) -> bool:
    """Whether thoughts were seen to pass."""
    if case.thinking == "both":
        pieces = case.pieces if shown_pieces is None else case.pieces[:shown_pieces]
        return bool(pieces) or case.is_bare
    if case.thinking == "tags":
        pieces = case.pieces if shown_pieces is None else case.pieces[:shown_pieces]
        return "".join(pieces).lstrip().startswith("<think>")
    return bool(case.thinking)


def _explain_broken(case: Case, ending: str) -> Expected:
    """An answer that was cut, or that an error stands in place of, or ends."""
    is_http = case.error is not None and case.error_at is None
    count = len(case.pieces) if case.error is None else (case.error_at or 0)
    if case.is_bare and case.error is not None:
        count = 0
    pieces = case.pieces[:count]
    texts = show_text(pieces, is_whole=False)
    thinks = not is_http and not (case.is_bare and case.error) and _thinks(case, count)
    hold, prompt = _hold(case), count_prompt(case)
    parts = [_explain_shown(case, text, thinks) for text in texts if text]
    if "" in texts:
        is_question = ending in OF_THE_QUESTION
        tries = 1 if is_question else KEYS
        each = Range(hold, hold) if thinks else Range(0, 0)
        if ending == "cut" and not thinks:
            each = Range(prompt * RATES[case.wire][0], prompt * RATES[case.wire][2])
        booked = Range(tries * each.low, tries * each.high)
        # The last key is asked for a shorter answer, twice, where its minute is told.
        shorter = 2 if ending == "large" and not thinks else 0
        parts.append(("refused", Range(0, 0), booked, Range(tries, tries + shorter)))
    failure = {"content": "content", "long": "too_long"}.get(ending, "supplier")
    moves: bool | None = None
    if ending in OF_THE_QUESTION or ending == "large":
        moves = False
    elif ending in OF_THE_KEY:
        moves = True
    elif ending == "unknown" and is_http:
        moves = False
    return Expected(
        texts=frozenset(text if _is_visible(text) else "" for text in texts),
        outcomes=frozenset(part[0] for part in parts),
        failures=frozenset({failure}),
        charge=_join(part[1] for part in parts),
        booked=_join(part[2] for part in parts),
        key_moves=moves,
        requests=_join(part[3] for part in parts),
    )


def _explain_shown(case: Case, text: str, thinks: bool) -> tuple[str, Range, Range, Range]:
    """The outcome, the charge and what is booked where something was shown before it broke."""
    prompt, hold, one = count_prompt(case), _hold(case), Range(1, 1)
    if not _is_visible(text):
        spent = hold if thinks else _cost(case, Told(prompt, 0))
        return "broken", Range(0, 0), Range(hold if thinks else 0, spent), one
    is_all = text == _mend(_without_thoughts("".join(case.pieces)))
    ours = _ours(case, text, part=1.0 if is_all else 0.5)
    charge = _price_ours(case, ours)
    booked = Range(_cost(case, Told(prompt, ours.low)), _cost(case, Told(prompt, ours.high)))
    return "broken", charge, Range(hold, hold) if thinks else booked, one


def _join(ranges: object) -> Range:
    found = list(ranges)  # type: ignore[call-overload]
    return Range(min(one.low for one in found), max(one.high for one in found))


# --- audio ----------------------------------------------------------------------------------------


def _explain_audio(case: Case) -> Expected:
    seconds = case.audio_seconds
    if case.error is not None:
        moves = {"over": None}.get(case.error.kind, True)
        return Expected(
            texts=frozenset({""}),
            outcomes=frozenset({"refused"}),
            failures=frozenset({"supplier"}),
            charge=Range(0, 0),
            booked=Range(0, 0),
            key_moves=moves,
            requests=Range(KEYS, KEYS),
        )
    (text,) = show_text(tuple("".join(case.pieces).strip()), is_whole=True)
    visible = text if _is_visible(text) else ""
    most = seconds + seconds // 20 + 3
    lengths = [seconds, *(-int(-one // 1) for one in _lengths(case))]
    price = [max(1, -(-min(most, one) * SECOND_PRICE // 1_000_000)) for one in lengths]
    return Expected(
        texts=frozenset({visible}),
        outcomes=frozenset({"done"}),
        failures=frozenset({""}),
        charge=Range(min(price), max(price)) if visible else Range(0, 0),
        booked=Range(min(lengths) * SECOND_RATE if visible else 0, max(lengths) * SECOND_RATE),
        key_moves=False,
        requests=Range(1, 1),
    )


def _lengths(case: Case) -> list[float]:
    told = (case.duration, case.billed)
    return [one for one in told if isinstance(one, (int, float)) and 0 < one <= 1_000_000]
