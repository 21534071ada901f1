"""The vault: bound to its context, never the same twice, openable only by a master key."""

from __future__ import annotations

import secrets

import pytest
import sqlalchemy as sa

from bots.services import SEALED_COLUMNS
from core.clock import Clock
from core.db import schema
from core.db.database import Database
from core.db.writes import Insert, Update
from core.ledger.ledger import Ledger
from core.pool.vault import (
    BadMasterKey,
    SecretsUnopenable,
    UnopenableSecrets,
    Unsealable,
    Vault,
    VaultLocked,
    VaultSurvey,
    key_context,
)

OLD, NEW, OTHER = (bytes([n]) * 32 for n in (1, 2, 3))
CONTEXT, SECRET = "key/one", b"sk-canary-0123456789"


def test_a_secret_comes_back_and_never_looks_the_same_twice() -> None:
    vault = Vault([OLD])
    one, two = vault.seal(CONTEXT, SECRET), vault.seal(CONTEXT, SECRET)
    assert vault.unseal(CONTEXT, one) == vault.unseal(CONTEXT, two) == SECRET
    assert one != two
    assert SECRET not in one + two


def test_every_altered_byte_is_noticed() -> None:
    vault = Vault([OLD])
    sealed = vault.seal(CONTEXT, SECRET)
    for place in range(len(sealed)):
        altered = bytearray(sealed)
        altered[place] ^= 1
        with pytest.raises((Unsealable, VaultLocked)):
            vault.unseal(CONTEXT, bytes(altered))
    for length in (0, 1, 40, len(sealed) - 1):
        with pytest.raises(Unsealable):
            vault.unseal(CONTEXT, sealed[:length])


def test_a_secret_opens_in_its_own_context_only() -> None:
    vault = Vault([OLD])
    with pytest.raises(Unsealable):
        vault.unseal("key/two", vault.seal(CONTEXT, SECRET))
    wrapped, key = vault.create_data_key("person/a")
    with pytest.raises(Unsealable):
        vault.unwrap_data_key("person/b", wrapped)
    with pytest.raises(Unsealable):
        vault.unseal("person/a", wrapped)
    with pytest.raises(Unsealable):
        key.unseal("ask/2/question", key.seal("ask/1/question", b"why"))


def test_a_persons_texts_are_sealed_by_their_own_key() -> None:
    vault = Vault([OLD])
    wrapped, key = vault.create_data_key("person/a")
    sealed = key.seal("ask/1", "天空".encode())
    assert vault.unwrap_data_key("person/a", wrapped).unseal("ask/1", sealed).decode() == "天空"
    _, somebody_elses = vault.create_data_key("person/b")
    with pytest.raises(Unsealable):
        somebody_elses.unseal("ask/1", sealed)


def test_bad_master_keys_are_refused() -> None:
    for keys in ([], [b"short"], [OLD, b""]):
        with pytest.raises(BadMasterKey):
            Vault(keys)


async def test_a_vault_opens_with_any_of_the_keys_that_sealed_it(
    store: Database, ledger: Ledger
) -> None:
    first = await Vault.open([OLD], store, ledger)
    again = await Vault.open([NEW, OLD], store, ledger)
    assert first.fingerprint("openai", "sk-x") == again.fingerprint("openai", "sk-x")
    assert first.fingerprint("openai", "sk-x") != first.fingerprint("groq", "sk-x")
    with pytest.raises(VaultLocked) as locked:
        await Vault.open([OTHER], store, ledger)
    assert len(locked.value.needed_key) == 8


async def test_rotating_wraps_everything_anew_and_keeps_every_secret(
    store: Database, ledger: Ledger, clock: Clock
) -> None:
    old = await Vault.open([OLD], store, ledger)
    wrapped, key = old.create_data_key("person/per_1")
    sealed = key.seal("ask/1", b"why")
    fingerprint = old.fingerprint("openai", "sk-x")
    person = {
        "id": "per_1", "created_at": 0, "language": "en", "zone": "", "model": "", "footer": True,
        "own_keys_only": False, "data_key": wrapped,
    }  # fmt: skip
    await ledger.record(Insert(schema.person, person))
    both = await Vault.open([NEW, OLD], store, ledger)
    assert await both.rotate_master_key(store, ledger, SEALED_COLUMNS) == 2
    assert await both.rotate_master_key(store, ledger, SEALED_COLUMNS) == 0
    new = await Vault.open([NEW], store, ledger)
    assert new.fingerprint("openai", "sk-x") == fingerprint
    rows = await store.fetch(sa.select(schema.person.c.data_key))
    assert new.unwrap_data_key("person/per_1", bytes(rows[0][0])).unseal("ask/1", sealed) == b"why"
    with pytest.raises(VaultLocked):
        await Vault.open([OLD], store, ledger)


#: Bytes that no master key wraps: seals of the ledger's own, digests by the fingerprint key, and
#: what a person's data key seals.
UNWRAPPED = {
    "account.seal",
    "submission.digest",
    "submission.seal",
    "key.fingerprint",
    "contribution.organisation",
    "erased.fingerprint",
    "ask.question",
    "ask.answer",
    "ask.edited",
    "ask.way_back",
    "attachment.content",
    "attachment.name",
    "attachment.small",
    "api_token.digest",
    "api_reply.digest",
    "api_reply.answer",
}


def test_rotating_forgets_no_column() -> None:
    binary = {
        f"{table.name}.{column.name}"
        for table in schema.metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, sa.LargeBinary)
    }
    wrapped = {f"{place.table.name}.{place.column}" for place in SEALED_COLUMNS}
    assert wrapped | UNWRAPPED == binary
    assert not wrapped & UNWRAPPED


def key_row(number: int, vault: Vault) -> dict[str, object]:
    id_ = f"key_{number}"
    sealed = vault.seal(key_context(id_, "openai", ""), SECRET)
    return {
        "id": id_, "provider": "openai", "base_url": "", "tail": f"{number:04}",
        "fingerprint": bytes([number]), "sealed": sealed,
        "owner": None, "state": "active", "reason": "", "created_at": 0, "state_at": 0,
    }  # fmt: skip


async def test_what_a_lost_master_key_leaves_shut_is_named_and_nothing_is_changed(
    store: Database, ledger: Ledger
) -> None:
    old, other = await Vault.open([OLD], store, ledger), Vault([OTHER])
    for number, vault in enumerate((old, other, other)):
        await ledger.record(Insert(schema.key, key_row(number, vault)))
    before = await store.fetch(sa.select(schema.key))
    without = Vault([NEW, OLD])
    lost = UnopenableSecrets(
        "key", 2, 3, (other._first_key_id.hex(),), ("openai …0001", "openai …0002")
    )
    assert await without.survey_secrets(store, SEALED_COLUMNS) == VaultSurvey(
        sealed_count=4, older_key_count=4, unopenable=(lost,)
    )
    with pytest.raises(SecretsUnopenable) as refused:
        await without.rotate_master_key(store, ledger, SEALED_COLUMNS)
    assert refused.value.unopenable == (lost,)
    assert await store.fetch(sa.select(schema.key)) == before
    # Without the key of the vault itself it is told all the same.
    assert [
        one.table for one in (await Vault([NEW]).survey_secrets(store, SEALED_COLUMNS)).unopenable
    ] == [
        "vault_secret",
        "key",
    ]
    found = Vault([NEW, OLD, OTHER])
    assert await found.survey_secrets(store, SEALED_COLUMNS) == VaultSurvey(
        sealed_count=4, older_key_count=4, unopenable=()
    )
    assert await found.rotate_master_key(store, ledger, SEALED_COLUMNS) == 4
    assert await Vault([NEW]).survey_secrets(store, SEALED_COLUMNS) == VaultSurvey(
        sealed_count=4, older_key_count=0, unopenable=()
    )


async def test_what_was_altered_or_swapped_is_named(store: Database, ledger: Ledger) -> None:
    vault = await Vault.open([OLD], store, ledger)
    for number in range(3):
        await ledger.record(Insert(schema.key, key_row(number, vault)))
    elsewhere = {"base_url": "http://127.0.0.1:1"}
    await ledger.record(Update(schema.key, {"id": "key_1"}, elsewhere))
    await ledger.record(Update(schema.key, {"id": "key_2"}, {"sealed": b"\x01"}))
    shut = UnopenableSecrets("key", 2, 3, (), ("openai …0001", "openai …0002"))
    assert (await vault.survey_secrets(store, SEALED_COLUMNS)).unopenable == (shut,)


def test_nothing_of_a_vault_shows_in_its_repr() -> None:
    master = secrets.token_bytes(32)
    vault = Vault([master])
    _, key = vault.create_data_key("person/a")
    assert master.hex() not in f"{vault!r} {key!r} {vars(vault)!r} {vars(key)!r}"
    assert repr(master) not in f"{vars(vault)!r}"
