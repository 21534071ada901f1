"""Chooses the key that serves an ask: of those that can use the model, are healthy and have money
for the worst case, one of the cheapest supplier, and of these the least used and least busy.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from core.attachments.types import PictureSize
from core.clock import Clock
from core.money import NanoUsd, Seconds, Tokens
from core.pool.health import Circuit
from core.pool.providers.types import NO_AUDIO
from core.pool.suppliers import Supplier
from core.pool.types import FINAL_STATES, SERVING_STATES, Candidate, KeyRecord, KeySummary
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.costs import Costs, NoCost

#: What one more call in flight, one more fault in a row, and one more second until the first token
#: add to a key's score; a thousandth of its budget used adds one.
_CALL_WEIGHT, _FAILURE_WEIGHT, _SECOND_WEIGHT = 10, 20, 20
#: What faults and slowness add at most: a key that is never called can't do better. A bad key cools
#: down instead; together with the jitter this stays below a tenth of the budget.
_PENALTY_MAX = 60
#: The random part of a score, so that many processes don't all take the same key of equal ones.
_JITTER = 30


@dataclass(frozen=True, slots=True)
class RoutingRequest:
    """A routing request says what an ask needs of a key."""

    model: Model
    #: The tokens of the prompt's text; what its pictures cost depends on the route.
    input: Tokens
    answer_limit: Tokens
    skip_keys: Collection[str] = ()
    own_keys_only: bool = False
    #: The person who asks: their own contributed keys don't serve them.
    asker: str = ""
    #: The length of audio, for a model that is paid by it.
    audio: Seconds = NO_AUDIO
    #: Keys whose supplier keeps the beginning of the prompt for them.
    warm_keys: Collection[str] = ()
    pictures: tuple[PictureSize, ...] = ()
    #: Whether there is something of people's files in it, be it their text.
    has_files: bool = False
    #: Whether a program asks, whom contributed keys serve only where their contributors say so.
    by_program: bool = False

    @property
    def needs_consent(self) -> bool:
        """Whether contributed keys serve it only if their contributors let files pass."""
        return self.has_files or bool(self.pictures)


class _OpenRoute(NamedTuple):
    """A route that may be called, with what a request is there."""

    route: Route
    #: The whole prompt's tokens as they are bounded there, pictures included.
    input: Tokens
    hold: NanoUsd
    records: Collection[KeyRecord]


def choose_key(
    request: RoutingRequest,
    keys: Mapping[str, Collection[KeyRecord]],
    circuits: Mapping[str, Circuit],
    costs: Costs,
    now_ms: int,
) -> Candidate | None:
    """The best key for a request: one whose minute is large enough, by cost, then one that has its
    prompt in a cache, then by score; None when none can serve. `keys` are by supplier."""
    best: tuple[bool, int, bool, float, Candidate] | None = None
    for one in _list_open_routes(request, keys, circuits, costs, now_ms):
        route, hold = one.route, one.hold
        if best is not None and not best[0] and hold.units > best[1]:
            continue
        for record in one.records:
            if not _can_serve(record, route, request, hold, now_ms):
                continue
            rank = (
                _is_minute_small(record, one, request, now_ms),
                hold.units,
                not _is_warm(record, request),
                _score(record, now_ms),
            )
            if best is None or rank < best[:4]:
                candidate = Candidate(record.id, record.provider, route, hold, record.terms)
                best = (*rank, candidate)
    return None if best is None else best[4]


def choose_resting_key(
    request: RoutingRequest,
    keys: Mapping[str, Collection[KeyRecord]],
    circuits: Mapping[str, Circuit],
    costs: Costs,
    now_ms: int,
    until_ms: int,
) -> Candidate | None:
    """Of the keys that could serve a request but rest, and do no longer than `until_ms`, the one
    that serves again first; None when there is none."""
    best: tuple[int, int, Candidate] | None = None
    for route, _, hold, records in _list_open_routes(request, keys, circuits, costs, now_ms):
        for record in records:
            rest_end = record.find_rest_end(route.model)
            if rest_end > until_ms:
                continue
            is_able = record.state in SERVING_STATES and record.has_model(route.model, rest_end)
            if not is_able or not _may_serve(record, request, hold):
                continue
            if not _keeps_pace(record, request, now_ms):
                continue
            if best is None or (rest_end, hold.units) < best[:2]:
                candidate = Candidate(record.id, record.provider, route, hold, record.terms)
                best = (rest_end, hold.units, candidate)
    return None if best is None else best[2]


def max_affordable_tokens(
    request: RoutingRequest,
    keys: Mapping[str, Collection[KeyRecord]],
    circuits: Mapping[str, Circuit],
    costs: Costs,
    now_ms: int,
) -> Tokens:
    """The longest answer, up to the request's limit, that some key can still pay for; 0 where no
    key can pay for any."""
    best = 0
    minimal = replace(request, answer_limit=Tokens(1))
    for one in _list_open_routes(minimal, keys, circuits, costs, now_ms):
        headrooms = [
            record.headroom
            for record in one.records
            if _can_serve(record, one.route, request, one.hold, now_ms)
        ]
        if headrooms:
            best = max(best, _longest_answer(one, request, costs, now_ms, max(headrooms)))
    return Tokens(best)


def _list_open_routes(
    request: RoutingRequest,
    keys: Mapping[str, Collection[KeyRecord]],
    circuits: Mapping[str, Circuit],
    costs: Costs,
    now_ms: int,
) -> Iterator[_OpenRoute]:
    """The routes that a key has, whose supplier may be called, and which see all the pictures."""
    for route in request.model.routes:
        records = keys.get(route.provider, ())
        # What most models lack is looked for first: the rest is reckoned.
        if not any(record.lists_model(route.model) for record in records):
            continue
        if not circuits[route.provider].allows_call(now_ms):
            continue
        pictures = route.count_pictures(request.pictures)
        if pictures is None:
            continue
        prompt = request.input + pictures
        if (hold := _required_hold(route, prompt, request, costs, now_ms)) is not None:
            yield _OpenRoute(route, prompt, hold, records)


def _longest_answer(
    one: _OpenRoute, request: RoutingRequest, costs: Costs, now_ms: int, headroom: int
) -> int:
    return (
        bisect_right(
            range(request.answer_limit.units + 1),
            headroom,
            key=lambda tokens: (
                costs.calculate_max_cost(one.route, one.input, Tokens(tokens), now_ms).units
            ),
        )
        - 1
    )


def _required_hold(
    route: Route, prompt: Tokens, request: RoutingRequest, costs: Costs, now_ms: int
) -> NanoUsd | None:
    if request.model.per == "second":
        return (
            costs.calculate_audio_cost(route, request.audio, now_ms)
            if costs.has_cost(route, "second")
            else None
        )
    if request.model.calculate_answer_room(prompt, route) < request.answer_limit:
        return None
    try:
        return costs.calculate_max_cost(route, prompt, request.answer_limit, now_ms)
    except NoCost:
        return None


def _can_serve(
    record: KeyRecord, route: Route, request: RoutingRequest, hold: NanoUsd, now_ms: int
) -> bool:
    return (
        _may_serve(record, request, hold)
        and _keeps_pace(record, request, now_ms)
        and record.is_healthy(now_ms)
        and record.has_model(route.model, now_ms)
    )


def _may_serve(record: KeyRecord, request: RoutingRequest, hold: NanoUsd) -> bool:
    """Whether its money and its owner let a key serve a request, whatever its health."""
    if record.id in request.skip_keys or record.headroom < hold.units:
        return False
    if record.contributor is None:
        return True
    if request.needs_consent and not record.takes_files:
        return False
    if request.by_program and not record.takes_programs:
        return False
    return not (request.own_keys_only or record.contributor == request.asker)


def _keeps_pace(record: KeyRecord, request: RoutingRequest, now_ms: int) -> bool:
    """Whether a contributed key may be asked by one more program in this minute."""
    is_paced = request.by_program and record.contributor is not None
    return not is_paced or record.load.admits_program(now_ms)


def _is_minute_small(
    record: KeyRecord, one: _OpenRoute, request: RoutingRequest, now_ms: int
) -> bool:
    """Whether a key is known to take less than half of the answer's limit beside this input: then
    another key is better, also a dearer one."""
    room = record.find_answer_room(one.route.model, one.input, now_ms)
    return room is not None and 2 * room.units < request.answer_limit.units


def _is_warm(record: KeyRecord, request: RoutingRequest) -> bool:
    """Whether a key has the prompt in a cache, and nothing speaks against it: a key whose last call
    failed is chosen as any other."""
    return record.id in request.warm_keys and not (record.failures or record.load.is_doubted)


def _score(record: KeyRecord, now_ms: int) -> float:
    penalty = record.failures * _FAILURE_WEIGHT + record.first_text_ms / 1_000 * _SECOND_WEIGHT
    return (
        record.used_permille
        + record.load.count_calls(now_ms) * _CALL_WEIGHT
        + min(penalty, _PENALTY_MAX)
        + random.random() * _JITTER  # noqa: S311 - no secret
    )


class Router:
    """The router holds the keys that serve at their supplier's present address, and the suppliers'
    circuits, and chooses a key for each ask."""

    def __init__(
        self,
        *,
        suppliers: Mapping[str, Supplier],
        catalogue: Catalogue,
        costs: Costs,
        clock: Clock,
    ) -> None:
        self._suppliers, self._catalogue = suppliers, catalogue
        self._costs, self._clock = costs, clock
        self._keys: Mapping[str, list[KeyRecord]] = {}
        self.circuits: defaultdict[str, Circuit] = defaultdict(Circuit)

    def __iter__(self) -> Iterator[KeyRecord]:
        return (record for records in self._keys.values() for record in records)

    def update_keys(self, records: Iterable[KeyRecord]) -> None:
        """Takes, of all keys, those that serve."""
        keys: dict[str, list[KeyRecord]] = defaultdict(list)
        for record in records:
            supplier = self._suppliers.get(record.provider)
            if (
                supplier is not None
                and record.base_url == supplier.address
                and record.sealed is not None
                and record.state not in FINAL_STATES
            ):
                keys[record.provider].append(record)
        self._keys = dict(keys)

    def has_key(self, model: Model) -> bool:
        """Whether a key that serves lists the model, or hasn't been asked for its list yet."""
        return any(
            record.lists_model(route.model)
            for route in model.routes
            for record in self._keys.get(route.provider, ())
        )

    def choose(self, request: RoutingRequest) -> Candidate | None:
        """The best key for a request, or None."""
        return choose_key(request, self._keys, self.circuits, self._costs, self._clock.now_ms())

    def choose_resting(self, request: RoutingRequest, until_ms: int) -> Candidate | None:
        """The key that serves a request first of those that rest, at `until_ms` at the latest."""
        return choose_resting_key(
            request, self._keys, self.circuits, self._costs, self._clock.now_ms(), until_ms
        )

    def max_affordable_tokens(self, request: RoutingRequest) -> Tokens:
        """The longest answer, up to the request's limit, that some key can still pay for."""
        return max_affordable_tokens(
            request, self._keys, self.circuits, self._costs, self._clock.now_ms()
        )

    def summarize_key(self, record: KeyRecord) -> KeySummary:
        """What admins see of a key as it is now."""
        now = self._clock.now_ms()
        routes = {
            route.model
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == record.provider
        }
        is_routable = any(other is record for other in self._keys.get(record.provider, ()))
        models = sum(record.has_model(model, now) for model in routes) if is_routable else 0
        summary = record.summarize(now, models)
        is_moved = self.is_moved(record) and record.state not in FINAL_STATES
        return replace(summary, state="moved") if is_moved else summary

    def is_moved(self, record: KeyRecord) -> bool:
        """Whether its supplier has another address now than when the key was given: it is sealed
        for that one and goes nowhere else."""
        supplier = self._suppliers.get(record.provider)
        return supplier is not None and record.base_url != supplier.address
