"""Errors as programs read them: a status, a code and a sentence in English, in the shape of the
wire that was asked. What waiting can't mend says that nobody should try again.

No text here is a supplier's, and none holds a secret or what was asked.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from bots.api.json_values import dump_json

Wire = Literal["openai", "anthropic"]

#: OpenAI's words for the kinds of errors, by their status.
_OPENAI_TYPES: Final = {
    402: "insufficient_quota",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
    504: "server_error",
}
_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
#: Anthropic's own status where nothing serves; its clients know it.
_ANTHROPIC_OVERLOADED: Final = 529
#: What may go well when it is asked again as it is.
_PASSING: Final = frozenset((409, 429, 500, 503, 504))
#: Longer waits aren't told: some clients sleep them through, however long.
_RETRY_SECONDS_MAX: Final = 60


class ApiError(Exception):
    """An answer that is an error: to be sent in place of one, or at a stream's end."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_seconds: float | None = None,
        is_final: bool = False,
    ) -> None:
        """`is_final` where asking again as it is would be paid again: a supplier may have billed
        what came to nothing."""
        super().__init__(f"{status} {code}")
        self._is_final = is_final
        self.status, self.message, self.code, self.param = status, message, code, param
        self.retry_seconds = retry_seconds

    def get_status(self, wire: Wire) -> int:
        """The HTTP status on a wire."""
        return _ANTHROPIC_OVERLOADED if (wire, self.status) == ("anthropic", 503) else self.status

    def list_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers that say whether and when to try again, and what to sign in with."""
        headers: list[tuple[bytes, bytes]] = []
        if self._is_final or self.status not in _PASSING:
            headers.append((b"x-should-retry", b"false"))
        if self.retry_seconds is not None:
            seconds = min(max(1, -int(-self.retry_seconds // 1)), _RETRY_SECONDS_MAX)
            headers.append((b"retry-after", str(seconds).encode()))
        if self.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        return headers

    def build_body(self, wire: Wire, request: str) -> dict[str, Any]:
        """The error as a wire's JSON; `request` is the id under which it can be asked about."""
        if wire == "anthropic":
            type_ = _ANTHROPIC_TYPES.get(self.status, "invalid_request_error")
            error: dict[str, Any] = {"type": type_, "message": self.message}
            if self.code is not None:
                error["details"] = {"code": self.code}
            return {"type": "error", "error": error, "request_id": request}
        return {
            "error": {
                "message": self.message,
                "type": _OPENAI_TYPES.get(self.status, "invalid_request_error"),
                "param": self.param,
                "code": self.code,
            }
        }

    def encode_event(self, wire: Wire, request: str) -> bytes:
        """The error as the last event of a stream that broke: nothing says that it finished."""
        body = dump_json(self.build_body(wire, request))
        start = b"event: error\n" if wire == "anthropic" else b""
        return b"%sdata: %s\n\n" % (start, body)


def refuse_request(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that is wrong as it stands; `param` names the field."""
    return ApiError(400, message, param=param, code=code)


def refuse_parameter(param: str, reason: str = "") -> ApiError:
    """A field, or a value of it, that isn't served."""
    message = f"{param} is not supported here" + (f": {reason}" if reason else "") + "."
    return ApiError(400, message, param=param, code="unsupported_parameter")


def report_failure() -> ApiError:
    """A bug of ours, or something that broke beneath us."""
    return ApiError(500, "Something went wrong on our side.")
