"""Conversations: what was said before in a place, sealed, capped, and carried into the next ask.

A reply to an older answer begins a branch: a conversation whose history is what led to that answer,
that answer included. The place goes on with the branch; what it left behind stays as it was, and
can be gone back to by a reply in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from core import ids
from core.asks.repository import opened
from core.asks.types import History, Question
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Companion, Insert, Update
from core.ledger.ledger import Ledger
from core.money import Tokens
from core.pool.providers.types import Message
from core.pool.vault import DataKey

#: History sent with a question at most, unless the settings say otherwise; and turns read for it.
HISTORY_TOKENS = Tokens(4_000)
HISTORY_TURNS = 40

#: Sorts after every id, in any collation.
_LAST = "z"


def _turns(conversation: sa.Select[Any]) -> sa.Select[Any]:
    """The statement of a conversation, where it branched, and its newest turns; built once."""
    ask, talk = schema.ask, conversation.subquery()
    turn = sa.and_(
        ask.c.conversation == talk.c.id,
        ask.c.state == "settled",
        ask.c.shown_tokens > 0,
        ask.c.id < sa.bindparam("before"),
        ask.c.id <= sa.bindparam("until"),
    )
    return (
        sa.select(
            talk.c.id.label("conversation"),
            talk.c.branched_from,
            ask.c.id,
            ask.c.prompt_tokens,
            ask.c.history_tokens,
            ask.c.shown_tokens,
            ask.c.question,
            ask.c.answer,
        )
        .select_from(talk.outerjoin(ask, turn))
        .order_by(ask.c.id.desc())
        .limit(HISTORY_TURNS)
    )


_TALK = sa.select(schema.conversation.c.id, schema.conversation.c.branched_from)
#: Selects the conversation that runs in a place, and the one that an ask belongs to.
_RUNNING = _turns(
    _TALK.where(
        schema.conversation.c.place == sa.bindparam("place"),
        schema.conversation.c.person == sa.bindparam("person"),
        schema.conversation.c.ended_at.is_(None),
    )
    .order_by(schema.conversation.c.id.desc())
    .limit(1)
)
_AROUND = _turns(
    _TALK.where(
        schema.conversation.c.id
        == sa.select(schema.ask.c.conversation)
        .where(schema.ask.c.id == sa.bindparam("ask"))
        .scalar_subquery()
    )
)


@dataclass(frozen=True, slots=True)
class Thread:
    """The conversation that a question belongs to, and its history."""

    conversation: str
    history: History
    #: Rows of conversations that are written with this ask.
    companions: tuple[Companion, ...] = ()


@dataclass(slots=True)
class _Found:
    """The turns of a conversation as far as they were read, and where it branched off."""

    id: str
    #: The ask that the turns read so far go on from; None: they begin there.
    stem: str | None
    #: The newest first.
    turns: list[sa.Row[Any]]

    @property
    def newest(self) -> str | None:
        """The id of the ask whose answer was the last; None for an empty conversation."""
        return self.turns[0].id if self.turns else self.stem


class Conversations:
    """Keeps one running conversation for each person and place; `/new` begins the next."""

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

    async def end(self, person: str, place: str) -> bool:
        """Ends the conversation that runs there; False when none did."""
        id_ = await self.current(person, place)
        if id_ is None:
            return False
        await self._ledger.record(
            Update(schema.conversation, {"id": id_}, {"ended_at": self._clock.now_ms()})
        )
        return True

    async def thread(self, question: Question, data_key: DataKey) -> Thread:
        """The conversation of a question and its newest turns that fit the cap, oldest first. Turns
        of an erased history are gone. Mostly one read, since every ask makes it."""
        if question.follows:
            # Asked again, an ask leaves itself out; continued, it is the newest turn. Its own
            # conversation goes on, wherever the place has got to: ids sort by time.
            before = question.follows if question.again else _LAST
            around = await self._around(question.follows, before)
            if around is not None:
                history = await self._history(around, data_key)
                return Thread(around.id, _untried(history, question))
        where = {"place": question.place, "person": question.person.id}
        running = await self._read(_RUNNING, {**where, "before": _LAST, "until": _LAST})
        if question.replies_to and (running is None or running.newest != question.replies_to):
            branch = await self._around(question.replies_to, _LAST)
            if branch is not None:
                history = await self._history(branch, data_key)
                if history.turns or history.left_out:  # it was not erased
                    return self._begin(question, running, replace(history, branched=True))
        if running is None:
            return self._begin(question, None, History())
        return Thread(running.id, await self._history(running, data_key))

    def _begin(self, question: Question, running: _Found | None, history: History) -> Thread:
        """A new conversation, written with its first ask; it replaces the one that runs."""
        now = self._clock.now_ms()
        id_ = ids.new("cnv", now)
        row = {
            "id": id_,
            "person": question.person.id,
            "place": question.place,
            "created_at": now,
            "ended_at": None,
            "branched_from": question.replies_to if history.branched else None,
        }
        ended: tuple[Companion, ...] = ()
        if running is not None:
            ended = (Update(schema.conversation, {"id": running.id}, {"ended_at": now}),)
        return Thread(id_, history, (Insert(schema.conversation, row), *ended))

    async def _around(self, ask: str, before: str) -> _Found | None:
        """The conversation of an ask, with its turns up to that ask."""
        return await self._read(_AROUND, {"ask": ask, "before": before, "until": ask})

    async def _read(self, statement: sa.Select[Any], values: dict[str, str]) -> _Found | None:
        rows = await self._store.fetch(statement, values)
        if not rows:
            return None
        turns = [row for row in rows if row.id is not None]
        return _Found(rows[0].conversation, rows[0].branched_from, turns)

    async def _history(self, found: _Found, data_key: DataKey) -> History:
        """The turns of a conversation and of those that it branched from, as far back as is
        read."""
        rows, stem = found.turns, found.stem
        while stem is not None and len(rows) < HISTORY_TURNS:
            older = await self._around(stem, _LAST)
            if older is None:
                break
            rows, stem = [*rows, *older.turns], older.stem
        return self._within_cap(rows[:HISTORY_TURNS], data_key)

    def _within_cap(self, rows: Sequence[sa.Row[Any]], data_key: DataKey) -> History:
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


def _untried(history: History, question: Question) -> History:
    """The history without earlier attempts of a question that is asked again."""
    tried = question.again and history.turns and history.turns[-1][0] == question.text
    return replace(history, turns=history.turns[:-1]) if tried else history


def _turn(row: sa.Row[Any], data_key: DataKey) -> tuple[str, str] | None:
    question = opened(data_key, row.id, "question", row.question)
    answer = opened(data_key, row.id, "answer", row.answer)
    return (question, answer) if question and answer else None


def messages(question: Question, history: History) -> list[Message]:
    """The messages for the model: the earlier turns and the question. There is no system prompt,
    since it would be charged to the person."""
    turns: list[Message] = []
    for asked, answered in history.turns:
        turns += [Message("user", asked), Message("assistant", answered)]
    return [*turns, Message("user", question.text)]
