"""The Credit promise, a test for each clause: what happens, and that the audit finds it broken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bots.commands.terms import PaymentTerms
from core import chart
from core.admin.audit import PromiseClause, audit_promise
from core.db.connections import create_engine, parse_url
from core.ledger.types import Move, Submission
from core.money import Credits, MicroCredits, parse_usd
from payments.gateways.sandbox import SandboxGateway
from tests.bots.commands.commands_support import text_of
from tests.core.earnings.world import Market, market
from tests.peers.suppliers import Answer as Says, Refuse, Used
from tests.support import service
from tests.support.databases import TestClock

CLAUSES = ("nothing-unseen", "never-above", "no-expiry", "refunds")


@pytest.fixture
async def shop(database_url: str, clock: TestClock) -> AsyncIterator[Market]:
    async with market(database_url, clock, own_keys=1) as made:
        yield made


async def list_broken(shop: Market) -> dict[PromiseClause, int]:
    """The clauses that the audit finds broken."""
    base = shop.service.app.services.base
    results = await audit_promise(base.db, base.payment_records)
    assert tuple(result.clause for result in results) == CLAUSES
    return {result.clause: len(result.findings) for result in results if result.findings}


def alter(url: str, statement: str) -> None:
    """Somebody alters a table by hand."""
    # By the product's own SQLite: two copies in one process drop each other's locks.
    engine = create_engine(parse_url(url), write=True, size=1)
    with engine.begin() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()


def alterable_url(shop: Market, request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("database_url")
    shop.service.farmed = True  # what is altered here, every audit finds
    return url


async def test_nothing_seen_nothing_charged(shop: Market, request: pytest.FixtureRequest) -> None:
    await shop.gets("7", 1_000)
    tom = shop.service
    for says in (Refuse(500), Says("", usage=Used(16, 0))):
        tom.openai.always(says)
        told = text_of(*await tom.says("/ask gpt-4 why?"))
        assert "Nothing was charged" in told
    assert await tom.credits() == Credits(1_000)
    await shop.asks("7", 1)
    assert await list_broken(shop) == {}
    alter(alterable_url(shop, request), "UPDATE ask SET answer = NULL")
    assert await list_broken(shop) == {"nothing-unseen": 1}


async def test_never_above_the_quoted_price(shop: Market, request: pytest.FixtureRequest) -> None:
    """A price that rises while an answer runs counts for later questions."""
    await shop.gets("7", 1_000)
    tom = shop.service
    gate = asyncio.Event()
    tom.openai.always(Says("word " * 500, usage=Used(500, 500), before=gate))
    run = await shop.begins(await shop.person("7"))
    dear = MicroCredits(50_000)
    await tom.app.services.pricing.prices.set_price("gpt-4", dear, dear, set_by="admin")
    gate.set()
    assert (await run.result).charge == Credits(5)
    assert await list_broken(shop) == {}
    url = alterable_url(shop, request)
    alter(url, "UPDATE usage SET charge = charge + 1")
    assert await list_broken(shop) == {"never-above": 1}, "above what its price makes of it"
    alter(url, "UPDATE usage SET charge = 5")
    alter(url, "UPDATE ask SET held = 4")
    assert await list_broken(shop) == {"never-above": 1}, "above what was held"


async def test_credits_do_not_expire(shop: Market, clock: TestClock) -> None:
    await shop.gets("7", 1_000)
    await shop.gets("7", 50, "gift")
    for _ in range(3):
        clock.advance(days=365)
        for job in shop.service.app.scheduler._jobs:
            await job.run()
    assert await shop.service.credits() == Credits(1_050)
    assert await list_broken(shop) == {}
    person = await shop.person("7")
    gone = Move("gone", chart.pocket(person.id, "gift"), chart.FORFEITED, Credits(10))
    await shop.service.app.services.base.ledger.submit(Submission("years/1", (gone,)))
    assert await list_broken(shop) == {"no-expiry": 1}
    shop.service.farmed = True


async def test_refunds_by_the_rule(shop: Market, request: pytest.FixtureRequest) -> None:
    """All that is unused comes back; what was used is owed to nobody but the seller."""
    _, payment = await shop.buys("7", parse_usd("10"))
    assert await shop.service.credits() == Credits(1_000)
    await shop.refunds(payment)
    assert await shop.service.credits() == Credits(0)
    assert await list_broken(shop) == {}
    alter(alterable_url(shop, request), 'UPDATE "order" SET refunded = paid + 1')
    assert await list_broken(shop) == {"refunds": 1}


async def test_terms_say_it_unless_the_operator_says_otherwise(
    sqlite_url: str, clock: TestClock
) -> None:
    gateways = {"sandbox": SandboxGateway(url="http://127.0.0.1:9", secret=SecretStr("s"))}
    async with service.running(sqlite_url, clock, gateways=gateways) as tom:
        told = text_of(await tom.screen("/terms"))
        for words in (
            "1. Nothing seen, nothing charged.",
            "2. Never above the quoted price.",
            "3. Credits don't expire.",
            "4. Refunds by the rule.",
        ):
            assert words in told
        audit = text_of(await tom.someone("1").screen("/audit"))
        assert "✅ Never above the quoted price (0 checked)" in audit


async def test_the_operators_own_terms_replace_it(sqlite_url: str, clock: TestClock) -> None:
    gateways = {"sandbox": SandboxGateway(url="http://127.0.0.1:9", secret=SecretStr("s"))}
    terms = PaymentTerms("My own terms.")
    async with service.running(sqlite_url, clock, gateways=gateways, terms=terms) as tom:
        assert (await tom.screen("/terms")).lines == ("My own terms.",)
