"""The routes of payments: one webhook a gateway, and the page that leads back to the chat."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from core.errors import Refusal
from payments.gateways.base import Gateway
from payments.types import Forged
from payments.webhooks import Inbox

#: A larger body is no webhook (security.md).
BODY_BYTES_MAX = 1 << 20

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>
<style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem}}
</style><h1>{title}</h1><p>{text}</p>"""
_RETURNED = _PAGE.format(
    title="Thank you · 谢谢",
    text="Go back to the chat: your Credits are there as soon as the payment has arrived."
    "<br>请回到聊天：付款到账后，积分会立即到您的账户。",
)
_LEFT = _PAGE.format(
    title="Nothing was paid · 未付款",
    text="Go back to the chat. The same link still works for a while."
    "<br>请回到聊天。该链接在一段时间内仍然有效。",
)


def payment_routes(inbox: Inbox, gateways: Mapping[str, Gateway]) -> list[Route]:
    """`/webhooks/<gateway>` for each gateway that tells by webhooks, and `/paid`."""
    found = [
        Route(f"/webhooks/{name}", _webhook(inbox, name), methods=["POST"])
        for name, gateway in gateways.items()
        if not gateway.platform
    ]
    return [*found, Route("/paid", _returned(inbox))] if found else []


def _webhook(inbox: Inbox, gateway: str) -> Callable[[Request], Awaitable[Response]]:
    async def receive(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > BODY_BYTES_MAX:
                return PlainTextResponse("too large", status_code=413)
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            await inbox.receive(gateway, headers, body)
        except Forged:
            return PlainTextResponse("refused", status_code=400)
        except Refusal:
            # It isn't kept: the gateway must send it again.
            return PlainTextResponse("try again", status_code=503)
        return PlainTextResponse("ok")

    return receive


def _returned(inbox: Inbox) -> Callable[[Request], Awaitable[Response]]:
    async def show(request: Request) -> Response:
        if "left" in request.query_params:
            return HTMLResponse(_LEFT)
        inbox.returned(request.query_params.get("order", ""))
        return HTMLResponse(_RETURNED)

    return show
