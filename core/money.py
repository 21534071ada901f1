"""Amounts: whole numbers of one kind each, which never mix.

Adding Credits to dollars, or either to a bare number, is a type error for mypy and a `TypeError` at
run time; floats are refused everywhere. Converting between kinds is a named function of
`core.pricing` that takes the rate and says how it rounds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Self, TypeVar, final


@dataclass(frozen=True, slots=True, order=True, init=False)
class Amount:
    """An amount is a whole number of units of one kind; it may be negative (a profit can be a
    loss)."""

    units: int

    #: The unit's name in the ledger and in exports.
    NAME: ClassVar[str] = ""
    #: Decimal places between one unit and the unit's name (nano-dollars: 9).
    DECIMALS: ClassVar[int] = 0

    def __init__(self, units: int) -> None:
        # By hand: amounts are made dozens of times a question, and dataclass's own takes twice as
        # long.
        if type(units) is not int:
            raise TypeError(f"{type(self).__name__} takes a whole number, not {units!r}")
        _set_units(self, units)

    def __add__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(self.units + other.units)

    def __sub__(self, other: Self) -> Self:
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(self.units - other.units)

    def __neg__(self) -> Self:
        return type(self)(-self.units)

    def __bool__(self) -> bool:
        raise TypeError(f"ask .is_zero of {type(self).__name__}, not its truth")

    @property
    def is_zero(self) -> bool:
        """Whether this is exactly nothing."""
        return self.units == 0

    def multiply_by(self, count: int) -> Self:
        """This amount, `count` times."""
        if type(count) is not int:
            raise TypeError(f"an amount is multiplied by a whole number, not {count!r}")
        return type(self)(self.units * count)

    def share_down(self, part: int, whole: int) -> Self:
        """⌊amount × part ÷ whole⌋: what the platform owes is rounded down."""
        return type(self)(self.units * part // whole)

    def share_up(self, part: int, whole: int) -> Self:
        """⌈amount × part ÷ whole⌉: what the platform is owed is rounded up."""
        return type(self)(-(-self.units * part // whole))


_set_units = Amount.__dict__["units"].__set__


@final
@dataclass(frozen=True, slots=True, order=True, init=False)
class Credits(Amount):
    """Credits are the platform's own currency, in whole numbers; users see no other."""

    NAME: ClassVar[str] = "CREDIT"


@final
@dataclass(frozen=True, slots=True, order=True, init=False)
class MicroCredits(Amount):
    """Micro-Credits are millionths of a Credit: prices per token or second (5 Credits/1K tokens =
    5,000)."""

    NAME: ClassVar[str] = "MICROCREDIT"
    DECIMALS: ClassVar[int] = 6

    def round_up(self) -> Credits:
        """The charge for a price: rounded up to whole Credits, once, at the end."""
        return Credits(-(-self.units // 1_000_000))


@final
@dataclass(frozen=True, slots=True, order=True, init=False)
class NanoUsd(Amount):
    """Nano-dollars are billionths of a US dollar: suppliers' costs and keys' quotas, never shown to
    users."""

    NAME: ClassVar[str] = "USD"
    DECIMALS: ClassVar[int] = 9


@final
@dataclass(frozen=True, slots=True, order=True, init=False)
class Stars(Amount):
    """Telegram Stars are what people pay with inside Telegram."""

    NAME: ClassVar[str] = "STAR"


@final
@dataclass(frozen=True, slots=True, order=True, init=False)
class Tokens(Amount):
    """Tokens are counted as the model's supplier counts them."""

    NAME: ClassVar[str] = "TOKEN"


NO_TOKENS = Tokens(0)


@final
@dataclass(frozen=True, slots=True, order=True, init=False)
class Seconds(Amount):
    """Seconds of audio are whole, as suppliers bill them."""

    NAME: ClassVar[str] = "SECOND"


#: The amounts that an account of the ledger can hold.
Money = Credits | NanoUsd | Stars
AnyMoney = TypeVar("AnyMoney", Credits, NanoUsd, Stars)

AnyAmount = TypeVar("AnyAmount", bound=Amount)


def sum_amounts(kind: type[AnyAmount], amounts: Iterable[AnyAmount]) -> AnyAmount:
    """The sum of `amounts`, zero of that kind when there are none."""
    return sum(amounts, start=kind(0))


_NANO_PER_CENT = 10_000_000


def parse_usd(dollars: str) -> NanoUsd:
    """Nano-dollars of a decimal text ("499.955"); raises ValueError past nine decimals."""
    sign = -1 if dollars.startswith("-") else 1
    whole, _, fraction = dollars.removeprefix("-").partition(".")
    if not (whole + fraction).isdecimal() or len(fraction) > NanoUsd.DECIMALS:
        raise ValueError(f"not an amount in dollars: {dollars!r}")
    return NanoUsd(sign * int((whole or "0") + fraction.ljust(NanoUsd.DECIMALS, "0")))


def format_decimal(amount: Amount) -> str:
    """The amount as exact decimal text in the unit's name: NanoUsd(45_000_000) → "0.045"."""
    digits = str(abs(amount.units)).rjust(amount.DECIMALS + 1, "0")
    sign = "-" if amount.units < 0 else ""
    if amount.DECIMALS == 0:
        return sign + digits
    whole, fraction = digits[: -amount.DECIMALS], digits[-amount.DECIMALS :].rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def format_usd(amount: NanoUsd) -> str:
    """Dollars to the cent, rounded half away from zero: `$1,234.50`, `−$390.00`."""
    cents = (abs(amount.units) + _NANO_PER_CENT // 2) // _NANO_PER_CENT
    sign = "−" if amount.units < 0 and cents else ""
    return f"{sign}${cents // 100:,}.{cents % 100:02}"
