"""The HTTP app: health, readiness, the routes that front ends and gateways hand over; and metrics
on a port of their own.

A server here is a task of the service's own loop: no signals, no access log (addresses hold
tokens), and it ends when the service ends. Metrics are figures only: nothing of anyone's words, no
key, no person.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import uvicorn
from prometheus_client import CollectorRegistry, make_asgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from bots.http_connections import BoundedProtocol, ConnectionTable, HttpLimits
from bots.readiness import PlatformStates, Readiness
from core.admin.monitor import Monitor
from core.asks.service import AskService
from core.errors import Refusal
from core.pool.pool import Pool

#: Connections that the kernel holds for us: more at once could take every file of this process.
_BACKLOG = 128
#: So often the date is renewed that answers bear.
_TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server listens, and which settings say so."""

    host: str
    #: 0 is any that is free.
    port: int
    host_setting: str = "CREDITBOT_HTTP_HOST"
    port_setting: str = "CREDITBOT_HTTP_PORT"


class PortInUse(Refusal):
    """The server's address can't be listened on: another program has the port."""

    code = "port_taken"

    def __init__(self, address: ServerAddress) -> None:
        self.host, self.port = address.host, address.port
        self.host_setting, self.port_setting = address.host_setting, address.port_setting


def open_listener(address: ServerAddress) -> socket.socket:
    """A socket that listens. Raises `PortInUse`."""
    try:
        listener = socket.create_server((address.host, address.port))
    except OSError:
        raise PortInUse(address) from None
    # Its connections inherit it. asyncio sets it only where a socket names its protocol, which this
    # one doesn't: what follows an answer's head would wait 40 ms for the other side to confirm it.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def build_service_app(readiness: Readiness, routes: Sequence[Route]) -> Starlette:
    """`/healthz`: the process lives. `/readyz`: it can write, and hears a platform."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(_: Request) -> Response:
        described = await readiness.describe()
        return JSONResponse(described, status_code=200 if described["ready"] else 503)

    async def forget(_: Request, __: Exception) -> Response:
        """Nobody is there to read it."""
        return Response(status_code=400)

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), *routes],
        exception_handlers={ClientDisconnect: forget},
    )


def build_metrics_app(registry: CollectorRegistry) -> Starlette:
    """`/metrics`, and nothing else."""
    return Starlette(routes=[Mount("/metrics", make_asgi_app(registry=registry))])


class _HostedServer(uvicorn.Server):
    """A server that leaves signals to the service, and ends as soon as that says so."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._must_end = asyncio.Event()

    def end(self) -> None:
        """Has it finish what is being answered, and end."""
        self.should_exit = True
        self._must_end.set()

    async def main_loop(self) -> None:
        """The library's own looks ten times a second whether to end, and dates answers each
        second."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._must_end.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """An HTTP server listens on one address, as a task of the service's own loop."""

    def __init__(self, app: ASGIApp, address: ServerAddress, limits: HttpLimits) -> None:
        self._app, self._address = app, address
        self._connections = ConnectionTable(limits)
        protocol = functools.partial(BoundedProtocol, self._connections)
        self._server = _HostedServer(
            uvicorn.Config(
                app,
                http=cast("Any", protocol),
                ws="none",
                backlog=_BACKLOG,
                log_config=None,
                access_log=False,
                lifespan="off",
                # Who is believed about where a request came from is each app's own setting.
                proxy_headers=False,
                timeout_graceful_shutdown=5,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None

    async def start(self, listener: socket.socket | None = None) -> int:
        """Listens, at its address or on a socket that does already; gives the port. Raises
        `PortInUse`."""
        self._socket = listener or open_listener(self._address)
        serving = self._server.serve(sockets=[self._socket])
        self._task = asyncio.get_running_loop().create_task(serving, name="http")
        port: int = self._socket.getsockname()[1]
        return port

    async def stop(self) -> None:
        """Finishes what is being answered, then ends."""
        self._server.end()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()


class _LiveMetrics(Collector):
    """Metrics that are read at each scrape; those of the database are as the monitor saw them
    last."""

    def __init__(
        self,
        ask_service: AskService,
        pool: Pool,
        monitor: Monitor,
        platform_states: PlatformStates,
    ) -> None:
        self._ask_service, self._pool, self._monitor = ask_service, pool, monitor
        self._platform_states = platform_states

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "creditbot_asks_running",
            "Asks that run in this process",
            self._ask_service.running_count,
        )
        yield GaugeMetricFamily(
            "creditbot_models_servable",
            "Models that keys can serve",
            len(self._pool.list_servable_models()),
        )
        ended_asks = CounterMetricFamily(
            "creditbot_asks_ended", "Asks that ended, by how", labels=["outcome"]
        )
        for outcome, number in self._ask_service.outcome_counts.items():
            ended_asks.add_metric([outcome], number)
        yield ended_asks
        heard = GaugeMetricFamily(
            "creditbot_platform_heard", "1 while a platform is heard", labels=["platform"]
        )
        for platform, is_heard in self._platform_states.list_states().items():
            heard.add_metric([platform], int(is_heard))
        yield heard
        yield from self._collect_monitored()

    def _collect_monitored(self) -> Iterable[Metric]:
        figures, down = self._monitor.figures, set(self._pool.list_down_suppliers())
        headroom = GaugeMetricFamily(
            "creditbot_keys_left_nanodollars", "What keys can still cost", labels=["supplier"]
        )
        down_suppliers = GaugeMetricFamily(
            "creditbot_supplier_down", "1 while a supplier isn't asked", labels=["supplier"]
        )
        for supplier, amount in figures.headroom.items():
            headroom.add_metric([supplier], amount.units)
            down_suppliers.add_metric([supplier], int(supplier in down))
        keys = GaugeMetricFamily("creditbot_keys", "Keys by state", labels=["supplier", "state"])
        for (supplier, state), number in figures.keys.items():
            keys.add_metric([supplier, state], number)
        waiting = GaugeMetricFamily("creditbot_waiting", "What waits to be done", labels=["what"])
        for what, number in (
            ("webhooks", figures.webhooks),
            ("notices", figures.notifications),
            ("payouts", figures.payouts),
        ):
            waiting.add_metric([what], number)
        yield from (headroom, down_suppliers, keys, waiting)


def build_metrics_registry(
    ask_service: AskService, pool: Pool, monitor: Monitor, platform_states: PlatformStates
) -> CollectorRegistry:
    """A registry of this service alone."""
    metrics_registry = CollectorRegistry()
    metrics_registry.register(_LiveMetrics(ask_service, pool, monitor, platform_states))
    return metrics_registry
