"""Every sentence of the program is there in every language, with the same values."""

from __future__ import annotations

import ast
import re
import string
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

import bots
from bots.chat.i18n import LANGUAGES, find_nearest_language, load_translations, render
from bots.chat.reply import say, say_count
from core.money import Credits

ROOT = Path(bots.__file__).parent


def list_texts() -> dict[str, str]:
    """The text of every `say("…")` and of constants that are said, and of every `say_count("…",
    "…")`, with that for one; empty where there is none."""
    found = {}
    for file in ROOT.rglob("*.py"):
        constants = {}
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                constants[ast.unparse(node.targets[0])] = node.value.value

        def read(text: ast.expr, known: dict[str, str] = constants) -> str:
            return text.value if isinstance(text, ast.Constant) else known[ast.unparse(text)]

        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id == "say":
                found[read(node.args[0])] = ""
            elif node.func.id == "say_count":
                found[read(node.args[1])] = read(node.args[0])
    return found


TEXTS = list_texts()
TRANSLATED = [code for code in LANGUAGES if code != "en"]


def values(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_translated_with_the_same_values(language: str) -> None:
    translated = load_translations(language).forms
    assert TEXTS.keys() - translated.keys() == set()
    assert translated.keys() - TEXTS.keys() == set(), "translations of sentences that are gone"
    differing = {
        text for text in TEXTS for form in translated[text] if values(text) != values(form)
    }
    assert differing == set()


@pytest.mark.parametrize("language", TRANSLATED)
def test_sentences_with_a_number_have_all_of_a_languages_forms(language: str) -> None:
    with resources.files("bots.locale").joinpath(f"{language}.po").open("rb") as file:
        catalogue = read_po(file)
    for message in catalogue:
        if message.id:
            forms = message.string if message.pluralizable else (message.string,)
            assert len(forms) == (catalogue.num_plurals if message.pluralizable else 1)
            one = message.id[0] if message.pluralizable else ""
            assert one == TEXTS[message.id[1] if message.pluralizable else message.id]


def test_no_number_stands_before_a_plural_that_may_be_one() -> None:
    numbers = "count|asks|more|seconds|per_minute|at_once|waiting"
    counted = re.compile(rf"\{{({numbers})\}} (?:more |of your )?[a-z]+s\b")
    wrong = [text for text, one in TEXTS.items() if counted.search(text) and not one]
    assert wrong == []


def test_one_is_said_as_one() -> None:
    said = [
        say_count("{count} change waits for you.", "{count} changes wait for you.", n)
        for n in (0, 1, 2, 1_000)
    ]
    assert [render(one, "en") for one in said] == [
        "0 changes wait for you.",
        "1 change waits for you.",
        "2 changes wait for you.",
        "1,000 changes wait for you.",
    ]
    assert render(said[1], "zh-CN") == render(said[2], "zh-CN").replace("2", "1")


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
