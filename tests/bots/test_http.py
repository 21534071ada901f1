"""The HTTP app: it lives, it is ready when it can write and is heard; metrics have their port."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import aiohttp
import pytest
from starlette.applications import Starlette

from bots import http
from bots.config.settings import ApiConfig, Config
from bots.demo import listen_for_programs
from bots.http import (
    HttpServer,
    PortInUse,
    ServerAddress,
    build_metrics_app,
    build_service_app,
    open_listener,
)
from bots.http_connections import HttpLimits
from tests.support import service
from tests.support.databases import TestClock


async def test_health_readiness_and_metrics(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom, aiohttp.ClientSession() as client:
        await tom.answer("why is the sky blue?")
        web = HttpServer(
            build_service_app(tom.app.chat.readiness, []),
            ServerAddress("127.0.0.1", 0),
            HttpLimits(),
        )
        await tom.app.services.admin.monitor.check_process()
        app = tom.app
        figures = http.build_metrics_registry(
            app.services.asks.asks,
            app.services.pool.pool,
            app.services.admin.monitor,
            app.chat.readiness.platform_states,
        )
        watching = HttpServer(
            build_metrics_app(figures), ServerAddress("127.0.0.1", 0), HttpLimits()
        )
        base = f"http://127.0.0.1:{await web.start()}"
        measured = f"http://127.0.0.1:{await watching.start()}"
        try:
            async with client.get(f"{base}/healthz") as answer:
                assert (answer.status, await answer.text()) == (200, "ok")
            async with client.get(f"{base}/readyz") as answer:
                assert (answer.status, await answer.json()) == (
                    200,
                    {"ready": True, "database": "written", "platforms": {}},
                )
            async with client.get(f"{base}/metrics") as answer:
                assert answer.status == 404
            async with client.get(f"{measured}/metrics/") as answer:
                page = await answer.text()
            assert 'creditbot_asks_ended_total{outcome="done"} 1.0' in page
            assert "creditbot_asks_running 0.0" in page
            assert 'creditbot_keys{state="active",supplier="openai"} 1.0' in page
            assert 'creditbot_waiting{what="payouts"} 0.0' in page
            assert 'creditbot_supplier_down{supplier="openai"} 0.0' in page
            assert "sky" not in page
        finally:
            await web.stop()
            await watching.stop()


async def test_a_port_that_is_taken_is_a_refusal(sqlite_url: str, clock: TestClock) -> None:
    async with service.running(sqlite_url, clock) as tom:
        first = HttpServer(
            build_service_app(tom.app.chat.readiness, []),
            ServerAddress("127.0.0.1", 0),
            HttpLimits(),
        )
        port = await first.start()
        try:
            with pytest.raises(PortInUse):
                await HttpServer(
                    build_service_app(tom.app.chat.readiness, []),
                    ServerAddress("127.0.0.1", port),
                    HttpLimits(),
                ).start()
        finally:
            await first.stop()


async def test_it_ends_when_it_is_told_not_when_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_TICK_SECONDS", 3_600.0)
    web = HttpServer(Starlette(), ServerAddress("127.0.0.1", 0), HttpLimits())
    port = await web.start()
    async with aiohttp.ClientSession() as client, asyncio.timeout(30):
        async with client.get(f"http://127.0.0.1:{port}/") as answer:
            assert (answer.status, "date" in answer.headers) == (404, True)
        await web.stop()


def test_no_part_of_an_answer_waits_for_its_reader_to_confirm_another() -> None:
    with (
        open_listener(ServerAddress("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()),
    ):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_of_two_demos_that_begin_at_once_each_has_a_port() -> None:
    config = Config(api=ApiConfig(api=True, api_host="127.0.0.1"))
    with ExitStack() as stack:
        ports = set()
        for _ in range(2):
            found, listener = listen_for_programs(config)
            assert listener is not None
            stack.enter_context(listener)
            assert found.api.base_url == f"http://127.0.0.1:{listener.getsockname()[1]}"
            ports.add(found.api.api_port)
    assert len(ports) == 2
    named = Config(api=ApiConfig(api=True, api_port=1))
    assert listen_for_programs(named) == (named, None)
