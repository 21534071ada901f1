"""An operator's own server, asked by the names that people type, in whichever way it takes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from core.money import Credits
from core.pool.suppliers import SUPPLIERS
from core.pricing.catalogue import Catalogue
from core.pricing.costs import LOCAL_RATES, Costs
from tests.peers.suppliers import Answer as Says, FakeSupplier, Refuse, Used
from tests.support import service
from tests.support.databases import TestClock
from tests.support.service import Service, World

MODELS = ("claude-sonnet-5-5", "team/gemma-9")
USED = Used(20, 30)


@contextlib.asynccontextmanager
async def serving(url: str, clock: TestClock) -> AsyncIterator[Service]:
    """The shipped catalogue, and no key but one of the own server at OpenAI's setting."""
    async with FakeSupplier("openai", models=MODELS, strict=False) as server:
        own = SUPPLIERS["openai"].with_base_url(server.url)
        world = World(Catalogue.load(), Costs.load(), {"openai": own}, 4_000)
        async with service.running(url, clock, supplier=server, world=world) as tom:
            yield tom


async def asked(tom: Service, text: str) -> dict[str, Any]:
    tom.openai.script(Says("word " * 30, usage=USED))
    await tom.answer(text)
    return tom.openai.calls[-1].body


async def test_a_bare_name_finds_the_own_servers_model(database_url: str, clock: TestClock) -> None:
    async with serving(database_url, clock) as tom:
        for name in ("claude-sonnet-5-5", "openai/claude-sonnet-5-5", "Claude-Sonnet-5.5"):
            body = await asked(tom, f"/ask {name} why is the sky blue?")
            assert body["model"] == "claude-sonnet-5-5"
            assert body["messages"][-1]["content"] == "why is the sky blue?"
            clock.advance(seconds=1)
        body = await asked(tom, "/ask gemma-9 why?")
        assert (body["model"], body["messages"][-1]["content"]) == ("team/gemma-9", "why?")
        await tom.screen("/model claude-sonnet-5-5")
        assert (await asked(tom, "why?"))["model"] == "claude-sonnet-5-5"


async def test_the_first_try_costs_nothing_and_nobody_is_blamed(
    database_url: str, clock: TestClock
) -> None:
    async with serving(database_url, clock) as tom:
        tom.openai.unknown_fields["max_tokens"] = Refuse(
            400, code="unsupported_parameter", message="Unsupported parameter: 'max_tokens'"
        )
        before = await tom.credits()
        body = await asked(tom, "/ask gemma-9 why?")
        assert "max_completion_tokens" in body
        assert len(tom.openai.calls) == 2
        charge = before - await tom.credits()
        assert Credits(0) < charge <= Credits(2)
        (card,) = await tom.app.services.pool.pool.list_keys()
        expected = LOCAL_RATES.calculate_call_cost(USED.input, 0, 0, USED.output)
        assert card.used == expected
        assert (card.state, card.last_error) == ("active", "")
        assert (await tom.held()).is_zero


async def test_a_key_that_the_own_server_does_not_know_is_refused(
    database_url: str, clock: TestClock
) -> None:
    async with serving(database_url, clock) as tom:
        tom.openai.always(
            Refuse(400, code="400", type="no_db_connection", message="No connected db.")
        )
        await tom.says("/ask gemma-9 why?")
        (card,) = await tom.app.services.pool.pool.list_keys()
        assert (card.state, card.reason) == ("cooling", "refused")
