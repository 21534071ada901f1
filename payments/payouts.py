"""Payouts: what an admin approved is given to its gateway, once, and followed until it arrived.

Whoever works on a payout claims it first, so no two do. It is marked as sent before the gateway
hears of it, and the gateway is told our id: so after any crash it is asked for the same one again,
and pays once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from pydantic import SecretStr

from core.clock import DAY_MS, Clock
from core.db.writes import Companion
from core.earnings.payout_methods import Addresses
from core.earnings.payouts import Method, NoAddress, Payout, PayoutMoved, WithdrawalsWait
from core.earnings.withdrawals import Withdrawals
from core.errors import Refusal, cause
from core.money import NanoUsd
from payments.types import GatewayUnavailable

_log = logging.getLogger(__name__)

#: Whoever has claimed a payout is done with it in this time, and nobody else claims it for longer.
_WORK_SECONDS: Final = 120
_CLAIM_MS: Final = 180_000
#: A gateway is asked again after this long; the pause doubles, up to the longest: while it is on
#: its way, and once it was paid.
_PAUSE_MS: Final = 20_000
_PAUSE_MAX_MS: Final = 3_600_000
_PAUSE_PAID_MAX_MS: Final = 12 * 3_600_000
#: Whoever can't be paid now is looked at again after this long.
_WAIT_MS: Final = 3_600_000
#: How long an admin who has just approved waits to see it sent.
_SOON_SECONDS: Final = 5

NO_FEE = NanoUsd(0)
_LOST = "where it goes can't be opened any more: reject it, and its person asks again"
_LOST_SENT = "where it goes can't be opened any more: look at the gateway whether it was paid"
_FORGOTTEN = "the gateway was asked so long ago that it may have forgotten: look whether it paid"


@dataclass(frozen=True, slots=True)
class Disbursed:
    """The status that a payout has at its gateway."""

    state: Literal["pending", "paid", "failed"]
    #: The gateway's own id of it.
    external: str
    #: What the gateway took for it, on top.
    fee: NanoUsd = NO_FEE
    #: Why it failed, in the gateway's code.
    reason: str = ""


class Disburser(Protocol):
    """A payout provider is a gateway that pays people."""

    @property
    def remembers_days(self) -> int:
        """So long it knows our id of a payout again; later it is never asked for the same one."""
        ...

    @property
    def watched_days(self) -> int:
        """So long after it was paid a payout may still come back; 0: never."""
        ...

    async def probe(self) -> str:
        """Checks that the account may pay people; gives what is doubtful, in words, empty when
        nothing is. Raises `GatewayUnavailable`, with what is wrong where that is known."""
        ...

    async def disburse(self, payout: Payout, address: SecretStr) -> Disbursed:
        """Pays, once for a payout's id however often it is asked. Raises `GatewayUnavailable`, with
        why where somebody has to do something."""
        ...

    async def disbursed(self, payout: Payout) -> Disbursed:
        """What became of one that it has. Raises as above."""
        ...

    def page(self, payout: Payout) -> str:
        """Where the operator sees it; empty where there is no such place."""
        ...

    async def close(self) -> None:
        """Closes its connections."""
        ...


class Payouts:
    """The service that sends payouts and follows them; they are paid by hand where no provider pays
    by that method."""

    def __init__(
        self,
        *,
        withdrawals: Withdrawals,
        addresses: Addresses,
        disbursers: Mapping[Method, Disburser],
        clock: Clock,
        paused: Callable[[], bool] = lambda: False,
    ) -> None:
        """While it is `is_paused` nothing is sent; what was sent is followed all the same."""
        self._withdrawals, self._addresses = withdrawals, addresses
        self._disbursers, self._clock, self._paused = disbursers, clock, paused

    def by_hand(self, payout: Payout) -> bool:
        """Whether an admin has to pay it, or already does."""
        begun = payout.state == "sent" and payout.due_at is None
        return begun or payout.method not in self._disbursers

    def page(self, payout: Payout) -> str:
        """Where the operator sees it at its gateway; empty where there is no such place."""
        return "" if self.by_hand(payout) else self._disbursers[payout.method].page(payout)

    async def work(self) -> None:
        """A job: releases what isn't to be paid any more, sends what was approved, asks after what
        was sent, and after what was paid and may come back."""
        await self._withdrawals.release_owing()
        silent: set[Method] = set()
        for one in await self._withdrawals.due(tuple(self._disbursers)):
            # One gateway that doesn't answer keeps no other's payouts waiting.
            if one.method not in silent and not await self._worked(one):
                silent.add(one.method)

    async def soon(self, payout: str) -> None:
        """Sends one that was approved just now, if its gateway is quick; else the job goes on."""
        one = await self._withdrawals.get(payout)
        if one.state == "approved" and not self.by_hand(one):
            try:
                async with asyncio.timeout(_SOON_SECONDS):
                    await self._worked(one)
            except (TimeoutError, Refusal) as failure:
                _log.info("%s is sent later: %s", one.id, cause(failure))

    async def begun_by_hand(self, payout: str, *, also: Sequence[Companion] = ()) -> Payout:
        """An admin is about to pay it: checked once more, and from here on it can't be cancelled.
        Raises `PayoutStateConflict`, `WithdrawalBlocked`."""
        one = await self._withdrawals.get(payout)
        if one.state != "approved" or not self.by_hand(one):
            raise PayoutMoved(payout)
        await self._withdrawals.may(await self._withdrawals.payee(one))
        return await self._withdrawals.sent(one, again_ms=None, also=also)

    async def paid_by_hand(self, payout: str, *, also: Sequence[Companion] = ()) -> None:
        """An admin has paid it, or has seen at its gateway that it is. Raises
        `PayoutStateConflict`."""
        one = await self._withdrawals.get(payout)
        if one.state != "sent":
            raise PayoutMoved(payout)
        await self._withdrawals.paid(one, fee=NO_FEE, external=one.external, also=also)

    async def close(self) -> None:
        """Closes the gateways' connections."""
        for disburser in self._disbursers.values():
            await disburser.close()

    # --- one of them ----------------------------------------------------------------------------

    async def _worked(self, one: Payout) -> bool:
        """False when its gateway doesn't answer."""
        now = self._clock.now_ms()
        claimed = await self._withdrawals.claimed(one, until_ms=now + _CLAIM_MS)
        if claimed is None:
            return True
        try:
            async with asyncio.timeout(_WORK_SECONDS):
                return await self._followed(claimed)
        except PayoutMoved:
            _log.info("%s was moved elsewhere", one.id)
        except Exception as failure:  # noqa: BLE001 - one's trouble is no other's
            _log.error("%s could not be followed: %s", one.id, cause(failure))
        return True

    async def _followed(self, one: Payout) -> bool:
        """Sends or checks a claimed payout. What its provider says is written while the claim
        holds. False when it doesn't answer."""
        if one.state == "approved":
            ready = await self._begun(one)
            if ready is None:
                return True
            one = ready
        try:
            told = await self._asked(one)
        except GatewayUnavailable as unavailable:
            _log.warning("%s: %s does not answer", one.id, one.method)
            again, why = self._again(one), unavailable.why
            await self._withdrawals.noted(one, external=one.external, again_ms=again, stuck=why)
            return bool(why)
        await self._told(one, told)
        return True

    async def _begun(self, one: Payout) -> Payout | None:
        """Marked as sent, once more checked; None where it can't be now."""
        if self._paused():
            await self._waits(one, "")
            return None
        try:
            await self._addresses.of(one)
            await self._withdrawals.may(await self._withdrawals.payee(one))
        except NoAddress:
            await self._waits(one, _LOST)
            return None
        except WithdrawalsWait as wait:
            # Approved it stays; whoever owes has it released.
            _log.info("%s waits: %s", one.id, wait.why)
            await self._waits(one, "")
            return None
        return await self._withdrawals.sent(one, again_ms=one.due_at)

    async def _waits(self, one: Payout, why: str) -> None:
        again = self._clock.now_ms() + _WAIT_MS
        await self._withdrawals.noted(one, external="", again_ms=again, stuck=why)

    async def _asked(self, one: Payout) -> Disbursed:
        """Raises `GatewayUnavailable`."""
        disburser = self._disbursers[one.method]
        if one.external:
            return await disburser.disbursed(one)
        if self._clock.now_ms() > one.state_at + disburser.remembers_days * DAY_MS:
            raise GatewayUnavailable(one.method, _FORGOTTEN)
        try:
            address = await self._addresses.of(one)
        except NoAddress:
            raise GatewayUnavailable(one.method, _LOST_SENT) from None
        return await disburser.disburse(one, address)

    async def _told(self, one: Payout, told: Disbursed) -> None:
        if told.state == "failed":
            await self._withdrawals.returned(one, reason=told.reason)
        elif one.state == "paid":
            await self._withdrawals.noted(one, external=one.external, again_ms=self._again(one))
        elif told.state == "paid":
            watched = self._disbursers[one.method].watched_days
            again = self._clock.now_ms() + _PAUSE_MS if watched else None
            await self._withdrawals.paid(one, fee=told.fee, external=told.external, again_ms=again)
        else:
            again = self._again(one)
            await self._withdrawals.noted(one, external=told.external, again_ms=again)

    def _again(self, one: Payout) -> int | None:
        """When it is to be asked about again; None: never."""
        now, pause = self._clock.now_ms(), _PAUSE_MS << min(one.tries, 20)
        if one.state != "paid":
            return now + min(_PAUSE_MAX_MS, pause)
        again = now + min(_PAUSE_PAID_MAX_MS, pause)
        over = one.state_at + self._disbursers[one.method].watched_days * DAY_MS
        return again if again <= over else None
