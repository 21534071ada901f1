"""What settings say of payments that a platform shows itself: a Star's worth, packs and their SKUs.

What is wrong with them is told at start with everything else.
"""

from __future__ import annotations

import re

from core.units import NanoUsd, usd
from payments import Offer

_SNOWFLAKE = re.compile(r"\d{1,20}")
#: Outside of these it is a slip.
_STAR_LEAST, _STAR_MOST = usd("0.001"), usd("1")


def star(text: str) -> str:
    """The text, if it is what a Star can bring; else raises ValueError."""
    try:
        fine = _STAR_LEAST <= usd(text) <= _STAR_MOST
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
