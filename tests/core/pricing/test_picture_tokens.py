"""What pictures cost at most: each maker's rule at sizes whose count is known, and who sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.attachments.types import PICTURES_MAX, PictureSize
from core.money import Tokens
from core.pricing.catalogue import Catalogue, Model, Route
from core.pricing.files import BadOverlay
from core.pricing.picture_tokens import PICTURE_RULES, count_pictures

CATALOGUE = Catalogue.load()
SQUARE, PHOTO = PictureSize(1_024, 1_024), PictureSize(1_568, 1_176)
#: No rule is asked for a larger one.
LARGEST = PictureSize(1_568, 1_568)


@pytest.mark.parametrize(
    ("rule", "size", "tokens"),
    [
        ("openai-2500-patches-1.20", PHOTO, 2_176),
        ("openai-2500-patches-1.20", PictureSize(640, 480), 360),
        ("openai-2500-patches-1.20", LARGEST, 2_882),
        ("openai-2500-patches", LARGEST, 5_907),
        ("openai-1536-patches-1.62", SQUARE, 1_659),
        # Made smaller it has less than all the patches of the budget, but never more.
        ("openai-1536-patches-1.62", LARGEST, 2_489),
        ("openai-1536-patches-2.46", PictureSize(1, 1), 3),
        ("openai-tiles-85-170", SQUARE, 765),
        ("openai-tiles-2833-5667", SQUARE, 25_501),
        ("openai-tiles-70-140", SQUARE, 630),
        ("openai-tiles-75-150", SQUARE, 675),
        ("openai-tiles-85-170", PictureSize(1_568, 882), 1_105),
        # Two tiles as it is, eight if it is made larger first.
        ("openai-tiles-85-170", PictureSize(1_000, 100), 1_445),
        # One tile as it is, four as 768 × 768.
        ("openai-tiles-85-170", PictureSize(100, 100), 765),
        ("openai-tiles-85-170", PictureSize(1_568, 1), 1_445),
        ("anthropic-high", PHOTO, 2_352),
        ("anthropic-high", LARGEST, 3_136),
        ("anthropic-standard", PictureSize(1_280, 720), 1_196),
        ("anthropic-standard", PHOTO, 1_568),
        ("gemini-3", PictureSize(768, 768), 1_120),
        ("mistral", SQUARE, 1_406),
        ("mistral", LARGEST, 3_080),
        ("kimi", LARGEST, 3_136),
        ("groq-qwen3.8", PictureSize(1, 1), 2_048),
        ("xai", PictureSize(448, 449), 2 * 768),
        ("xai", LARGEST, 2 * 1_792),
        ("deepseek-v4.1", SQUARE, 1_568),
        ("flat-4096", SQUARE, 4_096),
    ],
)
def test_what_one_picture_costs_at_most(rule: str, size: PictureSize, tokens: int) -> None:
    assert count_pictures(rule, [size]) == Tokens(tokens)


def test_pictures_add_up_as_far_as_a_rule_takes_them() -> None:
    assert count_pictures("gemini-3", [SQUARE] * PICTURES_MAX) == Tokens(PICTURES_MAX * 1_120)
    assert count_pictures("gemini-3", [SQUARE] * (PICTURES_MAX + 1)) is None
    assert count_pictures("groq-qwen3.8", [SQUARE] * 3) == Tokens(3 * 2_048)
    assert count_pictures("groq-qwen3.8", [SQUARE] * 4) is None
    assert count_pictures("", [SQUARE]) is None
    assert count_pictures("no-such-rule", [SQUARE]) is None
    assert count_pictures("", ()) == count_pictures("gemini-3", ()) == Tokens(0)


def test_every_rule_that_ships_is_somebodys_or_the_operators() -> None:
    used = {route.pictures for model in CATALOGUE.models.values() for route in model.routes} - {""}
    assert used | {"flat-4096"} == set(PICTURE_RULES)


def test_who_sees() -> None:
    seeing = {model.id for model in CATALOGUE.models.values() if model.sees_pictures}
    assert {"gpt-4o", "claude-haiku-5-5", "gemini-3.8-flash", "grok-4.7", "qwen3.8-27b"} <= seeing
    blind = {model.id for model in CATALOGUE.models.values()} - seeing
    assert blind == {
        *("gpt-oss-120b", "gpt-oss-20b", "deepseek-v4-pro", "codestral-2508", "command-a"),
        *("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemma-4-26b"),
        *("llama-3.3-70b", "llama-4-scout", "llama-3.1-8b", "glm-5.3", "glm-5.3-flash"),
        *("minimax-m3", "minimax-m3.1-flash", "qwen3.8-flash"),
        *("whisper-1", "gpt-transcribe", "whisper-large-v3-turbo"),
    }
    qwen = CATALOGUE.models["qwen3.8-27b"]
    assert [route.provider for route in qwen.routes if route.pictures] == ["groq"]


def test_a_model_costs_what_its_dearest_route_that_sees_so_many_does() -> None:
    routes = (
        Route("groq", "m", pictures="groq-qwen3.8"),
        Route("cerebras", "m"),
        Route("together", "m", pictures="gemini-3"),
    )
    model = Model("m", "M", "x", Tokens(9_000), Tokens(2_000), False, (), routes)
    assert model.sees_pictures
    assert model.count_pictures([SQUARE] * 3) == Tokens(3 * 2_048)
    assert model.count_pictures([SQUARE] * 4) == Tokens(4 * 1_120)
    assert model.count_pictures([SQUARE] * (PICTURES_MAX + 1)) is None
    assert model.count_pictures(()) == Tokens(0)
    blind = CATALOGUE.models["gpt-oss-20b"]
    assert (blind.sees_pictures, blind.count_pictures([SQUARE])) == (False, None)


def load(tmp_path: Path, text: str) -> Catalogue:
    overlay = tmp_path / "models.toml"
    overlay.write_text(text)
    return Catalogue.load(overlay)


def test_an_operator_says_what_sees(tmp_path: Path) -> None:
    catalogue = load(
        tmp_path,
        """
[[model]]
id = "llama3.2-vision"
context = 32_000
routes = ["openai:llama3.2-vision"]
pictures = { openai = "flat-4096" }
[[model]]
id = "gpt-4o"
pictures = {}
[[model]]
id = "qwen3.8-27b"
routes = ["groq:qwen/qwen3.8-27b@131072", "together:Qwen/Qwen3.8-27B"]
[[model]]
id = "grok-4.7"
routes = ["xai:grok-4.7-fast"]
[[model]]
id = "kimi-k2.6"
routes = ["cloudflare:@cf/moonshotai/kimi-k2.6"]
pictures = { cloudflare = "kimi" }
""",
    )
    assert catalogue.models["llama3.2-vision"].count_pictures([SQUARE]) == Tokens(4_096)
    assert not catalogue.models["gpt-4o"].sees_pictures
    assert [one.pictures for one in catalogue.models["qwen3.8-27b"].routes] == ["groq-qwen3.8", ""]
    # Whether another model of the same supplier counts alike isn't known.
    assert not catalogue.models["grok-4.7"].sees_pictures
    assert catalogue.models["kimi-k2.6"].sees_pictures


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        ('{ openai = "nonsense" }', "no such rule: nonsense"),
        ('{ groq = "gemini-3" }', "gpt-4o: pictures, but no route: groq"),
        ('"gemini-3"', "model.0.pictures"),
    ],
)
def test_an_operators_mistake_about_pictures_is_refused_in_words(
    tmp_path: Path, pictures: str, reason: str
) -> None:
    with pytest.raises(BadOverlay) as refused:
        load(tmp_path, f'[[model]]\nid = "gpt-4o"\npictures = {pictures}')
    assert reason in refused.value.reason
