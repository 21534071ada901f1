"""Answers of suppliers, drawn at random from everything that servers were seen to do: what is said,
how it is told and how it is sent. Nothing of the product is used here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any, Literal

from tests.peers.raw_supplier import After, Framing
from tests.wires.errors import ERRORS, Error, Wire

Meaning = Literal["stop", "length", "filtered", "broken"]

#: Reasons as makers spell them, and what they mean.
CHAT_REASONS: tuple[tuple[str, Meaning], ...] = (
    *((word, "stop") for word in ("stop", "STOP", "eos", "end_turn", "COMPLETE", "stop_sequence")),
    *((word, "length") for word in ("length", "LENGTH", "max_tokens", "MAX_TOKENS", "MaxTokens")),
    *((word, "length") for word in ("model_length", "model_context_window_exceeded")),
    *((word, "filtered") for word in ("content_filter", "SAFETY", "PROHIBITED_CONTENT")),
    ("sensitive", "filtered"),
    *((word, "filtered") for word in ("content_filter: PROHIBITED_CONTENT", "RECITATION", "SPII")),
    *((word, "filtered") for word in ("BLOCKLIST", "guardrail_intervened", "ERROR_TOXIC")),
    *((word, "broken") for word in ("error", "ERROR", "network_error", "abort")),
    ("insufficient_system_resource", "broken"),
)
MESSAGES_REASONS: tuple[tuple[str, Meaning], ...] = (
    *((word, "stop") for word in ("end_turn", "stop_sequence")),
    *((word, "length") for word in ("max_tokens", "model_context_window_exceeded")),
    *((word, "filtered") for word in ("refusal",)),
)

ThinkingForm = Literal[
    "", "reasoning_content", "reasoning", "both", "parts", "tags", "block", "signature", "redacted"
]  # fmt: skip
UsageForm = Literal[
    "true", "missing", "null", "zeros", "zero after true", "zero prompt after true", "first only",
    "far too low", "far too high", "more than seen", "strings", "floats", "negative", "huge",
    "cached", "written", "reasoning in total", "reasoning", "zero output", "every chunk",
]  # fmt: skip
_USAGE_FORMS: tuple[UsageForm, ...] = (
    *(("true",) * 8),
    *("missing", "null", "zeros", "zero after true", "zero prompt after true", "first only"),
    *("far too low", "far too high", "more than seen", "strings", "floats", "negative", "huge"),
    *("cached", "written", "reasoning in total", "reasoning", "zero output", "every chunk"),
)  # type: ignore[assignment]


@dataclass(frozen=True)
class Told:
    """Counts as a supplier tells them: of the whole prompt, its cached and written parts, and of
    the answer."""

    input: Any
    output: Any
    cached: int = 0
    written: int = 0


@dataclass(frozen=True)
class Case:
    """One generated answer."""

    seed: str
    wire: Wire
    #: The words of the question beyond its number; the first answer token's likeliest peers.
    question_words: int
    #: Pieces of what is said, each one chunk or delta; halves of a pair may be parted.
    pieces: tuple[str, ...]
    #: The tokens of all pieces, at least and at most.
    tokens: tuple[int, int]
    thinking: ThinkingForm = ""
    usage_form: UsageForm = "true"
    #: What the counts are that are told, from the first to the last; None is null.
    told: tuple[Told | None, ...] = ()
    reason: str | None = "stop"
    meaning: Meaning = "stop"
    #: How often the end's own mark comes: `[DONE]`, or `message_stop`.
    marks: int = 1
    mark: bytes = b"data: [DONE]"
    #: What comes after the end: an error, nonsense.
    junk: bool = False
    error: Error | None = None
    #: After so many pieces of text; None: instead of an answer, as an HTTP response.
    error_at: int | None = None
    error_form: str = "data"
    #: The field of a delta that holds the text, or a list of parts.
    text_form: Literal["content", "refusal", "parts"] = "content"
    #: Whether the model is known to think without saying so.
    always_thinks: bool = False
    #: Bytes: whether the answer comes as one JSON document, and how a stream is written.
    is_bare: bool = False
    newline: bytes = b"\n"
    #: Whether events are parted by one newline only.
    is_narrow: bool = False
    opening: bytes = b""
    comments: bool = False
    many_lines: bool = False
    has_space: bool = True
    escapes: bool = True
    content_type: str = "text/event-stream"
    framing: Framing = "chunked"
    after: After = "end"
    #: Sizes of what is sent at once: bytes, 0 for each event by itself.
    piece_bytes: int = 0
    #: An audio answer's length as told, in seconds or whatever stands in its place.
    duration: Any = None
    billed: Any = None
    #: The platform's length of the audio.
    audio_seconds: int = 0
    #: Whether no chunk has a choice, as where the prompt itself was blocked.
    is_blocked: bool = False

    @property
    def is_cut(self) -> bool:
        """Whether no end is ever told."""
        if self.is_bare or self.wire == "audio":
            return False
        return self.reason is None and self.marks == 0


_WORDS = (" the", " sky", " light", " blue", " day", " water", " time", " house")
#: What has another number of tokens in each tokenizer, with the most of them.
_ODDITIES = (
    ("天空为什么是蓝的", 24), ("😀", 4), ("🏳️‍🌈", 14), ("\n\n", 2), (" é", 3),
    ("\0", 3), ('"\\/', 4), ("</think>", 8), (" <think>x", 9),
)  # fmt: skip
_THOUGHTS = ("<think>", "\nLet", " me", " see", "… </thin", " k>", "\n</think>", "\n\n")


def draw_case(seed: str) -> Case:
    """The case of a seed."""
    rng = random.Random(seed)
    wire: Wire = rng.choices(("chat", "messages", "audio"), (6, 4, 1))[0]
    case = Case(seed, wire, rng.randint(1, 250), (), (0, 0), usage_form=rng.choice(_USAGE_FORMS))
    case = _with_text(case, rng)
    if wire == "chat":
        form = rng.choices(("content", "refusal", "parts"), (8, 1, 1))[0]
        case = replace(case, text_form=form, always_thinks=rng.random() < 0.15)
    if wire == "audio":
        return _with_sending(_with_audio(case, rng), rng)
    case = _with_thinking(case, rng)
    case = _with_end(case, rng)
    case = _with_error(case, rng)
    return _with_sending(_with_form(case, rng), rng)


def _with_text(case: Case, rng: random.Random) -> Case:
    words = rng.choices((0, 1, 8, 60, 400, 900, 14_000), (8, 12, 24, 24, 16, 4, 1))[0]
    words = rng.randint(words // 2, words)
    units: list[tuple[str, int, int]] = [(rng.choice(_WORDS), 1, 1) for _ in range(words)]
    if words and rng.random() < 0.3:
        for _ in range(rng.randint(1, 4)):
            odd, most = rng.choice(_ODDITIES)
            units.insert(rng.randint(1, len(units)), (odd, 0, most))
    if not words and rng.random() < 0.3:  # nothing to be seen
        units = [(" \u200b\n", 1, 6)]
    text = "".join(unit[0] for unit in units)
    tokens = sum(unit[1] for unit in units), sum(unit[2] for unit in units)
    if rng.random() < 0.1:  # one half of a pair alone
        at = rng.randint(0, len(text))
        text = text[:at] + rng.choice("\ud83d\ude00") + text[at:]
        tokens = max(0, tokens[0] - 1), tokens[1] + 6
    return replace(case, pieces=_cut(text, rng), tokens=tokens)


def _cut(text: str, rng: random.Random) -> tuple[str, ...]:
    """The text in pieces; a pair may be parted, as servers that count in UTF-16 do."""
    units = "".join(text) if rng.random() < 0.5 else _as_utf16(text)
    sizes = rng.choice(((1, 3), (2, 12), (10, 80), (5_000, 9_000)))
    pieces, at = [], 0
    if len(units) > 600:
        sizes = max(sizes, (10, 80))
    while at < len(units):
        size = rng.randint(*sizes)
        pieces.append(units[at : at + size])
        at += size
    return tuple(pieces)


def _as_utf16(text: str) -> str:
    content = text.encode("utf-16-be", "surrogatepass")
    return "".join(chr(content[at] << 8 | content[at + 1]) for at in range(0, len(content), 2))


def _with_thinking(case: Case, rng: random.Random) -> Case:
    if rng.random() < 0.7:
        return case
    forms: tuple[ThinkingForm, ...] = ("block", "signature", "redacted", "tags")
    if case.wire == "chat":
        forms = ("reasoning_content", "reasoning", "both", "parts", "tags")
    thinking = rng.choice(forms)
    pieces = case.pieces
    if thinking == "tags":
        thoughts = "".join(_THOUGHTS)
        if rng.random() < 0.2:
            thoughts = " \n" + thoughts
        if rng.random() < 0.15:
            thoughts, pieces = thoughts.partition("\n</")[0], ()
        pieces = (*_cut(thoughts, rng), *pieces)
    return replace(case, thinking=thinking, pieces=pieces)


def _with_end(case: Case, rng: random.Random) -> Case:
    reasons = CHAT_REASONS if case.wire == "chat" else MESSAGES_REASONS
    reason, meaning = rng.choice(reasons) if rng.random() < 0.5 else (None, "stop")
    if reason is None and rng.random() < 0.7:
        reason, meaning = reasons[0]
    marks = rng.choices((0, 1, 2), (3, 8, 1))[0]
    marks = min(marks, 1) if case.wire == "messages" else marks
    mark = rng.choice((b"data: [DONE]", b"data:[DONE]", b"data: [DONE] ", b"data:  [DONE]"))
    says_something = case.pieces or case.thinking
    return replace(
        case,
        reason=reason,
        meaning=meaning,
        marks=marks,
        mark=mark,
        is_blocked=case.wire == "chat" and marks > 0 and not (says_something or reason),
        junk=rng.random() < 0.08 and (marks > 0 or reason is not None),
    )  # fmt: skip


def _with_error(case: Case, rng: random.Random) -> Case:
    if rng.random() < 0.75:
        return case
    error = rng.choice(ERRORS[case.wire])
    if not error.tells_itself or (rng.random() < 0.4 and error.status != 200):
        return replace(case, error=error, error_at=None)
    forms = ["data", "event"]
    if case.wire == "chat" and isinstance(error.body, dict) and "error" in error.body:
        forms += ["field", "choice", "line"]
    return replace(
        case,
        error=error,
        error_at=rng.choice((0, len(case.pieces), rng.randint(0, len(case.pieces)))),
        error_form=rng.choice(forms),
        junk=False,
    )


#: What stands before a stream's first event.
_OPENINGS = (b"", b"", b"", b"\xef\xbb\xbf", b": ok\n\n", b"\n\n", b"retry: 3000\n")


def _with_form(case: Case, rng: random.Random) -> Case:
    is_bare = rng.random() < 0.12 and (case.error is None or case.error_at == 0)
    if is_bare and case.thinking == "tags" and not case.pieces:
        is_bare = False
    told = draw_counts(case, rng)
    if case.is_blocked and case.usage_form == "first only":  # there is no first chunk
        told = ()
    case = replace(case, is_bare=is_bare, told=told)
    if is_bare:
        reason = case.reason or ("stop" if case.wire == "chat" else "end_turn")
        return replace(case, junk=False, reason=reason, marks=0, told=case.told[-1:])
    is_narrow = rng.random() < 0.15
    return replace(
        case,
        newline=rng.choice((b"\n", b"\n", b"\r\n", b"\r")),
        is_narrow=is_narrow,
        opening=rng.choice(_OPENINGS),
        comments=rng.random() < 0.2,
        many_lines=not is_narrow and rng.random() < 0.15,
        has_space=rng.random() < 0.9,
    )  # fmt: skip


def _with_sending(case: Case, rng: random.Random) -> Case:
    json_types = ("application/json", "text/event-stream", "application/json; charset=utf-8")
    sse_types = (*("text/event-stream",) * 4, "application/json", "text/plain")
    types = json_types if case.is_bare or case.wire == "audio" else sse_types
    after: After = "end"
    if case.wire == "audio" or case.is_bare or case.error is not None:
        after = rng.choices(("end", "close", "reset"), (8, 1, 1))[0]
    else:
        after = rng.choices(("end", "close", "reset", "silent", "keep-alive"), (14, 2, 2, 1, 1))[0]
    if case.is_cut and after in {"silent", "keep-alive"}:
        after = "close"
    framing: Framing = rng.choices(("chunked", "length", "close"), (6, 2, 2))[0]
    if after != "end":
        framing = "chunked" if after in {"silent", "keep-alive"} else framing
    size = rng.choices((0, 1, 3, 17, 1_000, 10_000_000), (6, 2, 2, 2, 2, 4))[0]
    if size and sum(map(len, case.pieces)) > 300:
        size = max(size, 500)
    return replace(
        case,
        content_type=rng.choice(types),
        after=after,
        framing=framing,
        piece_bytes=size,
        escapes=rng.random() < 0.5,
    )


def draw_counts(case: Case, rng: random.Random) -> tuple[Told | None, ...]:
    """What is told of the usage, by the case's form."""
    prompt = case.question_words + 26
    if case.wire == "messages":
        prompt = prompt * 13 // 10
    low, high = case.tokens
    answer = rng.randint(low, max(low, min(high, low + low // 4 + 1)))
    true = Told(prompt, answer)
    extra = rng.randint(1, 1_400)
    forms: dict[UsageForm, tuple[Told | None, ...]] = {
        "true": (true,),
        "missing": (),
        "null": (None,),
        "zeros": (Told(0, 0),),
        "zero after true": (true, Told(0, 0)),
        "zero prompt after true": (true, Told(0, answer)),
        "first only": (Told(prompt, 1),),
        "far too low": (Told(rng.choice((1, prompt)), max(1, answer // 40)),),
        "far too high": (Told(prompt * 50, answer * 50 + 20_000),),
        "more than seen": (Told(prompt + extra, answer + extra),),
        "strings": (Told(str(prompt), str(answer)),),
        "floats": (Told(prompt + 0.0, answer + 0.5),),
        "negative": (Told(-prompt, answer),),
        "huge": (Told(10**12, 10**15),),
        "cached": (Told(prompt, answer, cached=prompt * 3 // 4),),
        "written": (Told(prompt, answer, cached=prompt // 4, written=prompt // 2),),
        "reasoning in total": (Told(prompt, answer + extra),),
        "reasoning": (Told(prompt, answer + extra),),
        "zero output": (Told(prompt, 0),),
        "every chunk": (Told(prompt, answer // 3), Told(prompt, answer // 2), true),
    }
    return forms[case.usage_form]


def _with_audio(case: Case, rng: random.Random) -> Case:
    seconds = rng.randint(1, 300)
    lengths = (None, seconds, seconds + 0.2, str(seconds), seconds * 1_000, 0, -5, 10**9, 1)
    text = "".join(case.pieces)
    error = rng.choice(AUDIO_ERRORS) if rng.random() < 0.3 else None
    return replace(
        case,
        pieces=(text,) if text else (),
        audio_seconds=seconds,
        duration=rng.choice(lengths),
        billed=rng.choice((None, None, None, seconds, 0, "x")),
        error=error,
        error_at=0 if error is not None and error.tells_itself and rng.random() < 0.5 else None,
        is_bare=True,
        reason="stop",
    )


AUDIO_ERRORS = ERRORS["audio"]
