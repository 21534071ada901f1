"""The catalogue: what people type, what is retired, what an operator's file may change."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from core.money import Tokens
from core.pricing.catalogue import (
    ANSWER_LIMIT,
    THINKING_ANSWER_LIMIT,
    Catalogue,
    Route,
    UnknownModel,
)
from core.pricing.files import BadOverlay

CATALOGUE = Catalogue.load()


@dataclass
class Listing:
    id: str
    context: Tokens | None = None


def test_over_forty_models_of_all_the_makers_that_the_brief_names() -> None:
    makers = {model.maker for model in CATALOGUE.models.values()}
    assert len(CATALOGUE.models) > 40
    assert makers >= {"OpenAI", "Anthropic", "Google", "DeepSeek", "xAI", "Mistral", "Meta"}
    assert any(
        route.provider == "cloudflare"
        for model in CATALOGUE.models.values()
        for route in model.routes
    )


def test_every_model_has_what_a_card_and_a_quote_need() -> None:
    for model in CATALOGUE.chat_models:
        assert model.answer_limit == (THINKING_ANSWER_LIMIT if model.thinking else ANSWER_LIMIT)
        assert model.context.units > model.answer_limit.units, model.id
        assert ("thinking" in model.features) == model.thinking
        for route in model.routes:
            assert route.context is not None
            assert route.context.units <= model.context.units


@pytest.mark.parametrize(
    ("typed", "model"),
    [
        ("gpt-6.1-terra", "gpt-6.1-terra"),
        ("GPT 6.1 Terra", "gpt-6.1-terra"),
        ("gpt4", "gpt-6.1-sol"),
        ("gpt-4", "gpt-6.1-sol"),
        ("gpt-4-turbo", "gpt-6.1-terra"),
        ("ChatGPT", "gpt-6-luna"),
        ("claude", "claude-sonnet-5-5"),
        ("Claude 3", "claude-sonnet-5-5"),
        ("sonnet", "claude-sonnet-5-5"),
        ("claude-3-opus", "claude-opus-5-5"),
        ("llama", "llama-3.3-70b"),
        ("llama 3", "llama-3.3-70b"),
        ("gemini", "gemini-3.8-flash"),
        ("deepseek", "deepseek-v4-flash"),
        ("deepseek-r1", "deepseek-v4-pro"),
        ("grok", "grok-4.7"),
        ("mistral", "mistral-medium-3-5"),
        ("qwen", "qwen3.8-27b"),
        ("kimi", "kimi-k3.1-pro"),
        ("openai/gpt-4o", "gpt-4o"),
        ("@cf/meta/llama-3.3-70b-instruct-fp8-fast", "llama-3.3-70b"),
    ],
)
def test_what_people_type_finds_the_model_that_they_mean(typed: str, model: str) -> None:
    assert CATALOGUE.find(typed).id == model


def test_a_retired_name_is_told_from_a_current_one() -> None:
    assert CATALOGUE.is_retired("GPT-4")
    assert CATALOGUE.is_retired("claude 3")
    assert not CATALOGUE.is_retired("gpt-4o")
    assert not CATALOGUE.is_retired("claude")


def test_words_of_a_question_are_not_taken_for_models() -> None:
    for word in ("gpt-4", "GPT-4", "claude", "llama", "o3", "gpt-5.4", "gemini"):
        assert CATALOGUE.is_unambiguous_name(word), word
    for word in ("why", "haiku", "sonnet", "opus", "fable", "flash", "command", "sol", "gp", ""):
        assert not CATALOGUE.is_unambiguous_name(word), word


def test_an_unknown_name_is_told_the_nearest_names() -> None:
    with pytest.raises(UnknownModel) as refused:
        CATALOGUE.find("gtp-5")
    assert refused.value.requested_name == "gtp-5"
    assert refused.value.similar[0] == CATALOGUE.models["gpt-5"].name
    assert len(refused.value.similar) <= 3
    for typed in ("天空为什么是蓝色的", "nonsense", "nomodel", "nosuchmodel-9", "foo"):
        with pytest.raises(UnknownModel) as nothing_like_it:
            CATALOGUE.find(typed)
        assert nothing_like_it.value.similar == (), typed


def test_what_is_nearly_a_name_also_one_of_the_past_is_found() -> None:
    assert CATALOGUE.find_nearest("gtp-4", 0.75) == CATALOGUE.find("gpt-4")
    assert CATALOGUE.find_nearest("wisper-1", 0.75) is None, "it answers no questions"
    assert CATALOGUE.find_nearest("covid-19", 0.75) is None


def test_an_overlay_adds_changes_and_withdraws(tmp_path: Path) -> None:
    overlay = tmp_path / "models.toml"
    overlay.write_text(
        """
default = "house"
withdrawn = ["gpt-5.5"]
[[model]]
id = "house"
name = "House Model"
context = 32_000
routes = ["openai:house-1"]
aliases = ["gpt-4"]
[[model]]
id = "gpt-6-luna"
name = "Luna"
[retired]
"gpt-5.5" = "gpt-5.4"
"""
    )
    catalogue = Catalogue.load(overlay)
    assert catalogue.default_model.id == "house"
    assert catalogue.find("gpt-4").id == "house"
    assert not catalogue.is_retired("gpt-4")
    assert catalogue.find("gpt-5.5").id == "gpt-5.4"
    changed, before = catalogue.models["gpt-6-luna"], CATALOGUE.models["gpt-6-luna"]
    assert changed.name == "Luna"
    assert changed.routes == before.routes
    assert catalogue.find("gpt-6-mini").id == "gpt-6-luna"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model = [", "models.toml"),
        ("[[model]]\nname = 'x'", "model.0.id"),
        ("[[model]]\nid = 'new'\ncontext = 9000", "new: a new model needs context and routes"),
        ("[[model]]\nid = 'gpt-5'\nprice = 3", "model.0.price"),
        (
            "[[model]]\nid = 'a'\ncontext = 9000\nroutes = ['openai:a']\naliases = ['o3']",
            "o3 names",
        ),
        ("[retired]\n'old' = 'nowhere'", "old leads to nowhere"),
        ("withdrawn = ['nowhere']", "no such model: nowhere"),
        ("default = 'nowhere'", "nowhere is not in the catalogue"),
        ("[[cost]]\nprovider='openai'\nmodel='*'\ninput='free'\noutput='1'", "cost.0.input"),
        ("[[cost]]\nprovider='openai'\nmodel='*'\ninput='1'", "needs input and output, or minute"),
        ("default = 'whisper-1'", "whisper-1 is not in the catalogue"),
    ],
)
def test_an_overlay_that_is_wrong_is_refused_in_words(
    tmp_path: Path, text: str, reason: str
) -> None:
    overlay = tmp_path / "models.toml"
    overlay.write_text(text)
    with pytest.raises(BadOverlay) as refused:
        Catalogue.load(overlay)
    assert reason in refused.value.reason


def test_an_overlay_adds_a_model_that_hears(tmp_path: Path) -> None:
    overlay = tmp_path / "models.toml"
    overlay.write_text("[[model]]\nid = 'ears'\nper = 'second'\nroutes = ['openai:our-whisper']")
    catalogue = Catalogue.load(overlay)
    assert catalogue.audio_models == [*CATALOGUE.audio_models, catalogue.find("ears")]
    assert catalogue.chat_models == CATALOGUE.chat_models
    # It is found where a model is chosen, but no question begins with its name.
    assert catalogue.find("Whisper").per == "second"
    assert not any(catalogue.is_unambiguous_name(name) for name in ("ears", "whisper", "whisper-1"))


def test_a_missing_overlay_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOverlay, match="No such file"):
        Catalogue.load(tmp_path / "nowhere.toml")


def test_a_custom_address_offers_its_models_under_their_own_names() -> None:
    catalogue = Catalogue.load()
    catalogue.add_local_models(
        "openai", [Listing("llama3"), Listing("qwen:4b", Tokens(4_096)), Listing("gpt-4o")]
    )
    own = catalogue.find("llama3")
    assert (own.id, own.local, own.tokenizer) == ("llama3", True, "estimate")
    assert [(route.provider, route.model) for route in own.routes] == [("openai", "llama3")]
    assert catalogue.find("qwen:4b").context == Tokens(4_096)
    assert catalogue.is_unambiguous_name("qwen:4b")
    assert not catalogue.find("gpt-4o").local
    catalogue.add_local_models("groq", [Listing("gpt-4o"), Listing("qwen:4b"), Listing("LLaMA3")])
    assert {model.id for model in catalogue.models.values() if model.local} == {
        "llama3", "qwen:4b", "groq/gpt-4o", "groq/qwen:4b", "groq/LLaMA3",
    }  # fmt: skip
    assert catalogue.find("groq/gpt-4o").routes[0].provider == "groq"
    assert catalogue.find("gpt-4o").routes[0].provider == "openai"
    catalogue.add_local_models("groq", [])
    catalogue.add_local_models("openai", [Listing("qwen:4b")])
    assert catalogue.find("llama3").id == "llama-3.3-70b"
    assert catalogue.find("qwen:4b").local


def test_a_bare_name_finds_an_own_servers_model_where_nothing_else_has_it() -> None:
    catalogue = Catalogue.load()
    catalogue.add_local_models(
        "openai", [Listing("team/gemma-9"), Listing("claude-sonnet-5-5"), Listing("a/llama3")]
    )
    assert catalogue.find("Gemma 9").id == "team/gemma-9"
    assert catalogue.is_unambiguous_name("gemma-9")
    # Another model has that name: whether it has a key isn't known here.
    assert catalogue.find("claude-sonnet-5-5").maker == "Anthropic"
    own = catalogue.find_own_model("claude-sonnet-5-5")
    assert own is not None
    assert own.id == "openai/claude-sonnet-5-5"
    assert catalogue.find("llama3").id == "llama-3.3-70b"
    # Two have it.
    catalogue.add_local_models("groq", [Listing("other/gemma-9")])
    with pytest.raises(UnknownModel):
        catalogue.find("gemma-9")
    assert not catalogue.is_unambiguous_name("gemma-9")
    assert catalogue.find("other/gemma-9").id == "other/gemma-9"


@pytest.mark.parametrize(
    "name", ["o4-mini", "o1-mini", "o3-mini", "grok-4-1-fast-reasoning", "grok-code", "llama-4"]
)
def test_names_of_models_that_ended_lead_to_one_that_is_served(name: str) -> None:
    """Each ended at its makers before today; whoever chose one is served by its successor."""
    catalogue = Catalogue.load()
    found = catalogue.find(name)
    assert found.id != name
    assert found.routes


def test_models_that_think_unasked_are_known_as_such() -> None:
    """Anthropic's newer models think unless that is switched off, and bill it as output."""
    catalogue = Catalogue.load()
    for name in ("claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5", "claude-fable-5-2"):
        assert catalogue.find(name).thinking, name


def test_a_servers_model_that_is_seen_to_think_gets_the_room_for_it() -> None:
    catalogue = Catalogue.load()
    catalogue.add_local_models("openai", [Listing("qwen:4b")])
    before, route = catalogue.find("qwen:4b"), Route("openai", "qwen:4b")
    catalogue.mark_thinking(route)
    catalogue.add_local_models("openai", [Listing("qwen:4b")])
    after = catalogue.find("qwen:4b")
    assert (before.thinking, after.thinking) == (False, True)
    assert after.answer_limit > before.answer_limit
    shipped = catalogue.find("gpt-4o")
    catalogue.mark_thinking(shipped.routes[0])
    assert catalogue.find("gpt-4o") == shipped
