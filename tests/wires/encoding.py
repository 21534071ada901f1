"""The bytes of a generated answer, as a server of its wire sends them. Nothing of the product is
used here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.peers.raw_supplier import RawAnswer
from tests.wires.cases import Case, Told

#: An event: its name on Anthropic's wire, and its JSON, or a line of its own.
Event = tuple[str, Any] | bytes


def encode_case(case: Case) -> RawAnswer:
    """What a server answers to the case's question."""
    error = case.error
    if error is not None and case.error_at is None:
        is_text = isinstance(error.body, str)
        body = error.body.encode() if is_text else _dump(case, error.body)
        kind = "text/plain" if is_text else "application/json"
        return RawAnswer((body,), case.after, kind, error.status, case.framing)
    if case.is_bare:
        body = _dump(case, _whole(case) if error is None else error.body, indent=case.many_lines)
        pieces = list(_cut(body, case.piece_bytes))
    else:
        lines = [_write(case, event) for event in _list_events(case)]
        lines[0] = case.opening.replace(b"\n", case.newline) + lines[0]
        pieces = lines if not case.piece_bytes else list(_cut(b"".join(lines), case.piece_bytes))
    return RawAnswer(pieces, case.after, case.content_type, 200, case.framing)


def _cut(body: bytes, size: int) -> Iterator[bytes]:
    size = size or len(body) or 1
    return (body[at : at + size] for at in range(0, len(body), size))


def _dump(case: Case, value: Any, *, indent: bool = False) -> bytes:
    text = json.dumps(value, ensure_ascii=case.escapes, indent=1 if indent else None)
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a pair: only an escape can carry it
        return json.dumps(value, indent=1 if indent else None).encode()


def _write(case: Case, event: Event) -> bytes:
    """One event in the case's way of writing."""
    end = case.newline if case.is_narrow else case.newline * 2
    space = b" " if case.has_space else b""
    comment = b": keep-alive" + end if case.comments else b""
    if isinstance(event, bytes):
        return comment + event + end
    name, value = event
    lines = [f"event: {name}".encode()] if name else []
    content = _dump(case, value, indent=case.many_lines)
    lines += [b"data:" + space + line for line in content.split(b"\n")]
    if case.comments:
        lines.insert(0, b"id: 7")
    return comment + case.newline.join(lines) + end


def _list_events(case: Case) -> Iterator[Event]:
    events = _list_chat(case) if case.wire == "chat" else _list_messages(case)
    yield from events


def _error_event(case: Case) -> Event:
    assert case.error is not None
    body = case.error.body
    match case.error_form:
        case "field":
            return b"error: " + _dump(case, body["error"])
        case "line":
            return _dump(case, body)
        case "choice":
            choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
            return "", {**body, "choices": [choice]}
        case "event":
            return "error", body
    return ("error" if case.wire == "messages" else ""), body


# --- chat -----------------------------------------------------------------------------------------


def _list_chat(case: Case) -> Iterator[Event]:
    usages = [None if told is None else _chat_usage(case, told) for told in case.told]
    is_first = case.usage_form == "first only"
    if not (case.is_blocked and case.error is None):
        yield _chunk({"role": "assistant", "content": ""}, **_first(usages, is_first))
    if case.thinking == "parts":
        yield _chunk({"content": [_THOUGHT]})
    elif case.thinking and case.thinking not in {"tags", "both"}:
        yield _chunk({case.thinking: "Let me see."})
    for number, piece in enumerate(case.pieces):
        if case.error_at == number:
            yield _error_event(case)
        delta = _say(case, piece)
        if case.thinking == "both" and number == 0:
            delta["reasoning_content"] = "Hm."
        yield _chunk(delta)
    if case.error_at == len(case.pieces):
        yield _error_event(case)
    ends_with = None if is_first or not usages else usages[0]
    if case.reason is not None:
        with_reason = {} if ends_with is None or case.marks else {"usage": ends_with}
        yield _chunk({}, case.reason, **with_reason)
    if usages and not is_first:
        for usage in usages:
            yield "", {"id": "1", "choices": [], "usage": usage}
    marks = [case.mark] * case.marks
    junk: list[Event] = []
    if case.junk:
        junk = [b"data: {nonsense", ("", {"error": {"message": "overloaded"}})]
        junk += [("", {"choices": [None]}), ("", {"choices": "x", "usage": 7})]
    yield from (*junk, *marks) if case.reason is not None else (*marks, *junk)


#: A part of Mistral's content.
_THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Let me see."}]}


def _say(case: Case, text: str) -> dict[str, Any]:
    if case.text_form == "parts":
        return {"content": [{"type": "text", "text": text}]}
    return {case.text_form: text}


def _first(usages: list[Any], is_first: bool) -> dict[str, Any]:
    return {"usage": usages[0]} if is_first and usages else {}


def _chunk(delta: Any, reason: str | None = None, **more: Any) -> Event:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return "", {"id": "1", "object": "chat.completion.chunk", "choices": [choice], **more}


def _chat_usage(case: Case, told: Told) -> dict[str, Any]:
    usage: dict[str, Any] = {"prompt_tokens": told.input, "completion_tokens": told.output}
    try:
        usage["total_tokens"] = told.input + told.output
    except TypeError:
        usage["total_tokens"] = None
    if case.usage_form == "reasoning in total":
        usage["completion_tokens"] = case.tokens[0]
    if case.usage_form == "reasoning":
        thoughts = told.output - case.tokens[0]
        usage["completion_tokens_details"] = {"reasoning_tokens": thoughts}
    if told.cached or told.written:
        usage["prompt_tokens_details"] = {
            "cached_tokens": told.cached,
            "cache_write_tokens": told.written,
        }
    return usage


def _whole(case: Case) -> Any:
    """The answer as one JSON document."""
    usages = [None if told is None else told for told in case.told]
    text = "".join(case.pieces)
    if case.wire == "audio":
        length = {} if case.duration is None else {"duration": case.duration}
        billed = {} if case.billed is None else {"usage": {"seconds": case.billed}}
        return {"text": text, **length, **billed}
    if case.wire == "chat":
        message = {"role": "assistant", **_say(case, text)}
        if case.thinking == "parts":
            message["content"] = [_THOUGHT, {"type": "text", "text": text}]
        elif case.thinking and case.thinking != "tags":
            name = "reasoning_content" if case.thinking == "both" else case.thinking
            message[name] = "Let me see."
        choice = {"index": 0, "message": message, "finish_reason": case.reason}
        last = {} if not usages else {"usage": usages[-1] and _chat_usage(case, usages[-1])}
        return {"id": "1", "object": "chat.completion", "choices": [choice], **last}
    blocks = [*_thinking_blocks(case), {"type": "text", "text": text}]
    last = {} if not usages else {"usage": usages[-1] and _messages_usage(usages[-1])}
    return {"type": "message", "content": blocks, "stop_reason": case.reason, **last}


# --- messages -------------------------------------------------------------------------------------


def _messages_usage(told: Told) -> dict[str, Any]:
    uncached = told.input
    if told.cached or told.written:
        uncached = told.input - told.cached - told.written
    return {
        "input_tokens": uncached,
        "cache_read_input_tokens": told.cached,
        "cache_creation_input_tokens": told.written,
        "output_tokens": told.output,
    }


def _thinking_blocks(case: Case) -> list[dict[str, Any]]:
    match case.thinking:
        case "block":
            return [{"type": "thinking", "thinking": "Let me see.", "signature": "x"}]
        case "signature":
            return [{"type": "thinking", "thinking": "", "signature": "x"}]
        case "redacted":
            return [{"type": "redacted_thinking", "data": "x"}]
    return []


def _list_messages(case: Case) -> Iterator[Event]:
    usages = [None if told is None else _messages_usage(told) for told in case.told]
    start: dict[str, Any] = {"type": "message", "role": "assistant", "content": []}
    if usages and usages[0] is not None:
        start["usage"] = {**usages[0], "output_tokens": 1}
    yield _event("message_start", message=start)
    yield _event("ping")
    for block in _thinking_blocks(case):
        yield from _thinking_events(block)
    yield _event("content_block_start", index=1, content_block={"type": "text", "text": ""})
    for number, piece in enumerate(case.pieces):
        if case.error_at == number:
            yield _error_event(case)
        delta = {"type": "text_delta", "text": piece}
        yield _event("content_block_delta", index=1, delta=delta)
    if case.error_at == len(case.pieces):
        yield _error_event(case)
    yield _event("content_block_stop", index=1)
    told = [] if case.usage_form == "first only" else usages
    if case.reason is not None or told:
        for number, usage in enumerate(told or [None]):
            reason = case.reason if number == 0 else None
            more = {} if usage is None and case.usage_form != "null" else {"usage": usage}
            yield _event("message_delta", delta={"stop_reason": reason}, **more)
    marks = [_event("message_stop")] * case.marks
    junk: list[Event] = []
    if case.junk:
        junk = [b"data: {nonsense", _event("message_delta", delta="x", usage=[])]
        overloaded = {"type": "overloaded_error", "message": "Overloaded"}
        junk.append(_event("error", error=overloaded))
    yield from (*junk, *marks) if case.reason is not None else (*marks, *junk)


def _thinking_events(block: dict[str, Any]) -> Iterator[Event]:
    if block["type"] != "thinking":
        yield _event("content_block_start", index=0, content_block=block)
        return
    opened = {**block, "thinking": "", "signature": ""}
    yield _event("content_block_start", index=0, content_block=opened)
    if block["thinking"]:
        delta = {"type": "thinking_delta", "thinking": block["thinking"]}
        yield _event("content_block_delta", index=0, delta=delta)
    signed = {"type": "signature_delta", "signature": "x"}
    yield _event("content_block_delta", index=0, delta=signed)


def _event(kind: str, **more: Any) -> Event:
    return kind, {"type": kind, **more}
