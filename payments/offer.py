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
from core.money import Credits, NanoUsd, parse_usd
from core.pricing.formula import PAR
from core.users.referrals import INVITER_TOPUP_PERCENT

#: What is one buyer's own.
_BUYER_FIELDS = ("tier", "tier_percent", "promotion", "promotion_percent")


class BadAmount(Refusal):
    """Nothing is sold for this amount of cash."""

    code: ClassVar[str] = "bad_amount"

    def __init__(self, minimum: NanoUsd, maximum: NanoUsd) -> None:
        self.minimum, self.maximum = minimum, maximum


@dataclass(frozen=True, slots=True)
class Entitlement:
    """An entitlement is what is given for a sum of cash: bought Credits at par, and a bonus."""

    bought: Credits
    bonus: Credits

    @property
    def total(self) -> Credits:
        """Both together."""
        return self.bought + self.bonus

    def __add__(self, other: Entitlement) -> Entitlement:
        return Entitlement(self.bought + other.bought, self.bonus + other.bonus)

    def __sub__(self, other: Entitlement) -> Entitlement:
        return Entitlement(self.bought - other.bought, self.bonus - other.bonus)

    def raise_to(self, other: Entitlement) -> Entitlement:
        """Of each part the larger: a payment never takes, though its sum may miss a bonus."""
        return Entitlement(max(self.bought, other.bought), max(self.bonus, other.bonus))

    def cap_at(self, other: Entitlement) -> Entitlement:
        """Of each part the smaller: a refund never gives, though what is left may be a pack's
        price."""
        return Entitlement(min(self.bought, other.bought), min(self.bonus, other.bonus))


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
        Pack("Starter", parse_usd("10"), Credits(1_000)),
        Pack("Pro", parse_usd("90"), Credits(10_000)),
        Pack("Enterprise", parse_usd("800"), Credits(100_000)),
    )
    #: From this free amount on there is a bonus of so many per cent.
    bonus_from: NanoUsd = parse_usd("100")  # noqa: RUF009 - a constant
    bonus_percent: int = 10
    min_amount: NanoUsd = parse_usd("1")  # noqa: RUF009
    max_amount: NanoUsd = parse_usd("10000")  # noqa: RUF009
    #: Of what a top-up gives, whoever invited its buyer gets so many per cent on top.
    inviter_percent: int = INVITER_TOPUP_PERCENT
    #: On top of all that, for one buyer: per cent of what is bought, by their tier's name and by a
    #: promotion's id.
    tier: str = ""
    tier_percent: int = 0
    promotion: str = ""
    promotion_percent: int = 0

    def validate_amount(self, cash: NanoUsd) -> None:
        """Raises `BadAmount` for an amount that isn't sold: whole cents, from least to most."""
        if not self.min_amount <= cash <= self.max_amount or cash.units % CENT.units:
            raise BadAmount(self.min_amount, self.max_amount)

    def compute_entitlement(self, cash: NanoUsd) -> Entitlement:
        """What this sum gives: the pack of that price if there is one, else by the free rate. Also
        for sums that aren't sold, down to nothing: a refund leaves any."""
        bought = Credits(cash.units // PAR.units)
        pack = self.find_pack(cash)
        if pack is not None:
            return Entitlement(bought, pack.credits - bought + self._compute_extra_bonus(bought))
        return self.compute_entitlement_without_pack(cash)

    def compute_entitlement_without_pack(self, cash: NanoUsd) -> Entitlement:
        """What this sum gives at the free rate."""
        bought = Credits(cash.units // PAR.units)
        bonus = self.bonus_percent if cash >= self.bonus_from else 0
        return Entitlement(
            bought, bought.share_down(bonus, 100) + self._compute_extra_bonus(bought)
        )

    def _compute_extra_bonus(self, bought: Credits) -> Credits:
        return bought.share_down(self.tier_percent + self.promotion_percent, 100)

    def find_cash(self, credits_wanted: Credits) -> NanoUsd:
        """The least free amount, in whole cents, that gives so many Credits, its bonus counted."""
        cash = PAR.multiply_by(credits_wanted.units)
        percent = 100 + self.tier_percent + self.promotion_percent
        for extra, least in ((self.bonus_percent, self.bonus_from), (0, NanoUsd(0))):
            bought = -(-credits_wanted.units * 100 // (percent + extra))
            candidate = max(PAR.multiply_by(bought), least)
            # Each bonus is rounded down by itself: a Credit may lack.
            if self.compute_entitlement_without_pack(candidate).total < credits_wanted:
                candidate += PAR
            enough = self.compute_entitlement_without_pack(candidate).total >= credits_wanted
            if enough and candidate < cash:
                cash = candidate
        return cash

    def find_pack(self, cash: NanoUsd) -> Pack | None:
        """The pack of this price."""
        return next((pack for pack in self.packs if pack.cash == cash), None)

    def find_better_pack(self, cash: NanoUsd) -> Pack | None:
        """The dearest pack that costs no more than this free amount and gives no less."""
        credits_given = self.compute_entitlement(cash).total
        packs = (pack for pack in self.packs if pack.cash < cash)
        better = [
            pack for pack in packs if self.compute_entitlement(pack.cash).total >= credits_given
        ]
        return max(better, key=lambda pack: pack.credits, default=None)

    def to_json(self) -> str:
        """All of it that an order needs later, as JSON."""
        document: dict[str, object] = {
            "packs": [[pack.name, to_cents(pack.cash), pack.credits.units] for pack in self.packs],
            "bonus_from": to_cents(self.bonus_from),
            "bonus_percent": self.bonus_percent,
            "inviter_percent": self.inviter_percent,
        }
        extra = {name: getattr(self, name) for name in _BUYER_FIELDS}
        return json.dumps(document | {name: value for name, value in extra.items() if value})


@lru_cache(maxsize=64)
def parse_offer(text: str) -> Offer:
    """The offer of an `Offer.to_json`."""
    document = json.loads(text)
    return Offer(
        packs=tuple(
            Pack(name, from_cents(cash), Credits(credits_))
            for name, cash, credits_ in document["packs"]
        ),
        bonus_from=from_cents(document["bonus_from"]),
        bonus_percent=document["bonus_percent"],
        inviter_percent=document["inviter_percent"],
        **{name: document[name] for name in _BUYER_FIELDS if name in document},
    )


CENT = parse_usd("0.01")


def to_cents(cash: NanoUsd) -> int:
    """Whole cents, rounded down."""
    return cash.units // CENT.units


def from_cents(number: int) -> NanoUsd:
    """So many cents."""
    return CENT.multiply_by(number)


def to_decimal_dollars(cash: NanoUsd) -> str:
    """Whole cents as payment services write them: `10.00`."""
    return f"{to_cents(cash) // 100}.{to_cents(cash) % 100:02}"
