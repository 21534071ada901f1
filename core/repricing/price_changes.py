"""Setting prices as an admin: each change is a row of the admin log in the same submission."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from core.admin_log import ActCause, admin_log_row
from core.clock import Clock
from core.db.writes import Companion
from core.errors import Refusal
from core.pricing.prices import NewPrice, Price, PriceBook


class PriceNotUndoable(Refusal):
    """The price can't be undone: another was set since, or there was none before it."""

    code: ClassVar[str] = "not_undone"


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A price that was set, and the one that it follows."""

    old: Price | None
    new: Price


#: Gives the rows that are written in the same submission as a price.
CompanionsForPrice = Callable[[Price], Sequence[Companion]]


def _no_companions(_: Price) -> Sequence[Companion]:
    return ()


class PriceChanges:
    """Sets prices for an admin and undoes them."""

    def __init__(self, *, prices: PriceBook, clock: Clock) -> None:
        self._prices, self._clock = prices, clock

    async def set_price(
        self,
        new_price: NewPrice,
        *,
        actor: str,
        act: str = "setprice",
        at_ms: int | None = None,
        build_companions: CompanionsForPrice = _no_companions,
        cause: ActCause | None = None,
    ) -> PriceChange:
        """Sets one price, from a time on; raises `BadPrice`, or `CompanionRefused` where `cause`
        did so before. What `build_companions` gives is written with it, all or none."""
        changes = await self.set_prices(
            [new_price],
            actor=actor,
            act=act,
            at_ms=at_ms,
            build_companions=build_companions,
            cause=cause,
        )
        return changes[0]

    async def set_prices(
        self,
        new_prices: Sequence[NewPrice],
        *,
        actor: str,
        act: str = "setprice",
        at_ms: int | None = None,
        build_companions: CompanionsForPrice = _no_companions,
        cause: ActCause | None = None,
    ) -> list[PriceChange]:
        """Sets several prices at once, all or none; raises `BadPrice`. A `cause` is that of one
        price."""
        effective_at = self._clock.now_ms() if at_ms is None else at_ms
        before: Mapping[str, Price | None] = {
            wanted.model: self._prices.find_at(wanted.model, effective_at) for wanted in new_prices
        }

        def build_all_companions(price: Price) -> Sequence[Companion]:
            row = admin_log_row(
                self._clock,
                actor=actor,
                act=act,
                before=price_facts(before[price.model]),
                after=price_facts(price),
                cause=cause,
            )
            return (row, *build_companions(price))

        prices = await self._prices.set_prices(
            new_prices, set_by=actor, effective_at=at_ms, also=build_all_companions
        )
        return [PriceChange(before[new.model], new) for new in prices]

    def find_price_before(self, price: Price) -> Price | None:
        """The price that holds once a price is undone; None where it can't be: it isn't the newest
        of its model, holds no more, or nothing was before it."""
        newest, current = (
            self._prices.find_newest(price.model),
            self._prices.find_current(price.model),
        )
        is_upcoming = price.effective_at > self._clock.now_ms()
        if newest is None or newest.id != price.id or not (is_upcoming or current == price):
            return None
        return self._prices.find_without(price)

    async def undo_price(
        self, id_: str, *, actor: str, cause: ActCause | None = None
    ) -> PriceChange:
        """Sets what held before a price, from its own time on if that is still to come; raises
        `PriceNotUndoable`."""
        await self._prices.refresh(at_most_seconds=0)
        undone = self._prices.find_by_id(id_)
        previous = None if undone is None else self.find_price_before(undone)
        if undone is None or previous is None:
            raise PriceNotUndoable
        new_price = NewPrice(
            undone.model,
            previous.input_rate,
            previous.output_rate,
            undone.per,
            previous.percents,
        )
        at = undone.effective_at if undone.effective_at > self._clock.now_ms() else None
        return await self.set_price(new_price, actor=actor, act="undo price", at_ms=at, cause=cause)


def price_facts(price: Price | None) -> dict[str, str | int]:
    """The facts of a price in the admin log."""
    if price is None:
        return {}
    return {
        "price": price.id,
        "model": price.model,
        "input_rate": price.input_rate.units,
        "output_rate": price.output_rate.units,
        "cached_percent": price.percents.cached,
        "picture_percent": price.percents.picture,
        "effective_at": price.effective_at,
    }
