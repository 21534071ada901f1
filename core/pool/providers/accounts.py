"""What a supplier says of the account behind a key: the money that is left, and the account's id.
Most say nothing; names and addresses that some say are not kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import aiohttp

from core.money import NanoUsd
from core.pool.providers import http
from core.pool.providers.types import Fault, SupplierFault, Target

Tells = Literal["", "deepseek", "moonshot", "xai"]

#: A larger amount in dollars is not believed.
_MOST = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """This is what is known of an account: what it can still pay, and its id at the supplier."""

    left: NanoUsd | None = None
    organisation: str = ""


async def account(
    client: aiohttp.ClientSession, tells: Tells, url: str, target: Target
) -> AccountInfo:
    """Asks a supplier about the account behind a key; an empty answer where there is nothing to
    ask. Raises `SupplierFault`."""
    if not tells:
        return AccountInfo()
    return await _ASK[tells](client, url, target)


async def _deepseek(client: aiohttp.ClientSession, url: str, target: Target) -> AccountInfo:
    said = await _said(client, url, target)
    rows = said.get("balance_infos")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("currency") == "USD":
            return AccountInfo(_dollars(row.get("total_balance")))
    return AccountInfo()


async def _moonshot(client: aiohttp.ClientSession, url: str, target: Target) -> AccountInfo:
    data = (await _said(client, url, target)).get("data")
    return AccountInfo(_dollars(data.get("available_balance")) if isinstance(data, dict) else None)


async def _xai(client: aiohttp.ClientSession, url: str, target: Target) -> AccountInfo:
    said = await _said(client, url, target)
    if any(said.get(f"{what}_blocked") for what in ("team", "api_key")) or said.get(
        "api_key_disabled"
    ):
        raise SupplierFault(Fault.DEAD, code="blocked")
    team = said.get("team_id")
    return AccountInfo(organisation=team if isinstance(team, str) else "")


_ASK: Mapping[str, Callable[[aiohttp.ClientSession, str, Target], Awaitable[AccountInfo]]] = {
    "deepseek": _deepseek,
    "moonshot": _moonshot,
    "xai": _xai,
}


async def _said(client: aiohttp.ClientSession, url: str, target: Target) -> Mapping[str, Any]:
    headers = {"Authorization": f"Bearer {target.key.get_secret_value()}"}
    said = await http.got(client, url, headers)
    if not isinstance(said, dict):
        raise SupplierFault(Fault.UNWELL, code="not_json")
    return said


def _dollars(said: Any) -> NanoUsd | None:
    """An amount in dollars, as text or number; None where it makes no sense."""
    try:
        dollars = Decimal(str(said))
    except InvalidOperation:
        return None
    if not dollars.is_finite() or dollars > _MOST:
        return None
    return NanoUsd(max(0, int(dollars * 10**NanoUsd.DECIMALS)))
