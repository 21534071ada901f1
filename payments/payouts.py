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
from core.earnings.payout_methods import PayoutMethods
from core.earnings.payouts import (
    NoPayoutAddress,
    Payout,
    PayoutMethod,
    PayoutStateConflict,
    WithdrawalBlocked,
)
from core.earnings.withdrawals import Withdrawals
from core.errors import Refusal, describe_failure
from core.money import NanoUsd
from payments.types import GatewayUnavailable

_log = logging.getLogger(__name__)

#: Whoever has claimed a payout is done with it in this time, and nobody else claims it for longer.
_PROCESSING_SECONDS_MAX: Final = 120
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
#: Stands before the gateway's id of an attempt that came to nothing while the payout waits for
#: another one.
UNFUNDED_PREFIX: Final = "unfunded/"
_ADDRESS_LOST = "where it goes can't be opened any more: reject it, and its person asks again"
_ADDRESS_LOST_AFTER_SENDING = (
    "where it goes can't be opened any more: look at the gateway whether it was paid"
)
_TOO_LATE_TO_REPEAT = (
    "the gateway was asked so long ago that it may have forgotten: look whether it paid"
)


@dataclass(frozen=True, slots=True)
class PayoutStatus:
    """The status that a payout has at its gateway."""

    #: `unfunded`: it came to nothing for the operator's own account, and can be sent anew.
    state: Literal["pending", "paid", "failed", "unfunded"]
    #: The gateway's own id of it.
    external_id: str
    #: What the gateway took for it, on top.
    fee: NanoUsd = NO_FEE
    #: Why it failed, in the gateway's code; why it is unfunded, or was before, in words for the
    #: operator.
    reason: str = ""


class PayoutProvider(Protocol):
    """A payout provider is a gateway that pays people."""

    @property
    def idempotency_days(self) -> int:
        """So long it knows our id of a payout again; later it is never asked for the same one."""
        ...

    @property
    def return_window_days(self) -> int:
        """So long after it was paid a payout may still come back; 0: never."""
        ...

    async def check_account(self) -> str:
        """Checks that the account may pay people; gives what is doubtful, in words, empty when
        nothing is. Raises `GatewayUnavailable`, with what is wrong where that is known."""
        ...

    async def send_payout(self, payout: Payout, address: SecretStr) -> PayoutStatus:
        """Pays, once for a payout's id however often it is asked; where its `external_id` is an
        unfunded attempt, once more after that one. Raises `GatewayUnavailable`, with why where
        somebody has to do something."""
        ...

    async def fetch_payout(self, payout: Payout) -> PayoutStatus:
        """What became of one that it has. Raises as above."""
        ...

    def get_payout_url(self, payout: Payout) -> str:
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
        payout_methods: PayoutMethods,
        providers: Mapping[PayoutMethod, PayoutProvider],
        clock: Clock,
        is_paused: Callable[[], bool] = lambda: False,
    ) -> None:
        """While it is `is_paused` nothing is sent; what was sent is followed all the same."""
        self._withdrawals, self._payout_methods = withdrawals, payout_methods
        self._providers, self._clock, self._is_paused = providers, clock, is_paused

    def is_manual(self, payout: Payout) -> bool:
        """Whether an admin has to pay it, or already does."""
        is_begun = payout.state == "sent" and payout.due_at is None
        return is_begun or payout.method not in self._providers

    def get_payout_url(self, payout: Payout) -> str:
        """Where the operator sees it at its gateway; empty where there is no such place."""
        return (
            "" if self.is_manual(payout) else self._providers[payout.method].get_payout_url(payout)
        )

    async def process_due_payouts(self) -> None:
        """A job: releases what isn't to be paid any more, sends what was approved, asks after what
        was sent, and after what was paid and may come back."""
        await self._withdrawals.cancel_for_debtors()
        silent_methods: set[PayoutMethod] = set()
        for payout in await self._withdrawals.list_due(tuple(self._providers)):
            # One gateway that doesn't answer keeps no other's payouts waiting.
            if payout.method not in silent_methods and not await self._process(payout):
                silent_methods.add(payout.method)

    async def try_send_now(self, payout_id: str) -> None:
        """Sends one that was approved just now, if its gateway is quick; else the job goes on."""
        payout = await self._withdrawals.get(payout_id)
        if payout.state == "approved" and not self.is_manual(payout):
            try:
                async with asyncio.timeout(_SOON_SECONDS):
                    await self._process(payout)
            except (TimeoutError, Refusal) as failure:
                _log.info("%s is sent later: %s", payout.id, describe_failure(failure))

    async def begin_manual_payment(
        self, payout_id: str, *, also: Sequence[Companion] = ()
    ) -> Payout:
        """An admin is about to pay it: checked once more, and from here on it can't be cancelled.
        Raises `PayoutStateConflict`, `WithdrawalBlocked`."""
        payout = await self._withdrawals.get(payout_id)
        if payout.state != "approved" or not self.is_manual(payout):
            raise PayoutStateConflict(payout_id)
        await self._withdrawals.check_may_withdraw(await self._withdrawals.find_payee(payout))
        return await self._withdrawals.mark_sent(payout, next_check_ms=None, companions=also)

    async def confirm_manual_payment(
        self, payout_id: str, *, also: Sequence[Companion] = ()
    ) -> None:
        """An admin has paid it, or has seen at its gateway that it is. Raises
        `PayoutStateConflict`."""
        payout = await self._withdrawals.get(payout_id)
        if payout.state != "sent":
            raise PayoutStateConflict(payout_id)
        await self._withdrawals.mark_paid(
            payout, fee=NO_FEE, external_id=payout.external_id, companions=also
        )

    async def close(self) -> None:
        """Closes the gateways' connections."""
        for provider in self._providers.values():
            await provider.close()

    # --- one of them ----------------------------------------------------------------------------

    async def _process(self, payout: Payout) -> bool:
        """False when its gateway doesn't answer."""
        now = self._clock.now_ms()
        claimed = await self._withdrawals.claim_payout(payout, until_ms=now + _CLAIM_MS)
        if claimed is None:
            return True
        try:
            async with asyncio.timeout(_PROCESSING_SECONDS_MAX):
                return await self._follow(claimed)
        except PayoutStateConflict:
            _log.info("%s was moved elsewhere", payout.id)
        except Exception as failure:  # noqa: BLE001 - one's trouble is no other's
            _log.error("%s could not be followed: %s", payout.id, describe_failure(failure))
        return True

    async def _follow(self, payout: Payout) -> bool:
        """Sends or checks a claimed payout. What its provider says is written while the claim
        holds. False when it doesn't answer."""
        if payout.state == "approved":
            sent = await self._mark_sent(payout)
            if sent is None:
                return True
            payout = sent
        try:
            status = await self._ask_provider(payout)
        except GatewayUnavailable as unavailable:
            _log.warning("%s: %s does not answer", payout.id, payout.method)
            check_at_ms, reason = self._next_check_ms(payout), unavailable.detail
            await self._withdrawals.schedule_check(
                payout,
                external_id=payout.external_id,
                next_check_ms=check_at_ms,
                stuck_reason=reason,
            )
            return bool(reason)
        await self._apply_status(payout, status)
        return True

    async def _mark_sent(self, payout: Payout) -> Payout | None:
        """Marked as sent, once more checked; None where it can't be now."""
        if self._is_paused():
            await self._postpone(payout, "")
            return None
        try:
            await self._payout_methods.get_address(payout)
            await self._withdrawals.check_may_withdraw(await self._withdrawals.find_payee(payout))
        except NoPayoutAddress:
            await self._postpone(payout, _ADDRESS_LOST)
            return None
        except WithdrawalBlocked as wait:
            # Approved it stays; whoever owes has it released.
            _log.info("%s waits: %s", payout.id, wait.reason)
            await self._postpone(payout, "")
            return None
        return await self._withdrawals.mark_sent(payout, next_check_ms=payout.due_at)

    async def _postpone(self, payout: Payout, reason: str) -> None:
        check_at_ms = self._clock.now_ms() + _WAIT_MS
        await self._withdrawals.schedule_check(
            payout, external_id="", next_check_ms=check_at_ms, stuck_reason=reason
        )

    async def _ask_provider(self, payout: Payout) -> PayoutStatus:
        """Raises `GatewayUnavailable`."""
        provider = self._providers[payout.method]
        if payout.external_id and not payout.external_id.startswith(UNFUNDED_PREFIX):
            return await provider.fetch_payout(payout)
        if self._clock.now_ms() > payout.state_at + provider.idempotency_days * DAY_MS:
            raise GatewayUnavailable(payout.method, _TOO_LATE_TO_REPEAT)
        try:
            address = await self._payout_methods.get_address(payout)
        except NoPayoutAddress:
            raise GatewayUnavailable(payout.method, _ADDRESS_LOST_AFTER_SENDING) from None
        return await provider.send_payout(payout, address)

    async def _apply_status(self, payout: Payout, status: PayoutStatus) -> None:
        if status.state == "failed":
            await self._withdrawals.mark_returned(payout, reason=status.reason)
        elif status.state == "unfunded" and payout.state == "sent":
            # Its person waits: they can do nothing about it, the operator can.
            await self._withdrawals.schedule_check(
                payout,
                external_id=f"{UNFUNDED_PREFIX}{status.external_id}",
                next_check_ms=self._clock.now_ms() + _WAIT_MS,
                stuck_reason=status.reason,
            )
        elif payout.state == "paid":
            await self._withdrawals.schedule_check(
                payout, external_id=payout.external_id, next_check_ms=self._next_check_ms(payout)
            )
        elif status.state == "paid":
            window_days = self._providers[payout.method].return_window_days
            check_at_ms = self._clock.now_ms() + _PAUSE_MS if window_days else None
            await self._withdrawals.mark_paid(
                payout, fee=status.fee, external_id=status.external_id, next_check_ms=check_at_ms
            )
        else:
            check_at_ms = self._next_check_ms(payout)
            await self._withdrawals.schedule_check(
                payout,
                external_id=status.external_id,
                next_check_ms=check_at_ms,
                stuck_reason=status.reason,
            )

    def _next_check_ms(self, payout: Payout) -> int | None:
        """When it is to be asked about again; None: never."""
        now, pause = self._clock.now_ms(), _PAUSE_MS << min(payout.attempts, 20)
        if payout.state != "paid":
            return now + min(_PAUSE_MAX_MS, pause)
        check_at_ms = now + min(_PAUSE_PAID_MAX_MS, pause)
        window_ends_ms = (
            payout.state_at + self._providers[payout.method].return_window_days * DAY_MS
        )
        return check_at_ms if check_at_ms <= window_ends_ms else None
