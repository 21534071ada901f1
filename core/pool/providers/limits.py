"""Parses the rate-limit headers of an answer: the account's id, and what is left of its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from core.pool.providers.types import RateLimitInfo

#: A supplier whose headers say to wait longer is called again after an hour all the same.
WAIT_MAX_SECONDS = 3_600.0

_ORGANISATIONS = ("openai-organization", "anthropic-organization-id")
#: The headers of what is left, and of when it is full again: OpenAI's, which others imitate, then
#: Anthropic's.
_RATE_LIMIT_HEADERS = (
    *(
        (f"x-ratelimit-remaining-{what}", f"x-ratelimit-reset-{what}")
        for what in ("requests", "tokens")
    ),
    *(
        (f"anthropic-ratelimit-{what}-remaining", f"anthropic-ratelimit-{what}-reset")
        for what in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
)
_PREFIXES = ("x-ratelimit-", "anthropic-", "openai-")
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def parse_rate_limit(headers: Mapping[str, str]) -> RateLimitInfo | None:
    """What an answer's headers say of rate limits and the account; None when that is nothing."""
    headers = {
        name.lower(): value for name, value in headers.items() if name.lower().startswith(_PREFIXES)
    }
    if not headers:
        return None
    organisation = next((headers[name] for name in _ORGANISATIONS if headers.get(name)), "")
    waits = [
        _parse_wait(headers.get(reset, ""))
        for left, reset in _RATE_LIMIT_HEADERS
        if headers.get(left, "").strip() == "0"
    ]
    wait = max(waits, default=0.0)
    requests_left, reset_seconds = _parse_requests_left(headers)
    if not organisation and not wait and requests_left is None:
        return None
    return RateLimitInfo(organisation, wait, requests_left, reset_seconds)


def _parse_requests_left(headers: Mapping[str, str]) -> tuple[int | None, float]:
    """How many requests are left, and for how many seconds; None where the headers don't say, or
    none are left."""
    for left, reset in _RATE_LIMIT_HEADERS:
        value = headers.get(left, "").strip()
        if "requests" in left and value.isdecimal() and int(value):
            return int(value), _parse_wait(headers.get(reset, ""))
    return None, 0.0


def _parse_wait(value: str) -> float:
    """Seconds until a limit is full again: `1m30.5s`, `120ms`, or a time."""
    if _DURATION.fullmatch(value):
        seconds = sum(
            float(number) * _SECONDS_PER_UNIT[unit]
            for number, unit in _DURATION_PART.findall(value)
        )
        return min(seconds, WAIT_MAX_SECONDS)
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return 0.0
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.now(UTC)).total_seconds()), WAIT_MAX_SECONDS)
