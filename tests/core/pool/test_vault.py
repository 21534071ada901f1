"""The vault: bound to its context, never the same twice, openable only by a master key."""

from __future__ import annotations

import secrets

import pytest
import sqlalchemy as sa

from core.clock import Clock
from core.ledger import Ledger
from core.pool import BadMasterKey, Unsealable, Vault, VaultLocked
from core.store import Insert, Store, schema

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
    wrapped, key = vault.new_data_key("person/a")
    with pytest.raises(Unsealable):
        vault.data_key("person/b", wrapped)
    with pytest.raises(Unsealable):
        vault.unseal("person/a", wrapped)
    with pytest.raises(Unsealable):
        key.unseal("ask/2/question", key.seal("ask/1/question", b"why"))


def test_a_persons_texts_are_sealed_by_their_own_key() -> None:
    vault = Vault([OLD])
    wrapped, key = vault.new_data_key("person/a")
    sealed = key.seal("ask/1", "天空".encode())
    assert vault.data_key("person/a", wrapped).unseal("ask/1", sealed).decode() == "天空"
    _, somebody_elses = vault.new_data_key("person/b")
    with pytest.raises(Unsealable):
        somebody_elses.unseal("ask/1", sealed)


def test_bad_master_keys_are_refused() -> None:
    for keys in ([], [b"short"], [OLD, b""]):
        with pytest.raises(BadMasterKey):
            Vault(keys)


async def test_a_vault_opens_with_any_of_the_keys_that_sealed_it(
    store: Store, ledger: Ledger
) -> None:
    first = await Vault.open([OLD], store, ledger)
    again = await Vault.open([NEW, OLD], store, ledger)
    assert first.fingerprint("openai", "sk-x") == again.fingerprint("openai", "sk-x")
    assert first.fingerprint("openai", "sk-x") != first.fingerprint("groq", "sk-x")
    with pytest.raises(VaultLocked) as locked:
        await Vault.open([OTHER], store, ledger)
    assert len(locked.value.needs) == 8


async def test_rotating_wraps_everything_anew_and_keeps_every_secret(
    store: Store, ledger: Ledger, clock: Clock
) -> None:
    old = await Vault.open([OLD], store, ledger)
    wrapped, key = old.new_data_key("person/per_1")
    sealed = key.seal("ask/1", b"why")
    fingerprint = old.fingerprint("openai", "sk-x")
    person = {
        "id": "per_1", "created_at": 0, "language": "en", "zone": "", "model": "", "footer": True,
        "own_keys_only": False, "data_key": wrapped,
    }  # fmt: skip
    await ledger.record(Insert(schema.person, person))
    both = await Vault.open([NEW, OLD], store, ledger)
    assert await both.rotate(store, ledger) == 2
    assert await both.rotate(store, ledger) == 0
    new = await Vault.open([NEW], store, ledger)
    assert new.fingerprint("openai", "sk-x") == fingerprint
    rows = await store.fetch(sa.select(schema.person.c.data_key))
    assert new.data_key("person/per_1", bytes(rows[0][0])).unseal("ask/1", sealed) == b"why"
    with pytest.raises(VaultLocked):
        await Vault.open([OLD], store, ledger)


def test_nothing_of_a_vault_shows_in_its_repr() -> None:
    master = secrets.token_bytes(32)
    vault = Vault([master])
    _, key = vault.new_data_key("person/a")
    assert master.hex() not in f"{vault!r} {key!r} {vars(vault)!r} {vars(key)!r}"
    assert repr(master) not in f"{vars(vault)!r}"
