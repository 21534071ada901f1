"""Settings that can't stand together, or lack another: told by name at start, all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bots.config.fields import METHOD_SETTINGS
from core.money import format_usd
from payments.offer import Offer

Problems = dict[str, str]

#: Each gateway's settings: none of them, or all.
_GATEWAYS: Final = {
    "Stripe": ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"),
    "PayPal": ("PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "PAYPAL_WEBHOOK_ID"),
    "BTCPay": ("BTCPAY_URL", "BTCPAY_STORE_ID", "BTCPAY_API_KEY", "BTCPAY_WEBHOOK_SECRET"),
}
#: A bonus doubles what was paid for at most: more is a slip.
_BONUS_FACTOR_MAX: Final = 2


def find_missing(given: Mapping[str, str]) -> Problems:
    """Which settings are missing or wrong beside those that are set (by their names without
    `CREDITBOT_`), or name a file that isn't there; and why."""
    problems: Problems = {}
    if "TELEGRAM_WEBHOOK_URL" in given:
        if "TELEGRAM_WEBHOOK_SECRET" not in given:
            forged = "is needed with a webhook: without it anyone could forge messages"
            problems |= {"TELEGRAM_WEBHOOK_SECRET": forged}
        if given.get("HTTP_PORT", "").strip() == "0":
            problems["HTTP_PORT"] = "must not be 0 with a webhook"
    if "DISCORD_SKUS" in given and "DISCORD_TOKEN" not in given:
        problems |= {"DISCORD_TOKEN": "is needed with SKUs: they are sold there"}
    for gateway, names in _GATEWAYS.items():
        if any(name in given for name in names):
            problems |= _missing_of_gateway(gateway, names, given)
    for method in (part.strip() for part in given.get("PAYOUTS", "").split(",")):
        needed = {name: setting for name, setting in METHOD_SETTINGS.items() if name == method}
        if any(setting and setting not in given for setting in needed.values()):
            problems["PAYOUTS"] = f"names {method}, which isn't set up: see its own settings"
    if "OVERLAY" in given and not Path(given["OVERLAY"]).is_file():
        problems["OVERLAY"] = "names a file that isn't there"
    return problems | dict(_missing_budgets(given))


def _missing_of_gateway(gateway: str, names: Sequence[str], given: Mapping[str, str]) -> Problems:
    problems: Problems = {}
    for name in names:
        if name not in given:
            forged = ": without it anyone could forge payments" if "WEBHOOK" in name else ""
            problems[name] = f"is needed with {gateway}{forged}"
    if "PUBLIC_URL" not in given:
        problems["PUBLIC_URL"] = (
            f"is needed with {gateway}: the address at which the world reaches this service, for"
            " webhooks and for the way back from checkout"
        )
    if given.get("HTTP_PORT", "").strip() == "0":
        problems["HTTP_PORT"] = f"must not be 0 with {gateway}"
    return problems


def _missing_budgets(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """A key may cost money; a custom address alone costs nothing that we know of."""
    for name in given:
        if name.startswith("SUPPLIER_") and name.endswith("_KEY"):
            supplier = name.removesuffix("_KEY")
            if f"{supplier}_QUOTA" not in given and f"{supplier}_URL" not in given:
                yield f"{supplier}_QUOTA", "is needed with a key: the dollars that it may cost"


def find_conflicts(offer: Offer, skus: Sequence[tuple[str, str]]) -> Problems:
    """What can't be sold like that: the setting's name and what is wrong with it."""
    problems: Problems = {}
    known = {pack.name.casefold(): pack.name for pack in offer.packs}
    for name, _ in skus:
        if name not in known:
            problems["DISCORD_SKUS"] = (
                f"names “{name}”, which is no pack; there are {', '.join(known.values())}"
            )
    if offer.min_amount > offer.max_amount:
        problems["TOPUP_LEAST"] = "is more than CREDITBOT_TOPUP_MOST"
    for what in _wrong_packs(offer):
        problems.setdefault("PACKS", what)
    return problems


def _wrong_packs(offer: Offer) -> Iterator[str]:
    packs = offer.packs
    if len({pack.name.casefold() for pack in packs}) < len(packs):
        yield "names a pack twice"
    if len({pack.cash for pack in packs}) < len(packs):
        yield "has two packs of one price"
    for pack in packs:
        price = format_usd(pack.cash)
        least = offer.compute_entitlement_without_pack(pack.cash).total
        most = offer.compute_entitlement(pack.cash).bought.multiply_by(_BONUS_FACTOR_MAX)
        if not offer.min_amount <= pack.cash <= offer.max_amount:
            yield (
                f"has {pack.name} for {price}, which is not between CREDITBOT_TOPUP_LEAST and"
                " CREDITBOT_TOPUP_MOST"
            )
        elif pack.credits < least:
            yield (
                f"has {pack.name} with {pack.credits.units:,} Credits, but {price} buys"
                f" {least.units:,} without a pack"
            )
        elif pack.credits > most:
            yield f"has {pack.name} with more than twice the Credits that {price} is worth"
