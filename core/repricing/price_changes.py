"""Setting prices as an admin: each change is a row of the admin log in the same submission."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from core.admin_log import logged
from core.clock import Clock
from core.db.writes import Companion
from core.errors import Refusal
from core.pricing.prices import NewPrice, Price, PriceBook


class NotUndone(Refusal):
    """The price can't be undone: another was set since, or there was none before it."""

    code: ClassVar[str] = "not_undone"


@dataclass(frozen=True, slots=True)
class Change:
    """A price that was set, and the one that it follows."""

    old: Price | None
    new: Price


#: Gives the rows that are written in the same submission as a price.
With = Callable[[Price], Sequence[Companion]]


def _nothing(_: Price) -> Sequence[Companion]:
    return ()


class Repricing:
    """Sets prices for an admin and undoes them."""

    def __init__(self, *, prices: PriceBook, clock: Clock) -> None:
        self._prices, self._clock = prices, clock

    async def set(
        self,
        wanted: NewPrice,
        *,
        actor: str,
        act: str = "setprice",
        at_ms: int | None = None,
        also: With = _nothing,
    ) -> Change:
        """Sets one price, from a time on; raises `BadPrice`. What `build_companions` gives is
        written with it, all or none."""
        changes = await self.set_all([wanted], actor=actor, act=act, at_ms=at_ms, also=also)
        return changes[0]

    async def set_all(
        self,
        wanted: Sequence[NewPrice],
        *,
        actor: str,
        act: str = "setprice",
        at_ms: int | None = None,
        also: With = _nothing,
    ) -> list[Change]:
        """Sets several prices at once, all or none; raises `BadPrice`."""
        when = self._clock.now_ms() if at_ms is None else at_ms
        before: Mapping[str, Price | None] = {
            one.model: self._prices.at(one.model, when) for one in wanted
        }

        def rows(price: Price) -> Sequence[Companion]:
            row = logged(
                self._clock,
                actor=actor,
                act=act,
                before=facts(before[price.model]),
                after=facts(price),
            )
            return (row, *also(price))

        news = await self._prices.change_all(wanted, set_by=actor, effective_at=at_ms, also=rows)
        return [Change(before[new.model], new) for new in news]

    def undoes(self, price: Price) -> Price | None:
        """The price that holds once a price is undone; None where it can't be: it isn't the newest
        of its model, holds no more, or nothing was before it."""
        newest, current = self._prices.newest(price.model), self._prices.current(price.model)
        coming = price.effective_at > self._clock.now_ms()
        if newest is None or newest.id != price.id or not (coming or current == price):
            return None
        return self._prices.without(price)

    async def undo(self, id_: str, *, actor: str) -> Change:
        """Sets what held before a price, from its own time on if that is still to come; raises
        `PriceNotUndoable`."""
        await self._prices.refresh(at_most_seconds=0)
        undone = self._prices.by_id(id_)
        back = None if undone is None else self.undoes(undone)
        if undone is None or back is None:
            raise NotUndone
        wanted = NewPrice(undone.model, back.input_rate, back.output_rate, undone.per)
        at = undone.effective_at if undone.effective_at > self._clock.now_ms() else None
        return await self.set(wanted, actor=actor, act="undo price", at_ms=at)


def facts(price: Price | None) -> dict[str, str | int]:
    """The facts of a price in the admin log."""
    if price is None:
        return {}
    return {
        "price": price.id,
        "model": price.model,
        "input_rate": price.input_rate.units,
        "output_rate": price.output_rate.units,
        "effective_at": price.effective_at,
    }
