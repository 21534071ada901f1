"""Chooses the key that serves an ask: of those that can use the model, are healthy and have money
for the worst case, one of the cheapest supplier, and of these the least used and least busy.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from core.clock import Clock
from core.money import NanoUsd, Seconds, Tokens
from core.pool.health import Circuit
from core.pool.providers.types import NO_AUDIO
from core.pool.suppliers import Supplier
from core.pool.types import OVER, Candidate, KeyCard, KeyRecord
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.costs import Costs, NoCost

#: What one more call in flight, one more fault in a row, and one more second until the first token
#: add to a key's score; a thousandth of its budget used adds one.
_BUSY, _FAILED, _SECOND = 10, 20, 20
#: What faults and slowness add at most: a key that is never called can't do better. A bad key cools
#: down instead; together with the jitter this stays below a tenth of the budget.
_AGAINST_MAX = 60
#: The random part of a score, so that many processes don't all take the same key of equal ones.
_SPREAD = 30


@dataclass(frozen=True, slots=True)
class Wish:
    """A routing request says what an ask needs of a key."""

    model: Model
    input: Tokens
    answer_limit: Tokens
    skip: Collection[str] = ()
    own_keys_only: bool = False
    #: The person who asks: their own contributed keys don't serve them.
    asker: str = ""
    #: The length of audio, for a model that is paid by it.
    audio: Seconds = NO_AUDIO


def choose(
    wish: Wish,
    keys: Mapping[str, Iterable[KeyRecord]],
    circuits: Mapping[str, Circuit],
    costs: Costs,
    now_ms: int,
) -> Candidate | None:
    """The best key for a request, by cost and then by score; None when none can serve. `keys` are
    by supplier."""
    best: tuple[int, float, Candidate] | None = None
    for route in wish.model.routes:
        records = keys.get(route.provider)
        if records is None or not circuits[route.provider].allows(now_ms):
            continue
        hold = _hold(route, wish, costs, now_ms)
        if hold is None or (best is not None and hold.units > best[0]):
            continue
        for record in records:
            if not _fits(record, route, wish, hold, now_ms):
                continue
            burden = _burden(record, now_ms)
            if best is None or (hold.units, burden) < best[:2]:
                found = Candidate(record.id, record.provider, route, hold, record.terms)
                best = (hold.units, burden, found)
    return None if best is None else best[2]


def room(
    wish: Wish,
    keys: Mapping[str, Iterable[KeyRecord]],
    circuits: Mapping[str, Circuit],
    costs: Costs,
    now_ms: int,
) -> Tokens:
    """The longest answer, up to the request's limit, that some key can still pay for; 0 where no
    key can pay for any."""
    best = 0
    least = replace(wish, answer_limit=Tokens(1))
    for route in wish.model.routes:
        if not circuits[route.provider].allows(now_ms):
            continue
        hold = _hold(route, least, costs, now_ms)
        fitting = [
            record.headroom
            for record in keys.get(route.provider, ())
            if hold is not None and _fits(record, route, wish, hold, now_ms)
        ]
        if fitting:
            best = max(best, _longest(route, wish, costs, now_ms, max(fitting)))
    return Tokens(best)


def _longest(route: Route, wish: Wish, costs: Costs, now_ms: int, headroom: int) -> int:
    return (
        bisect_right(
            range(wish.answer_limit.units + 1),
            headroom,
            key=lambda tokens: costs.most(route, wish.input, Tokens(tokens), now_ms).units,
        )
        - 1
    )


def _hold(route: Route, wish: Wish, costs: Costs, now_ms: int) -> NanoUsd | None:
    if wish.model.per == "second":
        return costs.seconds(route, wish.audio, now_ms) if costs.known(route, "second") else None
    needed = wish.input.units + wish.answer_limit.units
    context = wish.model.context if route.context is None else route.context
    if context.units < needed:
        return None
    try:
        return costs.most(route, wish.input, wish.answer_limit, now_ms)
    except NoCost:
        return None


def _fits(record: KeyRecord, route: Route, wish: Wish, hold: NanoUsd, now_ms: int) -> bool:
    if record.id in wish.skip or record.headroom < hold.units:
        return False
    if record.owner is not None and (wish.own_keys_only or record.owner == wish.asker):
        return False
    return record.healthy(now_ms) and record.serves(route.model, now_ms)


def _burden(record: KeyRecord, now_ms: int) -> float:
    against = record.failures * _FAILED + record.first_text_ms / 1_000 * _SECOND
    return (
        record.used_permille
        + record.load.busy(now_ms) * _BUSY
        + min(against, _AGAINST_MAX)
        + random.random() * _SPREAD  # noqa: S311 - no secret
    )


class Rack:
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

    def sort(self, records: Iterable[KeyRecord]) -> None:
        """Takes, of all keys, those that serve."""
        keys: dict[str, list[KeyRecord]] = defaultdict(list)
        for record in records:
            supplier = self._suppliers.get(record.provider)
            if (
                supplier is not None
                and record.base_url == supplier.address
                and record.sealed is not None
                and record.state not in OVER
            ):
                keys[record.provider].append(record)
        self._keys = dict(keys)

    def best(self, wish: Wish) -> Candidate | None:
        """The best key for a request, or None."""
        return choose(wish, self._keys, self.circuits, self._costs, self._clock.now_ms())

    def room(self, wish: Wish) -> Tokens:
        """The longest answer, up to the request's limit, that some key can still pay for."""
        return room(wish, self._keys, self.circuits, self._costs, self._clock.now_ms())

    def card(self, record: KeyRecord) -> KeyCard:
        """What admins see of a key as it is now."""
        now = self._clock.now_ms()
        routes = {
            route.model
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == record.provider
        }
        here = any(one is record for one in self._keys.get(record.provider, ()))
        models = sum(record.serves(model, now) for model in routes) if here else 0
        return record.card(now, models)
