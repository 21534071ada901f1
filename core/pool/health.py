"""The rules of health: cooldowns that grow, a circuit for each supplier, when a key is dead.

Plain rules over values; `HealthTracker` and the pool carry them out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.pool.providers.types import Fault, SupplierFault
from core.pool.types import KeyRecord, KeyRejection, ModelRest

#: The first cooldown after a fault; it doubles with each further fault, up to the longest.
FIRST_COOLDOWN_SECONDS: Mapping[Fault, float] = {
    Fault.RATE_LIMITED: 4.0,
    Fault.UNAVAILABLE: 1.0,
    Fault.NETWORK: 1.0,
    Fault.TIMEOUT: 2.0,
}
COOLDOWN_MAX_SECONDS = 300.0
#: A refused key cools down so long; then a call of another path checks it again.
RECHECK_SECONDS = 30.0
#: Two refusals to calls of the same path are believed when they are so far apart.
SAME_PATH_RECHECK_SECONDS = 600.0
#: A key without money is tried again after so long: somebody may have paid.
PARKED_SECONDS = 6 * 3_600.0
#: That a key can't use a model is believed so long.
MISSING_MODEL_SECONDS = 3_600.0
#: That a key's minute is too small for a request is believed so long: its owner may pay for more.
MINUTE_LIMIT_SECONDS = 86_400.0

#: Faults in a row, of any of its keys, that open a supplier's circuit, and for how long at first.
CIRCUIT_FAULTS = 5
CIRCUIT_SECONDS = 15.0

#: The kind of a call: for an answer, or for the list of models.
CallPath = Literal["answer", "list"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt is a call whose outcome is recorded: its path, when it began (milliseconds UTC),
    and the supplier's model that it asked for (empty: none)."""

    path: CallPath
    began_ms: int
    model: str = ""
    #: Whether the supplier's limits are each model's.
    limits_each_model: bool = False
    #: Whether pictures were sent, which may be what is refused.
    has_pictures: bool = False

    def proves_missing(self, fault: SupplierFault) -> bool:
        """Whether a fault shows that the key can't use the model. With pictures only a code does:
        some answer a bare 404 where the model is there but doesn't see."""
        is_missing = fault.kind is Fault.MODEL_MISSING and bool(self.model)
        return is_missing and (bool(fault.code) or not self.has_pictures)


_SUPPLIER_FAULTS = frozenset({Fault.UNAVAILABLE, Fault.NETWORK, Fault.TIMEOUT})


@dataclass(frozen=True, slots=True)
class KeyVerdict:
    """A verdict says what becomes of a key after a fault: its state, why, and until when it cools
    down."""

    state: Literal["active", "cooling", "parked", "dead"]
    reason: str
    until_ms: int
    #: Whether other processes must know: then it goes into the key's row.
    is_lasting: bool


def judge_fault(
    record: KeyRecord, fault: SupplierFault, attempt: Attempt, now_ms: int
) -> KeyVerdict | None:
    """The verdict on a key after a fault, which its record is updated by; None when the fault isn't
    the key's. Calls that ran already at its last fault say nothing new, however many they are."""
    if fault.kind is Fault.INVALID_KEY:
        verdict = _judge_refusal(record, attempt, now_ms)
    elif fault.kind is Fault.NO_FUNDS:
        wait = max(fault.retry_after or 0.0, PARKED_SECONDS)
        verdict = KeyVerdict("parked", "no money", now_ms + _to_ms(wait), is_lasting=True)
    elif fault.kind in FIRST_COOLDOWN_SECONDS:
        verdict = _judge_failure(record, fault, attempt, now_ms)
    else:
        verdict = None
    if verdict is not None:
        record.last_fault_at, record.load.is_doubted = now_ms, True
    return verdict


def _judge_failure(
    record: KeyRecord, fault: SupplierFault, attempt: Attempt, now_ms: int
) -> KeyVerdict | None:
    is_new = attempt.began_ms > record.last_fault_at
    if not is_new and fault.retry_after is None:
        return None
    record.failures += is_new
    cooldown = _cooldown_seconds(fault, record.failures)
    reason = fault.kind.value
    return KeyVerdict(
        "cooling", reason, now_ms + _to_ms(cooldown), is_lasting=cooldown >= RECHECK_SECONDS
    )


def _judge_refusal(record: KeyRecord, attempt: Attempt, now_ms: int) -> KeyVerdict | None:
    before = record.rejection
    if before is None:
        record.rejection = KeyRejection(now_ms, attempt.path)
        until = now_ms + _to_ms(RECHECK_SECONDS)
        return KeyVerdict("cooling", "refused", until, is_lasting=True)
    if attempt.began_ms <= before.at_ms:
        return None
    seconds = (now_ms - before.at_ms) / 1_000
    if seconds >= (RECHECK_SECONDS if before.path != attempt.path else SAME_PATH_RECHECK_SECONDS):
        return KeyVerdict("dead", "refused twice", 0, is_lasting=True)
    until = now_ms + _to_ms(RECHECK_SECONDS * 10)
    return KeyVerdict("cooling", "refused", until, is_lasting=True)


def rest_model(
    record: KeyRecord, fault: SupplierFault, attempt: Attempt, now_ms: int
) -> ModelRest | None:
    """How long a key rests for one model after a limit of that model alone; None when the fault is
    another."""
    is_of_model = fault.is_of_model or attempt.limits_each_model
    if fault.kind is not Fault.RATE_LIMITED or not attempt.model or not is_of_model:
        return None
    before = record.resting_models.get(attempt.model, ModelRest(0, 0))
    failures = before.failures + 1
    return ModelRest(now_ms + _to_ms(_cooldown_seconds(fault, failures)), failures)


def _cooldown_seconds(fault: SupplierFault, failures: int) -> float:
    grown = FIRST_COOLDOWN_SECONDS[fault.kind] * 2.0 ** min(failures - 1, 10)
    # Jitter only lengthens what a supplier asked for; a cooldown of our own may be shorter, too.
    spread = 1.0 + random.random() / 4  # noqa: S311 - no secret
    if fault.retry_after is not None:
        return max(fault.retry_after, 0.5) * spread
    return min(grown, COOLDOWN_MAX_SECONDS) * spread * 0.8


@dataclass(slots=True)
class Circuit:
    """A supplier's circuit is closed, or open until a time; then one call at a time tries the
    supplier again."""

    consecutive_faults: int = 0
    opened_at: int = 0
    open_until: int = 0
    in_flight: int = 0

    def allows_call(self, now_ms: int) -> bool:
        """Whether a call may be sent to this supplier."""
        if self.consecutive_faults < CIRCUIT_FAULTS:
            return True
        return now_ms >= self.open_until and self.in_flight == 0

    def record_failure(self, fault: Fault, attempt: Attempt, now_ms: int) -> None:
        """Records a fault of a call. Only the supplier's own faults count, and not those of calls
        that ran already when the circuit opened."""
        if fault not in _SUPPLIER_FAULTS:
            self.record_success()
            return
        if attempt.began_ms <= self.opened_at:
            return
        self.consecutive_faults += 1
        if self.consecutive_faults >= CIRCUIT_FAULTS:
            times = min(self.consecutive_faults - CIRCUIT_FAULTS, 4)
            self.opened_at = now_ms
            self.open_until = now_ms + _to_ms(CIRCUIT_SECONDS * 2.0**times)

    def record_success(self) -> None:
        """Records that the supplier answered a call: the circuit closes."""
        self.consecutive_faults, self.opened_at, self.open_until = 0, 0, 0


def _to_ms(seconds: float) -> int:
    return round(seconds * 1_000)
