"""The offer: what a sum of cash buys. Every bonus is a gift, so that a bought Credit always brought
one cent.

An order keeps the offer that it was made under, so that changing the settings changes nothing of
what was promised before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from core.errors import Refusal
from core.money import Credits, NanoUsd, usd
from core.pricing.formula import PAR
from core.users.referrals import TOPUP_PERCENT

#: What is one buyer's own.
_EXTRA = ("tier", "tier_percent", "promotion", "promotion_percent")


class BadAmount(Refusal):
    """Nothing is sold for this amount of cash."""

    code: ClassVar[str] = "bad_amount"

    def __init__(self, least: NanoUsd, most: NanoUsd) -> None:
        self.least, self.most = least, most


@dataclass(frozen=True, slots=True)
class Given:
    """An entitlement is what is given for a sum of cash: bought Credits at par, and a bonus."""

    bought: Credits
    bonus: Credits

    @property
    def total(self) -> Credits:
        """Both together."""
        return self.bought + self.bonus

    def __sub__(self, other: Given) -> Given:
        return Given(self.bought - other.bought, self.bonus - other.bonus)

    def at_least(self, other: Given) -> Given:
        """Of each part the larger: a payment never takes, though its sum may miss a bonus."""
        return Given(max(self.bought, other.bought), max(self.bonus, other.bonus))

    def at_most(self, other: Given) -> Given:
        """Of each part the smaller: a refund never gives, though what is left may be a pack's
        price."""
        return Given(min(self.bought, other.bought), min(self.bonus, other.bonus))


@dataclass(frozen=True, slots=True)
class Pack:
    """A pack sells an amount of Credits for a fixed price."""

    name: str
    cash: NanoUsd
    credits: Credits


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer says what can be bought: packs, free amounts and their bonus."""

    packs: Sequence[Pack] = (
        Pack("Starter", usd("10"), Credits(1_000)),
        Pack("Pro", usd("90"), Credits(10_000)),
        Pack("Enterprise", usd("800"), Credits(100_000)),
    )
    #: From this free amount on there is a bonus of so many per cent.
    bonus_from: NanoUsd = usd("100")  # noqa: RUF009 - a constant
    bonus_percent: int = 10
    least: NanoUsd = usd("1")  # noqa: RUF009
    most: NanoUsd = usd("10000")  # noqa: RUF009
    #: Of what a top-up gives, whoever invited its buyer gets so many per cent on top.
    inviter_percent: int = TOPUP_PERCENT
    #: On top of all that, for one buyer: per cent of what is bought, by their tier's name and by a
    #: promotion's id.
    tier: str = ""
    tier_percent: int = 0
    promotion: str = ""
    promotion_percent: int = 0

    def check(self, cash: NanoUsd) -> None:
        """Raises `BadAmount` for an amount that isn't sold: whole cents, from least to most."""
        if not self.least <= cash <= self.most or cash.units % CENT.units:
            raise BadAmount(self.least, self.most)

    def given(self, cash: NanoUsd) -> Given:
        """What this sum gives: the pack of that price if there is one, else by the free rate. Also
        for sums that aren't sold, down to nothing: a refund leaves any."""
        bought = Credits(cash.units // PAR.units)
        pack = self.pack(cash)
        if pack is not None:
            return Given(bought, pack.credits - bought + self._extra(bought))
        return self.free(cash)

    def free(self, cash: NanoUsd) -> Given:
        """What this sum gives at the free rate."""
        bought = Credits(cash.units // PAR.units)
        bonus = self.bonus_percent if cash >= self.bonus_from else 0
        return Given(bought, bought.share_down(bonus, 100) + self._extra(bought))

    def _extra(self, bought: Credits) -> Credits:
        return bought.share_down(self.tier_percent + self.promotion_percent, 100)

    def pack(self, cash: NanoUsd) -> Pack | None:
        """The pack of this price."""
        return next((pack for pack in self.packs if pack.cash == cash), None)

    def better(self, cash: NanoUsd) -> Pack | None:
        """The dearest pack that costs no more than this free amount and gives no less."""
        given = self.given(cash).total
        packs = (pack for pack in self.packs if pack.cash < cash)
        better = [pack for pack in packs if self.given(pack.cash).total >= given]
        return max(better, key=lambda pack: pack.credits, default=None)

    def text(self) -> str:
        """All of it that an order needs later, as JSON."""
        kept: dict[str, object] = {
            "packs": [[pack.name, cents(pack.cash), pack.credits.units] for pack in self.packs],
            "bonus_from": cents(self.bonus_from),
            "bonus_percent": self.bonus_percent,
            "inviter_percent": self.inviter_percent,
        }
        extra = {name: getattr(self, name) for name in _EXTRA}
        return json.dumps(kept | {name: value for name, value in extra.items() if value})


@lru_cache(maxsize=64)
def offer_of(text: str) -> Offer:
    """The offer of an `Offer.to_json`."""
    kept = json.loads(text)
    return Offer(
        packs=tuple(
            Pack(name, of_cents(cash), Credits(credits_)) for name, cash, credits_ in kept["packs"]
        ),
        bonus_from=of_cents(kept["bonus_from"]),
        bonus_percent=kept["bonus_percent"],
        inviter_percent=kept["inviter_percent"],
        **{name: kept[name] for name in _EXTRA if name in kept},
    )


CENT = usd("0.01")


def cents(cash: NanoUsd) -> int:
    """Whole cents, rounded down."""
    return cash.units // CENT.units


def of_cents(number: int) -> NanoUsd:
    """So many cents."""
    return CENT.times(number)


def dollars(cash: NanoUsd) -> str:
    """Whole cents as payment services write them: `10.00`."""
    return f"{cents(cash) // 100}.{cents(cash) % 100:02}"
