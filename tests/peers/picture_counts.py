"""How suppliers count pictures, written from their documents a second time: for fake suppliers.

Nothing of the product is used here, and what is counted is what a supplier bills, not a bound. A
model that isn't named doesn't see. Sides are in pixels, counts in tokens.
"""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable
from fractions import Fraction

CountPicture = Callable[[int, int], int]


def fit_into(width: float, height: float, side: float) -> tuple[float, float]:
    """The sides after a picture that is larger than a square was fitted into it."""
    factor = min(1.0, side / max(width, height))
    return width * factor, height * factor


def count_patches(width: float, height: float, side: int) -> int:
    """The patches that cover a picture."""
    return math.ceil(width / side) * math.ceil(height / side)


def scale_to_budget(width: float, height: float, budget: int) -> tuple[float, float]:
    """OpenAI's way to bring a picture within a budget of 32-pixel patches: by area, then down to
    whole patches along the side that has the most to lose."""
    factor = math.sqrt(1_024 * budget / (width * height))
    columns, rows = width * factor / 32, height * factor / 32
    factor *= min(math.floor(columns) / columns, math.floor(rows) / rows)
    return max(1, math.floor(width * factor)), max(1, math.floor(height * factor))


def openai_patches(
    width: float, height: float, *, budget: int | None, side: int, multiplier: str
) -> int:
    """OpenAI's newer models; no budget is `original`."""
    width, height = fit_into(width, height, side)
    patches = count_patches(width, height, 32)
    if budget is not None and patches > budget:
        patches = min(budget, count_patches(*scale_to_budget(width, height, budget), 32))
    return math.ceil(patches * Fraction(multiplier))


def openai_low(width: int, height: int, *, multiplier: str) -> int:
    """The same at `detail: low`."""
    fitted = fit_into(width, height, 512)
    return math.ceil(count_patches(*fitted, 32) * Fraction(multiplier))


def openai_tiles(
    width: float, height: float, *, base: int, tile: int, scales_up: bool = True
) -> int:
    """OpenAI's older models. The guide scales the shortest side to 768; whether also up to it is
    told both ways."""
    width, height = fit_into(width, height, 2_048)
    shortest = min(width, height)
    if shortest > 768 or scales_up:
        width, height = width * 768 / shortest, height * 768 / shortest
    # A hair above a whole tile is none: sides are whole pixels.
    tiles = count_patches(round(width), round(height), 512)
    return base + tile * min(8, tiles)


def anthropic(width: int, height: int, *, side: int, most: int) -> int:
    """Anthropic's: the largest size that is within the tier, in patches of 28 pixels."""
    wide, high = fit_into(width, height, side)
    if (patches := count_patches(wide, high, 28)) <= most:
        return patches
    best = 0
    for columns in range(1, math.ceil(side / 28) + 1):
        # The largest picture of so many columns, and of so many rows.
        for factor in (Fraction(columns * 28, width), Fraction(columns * 28, height)):
            wide_, high_ = width * factor, height * factor
            patches = math.ceil(wide_ / 28) * math.ceil(high_ / 28)
            if max(wide_, high_) <= side and patches <= most:
                best = max(best, patches)
    return best


def mistral(width: int, height: int) -> int:
    """Mistral's: rows of 28-pixel patches, each with a separator."""
    wide, high = fit_into(width, height, 1_540)
    columns, rows = math.ceil(round(wide) / 28), math.ceil(max(1, round(high)) / 28)
    return rows * (max(1, columns) + 1)


def kimi(width: int, height: int) -> int:
    """Kimi's, far below its limit for pictures as they are sent."""
    return count_patches(width, height, 28)


def xai(width: int, height: int) -> int:
    """xAI's older formula, the only one that was told."""
    return (min(6, count_patches(width, height, 448)) + 1) * 256


def _flat(tokens: int) -> CountPicture:
    return lambda _width, _height: tokens


def _patches(budget: int, side: int, multiplier: str) -> CountPicture:
    return lambda width, height: openai_patches(
        width, height, budget=budget, side=side, multiplier=multiplier
    )


def _tiles(base: int, tile: int) -> CountPicture:
    return lambda width, height: openai_tiles(width, height, base=base, tile=tile)


def anthropic_high(width: int, height: int) -> int:
    """The newer models' tier."""
    return anthropic(width, height, side=2_576, most=4_784)


def anthropic_standard(width: int, height: int) -> int:
    """Sonnet 4.6's and Haiku 4.5's tier."""
    return anthropic(width, height, side=1_568, most=1_568)


#: By supplier and model, the first pattern that fits.
_COUNTS: tuple[tuple[str, str, CountPicture], ...] = (
    # Of GPT-6.1 and Luna the multiplier isn't told; their family's is taken.
    ("openai", "gpt-6*", _patches(2_500, 65_535, "1.2")),
    ("openai", "gpt-5.5", _patches(2_500, 2_048, "1.2")),
    ("openai", "gpt-5.4", _patches(2_500, 2_048, "1.2")),
    ("openai", "gpt-5.4-mini", _patches(1_536, 2_048, "1.62")),
    ("openai", "gpt-5-mini", _patches(1_536, 2_048, "1.62")),
    ("openai", "gpt-4.1-mini", _patches(1_536, 2_048, "1.62")),
    ("openai", "gpt-5.4-nano", _patches(1_536, 2_048, "2.46")),
    ("openai", "gpt-4o", _tiles(85, 170)),
    ("openai", "gpt-4.1", _tiles(85, 170)),
    ("openai", "gpt-4o-mini", _tiles(2_833, 5_667)),
    ("openai", "gpt-5", _tiles(70, 140)),
    ("openai", "o3", _tiles(75, 150)),
    ("anthropic", "claude-sonnet-4-6", anthropic_standard),
    ("anthropic", "claude-haiku-4-5", anthropic_standard),
    ("anthropic", "claude-*", anthropic_high),
    # So many were billed, whatever the size; the budget is 1,120.
    ("google", "gemini-[34]*", _flat(1_089)),
    ("mistral", "mistral-*", mistral),
    ("mistral", "ministral-*", mistral),
    ("moonshot", "kimi-*", kimi),
    ("together", "moonshotai/Kimi-K3.1-Pro", kimi),
    ("fireworks", "*/kimi-k3p1-pro", kimi),
    ("groq", "qwen/qwen3.8-27b", _flat(2_048)),
    ("xai", "grok-4.[37]", xai),
    # V4-Flash-Vision's; V4.1's isn't told.
    ("deepseek", "deepseek-v4-flash", _flat(384)),
    ("fireworks", "*/deepseek-v4p1-flash", _flat(384)),
)


def find_count(supplier: str, model: str) -> CountPicture | None:
    """How a supplier counts a picture for a model; None where the model doesn't see there."""
    return next(
        (
            count
            for name, pattern, count in _COUNTS
            if name == supplier and fnmatch.fnmatchcase(model, pattern)
        ),
        None,
    )
