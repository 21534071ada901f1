"""Stripe on loopback: form-encoded, idempotent, and as strict as the real one where it matters.

Field names and refusals as in Stripe's OpenAPI of 2026-10-28; what a payer does is a method.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from typing import Any

import stripe
from aiohttp import web

from payments.gateways.stripe import WEBHOOK_EVENTS
from tests.peers.server import PeerServer
from tests.peers.stripe_balance import list_balance

KEY = "sk_test_canary_51Nq"
WEBHOOK_SECRET = "whsec_canary_9Zr"
_FIELD = re.compile(r"\[([^\]]*)\]")


class FakeStripe(PeerServer):
    """A server; its state is the account's."""

    def __init__(self) -> None:
        self.sessions: dict[str, dict[str, Any]] = {}
        self.intents: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}
        self.warnings: dict[str, dict[str, Any]] = {}
        #: As the dashboard makes one for the address of the tests.
        self.endpoints: list[dict[str, Any]] = [
            {
                "id": "we_000001",
                "object": "webhook_endpoint",
                "url": "https://bot.example/webhooks/stripe",
                "status": "enabled",
                "enabled_events": list(WEBHOOK_EVENTS),
            }
        ]
        #: Whether the key may read webhooks; a restricted one needn't.
        self.reads_webhooks = True
        self.calls: list[tuple[str, str, dict[str, Any]]] = []
        #: Nothing but "unavailable" while it is set.
        self.broken = False
        self._replies: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        #: Its clock, in seconds; and when each thing came about, as it was seen first.
        self.now: Callable[[], float] = time.time
        self.created: dict[str, int] = {}
        #: What moved on the account without a payer: payouts, Stripe's own fees.
        self.other_transactions: list[dict[str, Any]] = []
        #: Whether the key may read the balance.
        self.reads_balance = True

    def list_routes(self) -> list[web.RouteDef]:
        """See `PeerServer`."""
        return [
            web.post("/v1/checkout/sessions", self._create_session),
            web.get("/v1/checkout/sessions", self._list_sessions),
            web.get("/v1/checkout/sessions/{id}", self._get_session),
            web.post("/v1/refunds", self._create_refund),
            web.get("/v1/refunds", self._list_refunds),
            web.get("/v1/refunds/{id}", self._get(self.refunds)),
            web.get("/v1/balance_transactions", self._list_balance),
            web.get("/v1/disputes", self._list_disputes),
            web.get("/v1/disputes/{id}", self._get(self.disputes)),
            web.post("/v1/disputes/{id}/close", self._close_dispute),
            web.get("/v1/radar/early_fraud_warnings/{id}", self._get(self.warnings)),
            web.get("/v1/webhook_endpoints", self._list_endpoints),
        ]

    # --- what a payer, a bank and the dashboard do ------------------------------------------------

    def pay(self, session: str, *, fee: int = 59) -> str:
        """Paid by card; the payment's id."""
        found = self.sessions[session]
        id_ = f"pi_{next(self._numbers):06}"
        self.intents[id_] = {
            "id": id_,
            "object": "payment_intent",
            "status": "succeeded",
            "amount": found["amount_total"],
            "metadata": {"order": found["client_reference_id"]},
            "latest_charge": {
                "id": f"ch_{id_}",
                "object": "charge",
                "balance_transaction": {
                    "id": f"txn_{id_}",
                    "object": "balance_transaction",
                    "currency": "usd",
                    "amount": found["amount_total"],
                    "fee": fee,
                },
            },
        }
        found |= {"status": "complete", "payment_status": "paid", "payment_intent": id_}
        return id_

    def expire(self, session: str) -> None:
        self.sessions[session] |= {"status": "expired", "url": None}

    def refund(self, intent: str, amount: int, *, status: str = "succeeded") -> str:
        id_ = f"re_{next(self._numbers):06}"
        self.refunds[id_] = {
            "id": id_,
            "object": "refund",
            "amount": amount,
            "currency": "usd",
            "payment_intent": intent,
            "charge": f"ch_{intent}",
            "status": status,
        }
        return id_

    def dispute(self, intent: str, *, status: str = "needs_response") -> str:
        id_ = f"dp_{next(self._numbers):06}"
        self.disputes[id_] = {
            "id": id_,
            "object": "dispute",
            "amount": self.intents[intent]["amount"],
            "currency": "usd",
            "payment_intent": intent,
            "charge": f"ch_{intent}",
            "reason": "fraudulent",
            "status": status,
            "evidence_details": {
                "due_by": int(time.time()) + 7 * 86_400,
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
        }
        return id_

    def warn(self, intent: str, *, actionable: bool = True) -> str:
        """The card's bank calls a payment fraud, before any dispute."""
        id_ = f"issfr_{next(self._numbers):06}"
        self.warnings[id_] = {
            "id": id_,
            "object": "radar.early_fraud_warning",
            "actionable": actionable,
            "charge": f"ch_{intent}",
            "created": int(time.time()),
            "fraud_type": "made_with_stolen_card",
            "livemode": False,
            "payment_intent": intent,
        }
        return id_

    def moves(self, dispute: str, cents: int, *, fee: int = 0, currency: str = "usd") -> None:
        """Money of a dispute is moved, with what Stripe takes (or gives back) for that."""
        movement = {
            "id": f"txn_{next(self._numbers):06}",
            "object": "balance_transaction",
            "amount": cents,
            "fee": fee,
            "net": cents - fee,
            "currency": currency,
        }
        self.disputes[dispute].setdefault("balance_transactions", []).append(movement)

    def event(self, kind: str, about: dict[str, Any], **changes: Any) -> bytes:
        """A webhook's raw body."""
        body = {
            "id": f"evt_{next(self._numbers):06}",
            "object": "event",
            "api_version": "2026-10-28.endive",
            "created": int(time.time()),
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
            "data": {"object": about},
            **changes,
        }
        return json.dumps(body).encode()

    # --- the wire ---------------------------------------------------------------------------------

    async def _create_session(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if (known := self._replayed(request, form)) is not None:
            return known
        if "payment_method_types" in form:
            return _refused("payment_method_types_no_longer_supported", "payment_method_types")
        if form.get("mode") != "payment" or "success_url" not in form:
            return _refused("parameter_missing", "mode")
        line = form["line_items"]["0"]
        price = line["price_data"]
        if not price.get("product_data", {}).get("name") or price["currency"] != "usd":
            return _refused("parameter_missing", "line_items")
        cents = int(price["unit_amount"]) * int(line["quantity"])
        if cents < 50:
            return _refused("amount_too_small", "line_items")
        ends = int(form["expires_at"]) - self.now()
        if not 1_795 <= ends <= 86_400:
            return _refused("parameter_invalid", "expires_at")
        if form.get("managed_payments", {}).get("enabled") == "true":
            if not price["product_data"].get("tax_code", "").startswith("txcd_"):
                return _refused("parameter_missing", "tax_code")
            if {"automatic_tax", "tax_id_collection", "shipping_options"} & form.keys():
                return _refused("parameter_unknown", "automatic_tax")
        id_ = f"cs_test_{next(self._numbers):06}"
        self.sessions[id_] = {
            "id": id_,
            "object": "checkout.session",
            "url": f"https://checkout.stripe.example/c/pay/{id_}",
            "status": "open",
            "payment_status": "unpaid",
            "mode": "payment",
            "amount_subtotal": cents,
            "amount_total": cents,
            "currency": "usd",
            "client_reference_id": form.get("client_reference_id"),
            "metadata": form.get("metadata", {}),
            "payment_intent": None,
            "expires_at": int(form["expires_at"]),
            "livemode": False,
        }
        return self._kept(request, form, self.sessions[id_])

    async def _list_sessions(self, request: web.Request) -> web.Response:
        await self._form(request)
        intent = request.query.get("payment_intent")
        found = [one for one in self.sessions.values() if intent in {None, one["payment_intent"]}]
        newest = found[: int(request.query.get("limit", "10"))]
        return _told({"object": "list", "data": newest, "has_more": False, "url": "/v1"})

    async def _get_session(self, request: web.Request) -> web.Response:
        await self._form(request)
        found = self.sessions.get(request.match_info["id"])
        if found is None:
            return _missing()
        shown = dict(found)
        if shown["payment_intent"] and "expand[0]" in request.query:
            shown["payment_intent"] = self.intents[shown["payment_intent"]]
        return _told(shown)

    async def _create_refund(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if (known := self._replayed(request, form)) is not None:
            return known
        intent = self.intents.get(form["payment_intent"])
        if intent is None:
            return _missing()
        gone = sum(
            one["amount"]
            for one in self.refunds.values()
            if one["payment_intent"] == intent["id"] and one["status"] != "failed"
        )
        if int(form["amount"]) > intent["amount"] - gone:
            return _refused("charge_already_refunded", "amount")
        return self._kept(
            request, form, self.refunds[self.refund(intent["id"], int(form["amount"]))]
        )

    async def _list_refunds(self, request: web.Request) -> web.Response:
        await self._form(request)
        of = request.query.get("payment_intent")
        newest = [one for one in self.refunds.values() if of in {None, one["payment_intent"]}][::-1]
        limit = int(request.query.get("limit", "10"))
        more = len(newest) > limit
        return _told(
            {"object": "list", "data": newest[:limit], "has_more": more, "url": "/v1/refunds"}
        )

    async def _list_endpoints(self, request: web.Request) -> web.Response:
        await self._form(request)
        if not self.reads_webhooks:
            return _error(
                "invalid_request_error", "", "The provided key lacks the required permissions", 403
            )
        return _told({"object": "list", "data": self.endpoints, "has_more": False, "url": "/v1"})

    async def _list_disputes(self, request: web.Request) -> web.Response:
        await self._form(request)
        of = request.query.get("payment_intent")
        found = [one for one in self.disputes.values() if of in {None, one["payment_intent"]}]
        return _told({"object": "list", "data": found[::-1], "has_more": False, "url": "/v1"})

    async def _list_balance(self, request: web.Request) -> web.Response:
        await self._form(request)
        if not self.reads_balance:
            return _error("invalid_request_error", "", "The key lacks permissions", 403)
        return _told(list_balance(self, request.query))

    async def _close_dispute(self, request: web.Request) -> web.Response:
        form = await self._form(request)
        if (known := self._replayed(request, form)) is not None:
            return known
        found = self.disputes.get(request.match_info["id"])
        if found is None:
            return _missing()
        if found["status"] not in {"needs_response", "warning_needs_response"}:
            return _refused("dispute_already_closed", "dispute")
        found["status"] = "lost"
        return self._kept(request, form, found)

    def _get(self, things: dict[str, dict[str, Any]]) -> Any:
        async def get(request: web.Request) -> web.Response:
            await self._form(request)
            found = things.get(request.match_info["id"])
            if found is None:
                return _missing()
            shown = dict(found)
            if request.query.get("expand[0]") == "payment_intent":
                shown["payment_intent"] = self.intents.get(found["payment_intent"])
            return _told(shown)

        return get

    async def _form(self, request: web.Request) -> dict[str, Any]:
        if self.broken:
            raise web.HTTPServiceUnavailable(text="{}", content_type="application/json")
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise web.HTTPUnauthorized(
                text='{"error":{"type":"invalid_request_error","message":"No such API key"}}',
                content_type="application/json",
            )
        form: dict[str, Any] = {}
        for name, value in (await request.post()).items():
            head, *rest = [name.partition("[")[0], *_FIELD.findall(name)]
            place = form
            for part in rest:
                place, head = place.setdefault(head, {}), part
            place[head] = value
        self.calls.append((request.method, request.path, form))
        return form

    def _replayed(self, request: web.Request, form: dict[str, Any]) -> web.Response | None:
        known = self._replies.get(request.headers.get("Idempotency-Key", ""))
        if known is None:
            return None
        asked, answer = known
        if asked != (request.path, form):
            return _error("idempotency_error", "idempotency_key_in_use", "Other parameters", 400)
        return _told(answer)

    def _kept(
        self, request: web.Request, form: dict[str, Any], answer: dict[str, Any]
    ) -> web.Response:
        self._replies[request.headers["Idempotency-Key"]] = ((request.path, form), dict(answer))
        return _told(answer)


def signature(body: bytes, secret: str = WEBHOOK_SECRET, *, at: float | None = None) -> str:
    """The header, made by Stripe's own library."""
    seconds = int(time.time() if at is None else at)
    made: str = stripe.WebhookSignature.generate_signature_header(body.decode(), secret, seconds)
    return made


def _told(answer: dict[str, Any]) -> web.Response:
    return web.json_response(answer, headers={"Request-Id": "req_1"})


def _error(kind: str, code: str, message: str, status: int) -> web.Response:
    error = {"type": kind, "code": code, "message": message}
    return web.json_response({"error": error}, status=status, headers={"Request-Id": "req_1"})


def _refused(code: str, param: str) -> web.Response:
    return _error("invalid_request_error", code, f"Invalid {param}", 400)


def _missing() -> web.Response:
    return _error("invalid_request_error", "resource_missing", "No such thing", 404)
