"""The scripted front with a menu such as the real one's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from bots.chat.types import MenuItem, MenuOption, Platform, Suggestion
from tests.bots.telegram.scripted import ScriptedFront

_MODEL = MenuOption("model", "The model's name", completion="model")


class DiscordFront(ScriptedFront):
    """Implements `ChatHandler`."""

    def list_languages(self) -> Sequence[str]:
        return ("en", "zh-CN")

    def build_menu(
        self, language: str, scope: Literal["private", "group", "admin"]
    ) -> list[MenuItem]:
        word, title = {"en": ("Ask", "Ask"), "zh-CN": ("提问", "提问")}[language]
        question = MenuOption("question", "What you want to know", required=True)
        return [
            MenuItem("ask", word, title, (question, _MODEL), allowed_in_groups=True),
            MenuItem("balance", "Your Credits", "余额", allowed_in_groups=True, is_private=True),
            MenuItem("stop", "Stop", "停", allowed_in_groups=True),
            MenuItem("report", "Report", "报告", admin_only=True, is_private=True),
        ]

    def suggest_completions(self, completion: str, typed: str, language: str) -> list[Suggestion]:
        assert completion == "model"
        return [Suggestion(f"{typed}-{n}", f"{language} {n} " + "x" * 120) for n in range(30)]

    def list_admins(self, platform: Platform) -> Sequence[str]:
        return ()
