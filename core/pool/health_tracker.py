"""Tracks keys' health by the outcome of each call; a contributor is notified of long cooldowns."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

from core.clock import Clock
from core.db.writes import Companion
from core.ledger.types import LedgerRefusal
from core.notification import notification_row
from core.pool import health
from core.pool.health import Attempt, Circuit, KeyVerdict
from core.pool.keys import KeyRepository
from core.pool.providers.types import Fault, RateLimitInfo, SupplierFault
from core.pool.types import KeyRecord, MinuteLimit, ModelRest

_log = logging.getLogger(__name__)

#: The kind of the notification that a contributed key cools down for long, and why.
KEY_COOLDOWN = "key_rests"
#: Its contributor is notified of a cooldown of so many seconds or more.
LONG_COOLDOWN_SECONDS = 3_600.0
#: The weight of a new time until the first token in the average that is remembered.
_SMOOTHING = 0.2


class HealthTracker:
    """The health tracker updates keys' health after each call, in memory and, where it lasts, in
    the key's row."""

    def __init__(self, keys: KeyRepository, clock: Clock) -> None:
        self._keys, self._clock = keys, clock

    async def record_failure(
        self, record: KeyRecord, fault: SupplierFault, attempt: Attempt
    ) -> bool:
        """Records a fault of a call; whether the key's row was changed, for other processes to
        know."""
        now = self._clock.now_ms()
        record.last_error = str(fault)
        if attempt.proves_missing(fault):
            record.missing_models[attempt.model] = now + round(health.MISSING_MODEL_SECONDS * 1_000)
        if fault.excess is not None and attempt.model:
            until_ms = now + round(health.MINUTE_LIMIT_SECONDS * 1_000)
            record.minute_limits[attempt.model] = MinuteLimit(fault.excess.limit, until_ms)
        if (rest := health.rest_model(record, fault, attempt, now)) is not None:
            record.resting_models[attempt.model] = rest
            return False
        verdict = health.judge_fault(record, fault, attempt, now)
        if verdict is None or record.state == "paused":
            return False
        _log.warning("key %s …%s: %s: %s", record.id, record.tail, verdict.state, fault)
        record.cooling_until = max(record.cooling_until, verdict.until_ms)
        if not verdict.is_lasting:
            record.reason = verdict.reason
            return False
        until = record.cooling_until if verdict.state != "dead" else 0
        notifications = self._notify_contributor(record, verdict, now)
        with contextlib.suppress(LedgerRefusal):
            await self._keys.change_state(
                record, verdict.state, verdict.reason, until_ms=until, also=notifications
            )
        return True

    def record_rate_limit(self, record: KeyRecord, limits: RateLimitInfo, attempt: Attempt) -> None:
        """Records what is left of a key's rate limits: no more calls begin than its supplier takes,
        and with nothing left the key cools down until there is, without being called in vain; for
        the model alone where limits are each model's."""
        now = self._clock.now_ms()
        if attempt.limits_each_model:
            if limits.wait_seconds > 0:
                until = now + round(limits.wait_seconds * 1_000)
                record.resting_models[attempt.model] = ModelRest(until, failures=0)
            return
        if limits.requests_left is not None:
            record.load.update_requests_left(
                limits.requests_left, now + round(limits.reset_seconds * 1_000)
            )
        if limits.wait_seconds > 0:
            until = now + round(limits.wait_seconds * 1_000)
            record.cooling_until = max(record.cooling_until, until)
            record.reason = Fault.RATE_LIMITED.value

    async def record_success(self, record: KeyRecord, circuit: Circuit, attempt: Attempt) -> None:
        """Records that an answer came to its end."""
        circuit.record_success()
        rest = record.resting_models.get(attempt.model)
        if rest is not None and rest.failures and rest.until_ms <= self._clock.now_ms():
            del record.resting_models[attempt.model]
        if attempt.began_ms <= record.last_fault_at:
            return
        record.failures, record.rejection, record.load.is_doubted = 0, None, False
        if record.state in {"cooling", "parked"}:
            with contextlib.suppress(LedgerRefusal):
                await self._keys.change_state(record, "active")

    def _notify_contributor(
        self, record: KeyRecord, verdict: KeyVerdict, now: int
    ) -> Sequence[Companion]:
        """The contributor's notification of a long cooldown. Of a dead key they are notified when
        the contribution has ended, with what became of its Credits."""
        cooldown_seconds = (verdict.until_ms - now) / 1_000
        if (
            record.contributor is None
            or record.state == verdict.state
            or cooldown_seconds < LONG_COOLDOWN_SECONDS
        ):
            return ()
        facts = {"supplier": record.provider, "tail": record.tail, "state": verdict.state}
        return (
            notification_row(
                self._clock,
                cause_id=f"key/{record.id}/{verdict.state}/{now}",
                person=record.contributor,
                kind=KEY_COOLDOWN,
                facts=facts,
            ),
        )


def record_first_token(
    record: KeyRecord, circuit: Circuit, attempt: Attempt, seconds: float
) -> None:
    """Records that an answer began, after so many seconds."""
    circuit.record_success()
    if attempt.began_ms > record.last_fault_at:
        record.load.is_doubted = False
    before = record.first_text_ms or seconds * 1_000
    record.first_text_ms = before + (seconds * 1_000 - before) * _SMOOTHING
