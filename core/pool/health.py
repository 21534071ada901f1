"""The rules of health: cooldowns that grow, a circuit for each supplier, when a key is dead.

Plain rules over values; `HealthTracker` and the pool carry them out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.pool.providers.types import Fault, SupplierFault
from core.pool.types import KeyRecord, Refused

#: The first cooldown after a fault; it doubles with each further fault, up to the longest.
FIRST_PAUSE_SECONDS: Mapping[Fault, float] = {
    Fault.THROTTLED: 4.0,
    Fault.UNWELL: 1.0,
    Fault.NETWORK: 1.0,
    Fault.TIMEOUT: 2.0,
}
PAUSE_MAX_SECONDS = 300.0
#: A refused key cools down so long; then a call of another path checks it again.
SECOND_LOOK_SECONDS = 30.0
#: Two refusals to calls of the same path are believed when they are so far apart.
SAME_PATH_SECONDS = 600.0
#: A key without money is tried again after so long: somebody may have paid.
PARKED_SECONDS = 6 * 3_600.0
#: That a key can't use a model is believed so long.
MISSING_SECONDS = 3_600.0

#: Faults in a row, of any of its keys, that open a supplier's circuit, and for how long at first.
CIRCUIT_FAULTS = 5
CIRCUIT_SECONDS = 15.0

#: The kind of a call: for an answer, or for the list of models.
Path = Literal["answer", "list"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt is a call whose outcome is recorded: its path, when it began (milliseconds UTC),
    and the supplier's model that it asked for (empty: none)."""

    path: Path
    began_ms: int
    model: str = ""


_SUPPLIERS_OWN = frozenset({Fault.UNWELL, Fault.NETWORK, Fault.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Verdict:
    """A verdict says what becomes of a key after a fault: its state, why, and until when it cools
    down."""

    state: Literal["active", "cooling", "parked", "dead"]
    reason: str
    until_ms: int
    #: Whether other processes must know: then it goes into the key's row.
    lasting: bool


def judged(
    record: KeyRecord, fault: SupplierFault, attempt: Attempt, now_ms: int
) -> Verdict | None:
    """The verdict on a key after a fault, which its record is updated by; None when the fault isn't
    the key's. Calls that ran already at its last fault say nothing new, however many they are."""
    if fault.fault is Fault.DEAD:
        verdict = _refused(record, attempt, now_ms)
    elif fault.fault is Fault.BROKE:
        wait = max(fault.retry_after or 0.0, PARKED_SECONDS)
        verdict = Verdict("parked", "no money", now_ms + _ms(wait), lasting=True)
    elif fault.fault in FIRST_PAUSE_SECONDS:
        verdict = _failed(record, fault, attempt, now_ms)
    else:
        verdict = None
    if verdict is not None:
        record.blamed_at, record.load.doubted = now_ms, True
    return verdict


def _failed(
    record: KeyRecord, fault: SupplierFault, attempt: Attempt, now_ms: int
) -> Verdict | None:
    new = attempt.began_ms > record.blamed_at
    if not new and fault.retry_after is None:
        return None
    record.failures += new
    pause = _pause(fault, record.failures)
    reason = fault.fault.value
    return Verdict("cooling", reason, now_ms + _ms(pause), lasting=pause >= SECOND_LOOK_SECONDS)


def _refused(record: KeyRecord, attempt: Attempt, now_ms: int) -> Verdict | None:
    before = record.refused
    if before is None:
        record.refused = Refused(now_ms, attempt.path)
        until = now_ms + _ms(SECOND_LOOK_SECONDS)
        return Verdict("cooling", "refused", until, lasting=True)
    if attempt.began_ms <= before.at_ms:
        return None
    seconds = (now_ms - before.at_ms) / 1_000
    if seconds >= (SECOND_LOOK_SECONDS if before.path != attempt.path else SAME_PATH_SECONDS):
        return Verdict("dead", "refused twice", 0, lasting=True)
    until = now_ms + _ms(SECOND_LOOK_SECONDS * 10)
    return Verdict("cooling", "refused", until, lasting=True)


def _pause(fault: SupplierFault, failures: int) -> float:
    grown = FIRST_PAUSE_SECONDS[fault.fault] * 2.0 ** min(failures - 1, 10)
    # Jitter only lengthens what a supplier asked for; a cooldown of our own may be shorter, too.
    spread = 1.0 + random.random() / 4  # noqa: S311 - no secret
    if fault.retry_after is not None:
        return max(fault.retry_after, 0.5) * spread
    return min(grown, PAUSE_MAX_SECONDS) * spread * 0.8


@dataclass(slots=True)
class Circuit:
    """A supplier's circuit is closed, or open until a time; then one call at a time tries the
    supplier again."""

    faults: int = 0
    opened_at: int = 0
    open_until: int = 0
    in_flight: int = 0

    def allows(self, now_ms: int) -> bool:
        """Whether a call may be sent to this supplier."""
        if self.faults < CIRCUIT_FAULTS:
            return True
        return now_ms >= self.open_until and self.in_flight == 0

    def failed(self, fault: Fault, attempt: Attempt, now_ms: int) -> None:
        """Records a fault of a call. Only the supplier's own faults count, and not those of calls
        that ran already when the circuit opened."""
        if fault not in _SUPPLIERS_OWN:
            self.worked()
            return
        if attempt.began_ms <= self.opened_at:
            return
        self.faults += 1
        if self.faults >= CIRCUIT_FAULTS:
            times = min(self.faults - CIRCUIT_FAULTS, 4)
            self.opened_at = now_ms
            self.open_until = now_ms + _ms(CIRCUIT_SECONDS * 2.0**times)

    def worked(self) -> None:
        """Records that the supplier answered a call: the circuit closes."""
        self.faults, self.opened_at, self.open_until = 0, 0, 0


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)
