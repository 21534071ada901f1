"""Classifies suppliers' errors by what the pool does about them.

A supplier's own words are read here and stay here: a fault carries a code only if it is one of the
codes written below, so that no key, prompt or foreign text gets into a log.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from core.money import Tokens
from core.pool.providers.transport import BROKEN
from core.pool.providers.types import Fault, MinuteExcess, SupplierFault

#: A supplier that asks for more than a day is taken for one that asks for a day.
RETRY_AFTER_MAX_SECONDS = 86_400.0

_STATUS_OK = 200

#: Codes, types and reasons as suppliers send them (OpenAI, Anthropic, Google, Cloudflare, Z.ai…).
_FAULT_BY_CODE: Mapping[str, Fault] = {
    **dict.fromkeys(
        (
            "invalid_api_key", "account_deactivated", "authentication_error", "UNAUTHENTICATED",
            "organization_on_hold", "invalid_authentication_error", "API_KEY_INVALID",
            "API_KEY_EXPIRED", "10000", "3023", "minimax_1004", "minimax_2049",
            # LiteLLM, the first one with a 400: a key that it doesn't know is looked for in a
            # database, and it has none.
            "no_db_connection", "token_not_found_in_db", "expired_key",
        ),
        Fault.INVALID_KEY,
    ),
    **dict.fromkeys(
        (
            "insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded", "organization_usage_limit_exceeded",
            "billing_hard_limit_reached", "billing_not_active", "billing_error",
            "enforced_spend_limit_reached", "exceeded_current_quota_error", "insufficient_balance",
            "3036", "1113", "minimax_1008", "budget_exceeded",
        ),
        Fault.NO_FUNDS,
    ),
    **dict.fromkeys(
        (
            "rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error", "slow_down",
            "ramp_limit_exceeded", "RESOURCE_EXHAUSTED", "3040", "minimax_1002", "minimax_1039",
            "1302", "1303", "1305",
        ),
        Fault.RATE_LIMITED,
    ),
    **dict.fromkeys(
        (
            "overloaded_error", "server_is_overloaded", "service_unavailable_error", "server_error",
            "api_error", "engine_overloaded_error", "UNAVAILABLE", "INTERNAL",
            "unsupported_country_region_territory",
        ),
        Fault.UNAVAILABLE,
    ),
    **dict.fromkeys(("timeout_error", "DEADLINE_EXCEEDED", "3007", "3008"), Fault.TIMEOUT),
    **dict.fromkeys(
        (
            "model_not_found", "not_found_error", "permission_error", "NOT_FOUND",
            "model_decommissioned", "resource_not_found_error", "5007", "3042", "5018", "3041",
            "5016", "key_model_access_denied", "team_model_access_denied",
        ),
        Fault.MODEL_MISSING,
    ),
    **dict.fromkeys(
        (
            "context_length_exceeded", "string_above_max_length", "request_too_large", "3006",
            "exceed_context_size_error",
        ),
        Fault.TOO_LONG,
    ),
    **dict.fromkeys(
        (
            "content_policy_violation", "moderation_blocked", "content_filter",
            "data_inspection_failed", "minimax_1026", "minimax_1027", "1301",
        ),
        Fault.REFUSED_CONTENT,
    ),
}  # fmt: skip

#: Codes that say less than a telling sentence beside them: gateways put them on anything.
_GENERIC_CODES = frozenset(
    (
        "rate_limit_exceeded", "rate_limit_error", "rate_limit_reached_error",
        "RESOURCE_EXHAUSTED", "server_error", "api_error", "INTERNAL", "UNAVAILABLE",
        "permission_error", "not_found_error", "NOT_FOUND", "authentication_error",
        "invalid_authentication_error", "UNAUTHENTICATED",
    )
)  # fmt: skip

#: What suppliers say in words, the most telling first: what of the person's words they refuse, that
#: there is no money, that the key is wrong, that this request is too large for the key's minute,
#: that the prompt is too long for the model, that they are overloaded. Read in lower case.
_FAULT_BY_WORDING: Sequence[tuple[Fault, re.Pattern[str]]] = (
    (
        Fault.REFUSED_CONTENT,
        re.compile(
            r"usage (guidelines|polic)|content[ _](polic|filter|management)|safety (system|filter)"
            r"|prohibited content|(sensitive|inappropriate|unsafe|harmful) content|new_sensitive"
            r"|data_inspection_failed|responsible ai|blocked by (our )?(content|moderation|safety)"
            r"|(input|prompt|request|content|message|text|output)s?( \w+){0,4} (was|were|is|been)"
            r" (flagged|blocked|rejected by)|flagged (by|for|as) "
        ),
    ),
    (
        Fault.NO_FUNDS,
        re.compile(
            r"credit balance is too low|insufficient (balance|credit|fund|quota)"
            r"|(no|not enough|out of|used all)( \w+){0,2} (credits|balance|funds)"
            r"|spend(ing)? limit|you have reached your specified"
            r"|balance is (too low|insufficient|not enough)|payment required|in arrears|overdue"
            r"|recharge|top up|usage limit.*(month|organi[sz]ation)"
        ),
    ),
    (
        Fault.INVALID_KEY,
        re.compile(
            r"api key not valid|(invalid|incorrect|unknown|wrong) (x-)?api[ -_]?key|login fail"
            r"|api key( \w+)? (is |has been |was )?(expired|invalid|disabled|revoked|deactivated)"
            r"|no[ _]db[ _]connection|invalid (authentication|bearer|token provided)"
        ),
    ),
    (
        Fault.TOO_LARGE,
        re.compile(r"request too large|too large for .*(minute|tpm)|limit \d+, requested \d+"),
    ),
    (
        Fault.TOO_LONG,
        re.compile(
            r"prompt (is )?too long|context (length|window|size)|exceed_context_size"
            r"|exceeds? context|maximum (context|prompt|input) length"
            r"|maximum number of (input )?tokens"
            r"|input (is )?too long|too many (input )?tokens"
            r"|reduce the length of the (messages|prompt)"
        ),
    ),
    (Fault.UNAVAILABLE, re.compile(r"overloaded|at capacity|temporarily unavailable")),
)  # fmt: skip
#: That a picture isn't taken: the model doesn't see, there are too many, they are too large, or it
#: is none. It says nothing of the key, nor that the model isn't there, whatever the status says
#: (OpenRouter's is 404). A limit of pictures in a minute has another status.
_PICTURE_REFUSAL = re.compile(
    r"(n't|not|cannot|never) (\w+ )?(support|accept|allow|process|handle|take)s?( \w+){0,2}"
    r" (image|picture|vision|multi-?modal)"
    r"|(image|vision)(_url|s)?( inputs?| content)? (is|are) (not|only) (currently )?"
    r"(allowed|supported|enabled|permitted|available)"
    r"|no endpoints found that support image|only (supports? )?text( inputs?| content)?( is|$)"
    r"|unknown variant [`'\"]?image|content must be a string"
    r"|too many images|number of images|images? exceeds?|image (size|dimensions)"
    r"|(unsupported|invalid|process|download)( \w+){0,2} image"
)
_PICTURE_STATUSES = frozenset((400, 404, 415, 422))

#: So much of a message is read, in characters.
_WORDS_MAX = 4_000

_FAULT_BY_STATUS: Mapping[int, Fault] = {
    401: Fault.INVALID_KEY,
    402: Fault.NO_FUNDS,
    403: Fault.INVALID_KEY,
    404: Fault.MODEL_MISSING,
    408: Fault.TIMEOUT,
    409: Fault.UNAVAILABLE,
    413: Fault.TOO_LONG,
    429: Fault.RATE_LIMITED,
    504: Fault.TIMEOUT,
    524: Fault.TIMEOUT,
}


#: Fields of ours that some servers of OpenAI's wire format don't take; the longer names first.
_OPTIONAL_FIELDS = (
    *("max_completion_tokens", "max_tokens", "stream_options", "include_obfuscation"),
    *("include_usage", "safety_identifier", "prompt_cache_key", "detail", "store"),
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed"),
    *("parallel_tool_calls", "reasoning_effort"),
)
_OPTIONAL_FIELD = rf"\b({'|'.join(_OPTIONAL_FIELDS)})\b"
#: That a field isn't taken, in words, before its name or after it.
_FIELD_REFUSALS = (
    re.compile(
        r"(unsupported|unknown|unrecogni[sz]ed|unexpected|extra|invalid)[^.;]{0,60}?"
        + _OPTIONAL_FIELD
    ),
    re.compile(
        _OPTIONAL_FIELD + r"[^.;]{0,120}?(not (supported|permitted|allowed|recogni[sz]ed|accepted)"
        r"|unsupported|forbidden|unknown|unexpected)"
    ),
)
_REFUSED_REQUEST_STATUSES = frozenset((400, 422))


@dataclass(frozen=True, slots=True)
class _ErrorDetails:
    """A supplier's error has codes (the most specific first), a message, and perhaps the seconds
    that it asks to wait and the request's field that it is about."""

    codes: tuple[str, ...]
    message: str
    retry_after: float | None
    field: str = ""

    @property
    def words(self) -> str:
        """What is read of the message, in lower case."""
        return self.message[:_WORDS_MAX].lower()


def fault_from_response(status: int, headers: Mapping[str, str], body: bytes) -> SupplierFault:
    """The fault of an HTTP response that is an error."""
    details = _parse_error(_parse_json(body))
    fault, code = _classify(status, details)
    retry_after = _parse_retry_after(headers)
    return SupplierFault(
        fault,
        status=status,
        code=code,
        retry_after=details.retry_after if retry_after is None else retry_after,
        is_of_model=_names_model(fault, details),
        parameter=_find_refused_field(fault, status, details),
        excess=_find_excess(fault, details),
    )


def fault_from_event(error: object) -> SupplierFault:
    """The fault of an error object inside a stream that began without one."""
    details = _parse_error(error)
    status = next((int(code) for code in details.codes if _is_status(code)), _STATUS_OK)
    fault, code = _classify(status, details)
    return SupplierFault(
        fault,
        status=status,
        code=code,
        retry_after=details.retry_after,
        is_of_model=_names_model(fault, details),
        excess=_find_excess(fault, details),
    )


#: What reading JSON of another shape than expected raises.
MALFORMED_ERRORS = (AttributeError, IndexError, KeyError, TypeError)


@contextlib.contextmanager
def translate_errors() -> Iterator[None]:
    """Turns what the HTTP client raises inside into `SupplierFault`; cancelling passes."""
    try:
        yield
    except Exception as error:
        if (fault := find_fault(error)) is None:
            raise
        raise fault from None


def find_fault(error: BaseException) -> SupplierFault | None:
    """The fault that an error of the HTTP client means, or one of reading JSON; None for any
    other."""
    if isinstance(error, TimeoutError):
        return SupplierFault(Fault.TIMEOUT)
    if isinstance(error, (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)):
        return SupplierFault(Fault.BAD_REQUEST)
    if isinstance(error, BROKEN):
        return SupplierFault(Fault.NETWORK)
    if isinstance(error, MALFORMED_ERRORS):
        # A server answered in another shape; what it said must not get into a traceback.
        return SupplierFault(Fault.UNAVAILABLE, code="malformed")
    return None


#: The code of a fault whose meaning isn't in the tables: it is counted, so that operators see it.
UNKNOWN_CODE = "unknown"

#: OpenAI's and Groq's sentence of a limit that is one model's.
_LIMIT_OF_MODEL = re.compile(
    r"rate limit reached for (model )?[`'\"]?[\w.:/-]+|(for|of) this model"
)


def _names_model(fault: Fault, details: _ErrorDetails) -> bool:
    return fault is Fault.RATE_LIMITED and _LIMIT_OF_MODEL.search(details.words) is not None


#: Groq's and OpenAI's sentence of a request that is too large for a minute.
_EXCESS = re.compile(r"limit:? (\d[\d,]{0,11})\b.{0,40}?requested:? (\d[\d,]{0,11})\b")


def _find_excess(fault: Fault, details: _ErrorDetails) -> MinuteExcess | None:
    if fault is not Fault.TOO_LARGE or (told := _EXCESS.search(details.words)) is None:
        return None
    limit, requested = (Tokens(int(digits.replace(",", ""))) for digits in told.groups())
    return MinuteExcess(limit, requested) if limit < requested else None


def _find_refused_field(fault: Fault, status: int, details: _ErrorDetails) -> str:
    """The optional field that a server doesn't take; empty where the error is another."""
    if fault is not Fault.BAD_REQUEST or status not in _REFUSED_REQUEST_STATUSES:
        return ""
    if details.field in _OPTIONAL_FIELDS:
        return details.field
    found = [match for pattern in _FIELD_REFUSALS if (match := pattern.search(details.words))]
    names = (re.search(_OPTIONAL_FIELD, match.group()) for match in found)
    return next((name.group() for name in names if name is not None), "")


def _classify(status: int, details: _ErrorDetails) -> tuple[Fault, str]:
    """A telling code, else a telling sentence, else a generic code, else the status."""
    known = [code for code in details.codes if code in _FAULT_BY_CODE]
    for code in known:
        if code not in _GENERIC_CODES:
            return _FAULT_BY_CODE[code], code
    if (told := _read_words(status, details.words)) is not None:
        return told, ""
    if known:
        return _FAULT_BY_CODE[known[0]], known[0]
    if status in _FAULT_BY_STATUS:
        return _FAULT_BY_STATUS[status], ""
    if 300 <= status < 500:
        return Fault.BAD_REQUEST, UNKNOWN_CODE
    return Fault.UNAVAILABLE, UNKNOWN_CODE if status == _STATUS_OK else ""


def _read_words(status: int, words: str) -> Fault | None:
    for fault, wording in _FAULT_BY_WORDING:
        if wording.search(words):
            return fault
    if status in _PICTURE_STATUSES and _PICTURE_REFUSAL.search(words):
        return Fault.BAD_REQUEST
    return None


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _parse_error(body: object) -> _ErrorDetails:
    if isinstance(body, list):
        return _parse_error(body[0] if body else None)
    if not isinstance(body, dict):
        return _ErrorDetails((), body if isinstance(body, str) else "", None)
    if isinstance(base := body.get("base_resp"), dict):  # MiniMax, also under 200
        code, words = base.get("status_code"), base.get("status_msg")
        return _ErrorDetails((f"minimax_{code}",), words if isinstance(words, str) else "", None)
    for inner in (body.get("error"), body.get("errors")):
        if isinstance(inner, (dict, list)) and inner:
            return _parse_error(inner)
    if isinstance(body.get("metadata"), dict) and body["metadata"].get("reasons"):
        # OpenRouter: its moderation says why, beside a 403.
        return _ErrorDetails(("moderation_blocked",), "", None)
    details = body.get("details")
    rows = [row for row in details if isinstance(row, dict)] if isinstance(details, list) else []
    error_code = details.get("error_code") if isinstance(details, dict) else None
    codes = (error_code, *(row.get("reason") for row in rows), *map(body.get, _CODE_FIELDS))
    message, field = body.get("message") or body.get("error") or body.get("detail"), ""
    if isinstance(message, list):
        field, message = _parse_validation(message)
    if isinstance(parameter := body.get("param"), str):
        field = parameter.partition(".")[0]
    return _ErrorDetails(
        codes=tuple(str(code) for code in codes if isinstance(code, (str, int))),
        message=message if isinstance(message, str) else "",
        retry_after=next(
            (wait for row in rows if (wait := _parse_duration(row.get("retryDelay")))), None
        ),
        field=field,
    )


def _parse_validation(rows: Sequence[Any]) -> tuple[str, str]:
    """The field and the message of the first error of a list as FastAPI's servers send it."""
    row = rows[0] if rows and isinstance(rows[0], dict) else {}
    place, message = row.get("loc"), row.get("msg")
    names = [one for one in place if isinstance(one, str)] if isinstance(place, list) else []
    field = next((name for name in names if name != "body"), "")
    if "image_url" in names:  # it is about a part of a message
        field = names[-1]
    return field, message if isinstance(message, str) else ""


_CODE_FIELDS = ("code", "type", "status")


def _is_status(code: str) -> bool:
    return len(code) == 3 and code.isdecimal() and code[0] in "45"


def _parse_duration(duration: Any) -> float | None:
    return _parse_bounded_seconds(duration.removesuffix("s")) if isinstance(duration, str) else None


def _parse_retry_after(headers: Mapping[str, str]) -> float | None:
    if (milliseconds := _parse_bounded_seconds(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None or (seconds := _parse_bounded_seconds(value)) is not None:
        return seconds if value else None
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(max(0.0, at.timestamp() - time.time()), RETRY_AFTER_MAX_SECONDS)


def _parse_bounded_seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    if not math.isfinite(seconds):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_MAX_SECONDS)
