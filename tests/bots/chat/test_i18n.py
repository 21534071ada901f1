"""Every sentence of the program is there in every language, with the same values."""

from __future__ import annotations

import ast
import functools
import re
import string
from collections import Counter
from datetime import UTC, datetime
from importlib import resources

import pytest
from babel.messages.pofile import read_po

from bots.chat.i18n import LANGUAGES, find_nearest_language, load_translations, render
from bots.chat.reply import say, say_count
from core.money import Credits
from tests.bots.chat.i18n_support import ROOT, list_texts, parse_files_with

TRANSLATED = [code for code in LANGUAGES if code != "en"]


def values(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_sentence_is_translated_with_the_same_values(language: str) -> None:
    texts, translated = list_texts(), load_translations(language).forms
    assert texts.keys() - translated.keys() == set()
    assert translated.keys() - texts.keys() == set(), "translations of sentences that are gone"
    differing = {
        text for text in texts for form in translated[text] if values(text) != values(form)
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
            assert one == list_texts()[message.id[1] if message.pluralizable else message.id]


def test_no_number_stands_before_a_plural_that_may_be_one() -> None:
    numbers = "count|asks|more|seconds|per_minute|at_once|waiting"
    counted = re.compile(rf"\{{({numbers})\}} (?:more |of your )?(?:[a-z]+s|wait|are|have)\b")
    wrong = [text for text, one in list_texts().items() if counted.search(text) and not one]
    assert wrong == []


def read_glossary() -> dict[str, dict[str, list[str]]]:
    """By language the product's own words, and their translations."""
    _, _, words = (ROOT.parent / "GLOSSARY.md").read_text().partition("## What people read")
    header, _, *rows = [line.strip("| ") for line in words.splitlines() if line.startswith("|")]
    _, *names = header.split(" | ")
    languages = {name: code for code, name in LANGUAGES.items()}
    found: dict[str, dict[str, list[str]]] = {languages[name]: {} for name in names}
    for row in rows:
        word, *translations = row.split(" | ")
        for name, translation in zip(names, translations, strict=True):
            found[languages[name]][word] = translation.split(", ")
    return found


#: What is typed as it stands there: commands, settings, values.
_TYPED = re.compile(r"\{\w+\}|/\w+|CREDITBOT_\w+|\w+_…|“[^”]*”")


@pytest.mark.parametrize("language", TRANSLATED)
def test_each_word_of_the_glossary_is_said_one_way(language: str) -> None:
    glossary = read_glossary()[language]
    assert len(glossary) > 20
    wrong = {
        (word, text)
        for text, forms in load_translations(language).forms.items()
        for word, translations in glossary.items()
        if re.search(rf"\b{word}s?\b", _TYPED.sub(" ", text))
        and not all(any(one in form for one in translations) for form in forms)
    }
    assert wrong == set()


#: The same in both languages: names, and what is typed.
_SAME = {
    "PayPal",
    "add 20% off gpt-4 until 2026-12-01",
    "asks|topups|contributions|payouts",
    "minute|once|day",
    "today | 7 | 30 | 2026-11 | all",
}


def test_nothing_stays_english_in_chinese() -> None:
    english = {
        text
        for text, forms in load_translations("zh-CN").forms.items()
        if re.search(r"[A-Za-z]{4}", _TYPED.sub(" ", text).replace("tokens", ""))
        and not any(re.search(r"[\u4e00-\u9fff]", form) for form in forms)
    }
    assert english == _SAME


def test_chinese_has_its_own_punctuation() -> None:
    han = r"[\u4e00-\u9fff]"
    wrong = {
        form
        for forms in load_translations("zh-CN").forms.values()
        for form in forms
        if re.search(rf"{han} ?[,:;?!()]|[,;?!()] ?{han}|你|\d %|\}} %", form)
    }
    assert wrong == set()


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_sentence_is_there_once(language: str) -> None:
    text = (ROOT / "locale" / f"{language}.po").read_text()
    ids = re.findall(r'^msgid(?:_plural)? "(.+)"$', text, re.MULTILINE)
    assert [one for one, count in Counter(ids).items() if count > 1] == []


def test_no_word_of_the_program_is_said() -> None:
    program = re.compile(
        r"\b(usr|ask|btn|key|cnv|pro|bat)_|\b[a-z]+_[a-z]+\b|\b(None|null|True|False)\b"
    )
    wrong = [text for text in list_texts() if program.search(re.sub(r"\{\w+\}", "", text))]
    assert wrong == []


@functools.cache
def list_labels() -> set[str]:
    """What stands on buttons: Discord takes 80 characters, and shows about half of them."""
    found = set()
    for nodes in parse_files_with("Choice("):
        for node in nodes:
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id != "Choice":
                continue
            label = node.args[0] if node.args else None
            if isinstance(label, ast.Call) and isinstance(label.args[0], ast.Constant):
                found.add(label.args[0].value)
    return found & list_texts().keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_labels_fit_on_buttons(language: str) -> None:
    labels = list_labels()
    assert len(labels) > 50
    long = {
        text
        for text in labels
        for form in load_translations(language).forms.get(text, (text,))
        if len(re.sub(r"\{\w+\}", "12,345", form)) > 45
    }
    assert long == set()


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
    now = datetime.now(UTC)
    said = say("{at}", at=now)
    assert render(said, "en") == f"{now:%b} {now.day} {now:%H:%M}", "today's too: it is read later"
    assert render(said, "zh-CN") == f"{now.month}月{now.day}日 {now:%H:%M}"
