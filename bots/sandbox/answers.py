"""What the sandbox says: the entry of its own small book whose words fit a question best."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

#: Under every answer: nobody shall take it for a model's.
NOTES = {
    "en": "*I am the sandbox, a stand-in for a model: nothing here came from a real one.*",
    "zh-CN": "*这里是沙盒，只是模型的替身：以上内容并非来自真正的模型。*",
}

#: What it makes of a voice message: a question, so that there is something to ask.
_HEARD = (
    "Why is the sky blue?\n\n*I am the sandbox, a stand-in for a model: I did not listen to these"
    " {seconds} seconds.*"
)

_LONG = re.compile(r"\blong (answer|text|story|essay)\b|长(文|篇|回答)")
_RECALL = re.compile(r"\bwhat did i (just )?(ask|say)\b|我刚才(问|说)了什么")
#: List items and quotations begin lines of their own.
_OWN_LINE = re.compile(r"[-*>] |\d+\. ")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer of the sandbox, with the words and phrases that call for it."""

    title: str
    words: tuple[str, ...]
    text: str


def answer(questions: Sequence[str]) -> str:
    """The answer to the last of a conversation's questions, with the sandbox's note."""
    question = questions[-1] if questions else ""
    language = "zh-CN" if _CHINESE.search(question) else "en"
    return f"{_answer(questions, question.casefold(), language)}\n\n{NOTES[language]}"


def heard(seconds: int) -> str:
    """What was said in audio of so many seconds; nobody listened."""
    return _HEARD.format(seconds=seconds)


def _answer(questions: Sequence[str], question: str, language: str) -> str:
    if _RECALL.search(question):
        if len(questions) < 2:
            return "This is the first question that reached me: `/new` begins a conversation."
        return f"Just before, you asked:\n\n> {' '.join(questions[-2].split())[:500]}"
    if _LONG.search(question):
        return _long(language)
    return best(question, book(language)).text


def best(question: str, entries: Sequence[Entry]) -> Entry:
    """The entry whose words occur most tellingly in a question; the last one if none does."""
    scored = max(entries, key=lambda entry: _score(question, entry.words))
    return scored if _score(question, scored.words) else entries[-1]


@functools.cache
def book(language: str) -> tuple[Entry, ...]:
    """The entries of a language."""
    name = "answers.md" if language == "en" else f"answers.{language}.md"
    text = resources.files("bots.sandbox").joinpath(name).read_text("utf-8")
    return tuple(_entry(part) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])


def _entry(part: str) -> Entry:
    title, words, text = part.split("\n", 2)
    listed = words.removeprefix("words:").split(",")
    return Entry(
        title, tuple(word.strip() for word in listed if word.strip()), _unwrapped(text.strip())
    )


def _unwrapped(text: str) -> str:
    """A text as a model writes it: one line a paragraph. The book is wrapped for its readers."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        fence = line.startswith("```")
        if fenced or fence or not before or not line or _OWN_LINE.match(line) or before == "```":
            lines.append(line)
        else:
            lines[-1] = before + ("" if _CHINESE.search(before[-1]) else " ") + line.strip()
        fenced ^= fence
    return "\n".join(lines)


def _score(question: str, words: Sequence[str]) -> int:
    return sum(len(word.split()) ** 2 + len(word) // 4 for word in words if _has(question, word))


def _has(question: str, word: str) -> bool:
    if _CHINESE.search(word):
        return word in question
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", question, re.ASCII) is not None


def _long(language: str) -> str:
    """The whole book, numbered so that it shows if a part is missing: more than one message of any
    platform holds."""
    entries = [entry for entry in book(language) if entry.words]
    parts = [
        f"### {number}. {entry.title.capitalize()}\n\n{entry.text}"
        for number, entry in enumerate(entries, start=1)
    ]
    return "\n\n".join(parts)
