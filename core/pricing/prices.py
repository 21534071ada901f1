"""The price book: what the platform asks for a model, with its history, shared by all processes.

A price is micro-Credits per token or second. A row is never changed: the newest one that is in
effect is the price, and a request is billed at the row it was quoted at, by its id.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import sqlalchemy as sa

from core import ids
from core.clock import Clock
from core.db import schema
from core.db.writes import Companion, Insert
from core.errors import Refusal
from core.money import NO_TOKENS, Credits, MicroCredits, Seconds, Tokens, format_decimal
from core.pricing.catalogue import Catalogue, Model
from core.pricing.costs import Costs
from core.pricing.formula import MARKUP_PERCENT, suggest_rate
from core.pricing.rates import Per

#: Who set the prices that no admin set.
FORMULA = "formula"

#: A quote re-reads the book when it is older than this.
STALE_SECONDS = 2.0

#: 1,000 Credits a token: no price is meant to be higher.
_RATE_MAX = MicroCredits(1_000_000_000)

#: What a kind of tokens may cost, in per cent of the price of a prompt's other tokens.
KIND_PERCENT_MAX = 1_000

RecordCompanions = Callable[..., Awaitable[None]]


class DatabaseReader(Protocol):
    """The price book needs this of the database: reading rows."""

    async def fetch(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        """All rows of a query."""
        ...


class BadPrice(Refusal):
    """A rate can't be a price: it is not above zero, or out of all proportion."""

    code: ClassVar[str] = "bad_price"

    def __init__(self, rate: MicroCredits) -> None:
        self.rate = rate


@dataclass(frozen=True, slots=True)
class KindPercents:
    """What kinds of a prompt's tokens cost, in per cent of its other tokens: those that the
    supplier read from a cache, and those of pictures."""

    cached: int = 100
    picture: int = 100


SAME_FOR_ALL_KINDS = KindPercents()


def weigh_input(uncached: int, cached: int, pictures: int, percents: KindPercents) -> int:
    """Tokens in as so many hundredths of plain ones; `pictures` are a part of the uncached."""
    plain = uncached - pictures
    return 100 * plain + percents.cached * cached + percents.picture * pictures


@dataclass(frozen=True, slots=True)
class Price:
    """A price is a row of the book. Its rates are micro-Credits per token, or per second of
    audio."""

    id: str
    model: str
    per: Per
    input_rate: MicroCredits
    output_rate: MicroCredits
    effective_at: int
    set_by: str
    percents: KindPercents = SAME_FOR_ALL_KINDS

    @property
    def is_blended(self) -> bool:
        """Whether tokens in and out cost the same."""
        return self.input_rate == self.output_rate

    def calculate_unrounded(
        self,
        input: Tokens,  # noqa: A002
        output: Tokens,
        *,
        cached: Tokens = NO_TOKENS,
        pictures: Tokens = NO_TOKENS,
    ) -> MicroCredits:
        """The price of so many tokens, in micro-Credits, before rounding to Credits. What of the
        input was `cached` is priced as that, and what `pictures` are of the rest."""
        cached = min(cached, input)
        pictures = min(pictures, input - cached)
        hundredths = weigh_input(
            (input - cached).units, cached.units, pictures.units, self.percents
        )
        inward = MicroCredits(-(-self.input_rate.units * hundredths // 100))
        return inward + self.output_rate.multiply_by(output.units)

    def calculate_charge(
        self,
        input: Tokens,  # noqa: A002
        output: Tokens,
        *,
        cached: Tokens = NO_TOKENS,
        pictures: Tokens = NO_TOKENS,
    ) -> Credits:
        """The charge for an answer: whole Credits, rounded up once, at least 1."""
        exact = self.calculate_unrounded(input, output, cached=cached, pictures=pictures)
        return max(Credits(1), exact.round_up())

    def calculate_max_charge(
        self,
        input: Tokens,  # noqa: A002
        output: Tokens,
        *,
        pictures: Tokens = NO_TOKENS,
    ) -> Credits:
        """The most that so many tokens can be charged: none was cached, and pictures cost no less
        than words."""
        dearer = pictures if self.percents.picture > 100 else NO_TOKENS
        return self.calculate_charge(input, output, pictures=dearer)

    def calculate_audio_charge(self, length: Seconds) -> Credits:
        """The charge for audio of a length: whole Credits, rounded up once, at least 1."""
        return max(Credits(1), self.input_rate.multiply_by(length.units).round_up())

    def format_per_1k(self) -> tuple[str, str]:
        """Credits per 1,000 tokens in and out, as exact decimal text: ("5", "5"), ("0.35", …)."""
        rates = (self.input_rate.multiply_by(1_000), self.output_rate.multiply_by(1_000))
        return format_decimal(rates[0]), format_decimal(rates[1])

    def format_per_minute(self) -> str:
        """Credits per minute of audio as exact decimal text, to the nearest hundredth."""
        hundredths = (self.input_rate.units * 60 + 5_000) // 10_000
        return format_decimal(MicroCredits(hundredths * 10_000))


@dataclass(frozen=True, slots=True)
class NewPrice:
    """A new price is to be set; its rates are micro-Credits, as those of `Price`."""

    model: str
    input_rate: MicroCredits
    output_rate: MicroCredits
    per: Per = "token"
    #: None: as the price before has them, or the formula for a first price.
    percents: KindPercents | None = None


#: What is written together with a price: the admin log's row, the decision that led to it.
PriceCompanions = Callable[[Price], Sequence[Companion]]


def _no_companions(_: Price) -> Sequence[Companion]:
    return ()


class PriceBook:
    """The price book holds all prices. Its reads are from memory; only `start`, `load`,
    `set_price`, `set_prices` and `refresh` wait."""

    def __init__(
        self,
        db: DatabaseReader,
        record: RecordCompanions,
        catalogue: Catalogue,
        costs: Costs,
        clock: Clock,
        *,
        markup_percent: int = MARKUP_PERCENT,
    ) -> None:
        """`record` writes companions (`Ledger.record`); `markup_percent` is what the formula adds
        to the base cost."""
        self._db, self._record = db, record
        self._catalogue, self._costs, self._clock = catalogue, costs, clock
        self._markup_percent = markup_percent
        self._by_id: dict[str, Price] = {}
        #: By model, in the order in which they take effect.
        self._history: dict[str, list[Price]] = {}
        self._read_at = float("-inf")
        self._read_lock = asyncio.Lock()

    async def start(self) -> None:
        """Loads the book and gives models without a price the formula's."""
        await asyncio.to_thread(self._costs.preload)
        await self.refresh(at_most_seconds=0)

    async def load(self) -> None:
        """Loads the book as it is and writes nothing: for commands that only read."""
        await asyncio.to_thread(self._costs.preload)
        async with self._read_lock:
            await self._read_rows()

    def find_current(self, model: str) -> Price | None:
        """The price of a model in effect now; None if it has none."""
        return self.find_at(model, self._clock.now_ms())

    def find_at(self, model: str, at_ms: int) -> Price | None:
        """The price of a model in effect at a time, as far as is known now; None if there is
        none."""
        for price in reversed(self._history.get(model, ())):
            if price.effective_at <= at_ms:
                return price
        return None

    def find_newest(self, model: str) -> Price | None:
        """The row that was set last, in effect or not; None for a model without a price."""
        return max(self._history.get(model, ()), key=lambda price: price.id, default=None)

    def find_without(self, price: Price) -> Price | None:
        """The price that would be in effect from a row's time on without that row; None if it is
        the first."""
        others = [one for one in self._history.get(price.model, ()) if one.id != price.id]
        return next(
            (one for one in reversed(others) if one.effective_at <= price.effective_at), None
        )

    def find_upcoming(self, model: str) -> Price | None:
        """The next price of a model that is set and not yet in effect."""
        now = self._clock.now_ms()
        history = self._history.get(model, ())
        return next((price for price in history if price.effective_at > now), None)

    def find_by_id(self, id: str) -> Price | None:  # noqa: A002
        """The row of an id, however old; None if this process has never read it."""
        return self._by_id.get(id)

    def list_history(self, model: str) -> tuple[Price, ...]:
        """All rows of a model, in the order in which they take effect, also those to come."""
        return tuple(self._history.get(model, ()))

    async def set_price(
        self,
        model: str,
        input_rate: MicroCredits,
        output_rate: MicroCredits,
        *,
        set_by: str,
        note: str = "",
        effective_at: int | None = None,
        per: Per = "token",
        also: PriceCompanions = _no_companions,
    ) -> Price:
        """Sets a price from a time on, now by default; the companions that `also` returns for it
        are written with it, all or none. Raises `BadPrice`."""
        wanted = NewPrice(model, input_rate, output_rate, per)
        changed = await self.set_prices(
            [wanted], set_by=set_by, note=note, effective_at=effective_at, also=also
        )
        return changed[0]

    async def set_prices(
        self,
        wanted: Sequence[NewPrice],
        *,
        set_by: str,
        note: str = "",
        effective_at: int | None = None,
        also: PriceCompanions = _no_companions,
    ) -> list[Price]:
        """Sets the prices of several models as `set_price` does, all or none."""
        for rate in (rate for one in wanted for rate in (one.input_rate, one.output_rate)):
            if not 0 < rate.units <= _RATE_MAX.units:
                raise BadPrice(rate)
        for one in wanted:
            if one.percents is not None and not _are_possible(one.percents):
                raise BadPrice(one.input_rate)
        now = self._clock.now_ms()
        at = now if effective_at is None else effective_at
        prices = [
            Price(
                ids.new_id("prc", now),
                one.model,
                one.per,
                one.input_rate,
                one.output_rate,
                at,
                set_by,
                one.percents or self._find_percents(one.model),
            )
            for one in wanted
        ]
        rows = [row for price in prices for row in (_insert_row(price, note), *also(price))]
        await self._record(*rows)
        for price in prices:
            self._add(price)
        return prices

    async def refresh(self, *, at_most_seconds: float = STALE_SECONDS) -> None:
        """Reads what other processes set, unless read within `at_most_seconds`; prices new models
        by the formula, at once."""
        if self._is_fresh(at_most_seconds):
            return
        async with self._read_lock:
            if self._is_fresh(at_most_seconds):
                return
            await self._read_rows()
            if seeds := self._create_first_prices():
                await self._record(*(_insert_row(price, "", ignore=True) for price in seeds))
                await self._read_rows()
            self._read_at = self._clock.monotonic()

    def suggest_rates(self, model: Model) -> tuple[MicroCredits, MicroCredits]:
        """The formula's rates in and out, which are the same; raises `NoCost`."""
        now, per = self._clock.now_ms(), model.per
        routes = [route for route in model.routes if self._costs.has_cost(route, per)]
        bases = [
            self._costs.get_base_rates(route, now, per) for route in routes or model.routes[:1]
        ]
        rate = suggest_rate(bases, markup_percent=self._markup_percent)
        return rate, rate

    def suggest_percents(self, model: Model) -> KindPercents:
        """What kinds of tokens cost by the formula: cached ones in proportion to what suppliers ask
        for them, by the dearest proportion; pictures as words, as all suppliers have them."""
        now = self._clock.now_ms()
        rates = [
            self._costs.get_supplier_rate(route, now)
            for route in model.routes
            if model.per == "token" and self._costs.has_cost(route)
        ]
        shares = [-(-100 * rate.cached // rate.input) for rate in rates if rate.input]
        return KindPercents(cached=min(100, max(shares, default=100)))

    def _find_percents(self, model: str) -> KindPercents:
        newest = self.find_newest(model)
        return SAME_FOR_ALL_KINDS if newest is None else newest.percents

    def _is_fresh(self, seconds: float) -> bool:
        # A custom address may have listed a model since, which can be asked before the next read.
        recent = self._clock.monotonic() - self._read_at < seconds
        return recent and not any(self.list_unpriced_models())

    async def _read_rows(self) -> None:
        table = schema.price
        count = sa.select(sa.func.count()).select_from(table)
        if (await self._db.fetch(count))[0][0] == len(self._by_id):
            return
        for row in await self._db.fetch(sa.select(table)):
            if row.id not in self._by_id:
                self._add(_price_from_row(row))

    def _add(self, price: Price) -> None:
        if price.id not in self._by_id:
            self._by_id[price.id] = price
            insort(
                self._history.setdefault(price.model, []),
                price,
                # Of two for one time the later one counts; the first prices' ids are the smallest.
                key=lambda one: (one.effective_at, one.id),
            )

    def list_unpriced_models(self) -> Iterator[Model]:
        """The models that could be sold and have no price yet; the next `refresh` gives them
        one."""
        return (
            model
            for model in self._catalogue.models.values()
            if model.id not in self._history
            and any(self._costs.has_cost(route, model.per) for route in model.routes)
        )

    def _create_first_prices(self) -> list[Price]:
        return [self._create_first_price(model) for model in self.list_unpriced_models()]

    def _create_first_price(self, model: Model) -> Price:
        # In effect since ever, with an id that is derived from the model: several processes that
        # start at once on a new database write the same row, whichever comes first.
        id_, rates = ids.derive_id("prc", 0, model.id), self.suggest_rates(model)
        percents = self.suggest_percents(model)
        return Price(id_, model.id, model.per, *rates, 0, FORMULA, percents)


def _insert_row(price: Price, note: str, *, ignore: bool = False) -> Companion:
    row = {
        "id": price.id,
        "model": price.model,
        "per": price.per,
        "input_rate": price.input_rate.units,
        "output_rate": price.output_rate.units,
        "cached_percent": price.percents.cached,
        "picture_percent": price.percents.picture,
        "effective_at": price.effective_at,
        "set_by": price.set_by,
        "note": note,
    }
    return Insert(schema.price, row, ignore=ignore)


def _price_from_row(row: sa.Row[Any]) -> Price:
    return Price(
        row.id,
        row.model,
        row.per,
        MicroCredits(row.input_rate),
        MicroCredits(row.output_rate),
        row.effective_at,
        row.set_by,
        KindPercents(
            100 if row.cached_percent is None else row.cached_percent,
            100 if row.picture_percent is None else row.picture_percent,
        ),
    )


def _are_possible(percents: KindPercents) -> bool:
    return 0 <= percents.cached <= 100 and 0 <= percents.picture <= KIND_PERCENT_MAX


async def has_prices(db: DatabaseReader) -> bool:
    """Whether there ever was a price."""
    return bool(await db.fetch(sa.select(schema.price.c.id).limit(1)))
