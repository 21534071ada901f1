"""A secret's form: what scanners find, and what is refused before anything is read."""

from __future__ import annotations

import re
import string

from hypothesis import given, strategies as st

from core.api_tokens.secret_form import (
    SCANNER_PATTERN,
    find_secret,
    generate_secret,
    is_well_formed,
    shorten_secret,
)

BASE62 = string.digits + string.ascii_letters


def test_secrets_have_their_form_and_none_comes_twice() -> None:
    made = [generate_secret() for _ in range(500)]
    assert len(set(made)) == 500
    assert all(is_well_formed(one) and re.fullmatch(SCANNER_PATTERN, one) for one in made)
    # Each character stands somewhere: nothing of the alphabet is left out.
    assert set("".join(one[4:] for one in made)) == set(BASE62)


def test_the_checksum_stays_as_it_was() -> None:
    # CRC-32 of `cbk_` and 30 zeros, in base 62: digits, capitals, small letters.
    assert _is_crc("cbk_" + "0" * 30, "2VxXyG")
    assert is_well_formed("cbk_" + "0" * 30 + "2VxXyG")


def _is_crc(head: str, check: str) -> bool:
    """The same worked out bit by bit."""
    crc = 0xFFFFFFFF
    for byte in head.encode():
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    number, alphabet = crc ^ 0xFFFFFFFF, string.digits + string.ascii_uppercase
    alphabet += string.ascii_lowercase
    value = 0
    for sign in check:
        value = value * 62 + alphabet.index(sign)
    return value == number


@given(st.text(alphabet=BASE62, min_size=30, max_size=30))
def test_a_checksum_fits_its_head_alone(random: str) -> None:
    secret = generate_secret()
    assert _is_crc(secret[:-6], secret[-6:])
    assert is_well_formed(f"cbk_{random}{secret[-6:]}") is _is_crc(f"cbk_{random}", secret[-6:])


@given(st.integers(4, 39), st.sampled_from(BASE62))
def test_one_wrong_character_is_noticed(at: int, sign: str) -> None:
    secret = generate_secret()
    mistyped = secret[:at] + sign + secret[at + 1 :]
    assert is_well_formed(mistyped) is (mistyped == secret)


@given(st.text(max_size=60))
def test_nothing_else_is_one(text: str) -> None:
    assert not is_well_formed(text)
    for changed in (generate_secret() + text, text + generate_secret()):
        assert is_well_formed(changed) is (text == "")


def test_one_is_found_in_words() -> None:
    secret = generate_secret()
    lookalike = "cbk_" + "a" * 36
    assert find_secret(f"export KEY={lookalike} # or {secret}, said Tom") == secret
    assert find_secret(f"x{secret}") is None
    assert find_secret(lookalike) is None


def test_a_label_shows_eight_and_four_characters() -> None:
    secret = generate_secret()
    assert shorten_secret(secret) == f"{secret[:8]}…{secret[-4:]}"
