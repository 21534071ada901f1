"""How answers end, byte for byte as gateways and servers were seen to end them: an answer is whole
when its end was told, whatever the connection does afterwards.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, get_args

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr

from core.money import Tokens
from core.pool.providers import endings, http
from core.pool.providers.answer_text import AnswerText, max_answer_bytes
from core.pool.providers.anthropic import AnthropicAdapter
from core.pool.providers.endings import FinishReason, read_finish_reason
from core.pool.providers.openai import OpenAIAdapter
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Fault,
    Finish,
    ModelCall,
    ReasoningDelta,
    StreamEvent,
    SupplierFault,
    TextDelta,
    Usage,
)
from tests.peers.raw_supplier import After, RawAnswer, raw_supplier

CALL = ModelCall("m", (ChatMessage("user", "Why?"),), Tokens(500))
USAGE = Usage(Tokens(30), Tokens(7))
BADLY: tuple[After, ...] = ("close", "reset", "silent", "keep-alive")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_AFTER_USAGE_SECONDS", 0.05)
    monkeypatch.setattr(endings, "_FOR_USAGE_SECONDS", 0.2)
    monkeypatch.setattr(http, "_DRAIN_SECONDS", 0.05)


async def read(
    client: http.SupplierClient, answer: RawAnswer, *, wire: str = "openai"
) -> list[StreamEvent]:
    """All events; every answer is over long before the patience of a test is."""
    adapter = OpenAIAdapter(client) if wire == "openai" else AnthropicAdapter(client)
    async with raw_supplier(answer) as supplier, asyncio.timeout(20):
        target = CallTarget(supplier.url, SecretStr("sk-x"))
        return [event async for event in adapter.stream(target, CALL)]


def data(**chunk: Any) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def text(content: str) -> bytes:
    return data(choices=[{"index": 0, "delta": {"content": content}}])


def finish(reason: str | None = "stop", **more: Any) -> bytes:
    return data(choices=[{"index": 0, "delta": {}, "finish_reason": reason}], **more)


def used(prompt: int = 30, answer: int = 7) -> dict[str, int]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }


DONE = b"data: [DONE]\n\n"
WHOLE = [TextDelta("It scatters."), Finish("stop", USAGE)]


# --- answers that never come ----------------------------------------------------------------------

NOTHING = {
    "openai": data(choices=[{"index": 0, "delta": {}}]),
    "anthropic": b'event: ping\ndata: {"type": "ping"}\n\n',
}


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_events_that_bring_nothing_come_to_an_end(
    client: http.SupplierClient, wire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "EMPTY_EVENTS_MAX", 50)
    with pytest.raises(SupplierFault, match="empty") as fault:
        await read(client, RawAnswer([NOTHING[wire] * 60]), wire=wire)
    assert fault.value.kind == Fault.UNAVAILABLE
    if wire == "openai":
        patient = (NOTHING[wire] * 40 + text("It ")) * 3 + text("scatters.") + finish() + DONE
        assert len(await read(client, RawAnswer([patient]))) == 5


# --- OpenAI's wire ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", BADLY)
@pytest.mark.parametrize("done", [True, False])
async def test_what_the_connection_does_after_the_end_changes_nothing(
    client: http.SupplierClient, after: After, done: bool
) -> None:
    pieces = [text("It scatters."), finish(), data(choices=[], usage=used()), *[DONE][: int(done)]]
    assert await read(client, RawAnswer(pieces, after)) == WHOLE


@pytest.mark.parametrize("after", BADLY)
async def test_usage_that_never_comes_is_unknown(client: http.SupplierClient, after: After) -> None:
    pieces = [text("It scatters."), finish()]
    assert await read(client, RawAnswer(pieces, after)) == [WHOLE[0], Finish("stop", None)]


@pytest.mark.parametrize("done", [DONE, b"data: [DONE] \n\n", b"data:[DONE]", b"data:  [DONE]\r\n"])
async def test_done_is_an_end_without_a_reason(client: http.SupplierClient, done: bytes) -> None:
    pieces = [text("It scatters."), data(choices=[], usage=used()), done]
    assert await read(client, RawAnswer(pieces, "reset")) == WHOLE


@pytest.mark.parametrize("after", ["end", "close", "reset"])
async def test_an_answer_whose_end_was_not_told_is_cut(
    client: http.SupplierClient, after: After
) -> None:
    with pytest.raises(SupplierFault) as refused:
        await read(client, RawAnswer([text("It scat")], after))
    assert refused.value.kind is Fault.NETWORK


async def test_a_later_zero_undoes_no_usage(client: http.SupplierClient) -> None:
    zero = data(choices=[], usage=used(0, 0))
    pieces = [text("It scatters."), finish(usage=used()), zero, data(usage=None), DONE]
    assert await read(client, RawAnswer(pieces)) == WHOLE
    assert (await read(client, RawAnswer([text("x"), finish(), zero, DONE])))[-1] == Finish(
        "stop", None
    )


async def test_counts_of_usage_only_grow(client: http.SupplierClient) -> None:
    pieces = [text("It scatters."), finish(usage=used()), data(choices=[], usage=used(0, 7)), DONE]
    assert await read(client, RawAnswer(pieces)) == WHOLE
    early = data(choices=[], usage=used(30, 1))
    assert await read(client, RawAnswer([early, *pieces[:2], DONE])) == WHOLE


@pytest.mark.parametrize("reason", ["error", "ERROR", "network_error", "abort"])
async def test_a_reason_that_is_a_failure_ends_no_answer(
    client: http.SupplierClient, reason: str
) -> None:
    assert endings.is_failure(reason)
    assert not endings.is_failure("ERROR_TOXIC")
    with pytest.raises(SupplierFault) as refused:
        await read(client, RawAnswer([text("It"), finish(reason, usage=used()), DONE]))
    assert refused.value.kind is Fault.UNAVAILABLE


async def test_what_has_no_shape_after_the_end_is_no_fault(client: http.SupplierClient) -> None:
    odd = [data(choices=[None]), data(choices="x", usage=7)]
    pieces = [text("It scatters."), finish(usage=used()), *odd, DONE]
    assert await read(client, RawAnswer(pieces)) == WHOLE
    odd = [event("message_delta", delta="x", usage=[]), STOP]
    answer = RawAnswer([START, SAYS, delta(output_tokens=7), *odd])
    assert await read(client, answer, wire="anthropic") == WHOLE


async def test_thoughts_beside_text_are_thoughts(client: http.SupplierClient) -> None:
    both = {"content": "It scatters.", "reasoning_content": "Hm."}
    stream = [data(choices=[{"delta": both}]), finish(usage=used()), DONE]
    assert await read(client, RawAnswer(stream)) == [ReasoningDelta("Hm."), *WHOLE]
    message = {"choices": [{"message": both, "finish_reason": "stop"}], "usage": used()}
    bare = RawAnswer([json.dumps(message).encode()], content_type="application/json")
    assert await read(client, bare) == [ReasoningDelta("Hm."), *WHOLE]


async def test_a_prompt_that_is_blocked_is_filtered(client: http.SupplierClient) -> None:
    pieces = [data(choices=[], usage=used(30, 0)), DONE]
    blocked = Finish("filtered", Usage(Tokens(30), Tokens(0)))
    assert await read(client, RawAnswer(pieces)) == [blocked]


async def test_an_error_before_the_end_is_one_and_after_it_is_none(
    client: http.SupplierClient,
) -> None:
    wrong = data(error={"message": "overloaded", "type": "server_error"})
    with pytest.raises(SupplierFault) as refused:
        await read(client, RawAnswer([text("It"), wrong, DONE]))
    assert refused.value.kind is Fault.UNAVAILABLE
    pieces = [text("It scatters."), finish(), data(usage=used()), wrong, b"data: {nonsense\n\n"]
    assert await read(client, RawAnswer(pieces)) == WHOLE


# --- framing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json", "text/plain"])
async def test_a_body_is_read_by_what_it_is(client: http.SupplierClient, content_type: str) -> None:
    stream = [text("It scatters."), finish(), data(choices=[], usage=used()), DONE]
    assert await read(client, RawAnswer(stream, content_type=content_type)) == WHOLE
    message = {"message": {"content": "It scatters."}, "finish_reason": "stop"}
    whole = json.dumps({"choices": [message], "usage": used()}, indent=1).encode()
    for pieces in ([whole], [b"\xef\xbb\xbf", b" \n", whole[:9], whole[9:]]):
        assert await read(client, RawAnswer(pieces, content_type=content_type)) == WHOLE
    error = json.dumps({"error": {"code": "insufficient_quota", "message": "no"}}).encode()
    with pytest.raises(SupplierFault) as refused:
        await read(client, RawAnswer([error], content_type=content_type))
    assert refused.value.kind is Fault.NO_FUNDS


@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("parted", [1, 2])
async def test_events_are_parted_by_any_newline_once_or_twice(
    client: http.SupplierClient, newline: bytes, parted: int
) -> None:
    lines = [text("It scatters."), finish(), data(choices=[], usage=used()), DONE]
    stream = b"".join(line.strip() + newline * parted for line in lines)
    for size in (1, 3, len(stream)):
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert await read(client, RawAnswer(pieces)) == WHOLE


@pytest.mark.parametrize("after", BADLY)
@pytest.mark.parametrize("ends", [[DONE], [finish()], [finish(), data(usage=used())]])
async def test_an_end_without_a_blank_line_is_not_waited_for(
    client: http.SupplierClient, after: After, ends: list[bytes]
) -> None:
    pieces = [piece.removesuffix(b"\n") for piece in (text("It "), text("scatters."), *ends)]
    events = await read(client, RawAnswer(pieces, after))
    assert events[:2] == [TextDelta("It "), TextDelta("scatters.")]
    assert isinstance(events[2], Finish)


async def test_an_error_after_a_line_that_is_whole_comes_after_it(
    client: http.SupplierClient,
) -> None:
    """Without a field, or in llama.cpp's, and with no blank line between."""
    wrong = b'{"error":{"code":"insufficient_quota","message":"no"}}'
    for line in (b"error: " + wrong, wrong):
        adapter = OpenAIAdapter(client)
        answer = RawAnswer([text("It scat").removesuffix(b"\n"), line + b"\n"], "close")
        async with raw_supplier(answer) as supplier:
            events = adapter.stream(CallTarget(supplier.url, SecretStr("sk-x")), CALL)
            assert await anext(events) == TextDelta("It scat")
            with pytest.raises(SupplierFault) as refused:
                await anext(events)
        assert refused.value.kind is Fault.NO_FUNDS


async def test_an_error_in_a_list_is_an_event_by_itself(client: http.SupplierClient) -> None:
    listed = json.dumps([{"error": {"code": 400, "message": "prompt is too long"}}]).encode()
    with pytest.raises(SupplierFault) as refused:
        await read(client, RawAnswer([b"data: " + listed + b"\n", b"data: [DONE]\n"]))
    assert refused.value.kind is Fault.TOO_LONG


async def test_an_error_may_be_a_field_of_its_own(client: http.SupplierClient) -> None:
    words = b'error: {"code":"context_length_exceeded","message":"too many tokens"}\n\n'
    with pytest.raises(SupplierFault) as refused:
        await read(client, RawAnswer([words, DONE]))
    assert refused.value.kind is Fault.TOO_LONG


# --- Anthropic's wire ---------------------------------------------------------------------------


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\n".encode() + data(type=kind, **more)


START = event("message_start", message={"usage": {"input_tokens": 30, "output_tokens": 1}})
SAYS = event("content_block_delta", delta={"type": "text_delta", "text": "It scatters."})
STOP = event("message_stop")


def delta(reason: str | None = "end_turn", **usage: int) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage=usage or None)


@pytest.mark.parametrize("after", BADLY)
@pytest.mark.parametrize("ends", [[delta(output_tokens=7)], [delta(output_tokens=7), STOP]])
async def test_a_message_is_whole_when_its_end_was_told(
    client: http.SupplierClient, after: After, ends: list[bytes]
) -> None:
    answer = RawAnswer([START, SAYS, *ends], after)
    assert await read(client, answer, wire="anthropic") == WHOLE


async def test_message_stop_is_an_end_without_a_reason(client: http.SupplierClient) -> None:
    answer = RawAnswer([START, SAYS, delta(None, output_tokens=7), STOP], "reset")
    assert await read(client, answer, wire="anthropic") == WHOLE


async def test_a_beginning_is_no_count_and_a_zero_undoes_none(
    client: http.SupplierClient,
) -> None:
    unknown = RawAnswer([START, SAYS, delta(), STOP])
    assert (await read(client, unknown, wire="anthropic"))[-1] == Finish("stop", None)
    cached = {"input_tokens": 30, "cache_read_input_tokens": 900, "output_tokens": 1}
    start = event("message_start", message={"usage": cached})
    end = delta(input_tokens=0, cache_read_input_tokens=0, output_tokens=7)
    finished = (await read(client, RawAnswer([start, SAYS, end, STOP]), wire="anthropic"))[-1]
    assert finished == Finish("stop", Usage(Tokens(930), Tokens(7), cached=Tokens(900)))


async def test_an_answer_of_no_tokens_has_a_prompt(client: http.SupplierClient) -> None:
    refused = RawAnswer([START, delta("refusal", output_tokens=0), STOP])
    finished = Finish("filtered", Usage(Tokens(30), Tokens(0)))
    assert await read(client, refused, wire="anthropic") == [finished]
    nothing = event("message_start", message={"usage": {"input_tokens": 0}})
    answer = RawAnswer([nothing, SAYS, delta(output_tokens=0), STOP])
    assert (await read(client, answer, wire="anthropic"))[-1] == Finish("stop", None)


async def test_a_whole_message_and_an_error_under_200(client: http.SupplierClient) -> None:
    message = {
        "type": "message",
        "content": [{"type": "thinking", "thinking": ""}, {"type": "text", "text": "It scatters."}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 30, "output_tokens": 7},
    }
    answer = RawAnswer([json.dumps(message).encode()], content_type="application/json")
    assert await read(client, answer, wire="anthropic") == [ReasoningDelta(), *WHOLE]
    wrong = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    with pytest.raises(SupplierFault) as refused:
        await read(client, RawAnswer([json.dumps(wrong).encode()]), wire="anthropic")
    assert refused.value.kind is Fault.UNAVAILABLE


@pytest.mark.parametrize("kind", ["thinking_delta", "signature_delta"])
async def test_thoughts_that_are_not_told_are_thoughts(
    client: http.SupplierClient, kind: str
) -> None:
    signed = event("content_block_delta", delta={"type": kind, "signature": "x"})
    answer = RawAnswer([START, signed, SAYS, delta(output_tokens=7), STOP])
    thought = ReasoningDelta(signature="x")
    assert await read(client, answer, wire="anthropic") == [thought, *WHOLE]


# --- what reasons mean --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        *[(word, "stop") for word in ("stop", "end_turn", "STOP", "eos", "stop_sequence", "")],
        *[(word, "length") for word in ("length", "max_tokens", "MAX_TOKENS", "model_length")],
        *[(word, "length") for word in ("max_output_tokens", "model_context_window_exceeded")],
        *[(word, "length") for word in ("MaxTokens", "token-limit", "FINISH_REASON_MAX_TOKENS")],
        *[(word, "filtered") for word in ("content_filter", "content-filter", "SAFETY")],
        *[(word, "filtered") for word in ("content_filter: PROHIBITED_CONTENT", "sensitive")],
        *[(word, "filtered") for word in ("refusal", "RECITATION", "guardrail_intervened", "SPII")],
        *[(word, "filtered") for word in ("ContentFilter", "BLOCKLIST", "blocked")],
    ],
)
async def test_reasons_in_any_spelling(reason: str, meaning: FinishReason) -> None:
    assert meaning in get_args(FinishReason)
    assert read_finish_reason(reason) == meaning


# --- text ---------------------------------------------------------------------------------------


def shown(*pieces: str) -> str:
    answer, events = AnswerText(), []
    for piece in pieces:
        events += answer.add_piece(piece)
    events += answer.finish()
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_halves_of_a_pair_become_a_character_or_its_replacement() -> None:
    assert shown("Sunny \ud83d", "\ude00 day") == "Sunny 😀 day"
    assert shown("Sunny \ud83d") == "Sunny �"
    assert shown("\ude00 day", "\ud83d", " and night") == "� day� and night"
    assert shown("nul\0") == "nul�"


@given(st.lists(st.text(st.characters(exclude_categories=()), max_size=8), max_size=6))
def test_any_text_can_be_stored_however_it_is_cut(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert shown(*pieces) == shown(text)
    shown(text).encode()
    assert "\0" not in shown(text)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_no_more_text_is_taken_than_a_limit_can_be(size: int) -> None:
    limit = Tokens(100)
    most = max_answer_bytes(limit)
    answer, events = AnswerText(most), []
    text = "<think>" + "x" * 10_000 + "</think>" + "天" * most
    for at in range(0, len(text), size):
        events += answer.add_piece(text[at : at + size])
    shown_text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert answer.is_cut
    assert shown_text == "天" * (most // 3)
    assert not AnswerText(most).is_cut


def test_blanks_before_an_answer_are_its_own_when_there_are_many() -> None:
    few, many = " " * 100, " " * 1_000
    assert shown(few, "<think>hm</think>It") == "It"
    assert shown(many, "It") == many + "It"


def test_thoughts_in_the_text_are_not_shown() -> None:
    answer = "\n<think>\nLet me see… </thin k>\n</think>\n\nIt scatters. <think>not these</think>"
    for size in (1, 2, 5, len(answer)):
        pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
        assert shown(*pieces) == "It scatters. <think>not these</think>"
    assert shown("<think>for ever") == ""
    assert shown("<thin") == "<thin"
    assert shown("<thing>") == "<thing>"
    assert shown("Use <think> for it") == "Use <think> for it"
    assert list(AnswerText().add_piece("<think>hm")) == [ReasoningDelta()]
