"""The offer as settings tell it: packs, free amounts and their bonus, the inviter's share.

What would give less than it takes, or can't be bought, is told at start with everything else.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bots.commands.text import format_usd
from core.money import Credits, NanoUsd, parse_usd
from payments.offer import CENT, Offer, Pack

_PACK = re.compile(r"([^:,]{1,32}):([^:,]+):(\d{1,9})")
#: A bonus doubles what was paid for at most: more is a slip.
_BONUS_FACTOR_MAX = 2
#: More is a slip.
DOLLARS_MAX = parse_usd("100000")


def dollars(text: str) -> NanoUsd:
    """An amount in whole cents above zero; raises ValueError."""
    try:
        amount = parse_usd(text.strip())
    except ValueError:
        amount = NanoUsd(0)
    if amount.units <= 0 or amount.units % CENT.units or amount > DOLLARS_MAX:
        raise ValueError(f"“{text[:40]}” is no amount of dollars like 100 or 9.99")
    return amount


def packs_of(text: str) -> tuple[Pack, ...]:
    """`Starter:10:1000,Pro:90:10000`: name, dollars, Credits; or `none`. Raises ValueError."""
    if text.strip().lower() == "none":
        return ()
    packs = []
    for part in text.split(","):
        matched = _PACK.fullmatch(part.strip())
        if matched is None:
            raise ValueError(f"“{part.strip()[:40]}” is not like Starter:10:1000")
        packs.append(Pack(matched[1].strip(), dollars(matched[2]), Credits(int(matched[3]))))
    return tuple(packs)


def wrong_with(offer: Offer) -> dict[str, str]:
    """What can't stand together: the setting's name and what is wrong with it."""
    problems = {}
    if offer.min_amount > offer.max_amount:
        problems["topup_least"] = "is more than CREDITBOT_TOPUP_MOST"
    for what in _wrong_packs(offer):
        problems.setdefault("packs", what)
    return problems


def _wrong_packs(offer: Offer) -> Sequence[str]:
    found = []
    packs = offer.packs
    if len({pack.name.casefold() for pack in packs}) < len(packs):
        found.append("names a pack twice")
    if len({pack.cash for pack in packs}) < len(packs):
        found.append("has two packs of one price")
    for pack in packs:
        price, least = (
            format_usd(pack.cash),
            offer.compute_entitlement_without_pack(pack.cash).total,
        )
        if not offer.min_amount <= pack.cash <= offer.max_amount:
            found.append(
                f"has {pack.name} for {price}, which is not between CREDITBOT_TOPUP_LEAST and"
                " CREDITBOT_TOPUP_MOST"
            )
        elif pack.credits < least:
            found.append(
                f"has {pack.name} with {pack.credits.units:,} Credits, but {price} buys"
                f" {least.units:,} without a pack"
            )
        elif pack.credits > offer.compute_entitlement(pack.cash).bought.multiply_by(
            _BONUS_FACTOR_MAX
        ):
            found.append(f"has {pack.name} with more than twice the Credits that {price} is worth")
    return found
