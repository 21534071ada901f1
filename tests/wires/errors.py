"""What suppliers say when they don't answer, as they document it or were seen to say it: the status
and the body of each, and what it means in plain words. Nothing of the product is used here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: content: these words are refused. funds: no money. key: it is refused. rate: too many requests.
#: large: more than this key takes in a minute. long: more than the model reads. over: the supplier
#: fails. model: not for this key. unknown: nobody knows these words.
Kind = Literal["content", "funds", "key", "rate", "large", "long", "over", "model", "unknown"]
Wire = Literal["chat", "messages", "audio"]

#: About the person's words: other keys aren't tried, and no key is to blame.
OF_THE_QUESTION: frozenset[str] = frozenset({"content", "long"})
#: About the key, which must not be chosen as before.
OF_THE_KEY: frozenset[str] = frozenset({"funds", "key", "rate", "model"})


@dataclass(frozen=True)
class Error:
    """An error as its supplier tells it."""

    kind: Kind
    status: int
    #: JSON, or text that is none.
    body: Any
    #: Whether the body alone says it, so that it can be told in a stream that began with 200.
    tells_itself: bool = True


def _openai(message: str, code: str | int | None = None, type_: str = "", **more: Any) -> Any:
    kind = type_ or "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def _minimax(code: int, message: str) -> Any:
    return {"choices": None, "base_resp": {"status_code": code, "status_msg": message}}


def _google(code: int, status: str, message: str, reason: str = "") -> Any:
    details = [{"@type": "ErrorInfo", "reason": reason}] if reason else []
    error = {"code": code, "message": message, "status": status, "details": details}
    return [{"error": error}]


_XAI_CREDITS = (
    "Your newly created team doesn't have any credits or licenses yet: it has either used all"
    " available credits or reached its monthly spending limit."
)
_TPM = (
    "Request too large for model `m` in organization `org_x` on tokens per minute (TPM):"
    " Limit 8000, Requested 8093, please reduce your message size and try again."
)
_GOOGLE_LONG = (
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
)
_XAI_LONG = "This model's maximum prompt length is 131072 but the request contains 200000 tokens."
_MISTRAL_LONG = (
    "Prompt contains 50000 tokens, too large for model with 32768 maximum context length"
)
_ANTHROPIC_RATE = (
    "This request would exceed your organization's rate limit of 50,000 input tokens per minute."
)
_ANTHROPIC_LIMIT = (
    "You have reached your specified API usage limits. You will regain access on 2026-12-01."
)
_ANTHROPIC_LONG = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"
_AZURE = "The response was filtered due to the prompt triggering the content management policy."
_FLAGGED = {"code": 403, "message": "x", "metadata": {"reasons": ["violence"], "provider": "y"}}

CHAT = (
    Error("content", 400, _openai("Rejected by our safety system.", "content_policy_violation")),
    Error("content", 400, _openai(_AZURE, "content_filter")),
    Error(
        "content",
        403,
        {"code": "permission-denied", "error": "Content violates usage guidelines. "},
    ),
    Error("content", 403, {"error": _FLAGGED}),
    Error("content", 400, _openai("输入或生成内容可能包含不安全或敏感内容", "1301")),
    Error(
        "content",
        400,
        _openai("Input data may contain inappropriate content.", "data_inspection_failed"),
    ),
    Error("content", 200, _minimax(1026, "input new_sensitive")),
    Error("content", 200, _minimax(1027, "output new_sensitive")),
    Error(
        "funds",
        429,
        _openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
    ),
    Error("funds", 402, _openai("Insufficient Balance", "invalid_request_error", "unknown_error")),
    Error("funds", 403, {"code": "The caller does not have permission", "error": _XAI_CREDITS}),
    Error("funds", 429, {"code": "Some resource has been exhausted", "error": _XAI_CREDITS}),
    Error("funds", 429, _openai("余额不足或无可用资源包,请充值。", "1113")),
    Error("funds", 402, {"error": {"code": 402, "message": "Insufficient credits"}}),
    Error(
        "funds", 429, _openai("suspended, check your plan", None, "exceeded_current_quota_error")
    ),
    Error("funds", 200, _minimax(1008, "insufficient balance")),
    Error("funds", 500, _openai("insufficient balance (1008)", None, "api_error")),
    Error("key", 401, _openai("Incorrect API key provided: sk-x.", "invalid_api_key")),
    Error(
        "key",
        401,
        _openai(
            "Authentication Fails, Your api key: ****x is invalid",
            "invalid_request_error",
            "authentication_error",
        ),
    ),
    Error("key", 400, _google(400, "INVALID_ARGUMENT", "API key not valid.", "API_KEY_INVALID")),
    Error("key", 200, _minimax(1004, "login fail")),
    Error("key", 401, "Unauthorized", tells_itself=False),
    Error(
        "rate",
        429,
        _openai(
            "Rate limit reached for m in organization org-x.", "rate_limit_exceeded", "requests"
        ),
    ),
    Error("rate", 429, _google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted.")),
    Error("rate", 429, _openai("并发过高", "1302")),
    Error("rate", 200, _minimax(1002, "rate limit")),
    Error("rate", 429, "Too Many Requests", tells_itself=False),
    Error("large", 413, _openai(_TPM, "rate_limit_exceeded", "tokens")),
    Error("large", 429, _openai(_TPM, "rate_limit_exceeded", "tokens")),
    Error(
        "long",
        400,
        _openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
    ),
    Error(
        "long",
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size",
                "type": "exceed_context_size_error",
                "n_ctx": 4096,
            }
        },
    ),
    Error("long", 400, _google(400, "INVALID_ARGUMENT", _GOOGLE_LONG)),
    Error("long", 400, {"code": "Client specified an invalid argument", "error": _XAI_LONG}),
    Error(
        "long",
        400,
        {
            "object": "error",
            "message": _MISTRAL_LONG,
            "type": "invalid_request_prompt",
            "code": "3051",
        },
    ),
    Error("rate", 429, _openai("当前API请求过多，请稍后重试", "1305")),
    Error("over", 503, _openai("The server is overloaded.", None, "server_error")),
    Error("over", 529, _openai("当前服务负载过高", "2064", "overloaded_error")),
    Error("over", 502, "<html><body>502 Bad Gateway</body></html>", tells_itself=False),
    Error("over", 500, "", tells_itself=False),
    Error("model", 404, _openai("The model `m` does not exist", "model_not_found")),
    Error("unknown", 400, _openai("Odd words that nobody knows.")),
    Error("unknown", 422, {"detail": "Unprocessable"}),
    Error("unknown", 418, "teapot", tells_itself=False),
)


def _anthropic(type_: str, message: str) -> Any:
    return {"type": "error", "error": {"type": type_, "message": message}, "request_id": "req_1"}


_BAD = "invalid_request_error"
MESSAGES = (
    Error("content", 400, _anthropic(_BAD, "Output blocked by content filtering policy")),
    Error(
        "funds",
        400,
        _anthropic(_BAD, "Your credit balance is too low to access the Anthropic API."),
    ),
    Error("funds", 400, _anthropic(_BAD, _ANTHROPIC_LIMIT)),
    Error("key", 401, _anthropic("authentication_error", "invalid x-api-key")),
    Error("rate", 429, _anthropic("rate_limit_error", _ANTHROPIC_RATE)),
    Error(
        "long",
        413,
        _anthropic("request_too_large", "Request exceeds the maximum allowed number of bytes."),
    ),
    Error("long", 400, _anthropic(_BAD, "prompt is too long: 210000 tokens > 200000 maximum")),
    Error("long", 400, _anthropic(_BAD, _ANTHROPIC_LONG)),
    Error("over", 529, _anthropic("overloaded_error", "Overloaded")),
    Error("over", 500, _anthropic("api_error", "Internal server error")),
    Error("over", 503, "upstream connect error", tells_itself=False),
    Error("model", 404, _anthropic("not_found_error", "model: claude-x")),
    Error("unknown", 400, _anthropic(_BAD, "Odd words that nobody knows.")),
)

AUDIO = tuple(
    one for one in CHAT if one.kind in {"funds", "key", "rate", "over"} and one.status != 200
)

ERRORS: dict[Wire, tuple[Error, ...]] = {"chat": CHAT, "messages": MESSAGES, "audio": AUDIO}
