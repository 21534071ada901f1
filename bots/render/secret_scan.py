"""Secrets recognised by their shape, so that a key pasted in the wrong place goes no further.

The shapes are those that suppliers document or issue; each needs a prefix that ordinary words do
not have, or a word beside it. A bare UUID, hash or base64 text is no secret by its shape.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FoundSecret:
    """A found secret: where it stands in a text, and whose it seems to be; never the secret
    itself."""

    kind: str
    start: int
    end: int


#: No letter, digit or joining sign before or after: `task-…` holds no `sk-…`.
_BEFORE = r"(?<![A-Za-z0-9_\-])"
_AFTER = r"(?![A-Za-z0-9])"

#: In this order: a longer prefix before the shorter one that it contains.
_SHAPES: Final[tuple[tuple[str, str], ...]] = (
    ("anthropic", r"sk-ant-[A-Za-z0-9_\-]{20,}"),
    ("openrouter", r"sk-or-(?:v\d-)?[A-Za-z0-9]{32,}"),
    ("openai", r"sk-(?:proj|svcacct|admin|None)-[A-Za-z0-9_\-]{20,}"),
    ("openai", r"sk-(?=[a-z\-]*[A-Z0-9])[A-Za-z0-9]{20,}"),
    ("google", r"AIza[A-Za-z0-9_\-]{35}"),
    ("google", r"AQ\.[A-Za-z0-9_\-]{30,}"),
    ("xai", r"xai-[A-Za-z0-9]{40,}"),
    ("groq", r"gsk_[A-Za-z0-9]{30,}"),
    ("cloudflare", r"cf(?:ut|at|ot|k)_[A-Za-z0-9_\-]{30,}"),
    ("huggingface", r"hf_[A-Za-z0-9]{30,}"),
    ("cerebras", r"csk-[A-Za-z0-9]{30,}"),
    ("perplexity", r"pplx-[A-Za-z0-9]{30,}"),
    ("nvidia", r"nvapi-[A-Za-z0-9_\-]{40,}"),
    ("telegram", r"\d{6,12}:AA[A-Za-z0-9_\-]{33}"),
    ("stripe", r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("stripe", r"whsec_[A-Za-z0-9]{24,}"),
    ("github", r"(?:gh[opsur]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
    ("aws", r"(?:AKIA|ASIA)[A-Z0-9]{16}"),
    ("creditbot", r"cbk_[0-9A-Za-z]{36}"),
    ("slack", r"xox[abprs]-[A-Za-z0-9\-]{20,}"),
)
_PREFIXED: Final = re.compile(
    _BEFORE
    + "(?:"
    + "|".join(f"(?P<k{n}>{shape})" for n, (_, shape) in enumerate(_SHAPES))
    + ")"
    + _AFTER
)
#: Up to the end line, or to the end of the text when the paste was cut.
_PEM: Final = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
#: Cloudflare's older tokens are 40 characters without a mark of their own: only near its name.
_CLOUDFLARE_OLD: Final = re.compile(
    r"cloudflare\b.{0,60}?(?<![A-Za-z0-9_\-])"
    r"(?P<token>(?=[A-Za-z0-9_\-]*[A-Z])(?=[A-Za-z0-9_\-]*[0-9])[A-Za-z0-9_\-]{40})(?![A-Za-z0-9_\-])",
    re.IGNORECASE | re.DOTALL,
)
#: One look says that most messages hold nothing: some piece of every shape above, in small letters.
_HINTS: Final[tuple[str, ...]] = (
    *("sk-", "sk_", "rk_", "aiza", "aq.", "xai-", "gsk_", "cfut_", "cfat_", "cfot_", "cfk_"),
    *("hf_", "pplx-", "nvapi-", ":aa", "whsec_", "gho_", "ghp_", "ghs_", "ghu_", "ghr_"),
    *("github_pat_", "akia", "asia", "xox", "private key", "cloudflare", "cbk_"),
)
#: Long runs of one letter are examples ("sk-xxxxxxxx…"), not keys.
_DISTINCT_MIN = 8


#: Of a long text so many characters are looked at in one turn of the loop: some milliseconds. (A
#: thread would not help: a search holds the interpreter.)
_PART_CHARS: Final = 32_768
#: What makes a secret one is shorter; parts of a text overlap by so much.
_OVERLAP_CHARS: Final = 512


def find_secrets(text: str) -> list[FoundSecret]:
    """The secrets in a text, in order, without overlaps; empty for nearly every message."""
    return _find_between(text, 0, len(text))


async def find_first_secret(text: str) -> FoundSecret | None:
    """The first secret in a text of any length, looked for in parts: others have their turn in
    between. Its end may be that of its part."""
    for start in range(0, max(1, len(text)), _PART_CHARS):
        end = min(len(text), start + _PART_CHARS + _OVERLAP_CHARS)
        for secret in _find_between(text, start, end):
            # What begins near a part's end is seen whole in the next one.
            if secret.start < start + _PART_CHARS or end == len(text):
                return secret
        await asyncio.sleep(0)
    return None


def _find_between(text: str, start: int, end: int) -> list[FoundSecret]:
    lower = text[start:end].lower()
    if not any(hint in lower for hint in _HINTS):
        return []
    found = [FoundSecret("private-key", *match.span()) for match in _PEM.finditer(text, start, end)]
    for match in _PREFIXED.finditer(text, start, end):
        if len(set(match.group())) >= _DISTINCT_MIN:
            kind = _SHAPES[int((match.lastgroup or "k0")[1:])][0]
            found.append(FoundSecret(kind, *match.span()))
    for match in _CLOUDFLARE_OLD.finditer(text, start, end):
        # The 40 characters must carry capitals and digits: IGNORECASE is for the name alone.
        token = match["token"]
        if any(c.isupper() for c in token) and any(c.isdigit() for c in token):
            found.append(FoundSecret("cloudflare", *match.span("token")))
    return _drop_overlaps(found)


def mask_secrets(text: str, mask: str = "•••") -> str:
    """The text with each secret replaced by `mask`."""
    for secret in reversed(find_secrets(text)):
        text = text[: secret.start] + mask + text[secret.end :]
    return text


def _drop_overlaps(found: list[FoundSecret]) -> list[FoundSecret]:
    separate: list[FoundSecret] = []
    for secret in sorted(found, key=lambda each: (each.start, -each.end)):
        if not separate or secret.start >= separate[-1].end:
            separate.append(secret)
    return separate
