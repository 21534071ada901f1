"""PayPal's own list of the messages that it sent: the one list of what was paid that every app may
read. It has payments whose message never arrived, also of orders that a restored copy of the
database lacks.

`GET /v1/notifications/webhooks-events` as in PayPal's Webhooks Management 1.11. How its pages
follow one another isn't described, so the next one is asked for by time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.money import NanoUsd, parse_usd
from payments.gateways.http import translate_parse_errors
from payments.gateways.paypal.client import NAME, PayPalClient
from payments.gateways.paypal.webhook_proof import parse_time
from payments.types import is_order_id

#: What tells that money arrived.
_EVENT: Final = "PAYMENT.CAPTURE.COMPLETED"
_PAGE_SIZE, _PAGES_MAX = 300, 20
#: How long a list that was read is good for, and how far back it goes.
_READ_AGAIN_SECONDS = 1_800.0
_RECENT_SECONDS: Final = 3 * 86_400
#: A process that begins may stand at a restored copy: it reads all that PayPal keeps.
_KEPT_SECONDS: Final = 30 * 86_400
#: Whoever may not read it has no such list.
_UNREADABLE_STATUSES: Final = frozenset({403, 404})


@dataclass(frozen=True, slots=True)
class CapturedOrder:
    """An order of ours that PayPal captured, as its message says."""

    paypal_order: str
    amount: NanoUsd


class CaptureEvents:
    """The reader of that list, which asks for it at most so often."""

    def __init__(self, client: PayPalClient) -> None:
        self._client = client
        self._orders: Mapping[str, CapturedOrder] = {}
        self._read_at: float | None = None

    async def list_orders(self) -> Mapping[str, CapturedOrder]:
        """Our orders' ids that were captured lately, with what their captures say. Raises
        `GatewayUnavailable`."""
        now = time.monotonic()
        if self._read_at is None or now - self._read_at > _READ_AGAIN_SECONDS:
            age = _KEPT_SECONDS if self._read_at is None else _RECENT_SECONDS
            self._orders = await self._read(time.time() - age)
            self._read_at = now
        return self._orders

    async def _read(self, since: float) -> dict[str, CapturedOrder]:
        found: dict[str, CapturedOrder] = {}
        until = time.time() + 60.0
        for _ in range(_PAGES_MAX):
            params = {
                "page_size": str(_PAGE_SIZE),
                "start_time": _format_time(since),
                "end_time": _format_time(until),
                "event_type": _EVENT,
            }
            page = await self._client.get(
                "/v1/notifications/webhooks-events", params, empty_statuses=_UNREADABLE_STATUSES
            )
            with translate_parse_errors(NAME):
                events: Sequence[Mapping[str, Any]] = (page or {}).get("events") or ()
                for event in events:
                    found |= _read_capture(event["resource"])
                times = [parse_time(str(event["create_time"])) or until for event in events]
            oldest = min(times, default=until)
            if len(events) < _PAGE_SIZE or oldest >= until:
                break
            until = oldest
        return found


def _read_capture(capture: Mapping[str, Any]) -> dict[str, CapturedOrder]:
    """The order of ours that it is of; none for what others sell on this account."""
    order, amount = capture.get("custom_id"), capture["amount"]
    related = (capture.get("supplementary_data") or {}).get("related_ids") or {}
    if not is_order_id(order) or amount["currency_code"] != "USD" or "order_id" not in related:
        return {}
    return {order: CapturedOrder(str(related["order_id"]), parse_usd(amount["value"]))}


def _format_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
