"""The pool's types: refusals, what it remembers of each key, what it shows of it (never the key
itself), and how busy a key is.

A call doesn't begin when its key is chosen: the ledger holds the key's money first. So choices
count as calls until they begin, and whether a call may begin is checked again then.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import sqlalchemy as sa

from core.errors import REPEATED_LENGTH_MAX, Refusal
from core.ledger.types import Balance
from core.money import Credits, NanoUsd, Tokens
from core.pricing.catalogue import Route

KeyState = Literal[
    "submitted",
    "validated",
    "active",
    "cooling",
    "parked",
    "exhausted",
    "dead",
    "withdrawn",
    "paused",
]

#: Why a key is paused that its contributor can't resume.
BY_OPERATOR = "by the operator"

#: States in which a key serves, once its cooldown is over.
SERVING_STATES: frozenset[str] = frozenset({"active", "cooling", "parked"})
#: States that a key never leaves by itself.
FINAL_STATES: frozenset[str] = frozenset({"dead", "withdrawn"})


#: Why a key can't be taken: not one of this supplier's by its shape; Cloudflare's account id is
#: missing; it administers an organisation, or belongs to a subscription; the supplier doesn't know
#: it, or can't be reached; there is no money behind it, or no model that is on sale.
RejectionReason = Literal[
    "shape",
    "account",
    "admin",
    "subscription",
    "refused",
    "unreachable",
    "no_money",
    "no_model",
]


class PoolRefusal(Refusal):
    """The pool can't do with a key what was asked."""


class UnknownSupplier(PoolRefusal):
    """There is no supplier of that name; `known_names` are those that there are."""

    code: ClassVar[str] = "unknown_supplier"

    def __init__(self, requested_name: str, known_names: tuple[str, ...]) -> None:
        self.requested_name = requested_name[:REPEATED_LENGTH_MAX]
        self.known_names = known_names


class KeyRefused(PoolRefusal):
    """The key can't be taken, for one of the reasons of `RejectionReason`."""

    code: ClassVar[str] = "key_refused"

    def __init__(self, supplier: str, reason: RejectionReason) -> None:
        self.supplier, self.reason = supplier, reason


class UnrecognizedKey(PoolRefusal):
    """The text looks like a key of none of the suppliers whose keys are taken; `known_titles` are
    their names as people know them."""

    code: ClassVar[str] = "not_its_key"

    def __init__(self, known_titles: tuple[str, ...]) -> None:
        self.known_titles = known_titles


class DuplicateKey(PoolRefusal):
    """The key is in the pool already."""

    code: ClassVar[str] = "duplicate_key"

    def __init__(self, supplier: str, tail: str) -> None:
        self.supplier, self.tail = supplier, tail


class UnknownKey(PoolRefusal):
    """No key has that id, or it isn't in a state for this."""

    code: ClassVar[str] = "unknown_key"

    def __init__(self, key: str) -> None:
        self.key = key


class PausedByOperator(PoolRefusal):
    """The operator paused the key, and nobody else may let it serve again."""

    code: ClassVar[str] = "paused_by_operator"

    def __init__(self, key: str) -> None:
        self.key = key


class BadBudget(PoolRefusal):
    """The budget of a key must be above zero nano-dollars."""

    code: ClassVar[str] = "bad_budget"

    def __init__(self, budget: NanoUsd) -> None:
        self.budget = budget


@dataclass(frozen=True, slots=True)
class ContributionTerms:
    """A key was contributed on terms: its contributor, the Credits that they may spend of it before
    it vests, and who invited them (empty: nobody)."""

    contributor: str
    advance: Credits
    inviter: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate is a key that can serve an ask, by this route; `hold` is the most that the answer
    can cost, in nano-dollars."""

    key: str
    supplier: str
    route: Route
    hold: NanoUsd
    #: None for the operator's own.
    terms: ContributionTerms | None = None


@dataclass(frozen=True, slots=True)
class KeySummary:
    """Admins see this summary of a key: its state, its money, the last fault; never the key
    itself."""

    id: str
    supplier: str
    tail: str
    state: str
    reason: str
    contributor: str | None
    budget: NanoUsd
    used: NanoUsd
    held: NanoUsd
    headroom: NanoUsd
    #: How many models of the catalogue it can serve.
    models: int
    #: The last fault: its kind, status and code, never a supplier's words.
    last_error: str


@dataclass(frozen=True, slots=True)
class KeyRejection:
    """A supplier refused a key: at which time, and to which kind of call."""

    at_ms: int
    path: Literal["answer", "list"]


#: A key whose last call failed is tried by so many calls at once, until one of them is answered.
TRIALS_MAX = 2


#: Programs ask faster than people: a contributed key serves so many of their asks a minute, in each
#: process, so that its supplier sees no other use than it is used to.
PROGRAM_CALLS_PER_MINUTE = 20
_MINUTE_MS = 60_000

#: A choice that hasn't become a call after so many milliseconds doesn't count any more.
_CHOICE_LIFETIME_MS = 1_000


@dataclass(slots=True)
class KeyLoad:
    """A key's load in this process is the calls that run, those that are about to, and how many
    requests its supplier still takes."""

    in_flight: int = 0
    #: Choices of this key that haven't become calls yet, and when the last one was made.
    pending_choices: int = 0
    chosen_at: int = 0
    #: Calls in flight to which nothing was answered yet.
    unanswered: int = 0
    #: Whether a call failed, and no call that began since has been answered.
    is_doubted: bool = False
    #: Requests that its supplier still takes, as far as it said, until a time.
    requests_left: int = 0
    requests_left_until: int = 0
    #: When programs were served by it (milliseconds UTC), the latest last.
    program_calls: deque[int] = field(
        default_factory=lambda: deque(maxlen=PROGRAM_CALLS_PER_MINUTE)
    )

    def admits_program(self, now_ms: int) -> bool:
        """Whether one more ask by a program keeps its pace."""
        calls = self.program_calls
        return len(calls) < PROGRAM_CALLS_PER_MINUTE or now_ms - calls[0] >= _MINUTE_MS

    def count_calls(self, now_ms: int) -> int:
        """The number of calls that run or are about to."""
        return self.in_flight + (
            self.pending_choices if now_ms - self.chosen_at <= _CHOICE_LIFETIME_MS else 0
        )

    def record_choice(self, now_ms: int) -> None:
        """Counts one more call that is about to begin."""
        self.pending_choices = self.count_calls(now_ms) - self.in_flight + 1
        self.chosen_at = now_ms

    def admits_call(self, now_ms: int) -> bool:
        """Whether one more call may begin."""
        if self.is_doubted and self.unanswered >= TRIALS_MAX:
            return False
        return self.requests_left > 0 or now_ms >= self.requests_left_until

    @contextlib.contextmanager
    def track_call(self) -> Iterator[Callable[[], None]]:
        """Counts a call while it runs; yields a function to be called once something of the answer
        comes."""
        self.pending_choices = max(0, self.pending_choices - 1)
        self.in_flight += 1
        self.unanswered += 1
        self.requests_left -= 1
        waits = True

        def mark_answered() -> None:
            nonlocal waits
            self.unanswered -= waits
            waits = False

        try:
            yield mark_answered
        finally:
            mark_answered()
            self.in_flight -= 1

    def update_requests_left(self, requests_left: int, until_ms: int) -> None:
        """Records how many requests the supplier says that it still takes; calls that run may not
        be counted there yet."""
        self.requests_left, self.requests_left_until = requests_left - self.unanswered, until_ms


@dataclass(frozen=True, slots=True)
class ModelRest:
    """A key rests for one model until then (milliseconds UTC), after so many failures in a row."""

    until_ms: int
    failures: int


@dataclass(frozen=True, slots=True)
class MinuteLimit:
    """So many tokens, prompt and answer limit together, a key may use of one model in a minute, as
    is believed until then (milliseconds UTC)."""

    tokens: Tokens
    until_ms: int


@dataclass(slots=True)
class KeyRecord:
    """A key is in memory with its row, its money (nano-dollars) as last read, and its health as
    learned in this process."""

    id: str
    provider: str
    base_url: str
    tail: str
    contributor: str | None
    sealed: bytes | None = field(repr=False)
    state: str
    reason: str
    #: Until when it cools down (milliseconds UTC); 0 when it doesn't.
    cooling_until: int
    #: The models that it lists; None until listed: until then every model is worth a try.
    models: frozenset[str] | None
    #: The terms of a contributed key; None for the operator's own. While it `lends_advance`, its
    #: contributor's asks may draw on what is not vested yet.
    terms: ContributionTerms | None = None
    lends_advance: bool = False
    #: Whether its contributor lets other people's pictures and files pass through it.
    takes_files: bool = False
    #: Whether its contributor lets other people's programs use it.
    takes_programs: bool = False
    #: Models that it listed but couldn't use, and until when that is believed.
    missing_models: dict[str, int] = field(default_factory=dict)
    #: Models whose own limit is reached.
    resting_models: dict[str, ModelRest] = field(default_factory=dict)
    #: What a minute takes of each model, where a request was too large for it.
    minute_limits: dict[str, MinuteLimit] = field(default_factory=dict)

    credited: int = 0
    debited: int = 0
    held: int = 0
    returned: int = 0

    #: How often this process changed it: what was read of its row before is old.
    local_changes: int = 0
    load: KeyLoad = field(default_factory=KeyLoad)
    failures: int = 0
    #: The time of its last fault: calls that began before it say nothing new of the key.
    last_fault_at: int = 0
    rejection: KeyRejection | None = None
    first_text_ms: float = 0.0
    last_error: str = ""

    @property
    def headroom(self) -> int:
        """Nano-dollars that a hold may still take."""
        return self.credited - self.debited - self.held

    @property
    def budget(self) -> int:
        """Nano-dollars that it was given and that weren't taken back."""
        return self.credited - self.returned

    @property
    def used(self) -> int:
        """Nano-dollars that it has cost."""
        return self.debited - self.returned

    @property
    def used_permille(self) -> int:
        """The share of the budget that is used or held, in thousandths."""
        return (self.used + self.held) * 1_000 // self.budget if self.budget > 0 else 1_000

    def update_balance(self, balance: Balance | NanoUsd) -> None:
        """Takes its account's balance, or only what is available of it."""
        if isinstance(balance, NanoUsd):
            self.held = max(0, self.credited - self.debited - balance.units)
            return
        self.credited, self.debited = balance.credits_posted, balance.debits_posted
        self.held = balance.debits_pending

    def refresh_from(self, fresh: KeyRecord, *, changed_here: bool) -> None:
        """Takes over what its row and its account say. What was learned in this process stays, and
        so do its state and models if they were `changed_here` since the row was read."""
        if not changed_here:
            self._refresh_state(fresh)
            self.models = fresh.models
        self.base_url, self.contributor = fresh.base_url, fresh.contributor
        self.terms, self.lends_advance = fresh.terms, fresh.lends_advance
        self.takes_files, self.takes_programs = fresh.takes_files, fresh.takes_programs
        self.credited, self.debited = fresh.credited, fresh.debited
        self.held, self.returned = fresh.held, fresh.returned

    def _refresh_state(self, fresh: KeyRecord) -> None:
        rested_here = self.cooling_until > fresh.cooling_until and self.state == fresh.state
        if not rested_here:
            self.reason, self.cooling_until = fresh.reason, fresh.cooling_until
        if fresh.state == "active" and self.state != "active":
            self.rejection, self.failures = None, 0
        self.last_fault_at = max(self.last_fault_at, fresh.last_fault_at)
        self.state, self.sealed = fresh.state, fresh.sealed

    def is_healthy(self, now_ms: int) -> bool:
        """Whether the key may be used now."""
        return (
            self.state in SERVING_STATES
            and self.cooling_until <= now_ms
            and self.load.admits_call(now_ms)
        )

    def find_rest_end(self, model: str) -> int:
        """When the key may serve a supplier's model again, as far as is known (milliseconds UTC);
        in the past where it doesn't rest."""
        rest = self.resting_models.get(model)
        return max(
            self.cooling_until,
            0 if rest is None else rest.until_ms,
            0 if self.load.requests_left > 0 else self.load.requests_left_until,
        )

    def has_model(self, model: str, now_ms: int) -> bool:
        """Whether the key can use a supplier's model now, as far as is known."""
        if self.missing_models.get(model, 0) > now_ms:
            return False
        rest = self.resting_models.get(model)
        if rest is not None and rest.until_ms > now_ms:
            return False
        return self.lists_model(model)

    def lists_model(self, model: str) -> bool:
        """Whether the key's list has a supplier's model, or it hasn't been asked for that yet."""
        return self.models is None or model in self.models

    def find_answer_room(self, model: str, input: Tokens, now_ms: int) -> Tokens | None:  # noqa: A002
        """The longest answer that a minute of the key takes beside so much input; None where no
        bound is known."""
        limit = self.minute_limits.get(model)
        if limit is None or limit.until_ms <= now_ms:
            return None
        return Tokens(max(0, limit.tokens.units - input.units))

    def summarize(self, now_ms: int, models: int) -> KeySummary:
        """What admins see of the key; `models` is how many of the catalogue it can serve."""
        state = self.state
        if state in SERVING_STATES:
            state = "active" if self.cooling_until <= now_ms else state
            if self.cooling_until > now_ms and state == "active":
                state = "cooling"
            if self.headroom <= 0:
                state = "exhausted"
        return KeySummary(
            id=self.id,
            supplier=self.provider,
            tail=self.tail,
            state=state,
            reason="" if state == "active" else self.reason,
            contributor=self.contributor,
            budget=NanoUsd(self.budget),
            used=NanoUsd(self.used),
            held=NanoUsd(self.held),
            headroom=NanoUsd(self.headroom),
            models=models,
            last_error=self.last_error,
        )


def key_record_from_row(row: sa.Row[Any]) -> KeyRecord:
    """A record of a key's row, which is joined with its contribution's."""
    terms = None
    if row.owner is not None:
        terms = ContributionTerms(row.owner, Credits(row.advance or 0), row.inviter or "")
    return KeyRecord(
        id=row.id,
        provider=row.provider,
        base_url=row.base_url,
        tail=row.tail,
        contributor=row.owner,
        sealed=None if row.sealed is None else bytes(row.sealed),
        state=row.state,
        reason=row.reason,
        cooling_until=row.cooling_until or 0,
        models=None if row.models is None else frozenset(json.loads(row.models)),
        terms=terms,
        lends_advance=row.contribution == "open",
        takes_files=bool(row.takes_files),
        takes_programs=bool(row.takes_programs),
        last_fault_at=row.state_at if row.state in {"cooling", "parked"} else 0,
    )


_DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|\d{4}|latest)$")


def find_usable_models(listed: Iterable[str], routes: Iterable[str]) -> frozenset[str]:
    """The models of `routes` that are listed, by their own id or by a dated form of it."""
    names = {name.lower() for name in listed}
    names |= {_DATED.sub("", name) for name in names}
    return frozenset(route for route in routes if route.lower() in names)
