"""Asks for the models that keys list: what can be served, and whether a refused key is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from core.clock import Clock
from core.errors import Refusal
from core.pool.health import Attempt
from core.pool.keys import KeyRepository
from core.pool.providers.http import SupplierClient
from core.pool.providers.types import Fault, ListedModel, SupplierFault
from core.pool.suppliers import Supplier
from core.pool.types import KeyRecord, find_usable_models
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs

#: So many lists are asked for at once.
_CONCURRENT_MAX = 4

OnFault = Callable[[KeyRecord, SupplierFault, Attempt], Awaitable[None]]


class ModelDiscovery:
    """Model discovery finds which models of the catalogue keys can use, by the models that they
    list."""

    def __init__(
        self,
        catalogue: Catalogue,
        costs: Costs,
        clock: Clock,
        keys: KeyRepository,
        on_fault: OnFault,
    ) -> None:
        self._catalogue, self._costs, self._clock = catalogue, costs, clock
        self._keys, self._on_fault = keys, on_fault

    async def check_keys(
        self, client: SupplierClient, due: Iterable[tuple[KeyRecord, Supplier]]
    ) -> None:
        """Asks for the lists of keys, a few at once, and updates what the keys can use."""
        limit = asyncio.Semaphore(_CONCURRENT_MAX)

        async def check_one(record: KeyRecord, supplier: Supplier) -> None:
            async with limit:
                await self._check_key(client, record, supplier)

        async with asyncio.TaskGroup() as group:
            for record, supplier in due:
                group.create_task(check_one(record, supplier))

    async def _check_key(
        self, client: SupplierClient, record: KeyRecord, supplier: Supplier
    ) -> None:
        attempt = Attempt("list", self._clock.now_ms())
        try:
            target = self._keys.build_target(record, supplier)
            listed = await supplier.create_adapter(client).list_models(target)
            await self._update_models(record, supplier, listed)
        except SupplierFault as fault:
            record.last_error = str(fault)
            if fault.kind is Fault.INVALID_KEY and supplier.lists_models:
                await self._on_fault(record, fault, attempt)
        except Refusal as refusal:  # its master key is gone, or the database is
            record.last_error = refusal.code

    async def _update_models(
        self, record: KeyRecord, supplier: Supplier, listed: list[ListedModel]
    ) -> None:
        names = [listed_model.id for listed_model in listed]
        if supplier.custom:
            self._costs.add_local_supplier(supplier.name)
            self._catalogue.add_local_models(supplier.name, listed)
        routes = (
            route.model
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == supplier.name
        )
        models = find_usable_models(names, routes)
        trusted = supplier.custom or (supplier.lists_models and models)
        if trusted and models != record.models:
            await self._keys.save_models(record, models)
