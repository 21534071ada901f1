"""A world whose service is killed again and again, and the journal of what it had acknowledged.

Three people ask: one whose answers land, one whose answers are being streamed when the process is
killed, and the victim, whose ask has come to a certain point. Then fresh processes find what is
left, the same update comes again, the sweeper and the landing chore do their work, and everything
that the dead process had said must be true.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from core import ids
from core.pricing.token_counter import count_tokens
from tests.peers.suppliers import Answer as Says, FakeSupplier, Used
from tests.support import brief
from tests.support.databases import NOON_MS
from tests.system.processes_books import Books
from tests.system.processes_driver import Child, ServiceProcesses

FIRST, MORE = "word " * 1_000, "more " * 1_000
#: "why?" as it is counted, and what is charged for a whole answer, by the supplier's usage.
PROMPT, WHOLE = 26, -(-(20 + 1_500) * 5 // 1_000)
WELCOME = 1_000_000
LANDER, STREAMER, VICTIM = "8", "9", "7"
#: Beyond every lease, and beyond the memory for updates that came already.
LATER_MS = 700_000
MOMENT_MS = 1_000
#: Points at which the victim's ask was never admitted, is open, was shown in the chat.
NEVER_HELD = {"hold begun", "hold written"}
OPEN = {
    *("hold committed", "call", "streaming", "settle begun", "settle written"),
    *("beat begun", "beat written", "beat committed"),
}
SHOWN = {"shown", "landing begun", "landing written", "landing committed"}
LANDED = {"landing committed"}


class Steps(asyncio.Event):
    """Between chunks: each `set` lets one more pass."""

    def __init__(self, free: int = 0) -> None:
        super().__init__()
        self._free = asyncio.Semaphore(free)

    def set(self) -> None:
        self._free.release()

    async def wait(self) -> bool:  # type: ignore[override]
        return await self._free.acquire()


@dataclass
class Journal:
    """What must be true of every ask that was ever acknowledged, by its id."""

    who: dict[str, str] = field(default_factory=dict)
    message: dict[str, tuple[str, int]] = field(default_factory=dict)
    charge: dict[str, int] = field(default_factory=dict)
    #: How often its answer is shown, over all processes.
    shown: dict[str, int] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)


class World:
    """One database, one supplier, and a service after the other."""

    def __init__(self, processes: ServiceProcesses, supplier: FakeSupplier, books: Books) -> None:
        self._processes, self._supplier, self._books = processes, supplier, books
        self._now = NOON_MS
        self._messages = 0
        self._journal = Journal()
        self.kills: Counter[str] = Counter()

    async def begin(self) -> Child:
        return await self._processes.start_child(self._now)

    # --- until the kill -----------------------------------------------------------------------

    async def kill_at(self, child: Child, point: str) -> str:
        """Brings three asks on their way and kills when the victim's has come to the point."""
        await self._landing(child)
        await self._streaming(child, STREAMER)
        victim = await self._victim(child, point)
        await child.killed()
        self.kills[point] += 1
        await self._expect(child, point, victim)
        return victim

    def _message(self, who: str) -> tuple[str, str]:
        """A new message: its number, and the id that its ask will have."""
        self._messages += 1
        message = str(self._messages)
        ask = ids.derive_id("ask", self._now, "telegram", who, message)
        journal = self._journal
        journal.who[ask], journal.message[ask] = who, (message, self._now)
        journal.charge[ask], journal.shown[ask], journal.text[ask] = WHOLE, 1, FIRST + MORE
        return message, ask

    def _says(self, child: Child, ask: str) -> str:
        """The message goes to the service: the first time, or again."""
        message, at_ms = self._journal.message[ask]
        child.send("says", who=self._journal.who[ask], message=message, at_ms=at_ms, text="why?")
        return message

    async def _landing(self, child: Child) -> None:
        self._supplier.always(_whole())
        _, ask = self._message(LANDER)
        self._says(child, ask)
        await child.until("landed", ask=ask)

    async def _streaming(self, child: Child, who: str) -> tuple[str, Steps]:
        """An ask whose first half was shown and recorded; it goes on when it is let."""
        steps = Steps(1)
        # The last chunk, and the end after it, never come.
        self._supplier.always(Says(chunks=(FIRST, MORE, "end"), between=steps))
        _, ask = self._message(who)
        self._says(child, ask)
        await child.until("progress", ask=ask, chars=len(FIRST))
        await child.until("beat", ask=ask, chars=len(FIRST))
        self._journal.text[ask] = FIRST
        self._journal.charge[ask] = await _charge(FIRST)
        return ask, steps

    async def _victim(self, child: Child, point: str) -> str:
        if point == "streaming":
            ask, _ = await self._streaming(child, VICTIM)
            return ask
        if point.startswith("beat"):
            return await self._victim_of_a_beat(child, point)
        self._supplier.always(_whole())
        _, ask = self._message(VICTIM)
        await child.does("freeze", "armed", at=point, ask=ask)
        self._says(child, ask)
        await child.until("frozen", ask=ask, point=point)
        return ask

    async def _victim_of_a_beat(self, child: Child, point: str) -> str:
        """More has been shown; where that is being recorded, it stops."""
        ask, steps = await self._streaming(child, VICTIM)
        steps.set()
        await child.until("progress", ask=ask, chars=len(FIRST + MORE))
        await child.does("freeze", "armed", at=point, ask=ask)
        await child.until("frozen", ask=ask, point=point)
        return ask

    # --- what the dead process left -------------------------------------------------------------

    async def _expect(self, child: Child, point: str, ask: str) -> None:
        """What is in the database now is what this point means; and what shall become of it."""
        journal, row = self._journal, await self._books.ask(ask)
        if point in NEVER_HELD:
            assert row is None
            assert not child.told("progress", ask=ask)
            return
        assert row is not None
        assert (row.state == "open") == (point in OPEN)
        assert (row.landed_at is not None) == (point in LANDED)
        if point in OPEN:
            journal.text[ask] = await self._recorded(child, ask, row.shown_tokens)
            journal.charge[ask] = await _charge(journal.text[ask])
        elif point in SHOWN - LANDED:
            # It was seen, but who comes next can't know: it is shown again, not charged again.
            journal.shown[ask] = 2
        assert len(child.told("answer", ask=ask)) == (1 if point in SHOWN else 0)

    async def _recorded(self, child: Child, ask: str, tokens: int) -> str:
        """The text whose tokens are recorded: at least what was acknowledged as recorded."""
        acknowledged = max((event["chars"] for event in child.told("beat", ask=ask)), default=0)
        texts = [text for text in ("", FIRST, FIRST + MORE) if len(text) >= acknowledged]
        found = [text for text in texts if (await count_tokens(brief.GPT_4, text)).units == tokens]
        assert len(found) == 1, (tokens, acknowledged)
        return found[0]

    # --- after it -------------------------------------------------------------------------------

    async def recover(self, victim: str, turn: int) -> Child:
        """Fresh processes, one or two at once, do what is left to do; gives the one that stays."""
        self._now += MOMENT_MS
        fresh = [await self.begin() for _ in range(1 + turn % 2)]
        self._supplier.always(_whole())
        if turn % 3 == 0:
            await self._again(fresh, victim)
        await self._later(fresh)
        await self._swept(fresh)
        await self._later(fresh, MOMENT_MS)
        if turn % 3 == 1:
            await self._again(fresh, victim)
        await self._landed(fresh)
        for _ in range(2):
            await self._later(fresh)
            await self._again(fresh, victim)
            await self._landed(fresh)
        await self._all_is_true()
        for child in fresh[1:]:
            await child.stopped()
        return fresh[0]

    async def _later(self, children: list[Child], ms: int = LATER_MS) -> None:
        self._now += ms
        for child in children:
            await child.does("clock", "clock", at_ms=self._now)

    async def _again(self, children: list[Child], victim: str) -> None:
        """The updates of this victim and of an ask that landed come again, to every process."""
        landed = max(ask for ask, who in self._journal.who.items() if who == LANDER)
        for ask in (victim, landed):
            for child in children:
                before = len(child.told("handled"))
                self._says(child, ask)
                await child.until("handled", count=before + 1)

    async def _swept(self, children: list[Child]) -> None:
        """Both sweep at once; one of them may be at it already, as a chore."""
        for _ in range(100):
            await asyncio.gather(*(child.does("sweep", "swept") for child in children))
            if not await self._books.open():
                return
        raise AssertionError("asks stay open")

    async def _landed(self, children: list[Child]) -> None:
        for _ in range(100):
            await asyncio.gather(*(child.does("land", "landing done") for child in children))
            if not await self._books.unlanded():
                return
        raise AssertionError("answers stay away")

    async def _all_is_true(self) -> None:
        """Every ask ever admitted: charged as it must be, once; shown as often as it must be."""
        journal, books, children = self._journal, self._books, self._processes.children
        usage = await books.usage()
        assert {ask: row.charge for ask, row in usage.items()} == journal.charge
        for who in (LANDER, STREAMER, VICTIM):
            charged = sum(
                charge for ask, charge in journal.charge.items() if journal.who[ask] == who
            )
            assert await books.credits(who) == WELCOME - charged
        assert await books.spent() == sum(journal.charge.values())
        assert sum(key.debits_posted for key in await books.keys()) == (await books.cost()).units
        answers = [event for child in children for event in child.told("answer")]
        assert Counter(event["ask"] for event in answers) == journal.shown
        for event in answers:
            text = journal.text[event["ask"]]
            assert event["text"].strip() == text.strip() or not text
            assert event["text"]
        assert [event for child in children for event in child.told("screen")] == []
        await books.are_clean()


def _whole() -> Says:
    return Says(chunks=(FIRST, MORE), usage=Used(20, 1_500))


async def _charge(text: str) -> int:
    """What is charged for a text by our own count."""
    shown = (await count_tokens(brief.GPT_4, text)).units
    return -(-(PROMPT + shown) * 5 // 1_000) if shown else 0
