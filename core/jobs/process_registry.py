"""Which master keys the processes that run open with, so that nothing is wrapped by one that some
of them don't have.

One row for each set of master keys, by their short ids: whoever runs with it says so in turns.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Delete
from core.jobs.scheduler import Chore
from core.ledger.ledger import Ledger

_NAME = "open with "
_EVERY_SECONDS = 15.0
#: Who has said nothing for so long runs no more.
_SILENT_MS = 45_000


def opening(keys: Sequence[str]) -> Chore:
    """A chore that does nothing: that somebody had its turn is what it tells."""

    async def nothing() -> None:
        """The turn is all."""

    return Chore(_NAME + ",".join(keys), _EVERY_SECONDS, nothing)


async def closed(ledger: Ledger, chore: Chore) -> None:
    """A process ends; others of the same set say again that they run."""
    await ledger.record(Delete(schema.chore, {"name": chore.name}))


async def all_open_with(store: Store, clock: Clock, key: str) -> bool:
    """Whether every process that runs has this master key."""
    table = schema.chore
    rows = await store.fetch(
        sa.select(table.c.name).where(
            table.c.name.startswith(_NAME, autoescape=True),
            table.c.done_at > clock.now_ms() - _SILENT_MS,
        )
    )
    return all(key in row.name.removeprefix(_NAME).split(",") for row in rows)
