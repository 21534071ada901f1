"""Tokens: made, known again, changed, ended, and what is told of their use."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from core.api_tokens.caps import build_cap_hold
from core.api_tokens.repository import build_token_erasure, plan_token_revocation
from core.api_tokens.secret_form import generate_secret
from core.api_tokens.service import VERIFIED_SECONDS, ApiTokens
from core.api_tokens.types import (
    API_FIRST_USED,
    API_HALF_SPENT,
    API_PASTE_FOUND,
    API_USED_ELSEWHERE,
    LIFETIME_DAYS,
    PAUSE_HOURS,
    TOKENS_MAX,
    ApiToken,
    BadNetwork,
    BadTokenName,
    InvalidToken,
    NetworkNotAllowed,
    TokensPaused,
    TooManyTokens,
    UnknownToken,
)
from core.api_tokens.uses import HALF_SECONDS, SEEN_NETWORKS_MAX
from core.asks.api_calls import TokenCap
from core.clock import DAY_MS
from core.db import schema
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.money import Credits
from core.pool.vault import Vault
from tests.support.databases import TestClock

TOM, TIM = "usr_tom", "usr_tim"
HOME = "192.0.2.7"


@dataclass
class World:
    """Tokens as two processes on one database see them."""

    tokens: ApiTokens
    other_process: ApiTokens
    ledger: Ledger
    clock: TestClock

    async def make(self, person: str = TOM, name: str = "laptop") -> tuple[ApiToken, str]:
        token, secret = await self.tokens.create_token(person, name)
        return token, secret.get_secret_value()

    async def notices(self) -> list[tuple[str, str, Any]]:
        rows = await self.ledger.db.fetch(
            sa.select(schema.notice).order_by(schema.notice.c.created_at, schema.notice.c.kind)
        )
        return [(row.person, row.kind, json.loads(row.data)["token"]) for row in rows]


@pytest_asyncio.fixture
async def world(store: Database, ledger: Ledger, clock: TestClock) -> AsyncIterator[World]:
    vault = await Vault.open([bytes([9]) * 32], store, ledger)
    made = [ApiTokens(ledger=ledger, vault=vault) for _ in range(2)]
    yield World(made[0], made[1], ledger, clock)


async def is_valid(tokens: ApiTokens, secret: str) -> bool:
    try:
        await tokens.authenticate(secret, HOME)
    except InvalidToken:
        return False
    return True


async def test_a_token_is_known_by_its_secret_alone(world: World) -> None:
    token, secret = await world.make()
    assert await world.tokens.authenticate(secret, HOME) == token
    assert await world.other_process.authenticate(secret, HOME) == token
    assert await world.tokens.list_tokens(TOM) == [token]
    assert token.per_day == Credits(1_000)
    assert token.expires_at - token.created_at == 90 * DAY_MS
    assert token.label == f"{secret[:8]}…{secret[-4:]}"
    for wrong in (generate_secret(), secret[:-1], secret.swapcase(), "", f" {secret}", "ключ"):
        assert not await is_valid(world.tokens, wrong)
    assert secret not in repr(token)


async def test_malformed_secrets_are_refused_before_anything_is_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(*_: object) -> None:
        raise AssertionError("the database was read")

    monkeypatch.setattr(world.ledger.db, "fetch", read)
    for wrong in ("cbk_" + "a" * 36, generate_secret() + "0", "sk-proj-1", "", "cbk_" + "é" * 36):
        assert not await is_valid(world.tokens, wrong)


async def test_the_same_master_keys_in_another_order_know_a_token(
    store: Database, ledger: Ledger
) -> None:
    keys = [bytes([1]) * 32, bytes([2]) * 32]
    before = ApiTokens(ledger=ledger, vault=await Vault.open(keys, store, ledger))
    _, secret = await before.create_token(TOM, "laptop")
    after = ApiTokens(ledger=ledger, vault=await Vault.open(keys[::-1], store, ledger))
    assert await is_valid(after, secret.get_secret_value())


Ending = Callable[[World, ApiToken], Any]


@pytest.mark.parametrize(
    "end",
    [
        lambda world, token: world.tokens.revoke_token(TOM, token.id),
        lambda world, _: world.tokens.revoke_all(TOM),
        lambda world, token: world.tokens.revoke_found_token(token.id, TIM),
    ],
)
async def test_a_revocation_counts_here_at_once_and_elsewhere_in_five_seconds(
    world: World, end: Ending
) -> None:
    token, secret = await world.make()
    _, others = await world.make(TIM)
    assert await is_valid(world.tokens, secret)
    assert await is_valid(world.other_process, secret)
    await end(world, token)
    assert not await is_valid(world.tokens, secret)
    world.clock.advance(seconds=VERIFIED_SECONDS)
    assert not await is_valid(world.other_process, secret)
    assert await is_valid(world.other_process, others)
    assert await world.tokens.list_tokens(TOM) == []


async def test_what_was_read_before_a_revocation_is_not_believed_after_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, secret = await world.make()
    find, is_read, may_go_on = (
        world.tokens._repository.find_by_digest,
        asyncio.Event(),
        asyncio.Event(),
    )

    async def find_slowly(digest: bytes) -> ApiToken | None:
        found = await find(digest)
        is_read.set()
        await may_go_on.wait()
        return found

    monkeypatch.setattr(world.tokens._repository, "find_by_digest", find_slowly)
    slow = asyncio.create_task(is_valid(world.tokens, secret))
    await is_read.wait()
    await world.tokens.revoke_token(TOM, token.id)
    may_go_on.set()
    await slow
    assert not await is_valid(world.tokens, secret)


async def test_a_token_expires_to_the_millisecond_though_it_was_verified(world: World) -> None:
    token, secret = await world.make()
    world.clock.advance(days=LIFETIME_DAYS)
    world.clock.at_ms -= 1
    assert await is_valid(world.tokens, secret)
    world.clock.at_ms += 1
    assert not await is_valid(world.tokens, secret)
    with pytest.raises(UnknownToken):
        await world.tokens.get_token(TOM, token.id)


async def test_ten_live_at_once_however_they_are_made(world: World) -> None:
    answers = await asyncio.gather(
        *[world.make(name=f"n{n}") for n in range(TOKENS_MAX + 5)], return_exceptions=True
    )
    assert sum(isinstance(one, TooManyTokens) for one in answers) == 5
    tokens = await world.tokens.list_tokens(TOM)
    assert len(tokens) == TOKENS_MAX
    await world.make(TIM)
    await world.tokens.revoke_token(TOM, tokens[0].id)
    await world.make()


async def test_nobody_touches_the_tokens_of_others(world: World) -> None:
    token, secret = await world.make()
    tokens = world.tokens
    for attempt in (
        tokens.get_token(TIM, token.id),
        tokens.rename_token(TIM, token.id, "mine"),
        tokens.set_day_cap(TIM, token.id, Credits(5)),
        tokens.set_models(TIM, token.id, ["gpt-4"]),
        tokens.set_networks(TIM, token.id, [HOME]),
        tokens.revoke_token(TIM, token.id),
    ):
        with pytest.raises(UnknownToken):
            await attempt
    await tokens.revoke_all(TIM)
    assert await tokens.authenticate(secret, HOME) == token


async def test_changes_count_at_once(world: World) -> None:
    token, secret = await world.make()
    tokens = world.tokens
    await tokens.authenticate(secret, HOME)
    await tokens.rename_token(TOM, token.id, "  my\n server ")
    await tokens.set_day_cap(TOM, token.id, Credits(7))
    await tokens.set_models(TOM, token.id, ["gpt-4", "claude", "gpt-4"])
    changed = await tokens.set_networks(TOM, token.id, ["192.0.2.7/24", "2001:db8::/32", HOME])
    expected = replace(
        token,
        name="my server",
        per_day=Credits(7),
        models=("gpt-4", "claude"),
        networks=("192.0.2.0/24", "2001:db8::/32", "192.0.2.7/32"),
    )
    assert changed == expected == await tokens.authenticate(secret, HOME)
    for name in ("", " \n", "x" * 41, "a\u202eb", "nul\0", generate_secret()):
        with pytest.raises(BadTokenName):
            await tokens.rename_token(TOM, token.id, name)
    for network in ("here", "300.1.1.1", "192.0.2.0/33", "", "10.0.0.0/8 or so"):
        with pytest.raises(BadNetwork):
            await tokens.set_networks(TOM, token.id, [network])
    with pytest.raises(BadNetwork):
        await tokens.set_networks(TOM, token.id, [f"10.0.0.{n}" for n in range(21)])


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("192.0.2.255", True),
        ("::ffff:192.0.2.1", True),
        ("192.0.3.1", False),
        ("2001:db8:ffff::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("unix:", False),
    ],
)
async def test_a_token_is_kept_to_its_networks(world: World, address: str, allowed: bool) -> None:
    token, secret = await world.make()
    await world.tokens.set_networks(TOM, token.id, ["192.0.2.0/24", "2001:db8::/32"])
    for tokens in (world.tokens, world.other_process, world.tokens):
        if allowed:
            assert (await tokens.authenticate(secret, address)).id == token.id
        else:
            with pytest.raises(NetworkNotAllowed):
                await tokens.authenticate(secret, address)


async def test_none_is_made_for_72_hours_after_people_were_linked(world: World) -> None:
    _, secret = await world.make()
    _, other = await world.make(TIM)
    await world.ledger.record(*plan_token_revocation(world.clock.now_ms(), TOM, TIM))
    world.clock.advance(seconds=VERIFIED_SECONDS)
    for person, one in ((TOM, secret), (TIM, other)):
        assert not await is_valid(world.tokens, one)
        with pytest.raises(TokensPaused) as paused:
            await world.make(person)
        assert paused.value.until - world.clock.now_ms() == PAUSE_HOURS * 3_600_000 - 5_000
    world.clock.advance(seconds=PAUSE_HOURS * 3_600 - 5)
    await world.make()
    # A second link within the pause makes it longer.
    await world.ledger.record(*plan_token_revocation(world.clock.now_ms(), TOM))
    with pytest.raises(TokensPaused):
        await world.make()


async def test_none_is_made_while_people_are_being_linked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_live = world.tokens._repository.list_live

    async def link_meanwhile(person: str, now: int) -> list[ApiToken]:
        found = await list_live(person, now)
        await world.ledger.record(*plan_token_revocation(now, person))
        return found

    monkeypatch.setattr(world.tokens._repository, "list_live", link_meanwhile)
    with pytest.raises(TokensPaused):
        await world.make()
    assert await world.other_process.list_tokens(TOM) == []


async def test_an_erasure_leaves_no_name(world: World) -> None:
    token, secret = await world.make(name="canary")
    await world.tokens.record_use(token, HOME)
    await world.ledger.record(*build_token_erasure((TOM,), world.clock.now_ms()))
    ((kept, revoked_at),) = await world.tokens.list_all_tokens([TOM])
    assert (kept.name, kept.label, kept.networks) == ("", "", ())
    assert revoked_at == world.clock.now_ms()
    world.clock.advance(seconds=VERIFIED_SECONDS)
    assert not await is_valid(world.tokens, secret)


async def test_first_uses_and_other_networks_are_told(world: World) -> None:
    token, _ = await world.make()
    uses = (HOME, "192.0.2.200", "198.51.100.1", HOME, "2001:db8::1", "2001:db8:0:ffff::1")
    for tokens in (world.tokens, world.other_process):
        for address in uses:
            world.clock.advance(seconds=1)
            await tokens.record_use(token, address)
    kinds = [kind for _, kind, _ in await world.notices()]
    assert kinds == [API_FIRST_USED, API_USED_ELSEWHERE, API_USED_ELSEWHERE]
    assert {person for person, _, _ in await world.notices()} == {TOM}


async def test_the_time_of_the_last_use_is_written_once_a_minute(
    world: World, store: Database
) -> None:
    token, _ = await world.make()
    written = set()
    for number in range(150):
        tokens = (world.tokens, world.other_process)[number % 2]
        await tokens.record_use(token, f"192.0.{number % 3}.1")
        (row,) = await store.fetch(sa.select(schema.api_token))
        written.add(row.last_used_at)
        world.clock.advance(seconds=1)
    times = sorted(written)
    assert 2 <= len(times) <= 3
    assert all(later - earlier >= 60_000 for earlier, later in itertools.pairwise(times))


async def test_twenty_networks_are_remembered_the_oldest_goes(
    world: World, store: Database
) -> None:
    token, _ = await world.make()
    for number in range(SEEN_NETWORKS_MAX + 5):
        await world.tokens.record_use(token, f"10.0.{number}.1")
        world.clock.advance(seconds=61)
    (row,) = await store.fetch(sa.select(schema.api_token))
    assert len(set(row.seen_networks.split())) == SEEN_NETWORKS_MAX
    assert "10.0" not in row.seen_networks
    before = len(await world.notices())
    await world.tokens.record_use(token, "10.0.24.9")
    assert len(await world.notices()) == before
    await world.tokens.record_use(token, "10.0.0.9")
    assert len(await world.notices()) == before + 1


async def test_half_of_a_day_is_told_once_a_day(world: World) -> None:
    token, _ = await world.make()
    for day in range(2):
        number = world.clock.now_ms() // DAY_MS
        await world.tokens.prepare_day(token.id, number)
        for amount in (499, 1, 200):
            cap = TokenCap(token.id, number, token.per_day)
            await world.ledger.record(build_cap_hold(cap, Credits(amount)))
            world.clock.advance(seconds=HALF_SECONDS)
            for tokens in (world.tokens, world.other_process):
                await tokens.record_use(token, HOME)
            told = [kind for _, kind, _ in await world.notices() if kind == API_HALF_SPENT]
            assert len(told) == day + (amount != 499)
        world.clock.advance(days=1)


async def test_whoever_finds_a_secret_ends_it_and_its_person_is_told(world: World) -> None:
    token, secret = await world.make()
    found = await world.tokens.find_by_secret(secret)
    assert found == token
    assert await world.tokens.revoke_found_token(token.id, TIM)
    assert not await world.tokens.revoke_found_token(token.id, TIM)
    assert await world.notices() == [(TOM, API_PASTE_FOUND, token.id)]
    own, _ = await world.make()
    assert await world.tokens.revoke_found_token(own.id, TOM)
    assert len(await world.notices()) == 1
