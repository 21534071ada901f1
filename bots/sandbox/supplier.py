"""The demo's supplier: every model of the catalogue on loopback, on the OpenAI wire.

It takes keys of its own, refuses what the real one refuses, streams at a human pace, and tells
usage in counted tokens, or in the seconds that a file says it has, so that the bot in front of it
can't tell the difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from bots.chat.audio import AUDIO_BYTES_MAX, make_supplier_filename
from bots.sandbox import answers
from bots.sandbox.messages import (
    RequestRefused,
    SandboxMessage,
    look_at_pictures,
    parse_messages,
)
from bots.sandbox.pictures import SeenPicture
from bots.sandbox.tool_answers import ToolCall, ToolRequest, parse_tool_request
from core.audio.length import count_length
from core.money import Tokens
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.token_counter import count_message_tokens, count_tokens

#: What models that reason don't take.
_UNSUPPORTED = (
    *("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "stop"),
)
#: Eight pictures, each as large as they are sent at most, in base64: as much as Anthropic takes.
_BODY_BYTES_MAX = 32 << 20
#: Of a form with a file: the fields beside it are small.
_FORM_BYTES_MAX = AUDIO_BYTES_MAX + (1 << 20)
_STOP_SECONDS = 0.2
#: Of dollars in a key's own name.
_DIGITS_MAX = 6
#: A piece of a stream: a few words with the space after them.
_PIECE = re.compile(r"(?:\S+\s*){1,3}|\s+")
#: A limit for callers that set none.
_DEFAULT_LIMIT = 4_096


@dataclass(frozen=True, slots=True)
class _CompletionRequest:
    """A request for a completion that was found good."""

    model: Model
    route: Route
    messages: tuple[SandboxMessage, ...]
    limit: int
    stream: bool
    with_usage: bool
    tools: ToolRequest
    #: What describes the tools and the answer's form: it counts as prompt.
    told: str

    @property
    def questions(self) -> tuple[str, ...]:
        """The texts of its person."""
        return tuple(message.text for message in self.messages if message.role == "user")


@dataclass(frozen=True, slots=True)
class _Answer:
    """A text, or a call of a tool, and why it ends."""

    text: str
    reason: Literal["stop", "length", "tool_calls"]
    call: ToolCall | None = None

    def list_deltas(self, pieces: Sequence[str]) -> list[dict[str, Any]]:
        """What a stream says of it; a call's arguments are in the pieces, too."""
        if self.call is None:
            return [{"content": piece} for piece in pieces]
        begun = {"index": 0, **_describe_call(self.call, "")}
        rest = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
        return [{"tool_calls": [one]} for one in (begun, *rest)]

    def build_message(self) -> dict[str, Any]:
        """The whole of it at once."""
        message = {"role": "assistant", "content": None if self.call else self.text}
        calls = [_describe_call(self.call, self.text)] if self.call else []
        return {**message, "tool_calls": calls} if calls else message


def _describe_call(call: ToolCall, arguments: str) -> dict[str, Any]:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


_TOO_LARGE = RequestRefused(413, "request_too_large", "The request is too large.")


class SandboxSupplier:
    """The sandbox's supplier is a server on loopback; `<its address>/<supplier>/v1` is a base URL
    for each supplier."""

    #: It takes any key that begins so, for every supplier; and the one of the demo's own. What
    #: follows as a number is what its account can still pay, in dollars.
    KEY_PREFIX = "sk-sandbox-"
    DEMO_KEY = f"{KEY_PREFIX}demo-0000"

    def __init__(self, catalogue: Catalogue, *, piece_delay_seconds: float) -> None:
        """`piece_delay_seconds` lies between two pieces of an answer; 0 sends them at once."""
        self._piece_delay_seconds = piece_delay_seconds
        self._models: dict[str, dict[str, Model]] = {}
        for model in catalogue.models.values():
            for route in model.routes:
                self._models.setdefault(route.provider, {})[route.model] = model
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listens on a free port of loopback; its address."""
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_get("/{supplier}/v1/models", self._list_models)
        app.router.add_post("/{supplier}/v1/chat/completions", self._complete)
        app.router.add_get("/{supplier}/v1/user/balance", self._show_balance)
        app.router.add_post("/{supplier}/v1/audio/transcriptions", self._transcribe)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1_024).start()
        return "http://{}:{}".format(*self._runner.addresses[0][:2])

    async def stop(self) -> None:
        """Closes every connection and stops listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _list_models(self, request: web.Request) -> web.StreamResponse:
        try:
            models = self._find_models(request)
        except RequestRefused as refused:
            return _refusal_response(refused)
        rows = [{"id": name, "object": "model", "owned_by": "sandbox"} for name in models]
        return web.json_response({"object": "list", "data": rows})

    async def _show_balance(self, request: web.Request) -> web.StreamResponse:
        """What is left behind a key, where it says so itself: `sk-sandbox-500`."""
        try:
            self._find_models(request)
        except RequestRefused as refused:
            return _refusal_response(refused)
        dollars = _get_key(request).removeprefix(self.KEY_PREFIX)
        balance = {"currency": "USD", "total_balance": f"{dollars}.00"}
        rows = [balance] if dollars.isdecimal() and len(dollars) <= _DIGITS_MAX else []
        return web.json_response({"is_available": bool(rows), "balance_infos": rows})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        try:
            models, supplier = self._find_models(request), request.match_info["supplier"]
            completion = _parse_completion(await _read_body(request), models, supplier)
            seen = await _look_at_all(completion.messages)
            prompt = await _count_prompt(completion, seen)
        except RequestRefused as refused:
            return _refusal_response(refused)
        answer = await _make_answer(completion, seen)
        output = min(completion.limit, (await count_tokens(completion.model, answer.text)).units)
        usage = {
            "prompt_tokens": prompt.units,
            "completion_tokens": output,
            "total_tokens": prompt.units + output,
        }
        if completion.stream:
            return await self._stream_answer(request, completion, answer, usage)
        choice = {"index": 0, "message": answer.build_message(), "finish_reason": answer.reason}
        head = _response_head(completion.route.model, "chat.completion")
        return web.json_response({**head, "choices": [choice], "usage": usage})

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        try:
            seconds = await _read_audio_seconds(request, self._find_models(request))
        except RequestRefused as refused:
            return _refusal_response(refused)
        return web.json_response(
            {
                "text": answers.compose_transcript(seconds),
                "duration": seconds,
                "usage": {"type": "duration", "seconds": seconds},
            }
        )

    async def _stream_answer(
        self,
        request: web.Request,
        completion: _CompletionRequest,
        answer: _Answer,
        usage: Mapping[str, int],
    ) -> web.StreamResponse:
        head = _response_head(completion.route.model, "chat.completion.chunk")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def send(choices: list[dict[str, Any]], used: Mapping[str, int] | None) -> None:
            chunk = {**head, "choices": choices, "usage": used}
            await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")

        with contextlib.suppress(ConnectionResetError):  # whoever asked had enough: Stop
            await send([_stream_choice({"role": "assistant", "content": ""})], None)
            is_watched = not "".join(completion.questions[-1:]).startswith(answers.CROWD_OPENING)
            pieces = _PIECE.findall(answer.text) if is_watched else [answer.text]
            for delta in answer.list_deltas(pieces):
                if is_watched and self._piece_delay_seconds > 0:
                    await asyncio.sleep(self._piece_delay_seconds)
                await send([_stream_choice(delta)], None)
            await send([_stream_choice({}, answer.reason)], None)
            if completion.with_usage:
                await send([], usage)
            await response.write(b"data: [DONE]\n\n")
        return response

    def _find_models(self, request: web.Request) -> Mapping[str, Model]:
        """The models of the supplier that is asked, by their names there."""
        if not _get_key(request).startswith(self.KEY_PREFIX):
            raise RequestRefused(401, "invalid_api_key", "This key is not the sandbox's.")
        models = self._models.get(request.match_info["supplier"])
        if models is None:
            raise RequestRefused(404, "not_found_error", "There is no such supplier.")
        return models


def _get_key(request: web.Request) -> str:
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


async def _read_body(request: web.Request) -> Mapping[str, Any]:
    try:
        body = json.loads(await request.read())
    except web.HTTPRequestEntityTooLarge:
        raise _TOO_LARGE from None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise RequestRefused(400, "invalid_value", "The body is no JSON object.")
    return body


async def _read_audio_seconds(request: web.Request, models: Mapping[str, Model]) -> int:
    """How many seconds a file to be heard has."""
    try:
        if (request.content_length or 0) > _FORM_BYTES_MAX:
            raise _TOO_LARGE
        form = await request.post()
    except web.HTTPRequestEntityTooLarge:
        raise _TOO_LARGE from None
    model = models.get(str(form.get("model")))
    if model is None or model.per != "second":
        raise RequestRefused(404, "model_not_found", "There is no such model.")
    file = form.get("file")
    if not isinstance(file, web.FileField) or not make_supplier_filename(file.filename, ""):
        raise RequestRefused(400, "invalid_value", "'file' is no file of a known format.")
    with file.file as opened:
        length = await asyncio.to_thread(lambda: count_length(opened.read()))
    if length is None:
        raise RequestRefused(400, "invalid_value", "The audio file could not be decoded.")
    return length.seconds


def _parse_completion(
    body: Mapping[str, Any], models: Mapping[str, Model], supplier: str
) -> _CompletionRequest:
    name = body.get("model")
    if not isinstance(name, str) or name not in models or models[name].per != "token":
        raise RequestRefused(404, "model_not_found", "There is no such model.")
    for field in _UNSUPPORTED:
        if field in body:
            raise RequestRefused(400, "unsupported_parameter", f"'{field}' is not supported.")
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise RequestRefused(400, "invalid_value", "Give one limit, not two.")
    limit = body.get("max_completion_tokens", body.get("max_tokens", _DEFAULT_LIMIT))
    if type(limit) is not int or limit < 1:
        raise RequestRefused(400, "invalid_value", "The limit is not a positive whole number.")
    messages, tools = parse_messages(body.get("messages"), supplier), parse_tool_request(body)
    options = body.get("stream_options")
    described = [body[name] for name in ("tools", "response_format") if name in body]
    return _CompletionRequest(
        model=models[name],
        route=_find_route(models[name], supplier, name),
        messages=messages,
        limit=limit,
        stream=body.get("stream") is True,
        # Suppliers whose dialect can't ask for usage tell it unasked.
        with_usage=not isinstance(options, dict) or options.get("include_usage") is True,
        tools=tools,
        told="".join(json.dumps(one) for one in described),
    )


def _find_route(model: Model, supplier: str, name: str) -> Route:
    return next(one for one in model.routes if (one.provider, one.model) == (supplier, name))


async def _look_at_all(messages: Sequence[SandboxMessage]) -> list[list[SeenPicture]]:
    """The pictures of each message."""
    if not any(message.pictures for message in messages):
        return [[] for _ in messages]
    return await asyncio.to_thread(look_at_pictures, messages)


async def _make_answer(
    completion: _CompletionRequest, seen: Sequence[Sequence[SeenPicture]]
) -> _Answer:
    call = completion.tools.choose_call(completion.messages)
    if call is not None:
        arguments, reason = await _limit_answer(completion, call.arguments)
        return _Answer(arguments, "tool_calls" if reason == "stop" else reason, call)
    own = completion.tools.compose_own_text(completion.messages)
    text = _compose_answer(completion, seen) if own is None else own
    return _Answer(*await _limit_answer(completion, text))


def _compose_answer(completion: _CompletionRequest, seen: Sequence[Sequence[SeenPicture]]) -> str:
    *earlier, last = seen
    in_view = [picture for pictures in earlier for picture in pictures]
    return answers.compose_answer(completion.questions, shown=last, in_view=in_view)


async def _count_prompt(
    completion: _CompletionRequest, seen: Sequence[Sequence[SeenPicture]]
) -> Tokens:
    model = completion.model
    texts = [message.text for message in completion.messages]
    prompt = await count_message_tokens(model, texts)
    if completion.told:
        prompt += await count_tokens(model, completion.told)
    sizes = [one.size for pictures in seen for one in pictures]
    picture_tokens = completion.route.count_pictures(sizes)
    if picture_tokens is None:
        raise RequestRefused(400, "invalid_value", "The model takes no pictures, or fewer of them.")
    prompt += picture_tokens
    if prompt > model.prompt_limit:
        raise RequestRefused(400, "context_length_exceeded", "This is longer than the context.")
    return prompt


async def _limit_answer(
    completion: _CompletionRequest, text: str
) -> tuple[str, Literal["stop", "length"]]:
    """The answer, cut after a word where it is longer than asked for."""
    tokens = await count_tokens(completion.model, text)
    if tokens.units <= completion.limit:
        return text, "stop"
    while tokens > Tokens(completion.limit):
        shorter = text[: max(1, len(text) * completion.limit // tokens.units)]
        text = shorter.rpartition(" ")[0] or shorter[: len(shorter) // 2]
        if not text:
            break
        tokens = await count_tokens(completion.model, text)
    return text, "length"


def _response_head(model: str, kind: str) -> dict[str, Any]:
    now = time.time()
    return {
        "id": f"chatcmpl-sandbox-{int(now * 1_000):x}",
        "object": kind,
        "created": int(now),
        "model": model,
    }


def _stream_choice(delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason}


def _refusal_response(refused: RequestRefused) -> web.Response:
    error = {
        "message": str(refused),
        "type": "invalid_request_error",
        "param": None,
        "code": refused.code,
    }
    return web.json_response({"error": error}, status=refused.status)
