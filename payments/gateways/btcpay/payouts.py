"""Payouts by a BTCPay Server, in dollars' worth of bitcoin on the chain.

The server knows no keys of idempotency, and a payout by itself is an amount of coins. So each of
ours has a pull payment of its own, of so many dollars and named by our id: it is looked for before
it is made, the server converts at its own rate when the payout is approved, and lets no more be
claimed of a pull payment than it is worth. Whether the coins leave by themselves is up to the
store: a hot wallet with a payout processor sends them, else somebody signs there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, final

from pydantic import SecretStr

from core.earnings.payouts import Payout
from core.money import parse_usd
from payments.gateways.btcpay.client import NAME, BtcPayClient, refusal_code, validate_id
from payments.gateways.http import GatewayResponse, translate_parse_errors
from payments.offer import to_decimal_dollars
from payments.payouts import PayoutStatus
from payments.types import GatewayUnavailable

#: Bitcoin on the chain.
_METHOD: Final = "BTC-CHAIN"
#: What the key must be allowed, and what allows it too (the server's own hierarchy).
PERMISSIONS: Final[Mapping[str, Collection[str]]] = {
    "btcpay.store.cancreatepullpayments": ("btcpay.store.canmanagepullpayments",),
}
#: What can't work by asking again, as the server names it: a refusal's code, or the field of ours
#: that it didn't like.
_PERMANENT_REFUSALS: Final = frozenset({"amount-too-low", "destination", "amount"})
#: The server doesn't tell what is behind archived ones.
_ARCHIVED_ADVICE: Final = "its pull payment was archived: look there whether it was paid"


@final
class BtcPayPayoutProvider:
    """The payout provider that pays in bitcoin, by a BTCPay Server."""

    #: A pull payment is kept for good, and so is its name.
    idempotency_days = 3_650
    return_window_days = 0

    def __init__(self, *, url: str, store_id: str, api_key: SecretStr) -> None:
        self._client = BtcPayClient(url=url, store_id=store_id, api_key=api_key)

    async def check_account(self) -> str:
        """See `PayoutProvider`."""
        await self._client.check_permissions(PERMISSIONS)
        await self._client.check_version()
        await self._list_pull_payments()
        return "coins leave by a hot wallet's payout processor, or when you sign them there"

    async def send_payout(self, payout: Payout, address: SecretStr) -> PayoutStatus:
        """See `PayoutProvider`."""
        pull_payments = await self._find_pull_payments(payout)
        if not pull_payments:
            await self._create_pull_payment(payout)
            pull_payments = await self._find_pull_payments(payout)
        for pull_payment, is_archived in pull_payments:
            status = await self._fetch_status(pull_payment, payout)
            if status is not None:
                return status
            if is_archived:
                raise GatewayUnavailable(NAME, _ARCHIVED_ADVICE)
        if not pull_payments:
            raise GatewayUnavailable(NAME)
        return await self._claim(pull_payments[0][0], payout, address)

    async def fetch_payout(self, payout: Payout) -> PayoutStatus:
        """See `PayoutProvider`."""
        status = await self._fetch_status(validate_id(payout.external_id), payout)
        if status is None:
            raise GatewayUnavailable(NAME, _ARCHIVED_ADVICE)
        return status

    def get_payout_url(self, payout: Payout) -> str:
        """See `PayoutProvider`."""
        return (
            f"{self._client.url}/pull-payments/{payout.external_id}" if payout.external_id else ""
        )

    async def close(self) -> None:
        """See `PayoutProvider`."""
        await self._client.close()

    async def _list_pull_payments(self) -> list[Mapping[str, Any]]:
        path, params = self._client.store_path("pull-payments"), {"includeArchived": "true"}
        pull_payments: list[Mapping[str, Any]] = await self._client.get(path, params)
        return pull_payments

    async def _find_pull_payments(self, payout: Payout) -> list[tuple[str, bool]]:
        """The pull payments of its name, and whether each is archived; the oldest first, so that
        of two, made by two processes at once, all choose the same."""
        pull_payments = await self._list_pull_payments()
        with translate_parse_errors(NAME):
            named = [one for one in pull_payments if one["name"] == payout.id]
            named.sort(key=lambda one: (int(one["startsAt"]), str(one["id"])))
            return [(validate_id(one["id"]), bool(one["archived"])) for one in named]

    async def _create_pull_payment(self, payout: Payout) -> None:
        body = {
            "name": payout.id,
            "amount": to_decimal_dollars(payout.cash),
            "currency": "USD",
            "payoutMethods": [_METHOD],
            # Whoever found its page could claim it there, but would have to be approved.
            "autoApproveClaims": False,
        }
        answer = await self._client.request(
            "POST", self._client.store_path("pull-payments"), body=body
        )
        if not answer.is_ok:
            raise _unavailable(answer)

    async def _claim(self, pull_payment: str, payout: Payout, address: SecretStr) -> PayoutStatus:
        body = {
            "destination": address.get_secret_value(),
            "amount": to_decimal_dollars(payout.cash),
            "payoutMethodId": _METHOD,
            "pullPaymentId": pull_payment,
            "approved": True,
            "metadata": {"payout": payout.id},
        }
        answer = await self._client.request("POST", self._client.store_path("payouts"), body=body)
        if answer.is_ok:
            with translate_parse_errors(NAME):
                return _to_status(answer.body, pull_payment)
        code = refusal_code(answer)
        if answer.status in {400, 422} and _PERMANENT_REFUSALS.issuperset(code.lower().split(",")):
            return PayoutStatus("failed", pull_payment, reason=code)
        if code == "duplicate-destination":  # one at a time goes to an address
            raise GatewayUnavailable(NAME)
        raise _unavailable(answer)

    async def _fetch_status(self, pull_payment: str, payout: Payout) -> PayoutStatus | None:
        """What became of a pull payment's one payout; None where there is none to be seen."""
        path = f"/api/v1/pull-payments/{pull_payment}/payouts"
        payouts = await self._client.get(path, {"includeCancelled": "true"})
        with translate_parse_errors(NAME):
            ours = [one for one in payouts if one["metadata"].get("payout") == payout.id]
            for found_payout in ours:
                if (
                    found_payout["originalCurrency"] != "USD"
                    or parse_usd(found_payout["originalAmount"]) != payout.cash
                ):
                    raise GatewayUnavailable(
                        NAME, f"payout {validate_id(found_payout['id'])} there isn't ours"
                    )
            not_cancelled = [one for one in ours if one["state"] != "Cancelled"]
            found = next(iter(not_cancelled or ours), None)
            return None if found is None else _to_status(found, pull_payment)


def _to_status(answer: Mapping[str, Any], pull_payment: str) -> PayoutStatus:
    """Nothing is paid before its transaction has the confirmations that the server wants."""
    if answer["state"] == "Completed":
        return PayoutStatus("paid", pull_payment)
    if answer["state"] == "Cancelled":
        return PayoutStatus("failed", pull_payment, reason="Cancelled")
    return PayoutStatus("pending", pull_payment)


def _unavailable(answer: GatewayResponse) -> GatewayUnavailable:
    return GatewayUnavailable(NAME, f"the server says {refusal_code(answer)}")
