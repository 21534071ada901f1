"""The yardstick: a bare router over aiohttp, bytes in and bytes out, in a process of its own.

    python -m benchmarks.router SUPPLIER_URL CALLS CONCURRENT

It takes calls over HTTP from a third process and passes each to the supplier with a key.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys

import aiohttp
import uvloop
from aiohttp import web

from benchmarks.supplier import MODEL

_BODY = json.dumps(
    {
        "model": MODEL,
        "stream": True,
        "messages": [{"role": "user", "content": "why is the sky blue? " * 10}],
    }
).encode()


async def _route(request: web.Request) -> web.StreamResponse:
    session: aiohttp.ClientSession = request.app["session"]
    headers = {"Authorization": "Bearer sk-bench", "Content-Type": "application/json"}
    async with session.post(
        request.app["url"], data=await request.read(), headers=headers
    ) as answer:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
    return response


async def _serve(url: str, calls: int, concurrent: int) -> dict[str, float]:
    app = web.Application()
    app["url"] = f"{url}/chat/completions"
    app["session"] = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    app.router.add_post("/", _route)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1_024).start()
    port = runner.addresses[0][1]
    load = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.router", "load", str(port), str(calls), str(concurrent)
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    await load.wait()
    after = resource.getrusage(resource.RUSAGE_SELF)
    await app["session"].close()
    await runner.cleanup()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_ms": cpu * 1000 / calls}


async def _load(port: int, calls: int, concurrent: int) -> None:
    waiting = iter(range(calls))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def caller() -> None:
            for _ in waiting:
                async with session.post(f"http://127.0.0.1:{port}/", data=_BODY) as answer:
                    await answer.read()

        await asyncio.gather(*(caller() for _ in range(concurrent)))


if __name__ == "__main__":
    if sys.argv[1] == "load":
        uvloop.run(_load(*map(int, sys.argv[2:5])))
    else:
        print(json.dumps(uvloop.run(_serve(sys.argv[1], *map(int, sys.argv[2:4])))))
