"""The demo's tour as README types it, at a real terminal, in both languages and several widths.

What was shown is kept beside the test's other files, to be read.
"""

from __future__ import annotations

import re
import shutil
import sys
from itertools import product
from pathlib import Path

import pytest

from bots.chat.i18n import render
from bots.chat.reply import say
from bots.commands.withdraw import STATE_NAMES
from bots.console.layout import end_label
from bots.render.plain_text import display_width
from tests.support.size import size
from tests.system.terminals import Terminal, open_terminal

FULL = size(small=0, full=1) == 1
BIN = Path(sys.executable).parent
#: What the tour sends; in a clone it is there.
FILES = ("docs/pictures/paid.png", "docs/promise.md")
PROMPTS = {"en": "you>", "zh-CN": "您>"}
LANGUAGES = {"C.UTF-8": "en", "zh_CN.UTF-8": "zh-CN"}
SEATS = list(product((50, 80, 100), LANGUAGES)) if FULL else [(80, "C.UTF-8")]
#: Where a key is asked for, its label follows.
KEY_PROMPT = "API key"
#: And where a withdrawal's payee is.
NAME_PROMPT = "Any name"
#: What each line of the tour brings, in both languages.
TOUR = (
    ("/ask gpt-4 why is the sky blue?", "◈ GPT-6.1 Sol"),
    ("99", "/ask 99"),
    ("/balance", "💎"),
    ("/models", "🎤 Whisper"),
    ("docs/pictures/paid.png what is on it?", "[2] "),
    ("1", "◈"),
    ("docs/promise.md what is promised?", "◈ GPT-6.1 Sol"),
    ("/contribute openai", KEY_PROMPT),
    ("sk-sandbox-500", "✅"),
    ("1", "🎉"),
    ("/admin", "⏳"),
    ("/report", "$"),
    ("/crowd", "/keys"),
    ("/admin", PROMPTS["en"]),
    ("/keys", "[2] 📈"),
    ("/withdraw", "[1] "),
    ("1", NAME_PROMPT),
    ("Bob", "[1] "),
    ("1", "out_"),
    ("/admin", "[1] "),
    ("/payouts", "[1] $"),
    ("1", "[1] "),
    ("1", "[1] "),
    ("1", "out_"),
    ("/admin", "out_"),
    ("/withdraw", "out_"),
)
#: Each of the README's commands in chat that the tour itself doesn't type, and that asks for
#: nothing hidden.
TYPED = {line.split()[0] for line, _ in TOUR} | {"/newbot"}
COMMANDS = [
    command
    for command in dict.fromkeys(re.findall(r"`(/[a-z]+)", Path("README.md").read_text("utf-8")))
    if command not in TYPED
]


@pytest.mark.parametrize(("columns", "locale"), SEATS)
def test_the_tour_works_at_a_terminal(tmp_path: Path, columns: int, locale: str) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, tmp_path / name)
    with open_terminal([BIN / "creditbot", "demo"], tmp_path, {"LANG": locale}, columns) as screen:
        screen.until(PROMPTS[LANGUAGES[locale]])
        try:
            _take_tour(screen, LANGUAGES[locale])
        finally:
            (tmp_path / "transcript.txt").write_text(screen.text)
    for line in screen.text.split("\n"):
        assert "**" not in line, "raw Markdown"
        assert not re.match(r"[*_]\w", line), "raw Markdown"
        assert "Traceback" not in line
    # Also without a command to be copied whole.
    typed = re.compile(r"you|owner|您>|所有者>|API|\s+CREDITBOT_")
    printed = [line for line in screen.text.split("\n") if not typed.match(line)]
    wide = [line for line in printed if display_width(line) > columns and " " in line.strip()]
    assert wide == [], "a line that the terminal would break inside a word"
    if LANGUAGES[locale] == "zh-CN":
        assert "积分" in screen.text
    assert "sk-sandbox" not in screen.text


def _take_tour(screen: Terminal, language: str) -> None:
    labels = {
        prompt: end_label(render(say(prompt), language)).rstrip()
        for prompt in (KEY_PROMPT, NAME_PROMPT)
    }
    labels[PROMPTS["en"]] = PROMPTS[language]
    for line, shown in TOUR:
        screen.say(line, labels.get(shown, shown))
    paid = render(STATE_NAMES["paid"], language)
    assert any(paid in line for line in screen.text.split("\n")[-12:]), "what was approved is paid"
    if FULL:
        for command in COMMANDS:
            screen.say(command, command)
    assert screen.leave() == 0
