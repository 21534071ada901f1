"""Whoever invited a contributor gets a twentieth of what vests; a link moves that along."""

from __future__ import annotations

import pytest

from core import chart
from core.money import Credits
from tests.bots.commands.commands_support import text_of
from tests.core.earnings.inviting_contributors_support import comes
from tests.core.earnings.world import Market, market
from tests.support.databases import TestClock

#: $3 is a hundred average requests: 500 Credits charged, 450 vest, 22 of them are the inviter's.
DOLLARS = "3"


async def contributed(bobs: Market) -> str:
    await comes(bobs, "8", "7")
    key = await bobs.contributes("8", "sk-bob-0000000001", DOLLARS)
    await bobs.gets("9", 1_000)
    return key


async def test_a_twentieth_of_what_vests(database_url: str, clock: TestClock) -> None:
    async with market(database_url, clock) as bobs:
        key = await contributed(bobs)
        assert await bobs.posted(chart.referral_reserve(key)) == [22]
        await bobs.asks("9", 50)
        assert await bobs.has("8") == {"earned": 225}, "nothing is taken from it"
        assert await bobs.has("7") == {"gift": 11}
        shown = text_of(await bobs.service.screen("/refer"))
        assert "When they contribute a key, you get 5 %" in shown
        assert "tops up" not in shown, "nothing is sold here"
        assert "Friends who joined: 1. Topped up: 0. You earned 11 Credits." in shown
        await bobs.asks("9", 50)
        assert await bobs.has("7") == {"gift": 22}


async def test_it_goes_on_to_whom_the_inviter_became_a_part_of(
    database_url: str, clock: TestClock
) -> None:
    async with market(database_url, clock) as bobs:
        old = await bobs.person("1")
        clock.advance(seconds=1)
        key = await contributed(bobs)
        await bobs.asks("9", 50)
        await bobs.links("1", "7")
        assert (await bobs.contribution(key, "8")).inviter == old.id
        await bobs.asks("9", 50)
        assert await bobs.has("1") == {"gift": 22}
        assert "You earned 22 Credits" in text_of(await bobs.service.screen("/refer"))


@pytest.mark.parametrize("asked", [0, 50])
async def test_it_ends_when_the_two_turn_out_to_be_one(
    database_url: str, clock: TestClock, asked: int
) -> None:
    async with market(database_url, clock) as bobs:
        key = await contributed(bobs)
        await bobs.asks("9", asked)
        await bobs.links("7", "8")
        assert (await bobs.contribution(key, "7")).inviter == ""
        has = await bobs.has("7")
        await bobs.asks("9", 50)
        after = await bobs.has("7")
        assert after.get("gift", 0) == has.get("gift", 0), "nobody invites themselves"
        assert after["earned"] == has.get("earned", 0) + 225
        ledger = bobs.service.app.services.base.ledger
        issued = chart.issued("referral")
        balance = (await ledger.read_balances([issued]))[issued.code]
        assert Credits(-balance.posted) == Credits(22), "what is left goes back as the key ends"
