"""What the pool concludes from each call for a key; its owner hears of what lasts."""

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

#: The kind of the notice that a contributed key rests for long, and why.
KEY_RESTS = "key_rests"
#: Its owner hears of a rest that is this long.
LONG_SECONDS = 3_600.0
#: How much of a new time until the first text goes into what is remembered.
_NEWS = 0.2


class Conclusions:
    """Draws them."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys, self._clock = keys, clock

    async def blame(self, record: KeyRecord, fault: SupplierFault, attempt: Attempt) -> bool:
        """Of a fault; whether other processes must know."""
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
        """Of what is left of its limits: with nothing left the key rests until there is, without
        being asked in vain; and no more calls begin than its supplier takes."""
        now = self._clock.now_ms()
        if limits.left is not None:
            record.load.told(limits.left, now + round(limits.left_seconds * 1_000))
        if limits.wait_seconds > 0:
            until = now + round(limits.wait_seconds * 1_000)
            record.cooling_until = max(record.cooling_until, until)
            record.reason = Fault.THROTTLED.value

    async def ended_well(self, record: KeyRecord, circuit: Circuit, attempt: Attempt) -> None:
        """Of an answer that came to its end."""
        circuit.worked()
        if attempt.began_ms <= record.blamed_at:
            return
        record.failures, record.refused, record.load.doubted = 0, None, False
        if record.state in {"cooling", "parked"}:
            with contextlib.suppress(LedgerRefusal):
                await self._keys.change(record, "active")

    def _told(self, record: KeyRecord, verdict: Verdict, now: int) -> Sequence[Companion]:
        """That it is dead its owner hears when it has ended, with what became of its Credits."""
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
    """Of an answer's first text, and how long it took."""
    circuit.worked()
    if attempt.began_ms > record.blamed_at:
        record.load.doubted = False
    before = record.first_text_ms or seconds * 1_000
    record.first_text_ms = before + (seconds * 1_000 - before) * _NEWS
