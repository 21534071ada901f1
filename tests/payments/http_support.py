"""What tests of http share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from aiohttp import web

MB = 1 << 20


@dataclass
class Peer:
    """Answers what it is told to, the last one from then on."""

    url: str = ""
    answers: list[Callable[[], web.Response]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    encodings: set[str] = field(default_factory=set)
    cookies: list[dict[str, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.encodings.add(request.headers.get("Accept-Encoding", ""))
        self.cookies.append(dict(request.cookies))
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])()


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield made
    await runner.cleanup()


def set_dead_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def of(status: int, body: bytes = b"{}", **headers: str) -> Callable[[], web.Response]:
    return lambda: web.Response(status=status, body=body, headers=headers)
