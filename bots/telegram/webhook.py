"""The route to which Telegram pushes updates: only with its secret, only of a bounded size."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bots.config.conflicts import WEBHOOK_PATH

_BODY_BYTES_MAX: Final = 1_000_000
_SECRET_HEADER: Final = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name


def build_webhook_route(
    secret: SecretStr, accept_update: Callable[[dict[str, Any]], Awaitable[bool]]
) -> Route:
    """The route; `accept_update` hands an update over and says whether it was taken.

    Telegram sends an update again until it is answered 2xx, so nothing is lost while stopping.
    """

    async def receive(request: Request) -> Response:
        given_secret = request.headers.get(_SECRET_HEADER, "").encode()
        if not hmac.compare_digest(given_secret, secret.get_secret_value().encode()):
            return Response(status_code=403)
        body = await _read_body(request)
        if body is None:
            return Response(status_code=413)
        try:
            update = json.loads(body)
        except (ValueError, RecursionError):
            return Response(status_code=400)
        if not isinstance(update, dict) or not isinstance(update.get("update_id"), int):
            return Response(status_code=400)
        return Response(status_code=200 if await accept_update(update) else 503)

    return Route(WEBHOOK_PATH, receive, methods=["POST"])


async def _read_body(request: Request) -> bytes | None:
    """The body, or None as soon as it is too large or its sender is gone."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > _BODY_BYTES_MAX:
        return None
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > _BODY_BYTES_MAX:
                return None
            parts.append(part)
    except ClientDisconnect:
        return None
    return b"".join(parts)
