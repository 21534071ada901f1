"""Many keys, own and contributed, at a supplier where everything goes wrong that can: every ask
ends in an answer or in an honest error that costs nothing, and the books agree."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from pydantic import SecretStr

from core.asking import AskRefusal, Outcome, Result, serving
from core.pool import KeyCard
from core.pool.health import SECOND_LOOK_SECONDS
from core.pool.providers import http
from core.units import NanoUsd, usd
from tests.core.earning.world import Market, market
from tests.databases import TestClock
from tests.fakes.supplier_accounts import Limit
from tests.fakes.suppliers import Answer, Drop, Hang, Refuse, Script, Used
from tests.size import size

KEYS = size(small=10, full=50)
ASKS = size(small=500, full=5_000)
AT_ONCE = 32
#: An ask of 1,000 tokens costs $0.03: half as much again as all of them cost is behind the keys.
BUDGET = NanoUsd(usd("0.03").units * ASKS * 3 // 2 // KEYS)
#: Real seconds until a supplier that says nothing is given up: fewer than in life.
PATIENCE_S = 3.0
#: The clock goes on so far with each ask that ends.
PACE_SECONDS = 5 / KEYS
#: Each key may be called so often a minute: less often than the busiest of them is.
A_MINUTE = Limit(18, 60.0)

CHUNKS = ("word " * 100,) * 5
REALLY = Used(500, 500)
FINE = Answer(chunks=CHUNKS, usage=REALLY)

#: What may happen to a call, and how many in a thousand.
TROUBLES: tuple[tuple[int, Script], ...] = (
    (3, Refuse(401, code="invalid_api_key")),
    (2, Refuse(403, type="permission_denied", code="account_deactivated")),
    (15, Refuse(429, code="rate_limit_exceeded", retry_after="3")),
    (15, Refuse(429, code="rate_limit_exceeded")),
    (1, Refuse(429, code="insufficient_quota", type="insufficient_quota")),
    (20, Refuse(500, type="server_error")),
    (10, Refuse(503, body=b"<html>busy</html>")),
    (3, Hang()),
    (10, Drop()),
    (8, Answer(chunks=CHUNKS, usage=REALLY, cut=True)),
    (8, Answer(chunks=CHUNKS, usage=REALLY, breaks_after=2)),
    (8, Answer(chunks=CHUNKS, usage=REALLY, fails_after=3)),
    (3, Answer(chunks=CHUNKS, usage=REALLY, hangs_after=1)),
    (10, Answer(chunks=CHUNKS, usage=Used(90_000, 500), really=REALLY)),
    (10, Answer(chunks=CHUNKS, usage=Used(500, 90_000), really=REALLY)),
)


@dataclass
class Fire:
    """The market, its keys, and what became of each ask."""

    bobs: Market
    #: By secret.
    keys: dict[str, str] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)
    charged: int = 0

    async def asks(self, name: str) -> None:
        """One ask to its end, whatever that is."""
        person = await self.bobs.person(name)
        try:
            run = await self.bobs.begins(person)
        except AskRefusal as refused:
            self.ended[refused.code] += 1
            return
        self._judge(await run.result)

    def _judge(self, result: Result) -> None:
        self.ended[result.outcome.value] += 1
        self.charged += result.charge.units
        if not result.text:
            assert result.outcome in {Outcome.REFUSED, Outcome.TIMED_OUT}
            assert result.charge.is_zero, "nothing shown, nothing charged"
        elif result.outcome is Outcome.DONE:
            # What was lied about is counted by ourselves.
            assert 4 <= result.charge.units <= 6
        else:
            assert result.outcome in {Outcome.BROKEN, Outcome.TIMED_OUT}
            assert 3 <= result.charge.units <= 6

    async def cards(self) -> dict[str, KeyCard]:
        """By secret."""
        cards = {card.id: card for card in await self.bobs.service.app.pool.cards()}
        return {secret: cards[id_] for secret, id_ in self.keys.items() if id_ in cards}


@asynccontextmanager
async def fire(url: str, clock: TestClock, seed: int) -> AsyncIterator[Fire]:
    chance = random.Random(seed)
    numbers = [each for each, _ in TROUBLES]
    scripts = [script for _, script in TROUBLES]
    async with market(url, clock) as bobs:
        # The clock goes faster here than life: leases that beat by life's would lapse.
        await bobs.service.app.chores.stop()
        openai = bobs.service.openai
        made = Fire(bobs)
        for number in range(KEYS):
            secret = f"sk-key-{number:010}"
            openai.accounts.limits[secret] = A_MINUTE
            if number % 2:
                openai.allow(secret)
                card = await bobs.service.app.pool.add_own_key("openai", SecretStr(secret), BUDGET)
                made.keys[secret] = card.id
            else:
                made.keys[secret] = await bobs.contributes(
                    f"bob{number % 3}", secret, f"{BUDGET.units / 10**9:.2f}"
                )
        for asker in range(7):
            await bobs.gets(f"tom{asker}", ASKS * 10, "gift" if asker % 3 == 0 else "bought")
        openai.accounts.now = lambda: clock.at_ms / 1_000
        openai.accounts.billed.clear()
        openai.calls.clear()
        openai.always(FINE)

        def trouble(_: str) -> Script | None:
            if chance.random() * 1_000 >= sum(numbers):
                return None
            return chance.choices(scripts, numbers)[0]

        openai.trouble = trouble
        yield made


async def under_fire(made: Fire) -> None:
    """All asks, so many at once; chores run beside them."""
    bobs, pool = made.bobs, made.bobs.service.app.pool
    openai = bobs.service.openai
    waiting = iter(range(ASKS))

    async def asker() -> None:
        for number in waiting:
            if number == ASKS // 4:  # two keys are revoked, two have no money any more
                openai.forbid("sk-key-0000000000", "sk-key-0000000001")
                openai.accounts.quotas |= {"sk-key-0000000002": 1, "sk-key-0000000003": 1}
            await made.asks(f"tom{number % 7}")
            bobs.clock.advance(seconds=PACE_SECONDS)
            if number % 100 == 99:
                await pool.check_models()
                await bobs.closes()
                await pool.reload()

    async with asyncio.timeout(1_500), asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(asker())
    for _ in range(3):
        bobs.clock.advance(seconds=SECOND_LOOK_SECONDS + 1)
        await pool.check_models()
        await bobs.closes()


@pytest.mark.timeout(1_800)
async def test_every_ask_ends_honestly_and_no_key_is_drawn_too_far(
    database_url: str, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "FIRST_TEXT_SECONDS", PATIENCE_S)
    monkeypatch.setattr(
        http, "_STREAM", aiohttp.ClientTimeout(total=None, sock_read=PATIENCE_S, connect=10)
    )
    async with fire(database_url, clock, seed=6) as made:
        await under_fire(made)
        print(made.ended)
        bobs = made.bobs
        assert sum(made.ended.values()) == ASKS
        assert made.charged == (await bobs.service.spent()).units
        cards = await made.cards()
        for s, c in cards.items():
            print(
                s,
                c.state,
                c.reason,
                c.used.units * 100 // c.budget.units if c.budget.units else None,
                bobs.service.openai.accounts.billed[s] * 30_000,
                c.used.units,
            )
        openai = bobs.service.openai
        low = sorted(
            (c.used.units * 100 // c.budget.units, s)
            for s, c in cards.items()
            if c.state == "active"
        )[:3]
        for u, s in low:
            print(
                "LOW",
                u,
                s,
                [(round(r.at - 1772366400), r.status) for r in openai.refusals if r.key == s],
                Counter(int(c.at - 1772366400) // 60 for c in openai.calls if c.key == s),
            )
        first = {}
        for r in openai.refusals:
            if r.status in (401, 403):
                first.setdefault(r.key, (r.at, r.calls))
        for k, at in first.items():
            n = sum(1 for c in openai.calls[at[1] :] if c.key == k and c.at < at[0] + 30)
            print(
                k,
                at,
                n,
                [
                    round(c.at - at[0], 1)
                    for c in openai.calls[at[1] :]
                    if c.key == k and c.at < at[0] + 30
                ][:20],
                [
                    (round(r.at - at[0], 1), r.status)
                    for r in openai.refusals
                    if r.key == k and at[0] - 1 <= r.at < at[0] + 30
                ],
            )
        print(Counter(r.status for r in openai.refusals), len(openai.calls))
