"""Plain text of a stranger's file: in an encoding that tells itself, else in the one that its
letters are likeliest in.

Only `guess_text` is slow and somebody else's code: it is for the reading process.
"""

from __future__ import annotations

import codecs
from typing import Final

_MARKED_ENCODINGS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before the one that it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Control characters that text files have.
_TEXT_CONTROLS: Final = frozenset("\t\n\r\f\x1b")
#: Western European text has few letters beyond ASCII: more of them are another encoding.
_FOREIGN_SHARE_MAX: Final = 0.3
_ASCII: Final = bytes(range(0x80))
#: What Windows puts where Latin-1 has nothing: its letters are other ones in each language, but
#: quotes, dashes and the euro stand at one place in all.
_WINDOWS_SIGNS: Final = "€‚„…†‡‰‹‘’“”•–—™›".encode("cp1252")
_LATIN_GAP: Final = bytes(range(0x7F, 0xA0))


def decode_text(content: bytes) -> str | None:
    """The text of a file in UTF-8, in UTF-16 with its mark, or in Latin-1 as Windows writes it;
    None where it is in another encoding, or no text."""
    marked = next((name for mark, name in _MARKED_ENCODINGS if content.startswith(mark)), None)
    try:
        text = content.decode(marked or "utf-8")
    except UnicodeDecodeError:
        foreign = content.translate(None, delete=_ASCII)
        if marked is not None or len(foreign) > len(content) * _FOREIGN_SHARE_MAX:
            return None
        if not set(content).intersection(_LATIN_GAP) <= set(_WINDOWS_SIGNS):
            return None
        text = content.decode("cp1252")
    if any(sign < " " and sign not in _TEXT_CONTROLS for sign in set(text)):
        return None
    return _end_lines(text)


def _end_lines(text: str) -> str:
    """Lines end as here, whichever system wrote them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


_BINARY_WITHIN: Final = 8_192
#: Of text in UTF-16 at least so many signs are of ASCII or Latin-1; of other files, hardly any are.
_ZEROS_SHARE_MIN: Final = 0.7
#: So many bytes tell an encoding.
_SAMPLE_BYTES: Final = 256 << 10
#: With less than this the encoding can't be told from its letters.
_SAMPLE_BYTES_MIN: Final = 20
_JAPANESE_ENCODINGS: Final = ("cp932", "euc_jp")
#: Japanese has at least so many kana among its letters; by chance there are hardly any.
_KANA_SHARE_MIN: Final = 0.2


def guess_text(content: bytes) -> str | None:
    """The text of a file in whichever encoding gives a language; None where none does."""
    if b"\0" in content[:_BINARY_WITHIN]:
        text = _find_unmarked_utf16(content)
        return None if text is None else _end_lines(text)
    if len(content) < _SAMPLE_BYTES_MIN:
        return None
    text = _find_japanese(content)
    if text is None:
        from charset_normalizer import from_bytes

        best = from_bytes(content[:_SAMPLE_BYTES]).best()
        if best is None:
            return None
        text = content.decode(best.encoding, errors="replace")
    return _end_lines(text)


def _find_unmarked_utf16(content: bytes) -> str | None:
    """The text if it is UTF-16 without its mark, as Windows' programs write it: of most signs one
    byte is zero, and always the same."""
    sample = content[:_BINARY_WITHIN]
    for encoding, zeros, others in (
        ("utf-16-le", sample[1::2], sample[0::2]),
        ("utf-16-be", sample[0::2], sample[1::2]),
    ):
        if zeros.count(0) > len(zeros) * _ZEROS_SHARE_MIN and not others.count(0):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                return None
    return None


def _find_japanese(content: bytes) -> str | None:
    """The text if it is Japanese: the bytes of that give syllables of Korean, too."""
    for encoding in _JAPANESE_ENCODINGS:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        letters = [sign for sign in text[:_SAMPLE_BYTES] if sign > "\x7f"]
        kana = sum("\u3041" <= sign <= "\u30ff" for sign in letters)
        if kana > len(letters) * _KANA_SHARE_MIN:
            return text
    return None
