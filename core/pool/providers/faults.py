"""Classifies suppliers' errors by what the pool does about them.

A supplier's own words are read here and stay here: a fault carries a code only if it is one of the
codes written below, so that no key, prompt or foreign text gets into a log.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from core.pool.providers.types import Fault, SupplierFault

#: A supplier that asks for more than a day is taken for one that asks for a day.
RETRY_AFTER_MAX_SECONDS = 86_400.0

_STATUS_OK = 200

#: Codes, types and reasons as suppliers send them (OpenAI, Anthropic, Google, Cloudflare, Z.ai…).
_MEANING: Mapping[str, Fault] = {
    **dict.fromkeys(
        (
            "invalid_api_key", "account_deactivated", "authentication_error", "UNAUTHENTICATED",
            "organization_on_hold", "invalid_authentication_error", "API_KEY_INVALID",
            "API_KEY_EXPIRED", "10000", "3023",
        ),
        Fault.DEAD,
    ),
    **dict.fromkeys(
        (
            "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded", "organization_usage_limit_exceeded",
            "billing_hard_limit_reached", "billing_not_active", "billing_error",
            "enforced_spend_limit_reached", "exceeded_current_quota_error", "insufficient_balance",
            "3036", "1113",
        ),
        Fault.BROKE,
    ),
    **dict.fromkeys(
        (
            "rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error", "slow_down",
            "ramp_limit_exceeded", "RESOURCE_EXHAUSTED", "3040",
        ),
        Fault.THROTTLED,
    ),
    **dict.fromkeys(
        (
            "overloaded_error", "server_is_overloaded", "service_unavailable_error", "server_error",
            "api_error", "engine_overloaded_error", "UNAVAILABLE", "INTERNAL",
            "unsupported_country_region_territory",
        ),
        Fault.UNWELL,
    ),
    **dict.fromkeys(("timeout_error", "DEADLINE_EXCEEDED", "3007", "3008"), Fault.TIMEOUT),
    **dict.fromkeys(
        (
            "model_not_found", "not_found_error", "permission_error", "NOT_FOUND",
            "model_decommissioned", "resource_not_found_error", "5007", "3042", "5018", "3041",
            "5016",
        ),
        Fault.MODEL_MISSING,
    ),
    **dict.fromkeys(
        ("context_length_exceeded", "string_above_max_length", "request_too_large", "3006"),
        Fault.TOO_LONG,
    ),
    **dict.fromkeys(
        ("content_policy_violation", "moderation_blocked", "content_filter"),
        Fault.REFUSED_CONTENT,
    ),
}  # fmt: skip

#: Faults that only the wording shows, at the start of a message or anywhere in it, in lower case.
_BEGINNINGS: Mapping[str, Fault] = {
    "your credit balance is too low": Fault.BROKE,
    "you have reached your specified": Fault.BROKE,
    "api key not valid": Fault.DEAD,
    "prompt is too long": Fault.TOO_LONG,
}
_WORDINGS: Mapping[str, Fault] = {
    "insufficient balance": Fault.BROKE,
    "maximum context length": Fault.TOO_LONG,
    "context window": Fault.TOO_LONG,
    "exceeds the maximum number of tokens": Fault.TOO_LONG,
}

_STATUSES: Mapping[int, Fault] = {
    401: Fault.DEAD,
    402: Fault.BROKE,
    403: Fault.DEAD,
    404: Fault.MODEL_MISSING,
    408: Fault.TIMEOUT,
    409: Fault.UNWELL,
    413: Fault.TOO_LONG,
    429: Fault.THROTTLED,
    504: Fault.TIMEOUT,
    524: Fault.TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class _Told:
    """A supplier's error has codes (the most specific first), a message, and perhaps the seconds
    that it asks to wait."""

    codes: tuple[str, ...]
    message: str
    wait: float | None


def of_response(status: int, headers: Mapping[str, str], body: bytes) -> SupplierFault:
    """The fault of an HTTP response that is an error."""
    told = _told(_parsed(body))
    fault, code = _judged(status, told)
    wait = _wait(headers)
    return SupplierFault(
        fault, status=status, code=code, retry_after=told.wait if wait is None else wait
    )


def of_event(error: object) -> SupplierFault:
    """The fault of an error object inside a stream that began without one."""
    told = _told(error)
    status = next((int(code) for code in told.codes if _is_status(code)), _STATUS_OK)
    fault, code = _judged(status, told)
    return SupplierFault(fault, status=status, code=code, retry_after=told.wait)


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turns what the HTTP client raises inside into `SupplierFault`; cancelling passes."""
    try:
        yield
    except TimeoutError:
        raise SupplierFault(Fault.TIMEOUT) from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise SupplierFault(Fault.BAD_REQUEST) from None
    except (aiohttp.ClientError, OSError):
        raise SupplierFault(Fault.NETWORK) from None
    except (AttributeError, IndexError, KeyError, TypeError):
        # A server answered in another shape; what it said must not get into a traceback.
        raise SupplierFault(Fault.UNWELL, code="malformed") from None


def _judged(status: int, told: _Told) -> tuple[Fault, str]:
    for code in told.codes:
        if code in _MEANING:
            return _MEANING[code], code
    message = told.message.lower()
    for words, fault in _BEGINNINGS.items():
        if message.startswith(words):
            return fault, ""
    for words, fault in _WORDINGS.items():
        if words in message:
            return fault, ""
    if status in _STATUSES:
        return _STATUSES[status], ""
    well = 300 <= status < 500
    return (Fault.BAD_REQUEST if well else Fault.UNWELL), ""


def _parsed(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _told(said: object) -> _Told:
    if isinstance(said, list):
        return _told(said[0] if said else None)
    if not isinstance(said, dict):
        return _Told((), said if isinstance(said, str) else "", None)
    for inner in (said.get("error"), said.get("errors")):
        if isinstance(inner, (dict, list)) and inner:
            return _told(inner)
    details = said.get("details")
    rows = [row for row in details if isinstance(row, dict)] if isinstance(details, list) else []
    error_code = details.get("error_code") if isinstance(details, dict) else None
    told = (error_code, *(row.get("reason") for row in rows), *map(said.get, _CODE_FIELDS))
    message = said.get("message") or said.get("error") or said.get("detail")
    return _Told(
        codes=tuple(str(code) for code in told if isinstance(code, (str, int))),
        message=message if isinstance(message, str) else "",
        wait=next((wait for row in rows if (wait := _seconds(row.get("retryDelay")))), None),
    )


_CODE_FIELDS = ("code", "type", "status")


def _is_status(code: str) -> bool:
    return len(code) == 3 and code.isdecimal() and code[0] in "45"


def _seconds(duration: Any) -> float | None:
    return _bounded(duration.removesuffix("s")) if isinstance(duration, str) else None


def _wait(headers: Mapping[str, str]) -> float | None:
    if (milliseconds := _bounded(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    if said is None or (seconds := _bounded(said)) is not None:
        return seconds if said else None
    try:
        at = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return None
    return min(max(0.0, at.timestamp() - time.time()), RETRY_AFTER_MAX_SECONDS)


def _bounded(said: str | None) -> float | None:
    try:
        seconds = float(said or "")
    except ValueError:
        return None
    if not math.isfinite(seconds):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_MAX_SECONDS)
