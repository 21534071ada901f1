"""Documents at random: of every format that is read, in several scripts and encodings, of many
lengths, and damaged in the ways that files are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.support.documents import make_docx, make_pdf, make_xlsx

_ENGLISH = "the sky over our harbour turned grey before anybody had noticed how late it was"
_FRENCH = "l’été dernier nous étions allés à la forêt où coule une rivière très fraîche"
_RUSSIAN = "вчера мы долго говорили о том как быстро меняется погода в нашем старом городе"
_ARABIC = "ذهبنا أمس إلى السوق القديم واشترينا الخبز والزيت والتمر من صديق قديم"
_CHINESE = "昨天 我们 去了 城里 的 老 市场 买了 很多 新鲜 的 水果 和 蔬菜 然后 回家 做饭"
_JAPANESE = "きのう わたしたちは ふるい 町の 市場へ 行って 新しい 野菜を 買いました"
_SCRIPTS = (_ENGLISH, _FRENCH, _RUSSIAN, _ARABIC, _CHINESE, _JAPANESE, "🌊 🏔️ 🌋 ok")
#: What people's programs write, and in which language.
_ENCODINGS = (
    *((one, script) for script in _SCRIPTS for one in ("utf-8", "utf-8-sig", "utf-16")),
    *(("latin-1", _ENGLISH), ("cp1252", _FRENCH), ("cp1251", _RUSSIAN), ("koi8-r", _RUSSIAN)),
    *(("gb18030", _CHINESE), ("shift_jis", _JAPANESE), ("cp1256", _ARABIC)),
)
_LINE_WORDS = 8


@dataclass(frozen=True)
class RandomDocument:
    """A document and the words in it; `is_whole` where nothing of it was damaged."""

    content: bytes
    name: str
    words: tuple[str, ...]
    is_whole: bool


def make_random_document(chance: random.Random) -> RandomDocument:
    """One of any kind; two in three are damaged."""
    content, name, words = chance.choice((_make_pdf, _make_docx, _make_xlsx, _make_text))(chance)
    change = chance.choice((None, None, None, *_DAMAGES))
    if change is not None:
        content = change(chance, content)
    return RandomDocument(content, name, tuple(words), change is None)


def damage(chance: random.Random, content: bytes) -> bytes:
    """A file, damaged in one of the ways that files are."""
    return chance.choice(_DAMAGES)(chance, content)


_Made = tuple[bytes, str, list[str]]


def _choose_lines(chance: random.Random, script: str, most: int) -> list[str]:
    """Short ones mostly."""
    count = 1 + int(most * chance.random() ** 4)
    return [" ".join(chance.choices(script.split(), k=_LINE_WORDS)) for _ in range(count)]


def _make_pdf(chance: random.Random) -> _Made:
    pages = 1 + int(60 * chance.random() ** 4)
    written = [_choose_lines(chance, _ENGLISH, 40) for _ in range(pages)]
    lines = [line for page in written for line in page]
    return make_pdf(["\n".join(page) for page in written]), "a.pdf", lines


def _make_docx(chance: random.Random) -> _Made:
    lines = _choose_lines(chance, chance.choice(_SCRIPTS), 60)
    row = _choose_lines(chance, chance.choice(_SCRIPTS), 3)
    return make_docx(lines, row), "a.docx", [*lines, *row]


def _make_xlsx(chance: random.Random) -> _Made:
    lines = _choose_lines(chance, chance.choice(_SCRIPTS), 60)
    rows: list[Sequence[object]] = [[chance.randrange(10**6), None, line] for line in lines]
    numbers = [f"{row[0]}\t\t{line}" for row, line in zip(rows, lines, strict=True)]
    return make_xlsx("Sheet", rows), "a.xlsx", numbers


def _make_text(chance: random.Random) -> _Made:
    encoding, script = chance.choice(_ENCODINGS)
    # With a line alone no encoding but Unicode's can be told.
    lines = [line for _ in range(4) for line in _choose_lines(chance, script, 40)]
    return "\n".join(lines).encode(encoding), f"{encoding}.txt", lines


def _flip(chance: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 5, 50))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _cut(chance: random.Random, content: bytes) -> bytes:
    return content[: chance.randrange(len(content))]


def _insert(chance: random.Random, content: bytes) -> bytes:
    at, more = chance.randrange(len(content)), chance.randbytes(chance.choice((1, 100, 10_000)))
    return content[:at] + more + content[at:]


def _repeat(chance: random.Random, content: bytes) -> bytes:
    start, end = sorted(chance.choices(range(len(content)), k=2))
    return content[:end] + content[start:end] * chance.choice((1, 3)) + content[end:]


def _replace_number(chance: random.Random, content: bytes) -> bytes:
    """Offsets, counts and lengths lie."""
    digits = [at for at, byte in enumerate(content) if chr(byte).isdigit() and byte < 0x80]
    if not digits:
        return content[1:]
    at = chance.choice(digits)
    return content[:at] + chance.choice((b"-1", b"0", b"999999999")) + content[at + 1 :]


def _join(chance: random.Random, content: bytes) -> bytes:
    other, _, _ = chance.choice((_make_pdf, _make_docx, _make_xlsx))(chance)
    return content[: chance.randrange(len(content))] + other


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_flip, _cut, _insert, _repeat, _replace_number, _join),
)
