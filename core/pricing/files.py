"""The data files of this package and the operator's overlay, checked as they are read.

One schema reads both: the overlay has the catalogue's shape, holds only what it changes, and may
carry costs. All that is wrong with it is reported at once, in words.
"""

from __future__ import annotations

import functools
import tomllib
from datetime import date
from fractions import Fraction
from importlib import resources
from math import ceil
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from core.errors import Refusal
from core.pricing.picture_tokens import PICTURE_RULES
from core.pricing.rates import NO_RATE, Per, Rate, Rates

Tokenizer = Literal["o200k", "cl100k", "estimate"]

_Name = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
_Route = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+:\S+$", max_length=200)]
_Dollars = Annotated[str, StringConstraints(pattern=r"^\d{1,6}(\.\d{1,6})?$")]
_PICO_PER_TOKEN = 1_000_000
_PICO_PER_SECOND = Fraction(10**12, 60)


class BadOverlay(Refusal):
    """The operator's overlay file can't be used; `reason` says where it is wrong, and why."""

    code: ClassVar[str] = "bad_overlay"

    def __init__(self, reason: str) -> None:
        self.reason = reason


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RouteRow(_StrictModel):
    """A route whose end is known, and the first UTC day on which it isn't served any more."""

    route: _Route
    ends: date


class ModelRow(_StrictModel):
    """A [[model]] of the catalogue has all of these; in an overlay it has only `id` and what
    changes."""

    id: _Name
    name: _Name | None = None
    maker: _Name | None = None
    context: Annotated[int, Field(ge=1_000, le=100_000_000)] | None = None
    input: Annotated[int, Field(ge=1_000, le=100_000_000)] | None = None
    answer_limit: Annotated[int, Field(ge=100, le=1_000_000)] | None = None
    thinking: bool | None = None
    per: Per | None = None
    tokenizer: Tokenizer | None = None
    features: tuple[_Name, ...] | None = None
    routes: Annotated[tuple[_Route | RouteRow, ...], Field(min_length=1)] | None = None
    aliases: tuple[_Name, ...] | None = None
    nicknames: tuple[_Name, ...] | None = None
    ends: date | None = None
    successor: _Name | None = None
    pictures: dict[_Name, _Name] | None = None

    @field_validator("pictures")
    @classmethod
    def _check_rules(cls, pictures: dict[str, str] | None) -> dict[str, str] | None:
        """Refuses a rule that there isn't: its routes would be blind without a word."""
        if unknown := sorted(set((pictures or {}).values()) - set(PICTURE_RULES)):
            raise ValueError(f"no such rule: {', '.join(unknown)}")
        return pictures


class CostRow(_StrictModel):
    """A [[cost]] of a model is in dollars per million tokens, or per minute of audio, as text;
    model "*" means every model of a supplier."""

    provider: _Name
    model: _Name
    input: _Dollars = "0"
    output: _Dollars = "0"
    cached: _Dollars | None = None
    cache_written: _Dollars | None = None
    minute: _Dollars | None = None

    @model_validator(mode="after")
    def _check_complete(self) -> Self:
        """Refuses a cost that leaves out input or output: that is a slip, not a cost of zero."""
        if self.minute is None and not {"input", "output"} <= self.model_fields_set:
            raise ValueError("a cost needs input and output, or minute")
        return self

    def to_rates(self) -> Rates:
        """The row's rates in pico-dollars; cached tokens that it leaves out cost as the input."""
        input_rate = _parse_rate(self.input)
        return Rates(
            input=input_rate,
            output=_parse_rate(self.output),
            cached=input_rate if self.cached is None else _parse_rate(self.cached),
            cache_written=input_rate
            if self.cache_written is None
            else _parse_rate(self.cache_written),
            second=NO_RATE if self.minute is None else _parse_rate(self.minute, _PICO_PER_SECOND),
        )


class CatalogueFile(_StrictModel):
    """A catalogue file has these contents, and so has an operator's overlay on it."""

    default: _Name | None = None
    model: tuple[ModelRow, ...] = ()
    retired: dict[_Name, _Name] = {}
    withdrawn: tuple[_Name, ...] = ()
    cost: tuple[CostRow, ...] = ()


@functools.cache
def read_catalogue() -> CatalogueFile:
    """The catalogue that ships; read once."""
    return CatalogueFile.model_validate(_read_shipped("catalogue.toml"))


def read_cost_overrides() -> tuple[CostRow, ...]:
    """The costs that ship where the price package lacks them."""
    return CatalogueFile.model_validate(_read_shipped("overrides.toml")).cost


def read_overlay(path: Path | None) -> CatalogueFile:
    """The operator's overlay file, empty without one; raises `BadOverlay`."""
    if path is None:
        return CatalogueFile()
    try:
        return CatalogueFile.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise BadOverlay(f"{path.name}: {error.strerror or 'cannot be read'}") from None
    except ValidationError as error:
        raise BadOverlay(f"{path.name}: {_describe_errors(error)}") from None
    except ValueError as error:
        raise BadOverlay(f"{path.name}: {error}") from None


def _read_shipped(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("core.pricing").joinpath("data", name).read_text("utf-8"))


def _describe_errors(error: ValidationError) -> str:
    faults = (
        f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    )
    return "; ".join(faults)


def _parse_rate(dollars: str, factor: Fraction | int = _PICO_PER_TOKEN) -> Rate:
    return Rate(ceil(Fraction(dollars) * factor))
