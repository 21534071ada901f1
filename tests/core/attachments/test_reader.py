"""Files of strangers are read in processes of their own: each good one is read, each bad one is
named, and none does anything else."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from unittest.mock import AsyncMock

import pytest
import pytest_asyncio

from core.attachments import reader as module
from core.attachments.plain_text import decode_text, guess_text
from core.attachments.reader import FileReader
from core.attachments.types import (
    BEGINNING_PAGES,
    FILE_BYTES_MAX,
    TEXT_CHARS_MAX,
    FileProblem,
    FileUnreadable,
)
from core.child_process import ChildProcess
from tests.support.documents import (
    make_bomb_docx,
    make_bomb_pdf,
    make_docx,
    make_locked_pdf,
    make_pdf,
    make_xlsx,
)
from tests.support.process_descriptors import list_inherited
from tests.support.waiting_readers import WAITING

#: Nearly all of them start processes.
pytestmark = pytest.mark.system

RUSSIAN = "Привет, мир. Это текст в старой кодировке, и он довольно длинный. " * 4 + "Конец."


@pytest_asyncio.fixture
async def files() -> AsyncIterator[FileReader]:
    made = FileReader()
    yield made
    await made.close()


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many processes wait for files as in the service."""
    monkeypatch.setattr(module, "_WARM", WAITING)


async def test_a_pdf_is_read_page_by_page(files: FileReader) -> None:
    found = await files.read_document(make_pdf(["The sky is blue.", "", "So is the sea."]))
    assert found.text == "The sky is blue.\n\n\n\nSo is the sea."
    assert (found.format, found.pages, found.pages_read, found.is_cut) == ("PDF", 3, 3, False)
    assert found.beginning_chars == 0


async def test_of_a_long_pdf_it_is_known_where_its_first_pages_end(files: FileReader) -> None:
    pages = [f"This is page {number}." for number in range(BEGINNING_PAGES + 5)]
    found = await files.read_document(make_pdf(pages))
    assert found.text[: found.beginning_chars] == "\n\n".join(pages[:BEGINNING_PAGES])


async def test_what_is_too_long_is_cut_and_says_so(files: FileReader) -> None:
    page = "\n".join(["word " * 20] * 80)
    found = await files.read_document(make_pdf([page] * 60))
    assert 0.9 * TEXT_CHARS_MAX < len(found.text) <= TEXT_CHARS_MAX + 2 * 60
    assert found.is_cut
    assert found.pages_read < found.pages == 60


async def test_word_and_excel_files_are_read(files: FileReader) -> None:
    word = await files.read_document(make_docx(["Between you", "and me."], ["a", "b"]))
    assert (word.format, word.text) == ("DOCX", "Between you\nand me.\na\tb")
    rows = [["item", "cents"], [], ["tea", 120]]
    excel = await files.read_document(make_xlsx("Sums", rows))
    assert (excel.format, excel.text) == ("XLSX", "Sums:\nitem\tcents\ntea\t120")


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r", "utf-8", "utf-16"])
async def test_text_is_read_in_other_encodings(files: FileReader, encoding: str) -> None:
    assert (await files.read_document(RUSSIAN.encode(encoding))).text == RUSSIAN


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp932", "きのう私たちは古い市場へ行って、新しい野菜を買いました。"),
        ("euc_jp", "きのう私たちは古い市場へ行って、新しい野菜を買いました。"),
        ("gb18030", "昨天我们去了城里的老市场，买了很多新鲜的水果和蔬菜，然后回家做饭。"),
        ("cp949", "어제 우리는 오래된 시장에 가서 신선한 채소를 많이 샀습니다."),
    ],
)
def test_text_of_east_asia_is_told_apart(encoding: str, text: str) -> None:
    assert guess_text(text.encode(encoding)) == text


def test_quotes_of_windows_make_no_other_language() -> None:
    french = "l’été “dernier” – où coule une rivière très fraîche… 5 €"
    assert decode_text(french.encode("cp1252")) == french
    # Letters stand there in other languages: these are to be told by whoever knows more.
    assert decode_text("žluťoučký kůň".encode("cp1250")) is None


async def test_long_text_keeps_its_encoding(files: FileReader) -> None:
    """What is looked at first may end within a letter."""
    for begin in ("", "a"):
        text = begin + "ж" * 200_000
        assert (await files.read_document(text.encode())).text == text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b" \n\t ", FileProblem.EMPTY),
        (make_docx([]), FileProblem.EMPTY),
        (make_pdf(["", ""]), FileProblem.SCANNED),
        (make_locked_pdf(), FileProblem.LOCKED),
        (b"%PDF-1.7 and nothing more", FileProblem.DAMAGED),
        (b"PK\x03\x04 and nothing more", FileProblem.DAMAGED),
        (random.Random(1).randbytes(3_000), FileProblem.UNKNOWN),
        (b"\x7fELF\0\0\0\0 a program of some sort", FileProblem.UNKNOWN),
        # Made where they are needed: every process that runs tests reads this.
        (partial(make_bomb_docx, 60), FileProblem.TOO_LARGE),
        (partial(make_bomb_docx, 300), FileProblem.TOO_LARGE),
        (partial(make_bomb_pdf, 1_200), FileProblem.DAMAGED),
        (partial(bytes, FILE_BYTES_MAX + 1), FileProblem.TOO_LARGE),
    ],
    ids=lambda value: value.value if isinstance(value, FileProblem) else "",
)
async def test_what_cannot_be_read_is_named(
    files: FileReader, content: bytes | Callable[[], bytes], problem: FileProblem
) -> None:
    content = content if isinstance(content, bytes) else content()
    with pytest.raises(FileUnreadable) as raised:
        await files.read_document(content)
    assert raised.value.problem is problem
    # The next file is read as ever.
    assert (await files.read_document(make_pdf(["Next."]))).text == "Next."


@pytest.mark.usefixtures("waiting")
async def test_damaged_files_end_nothing(files: FileReader) -> None:
    """Bytes of good files, changed at random."""
    chance = random.Random(2)
    good = [make_pdf(["The sky is blue."]), make_docx(["Blue."]), make_xlsx("Sums", [["tea", 1]])]
    for _ in range(9):
        content = bytearray(chance.choice(good))
        for _ in range(20):
            content[chance.randrange(len(content))] = chance.randrange(256)
        try:
            await files.read_document(bytes(content))
        except FileUnreadable:
            continue


async def test_a_file_that_takes_too_long_is_given_up(
    files: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(600)")
    monkeypatch.setattr(module, "_COMMAND", sleeper)
    monkeypatch.setattr(module, "IDLE_SECONDS_MAX", 0.2)
    monkeypatch.setattr(module, "READ_SECONDS_MAX", 0.2)
    with pytest.raises(FileUnreadable) as raised:
        await files.read_document(b"anything at all")
    assert raised.value.problem is FileProblem.SLOW


#: One that has no turn of the processor where it is idle, and one that has it all the time then.
#: They look when there is a job: whoever starts them has said by then what priority they have.
_HELD_UP = """
import os, select, sys, time
select.select([0], [], [])
if os.sched_getscheduler(0) == os.SCHED_IDLE:
    time.sleep(600)
os.execv(sys.executable, [sys.executable, "-I", "-m", "core.attachments.worker"])
"""
_BUSY = """
import os, select
select.select([0], [], [])
while os.sched_getscheduler(0) == os.SCHED_IDLE:
    pass
print("it was asked twice")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it doesn't tell what a process had")
@pytest.mark.usefixtures("waiting")
async def test_a_file_is_read_though_others_want_the_processor(
    files: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COMMAND", (sys.executable, "-c", _HELD_UP))
    monkeypatch.setattr(module, "IDLE_SECONDS_MAX", 0.2)
    assert (await files.read_document(make_docx(["The sky is blue."]))).text == "The sky is blue."


@pytest.mark.skipif(sys.platform != "linux", reason="it doesn't tell what a process had")
async def test_a_file_that_takes_the_processor_all_the_time_is_read_once(
    files: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COMMAND", (sys.executable, "-c", _BUSY))
    monkeypatch.setattr(module, "IDLE_SECONDS_MAX", 2.0)
    monkeypatch.setattr(module, "_IDLE_SHARE_MIN", 0.01)  # tests share it with others
    with pytest.raises(FileUnreadable) as raised:
        await files.read_document(b"anything at all")
    assert raised.value.problem is FileProblem.SLOW


async def test_a_process_whose_words_nobody_takes_is_ended() -> None:
    script = "import sys\nwhile True: sys.stdout.buffer.write(bytes(1 << 20))"
    process = await ChildProcess.start((sys.executable, "-c", script))
    async with asyncio.timeout(60):
        assert await process.exchange(b"", seconds=50, bytes_max=1 << 24) == b""
        assert await process.end() == -signal.SIGKILL
    process = await ChildProcess.start((sys.executable, "-c", script))
    async with asyncio.timeout(60):
        assert await process.end(grace_seconds=0.1) == -signal.SIGKILL
    assert not process.is_running


@pytest.mark.usefixtures("waiting")
async def test_readers_know_nothing_of_the_service(
    files: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDITBOT_MASTER_KEY", "canary-of-the-environment")
    canary = "canary-" + "of-memory-0001"
    held = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(held, True)
    await files.read_document(make_pdf(["First."]))
    assert files._warming is not None
    await files._warming
    waiting = list(files._warm)
    assert len(waiting) == 2
    for process in waiting:
        folder = Path(f"/proc/{process.pid}")
        assert (folder / "environ").read_bytes() == b""
        assert list_inherited(process.pid) == []
        assert canary.encode() not in _read_memory(process.pid)
    os.close(held)
    await files.close()
    assert not any(process.is_running for process in waiting)


def _read_memory(pid: int) -> bytes:
    """All that a process may write to."""
    found = bytearray()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            start, end = (int(one, 16) for one in span.split("-"))
            if "w" in rights and "[v" not in line:
                memory.seek(start)
                found += memory.read(end - start)
    return bytes(found)


async def test_a_reader_gives_up_its_rights(tmp_path: Path) -> None:
    """It can't write a file, take more memory than it may, or reach the network where the kernel
    lets it part with that."""
    script = """
import socket
from core.attachments import worker
worker._give_up_rights()
import os, sys
try:
    os.write(os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT), b"x")
    print("wrote")
except OSError:
    print("can't write")
try:
    bytearray(1 << 30)
    print("allocated")
except MemoryError:
    print("can't allocate")
try:
    socket.create_connection(("127.0.0.1", 1))
except OSError as error:
    print(error.errno)
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, tmp_path / "written"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_ignore_file_size_signal,
    )
    written, allocated, network = done.stdout.split("\n")[:3]
    assert (written, allocated) == ("can't write", "can't allocate")
    # 101: there is no network; 111: there is one, but nobody listens.
    assert network in {"101", "111"}


def _ignore_file_size_signal() -> None:
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


@pytest.mark.parametrize(("processors", "at_once"), [(1, 1), (2, 1), (3, 2), (64, 2)], ids=str)
async def test_a_processor_is_left_for_questions(
    monkeypatch: pytest.MonkeyPatch, processors: int, at_once: int
) -> None:
    monkeypatch.setattr(module, "_count_processors", lambda: processors)
    reader, reading, most = FileReader(), 0, 0

    async def run_job(*_: object) -> bytes:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        for _ in range(20):  # others may begin meanwhile
            await asyncio.sleep(0)
        reading -= 1
        return b""

    monkeypatch.setattr(module, "_run_job", run_job)
    monkeypatch.setattr(module.ChildProcess, "start", AsyncMock())
    files = [reader.read_document(b"anything at all") for _ in range(6)]
    refused = await asyncio.gather(*files, return_exceptions=True)
    assert [type(one) for one in refused] == [FileUnreadable] * 6
    assert most == at_once
    await reader.close()


@pytest.mark.usefixtures("waiting")
async def test_many_files_at_once_take_turns(files: FileReader) -> None:
    contents = [make_pdf([f"Page of {number}."]) for number in range(6)]
    found = await asyncio.gather(*map(files.read_document, contents))
    assert [one.text for one in found] == [f"Page of {number}." for number in range(6)]
