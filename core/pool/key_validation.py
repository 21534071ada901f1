"""Validates a key before it is taken, by the cheapest real calls that show what it is good for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import aiohttp
from pydantic import SecretStr

from core.clock import Clock
from core.money import NanoUsd, Tokens
from core.pool.keys import check_shape
from core.pool.providers.accounts import account
from core.pool.providers.types import Call, Fault, Limits, Message, Piece, SupplierFault, Target
from core.pool.suppliers import Supplier
from core.pool.types import KeyRefused, Unfit, usable
from core.pricing.catalogue import Catalogue, Route
from core.pricing.costs import Costs

#: So many models are tried before a key counts as good for none.
_TRIES: Final = 3
_WORDS: Final = (Message("user", "Say ok."),)
_LIMIT: Final = Tokens(16)

_WHY: dict[Fault, Unfit] = {
    Fault.DEAD: "refused",
    Fault.BROKE: "no_money",
    Fault.MODEL_MISSING: "no_model",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """The validation of a key found these models, this money, and this account."""

    #: The supplier's models of the catalogue that the key can use.
    models: frozenset[str]
    #: What the account can still pay; None where its supplier doesn't say.
    left: NanoUsd | None
    #: The supplier's id of the account, empty where it doesn't say; never shown or stored as it is.
    organisation: str


class Examiner:
    """A key validator asks suppliers what a key is good for; it stores nothing."""

    def __init__(self, *, catalogue: Catalogue, costs: Costs, clock: Clock) -> None:
        self._catalogue, self._costs, self._clock = catalogue, costs, clock

    async def examine(
        self,
        client: aiohttp.ClientSession,
        supplier: Supplier,
        secret: SecretStr,
        account_id: str,
    ) -> Findings:
        """Asks for the list of models, the account and one small answer; raises `KeyRefused`."""
        check_shape(supplier, secret, account_id)
        target = Target(supplier.base_url, secret, account_id)
        try:
            routes = self._routes(supplier, await self._listed(client, supplier, target))
            told = await account(client, supplier.tells, supplier.account_url, target)
            organisation = await self._answered(client, supplier, target, routes)
        except SupplierFault as fault:
            raise KeyRefused(supplier.name, _WHY.get(fault.fault, "unreachable")) from None
        return Findings(
            frozenset(route.model for route in routes),
            told.left,
            account_id or told.organisation or organisation,
        )

    async def _listed(
        self, client: aiohttp.ClientSession, supplier: Supplier, target: Target
    ) -> list[str] | None:
        """The model ids that the supplier lists for this key; None where its list means nothing."""
        try:
            listed = await supplier.adapter(client).models(target)
        except SupplierFault as fault:
            if fault.fault is Fault.MODEL_MISSING and not supplier.lists:
                return None
            raise
        return [one.id for one in listed] if supplier.lists else None

    def _routes(self, supplier: Supplier, listed: Sequence[str] | None) -> list[Route]:
        """The routes of the catalogue that the key can serve, the cheapest first; raises
        `KeyRefused`."""
        routes = {
            route.model: route
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == supplier.name and model.per == "token" and self._costs.known(route)
        }
        if listed is not None:
            routes = {name: routes[name] for name in usable(listed, routes)}
        if not routes:
            raise KeyRefused(supplier.name, "no_model")
        now = self._clock.now_ms()
        return sorted(
            routes.values(),
            key=lambda route: (
                self._costs.most(route, Tokens(1_000), Tokens(1_000), now).units,
                route.model,
            ),
        )

    async def _answered(
        self,
        client: aiohttp.ClientSession,
        supplier: Supplier,
        target: Target,
        routes: Sequence[Route],
    ) -> str:
        """Asks for a small answer, of the cheapest model that gives one; the account's id, as its
        headers say. Raises `SupplierFault`."""
        missing: SupplierFault | None = None
        for route in routes[:_TRIES]:
            call = Call(route.model, _WORDS, _LIMIT)
            try:
                return await _read(supplier.adapter(client).stream(target, call))
            except SupplierFault as fault:
                if fault.fault is not Fault.MODEL_MISSING:
                    raise
                missing = fault
        assert missing is not None
        raise missing


async def _read(pieces: AsyncGenerator[Piece, None]) -> str:
    organisation = ""
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, Limits):
                organisation = piece.organisation
    return organisation
