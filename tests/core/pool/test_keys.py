"""Keys in the pool: added, adopted, budgeted, paused, withdrawn, and seen by other processes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from core.db import schema
from core.db.writes import Update
from core.ledger.audit import check_ledger
from core.money import NanoUsd, Tokens, parse_usd
from core.pool.keys import KeyRepository
from core.pool.pool import Pool
from core.pool.providers.types import SupplierFault
from core.pool.suppliers import SUPPLIERS
from core.pool.types import (
    BadBudget,
    DuplicateKey,
    KeyRefused,
    KeySummary,
    UnknownKey,
    UnknownSupplier,
)
from core.pool.vault import Vault
from tests.core.pool.world import CHEAP, World

SECRET = "sk-canary-0123456789abcdef"


async def test_an_own_key_is_sealed_funded_and_serves(world: World) -> None:
    card = await world.key(SECRET, "500")
    assert card == KeySummary(
        id=card.id,
        supplier="openai",
        tail="cdef",
        state="active",
        reason="",
        contributor=None,
        budget=parse_usd("500"),
        used=NanoUsd(0),
        held=NanoUsd(0),
        headroom=parse_usd("500"),
        models=2,
        last_error="",
    )
    assert world.pool.list_servable_models() == {"luna", "astra"}
    assert await world.ask() == "Hello there."
    assert world.openai.calls_of(SECRET) == 1
    assert world.openai.calls[0].body["safety_identifier"] == "hash"


async def test_a_key_is_nowhere_but_sealed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    card = await world.key(SECRET)
    world.openai.forbid(SECRET)
    with pytest.raises(SupplierFault) as refused:
        await world.ask()
    await world.pool.check_models()
    rows = await world.store.fetch(sa.select(schema.key))
    shown = f"{rows} {await world.pool.list_keys()} {world.pool._records} {vars(world.pool)}"
    assert SECRET not in shown + str(rows[0].sealed) + caplog.text
    assert SECRET not in f"{refused.value!r} {card!r}"
    with pytest.raises(DuplicateKey) as again:
        await world.key(SECRET)
    assert SECRET not in f"{again.value} {again.value!r}"


@pytest.mark.parametrize(
    ("supplier", "secret", "account", "reason"),
    [
        ("openai", "sk-admin-0123456789", "", "admin"),
        ("openai", "sk-ant-api03-0123456789", "", "shape"),
        ("openai", "gsk_0123456789", "", "shape"),
        ("openai", "sk-with a space", "", "shape"),
        ("openai", "sk-line\nbreak-0123456789", "", "shape"),
        ("openai", "", "", "shape"),
        ("anthropic", "sk-ant-oat01-0123456789", "", "subscription"),
        ("anthropic", "sk-ant-admin01-0123456789", "", "admin"),
        ("google", "sk-0123456789", "", "shape"),
        ("cloudflare", "a" * 40, "", "account"),
        ("cloudflare", "a" * 40, "../../accounts/" + "0" * 17, "account"),
    ],
)
async def test_keys_that_can_not_be_right_are_refused_unsent(
    world: World, supplier: str, secret: str, account: str, reason: str
) -> None:
    pool = world.another_process(SUPPLIERS)
    with pytest.raises(KeyRefused) as refused:
        await pool.add_own_key(supplier, SecretStr(secret), parse_usd("1"), account_id=account)
    assert (refused.value.supplier, refused.value.reason) == (supplier, reason)


async def test_wrong_suppliers_and_budgets_are_refused(world: World) -> None:
    with pytest.raises(UnknownSupplier) as unknown:
        await world.key(supplier="nobody")
    assert unknown.value.known_names == ("openai", "groq")
    for budget in ("0", "-1"):
        with pytest.raises(BadBudget):
            await world.key(budget=budget)
    assert await world.pool.list_keys() == []


async def test_the_same_key_added_at_once_is_one_row(world: World) -> None:
    asked = [world.key(SECRET) for _ in range(5)]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(result, DuplicateKey) for result in results) == 4
    assert len(await world.pool.list_keys()) == 1


async def test_adopting_at_every_start_changes_nothing_twice(world: World) -> None:
    secret = SecretStr(SECRET)
    first = await world.pool.upsert_own_key("openai", secret, parse_usd("10"))
    for budget in ("25", "3", "40", "10", "25"):
        others = await asyncio.gather(
            *(
                world.another_process().upsert_own_key("openai", secret, parse_usd(budget))
                for _ in range(6)
            )
        )
        assert {card.id for card in others} == {first.id}
        card = await world.card(first.id)
        assert (card.budget, card.headroom) == (parse_usd(budget), parse_usd(budget))


async def test_a_smaller_budget_takes_back_what_is_neither_used_nor_held(world: World) -> None:
    world.openai.allow(SECRET)
    key = (await world.pool.upsert_own_key("openai", SecretStr(SECRET), parse_usd("10"))).id
    candidate = world.candidate()
    assert candidate is not None
    await world.hold("ask/1", candidate, parse_usd("4"))
    card = await world.pool.upsert_own_key("openai", SecretStr(SECRET), parse_usd("6"))
    assert (card.budget, card.held, card.headroom) == (
        parse_usd("6"),
        parse_usd("4"),
        parse_usd("2"),
    )
    card = await world.pool.upsert_own_key("openai", SecretStr(SECRET), parse_usd("1"))
    assert (card.id, card.budget, card.headroom) == (key, parse_usd("4"), NanoUsd(0))
    assert world.candidate() is None
    card = await world.pool.upsert_own_key("openai", SecretStr(SECRET), parse_usd("10"))
    assert (card.budget, card.held, card.headroom) == (
        parse_usd("10"),
        parse_usd("4"),
        parse_usd("6"),
    )
    assert (await check_ledger(world.store)).findings == ()


async def test_adopting_gives_a_dead_key_another_chance(world: World) -> None:
    world.openai.allow(SECRET)
    key = (await world.pool.upsert_own_key("openai", SecretStr(SECRET), parse_usd("1"))).id
    await world.pool.set_key_state(key, "dead", "refused twice")
    assert world.candidate() is None
    card = await world.pool.upsert_own_key("openai", SecretStr(SECRET), parse_usd("1"))
    assert (card.id, card.state) == (key, "active")
    assert await world.ask() == "Hello there."


async def test_a_paused_key_rests_until_it_is_resumed(world: World) -> None:
    key = (await world.key()).id
    await world.pool.set_key_state(key, "paused")
    assert world.candidate() is None
    assert world.pool.list_servable_models() == frozenset()
    await world.pool.resume_key(key)
    assert world.candidate() is not None
    with pytest.raises(UnknownKey):
        await world.pool.set_key_state("key_nowhere", "paused")


async def test_a_retired_key_is_destroyed_and_its_budget_returned(world: World) -> None:
    key = (await world.key(SECRET, "10")).id
    candidate = world.candidate()
    assert candidate is not None
    await world.hold("ask/1", candidate, parse_usd("1"))
    await world.pool.revoke_key(key, "no longer needed")
    rows = await world.store.fetch(sa.select(schema.key))
    assert (rows[0].state, rows[0].sealed) == ("withdrawn", None)
    assert world.candidate() is None
    assert await world.pool.list_keys() == []
    for again in (world.pool.revoke_key(key), world.pool.resume_key(key)):
        with pytest.raises(UnknownKey):
            await again
    with pytest.raises(SupplierFault):
        await anext(world.pool.stream(candidate, (), Tokens(10)))
    assert (await check_ledger(world.store)).findings == ()


async def test_other_processes_hear_of_keys_and_their_states(world: World) -> None:
    other = world.another_process()
    await other.start()
    try:
        key = (await world.key(budget="5")).id
        assert other.list_servable_models() == frozenset()
        await other.reload()
        assert other.list_servable_models() == {"luna", "astra"}
        await other.set_key_state(key, "paused")
        assert world.candidate() is not None
        await world.pool.reload()
        assert world.candidate() is None
        with pytest.raises(UnknownKey):
            await world.pool.set_key_state("nowhere", "paused")
    finally:
        await other.stop()


async def test_a_change_that_crosses_anothers_is_refused(world: World) -> None:
    key = (await world.key()).id
    other = world.another_process()
    await other.reload()
    await world.pool.set_key_state(key, "paused")
    with pytest.raises(UnknownKey):
        await other.set_key_state(key, "dead")
    assert (await world.card(key)).state == "paused"


async def test_a_key_goes_to_the_address_that_it_was_sealed_for_only(world: World) -> None:
    key = (await world.key(SECRET)).id
    moved = {**world.suppliers, "openai": world.suppliers["openai"].with_base_url(world.groq.url)}
    pool = Pool(
        ledger=world.ledger,
        vault=world.vault,
        catalogue=world.catalogue,
        costs=world.costs,
        suppliers=moved,
    )
    await pool.start()
    await pool.wait_for_first_check(5)
    assert pool.list_servable_models() == frozenset()
    assert pool.is_moved(key)
    assert [card.state for card in await pool.list_keys()] == ["moved"]
    assert not world.pool.is_moved(key)
    # Nor does an address changed in the database lead it elsewhere.
    change = {"base_url": moved["openai"].address}
    await world.ledger.record(Update(schema.key, {"id": key}, change))
    await pool.reload()
    await pool.check_models()
    candidate = world.candidate()
    assert candidate is not None
    with pytest.raises(SupplierFault, match="unsealable"):
        await anext(pool.stream(replace(candidate, key=key), (), Tokens(10)))
    assert [call.key for call in world.groq.calls] == []
    assert world.groq.lists == 0
    await pool.stop()


async def test_whoever_gives_the_key_again_may_move_it(world: World) -> None:
    world.openai.allow(SECRET)
    local = world.suppliers["openai"].with_base_url(world.openai.url + "/")
    elsewhere = world.suppliers["openai"].with_base_url("http://127.0.0.1:9/v1")
    first = await world.another_process({"openai": elsewhere}).upsert_own_key(
        "openai", SecretStr(SECRET), parse_usd("5")
    )
    pool = world.another_process({"openai": local})
    again = await pool.upsert_own_key("openai", SecretStr(SECRET), parse_usd("5"))
    assert (again.id, again.budget) == (first.id, parse_usd("5"))
    await pool.check_models()
    assert pool.list_servable_models() == {"luna", "astra"}
    await pool.stop()


async def test_a_probe_tells_what_a_key_lists_and_keeps_nothing(world: World) -> None:
    world.openai.allow(SECRET)
    listed = await world.pool.list_key_models("openai", SecretStr(SECRET))
    assert [one.id for one in listed] == ["gpt-6-luna", "gpt-6-astra"]
    with pytest.raises(KeyRefused) as refused:
        await world.pool.list_key_models("openai", SecretStr("sk-unknown-0001"))
    assert refused.value.reason == "refused"
    await world.openai.stop()
    with pytest.raises(KeyRefused) as unreachable:
        await world.pool.list_key_models("openai", SecretStr(SECRET))
    assert unreachable.value.reason == "unreachable"
    assert await world.pool.list_keys() == []


async def test_a_key_that_nobody_can_open_is_sealed_anew_when_it_is_given_again(
    world: World,
) -> None:
    card = await world.key(SECRET)
    lost = Vault([bytes([9]) * 32])
    world.vault._master_keys, world.vault._first_key_id = lost._master_keys, lost._first_key_id
    with pytest.raises(SupplierFault):
        await world.ask()
    assert world.openai.calls == []
    assert (await world.card(card.id)).last_error == "vault_locked"
    world.clock.advance(seconds=3_601)
    assert (
        await world.pool.upsert_own_key("openai", SecretStr(SECRET), parse_usd("1"))
    ).id == card.id
    assert await world.ask() == "Hello there."


async def test_a_list_learned_while_rows_are_read_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that were read before a check wrote what it learned say nothing of it."""
    await world.key(SECRET)
    world.openai.models = [CHEAP.model]
    load = KeyRepository.load

    async def slowly(self: KeyRepository) -> object:
        rows = await load(self)
        await world.pool.check_models()
        return rows

    monkeypatch.setattr(KeyRepository, "load", slowly)
    await world.pool.reload()
    learned = [record.models for record in world.pool._records.values()]
    assert learned == [frozenset({CHEAP.model})]
