"""The console from a pipe and on a real terminal."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bots.chat.audio import DownloadFailed
from bots.chat.types import (
    Answer,
    AnswerProgress,
    Attachment,
    Button,
    ButtonPress,
    Card,
    IncomingMessage,
    Output,
    Place,
    UndeliveredAnswer,
)
from bots.console.console import ConsoleAdapter
from bots.console.files import find_attachments
from core.clock import Clock
from tests.bots.console.console_support import a_terminal, console_at, start_console, to_its_end
from tests.bots.telegram.scripted import AGAIN, STOP, ScriptedFront
from tests.support.audio import VOICE
from tests.support.databases import TestClock

CHOICES = ((Button("btn_a", "Top up"),), (Button("btn_b", "Models"),))


async def answered(incoming: IncomingMessage) -> AsyncIterator[Output]:
    """A little of everything."""
    match incoming.text.partition(" ")[0]:
        case "/balance":
            yield Card(title="💎 My Balance", lines=("12,450 Credits",), buttons=CHOICES)
        case "/usage":
            yield Card(table=(("10:23", "GPT-4", "8 Cr"), ("10:30", "模型", "12 Cr")))
        case "/export":
            yield Card(attachment=Attachment("../export.json", b'{"a": 1}'))
        case "/ask":
            yield AnswerProgress("ask_1", "", STOP, note="Using the last 3 messages")
            for text in ("The sky", "The sky is", "The sky is blue 👨‍"):
                yield AnswerProgress("ask_1", text, STOP)
                await asyncio.sleep(0)
            text = "The sky is blue 👨‍👩‍👧.\n◈ GPT-4 · 0 Credits\x1b[31m"
            yield Answer("ask_1", text, "Stopped.\nGPT-4 · 8 Credits", AGAIN)
        case _:
            yield Card(lines=(f"{incoming.sender.id} said {incoming.text}",))


async def piped(
    text: str, front: ScriptedFront, files: Path | None = None, clock: Clock | None = None
) -> str:
    """What is printed for these lines of a pipe."""
    front.script = answered
    read, write = os.pipe()
    os.write(write, text.encode())
    os.close(write)
    output = io.StringIO()
    with os.fdopen(read) as lines:
        console = ConsoleAdapter(
            front, input=lines, output=output, is_terminal=False, files=files, clock=clock
        )
        await to_its_end(console.run())
    return output.getvalue()


async def test_each_line_is_answered_before_the_next() -> None:
    front = ScriptedFront()
    printed = await piped("/balance\n/ask gpt-4 why is the sky blue?\n/usage", front)
    assert printed == (
        "> /balance\n"
        "💎 My Balance\n"
        "12,450 Credits\n"
        "[1] Top up  [2] Models\n"
        "> /ask gpt-4 why is the sky blue?\n"
        "Using the last 3 messages\n"
        "The sky is blue 👨‍👩‍👧.\n"
        "· GPT-4 · 0 Credits[31m\n"
        "◈ Stopped.\n"
        "◈ GPT-4 · 8 Credits\n"
        "[1] Again\n"
        "> /usage\n"
        "10:23  GPT-4  8 Cr\n"
        "10:30  模型   12 Cr\n"
    )
    assert [each.message for each in front.handled] == sorted({x.message for x in front.handled})
    ((ask, message),) = front.landed_in
    assert ask == "ask_1"
    assert message not in {each.message for each in front.handled}


async def test_a_number_presses_a_button_only_while_there_are_buttons() -> None:
    front = ScriptedFront()
    printed = await piped("1\n/balance\n2\n2\n/balance\n7\n", front)
    assert [press.button for press in front.pressed] == ["btn_b"]
    assert front.pressed[0].place == Place("console", "you")
    assert "pressed btn_b" in printed
    assert [each.text for each in front.handled] == ["/balance", "/balance"]
    for number in (1, 2, 7):
        assert f"> {number}\nThere is no button {number} here. Nothing was charged." in printed


async def test_the_owners_desk_is_another_person() -> None:
    front = ScriptedFront()
    printed = await piped("hi\n/admin\nhi\n/admin\nhi\n", front)
    assert printed == (
        "> hi\nyou said hi\n> /admin\n[owner]\n> hi\nowner said hi\n"
        "> /admin\n[you]\n> hi\nyou said hi\n"
    )
    assert [each.place.code for each in front.handled] == [
        "console:you:",
        "console:owner:",
        "console:you:",
    ]


async def test_ids_are_never_used_again_by_a_later_run() -> None:
    first, second = ScriptedFront(), ScriptedFront()
    clock = TestClock()
    await piped("a\nb\n", first, clock=clock)
    clock.advance(seconds=0.001)
    await piped("a\nb\n", second, clock=clock)
    assert max(int(x.message) for x in first.handled) < min(int(x.message) for x in second.handled)


async def test_a_file_is_written_beside_older_ones_and_nowhere_else(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    printed = await piped("/export\n/export\n", ScriptedFront(), folder)
    assert f"→ {folder / 'export-1.json'}" in printed
    assert sorted(os.listdir(folder)) == ["export-1.json", "export.json"]
    assert os.listdir(tmp_path) == ["here"]
    assert (folder / "export.json").stat().st_mode & 0o777 == 0o600


async def test_bytes_that_are_no_text_and_a_narrow_output_do_no_harm() -> None:
    front = ScriptedFront()
    front.script = answered
    read, write = os.pipe()
    os.write(write, b"caf\xe9\n\n  \n/balance")
    os.close(write)
    raw = io.BytesIO()
    output = io.TextIOWrapper(raw, encoding="ascii")
    with os.fdopen(read) as lines:
        await to_its_end(ConsoleAdapter(front, input=lines, output=output, is_terminal=False).run())
    assert [each.text for each in front.handled] == ["caf\ufffd", "/balance"]
    assert b"? My Balance\n12,450 Credits\n" in raw.getvalue()


async def test_a_stream_that_is_no_file_is_read_too() -> None:
    front, output = ScriptedFront(), io.StringIO()
    lines = io.StringIO("one\ntwo\n")
    await to_its_end(ConsoleAdapter(front, input=lines, output=output, is_terminal=False).run())
    assert [each.text for each in front.handled] == ["one", "two"]


async def test_a_reader_who_is_gone_ends_it() -> None:
    read, write = os.pipe()
    os.close(read)
    front = ScriptedFront()
    with os.fdopen(write, "w", buffering=1) as output:
        lines = io.StringIO("one\ntwo\n")
        await to_its_end(ConsoleAdapter(front, input=lines, output=output, is_terminal=False).run())
        assert len(front.handled) == 0
        with pytest.raises(BrokenPipeError):
            output.close()


async def test_saved_answers_and_notices_are_printed() -> None:
    output = io.StringIO()
    console = ConsoleAdapter(ScriptedFront(), input=io.StringIO(), output=output, is_terminal=False)
    answer = Answer("ask_1", "saved", "GPT-4 · 8 Credits")
    assert await console.deliver_answer(
        UndeliveredAnswer("ask_1", Place("console", "you"), "1", "", answer)
    )
    await console.notify_person("you", Card(lines=("paid",)))
    assert output.getvalue() == "saved\n◈ GPT-4 · 8 Credits\npaid\n"


async def test_a_notice_for_the_other_side_waits_for_it() -> None:
    output = io.StringIO()
    front = ScriptedFront()
    pay = Button("btn_1", "Accept")
    lines = io.StringIO("/admin\n1\n")
    console = ConsoleAdapter(front, input=lines, output=output, is_terminal=False)
    await console.notify_person("owner", Card(lines=("disputed",), buttons=((pay,),)))
    await console.notify_person("owner", Card(lines=("and paid",)))
    assert output.getvalue() == "✉ There is news for the owner: /admin\n"
    await to_its_end(console.run())
    assert "[owner]\ndisputed\n[1] Accept\nand paid\n" in output.getvalue()
    assert [(each.sender.id, each.button) for each in front.pressed] == [("owner", "btn_1")]


async def stoppable(incoming: IncomingMessage, front: ScriptedFront) -> AsyncIterator[Output]:
    yield AnswerProgress("ask_1", "growing\n\nmore", STOP)
    await front.stopped.wait()
    yield Answer("ask_1", "growing\n\nmore", "stopped", AGAIN)


async def test_on_a_terminal_a_number_stops_the_answer_and_the_footer_is_dim() -> None:
    front = ScriptedFront()
    front.script = lambda incoming: stoppable(incoming, front)
    with a_terminal() as terminal:
        running = start_console(front, terminal)
        await terminal.until("you>")
        terminal.type("why?\n")
        await terminal.until("growing")
        assert "[1] Stop" in terminal.seen
        terminal.type("also this\n1\n")
        await terminal.until("\x1b[2m◈ stopped\x1b[0m")
        await terminal.until("[1] Again")
        # What was typed meanwhile is answered after.
        await terminal.until("you>")
        terminal.type("\x04")
        await to_its_end(running)
    assert [press.button for press in front.pressed] == ["btn_stop"]
    assert [each.text for each in front.handled] == ["why?", "also this"]


async def test_ctrl_c_stops_the_answer_and_then_ends() -> None:
    front = ScriptedFront()
    front.script = lambda incoming: stoppable(incoming, front)
    with a_terminal() as terminal:
        running = start_console(front, terminal)
        terminal.type("why?\n")
        await terminal.until("growing")
        os.kill(os.getpid(), signal.SIGINT)
        await terminal.until("[1] Again", "you>")
        os.kill(os.getpid(), signal.SIGINT)
        await terminal.until("To leave, press Ctrl-C again, or Ctrl-D.", "you>")
        os.kill(os.getpid(), signal.SIGINT)
        await to_its_end(running)
    assert [press.button for press in front.pressed] == ["btn_stop"]


async def test_stop_is_never_a_question_and_ctrl_c_presses_no_other_button() -> None:
    front, ended = ScriptedFront(), asyncio.Event()

    async def script(incoming: IncomingMessage) -> AsyncIterator[Output]:
        if incoming.text == "/balance":
            yield Card(lines=("12 Credits",), buttons=CHOICES)
            return
        yield Card(lines=("at work",), buttons=CHOICES, passing=True)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    front.script = script
    with a_terminal() as terminal:
        running = start_console(front, terminal)
        for stop in ("/stop\r", "\x03"):
            ended.clear()
            terminal.type("/crowd\r")
            await terminal.until("at work", "you>")
            terminal.type(stop)
            await terminal.until("Stopped.", "you>")
            assert ended.is_set()
            terminal.seen = ""
        terminal.type("\x04")
        await to_its_end(running)
    assert front.pressed == []
    assert [each.text for each in front.handled] == ["/crowd", "/crowd"]


async def test_a_pasted_block_is_one_question_and_a_line_is_edited() -> None:
    front = ScriptedFront()
    with a_terminal() as terminal:
        running = start_console(front, terminal)
        await terminal.until("you>")
        terminal.type("\x1b[200~one\ntwo\nthree\x1b[201~\r")
        await terminal.until("echo: one")
        terminal.type("wrod\x7f\x7f\x7ford\r")
        await terminal.until("echo: word")
        terminal.type("\x1b[A\x1b[A\r")
        terminal.seen = ""
        await terminal.until("echo: one")
        terminal.type("\x04")
        await to_its_end(running)
    assert [each.text for each in front.handled] == ["one\ntwo\nthree", "word", "one\ntwo\nthree"]


async def test_the_prompt_is_in_the_machines_language() -> None:
    front, output = ScriptedFront(), io.StringIO()
    piped_console = ConsoleAdapter(
        front, input=io.StringIO("/admin\n"), output=output, is_terminal=False, language="zh-CN"
    )
    await to_its_end(piped_console.run())
    assert output.getvalue() == "> /admin\n[所有者]\n"
    with a_terminal() as terminal:
        console = ConsoleAdapter(
            front,
            input=terminal.input,
            output=terminal.output,
            is_terminal=True,
            language="zh-CN",
        )
        running = asyncio.create_task(console.run())
        await terminal.until("您>")
        terminal.type("/admin\r")
        await terminal.until("所有者>")
        terminal.type("\x04")
        await to_its_end(running)
        assert "you" not in terminal.seen


async def test_a_notices_buttons_go_on_and_take_none_away() -> None:
    front = ScriptedFront()
    front.script = answered
    with a_terminal() as terminal:
        console = console_at(front, terminal)
        running = asyncio.create_task(console.run())
        terminal.type("/balance\r")
        await terminal.until("[2] Models")
        await console.notify_person(
            "you", Card(lines=("disputed",), buttons=((Button("btn_c", "Accept"),),))
        )
        await terminal.until("[3] Accept")
        for number in (1, 3):
            terminal.type(f"/balance\r{number}\r")
            await terminal.until(f"pressed btn_{'ac'[number // 2]}", "you>")
        terminal.type("\x04")
        await to_its_end(running)
    assert [press.button for press in front.pressed] == ["btn_a", "btn_c"]


async def test_what_others_were_answered_is_nobodys_here() -> None:
    output, front = io.StringIO(), ScriptedFront()
    console = ConsoleAdapter(front, input=io.StringIO(), output=output, is_terminal=False)
    answer = Answer("ask_1", "for a stranger", "GPT-4 · 8 Credits", AGAIN)
    place = Place("console", "sandbox-1")
    assert await console.deliver_answer(UndeliveredAnswer("ask_1", place, "1", "", answer))
    assert output.getvalue() == ""
    assert [ask for ask, _ in front.landed_in] == ["ask_1"]


async def test_a_second_ctrl_c_ends_an_answer_that_does_not_stop() -> None:
    front, ended = ScriptedFront(), asyncio.Event()

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        try:
            yield AnswerProgress("ask_1", "for ever\n\nand ever", STOP)
            await asyncio.Event().wait()
        finally:
            ended.set()

    front.script = script
    with a_terminal() as terminal:
        running = start_console(front, terminal)
        terminal.type("why?\n")
        await terminal.until("for ever")
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(20):
            await front.stopped.wait()
        os.kill(os.getpid(), signal.SIGINT)
        await terminal.until("Stopped.")
        assert ended.is_set()
        terminal.type("\x04")
        await to_its_end(running)


async def test_a_pasted_key_is_taken_off_the_screen() -> None:
    front = ScriptedFront()

    async def script(_: IncomingMessage) -> AsyncIterator[Output]:
        yield Card(lines=("Revoke that key.",), erase_incoming=True)

    async def pressed(_: ButtonPress) -> AsyncIterator[Output]:
        yield Card()

    front.script, front.on_press = script, pressed
    with a_terminal() as terminal:
        running = start_console(front, terminal)
        terminal.type("sk-proj-…\n")
        await terminal.until("\x1b[1A\r\x1b[J")
        await terminal.until("Revoke that key.")
        terminal.type("\x04")
        await to_its_end(running)


async def test_a_line_that_begins_with_a_files_path_sends_that_file(tmp_path: Path) -> None:
    front = ScriptedFront()
    sound, words = tmp_path / "my voice.ogg", tmp_path / "words.txt"
    sound.write_bytes(VOICE)
    words.write_bytes(b"no sound")
    missing = tmp_path / "none.ogg"
    lines = (
        f"'{sound}'",
        f"say {sound}",
        f"{words} what is it?",
        str(missing),
        "it's.ogg",
        "a" * 300 + ".ogg",
    )
    await piped("\n".join(lines), front)
    first, *others = front.handled
    assert first.text == ""
    assert first.audio is not None
    assert (first.audio.seconds, first.audio.size) == (None, len(VOICE))
    assert (first.audio.name, await first.audio.fetch()) == ("my voice.ogg", VOICE)
    read, *others = [others[1], others[0], *others[2:]]
    (document,) = read.attachments
    assert document.fetch is not None
    assert (read.text, document.name, document.size) == ("what is it?", "words.txt", 8)
    assert await document.fetch() == b"no sound"
    plain = [line for line in lines[1:] if "words.txt" not in line]
    assert [(each.text, each.audio, each.attachments) for each in others] == [
        (line, None, ()) for line in plain
    ]
    sound.unlink()
    with pytest.raises(DownloadFailed):
        await first.audio.fetch()


async def test_pictures_and_documents_may_stand_before_the_question(tmp_path: Path) -> None:
    front = ScriptedFront()
    photo, shot = tmp_path / "my photo.JPG", tmp_path / "shot.png"
    plan, other = tmp_path / "plan.txt", tmp_path / "data.bin"
    for number, path in enumerate((photo, shot, plan, other), start=1):
        path.write_bytes(b"x" * number)
    dropped = str(photo).replace(" ", "\\ ")
    lines = (
        f"'{photo}' what is it?",
        f'{dropped} @{shot} {plan} what\'s   new in "it"?',
        f"@'{photo}'",
        f"{other} what?",
        f"what is {shot}",
        f"{tmp_path}/none.png what?",
        "@ what?",
    )
    await piped("\n".join(lines), front)
    told = [
        (each.text, [(one.kind, one.name, one.size) for one in each.attachments])
        for each in front.handled
    ]
    picture = ("picture", "my photo.JPG", 1)
    assert told == [
        ("what is it?", [picture]),
        (
            'what\'s   new in "it"?',
            [picture, ("picture", "shot.png", 2), ("file", "plan.txt", 3)],
        ),
        ("", [picture]),
        *((line, []) for line in lines[3:]),
    ]
    fetched = [one.fetch for one in front.handled[1].attachments]
    assert [await fetch() for fetch in fetched if fetch is not None] == [b"x", b"xx", b"xxx"]


@pytest.mark.parametrize("ending", ["png", "jpg", "jpeg", "webp", "gif", "PNG"])
def test_pictures_are_known_by_their_endings(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"x")
    assert [one.kind for one in find_attachments(f"{path} why?")[1]] == ["picture"]
