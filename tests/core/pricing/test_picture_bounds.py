"""The bounds of pictures against what suppliers count, as a second hand wrote that down."""

from __future__ import annotations

import random
import statistics
from functools import partial
from typing import Any

import pytest

from core.attachments.types import PICTURE_SIDE_MAX, PictureSize
from core.pricing.catalogue import Catalogue, Route
from core.pricing.picture_tokens import PICTURE_RULES
from tests.peers import picture_counts as peers
from tests.support.size import size

P12: Any = partial(peers.openai_patches, budget=2_500, side=65_535, multiplier="1.2")
ORIGINAL: Any = partial(peers.openai_patches, side=65_535, budget=None, multiplier="1.2")
ORIGINAL_55: Any = partial(peers.openai_patches, side=6_000, budget=10_000, multiplier="1.2")
P25: Any = partial(peers.openai_patches, budget=2_500, multiplier="1")
MINI: Any = partial(peers.openai_patches, budget=1_536, side=2_048)
TILES: Any = peers.openai_tiles

#: What makers' documents work out, and what was billed.
WORKED: list[tuple[Any, tuple[int, int], int]] = [
    (partial(MINI, multiplier="1.62"), (1_024, 1_024), 1_659),
    (partial(MINI, multiplier="1"), (1_800, 2_400), 1_452),
    (partial(MINI, multiplier="1.62"), (1_800, 2_400), 2_353),
    (partial(MINI, multiplier="1.72"), (1_800, 2_400), 2_498),
    (partial(MINI, multiplier="2.46"), (1_800, 2_400), 3_572),
    (partial(P25, side=65_535), (4_032, 3_024), 2_451),
    (P12, (4_032, 3_024), 2_942),
    (ORIGINAL, (4_032, 3_024), 14_364),
    (ORIGINAL_55, (4_032, 3_024), 11_868),
    (P12, (2_560, 1_440), 2_931),
    (partial(P25, side=2_048), (2_560, 1_440), 2_304),
    (partial(peers.openai_low, multiplier="1.2"), (640, 480), 231),
    (P12, (640, 480), 360),
    (P12, (1_568, 1_176), 2_176),
    (partial(TILES, base=85, tile=170), (1_024, 1_024), 765),
    (partial(TILES, base=2_833, tile=5_667), (1_024, 1_024), 25_501),
    (partial(TILES, base=70, tile=140), (1_024, 1_024), 630),
    (partial(TILES, base=75, tile=150), (1_024, 1_024), 675),
    (partial(TILES, base=85, tile=170), (1_920, 1_080), 1_105),
    (peers.anthropic_high, (1_024, 1_024), 1_369),
    (peers.anthropic_standard, (1_024, 1_024), 1_369),
    (peers.anthropic_high, (1_280, 720), 1_196),
    (peers.anthropic_standard, (1_280, 720), 1_196),
    (peers.anthropic_high, (1_920, 1_080), 2_691),
    (peers.anthropic_standard, (1_920, 1_080), 1_560),
    (peers.anthropic_high, (2_560, 1_440), 4_784),
    (peers.anthropic_standard, (2_560, 1_440), 1_560),
    (peers.anthropic_high, (1_568, 1_176), 2_352),
    (peers.anthropic_standard, (1_568, 1_176), 1_564),
    (peers.mistral, (1_568, 1_568), 3_080),
    (peers.mistral, (1_024, 1_024), 1_406),
    (peers.kimi, (1_568, 1_568), 3_136),
    (peers.xai, (1_568, 1_568), 1_792),
]

SEEING = [
    route for model in Catalogue.load().models.values() for route in model.routes if route.pictures
]


@pytest.mark.parametrize(("count", "sides", "tokens"), WORKED)
def test_the_second_hand_counts_as_makers_work_it_out(
    count: Any, sides: tuple[int, int], tokens: int
) -> None:
    assert count(*sides) == tokens


#: The most for a longest side, over all shapes: as the bounds are worked out by hand.
@pytest.mark.parametrize(
    ("rule", "side", "most"),
    [
        ("anthropic-high", 1_024, 1_369),
        ("anthropic-high", 1_280, 2_116),
        ("anthropic-high", 1_568, 3_136),
        ("openai-2500-patches-1.20", 1_024, 1_229),
        ("openai-2500-patches-1.20", 1_280, 1_920),
        ("openai-2500-patches-1.20", 1_568, 2_882),
        ("openai-1536-patches-1.62", 1_024, 1_659),
        ("openai-1536-patches-2.46", 1_024, 2_520),
        ("openai-tiles-85-170", 1_568, 1_445),
        ("openai-tiles-2833-5667", 1_568, 48_169),
        ("mistral", 1_024, 1_406),
        ("mistral", 1_280, 2_162),
        ("mistral", 1_568, 3_080),
        ("gemini-3", 1_568, 1_120),
    ],
)
def test_the_most_for_a_longest_side(rule: str, side: int, most: int) -> None:
    count = PICTURE_RULES[rule].count
    assert max(count(side, other) for other in range(1, side + 1)) == most
    assert max(count(other, side) for other in range(1, side + 1)) == most


def count_all(route: Route, sides: PictureSize) -> tuple[int, int]:
    """What a supplier counts at least and at most, where its document can be read two ways."""
    count = peers.find_count(route.provider, route.model)
    assert count is not None, route
    told = [count(*sides)]
    if route.pictures.startswith("openai-tiles"):
        base, tile = map(int, route.pictures.split("-")[2:])
        told.append(peers.openai_tiles(*sides, base=base, tile=tile, scales_up=False))
    return min(told), max(told)


def test_no_picture_costs_more_than_its_bound_and_bounds_are_close() -> None:
    """Half of the pictures have any sides, half the longest one that is sent."""
    chance, ratios, apart = random.Random(7), dict[str, list[float]](), list[float]()
    for number in range(size(small=300, full=5_000)):
        longest = chance.randint(1, PICTURE_SIDE_MAX) if number % 2 else PICTURE_SIDE_MAX
        sides = [longest, chance.randint(1, PICTURE_SIDE_MAX if number % 2 else longest)]
        chance.shuffle(sides)
        picture = PictureSize(*sides)
        for route in SEEING:
            bound = route.count_pictures([picture])
            assert bound is not None
            least, most = count_all(route, picture)
            assert bound.units >= most, (route, picture)
            if least != most:
                apart.append(bound.units / least)
            ratios.setdefault(route.pictures, []).append(bound.units / most)
    close: list[float] = []
    for rule, found in sorted(ratios.items()):
        found.sort()
        is_published = PICTURE_RULES[rule].is_published
        close += found if is_published else []
        told = f"median {statistics.median(found):.3f}, p99 {found[len(found) * 99 // 100]:.3f}"
        print(f"{rule}: {told}{'' if is_published else ' (a guess on the high side)'}")
    close.sort()
    median, p99 = statistics.median(close), close[len(close) * 99 // 100]
    print(f"read two ways: {len(apart)} pictures, {max(apart):.3f} at most by the lower count")
    print(f"all published: median {median:.3f}, p99 {p99:.3f}")
    assert median <= 1.15
    assert p99 <= 2


def test_what_is_guessed_is_known_as_such() -> None:
    guesses = {route.model for route in SEEING if not PICTURE_RULES[route.pictures].is_published}
    assert guesses == {
        *("gpt-6.1-terra", "gpt-6.1-sol", "gpt-6-luna", "grok-4.7", "grok-4.3"),
        *("deepseek-v4-flash", "accounts/fireworks/models/deepseek-v4p1-flash"),
    }
