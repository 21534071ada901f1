"""A front that says what a test wrote down, and remembers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Literal

from bots.chat.types import (
    Button,
    ButtonPress,
    Card,
    IncomingMessage,
    MenuItem,
    Output,
    Place,
    Platform,
)

Script = Callable[[IncomingMessage], AsyncIterator[Output]]
STOP = ((Button("btn_stop", "Stop"),),)
AGAIN = ((Button("btn_again", "Again"),),)


async def _echo(incoming: IncomingMessage) -> AsyncIterator[Output]:
    said = incoming.text or " ".join(incoming.options.values())
    yield Card(lines=(f"echo: {said}",))


async def _pressed(press: ButtonPress) -> AsyncIterator[Output]:
    yield Card(lines=(f"pressed {press.button}",), replace=True)


class ScriptedFront:
    """Implements `ChatHandler`."""

    def __init__(self) -> None:
        self.script: Script = _echo
        self.on_press: Callable[[ButtonPress], AsyncIterator[Output]] = _pressed
        self.handled: list[IncomingMessage] = []
        self.pressed: list[ButtonPress] = []
        #: Asks of which nothing could be shown anywhere.
        self.undelivered: list[str] = []
        #: Menus are told in these: only tests of menus look at those, and they are 36 requests.
        self.languages: Sequence[str] = ()
        self.started_in: list[tuple[str, str]] = []
        self.landed_in: list[tuple[str, str]] = []
        #: All that an answer was shown in, and where it was asked.
        self.shown_as: list[tuple[str, Place, tuple[str, ...]]] = []
        self.stopped = asyncio.Event()
        #: Called when something was told: those who wait look again.
        self.changed: Callable[[], None] = lambda: None

    async def handle_message(self, incoming: IncomingMessage) -> AsyncIterator[Output]:
        # As the real one: the same message again shows nothing twice.
        again = any(
            (each.place, each.message) == (incoming.place, incoming.message)
            for each in self.handled
        )
        self.handled.append(incoming)
        self.changed()
        if not again:
            async for output in self.script(incoming):
                yield output

    async def handle_press(self, press: ButtonPress) -> AsyncIterator[Output]:
        self.pressed.append(press)
        self.changed()
        if press.button == "btn_stop":
            self.stopped.set()
            return
        async for output in self.on_press(press):
            yield output

    async def find_pressed_place(self, press: ButtonPress) -> Place:
        return press.place

    async def mark_delivered(self, ask: str, place: Place, messages: Sequence[str]) -> None:
        self.landed_in.append((ask, messages[-1]))
        self.shown_as.append((ask, place, tuple(messages)))
        self.changed()

    async def mark_undelivered(self, ask: str) -> None:
        self.undelivered.append(ask)
        self.changed()

    async def mark_started(self, ask: str, message: str) -> None:
        self.started_in.append((ask, message))
        self.changed()

    def list_languages(self) -> Sequence[str]:
        return self.languages

    def build_menu(
        self, language: str, scope: Literal["private", "group", "admin"]
    ) -> list[MenuItem]:
        word = {"en": "Ask", "zh-CN": "提问"}[language]
        items = [MenuItem("ask", f"{word} ({scope})")]
        return items if scope != "admin" else [*items, MenuItem("report", "Report")]

    def describe_bot(self, language: str) -> tuple[str, str]:
        return (f"about in {language}", f"short in {language}")

    def list_admins(self, platform: Platform) -> Sequence[str]:
        assert platform == "telegram"
        return ("7", "404")
