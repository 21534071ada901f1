"""Asks for the models that keys list: what can be served, and whether a refused key is dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import aiohttp

from core.clock import Clock
from core.errors import Refusal
from core.pool.health import Attempt
from core.pool.keys import Keys
from core.pool.providers.types import Fault, ListedModel, SupplierFault
from core.pool.suppliers import Supplier
from core.pool.types import KeyRecord, usable
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs

#: So many lists are asked for at once.
_AT_ONCE = 4

Blame = Callable[[KeyRecord, SupplierFault, Attempt], Awaitable[None]]


class Checks:
    """Model discovery finds which models of the catalogue keys can use, by the models that they
    list."""

    def __init__(
        self, catalogue: Catalogue, costs: Costs, clock: Clock, keys: Keys, blame: Blame
    ) -> None:
        self._catalogue, self._costs, self._clock = catalogue, costs, clock
        self._keys, self._blame = keys, blame

    async def run(
        self, client: aiohttp.ClientSession, due: Iterable[tuple[KeyRecord, Supplier]]
    ) -> None:
        """Asks for the lists of keys, a few at once, and updates what the keys can use."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(record: KeyRecord, supplier: Supplier) -> None:
            async with limit:
                await self._check(client, record, supplier)

        async with asyncio.TaskGroup() as group:
            for record, supplier in due:
                group.create_task(one(record, supplier))

    async def _check(
        self, client: aiohttp.ClientSession, record: KeyRecord, supplier: Supplier
    ) -> None:
        attempt = Attempt("list", self._clock.now_ms())
        try:
            target = self._keys.target(record, supplier)
            listed = await supplier.adapter(client).models(target)
            await self._learn(record, supplier, listed)
        except SupplierFault as fault:
            record.last_error = str(fault)
            if fault.fault is Fault.DEAD and supplier.lists:
                await self._blame(record, fault, attempt)
        except Refusal as refusal:  # its master key is gone, or the database is
            record.last_error = refusal.code

    async def _learn(
        self, record: KeyRecord, supplier: Supplier, listed: list[ListedModel]
    ) -> None:
        names = [one.id for one in listed]
        if supplier.custom:
            self._costs.add_local(supplier.name)
            self._catalogue.add_local(supplier.name, listed)
        routes = (
            route.model
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == supplier.name
        )
        models = usable(names, routes)
        trusted = supplier.custom or (supplier.lists and models)
        if trusted and models != record.models:
            await self._keys.learn_models(record, models)
