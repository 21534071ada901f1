"""The API as an ASGI app: which path is what, and how everything that goes wrong is told.

It has no CORS headers, so that no web page can use it: a token in a page is given away.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from bots.api.access import AccessControl, IpNetwork
from bots.api.account_endpoints import AccountEndpoints
from bots.api.ask_endpoint import AskEndpoint, AskPorts
from bots.api.errors import ApiError, report_failure
from bots.api.exchange import BODY_BYTES_MAX, ClientGone, Exchange
from bots.api.model_offers import ModelOffers
from bots.api.refusals import describe_refusal
from bots.http_connections import HttpLimits
from core import ids
from core.asks.api_usage import ApiUsageHistory
from core.clock import Clock
from core.errors import Refusal, describe_failure

_log = logging.getLogger(__name__)

_MODEL_PATH: Final = "/v1/models/"
#: Models are given as long as the longest answer takes; bodies hold pictures, and are held while
#: they are answered.
API_LIMITS: Final = HttpLimits(
    connections=1_024,
    body_seconds=30.0,
    answer_seconds=960.0,
    body_bytes=BODY_BYTES_MAX,
    held_bytes=384 << 20,
)

_Handler = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ApiDependencies:
    """What the API is made of."""

    ask_ports: AskPorts
    offers: ModelOffers
    usage_history: ApiUsageHistory
    #: Believed about whom they speak for.
    trusted_proxies: Collection[IpNetwork] = ()


def build_api_app(services: ApiDependencies) -> ASGIApp:
    """The app, to be served by an `HttpServer` with `API_LIMITS`."""
    ports = services.ask_ports
    access = AccessControl(
        tokens=ports.tokens, clock=ports.clock, trusted_proxies=services.trusted_proxies
    )
    asks = AskEndpoint(access=access, offers=services.offers, ports=ports)
    accounts = AccountEndpoints(
        access=access,
        offers=services.offers,
        tokens=ports.tokens,
        balances=ports.balances,
        usage_history=services.usage_history,
        clock=ports.clock,
    )
    return _ApiApp(asks, accounts, ports.clock)


class _ApiApp:
    """Leads each request to what answers it."""

    def __init__(self, asks: AskEndpoint, accounts: AccountEndpoints, clock: Clock) -> None:
        self._accounts, self._clock = accounts, clock
        self._handlers: dict[str, tuple[str, _Handler]] = {
            "/v1/chat/completions": ("POST", asks.answer_ask),
            "/v1/messages": ("POST", asks.answer_ask),
            "/v1/messages/count_tokens": ("POST", asks.count_tokens),
            "/v1/models": ("GET", accounts.list_models),
            "/v1/credits": ("GET", accounts.describe_credits),
            "/v1/usage": ("GET", accounts.list_usage),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, whatever happens."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, lambda: ids.new_id("req", self._clock.now_ms()))
        try:
            await self._answer(exchange)
        except ClientGone:
            return
        except ApiError as error:
            await _send_error(exchange, error)
        except Refusal as refusal:
            await _send_error(exchange, describe_refusal(refusal))
        except Exception as failure:  # noqa: BLE001 - a bug must not leave anybody waiting
            what = describe_failure(failure)
            _log.error("the API failed at %s: %s", exchange.request_id, what)
            await _send_error(exchange, report_failure())

    async def _answer(self, exchange: Exchange) -> None:
        exchange.check_framing()
        if exchange.path == "/" and exchange.method in {"HEAD", "GET"}:
            # Clients see whether anybody is there.
            await exchange.send_json({"object": "api"})
            return
        method, handler = self._find_handler(exchange.path)
        if exchange.method != method:
            raise ApiError(405, f"{exchange.path[:64]} takes {method} alone.")
        await handler(exchange)

    def _find_handler(self, path: str) -> tuple[str, _Handler]:
        found = self._handlers.get(path)
        if found is not None:
            return found
        name = unquote(path.removeprefix(_MODEL_PATH))
        if path.startswith(_MODEL_PATH) and name:
            return "GET", lambda exchange: self._accounts.describe_model(exchange, name)
        raise ApiError(404, "There is nothing at this path.", code="not_found")


async def _send_error(exchange: Exchange, error: ApiError) -> None:
    """Tells what went wrong, where somebody still reads."""
    try:
        await exchange.send_error(error)
    except ClientGone:
        return
