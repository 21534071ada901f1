"""The keys that serve now, by supplier, and the choice among them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from core.clock import Clock
from core.money import Tokens
from core.pool import router
from core.pool.health import Circuit
from core.pool.suppliers import Supplier
from core.pool.types import OVER, Candidate, KeyCard, KeyRecord
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs


class Rack:
    """Those that serve at the address that their supplier has now, and the suppliers' circuits."""

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
        """Takes what serves of all keys."""
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

    def best(self, wish: router.Wish) -> Candidate | None:
        """The best key for a wish, or None."""
        return router.choose(wish, self._keys, self.circuits, self._costs, self._clock.now_ms())

    def room(self, wish: router.Wish) -> Tokens:
        """The longest answer, up to the wish's limit, that some key can still pay for."""
        return router.room(wish, self._keys, self.circuits, self._costs, self._clock.now_ms())

    def card(self, record: KeyRecord) -> KeyCard:
        """A key as it stands now."""
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
