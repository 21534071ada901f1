"""Loops of tools through the API, by Anthropic's own library against a service with three accounts
of a fake Anthropic: thoughts go back to the account that signed them, and nowhere else; and what a
long session costs its person and brings the operator."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from bots.api_server import build_api_server
from core.db import schema
from core.money import Credits, NanoUsd
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from core.pricing.formula import PAR
from tests.peers.prompt_caches import AnthropicCaches
from tests.peers.supplier_tools import Called
from tests.peers.suppliers import Answer as Says, FakeSupplier, Refuse
from tests.support import service
from tests.support.databases import TestClock
from tests.support.official_clients import anthropic
from tests.support.service import Service, World
from tests.support.size import size

MODEL = "claude-sonnet-5-5"
TOOLS: list[Any] = [
    {
        "name": "get_weather",
        "description": "The weather of a city",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]
TURNS = 6
AGENT_TURNS = size(small=5, full=40)


@dataclass
class Agent:
    """A program with a token of a person's, on a service of its own."""

    tom: Service
    claude: FakeSupplier
    client: anthropic.AsyncAnthropic
    messages: list[Any]

    async def ask(self, text: str = "", **more: Any) -> Any:
        if text:
            self.messages.append({"role": "user", "content": text})
        asked = {
            "model": MODEL,
            "max_tokens": 4_000,
            "messages": self.messages,
            "tools": TOOLS,
            "thinking": {"type": "adaptive"},
        }
        message = await self.client.messages.create(**(asked | more))
        self.messages.append({"role": "assistant", "content": message.content})
        results = [
            {"type": "tool_result", "tool_use_id": one.id, "content": "sunny, 21 °C"}
            for one in message.content
            if one.type == "tool_use"
        ]
        if results:
            self.messages.append({"role": "user", "content": results})
        return message

    async def list_usage(self) -> list[Any]:
        usage, db = schema.usage, self.tom.app.services.base.db
        return list(await db.fetch(sa.select(usage).order_by(usage.c.at, usage.c.ask)))


@contextlib.asynccontextmanager
async def running_agent(
    url: str, clock: TestClock, *, caches: bool = False
) -> AsyncIterator[Agent]:
    catalogue = Catalogue.load()
    model = replace(catalogue.models[MODEL], routes=catalogue.models[MODEL].routes[:1])
    assert model.routes[0].provider == "anthropic"
    async with FakeSupplier("anthropic", models=[model.routes[0].model]) as claude:
        if caches:
            claude.caches = AnthropicCaches(lambda: clock.now_ms() / 1_000)
        real = replace(
            SUPPLIERS["anthropic"],
            base_url=claude.url.removesuffix("/v1"),
            key_shape=r"[!-~]{8,400}",
        )
        world = World(Catalogue([model]), Costs.load(), {"anthropic": real}, 4_000)
        async with service.running(
            url, clock, welcome=1_000_000, keys=3, supplier=claude, world=world, api=True
        ) as tom:
            tokens, person = tom.app.services.api.tokens, (await tom.person()).id
            token, secret = await tokens.create_token(person, "agent")
            await tokens.set_day_cap(person, token.id, Credits(1_000_000))
            server = build_api_server(tom.app.services, port=0)
            base = f"http://127.0.0.1:{await server.start()}"
            try:
                async with anthropic.AsyncAnthropic(
                    base_url=base, api_key=secret.get_secret_value()
                ) as client:
                    yield Agent(tom, claude, client, [])
            finally:
                await server.stop()


async def test_thoughts_follow_their_account_until_it_dies(
    sqlite_url: str, clock: TestClock
) -> None:
    async with running_agent(sqlite_url, clock) as agent:
        used = []
        for turn in range(TURNS):
            calls = (Called("get_weather", ('{"city":', '"Oslo"}'), id=f"toolu_{turn}"),)
            is_last = turn == TURNS - 1
            agent.claude.script(
                Says(
                    "Sunny." if is_last else "",
                    thoughts=(f"thought {turn}",),
                    calls=() if is_last else calls,
                )
            )
            message = await agent.ask("How is Oslo?" if turn == 0 else "")
            assert message.stop_reason == ("end_turn" if is_last else "tool_use")
            used.append(agent.claude.calls[-1].key)
            sent = json.dumps(agent.claude.calls[-1].body)
            assert ("thought 0" in sent) == (0 < turn < 3)
            assert "cbs1." not in sent, "our seal is nobody else's"
            if turn == 2:  # its account is closed
                agent.claude.forbid(used[-1])
        assert len(set(used[:3])) == 1
        assert set(used[3:]) == {used[3]} != {used[0]}
        rows = await agent.list_usage()
        assert len(rows) == TURNS
        assert all(row.charge > 0 for row in rows)


async def test_a_long_session_pays_for_itself(sqlite_url: str, clock: TestClock) -> None:
    async with running_agent(sqlite_url, clock, caches=True) as agent:
        before = await agent.tom.credits()
        system = [
            {
                "type": "text",
                "text": "You are careful. " * 33_000,
                "cache_control": {"type": "ephemeral"},
            }
        ]
        for turn in range(AGENT_TURNS):
            clock.advance(seconds=20)
            called = Called("get_weather", ('{"city": "Oslo"}',), id=f"toolu_{turn}")
            agent.claude.script(Says("so " * 60, calls=(called,)))
            await agent.ask("How is Oslo?" if turn == 0 else "", system=system)
        rows = await agent.list_usage()
        assert len(rows) == AGENT_TURNS
        margins = [PAR.multiply_by(row.charge) - NanoUsd(row.cost) for row in rows]
        cached = sum(row.cached_tokens for row in rows) / sum(row.input_tokens for row in rows)
        paid = sum(row.charge for row in rows)
        print(
            f"\n{AGENT_TURNS} turns of {rows[-1].input_tokens:,} tokens: {paid} Credits,"
            f" {cached:.0%} of the input from a cache, least margin"
            f" ${min(margins).units / 1e9:.4f}"
        )
        assert min(margins) >= NanoUsd(0)
        assert cached > 0.5
        assert (before - await agent.tom.credits()).units == paid


async def test_an_account_that_fails_midway_is_followed_by_another(
    sqlite_url: str, clock: TestClock
) -> None:
    async with running_agent(sqlite_url, clock) as agent:
        agent.claude.script(Refuse(529, type="overloaded_error"), Says("Sunny."))
        message = await agent.ask("How is Oslo?")
        assert message.content[-1].text == "Sunny."
        assert len({one.key for one in agent.claude.calls}) == 2
        assert len(await agent.list_usage()) == 1
