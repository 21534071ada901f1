"""What a picture costs in tokens: bounds by its sides, as the makers of the models publish them.

Every bound is for a picture as it is sent: at most `PICTURE_SIDE_MAX` pixels on its longest side,
and with `detail: high` where a supplier knows that. A supplier counts pictures inside the prompt,
so a bound that is too low would be a hold that is too low: what no maker publishes has no rule, and
routes without a rule don't see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from core.attachments.types import PICTURES_MAX, PictureSize
from core.money import Tokens

#: The bound of a picture in tokens, by its width and height in pixels.
CountPicture = Callable[[int, int], int]

#: Groq's page "Images and Vision": so many pictures with one request.
_GROQ_PICTURES_MAX: Final = 3
#: Mistral's frequently asked questions: the same.
_MISTRAL_PICTURES_MAX: Final = 8


@dataclass(frozen=True, slots=True)
class PictureRule:
    """A rule says how many tokens a picture costs at most, and how many pictures go at once."""

    count: CountPicture
    pictures_max: int = PICTURES_MAX
    #: Whether the bound is as close as what is published; else a part of it is a guess that is high
    #: on purpose.
    is_published: bool = True


def count_pictures(rule_name: str, sizes: Sequence[PictureSize]) -> Tokens | None:
    """The bound of all pictures of a call, in tokens; None where the rule's routes don't see so
    many, or there is no rule of that name."""
    if not sizes:
        return Tokens(0)
    rule = PICTURE_RULES.get(rule_name)
    if rule is None or len(sizes) > rule.pictures_max:
        return None
    return Tokens(sum(rule.count(*size) for size in sizes))


def _divide_up(amount: int, by: int) -> int:
    return -(-amount // by)


def _count_patches(width: int, height: int, side: int) -> int:
    return _divide_up(width, side) * _divide_up(height, side)


def _openai_patches(budget: int, hundredths: int) -> CountPicture:
    """OpenAI's guide "Images and vision" (copy of 2026-09): patches of 32 pixels, each some
    hundredths of a token. A picture of more patches than the budget is made smaller until it is
    within; it never has more than the budget then."""

    def count(width: int, height: int) -> int:
        patches = min(_count_patches(width, height, 32), budget)
        return _divide_up(patches * hundredths, 100)

    return count


#: A picture that fits into 2,048 × 2,048 and whose shortest side is 768 has so many tiles at most.
_TILES_MAX: Final = 8
_TILE_SIDE, _TILED_SHORTEST_SIDE = 512, 768


def _openai_tiles(base: int, tile: int) -> CountPicture:
    """The same guide, for the older models: the shortest side becomes 768 pixels, then each begun
    tile of 512 pixels counts. It doesn't say whether smaller pictures are made larger for that: the
    more tiles of both are taken."""

    def count(width: int, height: int) -> int:
        shortest = min(width, height)
        scaled = _count_patches(
            width * _TILED_SHORTEST_SIDE, height * _TILED_SHORTEST_SIDE, shortest * _TILE_SIDE
        )
        unscaled = (
            _count_patches(width, height, _TILE_SIDE) if shortest < _TILED_SHORTEST_SIDE else 0
        )
        return base + tile * min(max(scaled, unscaled), _TILES_MAX)

    return count


def _patches_of_28(most: int) -> CountPicture:
    """A token for each begun patch of 28 pixels, and never more than a picture's share.

    Anthropic's page "Vision": at most 4,784 with Opus 4.7, Sonnet 5, Fable and later ones, and
    1,568 with Sonnet 4.6 and Haiku 4.5. Kimi's processor, by its published configuration: 4,096 for
    K2 (4,200 with rounding), 16,384 for K3: pictures as they are sent have 3,136 at most.
    """

    def count(width: int, height: int) -> int:
        return min(_count_patches(width, height, 28), most)

    return count


_MISTRAL_SIDE_MAX: Final = 1_540


def _count_mistral(width: int, height: int) -> int:
    """Mistral's documentation of its platform (2026-08): patches of 28 pixels of a picture that is
    at most 1,540 pixels large, and a token at the end of each row."""
    longest = max(width, height, _MISTRAL_SIDE_MAX)
    columns = _divide_up(width * _MISTRAL_SIDE_MAX, longest * 28)
    rows = _divide_up(height * _MISTRAL_SIDE_MAX, longest * 28)
    return rows * (columns + 1)


def _count_xai(width: int, height: int) -> int:
    """An older page of xAI's on images: 256 tokens for each of at most six tiles of 448 pixels, and
    256 more. Its page of 2026 has no number: twice the old one is taken."""
    return 2 * 256 * (min(_count_patches(width, height, 448), 6) + 1)


def _flat(tokens: int) -> CountPicture:
    """Every picture counts the same."""

    def count(_width: int, _height: int) -> int:
        return tokens

    return count


#: Rules by the names that the catalogue has for them.
PICTURE_RULES: Mapping[str, PictureRule] = MappingProxyType(
    {
        # OpenAI's guide names the patches that a picture may have, and what one costs.
        "openai-2500-patches-1.20": PictureRule(_openai_patches(2_500, 120)),
        "openai-1536-patches-1.62": PictureRule(_openai_patches(1_536, 162)),
        "openai-1536-patches-2.46": PictureRule(_openai_patches(1_536, 246)),
        # Of these models it names the patches only: the dearest of all models' is taken.
        "openai-2500-patches": PictureRule(_openai_patches(2_500, 246), is_published=False),
        # What a picture costs whatever its size, and what each tile of it costs.
        "openai-tiles-85-170": PictureRule(_openai_tiles(85, 170)),
        "openai-tiles-2833-5667": PictureRule(_openai_tiles(2_833, 5_667)),
        "openai-tiles-70-140": PictureRule(_openai_tiles(70, 140)),
        "openai-tiles-75-150": PictureRule(_openai_tiles(75, 150)),
        "anthropic-high": PictureRule(_patches_of_28(4_784)),
        "anthropic-standard": PictureRule(_patches_of_28(1_568)),
        # The Gemini API's `media_resolution`: a picture's share at `high`, which holds unless
        # another is asked for. 1,089 were billed for a picture of 768 × 768.
        "gemini-3": PictureRule(_flat(1_120)),
        "mistral": PictureRule(_count_mistral, pictures_max=_MISTRAL_PICTURES_MAX),
        "kimi": PictureRule(_patches_of_28(4_200)),
        # Groq's page "Images and Vision": every picture costs so much.
        "groq-qwen3.8": PictureRule(_flat(2_048), pictures_max=_GROQ_PICTURES_MAX),
        "xai": PictureRule(_count_xai, is_published=False),
        # DeepSeek told 384 at most of V4-Flash-Vision, and nothing of V4.1: four times that.
        "deepseek-v4.1": PictureRule(_flat(1_568), is_published=False),
        # For operators' own servers: models whose weights are open take 3,136 at most.
        "flat-4096": PictureRule(_flat(4_096), is_published=False),
    }
)
