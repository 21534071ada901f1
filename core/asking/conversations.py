"""Conversations: what was said before in a place, sealed, capped, and carried into the next ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from core import ids
from core.asking.journal import opened
from core.asking.types import History, Question
from core.clock import Clock
from core.ledger import Ledger
from core.pool import DataKey, Message
from core.store import Insert, Store, Update, schema
from core.units import Tokens

#: History sent with a question at most (issue: 4,000 tokens by default), and turns looked at.
HISTORY_TOKENS = Tokens(4_000)
HISTORY_TURNS = 40

_Row = sa.Row[tuple[str, str, int, int, int, bytes | None, bytes | None]]


#: Sorts after every id, in any collation.
_LAST = "z"


def _earlier() -> sa.Select[Any]:
    """The running conversation of a place and person, with its newest turns; made once."""
    talk, ask = schema.conversation, schema.ask
    running = (
        sa.select(talk.c.id)
        .where(
            talk.c.place == sa.bindparam("place"),
            talk.c.person == sa.bindparam("person"),
            talk.c.ended_at.is_(None),
        )
        .order_by(talk.c.id.desc())
        .limit(1)
        .subquery()
    )
    turn = sa.and_(
        ask.c.conversation == running.c.id,
        ask.c.state == "settled",
        ask.c.shown_tokens > 0,
        ask.c.id < sa.bindparam("before"),
        ask.c.id <= sa.bindparam("until"),
    )
    return (
        sa.select(
            running.c.id.label("conversation"),
            ask.c.id,
            ask.c.prompt_tokens,
            ask.c.history_tokens,
            ask.c.shown_tokens,
            ask.c.question,
            ask.c.answer,
        )
        .select_from(running.outerjoin(ask, turn))
        .order_by(ask.c.id.desc())
        .limit(HISTORY_TURNS)
    )


_EARLIER = _earlier()


class Conversations:
    """One running conversation a person and place; `/new` begins the next."""

    def __init__(
        self, *, store: Store, ledger: Ledger, clock: Clock, history_tokens: Tokens = HISTORY_TOKENS
    ) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._cap = history_tokens

    async def current(self, person: str, place: str) -> str | None:
        """The id of the conversation that runs there, if any."""
        table = schema.conversation
        rows = await self._store.fetch(
            sa.select(table.c.id)
            .where(table.c.place == place, table.c.person == person, table.c.ended_at.is_(None))
            .order_by(table.c.id.desc())
            .limit(1)
        )
        return rows[0].id if rows else None

    def begin(self, person: str, place: str) -> tuple[str, Insert]:
        """A new conversation: its id, and the row to write with its first ask."""
        now = self._clock.now_ms()
        id_ = ids.new("cnv", now)
        row = {
            "id": id_,
            "person": person,
            "place": place,
            "created_at": now,
            "ended_at": None,
        }
        return id_, Insert(schema.conversation, row)

    async def end(self, person: str, place: str) -> bool:
        """Ends what runs there; False when nothing did."""
        id_ = await self.current(person, place)
        if id_ is None:
            return False
        await self._ledger.record(
            Update(schema.conversation, {"id": id_}, {"ended_at": self._clock.now_ms()})
        )
        return True

    async def earlier(self, question: Question, data_key: DataKey) -> tuple[str | None, History]:
        """The running conversation's id (None: none runs) and its newest turns that fit the cap,
        oldest first. Turns of an erased history are gone. One read, since every ask makes it."""
        rows = await self._store.fetch(
            _EARLIER,
            {
                "place": question.place,
                "person": question.person.id,
                # Ids sort by time. An ask that is asked again leaves itself out, one that is
                # continued is the newest turn, a new one comes after them all.
                "before": question.follows if question.again else _LAST,
                "until": question.follows or _LAST,
            },
        )
        if not rows:
            return None, History()
        turns = [row for row in rows if row.id is not None]
        return rows[0].conversation, self._within_cap(turns, data_key)

    def _within_cap(self, rows: Sequence[_Row], data_key: DataKey) -> History:
        turns: list[tuple[str, str]] = []
        used = 0
        for place, row in enumerate(rows):
            used += row.prompt_tokens - row.history_tokens + row.shown_tokens
            if used > self._cap.units:
                return History(tuple(reversed(turns)), len(rows) - place)
            turn = _turn(row, data_key)
            if turn is not None and not (turns and turns[-1][0] == turn[0]):
                turns.append(turn)  # of a question asked again, the newest answer counts
        return History(tuple(reversed(turns)))


def _turn(row: _Row, data_key: DataKey) -> tuple[str, str] | None:
    question = opened(data_key, row.id, "question", row.question)
    answer = opened(data_key, row.id, "answer", row.answer)
    return (question, answer) if question and answer else None


def messages(question: Question, history: History) -> list[Message]:
    """What is sent: the earlier turns and the question. No system prompt of ours: it would be
    charged to the person."""
    turns: list[Message] = []
    for asked, answered in history.turns:
        turns += [Message("user", asked), Message("assistant", answered)]
    return [*turns, Message("user", question.text)]
