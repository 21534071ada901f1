"""The scripted front with a menu such as the real one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bots.chat.types import MenuItem, MenuOption, Platform, Suggestion
from tests.bots.telegram.scripted import ScriptedFront

_MODEL = MenuOption("model", "The model's name", completes="model", leads=True)


class DiscordFront(ScriptedFront):
    """Implements `Front`."""

    def menu(self, language: str, scope: Literal["private", "group", "admin"]) -> list[MenuItem]:
        word, title = {"en": ("Ask", "Ask"), "zh-CN": ("提问", "提问")}[language]
        question = MenuOption("question", "What you want to know", required=True)
        return [
            MenuItem("ask", word, title, (question, _MODEL), in_groups=True),
            MenuItem("balance", "Your Credits", "余额", in_groups=True, private=True),
            MenuItem("stop", "Stop", "停", in_groups=True),
            MenuItem("report", "Report", "报告", admin=True, private=True),
        ]

    def suggest(self, completes: str, typed: str, language: str) -> list[Suggestion]:
        assert completes == "model"
        return [Suggestion(f"{typed}-{n}", f"{language} {n} " + "x" * 120) for n in range(30)]

    def admins(self, platform: Platform) -> Sequence[str]:
        return ()
