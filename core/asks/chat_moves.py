"""Chats that got another id, and stayed the same chat to their people: a group of Telegram that
becomes a supergroup. Conversations go on there, limits hold, answers and buttons are known.
"""

from __future__ import annotations

import sqlalchemy as sa

from core.db import schema
from core.db.database import Database
from core.db.writes import Insert, UpdateAll
from core.ledger.ledger import Ledger
from core.users.limits import UserLimits


class ChatMoves:
    """Records that chats moved.

    Messages keep their ids at the place where they were shown, since a chat counts anew where it
    moved to; all else is rewritten."""

    def __init__(self, *, ledger: Ledger, limits: UserLimits) -> None:
        self._db, self._ledger, self._limits, self._clock = ledger.db, ledger, limits, ledger.clock

    async def record_move(self, platform: str, was: str, chat: str) -> None:
        """Records that chat `was` is now `chat`; the same again changes nothing."""
        await self._limits.copy_allowance(f"{platform}:{was}", f"{platform}:{chat}")
        old, new = f"{platform}:{was}:", f"{platform}:{chat}:"
        row = {"place": new, "was": old, "at": self._clock.now_ms()}
        await self._ledger.record(
            Insert(schema.chat_move, row, ignore=True),
            UpdateAll(schema.conversation, {"place": old}, {"place": new}),
            UpdateAll(schema.ask, {"state": "open", "place": old}, {"place": new}),
        )


def select_former_place(place: str) -> sa.Select[tuple[str]]:
    """The place that `place` was before its chat moved, if it did."""
    table = schema.chat_move
    return sa.select(table.c.was).where(table.c.place == place)


async def is_same_place(db: Database, place: str, other: str) -> bool:
    """Whether `place` is `other`, or was that before its chat moved."""
    if place == other:
        return True
    rows = await db.fetch(select_former_place(place))
    return bool(rows) and rows[0].was == other


async def find_ask_place(db: Database, ask: str) -> str:
    """Where an ask's answer is shown; empty for one that nobody knows."""
    table = schema.ask.c
    rows = await db.fetch(sa.select(table.place).where(table.id == ask))
    return str(rows[0].place) if rows else ""
