"""Cloudflare Workers AI: the OpenAI wire under an account's own address, its list elsewhere."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import aiohttp

from core.pool.providers import http
from core.pool.providers.openai import PLAIN, Dialect, OpenAI
from core.pool.providers.types import Call, Fault, ListedModel, Piece, SupplierFault, Target

_PAGE = 100
_PAGES_MAX = 10


@dataclass(frozen=True, slots=True)
class Cloudflare:
    """The adapter; see `Adapter`. A target without an account can't be called."""

    client: aiohttp.ClientSession
    dialect: Dialect = PLAIN

    def stream(self, target: Target, call: Call) -> AsyncGenerator[Piece, None]:
        """See `Adapter`."""
        address = f"{_address(target)}/v1"
        return OpenAI(self.client, self.dialect).stream(replace(target, base_url=address), call)

    async def models(self, target: Target) -> list[ListedModel]:
        """See `Adapter`."""
        url = f"{_address(target)}/models/search"
        headers = {"Authorization": f"Bearer {target.key.get_secret_value()}"}
        found: list[ListedModel] = []
        for page in range(1, _PAGES_MAX + 1):
            said = await http.got(self.client, url, headers, page=str(page), per_page=str(_PAGE))
            rows = said.get("result") if isinstance(said, dict) else None
            if not isinstance(rows, list):
                raise SupplierFault(Fault.UNWELL, code="not_json")
            names = [row.get("name") for row in rows if isinstance(row, dict)]
            found += [ListedModel(name) for name in names if isinstance(name, str)]
            if len(rows) < _PAGE:
                break
        return found


def _address(target: Target) -> str:
    if not target.account:
        raise SupplierFault(Fault.BAD_REQUEST, code="no_account")
    return f"{target.base_url}/accounts/{target.account}/ai"
