"""A BTCPay Server on loopback: a store's invoices, pull payments and payouts by the Greenfield API,
with the server's own accounting, its permissions and its refusals.

Field names, states and codes as in the server's swagger and controllers of 2.4; what a payer and a
chain do is a method.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import secrets
import time
from decimal import ROUND_CEILING, Decimal
from typing import Any

from aiohttp import web

from tests.peers.btcpay_payouts import BtcPayPayouts
from tests.peers.server import PeerServer

KEY = "btcpay-canary-key-0a1b2c"
WEBHOOK_SECRET = "btcpay-canary-webhook-secret"
STORE = "9CiNzKoANXxmk5ayZngSXrHTiVvvgCrwrpFQd4m2K776"
PERMISSIONS = (
    "btcpay.store.cancreateinvoice",
    "btcpay.store.canviewinvoices",
    "btcpay.store.canmanagepullpayments",
)
RATE = Decimal("64392.23")
_SATOSHI = Decimal("0.00000001")
_STORE_PATH = "/api/v1/stores/{store}"


class FakeBtcPay(PeerServer):
    """A server; its state is the store's."""

    def __init__(self) -> None:
        self.invoices: dict[str, dict[str, Any]] = {}
        #: The payments of each invoice, in the order in which they were seen.
        self.payments: dict[str, list[dict[str, Any]]] = {}
        self.pull_payments: dict[str, dict[str, Any]] = {}
        self.rate = RATE
        self.payouts = BtcPayPayouts(self.pull_payments, lambda: self.rate, self._may)
        #: Its release, as it says it.
        self.version = "2.4.2"
        #: Whether the store has a wallet for bitcoin.
        self.wallet = True
        self.permissions = [f"{one}:{STORE}" for one in PERMISSIONS]
        self.calls: list[tuple[str, str, Any]] = []
        #: Nothing but "unavailable" while it is set.
        self.broken = False
        #: What it answers instead, by method and path: a status and a body.
        self.instead: dict[tuple[str, str], tuple[int, Any]] = {}
        self._numbers = itertools.count(1)

    def list_routes(self) -> list[web.RouteDef]:
        """See `PeerServer`."""
        view, create, pull = PERMISSIONS[1], PERMISSIONS[0], PERMISSIONS[2]
        invoices, pulls = f"{_STORE_PATH}/invoices", f"{_STORE_PATH}/pull-payments"
        claims = "/api/v1/pull-payments/{id}/payouts"
        return [
            web.get("/api/v1/api-keys/current", self._called("", self._key)),
            web.get("/api/v1/server/info", self._called("", self._info)),
            web.get(invoices, self._called(view, self._list)),
            web.post(invoices, self._called(create, self._create)),
            web.get(invoices + "/{id}", self._called(view, self._get)),
            web.get(invoices + "/{id}/payment-methods", self._called(view, self._methods)),
            web.get(pulls, self._called(pull, self._list_pulls)),
            web.post(pulls, self._called(pull, self._create_pull)),
            web.post(f"{_STORE_PATH}/payouts", self._called("", self.payouts.create)),
            web.get(claims, self._called("", self.payouts.of_pull)),
        ]

    # --- what a payer and a chain do --------------------------------------------------------------

    def pay(self, invoice: str, dollars: str = "", *, coins: str = "", settled: bool = True) -> str:
        """Sends what dollars are worth (all that is due, if nothing is said), to the next satoshi
        up, as a wallet does, or so many coins; the payment's id."""
        found = self.invoices[invoice]
        due = Decimal(dollars) if dollars else Decimal(found["amount"]) - self._paid(invoice)
        value = Decimal(coins) if coins else (due / self.rate).quantize(_SATOSHI, ROUND_CEILING)
        id_ = f"{secrets.token_hex(32)}-{next(self._numbers)}"
        self.payments[invoice].append(
            {
                "id": id_,
                "receivedDate": int(time.time()),
                "value": str(value),
                "fee": "0.0",
                "status": "Settled" if settled else "Processing",
                "destination": "bc1qexample",
            }
        )
        self._update(found)
        return id_

    def confirm(self, invoice: str, payment: str, status: str = "Settled") -> None:
        """The chain has it for good, or (`Invalid`) another transaction in its place."""
        for one in self.payments[invoice]:
            if one["id"] == payment:
                one["status"] = status
        self._update(self.invoices[invoice])

    def expire(self, invoice: str) -> None:
        """Its time is over."""
        found = self.invoices[invoice]
        found["expirationTime"] = int(time.time()) - 1
        self._update(found)

    def _paid(self, invoice: str, *, settled: bool = False) -> Decimal:
        counted = {"Settled"} if settled else {"Settled", "Processing"}
        values = (
            Decimal(one["value"]) * self.rate
            for one in self.payments[invoice]
            if one["status"] in counted
        )
        return sum(values, start=Decimal(0))

    def _update(self, found: dict[str, Any]) -> None:
        """The server's own rules for an invoice's state."""
        price = Decimal(found["amount"])
        paid, settled = self._paid(found["id"]), self._paid(found["id"], settled=True)
        found["paidAmount"] = str(paid.quantize(Decimal("0.01")))
        if found["status"] == "Processing" and paid < price:
            found["status"] = "New"
        if found["status"] == "New" and found["expirationTime"] <= time.time():
            found["status"] = "Expired"
        if found["status"] in {"New", "Expired"}:
            found["additionalStatus"] = "PaidPartial" if paid else "None"
            if paid >= price and found["status"] == "Expired":
                found["additionalStatus"] = "PaidLate"
            elif paid >= price:
                found["status"] = "Processing"
        if found["status"] in {"Processing", "Settled"}:
            over = paid - price >= _SATOSHI * self.rate
            found["additionalStatus"] = "PaidOver" if over else "None"
        if found["status"] == "Processing" and settled >= price:
            found["status"] = "Settled"

    # --- webhooks ---------------------------------------------------------------------------------

    def event(self, kind: str, invoice: str, **changes: Any) -> bytes:
        """A webhook's raw body, indented as the server writes it."""
        id_ = f"delivery{next(self._numbers):06}"
        body = {
            "deliveryId": id_,
            "webhookId": "4b5TxHGCVBMmVCDWtoeFUX",
            "originalDeliveryId": id_,
            "isRedelivery": False,
            "type": kind,
            "timestamp": int(time.time()),
            "storeId": STORE,
            "invoiceId": invoice,
            "metadata": self.invoices.get(invoice, {}).get("metadata", {}),
            **changes,
        }
        return json.dumps(body, indent=2).encode()

    # --- the wire ---------------------------------------------------------------------------------

    def _called(self, permission: str, answer: Any) -> Any:
        async def call(request: web.Request) -> web.Response:
            if self.broken:
                return web.Response(status=502, text="<html>Bad Gateway</html>")
            if request.headers.get("Authorization") != f"token {KEY}":
                return _refused(401, "unauthenticated")
            if (request.method, request.path) in self.instead:
                status, said = self.instead[request.method, request.path]
                return web.json_response(said, status=status)
            store = request.match_info.get("store")
            if permission and f"{permission}:{store}" not in self.permissions:
                return _refused(403, "missing-permission", missingPermission=permission)
            body = None
            if request.method == "POST":
                if request.content_type != "application/json":
                    return web.Response(status=415)
                body = await request.json()
            self.calls.append((request.method, request.path, body))
            told: web.Response = await answer(request, body)
            return told

        return call

    def _may(self, permission: str) -> bool:
        """Whoever manages pull payments may make them, and payouts of them."""
        enough = {
            permission,
            "btcpay.store.cancreatepullpayments",
            "btcpay.store.canmanagepullpayments",
        }
        return any(f"{one}:{STORE}" in self.permissions for one in enough)

    async def _key(self, request: web.Request, body: Any) -> web.Response:
        told = {"apiKey": KEY, "label": "creditbot", "permissions": self.permissions}
        return web.json_response(told)

    async def _info(self, request: web.Request, body: Any) -> web.Response:
        told = {
            "version": self.version,
            "onion": None,
            "supportedPaymentMethods": ["BTC-CHAIN", "BTC-LN"],
            "fullySynched": True,
            "syncStatus": [],
        }
        return web.json_response(told)

    async def _list(self, request: web.Request, body: Any) -> web.Response:
        wanted = request.query.get("orderId")
        since = int(request.query.get("startDate", "0"))
        found = [
            one
            for one in reversed(self.invoices.values())
            if wanted in {None, one["metadata"].get("orderId")} and one["createdTime"] >= since
        ]
        skip, take = (int(request.query.get(name, "0")) for name in ("skip", "take"))
        return web.json_response(found[skip : skip + take if take else None])

    async def _create(self, request: web.Request, body: Any) -> web.Response:
        checkout = body.get("checkout") or {}
        wrong = {}
        if not Decimal(0) < Decimal(body["amount"]) < Decimal(10**12):
            wrong["amount"] = "The amount should be 0 or more."
        if not 0 <= checkout.get("paymentTolerance", 0) <= 100:
            wrong["checkout.paymentTolerance"] = "PaymentTolerance can only be between 0 and 100"
        if checkout.get("expirationMinutes", 15) < 1:
            wrong["checkout.expiration"] = "Expiration time must be at least 30 seconds"
        # The server looks for the nearest of its languages, and knows these two in some form.
        if checkout.get("defaultLanguage", "en").partition("-")[0] not in {"en", "zh"}:
            wrong["checkout.defaultLanguage"] = "The requested defaultLang does not exists"
        if wrong:
            return _invalid(wrong)
        id_, now = secrets.token_urlsafe(16).replace("-", "x").replace("_", "y"), int(time.time())
        expires = now + 60 * checkout.get("expirationMinutes", 15)
        self.payments[id_] = []
        self.invoices[id_] = {
            "id": id_,
            "storeId": STORE,
            "amount": body["amount"],
            "paidAmount": "0.0",
            "currency": body["currency"],
            "type": "Standard",
            "checkoutLink": f"https://pay.example/i/{id_}",
            "createdTime": now,
            "expirationTime": expires,
            "monitoringExpiration": expires + 60 * checkout.get("monitoringMinutes", 1_440),
            "status": "New",
            "additionalStatus": "None",
            "archived": False,
            "metadata": body["metadata"],
            "checkout": checkout,
        }
        return web.json_response(self.invoices[id_])

    async def _get(self, request: web.Request, body: Any) -> web.Response:
        found = self.invoices.get(request.match_info["id"])
        if found is None:
            return _refused(404, "invoice-not-found")
        return web.json_response(found)

    async def _methods(self, request: web.Request, body: Any) -> web.Response:
        id_ = request.match_info["id"]
        if id_ not in self.invoices:
            return _refused(404, "invoice-not-found")
        seen = [one for one in self.payments[id_] if one["status"] != "Invalid"]
        chain = {
            "paymentMethodId": "BTC-CHAIN",
            "currency": "BTC",
            "destination": "bc1qexample",
            "rate": str(self.rate),
            "payments": seen,
            "activated": True,
        }
        lightning = {**chain, "paymentMethodId": "BTC-LN", "payments": []}
        return web.json_response([chain, lightning])

    async def _list_pulls(self, request: web.Request, body: Any) -> web.Response:
        everything = request.query.get("includeArchived") == "true"
        shown = reversed(self.pull_payments.values())
        return web.json_response([one for one in shown if everything or not one["archived"]])

    async def _create_pull(self, request: web.Request, body: Any) -> web.Response:
        wrong = {}
        if Decimal(body["amount"]) <= 0:
            wrong["amount"] = "The amount should more than 0."
        if len(body.get("name", "")) > 50:
            wrong["name"] = "The name should be maximum 50 characters."
        if "payoutMethods" in body and not (self.wallet and body["payoutMethods"] == ["BTC-CHAIN"]):
            wrong["payoutMethods[0]"] = "Invalid or unsupported payment method"
        if wrong:
            return _invalid(wrong)
        id_ = f"pull{next(self._numbers):06}"
        self.pull_payments[id_] = {
            "id": id_,
            "name": body["name"],
            "description": body.get("description", ""),
            "currency": body["currency"],
            "amount": body["amount"],
            "autoApproveClaims": body.get("autoApproveClaims", False),
            "payoutMethods": body.get("payoutMethods", ["BTC-CHAIN"]),
            "startsAt": int(time.time()),
            "archived": False,
            "viewLink": f"https://pay.example/pull-payments/{id_}",
        }
        return web.json_response(self.pull_payments[id_])


def signature(body: bytes, secret: str = WEBHOOK_SECRET) -> str:
    """The header that proves a body."""
    return f"sha256={hmac.digest(secret.encode(), body, hashlib.sha256).hex()}"


def _refused(status: int, code: str, **more: str) -> web.Response:
    said = {"code": code, "message": "It can't be done.", **more}
    return web.json_response(said, status=status)


def _invalid(wrong: dict[str, str]) -> web.Response:
    said = [{"path": path, "message": message} for path, message in wrong.items()]
    return web.json_response(said, status=422)
