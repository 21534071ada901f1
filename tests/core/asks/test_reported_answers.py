"""Answers as they were reported of real suppliers and gateways, byte for byte, through the real
service: what is shown, how it ended, what is charged and booked, and whether a key is blamed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from core.pool.providers import endings, http
from tests.peers.raw_supplier import After, RawAnswer
from tests.support.databases import TestClock
from tests.wires import meaning
from tests.wires.cases import Case
from tests.wires.errors import Wire
from tests.wires.world import Seen, running_world

#: Our count of the question, and of "It scatters." at most.
WORDS = 100
LONG = " light" * 900
SAYS = "It scatters."


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_AFTER_USAGE_SECONDS", 0.1)
    monkeypatch.setattr(endings, "_FOR_USAGE_SECONDS", 0.3)
    monkeypatch.setattr(http, "_DRAIN_SECONDS", 0.05)


@dataclass(frozen=True)
class Report:
    """What a server sent, and what must come of it."""

    name: str
    answer: RawAnswer
    text: str = SAYS
    outcome: str = "done"
    failure: str = ""
    #: What the key is booked: tokens in and out by the suppliers' rates; None: not looked at.
    booked: tuple[int, int] | None = None
    #: What the person pays: the same tokens by the prices; None: that of `booked`.
    charged: tuple[int, int] | None = None
    moves: bool = False
    always_thinks: bool = False
    duration: int = 60


async def check(wire: Wire, reports: list[Report], tmp: Any, template: Any) -> None:
    """Asks for each of them in one service, and compares."""
    file = tmp / "reported.db"
    file.write_bytes(template.read_bytes())
    asked = Case("", wire, WORDS, (), (0, 0))
    async with running_world(f"sqlite:///{file}", TestClock(), contributed=False) as world:
        for report in reports:
            case = replace(asked, always_thinks=report.always_thinks, audio_seconds=report.duration)
            seen = await world.try_answer(case, report.answer)
            assert (report.name, *_describe(wire, report, seen)) == (
                report.name,
                *_expect(wire, report),
            )


def _describe(wire: Wire, report: Report, seen: Seen) -> tuple[object, ...]:
    result = seen.result
    booked = seen.booked if report.booked is not None else None
    charge = result.charge.units if report.booked or report.charged else None
    return result.text, result.outcome.value, result.failure.value, seen.moved, booked, charge


def _expect(wire: Wire, report: Report) -> tuple[object, ...]:
    booked = charge = None
    if report.booked is not None:
        rates = meaning.RATES[wire] if wire != "audio" else (meaning.SECOND_RATE, 0, 0, 0)
        booked = report.booked[0] * rates[0] + report.booked[1] * rates[3]
    tokens = report.charged or report.booked
    if tokens is not None:
        prices = meaning.PRICES[wire] if wire != "audio" else (meaning.SECOND_PRICE, 0)
        micro = tokens[0] * prices[0] + tokens[1] * prices[1]
        charge = max(1, -(-micro // 1_000_000)) if report.text else 0
    return report.text, report.outcome, report.failure, report.moves, booked, charge


def _refused(name: str, answer: RawAnswer, failure: str, *, moves: bool) -> Report:
    return Report(name, answer, "", "refused", failure, (0, 0), moves=moves)


def http_error(status: int, body: Any) -> RawAnswer:
    return RawAnswer((json.dumps(body).encode(),), "end", "application/json", status)


# --- chat -----------------------------------------------------------------------------------------

CHAT_PROMPT = WORDS + 26


def data(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def text(content: str = SAYS) -> bytes:
    return data(choices=[{"index": 0, "delta": {"content": content}}])


def finish(reason: str | None = "stop", **more: Any) -> bytes:
    return data(choices=[{"index": 0, "delta": {}, "finish_reason": reason}], **more)


def used(prompt: int = CHAT_PROMPT, answer: int = 4) -> bytes:
    return data(choices=[], usage=_usage(prompt, answer))


def _usage(prompt: int, answer: int) -> dict[str, int]:
    total = prompt + answer
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": total}


DONE = b"data: [DONE]\n\n"
TRUE = (CHAT_PROMPT, 4)
BAD: tuple[After, ...] = ("close", "reset", "silent", "keep-alive")
TPM = "Request too large for model `m` on tokens per minute (TPM): Limit 8000, Requested 8093"
XAI = "Your team has either used all available credits or reached its monthly spending limit."


def sse(*pieces: bytes, after: After = "end", kind: str = "text/event-stream") -> RawAnswer:
    return RawAnswer(pieces, after, kind)


CHAT_ENDS = [
    Report(f"all told, then {after}", sse(text(), finish(), used(), DONE, after=after), booked=TRUE)
    for after in BAD
]
CHAT_ENDS += [
    Report(
        f"a reason and usage, then {after}",
        sse(text(), finish(), used(), after=after),
        booked=TRUE,
    )
    for after in BAD
]
CHAT_ENDS += [
    Report("DONE and no reason", sse(text(), used(), DONE), booked=TRUE),
    Report("nothing but DONE", sse(DONE), "", booked=(0, 0)),
    Report("DONE with a blank", sse(text(), finish(), used(), b"data: [DONE] \n\n"), booked=TRUE),
    Report(
        "events parted by one newline",
        sse(*(piece[:-1] for piece in (text(), finish(), used(), DONE))),
        booked=TRUE,
    ),
    Report(
        "a stream as JSON",
        sse(text(), finish(), used(), DONE, kind="application/json"),
        booked=TRUE,
    ),
]
_CHAT_WHOLE = {
    "choices": [{"message": {"content": SAYS}, "finish_reason": "stop"}],
    "usage": _usage(*TRUE),
}
CHAT_ENDS += [
    Report(f"JSON as {kind}", sse(json.dumps(_CHAT_WHOLE).encode(), kind=kind), booked=TRUE)
    for kind in ("text/event-stream", "application/json")
]
_CHAT_LONG_TOKENS = (CHAT_PROMPT, 900)
CHAT_COUNTS = [
    Report(
        "usage of zeros",
        sse(text(LONG), finish(), used(0, 0), DONE),
        LONG,
        booked=_CHAT_LONG_TOKENS,
    ),
    Report(
        "zeros after true usage",
        sse(text(LONG), finish(usage=_usage(*_CHAT_LONG_TOKENS)), used(0, 0), DONE),
        LONG,
        booked=_CHAT_LONG_TOKENS,
    ),
    Report(
        "the first chunk's usage alone",
        sse(
            data(choices=[{"delta": {}}], usage=_usage(CHAT_PROMPT, 1)),
            text(LONG),
            finish(),
            DONE,
        ),
        LONG,
        booked=_CHAT_LONG_TOKENS,
        charged=(CHAT_PROMPT, 1),
    ),
    Report(
        "thoughts that are told",
        sse(
            data(choices=[{"delta": {"reasoning_content": "Hm."}}]),
            text(),
            finish(),
            used(CHAT_PROMPT, 700),
            DONE,
        ),
        booked=(CHAT_PROMPT, 700),
    ),
    Report(
        "a model that thinks unseen",
        sse(text(), finish(), used(CHAT_PROMPT, 1_500), DONE),
        booked=(CHAT_PROMPT, 1_500),
        always_thinks=True,
    ),
    Report(
        "a tool call that nobody offered",
        sse(text(), finish(), used(CHAT_PROMPT, 300), DONE),
        booked=(CHAT_PROMPT, 300),
        charged=TRUE,
    ),
    Report(
        "a gateway's own prompt",
        sse(text(), finish(), used(5_000, 4), DONE),
        booked=(5_000, 4),
        charged=TRUE,
    ),
    Report(
        "a _CHAT_WHOLE reasoning in one event",
        sse(
            data(choices=[{"delta": {"reasoning_content": "x" * 1_200_000}}]),
            text(),
            finish(),
            used(),
            DONE,
        ),
        booked=TRUE,
    ),
    Report(
        "thoughts in the text",
        sse(text("<think>\nHm"), text(".</thi"), text("nk>\n\n" + SAYS), finish(), used(), DONE),
        booked=TRUE,
    ),
]
#: More than is read of an answer of 2,000 tokens, in words of 4 bytes.
ENDLESS, TAKEN = " sky" * 12_000, " sky" * (meaning.TEXT_BYTES_MAX // 4)
CHAT_COUNTS += [
    Report(
        f"an answer that heeds no limit, then {after}",
        sse(text(ENDLESS[:30_000]), text(ENDLESS[30_000:]), *ends, after=after),
        TAKEN,
        "length",
        booked=(CHAT_PROMPT, meaning.TEXT_BYTES_MAX // 4),
        charged=(CHAT_PROMPT, meaning.ANSWER_LIMIT),
    )
    for after, ends in (("silent", ()), ("end", (finish(), used(), DONE)))
]
CHAT_HALVES = [
    Report(
        "halves of an emoji in two chunks",
        sse(
            b'data: {"choices":[{"delta":{"content":"Sunny \\ud83d"}}]}\n\n',
            b'data: {"choices":[{"delta":{"content":"\\ude00 day"}}]}\n\n',
            *(finish(), used(), DONE),
        ),
        "Sunny 😀 day",
        booked=TRUE,
    ),
    Report(
        "one half",
        sse(text("Sunny \ud83d"), finish(), used(), DONE),
        "Sunny \ufffd",
        booked=TRUE,
    ),
]
_CHAT_BLOCKED = {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}
_CHAT_CONTENT = [
    http_error(403, {"code": "permission-denied", "error": "Content violates usage guidelines. "}),
    http_error(403, {"error": _CHAT_BLOCKED}),
    sse(data(error=_CHAT_BLOCKED), DONE),
]
CHAT_REFUSALS = [
    _refused(f"content, {n}", one, "content", moves=False) for n, one in enumerate(_CHAT_CONTENT)
]
CHAT_REFUSALS += [
    Report(
        "a _CHAT_BLOCKED prompt",
        sse(used(CHAT_PROMPT, 0), DONE),
        "",
        "refused",
        "content",
        (CHAT_PROMPT, 0),
    )
]
_CHAT_TOO_LONG = [
    http_error(400, {"error": {"code": 400, "message": "x", "type": "exceed_context_size_error"}}),
    http_error(400, {"code": "x", "error": "This model's maximum prompt length is 131072 but…"}),
    sse(b'error: {"code":400,"message":"exceeds the available context size"}\n\n', DONE),
]
CHAT_REFUSALS += [
    _refused(f"too long, {n}", one, "too_long", moves=False) for n, one in enumerate(_CHAT_TOO_LONG)
]
_CHAT_ERROR = {"message": TPM, "type": "tokens", "code": "rate_limit_exceeded"}
CHAT_REFUSALS += [
    _refused(
        f"too large, {status}", http_error(status, {"error": _CHAT_ERROR}), "supplier", moves=False
    )
    for status in (413, 429)
]
_CHAT_NO_MONEY = {
    "choices": None,
    "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"},
}
_CHAT_BAD_KEY = {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}}
_CHAT_QUOTA = {"error": {"code": "insufficient_quota", "message": "no"}}
_CHAT_OF_THE_KEY = [
    http_error(200, _CHAT_NO_MONEY),
    sse(data(**_CHAT_BAD_KEY)),
    http_error(500, {"error": {"type": "api_error", "message": "insufficient balance (1008)"}}),
    http_error(403, {"code": "x", "error": XAI}),
    http_error(429, {"code": "x", "error": XAI}),
    sse(json.dumps(_CHAT_QUOTA).encode()),
]
CHAT_REFUSALS += [
    _refused(f"the key's, {n}", one, "supplier", moves=True)
    for n, one in enumerate(_CHAT_OF_THE_KEY)
]
_CHAT_REASONS = [
    ("content_filter: PROHIBITED_CONTENT", "filtered"),
    ("SAFETY", "filtered"),
    ("MAX_TOKENS", "length"),
]
CHAT_ENDED = [
    Report(
        f"a reason of {reason}",
        sse(text(), finish(reason), used(), DONE),
        outcome=outcome,
        booked=TRUE,
    )
    for reason, outcome in _CHAT_REASONS
]
CHAT_ENDED.append(
    Report(
        "filtered at once",
        sse(finish("SAFETY"), used(*(CHAT_PROMPT, 0)), DONE),
        "",
        "refused",
        "content",
        (CHAT_PROMPT, 0),
    )
)


async def test_answers_on_the_chat_wire(tmp_path: Any, sqlite_template: Any) -> None:
    await check(
        "chat",
        [*CHAT_ENDS, *CHAT_COUNTS, *CHAT_HALVES, *CHAT_REFUSALS, *CHAT_ENDED],
        tmp_path,
        sqlite_template,
    )


# --- messages -------------------------------------------------------------------------------------

#: 102 tokens of OpenAI's are estimated as 143.
PROMPT = 143 + 24


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\n".encode() + data(type=kind, **more)


def start(**usage: int) -> bytes:
    return event(
        "message_start", message={"usage": usage or {"input_tokens": PROMPT, "output_tokens": 1}}
    )


def says(content: str = SAYS) -> bytes:
    return event("content_block_delta", delta={"type": "text_delta", "text": content})


def delta(reason: str | None = "end_turn", **usage: int) -> bytes:
    more = {"usage": usage} if usage else {}
    return event("message_delta", delta={"stop_reason": reason}, **more)


STOP = event("message_stop")


_MESSAGES_TRUE, _MESSAGES_TOLD = (PROMPT, 7), delta(output_tokens=7)
_MESSAGES_LONG_TOKENS = (PROMPT, 1_800)  # by its bytes: 5,400 / 3
MESSAGES_ENDS = [
    Report(
        f"all _MESSAGES_TOLD, then {after}",
        sse(start(), says(), _MESSAGES_TOLD, STOP, after=after),
        booked=_MESSAGES_TRUE,
    )
    for after in BAD
]
MESSAGES_ENDS += [
    Report(
        f"a reason, then {after}",
        sse(start(), says(), _MESSAGES_TOLD, after=after),
        booked=_MESSAGES_TRUE,
    )
    for after in BAD
]
MESSAGES_ENDS += [
    Report(
        "message_stop and no reason",
        sse(start(), says(), delta(None, output_tokens=7), STOP),
        booked=_MESSAGES_TRUE,
    ),
    Report(
        "events parted by one newline",
        sse(*(piece[:-1] for piece in (start(), says(), _MESSAGES_TOLD, STOP))),
        booked=_MESSAGES_TRUE,
    ),
    Report(
        "a stream as JSON",
        sse(start(), says(), _MESSAGES_TOLD, STOP, kind="application/json"),
        booked=_MESSAGES_TRUE,
    ),
]
_MESSAGES_WHOLE = {
    "type": "message",
    "content": [{"type": "text", "text": SAYS}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": PROMPT, "output_tokens": 7},
}
MESSAGES_ENDS += [
    Report(
        f"JSON as {kind}",
        sse(json.dumps(_MESSAGES_WHOLE).encode(), kind=kind),
        booked=_MESSAGES_TRUE,
    )
    for kind in ("text/event-stream", "application/json")
]
_MESSAGES_SIGNED = event("content_block_start", content_block={"type": "thinking", "thinking": ""})
_MESSAGES_SIGNED += event(
    "content_block_delta", delta={"type": "signature_delta", "signature": "x"}
)
_MESSAGES_THOUGHT = event(
    "content_block_delta", delta={"type": "thinking_delta", "thinking": "x" * 1_200_000}
)
MESSAGES_COUNTS = [
    Report(
        "thoughts by their signature alone",
        sse(start(), _MESSAGES_SIGNED, says(), delta(output_tokens=1_500), STOP),
        booked=(PROMPT, 1_500),
    ),
    Report(
        "all _MESSAGES_THOUGHT away",
        sse(start(), _MESSAGES_SIGNED, delta("max_tokens", output_tokens=2_000), STOP),
        "",
        "length",
        booked=(PROMPT, 2_000),
    ),
    Report(
        "no usage at the end",
        sse(start(), says(LONG), delta(), STOP),
        LONG,
        booked=_MESSAGES_LONG_TOKENS,
    ),
    Report(
        "a zero after the prompt's count",
        sse(start(), says(), delta(input_tokens=0, output_tokens=7), STOP),
        booked=_MESSAGES_TRUE,
    ),
    Report(
        "a _MESSAGES_WHOLE reasoning in one event",
        sse(start(), _MESSAGES_THOUGHT, says(), _MESSAGES_TOLD, STOP),
        booked=_MESSAGES_TRUE,
    ),
    Report(
        "thoughts in the text",
        sse(start(), says("<think>Hm.</th"), says("ink>" + SAYS), _MESSAGES_TOLD, STOP),
        booked=_MESSAGES_TRUE,
    ),
    Report(
        "halves of an emoji",
        sse(start(), says("Sunny \ud83d"), says("\ude00 day"), _MESSAGES_TOLD, STOP),
        "Sunny 😀 day",
        booked=_MESSAGES_TRUE,
    ),
    Report(
        "one half",
        sse(start(), says("Sunny \ud83d"), _MESSAGES_TOLD, STOP),
        "Sunny \ufffd",
        booked=_MESSAGES_TRUE,
    ),
]
_MESSAGES_RULES = {
    "type": "invalid_request_error",
    "message": "Output blocked by content filtering policy",
}
_MESSAGES_TOO_LONG = {
    "type": "invalid_request_error",
    "message": "input length and `max_tokens` exceed context limit: 9 > 8",
}
_MESSAGES_POOR = {"type": "invalid_request_error", "message": "Your credit balance is too low"}
MESSAGES_REFUSALS = [
    _refused(
        "content in the stream",
        sse(start(), event("error", error=_MESSAGES_RULES)),
        "content",
        moves=False,
    ),
    _refused(
        "content at once",
        http_error(400, {"type": "error", "error": _MESSAGES_RULES}),
        "content",
        moves=False,
    ),
    _refused(
        "too long",
        http_error(400, {"type": "error", "error": _MESSAGES_TOO_LONG}),
        "too_long",
        moves=False,
    ),
    _refused(
        "no money under 200",
        sse(json.dumps({"type": "error", "error": _MESSAGES_POOR}).encode()),
        "supplier",
        moves=True,
    ),
    Report(
        "refused at once",
        sse(start(), delta("refusal", output_tokens=0), STOP),
        "",
        "refused",
        "content",
        (PROMPT, 0),
    ),
    Report(
        "cut by the model's context",
        sse(start(), says(), delta("model_context_window_exceeded", output_tokens=7), STOP),
        outcome="length",
        booked=_MESSAGES_TRUE,
    ),
]


async def test_answers_on_the_messages_wire(tmp_path: Any, sqlite_template: Any) -> None:
    await check(
        "messages",
        [*MESSAGES_ENDS, *MESSAGES_COUNTS, *MESSAGES_REFUSALS],
        tmp_path,
        sqlite_template,
    )


# --- audio ----------------------------------------------------------------------------------------


def _heard(after: After = "end", kind: str = "application/json", **more: Any) -> RawAnswer:
    body = json.dumps({"text": SAYS, **more}).encode()
    return RawAnswer((body,), after, kind)


def _list_audio() -> list[Report]:
    quota = {"error": {"code": "insufficient_quota", "message": "no"}}
    large = {"error": {"message": TPM, "type": "tokens", "code": "rate_limit_exceeded"}}
    return [
        # Its asker asks the next ones too: they didn't cause what nobody can have heard.
        Report(
            "nothing, for longer than it was",
            RawAnswer((b'{"text": "", "duration": 900000}',)),
            "",
            charged=(0, 0),
        ),
        *(
            Report(f"a length of {length!r}", _heard(duration=length), booked=(60, 0))
            for length in ("60.2", 60_200_000, None, 0, -1, 60)
        ),
        Report("as text", _heard(kind="text/plain", duration=60), booked=(60, 0)),
        *(
            Report(f"whole, then {after}", _heard(after, duration=60), booked=(60, 0))
            for after in ("close", "reset")
        ),
        Report(
            "one half", RawAnswer((b'{"text": "Sunny \\ud83d"}',)), "Sunny \ufffd", booked=(60, 0)
        ),
        _refused("no money under 200", http_error(200, quota), "supplier", moves=True),
        _refused("no money", http_error(403, {"code": "x", "error": XAI}), "supplier", moves=True),
        _refused("too large", http_error(429, large), "supplier", moves=False),
    ]


async def test_answers_on_the_audio_wire(tmp_path: Any, sqlite_template: Any) -> None:
    await check("audio", _list_audio(), tmp_path, sqlite_template)
