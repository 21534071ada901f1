"""The real API before a scripted supplier, one Credit a token, and clients that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
import sqlalchemy as sa

from bots.api import access
from bots.api_server import build_api_server
from core.api_tokens.types import PER_DAY_MAX, ApiToken
from core.asks.run import AskRun
from core.asks.types import Question
from core.db import schema
from core.money import Credits, NanoUsd
from core.pool import health
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Model
from tests.peers.suppliers import FakeSupplier, Sent
from tests.support import brief, service
from tests.support.databases import TestClock
from tests.support.service import Service, World

#: One Credit a token: a charge is a count.
PRICES = {"gpt-4": 1_000_000, "claude-3": 1_000_000, "llama-3": 1_000_000}
MODELS: dict[str, Model] = {"openai": brief.GPT_4, "anthropic": brief.CLAUDE_3}
WELCOME = 100_000_000
#: Keys of the form that Anthropic's have.
ANTHROPIC_KEYS = tuple(f"sk-ant-api03-{'storm' * 19}{n}AA" for n in range(3))
PATHS = ("/v1/chat/completions", "/v1/messages")
Wire = Literal["openai", "anthropic"]


@dataclass
class Shop:
    """The service, its API's port, and the one token."""

    service: Service
    supplier: FakeSupplier
    port: int
    secret: str
    token: ApiToken
    model: Model
    #: The runs of admitted asks, by the first word of their prompt.
    runs: dict[str, AskRun] = field(default_factory=dict)
    _sent: dict[str, Sent] = field(default_factory=dict)
    _sent_read: int = 0
    _calls: Counter[str] = field(default_factory=Counter)

    def build_body(self, text: str, **fields: Any) -> dict[str, Any]:
        """A request that both wires take."""
        messages = [{"role": "user", "content": text}]
        return {"model": self.model.id, "messages": messages, "max_tokens": 100, **fields}

    async def open(self, limit: int = 1 << 24) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection; twice the limit is read from it whether anybody wants it or not."""
        return await asyncio.open_connection("127.0.0.1", self.port, limit=limit)

    def encode(self, path: str, body: dict[str, Any], key: str = "") -> tuple[bytes, bytes]:
        """A request's head and body."""
        content = json.dumps(body).encode()
        named = f"Idempotency-Key: {key}\r\n" if key else ""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nx-api-key: {self.secret}\r\n{named}"
            f"Connection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode(), content

    async def post(self, path: str, body: dict[str, Any], key: str = "") -> Reply:
        """A request whose answer is read to its end."""
        reader, writer = await self.open()
        writer.writelines(self.encode(path, body, key))
        content = await reader.read(-1)
        writer.close()
        return Reply(content)

    def find_sent(self, name: str) -> Sent | None:
        """What the supplier sent last for the prompt whose first word this is."""
        news = self.supplier.sent[self._sent_read :]
        self._sent |= {_name_prompt(one.body): one for one in news}
        self._sent_read += len(news)
        return self._sent.get(name)

    def count_calls(self, name: str) -> int:
        """How many calls came to the supplier for the prompt whose first word this is."""
        news = self.supplier.calls[self._calls.total() :]
        self._calls.update(_name_prompt(call.body) for call in news)
        return self._calls[name]

    async def settle(self) -> None:
        """Returns once every ask that began is settled."""
        await asyncio.gather(*(run.result for run in self.runs.values()))

    async def fetch(self, query: sa.Select[Any]) -> list[Any]:
        return list(await self.service.app.services.base.db.fetch(query))

    async def read_charges(self) -> dict[str, int]:
        """What each ask was charged, by the books."""
        rows = await self.fetch(sa.select(schema.usage.c.ask, schema.usage.c.charge))
        return {row.ask: row.charge for row in rows}

    async def read_cap(self) -> int:
        """What counts toward the token's cap, on all days together."""
        where = schema.api_spending.c.token == self.token.id
        rows = await self.fetch(sa.select(schema.api_spending.c.credits).where(where))
        return sum(row.credits for row in rows)

    async def read_causes(self) -> dict[str, str]:
        """Why each ask is unpaid work."""
        table = schema.unpaid_work.c
        return {row.ask: row.cause for row in await self.fetch(sa.select(table.ask, table.cause))}

    async def check_sums(self, welcome: int = WELCOME) -> dict[str, int]:
        """The charges, which are what the balance and the cap say that they are; nothing is
        held."""
        charges = await self.read_charges()
        assert await self.service.held() == Credits(0)
        assert await self.service.credits() == Credits(welcome - sum(charges.values()))
        assert await self.read_cap() == sum(charges.values())
        return charges


@dataclass
class Reply:
    """An answer as it came."""

    content: bytes

    @property
    def status(self) -> int:
        """0: there was none."""
        found = re.match(rb"HTTP/1.1 (\d+)", self.content)
        return int(found[1]) if found else 0

    @property
    def code(self) -> str:
        """Of an error."""
        found = re.search(rb'"code":"(\w+)"', self.content)
        return found[1].decode() if found else ""

    @property
    def is_replayed(self) -> bool:
        return b"idempotent-replayed" in self.content


@contextlib.asynccontextmanager
async def selling(
    url: str,
    clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
    wire: Wire = "openai",
    *,
    welcome: int = WELCOME,
    per_day: Credits = PER_DAY_MAX,
    keys: int = 2,
) -> AsyncIterator[Shop]:
    """The API before a supplier whose faults keep nobody from asking it again; nobody's haste and
    unpaid work is bounded."""
    monkeypatch.setattr(access, "REQUESTS_AT_ONCE", 100_000)
    monkeypatch.setattr(health, "CIRCUIT_FAULTS", 1_000_000)
    model = MODELS[wire]
    async with contextlib.AsyncExitStack() as stack:
        supplier = await stack.enter_async_context(
            FakeSupplier(wire, models=[model.id, "whisper-1"], strict=False)
        )
        if wire == "anthropic":
            monkeypatch.setattr(service, "MANY_KEYS", ANTHROPIC_KEYS)
        told = replace(SUPPLIERS[wire], base_url=supplier.url)
        world = World(brief.catalogue(), brief.costs(), {wire: told}, history_tokens=2_000)
        made = await stack.enter_async_context(
            service.running(
                url,
                clock,
                welcome=welcome,
                budget="1000000",
                keys=keys,
                supplier=supplier,
                world=world,
                api=True,
            )
        )
        services = made.app.services
        await brief.set_prices(services.pricing.prices, PRICES)
        monkeypatch.setattr(services.pool.pool._health_tracker, "record_failure", _record_nothing)
        asks = services.asks.asks
        asks._rate_limiter._unpaid_work._per_day = NanoUsd(10**18)
        person = await made.person()
        token, secret = await services.api.tokens.create_token(person.id, "storm")
        token = await services.api.tokens.set_day_cap(person.id, token.id, per_day)
        server = build_api_server(services, 0)
        port = await server.start()
        stack.push_async_callback(server.stop)
        shop = Shop(made, supplier, port, secret.get_secret_value(), token, model)
        monkeypatch.setattr(asks, "start_ask", _remember_runs(shop, asks.start_ask))
        yield shop


def _name_prompt(body: dict[str, Any]) -> str:
    """The first word of what was asked."""
    found = re.search(r': "(\w+) ', json.dumps(body["messages"]))
    return found[1] if found else ""


async def _record_nothing(*_: object) -> bool:
    return False


def _remember_runs(shop: Shop, start_ask: Callable[..., Any]) -> Callable[..., Any]:
    async def start(question: Question) -> AskRun:
        run: AskRun = await start_ask(question)
        assert question.api_call is not None
        shop.runs[question.api_call.messages[-1].text.split(" ")[0]] = run
        return run

    return start
