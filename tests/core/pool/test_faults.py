"""Every error class of every supplier, by what the pool does about it."""

from __future__ import annotations

import email.utils
import json
import time
from typing import Any

import pytest

from core.pool.providers import faults
from core.pool.providers.types import Fault

CANARY = "sk-canary-0123456789"


def openai(code: str | None, type_: str = "invalid_request_error", message: str = "") -> Any:
    return {"error": {"message": message or CANARY, "type": type_, "param": None, "code": code}}


def anthropic(type_: str, code: str = "", message: str = "") -> Any:
    details = {"details": {"error_code": code}} if code else {}
    return {"type": "error", "error": {"type": type_, "message": message or CANARY, **details}}


def google(code: int, status: str, *details: Any) -> Any:
    return {"error": {"code": code, "message": CANARY, "status": status, "details": details}}


def cloudflare(code: int) -> Any:
    return {"result": None, "success": False, "errors": [{"code": code, "message": CANARY}]}


KEY_INVALID = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}

CONTENT = Fault.REFUSED_CONTENT

TABLE = [
    (401, openai("invalid_api_key"), Fault.INVALID_KEY),
    (401, openai("account_deactivated"), Fault.INVALID_KEY),
    # What is said of pictures is the question's, whatever the status.
    (404, openai("404", message="No endpoints found that support image input"), Fault.BAD_REQUEST),
    (
        404,
        anthropic("not_found_error", message="claude-x does not support image input"),
        Fault.BAD_REQUEST,
    ),
    (429, openai(None, message="too many images per minute"), Fault.RATE_LIMITED),
    (404, openai(None, message="There is no such model"), Fault.MODEL_MISSING),
    (
        400,
        openai(None, message="The image was flagged as unsafe"),
        Fault.REFUSED_CONTENT,
    ),
    (401, openai(None), Fault.INVALID_KEY),
    (403, openai(None, message="You have insufficient permissions"), Fault.INVALID_KEY),
    (403, openai("unsupported_country_region_territory"), Fault.UNAVAILABLE),
    (400, openai("context_length_exceeded"), Fault.TOO_LONG),
    (400, openai(None, message="This model's maximum context length is 8 tokens"), Fault.TOO_LONG),
    (400, openai("unsupported_parameter"), Fault.BAD_REQUEST),
    (400, openai("content_policy_violation"), Fault.REFUSED_CONTENT),
    (404, openai("model_not_found"), Fault.MODEL_MISSING),
    (429, openai("rate_limit_exceeded", "requests"), Fault.RATE_LIMITED),
    (429, openai("slow_down", "rate_limit_error"), Fault.RATE_LIMITED),
    (429, openai("insufficient_quota", "insufficient_quota"), Fault.NO_FUNDS),
    (429, openai("credit_balance_exhausted", "insufficient_quota"), Fault.NO_FUNDS),
    (429, openai("project_spend_limit_exceeded", "insufficient_quota"), Fault.NO_FUNDS),
    (429, openai(None, "insufficient_quota"), Fault.NO_FUNDS),
    # Z.ai's codes; its words may be Chinese.
    (400, openai("1301"), Fault.REFUSED_CONTENT),
    (429, openai("1113"), Fault.NO_FUNDS),
    (429, openai("1302"), Fault.RATE_LIMITED),
    (200, openai("1305"), Fault.RATE_LIMITED),
    (500, openai(None, "server_error"), Fault.UNAVAILABLE),
    (503, openai("server_is_overloaded", "service_unavailable_error"), Fault.UNAVAILABLE),
    (400, anthropic("invalid_request_error"), Fault.BAD_REQUEST),
    (
        400,
        anthropic("invalid_request_error", message="Your credit balance is too low to access…"),
        Fault.NO_FUNDS,
    ),
    (
        400,
        anthropic("invalid_request_error", message="You have reached your specified workspace…"),
        Fault.NO_FUNDS,
    ),
    (400, anthropic("invalid_request_error", message="prompt is too long: 9 > 8"), Fault.TOO_LONG),
    (401, anthropic("authentication_error"), Fault.INVALID_KEY),
    (402, anthropic("billing_error"), Fault.NO_FUNDS),
    (403, anthropic("permission_error"), Fault.MODEL_MISSING),
    (403, anthropic("permission_error", "organization_on_hold"), Fault.INVALID_KEY),
    (404, anthropic("not_found_error"), Fault.MODEL_MISSING),
    (413, anthropic("request_too_large"), Fault.TOO_LONG),
    (429, anthropic("rate_limit_error"), Fault.RATE_LIMITED),
    (429, anthropic("rate_limit_error", "enforced_spend_limit_reached"), Fault.NO_FUNDS),
    (429, anthropic("rate_limit_error", "ramp_limit_exceeded"), Fault.RATE_LIMITED),
    (500, anthropic("api_error"), Fault.UNAVAILABLE),
    (504, anthropic("timeout_error"), Fault.TIMEOUT),
    (529, anthropic("overloaded_error"), Fault.UNAVAILABLE),
    (400, google(400, "INVALID_ARGUMENT", KEY_INVALID), Fault.INVALID_KEY),
    (400, [google(400, "INVALID_ARGUMENT", KEY_INVALID)], Fault.INVALID_KEY),
    (
        400,
        openai("400", message="API key not valid. Please pass a valid API key."),
        Fault.INVALID_KEY,
    ),
    (400, google(400, "INVALID_ARGUMENT"), Fault.BAD_REQUEST),
    (403, google(403, "PERMISSION_DENIED"), Fault.INVALID_KEY),
    (429, google(429, "RESOURCE_EXHAUSTED"), Fault.RATE_LIMITED),
    (503, google(503, "UNAVAILABLE"), Fault.UNAVAILABLE),
    (403, cloudflare(10000), Fault.INVALID_KEY),
    (403, cloudflare(3023), Fault.INVALID_KEY),
    (400, cloudflare(5007), Fault.MODEL_MISSING),
    (403, cloudflare(5018), Fault.MODEL_MISSING),
    (404, cloudflare(3042), Fault.MODEL_MISSING),
    (400, cloudflare(5004), Fault.BAD_REQUEST),
    (413, cloudflare(3006), Fault.TOO_LONG),
    (408, cloudflare(3007), Fault.TIMEOUT),
    (429, cloudflare(3036), Fault.NO_FUNDS),
    (429, cloudflare(3040), Fault.RATE_LIMITED),
    (402, {"error": {"message": "Insufficient Balance", "type": "unknown"}}, Fault.NO_FUNDS),
    (402, {"error": {"code": 402, "message": CANARY, "metadata": {}}}, Fault.NO_FUNDS),
    (429, {"error": {"code": "1113", "message": "insufficient balance"}}, Fault.NO_FUNDS),
    (422, {"detail": [{"type": "extra_forbidden"}]}, Fault.BAD_REQUEST),
    (
        429,
        {"object": "error", "message": CANARY, "type": "rate", "code": "1300"},
        Fault.RATE_LIMITED,
    ),
    # What was seen at gateways: a generic code never wins over a telling sentence.
    (403, {"code": "permission-denied", "error": "Content violates usage guidelines. "}, CONTENT),
    (403, openai("403", message="Your input was flagged as harassment"), CONTENT),
    (403, {"error": {"code": 403, "message": "x", "metadata": {"reasons": ["violence"]}}}, CONTENT),
    (
        400,
        anthropic("invalid_request_error", message="Output blocked by content filtering policy"),
        CONTENT,
    ),
    (400, {"error": {"code": "data_inspection_failed", "message": "x"}}, CONTENT),
    (200, {"base_resp": {"status_code": 1027, "status_msg": "output new_sensitive"}}, CONTENT),
    (
        403,
        {
            "code": "x",
            "error": "Your team t has either used all available credits or reached its monthly"
            " spending limit.",
        },
        Fault.NO_FUNDS,
    ),
    (500, openai(None, "api_error", "insufficient balance (1008)"), Fault.NO_FUNDS),
    (
        200,
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "no"}},
        Fault.NO_FUNDS,
    ),
    (200, {"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, Fault.INVALID_KEY),
    (200, {"base_resp": {"status_code": 1002, "status_msg": "rpm"}}, Fault.RATE_LIMITED),
    (
        400,
        openai(None, message="Authentication Error, No connected db: no_db_connection"),
        Fault.INVALID_KEY,
    ),
    (400, openai("400", "no_db_connection", "No connected db."), Fault.INVALID_KEY),
    (400, openai("invalid_api_key"), Fault.INVALID_KEY),
    (400, openai(None, message="Incorrect API key provided: sk-x"), Fault.INVALID_KEY),
    (401, openai("401", "token_not_found_in_db"), Fault.INVALID_KEY),
    (400, openai("400", "expired_key"), Fault.INVALID_KEY),
    (400, openai("400", "budget_exceeded"), Fault.NO_FUNDS),
    (401, openai("401", "key_model_access_denied"), Fault.MODEL_MISSING),
    (
        413,
        openai(
            "rate_limit_exceeded",
            "tokens",
            "Request too large for model (TPM): Limit 8000, Requested 8093",
        ),
        Fault.TOO_LARGE,
    ),
    (
        429,
        openai(
            "rate_limit_exceeded",
            "tokens",
            "Request too large for gpt-x on tokens per min (TPM): Limit 8000, Requested 8093",
        ),
        Fault.TOO_LARGE,
    ),
    (
        429,
        openai(
            "rate_limit_exceeded",
            "tokens",
            "Rate limit reached on tokens per min (TPM): Limit 8000, Used 7000, Requested 2000",
        ),
        Fault.RATE_LIMITED,
    ),
    (
        429,
        {
            "error": {
                "code": 429,
                "status": "RESOURCE_EXHAUSTED",
                "message": "You exceeded your current quota, please check your plan and billing"
                " details.",
            }
        },
        Fault.RATE_LIMITED,
    ),
    (
        400,
        {"error": {"code": 400, "type": "exceed_context_size_error", "message": "x"}},
        Fault.TOO_LONG,
    ),
    (
        400,
        anthropic(
            "invalid_request_error",
            message="input length and max_tokens exceed context limit: 9 > 8",
        ),
        Fault.TOO_LONG,
    ),
    (
        400,
        {"error": "This model's maximum prompt length is 8 but the request contains 9 tokens"},
        Fault.TOO_LONG,
    ),
    (
        500,
        openai(None, "server_error", "the request exceeds the available context size"),
        Fault.TOO_LONG,
    ),
    (
        429,
        openai(None, message="The engine is currently overloaded, please try again later"),
        Fault.UNAVAILABLE,
    ),
    (301, None, Fault.BAD_REQUEST),
    (408, None, Fault.TIMEOUT),
    (418, None, Fault.BAD_REQUEST),
    (502, "<html>Bad gateway</html>", Fault.UNAVAILABLE),
    (599, [], Fault.UNAVAILABLE),
]


@pytest.mark.parametrize(("status", "body", "fault"), TABLE)
def test_what_each_answer_means_for_the_pool(status: int, body: Any, fault: Fault) -> None:
    found = faults.fault_from_response(status, {}, json.dumps(body).encode())
    assert (found.kind, found.status) == (fault, status)


@pytest.mark.parametrize(("status", "body"), [(status, body) for status, body, _ in TABLE])
def test_no_word_of_a_supplier_leaves_a_fault(status: int, body: Any) -> None:
    found = faults.fault_from_response(status, {}, json.dumps(body).encode())
    assert CANARY not in f"{found} {found!r} {vars(found)}"
    assert found.code in {"", faults.UNKNOWN_CODE, *faults._FAULT_BY_CODE}


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (openai(None, "server_error"), Fault.UNAVAILABLE),
        (anthropic("overloaded_error"), Fault.UNAVAILABLE),
        (anthropic("rate_limit_error"), Fault.RATE_LIMITED),
        ({"error": {"code": 402, "message": CANARY}}, Fault.NO_FUNDS),
        ({"error": {"code": 429, "message": CANARY}}, Fault.RATE_LIMITED),
        ({"error": "out of memory"}, Fault.UNAVAILABLE),
        (None, Fault.UNAVAILABLE),
        ([], Fault.UNAVAILABLE),
        ({"error": {"details": 7, "code": None}}, Fault.UNAVAILABLE),
    ],
)
def test_errors_inside_a_stream_are_judged_by_what_they_say(error: Any, fault: Fault) -> None:
    assert faults.fault_from_event(error).kind is fault


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        ({"retry-after": "7"}, None, 7.0),
        ({"retry-after": "0.5"}, None, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, None, 1.5),
        ({"retry-after": "-3"}, None, 0.0),
        ({"retry-after": "1e12"}, None, 86_400.0),
        ({"retry-after": "nan"}, None, None),
        ({"retry-after": "soon"}, None, None),
        ({"retry-after": ""}, None, None),
        ({}, None, None),
        ({}, google(429, "RESOURCE_EXHAUSTED", RETRY_INFO), 34.0),
    ],
)
def test_the_wait_that_a_supplier_asks_for(
    headers: dict[str, str], body: Any, wait: float | None
) -> None:
    assert faults.fault_from_response(429, headers, json.dumps(body).encode()).retry_after == wait


def test_a_wait_may_be_a_date() -> None:
    at = email.utils.formatdate(time.time() + 100, usegmt=True)
    wait = faults.fault_from_response(429, {"retry-after": at}, b"").retry_after
    assert wait is not None
    assert 0 < wait <= 101


UNSUPPORTED = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'."


@pytest.mark.parametrize(
    ("status", "body", "field"),
    [
        (400, {"error": {"message": "x", "param": "max_tokens", "code": "y"}}, "max_tokens"),
        (
            400,
            {"error": {"message": "x", "param": "stream_options.include_usage"}},
            "stream_options",
        ),
        (400, openai(None, message=UNSUPPORTED), "max_tokens"),
        (400, openai("400", message=f"litellm.BadRequestError: {UNSUPPORTED}"), "max_tokens"),
        (400, openai(None, message="property 'stream_options' is unsupported"), "stream_options"),
        (
            400,
            openai(None, message="Unrecognized request argument supplied: stream_options"),
            "stream_options",
        ),
        (422, {"detail": [{"loc": ["body", "max_tokens"], "msg": "no"}]}, "max_tokens"),
        (
            400,
            {
                "object": "error",
                "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'stream_options'),"
                " 'msg': 'Extra inputs are not permitted'}]",
                "code": 400,
            },
            "stream_options",
        ),
        (
            400,
            openai(None, message="property 'messages.0.content.0.image_url.detail' is unsupported"),
            "detail",
        ),
        (
            422,
            {"detail": [{"loc": ["body", "messages", 0, "image_url", "detail"], "msg": "no"}]},
            "detail",
        ),
        (400, {"error": {"message": "x", "param": "messages"}}, ""),
        (422, {"detail": [{"loc": ["body", "messages", 0], "msg": "max_tokens"}]}, ""),
        (422, {"detail": []}, ""),
        (422, {"detail": ["max_tokens"]}, ""),
        (400, openai(None, message="max_tokens is too large: 9000"), ""),
        (400, openai("context_length_exceeded", message=UNSUPPORTED), ""),
        (429, openai(None, message=UNSUPPORTED), ""),
        (500, openai(None, message=UNSUPPORTED), ""),
    ],
)
def test_which_field_a_server_does_not_take(status: int, body: Any, field: str) -> None:
    assert fault_of(status, body).parameter == field


def fault_of(status: int, body: Any) -> Any:
    return faults.fault_from_response(status, {}, json.dumps(body).encode())
