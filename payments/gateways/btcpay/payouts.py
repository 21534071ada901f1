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
from core.money import usd
from payments.gateways.btcpay.client import NAME, BtcPayApi, id_of, refusal
from payments.gateways.http import Answer, understood
from payments.offer import dollars
from payments.payouts import Disbursed
from payments.types import GatewayUnavailable

#: Bitcoin on the chain.
_WAY: Final = "BTC-CHAIN"
#: What the key must be allowed, and what allows it too (the server's own hierarchy).
PERMISSIONS: Final[Mapping[str, Collection[str]]] = {
    "btcpay.store.cancreatepullpayments": ("btcpay.store.canmanagepullpayments",),
}
#: What can't work by asking again, as the server names it: a refusal's code, or the field of ours
#: that it didn't like.
_NEVER: Final = frozenset({"amount-too-low", "destination", "amount"})
#: The server doesn't tell what is behind archived ones.
_ARCHIVED: Final = "its pull payment was archived: look there whether it was paid"


@final
class BtcPayPayouts:
    """The payout provider that pays in bitcoin, by a BTCPay Server."""

    #: A pull payment is kept for good, and so is its name.
    remembers_days = 3_650
    watched_days = 0

    def __init__(self, *, url: str, store_id: str, key: SecretStr) -> None:
        self._api = BtcPayApi(url=url, store_id=store_id, key=key)

    async def probe(self) -> str:
        """See `PayoutProvider`."""
        await self._api.allowed(PERMISSIONS)
        await self._pulls()
        return "coins leave by a hot wallet's payout processor, or when you sign them there"

    async def disburse(self, payout: Payout, address: SecretStr) -> Disbursed:
        """See `PayoutProvider`."""
        ours = await self._ours(payout)
        if not ours:
            await self._make(payout)
            ours = await self._ours(payout)
        for pull, archived in ours:
            stands = await self._stands(pull, payout)
            if stands is not None:
                return stands
            if archived:
                raise GatewayUnavailable(NAME, _ARCHIVED)
        if not ours:
            raise GatewayUnavailable(NAME)
        return await self._claimed(ours[0][0], payout, address)

    async def disbursed(self, payout: Payout) -> Disbursed:
        """See `PayoutProvider`."""
        stands = await self._stands(id_of(payout.external), payout)
        if stands is None:
            raise GatewayUnavailable(NAME, _ARCHIVED)
        return stands

    def page(self, payout: Payout) -> str:
        """See `PayoutProvider`."""
        return f"{self._api.url}/pull-payments/{payout.external}" if payout.external else ""

    async def close(self) -> None:
        """See `PayoutProvider`."""
        await self._api.close()

    async def _pulls(self) -> list[Mapping[str, Any]]:
        path, params = self._api.path("pull-payments"), {"includeArchived": "true"}
        pulls: list[Mapping[str, Any]] = await self._api.got(path, params)
        return pulls

    async def _ours(self, payout: Payout) -> list[tuple[str, bool]]:
        """The pull payments of its name, and whether each is archived; the oldest first, so that
        of two, made by two processes at once, all choose the same."""
        pulls = await self._pulls()
        with understood(NAME):
            named = [one for one in pulls if one["name"] == payout.id]
            named.sort(key=lambda one: (int(one["startsAt"]), str(one["id"])))
            return [(id_of(one["id"]), bool(one["archived"])) for one in named]

    async def _make(self, payout: Payout) -> None:
        asked = {
            "name": payout.id,
            "amount": dollars(payout.cash),
            "currency": "USD",
            "payoutMethods": [_WAY],
            # Whoever found its page could claim it there, but would have to be approved.
            "autoApproveClaims": False,
        }
        answer = await self._api.asked("POST", self._api.path("pull-payments"), body=asked)
        if not answer.fine:
            raise _unavailable(answer)

    async def _claimed(self, pull: str, payout: Payout, address: SecretStr) -> Disbursed:
        asked = {
            "destination": address.get_secret_value(),
            "amount": dollars(payout.cash),
            "payoutMethodId": _WAY,
            "pullPaymentId": pull,
            "approved": True,
            "metadata": {"payout": payout.id},
        }
        answer = await self._api.asked("POST", self._api.path("payouts"), body=asked)
        if answer.fine:
            with understood(NAME):
                return _as_told(answer.body, pull)
        code = refusal(answer)
        if answer.status in {400, 422} and _NEVER.issuperset(code.lower().split(",")):
            return Disbursed("failed", pull, reason=code)
        if code == "duplicate-destination":  # one at a time goes to an address
            raise GatewayUnavailable(NAME)
        raise _unavailable(answer)

    async def _stands(self, pull: str, payout: Payout) -> Disbursed | None:
        """What became of a pull payment's one payout; None where there is none to be seen."""
        path = f"/api/v1/pull-payments/{pull}/payouts"
        told = await self._api.got(path, {"includeCancelled": "true"})
        with understood(NAME):
            ours = [one for one in told if one["metadata"].get("payout") == payout.id]
            for one in ours:
                if one["originalCurrency"] != "USD" or usd(one["originalAmount"]) != payout.cash:
                    raise GatewayUnavailable(NAME, f"payout {id_of(one['id'])} there isn't ours")
            alive = [one for one in ours if one["state"] != "Cancelled"]
            found = next(iter(alive or ours), None)
            return None if found is None else _as_told(found, pull)


def _as_told(said: Mapping[str, Any], pull: str) -> Disbursed:
    """Nothing is paid before its transaction has the confirmations that the server wants."""
    if said["state"] == "Completed":
        return Disbursed("paid", pull)
    if said["state"] == "Cancelled":
        return Disbursed("failed", pull, reason="Cancelled")
    return Disbursed("pending", pull)


def _unavailable(answer: Answer) -> GatewayUnavailable:
    return GatewayUnavailable(NAME, f"the server says {refusal(answer)}")
