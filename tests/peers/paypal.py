"""PayPal on loopback: orders, captures, refunds, disputes and the proof of webhooks, as strict as
the real one where it matters.

Field names, states and issues as in PayPal's OpenAPI (orders 2, payments 2, disputes 1, webhooks
1); what a payer, a bank and the dashboard do is a method.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
from typing import Any

from aiohttp import web

from tests.peers.paypal_payouts import SCOPE, PayPalPayouts
from tests.peers.paypal_webhooks import EVENTS, WEBHOOK_ID, is_proven, now
from tests.peers.server import PeerServer

CLIENT_ID = "AYcanary-client"
SECRET = "EKcanary-client-secret"
_VALUE = re.compile(r"\d{1,15}\.\d{2}")
_REQUEST_ID_CHARS_MAX = 108


class FakePayPal(PeerServer):
    """A server; its state is the account's."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}
        self.captures: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        self.payouts = PayPalPayouts()
        #: What its tokens are good for.
        self.scopes = f"openid {SCOPE}"
        self.webhook: dict[str, Any] = {
            "id": WEBHOOK_ID,
            "url": "https://bot.example/webhooks/paypal",
            "event_types": [{"name": name} for name in EVENTS],
        }
        self.calls: list[tuple[str, str, Any]] = []
        #: Nothing but "unavailable" while it is set.
        self.broken = False
        #: What it answers instead, by method and path: a status and a body.
        self.instead: dict[tuple[str, str], tuple[int, Any]] = {}
        #: Whether the app may read disputes.
        self.reads_disputes = True
        #: Whether it may read what it was told.
        self.lists_events = True
        #: Orders whose next capture the payer's card refuses.
        self.declines: set[str] = set()
        #: Tokens that it gave out and still takes.
        self.tokens: list[str] = []
        self._replies: dict[str, tuple[Any, str, Any]] = {}
        self._numbers = itertools.count(1)

    def list_routes(self) -> list[web.RouteDef]:
        """See `PeerServer`."""
        orders, payments = "/v2/checkout/orders", "/v2/payments"
        return [
            web.post("/v1/oauth2/token", self._token),
            web.post(orders, self._called(self._create)),
            web.get(orders + "/{id}", self._called(self._get_order)),
            web.post(orders + "/{id}/capture", self._called(self._capture)),
            web.post(payments + "/captures/{id}/refund", self._called(self._refund)),
            web.get(payments + "/refunds/{id}", self._called(self._get_refund)),
            web.post("/v1/payments/payouts", self._called(self.payouts.create)),
            web.get("/v1/payments/payouts/{id}", self._called(self.payouts.tell)),
            web.get("/v1/customer/disputes", self._called(self._list_disputes)),
            web.get("/v1/customer/disputes/{id}", self._called(self._get_dispute)),
            web.get("/v1/notifications/webhooks/{id}", self._called(self._get_webhook)),
            web.post("/v1/notifications/verify-webhook-signature", self._called(self._verify)),
            web.get("/v1/notifications/webhooks-events", self._called(self._list_events)),
        ]

    # --- what a payer, a bank and the dashboard do ------------------------------------------------

    def approve(self, order: str) -> None:
        """The payer agreed and presses Pay."""
        found = self.orders[order]
        assert found["status"] == "PAYER_ACTION_REQUIRED"
        found["status"] = "APPROVED"

    def take(self, order: str, *, fee: str = "0.84", status: str = "COMPLETED") -> dict[str, Any]:
        """A capture, as `_capture` makes it."""
        found, id_ = self.orders[order], self._new("CAP")
        unit = found["purchase_units"][0]
        capture = {
            "id": id_,
            "status": status,
            "amount": dict(unit["amount"]),
            "final_capture": True,
            "custom_id": unit["custom_id"],
            "invoice_id": unit["invoice_id"],
            "seller_receivable_breakdown": {
                "gross_amount": dict(unit["amount"]),
                "paypal_fee": {"currency_code": "USD", "value": fee},
            },
            "supplementary_data": {"related_ids": {"order_id": order}},
            "create_time": now(),
            "links": [{"rel": "up", "href": f"{self.url}/v2/checkout/orders/{order}"}],
        }
        self.captures[id_] = capture
        found["status"] = "COMPLETED"
        unit.setdefault("payments", {}).setdefault("captures", []).append(capture)
        return capture

    def give_back(self, capture: str, value: str, *, status: str = "COMPLETED") -> dict[str, Any]:
        """A refund, as the dashboard makes it too."""
        id_ = self._new("REF")
        refund = {
            "id": id_,
            "status": status,
            "amount": {"currency_code": "USD", "value": value},
            "create_time": now(),
            "links": [
                {
                    "rel": "self",
                    "href": f"https://api.sandbox.paypal.com/v2/payments/refunds/{id_}",
                },
                {
                    "rel": "up",
                    "href": f"https://api.sandbox.paypal.com/v2/payments/captures/{capture}",
                },
            ],
        }
        self.refunds[id_] = refund
        taken = self.captures[capture]
        rest = self._left(capture)
        taken["status"] = "PARTIALLY_REFUNDED" if rest else "REFUNDED"
        order = taken["supplementary_data"]["related_ids"]["order_id"]
        payments = self.orders[order]["purchase_units"][0]["payments"]
        payments.setdefault("refunds", []).append(refund)
        return refund

    def dispute(self, capture: str) -> dict[str, Any]:
        """The payer opens a case."""
        id_ = f"PP-R-{next(self._numbers):06}"
        self.disputes[id_] = {
            "dispute_id": id_,
            "create_time": now(),
            "disputed_transactions": [{"seller_transaction_id": capture}],
            "reason": "UNAUTHORISED",
            "seller_response_due_date": "2026-12-24T12:00:00.000Z",
            "status": "UNDER_REVIEW",
            "dispute_amount": dict(self.captures[capture]["amount"]),
            "dispute_life_cycle_stage": "CHARGEBACK",
        }
        return self.disputes[id_]

    def resolve(self, dispute: str, outcome: str, *, refunded: str = "") -> dict[str, Any]:
        """The case is decided."""
        told: dict[str, Any] = {"outcome_code": outcome}
        if refunded:
            told["amount_refunded"] = {"currency_code": "USD", "value": refunded}
        self.disputes[dispute] |= {"status": "RESOLVED", "dispute_outcome": told}
        return self.disputes[dispute]

    # --- the wire ---------------------------------------------------------------------------------

    async def _token(self, request: web.Request) -> web.Response:
        if self.broken:
            return _error(503, "SERVICE_UNAVAILABLE")
        pair = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {pair}":
            said = {"error": "invalid_client", "error_description": "Client Authentication failed"}
            return web.json_response(said, status=401)
        if (await request.post()).get("grant_type") != "client_credentials":
            return web.json_response({"error": "unsupported_grant_type"}, status=400)
        self.tokens.append(f"A21AA-canary-{next(self._numbers)}")
        token = {"access_token": self.tokens[-1], "token_type": "Bearer", "scope": self.scopes}
        return web.json_response({**token, "expires_in": 32_400})

    def _called(self, answer: Any) -> Any:
        async def call(request: web.Request) -> web.Response:
            if self.broken:
                return _error(503, "SERVICE_UNAVAILABLE")
            token = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if token not in self.tokens:
                return _error(401, "AUTHENTICATION_FAILURE")
            if (request.method, request.path) in self.instead:
                status, said = self.instead[request.method, request.path]
                return web.json_response(said, status=status)
            raw = await request.read()
            if request.method == "POST":
                if request.content_type != "application/json":
                    return _error(415, "UNSUPPORTED_MEDIA_TYPE")
                try:
                    body = json.loads(raw)
                except ValueError:
                    return _error(400, "INVALID_REQUEST", "MALFORMED_REQUEST_JSON")
            else:
                body = None
            self.calls.append((request.method, request.path, body))
            told: web.Response = await self._once(request, body, raw, answer)
            return told

        return call

    async def _once(self, request: web.Request, body: Any, raw: bytes, answer: Any) -> Any:
        """What succeeded under a request id is answered again, with 200, as it stands now."""
        id_ = request.headers.get("PayPal-Request-Id", "")
        if len(id_) > _REQUEST_ID_CHARS_MAX:
            return _error(400, "INVALID_REQUEST", "INVALID_STRING_LENGTH")
        if id_ in self._replies:
            asked, kind, thing = self._replies[id_]
            if asked != (request.path, body):
                return _error(422, "UNPROCESSABLE_ENTITY", "PAYPAL_REQUEST_ID_PREVIOUSLY_USED")
            return web.json_response(self._minimal(kind, thing), status=200)
        return await answer(request, raw if answer == self._verify else body)

    def _kept(self, request: web.Request, body: Any, kind: str, thing: str) -> web.Response:
        id_ = request.headers.get("PayPal-Request-Id", "")
        if id_:
            self._replies[id_] = ((request.path, body), kind, thing)
        return web.json_response(self._minimal(kind, thing), status=201)

    def _minimal(self, kind: str, id_: str) -> dict[str, Any]:
        """`Prefer: return=minimal`, as it is unless asked otherwise: id, status, links."""
        thing = {"order": self.orders, "refund": self.refunds}[kind][id_]
        return {name: thing[name] for name in ("id", "status", "links")}

    async def _create(self, request: web.Request, body: Any) -> web.Response:
        if "PayPal-Request-Id" not in request.headers:
            return _error(400, "INVALID_REQUEST", "PAYPAL_REQUEST_ID_REQUIRED")
        unit = body["purchase_units"][0]
        if body.get("intent") != "CAPTURE" or not _VALUE.fullmatch(unit["amount"]["value"]):
            return _error(400, "INVALID_REQUEST", "INVALID_PARAMETER_SYNTAX")
        if float(unit["amount"]["value"]) <= 0:
            return _error(422, "UNPROCESSABLE_ENTITY", "CANNOT_BE_ZERO_OR_NEGATIVE")
        if max(len(unit[name]) for name in ("custom_id", "invoice_id", "description")) > 127:
            return _error(400, "INVALID_REQUEST", "INVALID_STRING_MAX_LENGTH")
        context = body["payment_source"]["paypal"]["experience_context"]
        known = {
            "locale": r"[a-z]{2}-[A-Z]{2}",
            "shipping_preference": "GET_FROM_FILE|NO_SHIPPING|SET_PROVIDED_ADDRESS",
            "user_action": "CONTINUE|PAY_NOW",
            "payment_method_preference": "UNRESTRICTED|IMMEDIATE_PAYMENT_REQUIRED",
            "return_url": r"https://\S+",
            "cancel_url": r"https://\S+",
        }
        for name, value in context.items():
            if name not in known or not re.fullmatch(known[name], value):
                return _error(400, "INVALID_REQUEST", "INVALID_PARAMETER_VALUE")
        id_ = self._new("5O1")
        self.orders[id_] = {
            "id": id_,
            "intent": "CAPTURE",
            "status": "PAYER_ACTION_REQUIRED",
            "purchase_units": [{"reference_id": "default", **unit}],
            "create_time": now(),
            "links": [
                {"rel": "self", "href": f"{self.url}/v2/checkout/orders/{id_}"},
                {
                    "rel": "payer-action",
                    "href": f"https://www.sandbox.paypal.com/checkoutnow?token={id_}",
                },
            ],
        }
        return self._kept(request, body, "order", id_)

    async def _get_order(self, request: web.Request, body: Any) -> web.Response:
        return _found(self.orders, request)

    async def _capture(self, request: web.Request, body: Any) -> web.Response:
        order = self.orders.get(request.match_info["id"])
        if order is None:
            return _error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
        issue = ""
        if order["status"] == "COMPLETED":
            issue = "ORDER_ALREADY_CAPTURED"
        elif order["status"] != "APPROVED":
            issue = "ORDER_NOT_APPROVED"
        elif self._paid_before(order):
            issue = "DUPLICATE_INVOICE_ID"
        elif order["id"] in self.declines:
            self.declines.remove(order["id"])
            order["status"] = "PAYER_ACTION_REQUIRED"
            issue = "INSTRUMENT_DECLINED"
        if issue:
            return _error(422, "UNPROCESSABLE_ENTITY", issue)
        self.take(order["id"])
        return self._kept(request, body, "order", order["id"])

    def _paid_before(self, order: dict[str, Any]) -> bool:
        invoice = order["purchase_units"][0]["invoice_id"]
        return any(one["invoice_id"] == invoice for one in self.captures.values())

    async def _refund(self, request: web.Request, body: Any) -> web.Response:
        capture = self.captures.get(request.match_info["id"])
        if capture is None:
            return _error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
        wanted = _cents(body["amount"]["value"])
        issue = ""
        if self._open_case(capture["id"]):
            issue = "TRANSACTION_DISPUTED"
        elif not self._left(capture["id"]):
            issue = "CAPTURE_FULLY_REFUNDED"
        elif wanted > self._left(capture["id"]):
            issue = "REFUND_AMOUNT_EXCEEDED"
        if issue:
            return _error(422, "UNPROCESSABLE_ENTITY", issue)
        made = self.give_back(capture["id"], body["amount"]["value"])
        return self._kept(request, body, "refund", made["id"])

    def _open_case(self, capture: str) -> bool:
        return any(
            one["status"] != "RESOLVED"
            and one["disputed_transactions"][0]["seller_transaction_id"] == capture
            for one in self.disputes.values()
        )

    def _left(self, capture: str) -> int:
        gone = sum(
            _cents(one["amount"]["value"])
            for one in self.refunds.values()
            if one["links"][1]["href"].endswith(f"/{capture}") and one["status"] != "FAILED"
        )
        return _cents(self.captures[capture]["amount"]["value"]) - gone

    async def _get_refund(self, request: web.Request, body: Any) -> web.Response:
        return _found(self.refunds, request)

    async def _list_disputes(self, request: web.Request, body: Any) -> web.Response:
        if not self.reads_disputes:
            return _error(403, "NOT_AUTHORIZED", "PERMISSION_DENIED")
        capture = request.query.get("disputed_transaction_id")
        shown = ("dispute_id", "create_time", "reason", "status", "dispute_amount")
        items = [
            {name: one[name] for name in shown}
            for one in self.disputes.values()
            if capture in {None, one["disputed_transactions"][0]["seller_transaction_id"]}
        ]
        return web.json_response({"items": items})

    async def _get_dispute(self, request: web.Request, body: Any) -> web.Response:
        if not self.reads_disputes:
            return _error(403, "NOT_AUTHORIZED", "PERMISSION_DENIED")
        return _found(self.disputes, request)

    async def _get_webhook(self, request: web.Request, body: Any) -> web.Response:
        return _found({self.webhook["id"]: self.webhook}, request)

    async def _list_events(self, request: web.Request, body: Any) -> web.Response:
        """What was told of captures, the newest first; delivered or not."""
        if not self.lists_events:
            return _error(403, "NOT_AUTHORIZED", "PERMISSION_DENIED")
        query = request.query
        size = int(query.get("page_size", "10"))
        if not 1 <= size <= 300:
            return _error(400, "VALIDATION_ERROR", "INVALID_PAGE_SIZE")
        events = [
            {
                "id": f"WH-{id_}",
                "create_time": capture["create_time"],
                "resource_type": "capture",
                "event_type": "PAYMENT.CAPTURE.COMPLETED",
                "resource": capture,
            }
            for id_, capture in reversed(self.captures.items())
            if capture["status"] in {"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"}
            and query["event_type"] == "PAYMENT.CAPTURE.COMPLETED"
            and query["start_time"][:19] <= capture["create_time"][:19] <= query["end_time"][:19]
        ]
        return web.json_response({"events": events[:size], "count": len(events[:size])})

    async def _verify(self, request: web.Request, raw: Any) -> web.Response:
        proven = is_proven(raw)
        if proven is None:
            return _error(400, "VALIDATION_ERROR", "MISSING_REQUIRED_PARAMETER")
        return web.json_response({"verification_status": "SUCCESS" if proven else "FAILURE"})

    def _new(self, kind: str) -> str:
        return f"{kind}{next(self._numbers):014}"


def _cents(value: str) -> int:
    return int(value.replace(".", ""))


def _found(things: dict[str, dict[str, Any]], request: web.Request) -> web.Response:
    found = things.get(request.match_info["id"])
    if found is None:
        return _error(404, "RESOURCE_NOT_FOUND", "INVALID_RESOURCE_ID")
    return web.json_response(found)


def _error(status: int, name: str, issue: str = "") -> web.Response:
    said: dict[str, Any] = {"name": name, "message": "It can't be done.", "debug_id": "f2a1"}
    if issue:
        said["details"] = [{"issue": issue, "description": "It can't be done."}]
    return web.json_response(said, status=status)
