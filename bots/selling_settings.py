"""What settings of selling and paying out need: gateways' together, a Star's worth, packs and their
SKUs, the ways by which people are paid.

What is wrong with them is told at start with everything else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from core.earnings.payouts import PayoutMethod
from core.money import NanoUsd, parse_usd
from payments.offer import Offer

#: Each gateway's settings: none of them, or all.
_GATEWAYS = {
    "Stripe": ("stripe_secret_key", "stripe_webhook_secret"),
    "PayPal": ("paypal_client_id", "paypal_client_secret", "paypal_webhook_id"),
    "BTCPay": ("btcpay_url", "btcpay_store_id", "btcpay_api_key", "btcpay_webhook_secret"),
}
#: Ways by which people can be paid, and the setting that each needs.
_PAYS: Mapping[PayoutMethod, str] = {
    "paypal": "paypal_client_id",
    "btcpay": "btcpay_url",
    "manual": "",
}
_SNOWFLAKE = re.compile(r"\d{1,20}")
#: Outside of these it is a slip.
_STAR_LEAST, _STAR_MOST = parse_usd("0.001"), parse_usd("1")


def lacking(values: Mapping[str, str]) -> dict[str, str]:
    """Which settings are missing beside those that are there, and why."""
    problems = {}
    if "discord_skus" in values and "discord_token" not in values:
        problems["discord_token"] = "is needed with SKUs: they are sold there"  # noqa: S105 - words
    for gateway, names in _GATEWAYS.items():
        if any(name in values for name in names):
            problems |= _lacking(gateway, names, values)
    for method in ways(values.get("payouts", "")):
        if _PAYS[method] and _PAYS[method] not in values:
            problems["payouts"] = f"names {method}, which isn't set up: see its own settings"
    return problems


def _lacking(gateway: str, names: Sequence[str], values: Mapping[str, str]) -> dict[str, str]:
    problems = {}
    for name in names:
        if name not in values:
            forged = ": without it anyone could forge payments" if "webhook" in name else ""
            problems[name] = f"is needed with {gateway}{forged}"
    if "public_url" not in values:
        problems["public_url"] = (
            f"is needed with {gateway}: the address at which the world reaches this service, for"
            " webhooks and for the way back from checkout"
        )
    if values.get("http_port", "").strip() == "0":
        problems["http_port"] = f"must not be 0 with {gateway}"
    return problems


def known_ways(text: str) -> str:
    """The text, if it names ways to be paid; else raises ValueError."""
    named = _named(text)
    if len(set(named)) < len(named) or not set(named) <= set(_PAYS):
        raise ValueError(f"names some of {', '.join(_PAYS)}, each once")
    return text


def ways(text: str) -> tuple[PayoutMethod, ...]:
    """The ways that are named there, in their order."""
    return tuple(method for name in _named(text) for method in _PAYS if method == name)


def ways_set_up(paypal: str, btcpay: str) -> str:
    """Those whose settings are there; by hand where none is."""
    given = {"paypal": paypal, "btcpay": btcpay}
    return ",".join(name for name, there in given.items() if there) or "manual"


def _named(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def star(text: str) -> str:
    """The text, if it is what a Star can bring; else raises ValueError."""
    try:
        fine = _STAR_LEAST <= parse_usd(text) <= _STAR_MOST
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("is what a Star brings, in dollars, like 0.013")
    return text


def skus(text: str) -> str:
    """The text, if it can be packs and their SKUs; else raises ValueError."""
    pairs = _pairs(text)
    names, ids = {name for name, _ in pairs}, {sku for _, sku in pairs}
    twice = len(names) < len(pairs) or len(ids) < len(pairs)
    if twice or not all(map(_SNOWFLAKE.fullmatch, ids)):
        raise ValueError("names each pack once with a SKU of its own, like starter:123,pro:456")
    return text


def wrong_skus(text: str, offer: Offer) -> list[str]:
    """What of them doesn't go with what is sold."""
    known = {pack.name.casefold(): pack.name for pack in offer.packs}
    return [
        f"names “{name}”, which is no pack; there are {', '.join(known.values())}"
        for name, _ in _pairs(text)
        if name not in known
    ]


def sku_prices(text: str, offer: Offer) -> dict[str, NanoUsd]:
    """The price of each SKU's pack, by SKU."""
    prices = {pack.name.casefold(): pack.cash for pack in offer.packs}
    return {sku: prices[name] for name, sku in _pairs(text)}


def _pairs(text: str) -> list[tuple[str, str]]:
    """(a pack's name in small letters, its SKU) of each part."""
    parts = [part.partition(":") for part in text.split(",") if part.strip()]
    return [(name.strip().casefold(), sku.strip()) for name, _, sku in parts]
