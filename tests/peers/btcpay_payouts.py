"""A BTCPay Server's payouts: claims of its pull payments, with the server's own rules and refusals.
A part of `FakeBtcPay`.

States, codes and rules as in the server's controllers and its payout service of 2.4.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from decimal import ROUND_UP, Decimal
from typing import Any

from aiohttp import web

_SATOSHI = Decimal("0.00000001")
_DUST = Decimal("0.00000294")
_ADDRESS = re.compile(r"bc1[a-z0-9]{20,80}|[13][a-km-zA-HJ-NP-Z1-9]{25,39}")
_OVER = frozenset({"Completed", "Cancelled"})


class BtcPayPayouts:
    """The store's."""

    def __init__(
        self,
        pulls: dict[str, dict[str, Any]],
        rate: Callable[[], Decimal],
        may: Callable[[str], bool],
    ) -> None:
        self._pulls, self._rate, self._may = pulls, rate, may
        self.made: dict[str, dict[str, Any]] = {}
        #: Whether rates can be had; without one nothing is approved by itself.
        self.rated = True
        #: So many of the next answers are lost once the payout is made.
        self.loses = 0

    # --- what wallets, chains and the operator do -------------------------------------------------

    def of(self, ours: str) -> dict[str, Any]:
        """The payout with our id."""
        return next(one for one in self.made.values() if one["metadata"].get("payout") == ours)

    def becomes(self, ours: str, state: str) -> None:
        """Signed, confirmed, or cancelled by hand."""
        self.of(ours)["state"] = state

    def archives(self, ours: str) -> None:
        """The operator archives its pull payment: what isn't under way is cancelled, all is
        hidden."""
        one = self.of(ours)
        self._pulls[one["pullPaymentId"]]["archived"] = True
        if one["state"] not in {"Completed", "InProgress"}:
            one["state"] = "Cancelled"

    # --- the wire ---------------------------------------------------------------------------------

    async def create(self, request: web.Request, body: Any) -> web.Response:
        if not self._may("btcpay.store.cancreatenonapprovedpullpayments"):
            return _refused(403, "missing-permission")
        if body.get("approved") and not self._may("btcpay.store.cancreatepullpayments"):
            return _refused(403, "missing-permission")
        if body.get("payoutMethodId") != "BTC-CHAIN":
            return _invalid("PayoutMethodId", "Invalid payment method")
        pull = self._pulls.get(body.get("pullPaymentId"))
        if pull is None:
            return _refused(404, "pullpayment-not-found")
        if not _ADDRESS.fullmatch(str(body.get("destination"))):
            return _invalid("Destination", "A valid address was not provided")
        amount = Decimal(body["amount"])
        code = self._refusal(pull, str(body["destination"]), amount)
        if code:
            return _refused(400, code)
        made = self._made(pull, body, amount)
        if body.get("approved") and self.rated:
            coins = (amount / self._rate()).quantize(_SATOSHI, ROUND_UP)
            if coins < _DUST:
                made["state"] = "Cancelled"
                return _refused(400, "amount-too-low")
            made |= {"state": "AwaitingPayment", "payoutAmount": str(coins)}
        if self.loses:
            self.loses -= 1
            return web.Response(status=502, text="<html>Bad Gateway</html>")
        return web.json_response(made)

    async def of_pull(self, request: web.Request, body: Any) -> web.Response:
        pull = self._pulls.get(request.match_info["id"])
        if pull is None:
            return _refused(404, "pullpayment-not-found")
        cancelled = request.query.get("includeCancelled") == "true"
        shown = [
            one
            for one in self.made.values()
            if one["pullPaymentId"] == pull["id"]
            and not pull["archived"]
            and (cancelled or one["state"] != "Cancelled")
        ]
        return web.json_response(shown)

    def _refusal(self, pull: dict[str, Any], destination: str, amount: Decimal) -> str:
        if pull["archived"]:
            return "archived"
        if "BTC-CHAIN" not in pull["payoutMethods"]:
            return "payment-method-not-supported"
        alive = [one for one in self.made.values() if one["state"] != "Cancelled"]
        if any(one["destination"] == destination and one["state"] not in _OVER for one in alive):
            return "duplicate-destination"
        claimed = sum(
            Decimal(one["originalAmount"]) for one in alive if one["pullPaymentId"] == pull["id"]
        )
        return "overdraft" if claimed + amount > Decimal(pull["amount"]) else ""

    def _made(self, pull: dict[str, Any], body: Any, amount: Decimal) -> dict[str, Any]:
        id_ = secrets.token_hex(14)
        self.made[id_] = {
            "id": id_,
            "revision": 0,
            "pullPaymentId": pull["id"],
            "date": int(time.time()),
            "destination": body["destination"],
            "originalCurrency": pull["currency"],
            "originalAmount": str(amount),
            "payoutCurrency": "BTC",
            "payoutAmount": None,
            "payoutMethodId": "BTC-CHAIN",
            "state": "AwaitingApproval",
            "paymentProof": None,
            "metadata": body.get("metadata") or {},
        }
        return self.made[id_]


def _refused(status: int, code: str) -> web.Response:
    return web.json_response({"code": code, "message": "It can't be done."}, status=status)


def _invalid(path: str, message: str) -> web.Response:
    return web.json_response([{"path": path, "message": message}], status=422)
