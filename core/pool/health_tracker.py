"""Tracks keys' health by the outcome of each call; a contributor is notified of long cooldowns."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from core.clock import Clock
from core.db.writes import Companion
from core.ledger.types import LedgerRefusal
from core.notification import notice
from core.pool import health
from core.pool.health import Attempt, Circuit, Verdict
from core.pool.keys import Keys
from core.pool.providers.types import Fault, Limits, SupplierFault
from core.pool.types import KeyRecord

_log = logging.getLogger(__name__)

#: The kind of the notification that a contributed key cools down for long, and why.
KEY_RESTS = "key_rests"
#: Its contributor is notified of a cooldown of so many seconds or more.
LONG_SECONDS = 3_600.0
#: The weight of a new time until the first token in the average that is remembered.
_NEWS = 0.2


class Conclusions:
    """The health tracker updates keys' health after each call, in memory and, where it lasts, in
    the key's row."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys, self._clock = keys, clock

    async def blame(self, record: KeyRecord, fault: SupplierFault, attempt: Attempt) -> bool:
        """Records a fault of a call; whether the key's row was changed, for other processes to
        know."""
        now = self._clock.now_ms()
        record.last_error = str(fault)
        if fault.fault is Fault.MODEL_MISSING and attempt.model:
            record.missing[attempt.model] = now + round(health.MISSING_SECONDS * 1_000)
        verdict = health.judged(record, fault, attempt, now)
        if verdict is None or record.state == "paused":
            return False
        _log.warning("key %s …%s: %s: %s", record.id, record.tail, verdict.state, fault)
        record.cooling_until = max(record.cooling_until, verdict.until_ms)
        if not verdict.lasting:
            record.reason = verdict.reason
            return False
        until = record.cooling_until if verdict.state != "dead" else 0
        told = self._told(record, verdict, now)
        with contextlib.suppress(LedgerRefusal):
            await self._keys.change(
                record, verdict.state, verdict.reason, until_ms=until, also=told
            )
        return True

    def paced(self, record: KeyRecord, limits: Limits) -> None:
        """Records what is left of a key's rate limits: no more calls begin than its supplier takes,
        and with nothing left the key cools down until there is, without being called in vain."""
        now = self._clock.now_ms()
        if limits.left is not None:
            record.load.told(limits.left, now + round(limits.left_seconds * 1_000))
        if limits.wait_seconds > 0:
            until = now + round(limits.wait_seconds * 1_000)
            record.cooling_until = max(record.cooling_until, until)
            record.reason = Fault.THROTTLED.value

    async def ended_well(self, record: KeyRecord, circuit: Circuit, attempt: Attempt) -> None:
        """Records that an answer came to its end."""
        circuit.worked()
        if attempt.began_ms <= record.blamed_at:
            return
        record.failures, record.refused, record.load.doubted = 0, None, False
        if record.state in {"cooling", "parked"}:
            with contextlib.suppress(LedgerRefusal):
                await self._keys.change(record, "active")

    def _told(self, record: KeyRecord, verdict: Verdict, now: int) -> Sequence[Companion]:
        """The contributor's notification of a long cooldown. Of a dead key they are notified when
        the contribution has ended, with what became of its Credits."""
        rests = (verdict.until_ms - now) / 1_000
        if record.owner is None or record.state == verdict.state or rests < LONG_SECONDS:
            return ()
        facts = {"supplier": record.provider, "tail": record.tail, "state": verdict.state}
        return (
            notice(
                self._clock,
                cause_id=f"key/{record.id}/{verdict.state}/{now}",
                person=record.owner,
                kind=KEY_RESTS,
                facts=facts,
            ),
        )


def began_well(record: KeyRecord, circuit: Circuit, attempt: Attempt, seconds: float) -> None:
    """Records that an answer began, after so many seconds."""
    circuit.worked()
    if attempt.began_ms > record.blamed_at:
        record.load.doubted = False
    before = record.first_text_ms or seconds * 1_000
    record.first_text_ms = before + (seconds * 1_000 - before) * _NEWS
