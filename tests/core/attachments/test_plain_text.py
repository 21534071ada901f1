"""Text of any system is read as it was written."""

from __future__ import annotations

import pytest

from core.attachments.plain_text import decode_text, guess_text

_ENGLISH = "The sky is blue.\r\nSo is the sea, and it is very wide.\r\n"
_AS_READ = "The sky is blue.\nSo is the sea, and it is very wide.\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_that_tell_themselves(encoding: str) -> None:
    assert decode_text(_ENGLISH.encode(encoding)) == _AS_READ


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_its_mark(encoding: str) -> None:
    for text in (_ENGLISH, "Déjà vu – où coule une rivière très fraîche. " * 300):
        found = guess_text(text.encode(encoding))
        assert found == text.replace("\r\n", "\n")


@pytest.mark.parametrize("content", [b"MZ\x90\0\x03\0\0\0\x04\0", bytes(64), b"a\0" * 20 + b"\0d"])
def test_what_is_no_text_is_none(content: bytes) -> None:
    assert decode_text(content) is None
    assert guess_text(content) is None


def test_lines_of_old_and_new_systems() -> None:
    assert decode_text(b"one\rtwo\r\nthree\n") == "one\ntwo\nthree\n"
