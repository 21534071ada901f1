"""Validates a key before it is taken, by the cheapest real calls that show what it is good for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from core.clock import Clock
from core.money import NanoUsd, Tokens
from core.pool.keys import check_shape
from core.pool.providers.accounts import fetch_account
from core.pool.providers.http import SupplierClient
from core.pool.providers.types import (
    CallTarget,
    ChatMessage,
    Fault,
    ListedModel,
    ModelCall,
    RateLimitInfo,
    StreamEvent,
    SupplierFault,
)
from core.pool.suppliers import Supplier
from core.pool.types import KeyRefused, RejectionReason, find_usable_models
from core.pricing.catalogue import Catalogue, Route
from core.pricing.costs import Costs

#: So many models are tried before a key counts as good for none.
_MODELS_TRIED_MAX: Final = 3
_TEST_MESSAGES: Final = (ChatMessage("user", "Say ok."),)
_TEST_ANSWER_LIMIT: Final = Tokens(16)

_REJECTION_REASONS: dict[Fault, RejectionReason] = {
    Fault.INVALID_KEY: "refused",
    Fault.NO_FUNDS: "no_money",
    Fault.MODEL_MISSING: "no_model",
}


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The validation of a key found these models, this money, and this account."""

    #: The supplier's models of the catalogue that the key can use.
    models: frozenset[str]
    #: What the account can still pay; None where its supplier doesn't say.
    remaining_cash: NanoUsd | None
    #: The supplier's id of the account, empty where it doesn't say; never shown or stored as it is.
    organisation: str


async def list_key_models(
    client: SupplierClient, supplier: Supplier, secret: SecretStr, account_id: str = ""
) -> list[ListedModel]:
    """The models that a key lists, asked of its supplier now; nothing is stored. None are listed
    where the supplier has no such list. Raises `KeyRefused`."""
    check_shape(supplier, secret, account_id)
    try:
        adapter = supplier.create_adapter(client)
        return await adapter.list_models(CallTarget(supplier.base_url, secret, account_id))
    except SupplierFault as fault:
        if fault.kind is Fault.MODEL_MISSING and not supplier.lists_models:
            return []
        is_refused = fault.kind is Fault.INVALID_KEY
        raise KeyRefused(supplier.name, "refused" if is_refused else "unreachable") from None


class KeyValidator:
    """A key validator asks suppliers what a key is good for; it stores nothing."""

    def __init__(self, *, catalogue: Catalogue, costs: Costs, clock: Clock) -> None:
        self._catalogue, self._costs, self._clock = catalogue, costs, clock

    async def validate_key(
        self,
        client: SupplierClient,
        supplier: Supplier,
        secret: SecretStr,
        account_id: str,
    ) -> ValidationResult:
        """Asks for the list of models, the account and one small answer; raises `KeyRefused`."""
        check_shape(supplier, secret, account_id)
        target = CallTarget(supplier.base_url, secret, account_id)
        try:
            routes = self._find_routes(
                supplier, await self._list_model_ids(client, supplier, target)
            )
            account_info = await fetch_account(
                client, supplier.account_api, supplier.account_url, target
            )
            organisation = await self._test_answer(client, supplier, target, routes)
        except SupplierFault as fault:
            raise KeyRefused(
                supplier.name, _REJECTION_REASONS.get(fault.kind, "unreachable")
            ) from None
        return ValidationResult(
            frozenset(route.model for route in routes),
            account_info.remaining_cash,
            account_id or account_info.organisation or organisation,
        )

    async def _list_model_ids(
        self, client: SupplierClient, supplier: Supplier, target: CallTarget
    ) -> list[str] | None:
        """The model ids that the supplier lists for this key; None where its list means nothing."""
        try:
            listed = await supplier.create_adapter(client).list_models(target)
        except SupplierFault as fault:
            if fault.kind is Fault.MODEL_MISSING and not supplier.lists_models:
                return None
            raise
        return [model.id for model in listed] if supplier.lists_models else None

    def _find_routes(self, supplier: Supplier, listed: Sequence[str] | None) -> list[Route]:
        """The routes of the catalogue that the key can serve, the cheapest first; raises
        `KeyRefused`."""
        routes = {
            route.model: route
            for model in self._catalogue.models.values()
            for route in model.routes
            if route.provider == supplier.name
            and model.per == "token"
            and self._costs.has_cost(route)
        }
        if listed is not None:
            routes = {name: routes[name] for name in find_usable_models(listed, routes)}
        if not routes:
            raise KeyRefused(supplier.name, "no_model")
        now = self._clock.now_ms()
        return sorted(
            routes.values(),
            key=lambda route: (
                self._costs.calculate_max_cost(route, Tokens(1_000), Tokens(1_000), now).units,
                route.model,
            ),
        )

    async def _test_answer(
        self,
        client: SupplierClient,
        supplier: Supplier,
        target: CallTarget,
        routes: Sequence[Route],
    ) -> str:
        """Asks for a small answer, of the cheapest model that gives one; the account's id, as its
        headers say. Raises `SupplierFault`."""
        missing: SupplierFault | None = None
        for route in routes[:_MODELS_TRIED_MAX]:
            call = ModelCall(route.model, _TEST_MESSAGES, _TEST_ANSWER_LIMIT)
            try:
                return await _read_organisation(
                    supplier.create_adapter(client).stream(target, call)
                )
            except SupplierFault as fault:
                if fault.kind is not Fault.MODEL_MISSING:
                    raise
                missing = fault
        assert missing is not None
        raise missing


async def _read_organisation(events: AsyncGenerator[StreamEvent, None]) -> str:
    organisation = ""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, RateLimitInfo):
                organisation = event.organisation
    return organisation
