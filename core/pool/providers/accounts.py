"""What a supplier says of the account behind a key: the money that is left, and the account's id.
Most say nothing; names and addresses that some say are not kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from core.money import NanoUsd
from core.pool.providers import http
from core.pool.providers.types import CallTarget, Fault, SupplierFault

AccountApi = Literal["", "deepseek", "moonshot", "xai"]

#: A larger amount in dollars is not believed.
_MAX_DOLLARS = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class AccountInfo:
    """This is what is known of an account: what it can still pay, and its id at the supplier."""

    remaining_cash: NanoUsd | None = None
    organisation: str = ""


async def fetch_account(
    client: http.SupplierClient, api: AccountApi, url: str, target: CallTarget
) -> AccountInfo:
    """Asks a supplier about the account behind a key; an empty answer where there is nothing to
    ask. Raises `SupplierFault`."""
    if not api:
        return AccountInfo()
    return await _FETCHERS[api](client, url, target)


async def _fetch_deepseek(client: http.SupplierClient, url: str, target: CallTarget) -> AccountInfo:
    body = await _fetch_json(client, url, target)
    rows = body.get("balance_infos")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and row.get("currency") == "USD":
            return AccountInfo(_parse_dollars(row.get("total_balance")))
    return AccountInfo()


async def _fetch_moonshot(client: http.SupplierClient, url: str, target: CallTarget) -> AccountInfo:
    data = (await _fetch_json(client, url, target)).get("data")
    return AccountInfo(
        _parse_dollars(data.get("available_balance")) if isinstance(data, dict) else None
    )


async def _fetch_xai(client: http.SupplierClient, url: str, target: CallTarget) -> AccountInfo:
    body = await _fetch_json(client, url, target)
    if any(body.get(f"{what}_blocked") for what in ("team", "api_key")) or body.get(
        "api_key_disabled"
    ):
        raise SupplierFault(Fault.INVALID_KEY, code="blocked")
    team = body.get("team_id")
    return AccountInfo(organisation=team if isinstance(team, str) else "")


_FETCHERS: Mapping[
    str, Callable[[http.SupplierClient, str, CallTarget], Awaitable[AccountInfo]]
] = {
    "deepseek": _fetch_deepseek,
    "moonshot": _fetch_moonshot,
    "xai": _fetch_xai,
}


async def _fetch_json(
    client: http.SupplierClient, url: str, target: CallTarget
) -> Mapping[str, Any]:
    headers = {"Authorization": f"Bearer {target.key.get_secret_value()}"}
    body = await http.get_json(client, url, headers)
    if not isinstance(body, dict):
        raise SupplierFault(Fault.UNAVAILABLE, code="not_json")
    return body


def _parse_dollars(value: Any) -> NanoUsd | None:
    """An amount in dollars, as text or number; None where it makes no sense."""
    try:
        dollars = Decimal(str(value))
    except InvalidOperation:
        return None
    if not dollars.is_finite() or dollars > _MAX_DOLLARS:
        return None
    return NanoUsd(max(0, int(dollars * 10**NanoUsd.DECIMALS)))
