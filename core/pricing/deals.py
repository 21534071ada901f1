"""Deals: which tier and which promotions a person has, and what a model costs them. In this order:
price → tier → the best one promotion → round up → floor.

The result is the one price that a person sees and pays; never above the list price, never below
the floor. A list price that is itself below the floor stays as it is. What is read of a person is
cached for half a minute and read again after each of their asks and orders, beside the ask. While
neither tiers nor promotions exist nothing is read at all.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, replace

from core.clock import Clock
from core.money import MicroCredits
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs
from core.pricing.formula import INPUT_WEIGHT, PICO_PER_MICRO_CREDIT
from core.pricing.prices import Price, PriceBook
from core.pricing.promotions import Promotion, Promotions
from core.pricing.tiers import Tier, Tiers

#: The largest discount, in per cent: nothing is free.
DISCOUNT_MAX = 99


#: The largest bonus on top-ups, in per cent: more is a slip.
BONUS_MAX = 100


#: The floor, in per cent over the supplier's cost: what a payment's fees take.
FLOOR_PERCENT = 10


#: What was read of a person is cached for so long, of so many people.
CACHE_SECONDS = 30.0
_CACHED_PEOPLE_MAX = 50_000


@dataclass(frozen=True, slots=True)
class PersonStatus:
    """This was read of a person: the tier that they reach, the promotions that they redeemed a
    voucher of, and those that they (or all together) used up; promotions are ids."""

    reached_tier: str = ""
    redeemed: frozenset[str] = frozenset()
    used_up: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal is a model's price for somebody, with the tier and the promotion that lowered it."""

    price: Price
    #: Empty or None where it made no difference.
    tier: str = ""
    promotion: Promotion | None = None


@dataclass(frozen=True, slots=True)
class TopupBonus:
    """A top-up brings a bonus on top: by a tier, so many per cent of what is bought, and by a
    promotion."""

    tier: str = ""
    tier_percent: int = 0
    promotion: Promotion | None = None


class Deals:
    """`Deals` works out what each person is offered: prices for models, bonuses on top-ups."""

    def __init__(
        self,
        *,
        prices: PriceBook,
        catalogue: Catalogue,
        costs: Costs,
        tiers: Tiers,
        promotions: Promotions,
        clock: Clock,
        floor_percent: int = FLOOR_PERCENT,
    ) -> None:
        """No offer goes below the supplier's cost and `floor_percent` of it."""
        self._prices, self._catalogue, self._costs = prices, catalogue, costs
        self.tiers, self.promotions = tiers, promotions
        self._clock, self._floor_percent = clock, floor_percent
        self._cache: OrderedDict[str, tuple[float, PersonStatus]] = OrderedDict()

    async def load(self) -> None:
        """Reads tiers and promotions again, as other processes may have changed them."""
        await self.tiers.load()
        await self.promotions.load()

    async def refresh_prices(self) -> None:
        """Reads what other processes changed of plain prices, unless it was read just now."""
        await self._prices.refresh()

    async def load_person(self, person: str, *, force: bool = False) -> None:
        """Reads what the offers of this person depend on, unless it is cached; with `force` always.
        The other methods go by the cache alone."""
        if not self.tiers.all and not self.promotions.all:
            return
        now, cached = self._clock.monotonic(), self._cache.get(person)
        if cached is not None and now - cached[0] < CACHE_SECONDS and not force:
            return
        promotions = [one for one in self.promotions.all if one.kind != "credits"]
        used = await self.promotions.count_uses(promotions, person)
        status = PersonStatus(
            reached_tier=self.tiers.find_reached(await self.tiers.measure_person(person)),
            redeemed=await self.promotions.find_redeemed(promotions, person),
            used_up=frozenset(
                one.id for one in promotions if one.id in used and _is_used_up(one, *used[one.id])
            ),
        )
        self._cache[person] = now, status
        self._cache.move_to_end(person)
        if len(self._cache) > _CACHED_PEOPLE_MAX:
            self._cache.popitem(last=False)

    def forget_person(self, person: str) -> None:
        """Drops what is cached of a person, after something of theirs changed."""
        self._cache.pop(person, None)

    def expire_person(self, person: str) -> None:
        """Has what is cached of a person read again when it is loaded next; until then it counts,
        for asks that are being quoted by it."""
        if person in self._cache:
            self._cache[person] = -math.inf, self._cache[person][1]

    def find_tier(self, person: str) -> Tier | None:
        """The tier of somebody who was loaded."""
        return (
            self.tiers.find_for_person(person, self._get_status(person).reached_tier)
            if self.tiers.all
            else None
        )

    def find_deal(self, person: str, model: str, *, without: Collection[str] = ()) -> Deal | None:
        """What a model costs somebody who was loaded (or nobody, by an empty id); None when it has
        no price. `without` holds ids of promotions that don't count."""
        list_price = self._prices.find_current(model)
        if list_price is None or not (self.tiers.all or self.promotions.all):
            return None if list_price is None else Deal(list_price)
        tier = self.find_tier(person)
        best = max(
            (
                promotion
                for promotion in self.promotions.list_running("discount")
                if promotion.discounts_model(model)
                and promotion.id not in without
                and self._is_eligible(person, promotion)
            ),
            key=_rank,
            default=None,
        )
        return self._make_deal(list_price, tier, best)

    def find_bonus(self, person: str, *, without: Collection[str] = ()) -> TopupBonus:
        """What a top-up brings on top to somebody who was loaded."""
        tier = self.find_tier(person)
        best = max(
            (
                promotion
                for promotion in self.promotions.list_running("bonus")
                if promotion.id not in without and self._is_eligible(person, promotion)
            ),
            key=_rank,
            default=None,
        )
        if tier is None or not tier.bonus_percent:
            return TopupBonus(promotion=best)
        return TopupBonus(tier.name, tier.bonus_percent, best)

    def apply_promotion(self, list_price: Price, promotion: Promotion) -> Price:
        """A price with that promotion alone: what an admin who makes it is shown."""
        return self._discount(list_price, 0, promotion.percent)

    def _make_deal(self, list_price: Price, tier: Tier | None, promotion: Promotion | None) -> Deal:
        tier_percent = 0 if tier is None else tier.discount_percent
        tier_price = self._discount(list_price, tier_percent, 0)
        final_price = (
            tier_price
            if promotion is None
            else self._discount(list_price, tier_percent, promotion.percent)
        )
        # What makes no difference, because of the floor, is neither shown nor used up.
        return Deal(
            final_price,
            tier.name if tier is not None and tier_price != list_price else "",
            promotion if final_price != tier_price else None,
        )

    def _discount(self, list_price: Price, tier_percent: int, promotion_percent: int) -> Price:
        if not tier_percent and not promotion_percent:
            return list_price
        model = self._catalogue.models.get(list_price.model)
        if model is None:
            return list_price
        floor_rate = calculate_floor(self._costs, model, self._clock.now_ms(), self._floor_percent)
        if floor_rate is None:
            return list_price
        return discount_price(
            list_price,
            tier_percent=tier_percent,
            promotion_percent=promotion_percent,
            floor_rate=floor_rate,
        )

    def _is_eligible(self, person: str, promotion: Promotion) -> bool:
        status = self._get_status(person)
        if promotion.id in status.used_up:
            return False
        return not promotion.needs_code or promotion.id in status.redeemed

    def _get_status(self, person: str) -> PersonStatus:
        cached = self._cache.get(person)
        return PersonStatus() if cached is None else cached[1]


def _rank(promotion: Promotion) -> tuple[int, bool, str]:
    """A sort key, the best promotion last: of two equal ones the one that has no limit."""
    return promotion.percent, not promotion.is_limited, promotion.id


def _is_used_up(promotion: Promotion, by_all: int, by_person: int) -> bool:
    total, per_person = promotion.total, promotion.per_person
    return (total is not None and by_all >= total) or (
        per_person is not None and by_person >= per_person
    )


def discount_price(
    price: Price, *, tier_percent: int, promotion_percent: int, floor_rate: MicroCredits
) -> Price:
    """The price less a tier's per cent, then less a promotion's; `floor_rate` is what tokens of the
    usual mix cost at least (`calculate_floor`). The rates are rounded up, once."""
    mixed_rate = mix_rates(price.input_rate, price.output_rate)
    floor_rate = min(floor_rate, mixed_rate)
    input_rate, output_rate = (
        max(
            rate.share_up((100 - tier_percent) * (100 - promotion_percent), 10_000),
            rate.share_up(floor_rate.units, mixed_rate.units),
        )
        for rate in (price.input_rate, price.output_rate)
    )
    return replace(price, input_rate=input_rate, output_rate=output_rate)


def calculate_floor(costs: Costs, model: Model, at_ms: int, percent: int) -> MicroCredits | None:
    """What tokens of the usual mix cost at least, in micro-Credits: so many per cent over what the
    dearest supplier takes, at par. None while no supplier's cost is known: then there are no
    discounts."""
    routes = [route for route in model.routes if costs.has_cost(route, model.per)]
    if not routes:
        return None
    bases = (costs.get_base_rates(route, at_ms, model.per) for route in routes)
    pico = max(INPUT_WEIGHT * inward + outward for inward, outward in bases)
    return MicroCredits(-(-pico * (100 + percent) // (100 * PICO_PER_MICRO_CREDIT)))


def mix_rates(input_rate: MicroCredits, output_rate: MicroCredits) -> MicroCredits:
    """What tokens of the usual mix cost: two in and one out; for audio, three seconds."""
    return input_rate.multiply_by(INPUT_WEIGHT) + output_rate
