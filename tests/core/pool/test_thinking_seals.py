"""Seals of thoughts: what goes out says nothing, and what comes back is ours or nothing."""

from __future__ import annotations

import base64

from hypothesis import given, settings, strategies as st

from core.pool.providers.message_parts import ThinkingPart
from core.pool.thinking_seals import SEAL_PREFIX, SEALED_CHARS_MAX, ThinkingSeals
from core.pool.vault import KEY_BYTES, Vault

MASTER = b"m" * KEY_BYTES
SEALS = ThinkingSeals(Vault([MASTER]))
THOUGHT = ThinkingPart("", "a supplier's signature", "key_1", "hidden")


@given(st.text(), st.text(), st.text())
def test_what_was_sealed_comes_back(signature: str, key: str, redacted: str) -> None:
    thought = ThinkingPart("its text stays outside", signature, key, redacted)
    opened = SEALS.open_thought("usr_1", SEALS.seal_thought("usr_1", thought))
    assert opened == ThinkingPart("", signature, key, redacted)


def test_a_seal_reveals_nothing() -> None:
    sealed = SEALS.seal_thought("usr_1", THOUGHT)
    assert sealed.startswith(SEAL_PREFIX)
    plain = base64.urlsafe_b64decode(sealed.removeprefix(SEAL_PREFIX))
    for secret in (b"signature", b"key_1", b"hidden"):
        assert secret not in plain
    assert sealed != SEALS.seal_thought("usr_1", THOUGHT)


def test_nobody_else_opens_it() -> None:
    sealed = SEALS.seal_thought("usr_1", THOUGHT)
    assert SEALS.open_thought("usr_2", sealed) is None
    others = ThinkingSeals(Vault([b"o" * KEY_BYTES]))
    assert others.open_thought("usr_1", sealed) is None
    renewed = ThinkingSeals(Vault([b"n" * KEY_BYTES, MASTER]))
    assert renewed.open_thought("usr_1", sealed) == THOUGHT


@settings(max_examples=50)
@given(st.data())
def test_what_was_altered_opens_nowhere(data: st.DataObject) -> None:
    sealed = SEALS.seal_thought("usr_1", THOUGHT)
    at = data.draw(st.integers(0, len(sealed) - 1))
    # The last letter before padding has bits that say nothing.
    letter = data.draw(st.sampled_from("AZaz09-_!é"))
    altered = sealed[:at] + letter + sealed[at + 1 :]
    opened = SEALS.open_thought("usr_1", altered)
    assert opened is None or opened == THOUGHT
    assert opened is None or at >= len(sealed.rstrip("=")) - 1 or altered == sealed


@given(st.text())
def test_whatever_comes_is_no_fault(text: str) -> None:
    assert SEALS.open_thought("usr_1", text) is None
    assert SEALS.open_thought("usr_1", SEAL_PREFIX + text) is None


def test_nothing_is_looked_at_that_is_too_long() -> None:
    long = SEALS.seal_thought("usr_1", ThinkingPart("", "s" * SEALED_CHARS_MAX, "key_1"))
    assert SEALS.open_thought("usr_1", long) is None
