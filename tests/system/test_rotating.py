"""The master key is replaced while people ask: `creditbot keys rotate`, in a process of its own,
seals everything anew, again and again; not one ask fails of it, and nothing stays behind."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from pydantic import SecretStr

from core.clock import SystemClock
from core.earnings.payouts import Payout
from core.money import Credits
from tests.core.earnings.world import BRIEFS, THOUSAND, Market
from tests.peers.suppliers import FakeSupplier
from tests.support.config import KEYS
from tests.support.service import running
from tests.support.size import size
from tests.system.commandline import Place, place, press

__all__ = ["place", "press"]

OLD, NEW = bytes([7]) * 32, bytes([8]) * 32
ROTATIONS = size(small=2, full=25)
ASKERS = size(small=8, full=32)
#: Contributed keys at the beginning; another one comes with each rotation.
CONTRIBUTED = 4
IBAN = "GB33BUKB20201555555555"
LITTLE = replace(BRIEFS, payout_least=Credits(2))
SOLD = {"welcome": 0, "keys": 2, "budget": "100000", "policy": LITTLE}


@dataclass
class Crowd:
    """People who ask until they are told to stop, and what became of it."""

    market: Market
    ended: Counter[str] = field(default_factory=Counter)
    stop: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, name: str) -> None:
        person = await self.market.person(name)
        while not self.stop:
            run = await self.market.begins(person)
            self.ended[(await run.result).outcome.value] += 1
            self._changed.set()

    async def more(self, count: int) -> None:
        """Returns when so many more have ended."""
        until = self.ended.total() + count
        while self.ended.total() < until:
            self._changed.clear()
            await self._changed.wait()


def _named(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


async def _rotated(place: Place, *keys: bytes) -> int:
    """How many secrets were sealed anew, by the first of these."""
    done = await place.creditbot("keys", "rotate", master_keys=_named(*keys))
    return int(done.out.split()[0])


async def _contributes(market: Market, number: int) -> None:
    await market.contributes(f"bob{number % 3}", f"sk-bobs-{number:010}", "500")


async def _payout(market: Market) -> Payout:
    """Two Credits that the first Bob has earned, asked for."""
    earning, bob = market.service.app.services.earnings, await market.person("bob0")
    await earning.payout_methods.save_address(bob.id, "manual", SecretStr(IBAN), "GB••")
    return await earning.withdrawals.request_payout(
        bob.id, Credits(2), "manual", cause="bob0", at_ms=market.clock.now_ms()
    )


@pytest.mark.timeout(900)
async def test_not_one_ask_fails_while_everything_is_sealed_anew(
    place: Place, database_url: str
) -> None:
    place.settings = {"database_url": database_url}
    place.secrets = {_named(OLD), _named(NEW)}
    async with FakeSupplier("openai", models=["gpt-4", "whisper-1"], strict=False) as openai:
        openai.always(THOUSAND)
        async with running(
            database_url, SystemClock(), supplier=openai, master_keys=[OLD], **SOLD
        ) as service:
            market = Market(service, service.clock)
            for number in range(CONTRIBUTED):
                await _contributes(market, number)
            for name in ("tom", "ann", "eve"):
                await market.gets(name, 10**7)
            await market.asks("tom", 60)
            payout = await _payout(market)
        async with running(
            database_url, SystemClock(), supplier=openai, master_keys=[NEW, OLD], **SOLD
        ) as service:
            await _asked_meanwhile(Market(service, service.clock), place)
        async with running(
            database_url, SystemClock(), supplier=openai, master_keys=[NEW], **SOLD
        ) as service:
            await _all_opens(Market(service, service.clock), openai, payout)


async def _asked_meanwhile(market: Market, place: Place) -> None:
    crowd = Crowd(market)
    async with asyncio.TaskGroup() as group:
        for number in range(ASKERS):
            group.create_task(crowd.ask(("tom", "ann", "eve")[number % 3]))
        for turn in range(ROTATIONS):
            await crowd.more(ASKERS)
            before = crowd.ended.total()
            keys = (NEW, OLD) if turn % 2 == 0 else (OLD, NEW)
            sealed = await _rotated(place, *keys)
            # Suppliers' keys, people's, the vault's own, an address and a payout.
            assert sealed >= CONTRIBUTED + len(KEYS) + 5
            assert crowd.ended.total() > before, "asks went on meanwhile"
            await _contributes(market, CONTRIBUTED + turn)
        await _rotated(place, NEW, OLD)
        assert await _rotated(place, NEW, OLD) == 0
        await crowd.more(ASKERS)
        crowd.stop = True
    assert set(crowd.ended) == {"done"}, crowd.ended
    print(f"\n{crowd.ended.total()} asks, {ROTATIONS} rotations")


async def _all_opens(market: Market, openai: FakeSupplier, payout: Payout) -> None:
    """By the new master key alone: every key serves, and it is known where to pay."""
    addresses = market.service.app.services.earnings.payout_methods
    assert (await addresses.get_address(payout)).get_secret_value() == IBAN
    cards = await market.service.app.services.pool.pool.list_keys()
    assert len(cards) == CONTRIBUTED + ROTATIONS + 2
    openai.lists = 0
    await market.service.app.services.pool.pool.check_models()
    assert openai.lists == len(cards), "each key was opened and shown to its supplier"
    assert {card.state for card in await market.service.app.services.pool.pool.list_keys()} == {
        "active"
    }
    (run,) = await market.asks("tom")
    assert (await run.result).charge == Credits(5)
