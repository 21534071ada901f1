"""The bytes of each wire that the fake supplier speaks: addresses, streams, errors, lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.peers.supplier_tools import THINKING, Called, hide, sign

if TYPE_CHECKING:
    from tests.peers.suppliers import Heard, Refuse, Used

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The header that names the organisation behind a key.
ORGANISATION = {
    "openai": "openai-organization",
    "anthropic": "anthropic-organization-id",
    "cloudflare": "cf-account",
}
#: What the adapter's base URL ends with.
PREFIXES = {"openai": "/v1", "anthropic": "", "cloudflare": "/client/v4"}

_FINISH = {
    "openai": {"filtered": "content_filter"},
    "cloudflare": {"filtered": "content_filter"},
    "anthropic": {
        "stop": "end_turn",
        "length": "max_tokens",
        "filtered": "refusal",
        "tool_calls": "tool_use",
    },
}


def routes(wire: str, call: Handler, listing: Handler) -> list[web.RouteDef]:
    """The addresses of a wire."""
    if wire == "anthropic":
        return [web.post("/v1/messages", call), web.get("/v1/models", listing)]
    if wire == "cloudflare":
        ai = "/client/v4/accounts/{account}/ai"
        return [
            web.post(f"{ai}/v1/chat/completions", call),
            web.get(f"{ai}/models/search", listing),
        ]
    return [web.post("/v1/chat/completions", call), web.get("/v1/models", listing)]


def key_of(wire: str, request: web.Request) -> str:
    """The key of a request; Anthropic reads both headers, the older one first."""
    bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return request.headers.get("x-api-key", bearer) if wire == "anthropic" else bearer


def size(body: dict[str, Any]) -> int:
    """A prompt's size as this fake counts it: words, without its pictures."""
    texts = [plain_system(body), *(text for text, _ in blocks(body))]
    return sum(len(text.split()) for text in texts if not is_picture(text))


#: What stands for a picture among the texts of a prompt, with a fingerprint of it.
_PICTURE = "picture:"


def blocks(body: dict[str, Any]) -> list[tuple[str, bool]]:
    """The texts of the prompt in order, what the system says first where it has blocks, and whether
    each ends a part that is to be cached; a picture is a word."""
    system = body.get("system")
    blocks_of_system = system if isinstance(system, list) else []
    found = [(str(one["text"]), "cache_control" in one) for one in blocks_of_system]
    for message in body.get("messages", []):
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content or []
        for part in parts:
            found += [(text, False) for text in _texts_in(part)]
            found.append((_text_of(part), "cache_control" in part))
        found += [(json.dumps(call), False) for call in message.get("tool_calls", ())]
    return found


def plain_system(body: dict[str, Any]) -> str:
    """What the system says where that is a text."""
    system = body.get("system")
    return system if isinstance(system, str) else ""


def _texts_in(part: dict[str, Any]) -> list[str]:
    """The texts and pictures in a tool's result."""
    inner = part.get("content", []) if part.get("type") == "tool_result" else []
    return [inner] if isinstance(inner, str) else [_text_of(one) for one in inner]


def is_picture(text: str) -> bool:
    """Whether a text of `blocks` stands for a picture."""
    return text.startswith(_PICTURE)


def _text_of(part: dict[str, Any]) -> str:
    if "text" in part:
        return str(part["text"])
    if "image" not in part["type"]:  # a call, a thought; a result's texts stand before it
        return "" if part["type"] == "tool_result" else json.dumps(part)
    picture = {name: value for name, value in part.items() if name != "cache_control"}
    return _PICTURE + hashlib.sha256(json.dumps(picture).encode()).hexdigest()


def listing(wire: str, models: Iterable[str], context: int) -> dict[str, Any]:
    """The list of models."""
    if wire == "cloudflare":
        return {"success": True, "errors": [], "result": [{"name": name} for name in models]}
    if wire == "anthropic":
        rows = [{"type": "model", "id": name, "max_input_tokens": context} for name in models]
        return {"data": rows, "has_more": False}
    rows = [{"id": name, "object": "model", "owned_by": "x"} for name in models]
    return {"object": "list", "data": rows}


def refusal(wire: str, refuse: Refuse) -> web.Response:
    """An error response."""
    headers = dict(refuse.headers)
    if refuse.retry_after is not None:
        headers["Retry-After"] = refuse.retry_after
    if refuse.body is not None:
        return web.Response(status=refuse.status, body=refuse.body, headers=headers)
    return web.json_response(error(wire, refuse), status=refuse.status, headers=headers)


def error(wire: str, refuse: Refuse) -> dict[str, Any]:
    """An error's body."""
    if wire == "cloudflare":
        code = int(refuse.code) if refuse.code.isdecimal() else 10_000
        errors = [{"code": code, "message": refuse.message}]
        return {"result": None, "success": False, "errors": errors, "messages": []}
    if wire == "anthropic":
        inner: dict[str, Any] = {"type": refuse.type, "message": refuse.message}
        if refuse.code:
            inner["details"] = {"error_code": refuse.code}
        return {"type": "error", "error": inner, "request_id": "req_1"}
    told = {"message": refuse.message, "type": refuse.type, "param": None}
    return {"error": {**told, "code": refuse.code or None}}


def _refuse(status: int, code: str, kind: str, message: str) -> Refuse:
    from tests.peers.suppliers import Refuse

    return Refuse(status, code=code, type=kind, message=message)


def bad_key(wire: str) -> Refuse:
    """The key is wrong."""
    if wire == "anthropic":
        return _refuse(401, "", "authentication_error", "invalid x-api-key")
    code = "10000" if wire == "cloudflare" else "invalid_api_key"
    return _refuse(401, code, "invalid_request_error", "Incorrect API key provided: sk-…")


def no_model(wire: str, model: str) -> Refuse:
    """The model is unknown to this key."""
    if wire == "anthropic":
        return _refuse(404, "", "not_found_error", f"model: {model}")
    code = "5007" if wire == "cloudflare" else "model_not_found"
    status = 400 if wire == "cloudflare" else 404
    return _refuse(status, code, "invalid_request_error", f"The model `{model}` does not exist")


def too_long(wire: str) -> Refuse:
    """The prompt is too long."""
    if wire == "anthropic":
        return _refuse(400, "", "invalid_request_error", "prompt is too long: 9 tokens > 8 maximum")
    code = "3006" if wire == "cloudflare" else "context_length_exceeded"
    return _refuse(400, code, "invalid_request_error", "maximum context length")


def answer_limit(body: dict[str, Any]) -> int:
    """The longest answer that a body asks for."""
    return int(body.get("max_completion_tokens", body.get("max_tokens", 0)))


def minute_too_small(limit: int, asked: int) -> Refuse:
    """Groq's: no minute of this key takes so much (413, as of 2026)."""
    message = (
        "Request too large for model `m` in organization `org_x` on tokens per minute (TPM): "
        f"Limit {limit}, Requested {asked}, please reduce your message size and try again."
    )
    return _refuse(413, "rate_limit_exceeded", "tokens", message)


def wrong_field(wire: str, body: dict[str, Any], sampling: list[str]) -> Refuse | None:
    """What the real one refuses in a body."""
    if sampling:
        message = f"{sampling[0]}: Extra inputs are not permitted"
        return _refuse(400, "unsupported_parameter", "invalid_request_error", message)
    if wire == "anthropic":
        if "max_tokens" not in body:
            return _refuse(400, "", "invalid_request_error", "max_tokens: Field required")
        if any(one["role"] == "system" or not one["content"] for one in body["messages"]):
            return _refuse(400, "", "invalid_request_error", "messages: not permitted")
        return None
    if "max_tokens" in body and "max_completion_tokens" in body:
        return _refuse(400, "invalid_value", "invalid_request_error", "both limits at once")
    if wire == "openai" and "max_tokens" in body and str(body["model"]).startswith(THINKING):
        return _refuse(400, "unsupported_parameter", "invalid_request_error", "'max_tokens'")
    return None


#: Names and first bytes of the files that are taken.
_FORMATS = {"flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"}
_BEGINNINGS = (b"OggS", b"RIFF", b"ID3", b"\xff\xfb", b"fLaC", b"\x1aE\xdf\xa3")
_FILE_BYTES_MAX = 25 << 20


async def form(request: web.Request) -> dict[str, Any]:
    """The fields of a multipart form, a file as (name, bytes)."""
    fields: dict[str, Any] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            fields[name] = (value.filename, value.file.read())
            value.file.close()
        else:
            fields[name] = value
    return fields


def wrong_file(body: dict[str, Any]) -> Refuse | None:
    """What the real one refuses of a transcription."""
    told = body.get("response_format", "json")
    if told == "verbose_json" and "whisper" not in str(body["model"]):
        message = f"response_format '{told}' is not compatible with model '{body['model']}'"
        return _refuse(400, "unsupported_value", "invalid_request_error", message)
    if not isinstance(body.get("file"), tuple):
        return _refuse(400, "", "invalid_request_error", "file: Field required")
    name, content = body["file"]
    if len(content) > _FILE_BYTES_MAX:
        return _refuse(413, "", "server_error", "Maximum content size limit (26214400) exceeded")
    if name.rpartition(".")[2] not in _FORMATS:
        return _refuse(400, "", "invalid_request_error", "Invalid file format.")
    if not content.startswith(_BEGINNINGS) and content[4:8] != b"ftyp":
        message = "The audio file could not be decoded or its format is not supported."
        return _refuse(400, "", "invalid_request_error", message)
    return None


def heard(body: dict[str, Any], said: Heard) -> dict[str, Any]:
    """A transcription in the form that was asked for."""
    told: dict[str, Any] = {"text": said.text}
    if body.get("response_format") == "verbose_json":
        told |= {"task": "transcribe", "language": "english", "segments": []}
        if said.duration is not None:
            told["duration"] = said.duration
    if said.seconds is not None:
        told["usage"] = {"type": "duration", "seconds": said.seconds}
    return told


#: Who reports usage in every stream.
_TELLING_USAGE_UNASKED = {"mistral"}


class Stream:
    """The events of one answer."""

    def __init__(
        self,
        wire: str,
        body: dict[str, Any],
        used: Used | None,
        *,
        plays: str = "",
        organisation: str = "",
    ) -> None:
        self.wire, self.used, self.organisation = wire, used, organisation
        self.model = str(body.get("model"))
        is_asked = (body.get("stream_options") or {}).get("include_usage") is True
        self.with_usage = is_asked or plays in _TELLING_USAGE_UNASKED
        #: Anthropic's: the number of the block that is open, and whether it is one of text.
        self._block, self._is_text = -1, False
        self._calls = -1

    def opening(self) -> bytes:
        """What comes before the first word."""
        if self.wire == "anthropic":
            usage = {**self._anthropic_prompt(), "output_tokens": 1} if self.used else None
            message = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
            start = {"type": "message_start", "message": {**message, "usage": usage}}
            return _named(start) + _named({"type": "ping"})
        return self._data({"role": "assistant", "content": ""})

    def thinking(self, thoughts: tuple[str, ...], *, is_hidden: bool) -> bytes:
        """Pieces of reasoning, and what of it isn't told."""
        if self.wire != "anthropic":
            return b"".join(self._data({"reasoning_content": one}) for one in thoughts)
        said = b""
        if thoughts:
            block = {"type": "thinking", "thinking": "", "signature": ""}
            signature = sign(self.organisation, "".join(thoughts))
            said = self._start(block)
            for one in thoughts:
                said += self._delta({"type": "thinking_delta", "thinking": one})
            said += self._delta({"type": "signature_delta", "signature": signature})
        if is_hidden:
            said += self._start({"type": "redacted_thinking", "data": hide(self.organisation)})
        return said

    def chunk(self, text: str) -> bytes:
        """A piece of the answer."""
        if self.wire == "anthropic":
            start = b"" if self._is_text else self._start({"type": "text", "text": ""})
            self._is_text = True
            return start + self._delta({"type": "text_delta", "text": text})
        return self._data({"content": text})

    def call(self, called: Called) -> list[bytes]:
        """A tool's call in pieces: its name, then its arguments."""
        self._calls += 1
        if self.wire == "anthropic":
            block = {"type": "tool_use", "id": called.id, "name": called.name, "input": {}}
            pieces = ("", *(one for one in called.arguments if one != "{}"))
            start = self._start(block)
            return [start] + [
                self._delta({"type": "input_json_delta", "partial_json": one}) for one in pieces
            ]
        function = {"name": called.name, "arguments": ""}
        head = {"id": called.id, "type": "function", "function": function}
        pieces = [head, *({"function": {"arguments": one}} for one in called.arguments)]
        return [self._data({"tool_calls": [{"index": self._calls, **one}]}) for one in pieces]

    def list_call_texts(self, called: Called) -> list[str]:
        """What counts of each of a call's pieces."""
        if self.wire == "anthropic":
            return [called.name, "", *(one for one in called.arguments if one != "{}")]
        return [called.name, *called.arguments]

    def failure(self) -> bytes:
        """An error inside the stream."""
        if self.wire == "anthropic":
            inner = {"type": "overloaded_error", "message": "Overloaded"}
            return _named({"type": "error", "error": inner})
        return _data({"error": {"message": "boom", "type": "server_error", "code": None}})

    def ending(self, finish: str, stop_sequence: str = "") -> bytes:
        """The finish, the usage, the end mark."""
        reason = _FINISH[self.wire].get(finish, finish)
        if self.wire == "anthropic":
            usage = self._anthropic_answer() if self.used else {}
            told = {"stop_reason": reason, "stop_sequence": None}
            if stop_sequence:
                told = {"stop_reason": "stop_sequence", "stop_sequence": stop_sequence}
            delta = {"type": "message_delta", "delta": told, "usage": usage}
            return self._stop() + _named(delta) + _named({"type": "message_stop"})
        tail = b"data: [DONE]\n\n"
        if self.used is not None and self.with_usage:
            tail = _data({**self._head(), "choices": [], "usage": self._usage()}) + tail
        return self._data({}, finish=reason) + tail

    def _start(self, block: dict[str, Any]) -> bytes:
        stop = self._stop()
        self._block, self._is_text = self._block + 1, False
        start = {"type": "content_block_start", "index": self._block, "content_block": block}
        return stop + _named(start)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _named({"type": "content_block_delta", "index": self._block, "delta": delta})

    def _stop(self) -> bytes:
        if self._block < 0:
            return b""
        return _named({"type": "content_block_stop", "index": self._block})

    def _head(self) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": self.model}

    def _data(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        extra = {"usage": None, "obfuscation": "x7"} if self.with_usage else {}
        return _data({**self._head(), "choices": [choice], **extra})

    def _usage(self) -> dict[str, Any]:
        assert self.used is not None
        thought = self.used.thought
        details = {"completion_tokens_details": {"reasoning_tokens": thought}}
        return {
            "prompt_tokens": self.used.input,
            "completion_tokens": self.used.output,
            "total_tokens": self.used.input + self.used.output,
            "prompt_tokens_details": {
                "cached_tokens": self.used.cached,
                "cache_write_tokens": self.used.written,
            },
            **({} if thought is None else details),
        }

    def _anthropic_prompt(self) -> dict[str, int]:
        assert self.used is not None
        return {
            "input_tokens": self.used.input - self.used.cached - self.used.written,
            "cache_read_input_tokens": self.used.cached,
            "cache_creation_input_tokens": self.used.written,
        }

    def _anthropic_answer(self) -> dict[str, Any]:
        assert self.used is not None
        thought = self.used.thought
        details = {"output_tokens_details": {"thinking_tokens": thought}}
        return {"output_tokens": self.used.output, **({} if thought is None else details)}


def _data(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _named(event: dict[str, Any]) -> bytes:
    return b"event: " + str(event["type"]).encode() + b"\n" + _data(event)
