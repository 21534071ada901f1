"""Payouts: what an admin approved is given to its gateway, once, and followed until it arrived.

A payout is marked as sent before the gateway hears of it, and the gateway is told our id: so after
any crash it is asked for the same one again, and pays once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import SecretStr

from core.clock import Clock
from core.earning import Addresses, Method, Payout, PayoutMoved, Withdrawals
from core.trace import cause
from core.units import NanoUsd
from payments.types import GatewayUnavailable

_log = logging.getLogger(__name__)

#: A gateway is asked again after this long; the pause doubles, up to the longest.
_PAUSE_MS, _PAUSE_MAX_MS = 20_000, 3_600_000

NO_FEE = NanoUsd(0)


@dataclass(frozen=True, slots=True)
class Disbursed:
    """Where a payout stands at its gateway."""

    state: Literal["pending", "paid", "failed"]
    #: The gateway's own id of it.
    external: str
    #: What the gateway took for it, on top.
    fee: NanoUsd = NO_FEE
    #: Why it failed, in the gateway's code.
    reason: str = ""


class Disburser(Protocol):
    """A gateway that pays people."""

    async def disburse(self, payout: Payout, address: SecretStr) -> Disbursed:
        """Pays, once for a payout's id however often it is asked. Raises `GatewayUnavailable`."""
        ...

    async def disbursed(self, payout: Payout) -> Disbursed:
        """What became of one that it has. Raises `GatewayUnavailable`."""
        ...


class Payouts:
    """Sends and follows; by hand where no gateway pays by that method."""

    def __init__(
        self,
        *,
        withdrawals: Withdrawals,
        addresses: Addresses,
        disbursers: Mapping[Method, Disburser],
        clock: Clock,
    ) -> None:
        self._withdrawals, self._addresses = withdrawals, addresses
        self._disbursers, self._clock = disbursers, clock

    def by_hand(self, payout: Payout) -> bool:
        """Whether an admin has to pay it."""
        return payout.method not in self._disbursers

    async def work(self) -> None:
        """A chore: sends what was approved, asks after what was sent."""
        for one in await self._withdrawals.due():
            if self.by_hand(one):
                continue
            try:
                await self._follow(one)
            except PayoutMoved:
                _log.info("%s was moved elsewhere", one.id)
            except Exception as failure:  # noqa: BLE001 - one's trouble is no other's
                _log.error("%s could not be followed: %s", one.id, cause(failure))

    async def paid_by_hand(self, payout: str) -> None:
        """An admin has paid it. Raises `PayoutMoved`."""
        one = await self._withdrawals.get(payout)
        if one.state == "approved":
            one = await self._withdrawals.sent(one, again_ms=None)
        await self._withdrawals.paid(one, fee=NO_FEE, external="")

    async def _follow(self, one: Payout) -> None:
        again = self._clock.now_ms() + min(_PAUSE_MAX_MS, _PAUSE_MS << min(one.tries, 20))
        if one.state == "approved":
            one = await self._withdrawals.sent(one, again_ms=again)
        disburser = self._disbursers[one.method]
        try:
            told = (
                await disburser.disbursed(one)
                if one.external
                else await disburser.disburse(one, await self._addresses.of(one))
            )
        except GatewayUnavailable:
            _log.warning("%s: %s does not answer", one.id, one.method)
            await self._withdrawals.noted(one, external=one.external, again_ms=again)
            return
        if told.state == "paid":
            await self._withdrawals.paid(one, fee=told.fee, external=told.external)
        elif told.state == "failed":
            await self._withdrawals.returned(one, reason=told.reason)
        else:
            await self._withdrawals.noted(one, external=told.external, again_ms=again)
