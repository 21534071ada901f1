"""Processes by their names: which of them are known to have ended.

What a process works on is left to it until its lease lapses. A name says where its process runs, so
that another one on the same machine sees at once that it is gone; of one elsewhere, in another
container or on another host, the lease alone tells.
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from core import ids
from core.child_process import read_status
from core.db.database import Database

_PROC: Final = Path("/proc")
_BOOT_ID: Final = _PROC / "sys/kernel/random/boot_id"
#: Where a process's status tells its state, and when it began in ticks.
_STATE, _BEGUN = 0, 19
_ENDED: Final = "ZXx"


def make_process_id(at_ms: int) -> str:
    """A name that no other process has: `<id>@<host>`, and how its end is seen from the same
    machine where that can be told."""
    pid = os.getpid()
    stat = read_status(pid)
    sign = f"/{_find_machine()}.{pid}.{stat[_BEGUN]}" if stat and _find_machine() else ""
    return f"{ids.new_id('proc', at_ms)}@{socket.gethostname()[:32]}:{pid}{sign}"


def is_process_gone(process_id: str) -> bool:
    """Whether a process is known to have ended; False where that can't be told from here."""
    machine, _, rest = process_id.rpartition("/")[2].partition(".")
    pid, _, begun = rest.partition(".")
    if not machine or machine != _find_machine() or not (pid.isdecimal() and begun):
        return False
    try:
        os.kill(int(pid), 0)  # asks, and sends nothing
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        return False
    stat = read_status(int(pid))
    return bool(stat) and (stat[_BEGUN] != begun or stat[_STATE] in _ENDED)


async def select_abandoned(
    db: Database,
    table: sa.Table,
    process_id: str,
    now_ms: int,
    *among: sa.ColumnElement[bool],
) -> sa.ColumnElement[bool]:
    """The condition of rows that nobody works on any more: their lease has lapsed, or their process
    is known to have ended. `among` are the conditions that they meet besides, and `process_id` is
    this process's own."""
    row = table.c
    held = sa.select(row.owner).where(*among, row.lease_until >= now_ms, row.owner != process_id)
    owners = [found[0] for found in await db.fetch(held.distinct())]
    gone = [owner for owner in owners if is_process_gone(owner)]
    return sa.or_(row.lease_until < now_ms, row.owner.in_(gone))


@functools.cache
def _find_machine() -> str:
    """This boot of this machine, and the numbers of processes that count here: containers have
    their own. Empty where the system doesn't tell."""
    try:
        told = _BOOT_ID.read_text() + os.readlink(_PROC / "self/ns/pid")
    except OSError:
        return ""
    return hashlib.blake2b(told.encode(), digest_size=6).hexdigest()
