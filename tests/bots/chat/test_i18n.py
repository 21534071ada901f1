"""Every sentence of the program is there in every language, with the same values."""

from __future__ import annotations

import ast
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest

import bots
from bots.chat.i18n import LANGUAGES, find_nearest_language, load_catalogue, render
from bots.chat.reply import say
from core.money import Credits

ROOT = Path(bots.__file__).parent


def sentences() -> set[str]:
    """Texts of every `say("…")`, and of constants that are said."""
    found = set()
    for file in ROOT.rglob("*.py"):
        constants = {}
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                constants[ast.unparse(node.targets[0])] = node.value.value
        for node in ast.walk(tree):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if called and node.func.id == "say":
                text = node.args[0]
                found.add(
                    text.value if isinstance(text, ast.Constant) else constants[ast.unparse(text)]
                )
    return found


def values(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", [code for code in LANGUAGES if code != "en"])
def test_every_sentence_is_translated_with_the_same_values(language: str) -> None:
    translated = load_catalogue(language)
    said = sentences()
    assert said - set(translated) == set()
    assert set(translated) - said == set(), "translations of sentences that are gone"
    differing = {text for text in said if values(text) != values(translated[text])}
    assert differing == set()


def test_the_readers_language_is_the_nearest_one() -> None:
    assert find_nearest_language("zh-hans") == "zh-CN"
    assert find_nearest_language("zh_TW") == "zh-CN"
    assert find_nearest_language("en-GB") == "en"
    assert find_nearest_language("it-IT") == "en"
    assert find_nearest_language("") == "en"


def test_numbers_are_grouped_and_values_are_never_read_as_sentences() -> None:
    said = say("{amount} Credits", amount=Credits(12_450))
    assert render(said, "en") == "12,450 Credits"
    assert render(said, "zh-CN") == "12,450 积分"
    forged = say("There is no model “{asked}”. See /models.", asked="{near}")
    assert render(forged, "en") == "There is no model “{near}”. See /models."


def test_a_day_is_written_as_its_reader_writes_it() -> None:
    said = say("Nothing goes on before {until}.", until=datetime(2025, 3, 5, 18, 7, tzinfo=UTC))
    assert render(said, "en").endswith("Mar 5 18:07.")
    assert render(said, "zh-CN", "Asia/Shanghai").endswith("3月6日 02:07.")
