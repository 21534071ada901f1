"""What files that are made to do harm cost everybody else, in turns with a time without them.

    python -m benchmarks.bombs [--people 50] [--bombs 24] [--files 1000]

People ask once a second each, five times in turns: alone; while `--bombs` files are read that were
sent at one instant (PDFs that unpack to 1.5 GB); and beside as many notes that were sent so and are
asked about, which are work by themselves. A turn's percentile beside them is told as a ratio to
that of its turn alone, and what is alone told apart by turns: as much as those differ, the machine
does. Afterwards `--files` documents are read, two at once, and the service's own memory is told
before and after, without its reading processes. The supplier answers at once, in a process of its
own.

Goals: p99 beside the bombs is that of without them, as far as those of without them are like each
other (the readers have an idle priority, but share the processors' caches and memory); memory
within 20 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from benchmarks import supplier
from benchmarks.service import PEOPLE, ask, build_app, measure_resident_mb
from bots.app import App
from bots.chat.attachments import SentAttachment
from bots.chat.types import Answer, Card, IncomingMessage, Place, Sender
from core.clock import SystemClock
from core.db.migrate import migrate
from tests.support.documents import make_bomb_pdf, make_docx, make_pdf, make_xlsx

_ALONE_SECONDS = 10.0
_TURNS = 5
_BOMB_MEGABYTES = 1_500
_NOTE = b"The sky is blue."
#: Numbers of messages with notes and with bombs, which no others have.
_NOTES_FROM = 1_000 * PEOPLE
_BOMBS_FROM = 2_000 * PEOPLE
#: Senders of files are others than the people who ask.
_SENDERS_FROM = 10_000
#: Above this many the memory of the process has found its size.
_FILES_BEFORE = 50


@dataclass
class _Load:
    """People who each ask once a second until they are told to stop."""

    app: App
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    rounds: itertools.count[int] = field(default_factory=itertools.count)
    #: The longest until all bombs were told to be ones.
    bomb_seconds: float = 0.0

    async def measure(self, people: int, until: asyncio.Future[object]) -> list[float]:
        """How long each answer took, in seconds."""
        took: list[float] = []

        async def person(number: int) -> None:
            await asyncio.sleep(number / people)
            while not until.done():
                began = time.perf_counter()
                took.append(await ask(self.app, next(self.numbers)))
                await asyncio.sleep(max(0.0, 1.0 - (time.perf_counter() - began)))

        await asyncio.gather(*map(person, range(people)))
        return took

    async def measure_alone(self, people: int) -> list[float]:
        """The same for a while in which nothing else comes."""
        return await self.measure(people, asyncio.ensure_future(asyncio.sleep(_ALONE_SECONDS)))

    async def measure_beside_notes(self, people: int, notes: int) -> list[float]:
        """The same beside as many files that are notes: what so many messages at once cost others
        by themselves."""
        first = _NOTES_FROM + PEOPLE * next(self.rounds)  # the same senders each time
        sent = self._send_at_once(first, notes, "a.txt", _NOTE)
        took = await self.measure_alone(people)
        assert all("Read with it" in one for one in await sent)
        return took

    async def measure_beside_bombs(self, people: int, bombs: int, content: bytes) -> list[float]:
        """The same while that many files are read that were sent at one instant."""
        first = _BOMBS_FROM + PEOPLE * next(self.rounds)
        exploding = self._send_at_once(first, bombs, "a.pdf", content)
        began = time.perf_counter()
        took = await self.measure(people, exploding)
        said = await exploding
        assert all("is damaged" in one for one in said), said
        self.bomb_seconds = max(self.bomb_seconds, time.perf_counter() - began)
        return took

    def _send_at_once(
        self, first: int, count: int, name: str, content: bytes
    ) -> asyncio.Future[list[str]]:
        numbers = range(first, first + count)
        return asyncio.gather(*(_send_file(self.app, one, name, content) for one in numbers))


async def _send_file(app: App, number: int, name: str, content: bytes) -> str:
    """What is said of a file that was sent with a question."""

    async def fetch() -> bytes:
        return content

    sender = str(_SENDERS_FROM + number % PEOPLE)
    incoming = IncomingMessage(
        place=Place("telegram", sender),
        sender=Sender(sender, "en"),
        message=str(_SENDERS_FROM + number),
        at_ms=app.services.base.clock.now_ms(),
        text="what is in it?",
        attachments=(SentAttachment("file", name, size=len(content), fetch=fetch),),
    )
    said = ""
    async for output in app.chat.dispatcher.handle_message(incoming):
        if isinstance(output, Answer):
            await app.chat.dispatcher.mark_delivered(output.ask, incoming.place, ["1"])
            said = output.footer
        elif isinstance(output, Card):
            said = "\n".join(output.lines)
    return said


async def _read_files(app: App, count: int, first: int) -> None:
    documents = (
        ("a.pdf", make_pdf(["The sky is blue."] * 10)),
        ("a.docx", make_docx(["The sky is blue."] * 100)),
        ("a.xlsx", make_xlsx("Sky", [["blue", 1]] * 100)),
        ("a.csv", "sky;bleu très\n".encode("latin-1") * 200),
    )
    numbers = iter(range(first, first + count))

    async def send_some() -> None:
        for number in numbers:
            assert "Read with it" in await _send_file(app, number, *documents[number % 4])

    await asyncio.gather(send_some(), send_some())


async def _measure(people: int, bombs: int, files: int) -> list[str]:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        database = f"sqlite:///{Path(folder) / 'bench.db'}"
        await migrate(database, "live", SystemClock())
        async with supplier.running() as url:
            app = await build_app(f"{url}/plain/v1", database)
            load, bomb = _Load(app), make_bomb_pdf(_BOMB_MEGABYTES)
            await load.measure_beside_notes(people, bombs)
            alone, beside, notes = [], [], []
            for _ in range(_TURNS):
                alone.append(await load.measure_alone(people))
                beside.append(await load.measure_beside_bombs(people, bombs, bomb))
                notes.append(await load.measure_beside_notes(people, bombs))
            for percent in (50, 99):
                lines.append(_describe_turns(f"alone, p{percent}", alone, percent))
                for what, turns in ((f"{bombs} bombs", beside), (f"{bombs} notes", notes)):
                    told = _describe_turns(f"beside {what}, p{percent}", turns, percent)
                    lines.append(f"{told}; {_compare(alone, turns, percent)}")
            lines.append(f"{bombs} bombs told of in {load.bomb_seconds:.1f} s at most")
            await _read_files(app, _FILES_BEFORE, bombs)
            resident = measure_resident_mb()
            began = time.perf_counter()
            await _read_files(app, files, bombs + _FILES_BEFORE)
            seconds = time.perf_counter() - began
            grown = measure_resident_mb() - resident
            lines.append(
                f"{files} files in {seconds:.0f} s: {resident:.0f} MB before,"
                f" {grown:+.1f} MB after (goal ≤ 20)"
            )
            await app.stop()
    return lines


def _describe_turns(what: str, turns: Sequence[Sequence[float]], percent: int) -> str:
    asks = sum(map(len, turns))
    whole = _find_percentile([took for turn in turns for took in turn], percent)
    each = ", ".join(f"{_find_percentile(turn, percent) * 1000:.1f}" for turn in turns)
    return f"{what}: {whole * 1000:.1f} ms of {asks} asks (by turns {each})"


def _compare(
    alone: Sequence[Sequence[float]], beside: Sequence[Sequence[float]], percent: int
) -> str:
    ratios = sorted(
        _find_percentile(one, percent) / _find_percentile(other, percent)
        for one, other in zip(beside, alone, strict=True)
    )
    return f"{statistics.median(ratios):.2f} × ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def _find_percentile(took: Sequence[float], percent: int) -> float:
    return statistics.quantiles(took, n=100, method="inclusive")[percent - 1]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--bombs", type=int, default=24)
    parser.add_argument("--files", type=int, default=1_000)
    arguments = parser.parse_args()
    for line in uvloop.run(_measure(arguments.people, arguments.bombs, arguments.files)):
        print(line)


if __name__ == "__main__":
    main()
