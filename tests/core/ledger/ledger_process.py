"""A process of its own that uses a ledger, by
`python -m tests.core.ledger.ledger_process URL NAME ASKS PHASE`.

It holds and settles on shared accounts, and says what was acknowledged, a line each, after the
acknowledgement: whoever reads that knows what must be there, whatever becomes of this process.
At PHASE (`begun`, `written`, `committed`) the writer stops for good once stdin has said a line.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time

from core.clock import SystemClock
from core.db.database import Database
from core.ledger.ledger import Ledger
from core.ledger.types import LedgerRefusal, Submission
from tests.core.ledger.accounts import give, hold, settle

CALLERS = 8


class Freezer:
    """Stops the writer's thread at one phase, from the moment that stdin says so."""

    def __init__(self, phase: str) -> None:
        self._phase = phase
        self._armed = threading.Event()
        if phase:
            threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        sys.stdin.readline()
        self._armed.set()

    def __call__(self, phase: str) -> None:
        if phase == self._phase and self._armed.is_set():
            say("frozen")
            while True:
                time.sleep(60)


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def do(ledger: Ledger, submission: Submission) -> None:
    try:
        await ledger.submit(submission)
    except LedgerRefusal as refusal:
        say(f"refused {submission.id} {refusal.code}")
    else:
        say(f"done {submission.id}")


async def main(url: str, name: str, asks: int, phase: str) -> None:
    store = await Database.open(url, kind=None, clock=SystemClock())
    ledger = Ledger(store, SystemClock(), on_phase=Freezer(phase))
    await ledger.start()
    numbers = iter(range(asks))

    async def caller() -> None:
        for number in numbers:
            cause = f"ask/{name}/{number:06}"
            await do(ledger, give(f"give/{name}/{number:06}", 2))
            await do(ledger, hold(cause, 3))
            await do(ledger, settle(cause, 2))
            # The same may be asked of every process: it is done once.
            await do(ledger, give(f"shared/{number:06}", 1))

    say("ready")
    await asyncio.gather(*[caller() for _ in range(CALLERS)])
    await ledger.stop()
    await store.close()
    say("end")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), "".join(sys.argv[4:])))
