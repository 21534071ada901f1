"""Forms in the console: a terminal doesn't show what is typed, and a pipe's line isn't echoed."""

from __future__ import annotations

import io
import os
import termios
from collections.abc import AsyncIterator

from bots.chat.types import (
    Button,
    ButtonPress,
    Card,
    Form,
    FormCard,
    FormSubmission,
    IncomingMessage,
    InputField,
    Output,
    Place,
)
from bots.console.console import ConsoleAdapter
from tests.bots.console.console_support import a_terminal, start_console, to_its_end
from tests.bots.telegram.scripted import ScriptedFront

SECRET = "sk-canary-typed-unseen"
FORM = Form(
    "frm_1",
    "A key of Cloudflare",
    (
        InputField("key", "API key"),
        InputField("account", "Account ID", "32 characters", hidden=False),
    ),
)
CARD = FormCard(FORM, ("It may cost $5.",), "Enter it", "Send it here", Button("btn_no", "Cancel"))


class FormFront(ScriptedFront):
    """Asks with a form, and keeps what was filled in."""

    def __init__(self) -> None:
        super().__init__()
        self.filled: list[FormSubmission] = []
        self.script = self._asks

    async def _asks(self, incoming: IncomingMessage) -> AsyncIterator[Output]:
        yield CARD if incoming.text == "/pool add" else Card(lines=(f"said {incoming.text}",))

    async def submit_form(self, submission: FormSubmission) -> AsyncIterator[Output]:
        self.filled.append(submission)
        yield Card(lines=("Added.",))

    @property
    def values(self) -> list[dict[str, str]]:
        return [
            {name: value.get_secret_value() for name, value in each.values.items()}
            for each in self.filled
        ]


async def piped(text: str, front: FormFront) -> str:
    output = io.StringIO()
    console = ConsoleAdapter(front, input=io.StringIO(text), output=output, is_terminal=False)
    await to_its_end(console.run())
    return output.getvalue()


async def test_the_next_lines_of_a_pipe_fill_it_in_and_are_not_echoed() -> None:
    front = FormFront()
    printed = await piped(f"/pool add\n{SECRET}\n/abc\n/help\n", front)
    assert printed == (
        "> /pool add\n"
        "A key of Cloudflare\n"
        "It may cost $5.\n"
        "API key:\n"
        "Account ID (32 characters):\n"
        "Added.\n"
        "> /help\n"
        "said /help\n"
    )
    assert front.values == [{"key": SECRET, "account": "/abc"}]
    assert front.filled[0].place == Place("console", "you")
    assert front.filled[0].form == "frm_1"
    assert SECRET not in repr(front.filled)


async def test_an_empty_line_cancels_and_an_end_leaves_it() -> None:
    for typed, pressed in (("\n/help\n", ["btn_no"]), (" \n/help\n", ["btn_no"]), (SECRET, [])):
        front = FormFront()
        printed = await piped(f"/pool add\n{typed}", front)
        assert ("pressed btn_no" in printed) == bool(pressed)
        assert ("said /help" in printed) == bool(pressed)
        assert [press.button for press in front.pressed] == pressed
        assert front.values == []


async def test_a_terminal_does_not_show_what_is_typed() -> None:
    front = FormFront()
    with a_terminal() as terminal:
        running = start_console(front, terminal)
        await terminal.until("you>")
        terminal.type("/pool add\n")
        await terminal.until("API key:")
        terminal.type(f"{SECRET}\n")
        await terminal.until("Account ID (32 characters):")
        terminal.type("0123\n")
        await terminal.until("Added.")
        terminal.type("/help\n")
        await terminal.until("said /help")
        terminal.type("\x04")
        await to_its_end(running)
        local = termios.tcgetattr(terminal.input.fileno())[3]
    assert front.values == [{"key": SECRET, "account": "0123"}]
    assert SECRET not in terminal.seen
    assert "0123" in terminal.seen, "only what is secret is hidden"
    assert local & termios.ECHO, "afterwards typing is shown again"


async def test_ctrl_c_at_a_hidden_line_shows_typing_again() -> None:
    front = FormFront()
    with a_terminal() as terminal:
        running = start_console(front, terminal)
        terminal.type("/pool add\n")
        await terminal.until("API key:")
        assert not termios.tcgetattr(terminal.input.fileno())[3] & termios.ECHO
        os.kill(os.getpid(), 2)
        await terminal.until("To leave, press Ctrl-C again")
        os.kill(os.getpid(), 2)
        await to_its_end(running)
        assert termios.tcgetattr(terminal.input.fileno())[3] & termios.ECHO
    assert front.filled == []
    assert front.pressed == []


async def test_a_press_may_ask_too() -> None:
    front = FormFront()

    async def asks(_: ButtonPress) -> AsyncIterator[Output]:
        yield CARD

    async def offers(incoming: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(lines=(incoming.text,), buttons=((Button("btn_add", "Add"),),))

    front.script, front.on_press = offers, asks
    await piped(f"/pool\n1\n{SECRET}\n0123\n", front)
    assert front.values == [{"key": SECRET, "account": "0123"}]
