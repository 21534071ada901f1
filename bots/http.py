"""The HTTP app: health, readiness, the routes that front ends hand over; metrics on their own port.

A server here is a task of the service's own loop: no signals, no access log (addresses hold
tokens), and it ends when the service ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence

import uvicorn
from prometheus_client import CollectorRegistry, make_asgi_app
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from core.db import schema
from core.db.database import Store
from core.errors import Refusal

_READY_SECONDS_MAX = 3.0


class PortTaken(Refusal):
    """The address can't be listened on."""

    code = "port_taken"

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port


def service_app(store: Store, routes: Sequence[Route]) -> Starlette:
    """`/healthz`: the process lives. `/readyz`: the database answers."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_: Request) -> Response:
        try:
            async with asyncio.timeout(_READY_SECONDS_MAX):
                await store.fetch(schema.meta.select().limit(1))
        except (Refusal, TimeoutError):
            return JSONResponse({"ready": False, "database": "unavailable"}, status_code=503)
        return JSONResponse({"ready": True})

    return Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), *routes])


def metrics_app(registry: CollectorRegistry) -> Starlette:
    """`/metrics`, and nothing else."""
    return Starlette(routes=[Mount("/metrics", make_asgi_app(registry=registry))])


class _Quiet(uvicorn.Server):
    """Signals are the service's own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Server:
    """One listening address."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._server = _Quiet(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=5
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None

    async def start(self) -> int:
        """Listens; gives the port. Raises `PortTaken`."""
        try:
            self._socket = socket.create_server((self._host, self._port))
        except OSError:
            raise PortTaken(self._host, self._port) from None
        serving = self._server.serve(sockets=[self._socket])
        self._task = asyncio.get_running_loop().create_task(serving, name="http")
        port: int = self._socket.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Finishes what is being answered, then ends."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()
