"""Records what a program really sends to an API of OpenAI's or Anthropic's make: the transcripts
that `tests/bots/api/test_transcripts.py` replays.

    python -m tests.clients.wire_recorder NAME VERSION -- COMMAND …

The command, of whole paths, runs in an empty folder and finds a server on loopback at `BASE`
(before /v1), with `KEY` and `MODEL`. It is answered as the API does: by a thought and a call of its
first tool, or of the one that `TOOL` names; after a tool's result by a sentence; and where it wants
JSON by what its schema allows. What is kept is the form of what was sent: no text of theirs, no
tools after the eighth, and nothing of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from aiohttp import web

TRANSCRIPTS: Final = Path(__file__).parents[1] / "bots" / "api" / "transcripts"
MODEL: Final = "the-model"
_KEY: Final = "a-key"
_SAID: Final = "Sunny, 21 degrees."
#: What comes back of an answer is told by its next turn.
_THOUGHT: Final = "Let me see."
_SECONDS: Final = 400
_TEXT_CHARS, _TOOLS_KEPT = 24, 8
#: What stands for texts: some, and some that speak of JSON, on which answers by a form depend.
_WORDS: Final = ("Words of theirs.", "Words of theirs on JSON.")
#: Of a schema, what is written for a reader.
_PROSE: Final = frozenset(("description", "title", "examples", "default", "const"))
#: The only headers of which anything depends.
_HEADERS: Final = ("accept", "anthropic-version", "anthropic-beta", "idempotency-key")
_PATHS: Final = ("/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens")


class WireRecorder:
    """The server, and the requests that came."""

    def __init__(self, tool: str = "") -> None:
        self._tool = tool
        self.requests: list[dict[str, Any]] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Its address."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Closes every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        path = request.path
        if path not in _PATHS:
            return web.json_response({"error": {"message": f"no {path}"}}, status=404)
        body = await request.json()
        headers = {name: request.headers[name] for name in _HEADERS if name in request.headers}
        self.requests.append({"path": path, "headers": headers, "body": body})
        if path.endswith("count_tokens"):
            return web.json_response({"input_tokens": 20})
        told = _answer_message if path == "/v1/messages" else _answer_chat
        whole, events = told(body, *_choose(body, self._tool))
        if not body.get("stream"):
            return web.json_response(whole)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await response.write("".join(events).encode())
        return response


def _choose(body: dict[str, Any], tool: str) -> tuple[str, dict[str, Any]]:
    """The tool to call and its arguments, or a sentence to say in their place."""
    tools = [one for one in body.get("tools") or () if "function" in one or "input_schema" in one]
    last = body["messages"][-1]
    content = last.get("content")
    blocks = content if isinstance(content, list) else []
    is_result = last["role"] == "tool" or any(one.get("type") == "tool_result" for one in blocks)
    told = json.dumps(body["messages"])
    if tools and not is_result and '"tool_calls"' not in told and '"tool_use"' not in told:
        named = [one.get("function", one) for one in tools]
        chosen = next((one for one in named if one["name"] == tool), named[0])
        schema = chosen.get("parameters") or chosen.get("input_schema") or {}
        return chosen["name"], _fill(schema)
    form = (body.get("response_format") or {}).get("json_schema") or (
        (body.get("output_config") or {}).get("format") or {}
    )
    return "", {"text": json.dumps(_fill(form["schema"])) if form.get("schema") else _SAID}


def _fill(schema: dict[str, Any]) -> Any:
    """The least that a schema allows."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        required = schema.get("required", ())
        told = schema.get("properties", {})
        return {name: _fill(told[name]) for name in required if name in told}
    plain = {"integer": 1, "number": 1, "boolean": False, "array": [], "null": None}
    return plain.get(kind, "note.txt") if isinstance(kind, str) else "note.txt"


def _answer_chat(
    body: dict[str, Any], tool: str, told: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    base = {"id": "chatcmpl-1", "created": 1, "model": body["model"]}
    usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    function = {"name": tool, "arguments": json.dumps(told)}
    call = {"id": "call_1", "type": "function", "function": function}
    message: dict[str, Any] = {"content": None if tool else told["text"]}
    message |= {"tool_calls": [call]} if tool else {}
    message |= {"refusal": None, "annotations": [], "reasoning_content": _THOUGHT}
    delta = {"tool_calls": [{"index": 0, **call}]} if tool else {"content": told["text"]}
    finish = "tool_calls" if tool else "stop"
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    whole = {**base, "object": "chat.completion", "choices": [choice], "usage": usage}
    thought = {"reasoning_content": _THOUGHT}
    deltas = [{"role": "assistant", "content": ""}, thought, delta, {}]
    choices = [
        [{"index": 0, "delta": one, "finish_reason": None if one else finish}] for one in deltas
    ]
    if (body.get("stream_options") or {}).get("include_usage"):
        choices.append([])
    chunks = [{**base, "object": "chat.completion.chunk", "choices": one} for one in choices]
    chunks = [one if one["choices"] else {**one, "usage": usage} for one in chunks]
    return whole, [f"data: {json.dumps(one)}\n\n" for one in chunks] + ["data: [DONE]\n\n"]


def _answer_message(
    body: dict[str, Any], tool: str, told: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    usage = {"input_tokens": 20, "output_tokens": 5}
    call = {"type": "tool_use", "id": "toolu_1", "name": tool, "input": told}
    said = {"type": "text", "text": told.get("text"), "citations": []}
    blocks: list[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]] = [
        (call, call | {"input": {}}, [_delta("input_json", partial_json=json.dumps(told))])
        if tool
        else (said, said | {"text": ""}, [_delta("text", text=said["text"])])
    ]
    if body.get("thinking", {}).get("type", "disabled") != "disabled":
        thought = {"type": "thinking", "thinking": _THOUGHT, "signature": "c2lnbmVk"}
        told_of = [_delta("thinking", thinking=_THOUGHT), _delta("signature", signature="c2lnbmVk")]
        blocks.insert(0, (thought, thought | {"thinking": "", "signature": ""}, told_of))
    end = {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"]}
    empty = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    events: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": {**head, **empty}})]
    for index, (_, begun, deltas) in enumerate(blocks):
        events.append(("content_block_start", {"index": index, "content_block": begun}))
        events += [("content_block_delta", {"index": index, "delta": one}) for one in deltas]
        events.append(("content_block_stop", {"index": index}))
    events += [("message_delta", {"delta": end, "usage": usage}), ("message_stop", {})]
    told_events = [
        f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n"
        for name, fields in events
    ]
    content = [block for block, _, _ in blocks]
    return {**head, "content": content, **end, "usage": usage}, told_events


def _delta(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"{kind}_delta", **fields}


def shrink(body: dict[str, Any]) -> dict[str, Any]:
    """A body of the same form, of which no sentence is somebody else's: words stand for its texts,
    and its tools have names of their own only where those are called."""
    rest = _shrink_value({name: one for name, one in body.items() if name != "tools"})
    told = json.dumps(rest)
    tools = [
        _shrink_tool(tool, number, told)
        for number, tool in enumerate(body.get("tools", ())[:_TOOLS_KEPT], 1)
    ]
    return {name: tools if name == "tools" else rest[name] for name in body}


def _shrink_value(value: Any, name: str = "") -> Any:
    if name == "user_id":
        return "somebody"
    if name in {"schema", "parameters", "input_schema"} and isinstance(value, dict):
        return _shrink_schema(value)
    if isinstance(value, str):
        is_data = name in {"url", "data"} or value.startswith("{")
        is_words = name == "description" or (len(value) > _TEXT_CHARS and " " in value)
        return value if is_data or not is_words else _WORDS["json" in value.lower()]
    if isinstance(value, dict):
        return {key: _shrink_value(one, key) for key, one in value.items()}
    if isinstance(value, list):
        return [_shrink_value(one, name) for one in value]
    return value


def _shrink_tool(tool: dict[str, Any], number: int, told: str) -> dict[str, Any]:
    named = tool.get("function", tool)
    shrunk: dict[str, Any] = _shrink_value(named)
    if "name" in named and f'"{named["name"]}"' not in told:
        shrunk["name"] = f"tool_{number}"
    return {**_shrink_value(tool), "function": shrunk} if "function" in tool else shrunk


def _shrink_schema(schema: Any) -> Any:
    """The same with fields and choices numbered; the rest of a schema is its form."""
    if isinstance(schema, list):
        return [_shrink_schema(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    fields = {name: f"field_{number}" for number, name in enumerate(schema.get("properties", ()))}
    shrunk: dict[str, Any] = {}
    for name, value in schema.items():
        match name:
            case "properties" | "$defs" | "definitions":
                shrunk[name] = {fields.get(k, k): _shrink_schema(one) for k, one in value.items()}
            case "required":
                shrunk[name] = [fields.get(field, field) for field in value]
            case "enum":
                shrunk[name] = [f"choice {number}" for number in range(len(value))]
            case _ if name in _PROSE and isinstance(value, str):
                shrunk[name] = _WORDS[False]
            case _:
                shrunk[name] = _shrink_schema(value)
    return shrunk


async def _record(name: str, version: str, command: Sequence[str]) -> None:
    recorder = WireRecorder(os.environ.get("TOOL", ""))
    base = await recorder.start()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "note.txt").write_text("the secret is 42")
        told = {"BASE": base, "KEY": _KEY, "MODEL": MODEL, "HOME": folder, "NO_PROXY": "*"}
        told |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, env={**os.environ, **told}, stdin=asyncio.subprocess.DEVNULL
        )
        try:
            await asyncio.wait_for(process.wait(), _SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
        await recorder.stop()
        shrunk = [one | {"body": shrink(one["body"])} for one in recorder.requests]
        text = json.dumps(shrunk, ensure_ascii=False)
        text = text.replace(folder, "/home/me").replace(base, "http://localhost")
    file = TRANSCRIPTS / f"{name}.jsonl"
    lines = [{"client": f"{name} {version}", "source": "recorded"}, *json.loads(text)]
    file.write_text("".join(f"{json.dumps(one, ensure_ascii=False)}\n" for one in lines))
    print(f"{file.name}: {len(recorder.requests)} requests, {file.stat().st_size} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("version")
    parser.add_argument("command", nargs="+")
    chosen = parser.parse_args()
    TRANSCRIPTS.mkdir(exist_ok=True)
    asyncio.run(_record(chosen.name, chosen.version, chosen.command))
