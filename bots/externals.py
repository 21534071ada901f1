"""The world outside: which suppliers are asked with which keys, what sells and what pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from pydantic import SecretStr

from bots.config.settings import Config, SupplierConfig
from core.earnings.payouts import PayoutMethod
from core.errors import Refusal
from core.money import NanoUsd, parse_usd
from core.pool.suppliers import SUPPLIERS, Supplier
from core.pricing.catalogue import Catalogue
from core.pricing.costs import Costs
from payments.gateways.base import Gateway
from payments.payouts import PayoutProvider

#: The key for a custom address that has none.
PLACEHOLDER_KEY: Final = "none"
#: What an own key of a custom address may cost, when nothing is said: nobody charges for it, but
#: every key has a quota.
_LOCAL_BUDGET = parse_usd("1000")


@dataclass(frozen=True, slots=True)
class Externals:
    """The world that a service speaks to: as the settings say, or as the demo and tests replace
    it."""

    catalogue: Catalogue
    costs: Costs
    suppliers: Mapping[str, Supplier]
    #: (supplier, its setting) of each key of the operator's own.
    own_keys: Sequence[tuple[str, SupplierConfig]]
    #: Where Credits can be bought; none: they can't.
    gateways: Mapping[str, Gateway]
    #: Which gateways can pay people, and by which ways people are paid.
    payout_providers: Mapping[PayoutMethod, PayoutProvider]
    payout_methods: Sequence[PayoutMethod]
    #: Whether suppliers and people are the demo's.
    is_sandbox: bool = False


class SettingRefused(Refusal):
    """The service can't start with what a setting says; `refusal` is why."""

    code: ClassVar[str] = "setting_refused"

    def __init__(self, setting: str, refusal: Refusal) -> None:
        self.setting, self.refusal = setting, refusal


def build_suppliers(config: Config) -> Mapping[str, Supplier]:
    """Every supplier at its own address, but for those that the settings send elsewhere."""
    given = config.suppliers
    return {
        name: supplier.with_base_url(given[name].url)
        if name in given and given[name].url
        else supplier
        for name, supplier in SUPPLIERS.items()
    }


def list_own_keys(config: Config) -> list[tuple[str, SupplierConfig]]:
    """Keys of the settings; a custom address without a key gets a placeholder, as local model
    servers take any, and a budget, since nobody charges for it."""
    keys = []
    for name, setting in config.suppliers.items():
        has_key = bool(setting.key.get_secret_value())
        if not has_key and not setting.url:
            continue
        changes: dict[str, object] = {}
        if not has_key:
            changes["key"] = SecretStr(PLACEHOLDER_KEY)
        if setting.url and setting.quota == NanoUsd(0):
            changes["quota"] = _LOCAL_BUDGET
        keys.append((name, setting.model_copy(update=changes)))
    return keys
