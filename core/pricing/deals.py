"""Deals: which tier and which promotions a person has, and what a model costs them. In this order:
price → tier → the best one promotion → round up → floor.

The result is the one price that a person sees and pays; never above the list price, never below
the floor. A list price that is itself below the floor stays as it is. What is read of a person is
cached for half a minute and read again after each of their asks and orders, beside the ask. While
neither tiers nor promotions exist nothing is read at all.
"""

from __future__ import annotations

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
KNOWN_SECONDS = 30.0
_PEOPLE_MAX = 50_000


@dataclass(frozen=True, slots=True)
class Known:
    """This was read of a person: the tier that they reach, the promotions that they redeemed a
    voucher of, and those that they (or all together) used up; promotions are ids."""

    reached: str = ""
    held: frozenset[str] = frozenset()
    used_up: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Deal:
    """A deal is a model's price for somebody, with the tier and the promotion that lowered it."""

    price: Price
    #: Empty or None where it made no difference.
    tier: str = ""
    promotion: Promotion | None = None


@dataclass(frozen=True, slots=True)
class Bonus:
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
        self._people: OrderedDict[str, tuple[float, Known]] = OrderedDict()

    async def load(self) -> None:
        """Reads tiers and promotions again, as other processes may have changed them."""
        await self.tiers.load()
        await self.promotions.load()

    async def know(self, person: str, *, afresh: bool = False) -> None:
        """Reads what the offers of this person depend on, unless it is cached; with `force` always.
        The other methods go by the cache alone."""
        if not self.tiers.all and not self.promotions.all:
            return
        now, known = self._clock.monotonic(), self._people.get(person)
        if known is not None and now - known[0] < KNOWN_SECONDS and not afresh:
            return
        promotions = [one for one in self.promotions.all if one.kind != "credits"]
        used = await self.promotions.used(promotions, person)
        found = Known(
            reached=self.tiers.reached(await self.tiers.measured(person)),
            held=await self.promotions.held(promotions, person),
            used_up=frozenset(
                one.id for one in promotions if one.id in used and _used_up(one, *used[one.id])
            ),
        )
        self._people[person] = now, found
        self._people.move_to_end(person)
        if len(self._people) > _PEOPLE_MAX:
            self._people.popitem(last=False)

    def forget(self, person: str) -> None:
        """Drops what is cached of a person, after something of theirs changed."""
        self._people.pop(person, None)

    def tier(self, person: str) -> Tier | None:
        """The tier of somebody who was loaded."""
        return self.tiers.of(person, self._known(person).reached) if self.tiers.all else None

    def price(self, person: str, model: str, *, without: Collection[str] = ()) -> Deal | None:
        """What a model costs somebody who was loaded (or nobody, by an empty id); None when it has
        no price. `without` holds ids of promotions that don't count."""
        plain = self._prices.current(model)
        if plain is None or not (self.tiers.all or self.promotions.all):
            return None if plain is None else Deal(plain)
        tier = self.tier(person)
        best = max(
            (
                one
                for one in self.promotions.running("discount")
                if one.lowers(model) and one.id not in without and self._has(person, one)
            ),
            key=_order,
            default=None,
        )
        return self._deal(plain, tier, best)

    def bonus(self, person: str, *, without: Collection[str] = ()) -> Bonus:
        """What a top-up brings on top to somebody who was loaded."""
        tier = self.tier(person)
        best = max(
            (
                one
                for one in self.promotions.running("bonus")
                if one.id not in without and self._has(person, one)
            ),
            key=_order,
            default=None,
        )
        if tier is None or not tier.bonus:
            return Bonus(promotion=best)
        return Bonus(tier.name, tier.bonus, best)

    def lowered(self, plain: Price, promotion: Promotion) -> Price:
        """A price with that promotion alone: what an admin who makes it is shown."""
        return self._offered(plain, 0, promotion.percent)

    def _deal(self, plain: Price, tier: Tier | None, promotion: Promotion | None) -> Deal:
        off = 0 if tier is None else tier.discount
        by_tier = self._offered(plain, off, 0)
        both = by_tier if promotion is None else self._offered(plain, off, promotion.percent)
        # What makes no difference, because of the floor, is neither shown nor used up.
        return Deal(
            both,
            tier.name if tier is not None and by_tier != plain else "",
            promotion if both != by_tier else None,
        )

    def _offered(self, plain: Price, tier: int, promotion: int) -> Price:
        if not tier and not promotion:
            return plain
        model = self._catalogue.models.get(plain.model)
        if model is None:
            return plain
        least = floor(self._costs, model, self._clock.now_ms(), self._floor_percent)
        if least is None:
            return plain
        return offered(plain, tier=tier, promotion=promotion, least=least)

    def _has(self, person: str, promotion: Promotion) -> bool:
        known = self._known(person)
        if promotion.id in known.used_up:
            return False
        return not promotion.coded or promotion.id in known.held

    def _known(self, person: str) -> Known:
        known = self._people.get(person)
        return Known() if known is None else known[1]


def _order(promotion: Promotion) -> tuple[int, bool, str]:
    """A sort key, the best promotion last: of two equal ones the one that has no limit."""
    return promotion.percent, not promotion.limited, promotion.id


def _used_up(promotion: Promotion, by_all: int, by_person: int) -> bool:
    total, own = promotion.total, promotion.per_person
    return (total is not None and by_all >= total) or (own is not None and by_person >= own)


def offered(price: Price, *, tier: int, promotion: int, least: MicroCredits) -> Price:
    """The price less a tier's per cent, then less a promotion's; `floor_rate` is what tokens of the
    usual mix cost at least (`calculate_floor`). The rates are rounded up, once."""
    plain = mixed(price.input_rate, price.output_rate)
    least = min(least, plain)
    inward, outward = (
        max(
            rate.share_up((100 - tier) * (100 - promotion), 10_000),
            rate.share_up(least.units, plain.units),
        )
        for rate in (price.input_rate, price.output_rate)
    )
    return replace(price, input_rate=inward, output_rate=outward)


def floor(costs: Costs, model: Model, at_ms: int, percent: int) -> MicroCredits | None:
    """What tokens of the usual mix cost at least, in micro-Credits: so many per cent over what the
    dearest supplier takes, at par. None while no supplier's cost is known: then there are no
    discounts."""
    known = [route for route in model.routes if costs.known(route, model.per)]
    if not known:
        return None
    bases = (costs.base(route, at_ms, model.per) for route in known)
    pico = max(INPUT_WEIGHT * inward + outward for inward, outward in bases)
    return MicroCredits(-(-pico * (100 + percent) // (100 * PICO_PER_MICRO_CREDIT)))


def mixed(inward: MicroCredits, outward: MicroCredits) -> MicroCredits:
    """What tokens of the usual mix cost: two in and one out; for audio, three seconds."""
    return inward.times(INPUT_WEIGHT) + outward
