"""A supplier in a process of its own: `/plain` answers in one chunk, `/stream` in 20, `/slow` in
one after a second, `/drip` in two with ten seconds between them, `/told` as the prompt says
(`kind:stream`). A key that begins with `sk-bad` is told that the server failed. Answers are ready
bytes, so that it is never what is measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator

from aiohttp import web

MODEL = "gpt-4.1-mini"
#: Between the two chunks of `/drip`.
DRIP_SECONDS = 10.0
_WORDS = "Air scatters blue light far more than red light, so the sky is blue. " * 3


def _chunk(text: str, *, usage: bool = False, prompt_tokens: int = 150) -> bytes:
    body: dict[str, object] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
        "usage": None,
    }
    if usage:
        body["choices"] = []
        body["usage"] = {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": 45,
            "total_tokens": prompt_tokens + 45,
        }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def _finish() -> bytes:
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        "usage": None,
    }
    return b"data: " + json.dumps(body).encode() + b"\n\n"


_END = _finish() + _chunk("", usage=True) + b"data: [DONE]\n\n"
_FAILED = json.dumps({"error": {"message": "", "type": "server_error", "code": None}}).encode()
#: Of prompts that aren't short.
_LONG_END = _finish() + _chunk("", usage=True, prompt_tokens=100_000) + b"data: [DONE]\n\n"
_LONG_BYTES = 200_000
_PLAIN = _chunk(_WORDS) + _END
_TOLD_KINDS = ("plain", "stream", "slow", "drip")
_CHUNKS = [_chunk(_WORDS[at : at + 11]) for at in range(0, 220, 11)]


async def _answer(request: web.Request) -> web.StreamResponse:
    asked = await request.read()
    if request.headers["Authorization"].startswith("Bearer sk-bad"):
        return web.Response(status=500, body=_FAILED, content_type="application/json")
    kind = request.match_info["kind"]
    if kind == "told":
        kind = next((one for one in _TOLD_KINDS if b"kind:%s" % one.encode() in asked), "plain")
    if kind == "slow":
        await asyncio.sleep(1.0)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    if kind == "stream":
        for chunk in _CHUNKS:
            await response.write(chunk)
            await asyncio.sleep(0)
        await response.write(_END)
    elif kind == "drip":
        await response.write(_CHUNKS[0])
        await asyncio.sleep(DRIP_SECONDS)
        await response.write(_END)
    elif len(asked) > _LONG_BYTES:
        await response.write(_chunk(_WORDS) + _LONG_END)
    else:
        await response.write(_PLAIN)
    return response


async def _models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


async def _serve() -> None:
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/{kind}/v1/chat/completions", _answer)
    app.router.add_get("/{kind}/v1/models", _models)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[str]:
    """Its address, while it runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.supplier",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    port = int(await process.stdout.readline())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(_serve())
