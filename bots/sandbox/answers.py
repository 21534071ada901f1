"""What the sandbox says: the entry of its own small book whose words fit a question best."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from bots.sandbox.pictures import SeenPicture, describe_in_view, describe_shown

#: Under every answer: nobody shall take it for a model's.
NOTES = {
    "en": "*I am the sandbox, a stand-in for a model: nothing here came from a real one.*",
    "zh-CN": "*这里是沙盒，只是模型的替身：以上内容并非来自真正的模型。*",
}

#: What it makes of a voice message: a question, so that there is something to ask.
_TRANSCRIPT = (
    "Why is the sky blue?\n\n*I am the sandbox, a stand-in for a model: I did not listen to these"
    " {seconds} seconds.*"
)

#: How the questions of the demo's people begin: nobody watches their answers arrive.
CROWD_OPENING = "For the crowd, please write a long answer"

_LONG = re.compile(r"\blong (answer|text|story|essay)\b|长(文|篇|回答)")
_RECALL = re.compile(r"\bwhat did i (just )?(ask|say)\b|我刚才(问|说)了什么")
#: A file stands behind the question's words, under its name.
_FILE = re.compile(r"^(\S[^\n:]{0,60}\.[a-z0-9]{1,8}):\n", re.MULTILINE)
_BEGINNING_CHARS = 300
#: List items and quotations begin lines of their own.
_OWN_LINE = re.compile(r"[-*>] |\d+\. ")
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True, slots=True)
class SandboxAnswer:
    """An answer of the sandbox, with the words and phrases that call for it."""

    title: str
    words: tuple[str, ...]
    text: str


def compose_answer(
    questions: Sequence[str],
    *,
    shown: Sequence[SeenPicture] = (),
    in_view: Sequence[SeenPicture] = (),
) -> str:
    """The answer to the last of a conversation's questions, with the sandbox's note: `shown` are
    the pictures that came with it, `in_view` those of earlier ones."""
    question = questions[-1] if questions else ""
    language = "zh-CN" if _CHINESE.search(question) else "en"
    text = _find_own_text(questions, question.casefold(), language)
    if shown:
        parts = [describe_shown(shown, language), text]
    else:
        text = text or find_best_answer(question.casefold(), load_answers(language)).text
        parts = [text, describe_in_view(in_view, language) if in_view else ""]
    return "\n\n".join(filter(None, (*parts, NOTES[language])))


def _describe_file(question: str, language: str) -> str | None:
    """What is in a file that came with a question; None where none did."""
    found = _FILE.search(question)
    if found is None:
        return None
    words = question[found.end() :]
    text = (
        "I read **{name}**: {count} characters. It begins:\n\n> {beginning}"
        if language == "en"
        else "我读取了 **{name}**，共 {count} 个字符，开头是：\n\n> {beginning}"
    )
    beginning = " ".join(words[:_BEGINNING_CHARS].split())
    return text.format(name=found[1], count=f"{len(words):,}", beginning=beginning)


def compose_transcript(seconds: int) -> str:
    """What was said in audio of so many seconds; nobody listened."""
    return _TRANSCRIPT.format(seconds=seconds)


def _find_own_text(questions: Sequence[str], question: str, language: str) -> str | None:
    """What is said of the conversation itself, of a file, or at length; None for the book."""
    if _RECALL.search(question):
        if len(questions) < 2:
            return "This is the first question that reached me: `/new` begins a conversation."
        return f"Just before, you asked:\n\n> {' '.join(questions[-2].split())[:500]}"
    if questions and (described := _describe_file(questions[-1], language)) is not None:
        return described
    return _compose_long_answer(language) if _LONG.search(question) else None


def find_best_answer(question: str, entries: Sequence[SandboxAnswer]) -> SandboxAnswer:
    """The entry whose words occur most tellingly in a question; the last one if none does."""
    best_answer = max(entries, key=lambda entry: _score(question, entry.words))
    return best_answer if _score(question, best_answer.words) else entries[-1]


@functools.cache
def load_answers(language: str) -> tuple[SandboxAnswer, ...]:
    """The entries of a language."""
    name = "answers.md" if language == "en" else f"answers.{language}.md"
    text = resources.files("bots.sandbox").joinpath(name).read_text("utf-8")
    return tuple(_parse_answer(part) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])


def _parse_answer(part: str) -> SandboxAnswer:
    title, words, text = part.split("\n", 2)
    listed = words.removeprefix("words:").split(",")
    return SandboxAnswer(
        title, tuple(word.strip() for word in listed if word.strip()), _unwrap(text.strip())
    )


def _unwrap(text: str) -> str:
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
    return sum(
        len(word.split()) ** 2 + len(word) // 4 for word in words if _contains_word(question, word)
    )


def _contains_word(question: str, word: str) -> bool:
    if _CHINESE.search(word):
        return word in question
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", question, re.ASCII) is not None


def _compose_long_answer(language: str) -> str:
    """The whole book, numbered so that it shows if a part is missing: more than one message of any
    platform holds."""
    entries = [entry for entry in load_answers(language) if entry.words]
    parts = [
        f"### {number}. {entry.title.capitalize()}\n\n{entry.text}"
        for number, entry in enumerate(entries, start=1)
    ]
    return "\n\n".join(parts)
