"""Parses the rate-limit headers of an answer: the account's id, and what is left of its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from core.pool.providers.types import Limits

#: A supplier whose headers say to wait longer is called again after an hour all the same.
WAIT_MAX_SECONDS = 3_600.0

_ORGANISATIONS = ("openai-organization", "anthropic-organization-id")
#: The headers of what is left, and of when it is full again: OpenAI's, which others imitate, then
#: Anthropic's.
_LEFT = (
    *(
        (f"x-ratelimit-remaining-{what}", f"x-ratelimit-reset-{what}")
        for what in ("requests", "tokens")
    ),
    *(
        (f"anthropic-ratelimit-{what}-remaining", f"anthropic-ratelimit-{what}-reset")
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def told(headers: Mapping[str, str]) -> Limits | None:
    """What an answer's headers say of rate limits and the account; None when that is nothing."""
    organisation = next((headers[name] for name in _ORGANISATIONS if headers.get(name)), "")
    waits = [
        _wait(headers.get(reset, ""))
        for left, reset in _LEFT
        if headers.get(left, "").strip() == "0"
    ]
    wait = max(waits, default=0.0)
    left, seconds = _requests(headers)
    if not organisation and not wait and left is None:
        return None
    return Limits(organisation, wait, left, seconds)


def _requests(headers: Mapping[str, str]) -> tuple[int | None, float]:
    """How many requests are left, and for how many seconds; None where the headers don't say, or
    none are left."""
    for left, reset in _LEFT:
        said = headers.get(left, "").strip()
        if "requests" in left and said.isdecimal() and int(said):
            return int(said), _wait(headers.get(reset, ""))
    return None, 0.0


def _wait(said: str) -> float:
    """Seconds until a limit is full again: `1m30.5s`, `120ms`, or a time."""
    if _DURATION.fullmatch(said):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(said))
        return min(seconds, WAIT_MAX_SECONDS)
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.now(UTC)).total_seconds()), WAIT_MAX_SECONDS)
