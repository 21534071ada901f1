"""Settings that can't stand together, or lack another: told by name at start, all at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from bots.config.fields import METHOD_SETTINGS
from core.money import format_usd
from core.pool.keys import check_shape
from core.pool.suppliers import SUPPLIERS
from core.pool.types import KeyRefused
from payments.offer import Offer

Problems = dict[str, str]

#: Each gateway's settings: none of them, or all.
_GATEWAYS: Final = {
    "Stripe": ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"),
    "PayPal": ("PAYPAL_CLIENT_ID", "PAYPAL_CLIENT_SECRET", "PAYPAL_WEBHOOK_ID"),
    "BTCPay": ("BTCPAY_URL", "BTCPAY_STORE_ID", "BTCPAY_API_KEY", "BTCPAY_WEBHOOK_SECRET"),
}
_SUPPLIER: Final = re.compile(r"SUPPLIER_([A-Z0-9_]+?)_(?:URL|KEY|QUOTA|ACCOUNT)")
#: What is wrong with a supplier's key, by the reason for which the pool refuses it.
_KEY_PROBLEMS: Final = {
    "shape": "doesn't look like a key of {title}",
    "admin": "is an admin key of an organisation: those can't run models",
    "subscription": "belongs to a subscription, whose tokens other products may not use",
}
#: Where Telegram's updates come in, the ports that Telegram calls, and how a secret is written
#: (https://core.telegram.org/bots/api#setwebhook). A Bot API server of one's own knows no such
#: bounds on addresses.
WEBHOOK_PATH: Final = "/webhooks/telegram"
_WEBHOOK_PORTS: Final = (443, 80, 88, 8443)
_WEBHOOK_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
#: Addresses of the same machine, for whoever tries it out.
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
#: A bonus doubles what was paid for at most: more is a slip.
_BONUS_FACTOR_MAX: Final = 2


def find_missing(given: Mapping[str, str]) -> Problems:
    """Which settings are missing or wrong beside those that are set (by their names without
    `CREDITBOT_`), or name a file that isn't there; and why."""
    problems = dict(_wrong_webhook(given))
    if urlsplit(given.get("PUBLIC_URL", "")).scheme == "http" and not _is_loopback(
        given["PUBLIC_URL"]
    ):
        problems["PUBLIC_URL"] = "begins with https://; gateways and browsers trust nothing else"
    if urlsplit(given.get("API_URL", "")).scheme == "http" and not _is_loopback(given["API_URL"]):
        problems["API_URL"] = "begins with https://; tokens would be read on the way"
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
    return problems | dict(_missing_budgets(given)) | dict(_wrong_supplier_keys(given))


def _wrong_webhook(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    secret, url = (given.get(f"TELEGRAM_WEBHOOK_{name}") for name in ("SECRET", "URL"))
    if secret and not _WEBHOOK_SECRET.fullmatch(secret):
        yield (
            "TELEGRAM_WEBHOOK_SECRET",
            "is 1 to 256 letters, digits, _ or -: Telegram takes no other",
        )
    if not url:
        return
    if not secret:
        forged = "is needed with a webhook: without it anyone could forge messages"
        yield "TELEGRAM_WEBHOOK_SECRET", forged
    if given.get("HTTP_PORT", "").strip() == "0":
        yield "HTTP_PORT", "must not be 0 with a webhook"
    if not url.rstrip("/").endswith(WEBHOOK_PATH):
        yield "TELEGRAM_WEBHOOK_URL", f"ends in {WEBHOOK_PATH}: updates are taken there alone"
    elif "TELEGRAM_API_URL" not in given:
        if not url.startswith("https://"):
            yield "TELEGRAM_WEBHOOK_URL", "begins with https://: Telegram calls nothing else"
        elif (_read_port(url) or _WEBHOOK_PORTS[0]) not in _WEBHOOK_PORTS:
            ports = ", ".join(map(str, _WEBHOOK_PORTS))
            yield "TELEGRAM_WEBHOOK_URL", f"has a port that Telegram doesn't call; it calls {ports}"


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in _LOOPBACK
    except ValueError:  # told by the setting's own reader
        return False


def _read_port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        return -1


def _wrong_supplier_keys(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Suppliers that there aren't, and keys that can't be theirs; no key is repeated."""
    for name, value in given.items():
        if not (matched := _SUPPLIER.fullmatch(name)):
            continue
        supplier = SUPPLIERS.get(matched[1].lower().replace("_", "-"))
        if supplier is None:
            yield name, f"names no supplier; known are {', '.join(sorted(SUPPLIERS))}"
        elif name.endswith("_KEY"):
            prefix = name.removesuffix("KEY")
            if f"{prefix}URL" in given:
                supplier = supplier.with_base_url(given[f"{prefix}URL"])
            try:
                check_shape(supplier, SecretStr(value), given.get(f"{prefix}ACCOUNT", ""))
            except KeyRefused as refused:
                if refused.reason == "account":
                    yield f"{prefix}ACCOUNT", "is needed: the account's id, 32 hexadecimal digits"
                else:
                    yield name, _KEY_PROBLEMS[refused.reason].format(title=supplier.title)


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
