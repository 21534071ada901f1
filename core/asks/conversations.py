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
from core.asks.file_repository import FileRepository, build_file_erasure
from core.asks.repository import unseal_part
from core.asks.types import (
    ConversationHistory,
    FilesAlong,
    FileText,
    Question,
    SentFile,
    SentPicture,
    fill_marks,
    list_pictures,
)
from core.db import schema
from core.db.database import Database
from core.db.prepared import PreparedSelect
from core.db.writes import Companion, Delete, Insert, Update, UpdateAll
from core.ledger.ledger import Ledger
from core.money import Tokens
from core.pool.providers.types import ChatMessage
from core.pool.vault import DataKey

#: History sent with a question at most, unless the settings say otherwise; and turns read for it.
HISTORY_TOKENS_MAX = Tokens(4_000)
HISTORY_TURNS_MAX = 40
#: Files of earlier turns go along so long, beyond what a history is at most: the text of the newest
#: turn that has any, and the pictures of so many turns, at most so many.
FILES_ALONG_SECONDS = 3_600
PICTURE_TURNS_MAX = 2
PICTURES_ALONG_MAX = 4
#: So many turns with files are looked through for them.
_FILE_TURNS_MAX = 8
#: When a history grows past what is sent, so much of it is left out at once: half the tokens, or a
#: quarter of the turns. In between it only grows, so that suppliers' caches know its beginning.
_TOKENS_BLOCK_DIVISOR = 2
_TURNS_BLOCK = HISTORY_TURNS_MAX // 4
#: A turn larger than half a block is a large one.
_LARGE_TURN_DIVISOR = 2

#: Sorts after every id, in any collation.
_AFTER_ALL_IDS = "z"


def _is_turn(ask: sa.FromClause, conversation: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    return sa.and_(
        ask.c.conversation == conversation,
        ask.c.state == "settled",
        ask.c.shown_tokens > 0,
        ask.c.id < sa.bindparam("before"),
        ask.c.id <= sa.bindparam("until"),
    )


def _turn_tokens(ask: sa.FromClause) -> sa.ColumnElement[int]:
    """What a turn adds to a history: its question, with marks for its files, and its answer."""
    files = sa.func.coalesce(ask.c.file_tokens, 0)
    return ask.c.prompt_tokens - ask.c.history_tokens - files + ask.c.shown_tokens


def _select_turns(conversation: sa.Select[Any]) -> PreparedSelect:
    """The statement of a conversation, where it branched, and its newest turns."""
    ask, conversations = schema.ask, conversation.subquery()
    return PreparedSelect(
        sa.select(
            conversations.c.id.label("conversation"),
            conversations.c.branched_from,
            conversations.c.files_left_out_at,
            ask.c.id,
            _turn_tokens(ask).label("tokens"),
            ask.c.question,
            ask.c.answer,
            ask.c.created_at,
            ask.c.files_of,
        )
        .select_from(conversations.outerjoin(ask, _is_turn(ask, conversations.c.id)))
        .order_by(ask.c.id.desc())
        .limit(HISTORY_TURNS_MAX)
    )


#: Counts all turns of a conversation, and their tokens.
_COUNT_TURNS = PreparedSelect(
    sa.select(
        sa.func.count().label("turns"),
        sa.func.coalesce(sa.func.sum(_turn_tokens(schema.ask)), 0).label("tokens"),
    ).where(_is_turn(schema.ask, sa.bindparam("conversation"))),
)

_SELECT_CONVERSATION = sa.select(
    schema.conversation.c.id,
    schema.conversation.c.branched_from,
    schema.conversation.c.files_left_out_at,
)
#: Selects the conversation that runs in a place, and the one that an ask belongs to.
_SELECT_CURRENT = _select_turns(
    _SELECT_CONVERSATION.where(
        schema.conversation.c.place == sa.bindparam("place"),
        schema.conversation.c.person == sa.bindparam("person"),
        schema.conversation.c.ended_at.is_(None),
    )
    .order_by(schema.conversation.c.id.desc())
    .limit(1)
)
_SELECT_AROUND_ASK = _select_turns(
    _SELECT_CONVERSATION.where(
        schema.conversation.c.id
        == sa.select(schema.ask.c.conversation)
        .where(schema.ask.c.id == sa.bindparam("ask"))
        .scalar_subquery()
    )
)


@dataclass(frozen=True, slots=True)
class ConversationContext:
    """The conversation that a question belongs to, and its history."""

    conversation: str
    history: ConversationHistory
    #: Rows of conversations that are written with this ask.
    companions: tuple[Companion, ...] = ()


@dataclass(slots=True)
class _ConversationTurns:
    """The turns of a conversation as far as they were read, and where it branched off."""

    id: str
    #: The ask that the turns read so far go on from; None: they begin there.
    branched_from: str | None
    #: The newest first.
    turns: list[sa.Row[Any]]
    #: How many turns there are, and their tokens, those that weren't read included.
    all_turns: int
    all_tokens: int
    #: Files that came before this time, in milliseconds, don't go along; 0: all may.
    files_left_out_at: int

    @property
    def newest_ask(self) -> str | None:
        """The id of the ask whose answer was the last; None for an empty conversation."""
        return self.turns[0].id if self.turns else self.branched_from


class Conversations:
    """Keeps one running conversation for each person and place; `/new` begins the next.

    Of a long conversation the newest turns are sent: between half of the most that is sent and all
    of it, since what is left out is left out in blocks."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        file_repository: FileRepository,
        max_history_tokens: Tokens = HISTORY_TOKENS_MAX,
    ) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self.file_repository, self._max_history_tokens = file_repository, max_history_tokens

    async def find_current(self, person: str, place: str) -> str | None:
        """The id of the conversation that runs there, if any."""
        table = schema.conversation
        rows = await self._db.fetch(
            sa.select(table.c.id)
            .where(table.c.place == place, table.c.person == person, table.c.ended_at.is_(None))
            .order_by(table.c.id.desc())
            .limit(1)
        )
        return rows[0].id if rows else None

    async def end_current(self, person: str, place: str) -> bool:
        """Ends the conversation that runs there; False when none did."""
        id_ = await self.find_current(person, place)
        if id_ is None:
            return False
        await self._ledger.record(
            Update(schema.conversation, {"id": id_}, {"ended_at": self._clock.now_ms()})
        )
        return True

    async def leave_files_out(self, ask: str) -> None:
        """What came so far with questions of an ask's conversation goes along no more."""
        rows = await self._db.fetch(
            sa.select(schema.ask.c.conversation).where(schema.ask.c.id == ask)
        )
        now = self._clock.now_ms()
        for row in rows:
            await self._ledger.record(
                Update(schema.conversation, {"id": row.conversation}, {"files_left_out_at": now})
            )

    async def load_context(self, question: Question, data_key: DataKey) -> ConversationContext:
        """The conversation of a question and its newest turns that fit the cap, oldest first. Turns
        of an erased history are gone. Mostly one read, since every ask makes it."""
        if question.follows:
            # Asked again, an ask leaves itself out; continued, it is the newest turn. Its own
            # conversation goes on, wherever the place has got to: ids sort by time.
            before = question.follows if question.is_repeat else _AFTER_ALL_IDS
            conversation = await self._read_around(question.follows, before)
            if conversation is not None:
                history = await self._load_history(conversation, question, data_key)
                return ConversationContext(conversation.id, history)
        values = {"place": question.place, "person": question.person.id}
        current = await self._read(
            _SELECT_CURRENT, {**values, "before": _AFTER_ALL_IDS, "until": _AFTER_ALL_IDS}
        )
        if question.replies_to and (current is None or current.newest_ask != question.replies_to):
            branch = await self._read_around(question.replies_to, _AFTER_ALL_IDS)
            if branch is not None:
                history = await self._load_history(branch, question, data_key)
                if history.turns or history.omitted_turns:  # it was not erased
                    return self._start_conversation(
                        question,
                        current,
                        replace(history, branched=True),
                        files_left_out_at=branch.files_left_out_at,
                    )
        if current is None:
            empty = ConversationHistory(room=self._max_history_tokens)
            return self._start_conversation(question, None, empty)
        history = await self._load_history(current, question, data_key)
        return ConversationContext(current.id, history)

    def _start_conversation(
        self,
        question: Question,
        current: _ConversationTurns | None,
        history: ConversationHistory,
        *,
        files_left_out_at: int = 0,
    ) -> ConversationContext:
        """A new conversation, written with its first ask; it replaces the one that runs."""
        now = self._clock.now_ms()
        id_ = ids.new_id("cnv", now)
        row = {
            "id": id_,
            "person": question.person.id,
            "place": question.place,
            "created_at": now,
            "branched_from": question.replies_to if history.branched else None,
            "files_left_out_at": files_left_out_at or None,
        }
        end_current: tuple[Companion, ...] = ()
        if current is not None:
            end_current = (Update(schema.conversation, {"id": current.id}, {"ended_at": now}),)
        return ConversationContext(id_, history, (Insert(schema.conversation, row), *end_current))

    async def _read_around(self, ask: str, before: str) -> _ConversationTurns | None:
        """The conversation of an ask, with its turns up to that ask."""
        return await self._read(_SELECT_AROUND_ASK, {"ask": ask, "before": before, "until": ask})

    async def _read(
        self, statement: PreparedSelect, values: dict[str, str]
    ) -> _ConversationTurns | None:
        rows = await self._db.fetch(statement, values)
        if not rows:
            return None
        turns, first = [row for row in rows if row.id is not None], rows[0]
        all_turns, all_tokens = len(turns), sum(row.tokens for row in turns)
        if all_turns == HISTORY_TURNS_MAX:  # there may be more than were read
            values = {
                "conversation": first.conversation,
                "before": values["before"],
                "until": values["until"],
            }
            (total,) = await self._db.fetch(_COUNT_TURNS, values)
            all_turns, all_tokens = int(total.turns), int(total.tokens)
        return _ConversationTurns(
            first.conversation,
            first.branched_from,
            turns,
            all_turns,
            all_tokens,
            first.files_left_out_at or 0,
        )

    async def _load_history(
        self, conversation: _ConversationTurns, question: Question, data_key: DataKey
    ) -> ConversationHistory:
        """The turns of a conversation and of those that it branched from, as far back as is
        read."""
        rows, branched_from = conversation.turns, conversation.branched_from
        all_turns, all_tokens = conversation.all_turns, conversation.all_tokens
        while branched_from is not None and len(rows) < HISTORY_TURNS_MAX:
            older = await self._read_around(branched_from, _AFTER_ALL_IDS)
            if older is None:
                break
            rows, branched_from = [*rows, *older.turns], older.branched_from
            all_turns, all_tokens = all_turns + older.all_turns, all_tokens + older.all_tokens
        rows = rows[:HISTORY_TURNS_MAX]
        kept, room = _choose_window(
            [row.tokens for row in rows],
            all_turns=all_turns,
            all_tokens=all_tokens,
            limit=self._max_history_tokens.units,
        )
        files = await self._find_files_along(
            rows, question, conversation.files_left_out_at, data_key
        )
        # Turns with files stay the beginning while others are left out.
        sent = [row for number, row in enumerate(rows) if number < kept or row.id in files]
        turns = _without_earlier_attempt(_unseal_turns(sent, data_key), sent, question)
        along = tuple(
            FilesAlong(files[id_], number) for number, id_ in enumerate(turns) if id_ in files
        )
        return ConversationHistory(
            tuple(turns.values()), all_turns - len(sent), Tokens(room), along=along
        )

    async def _find_files_along(
        self,
        rows: Sequence[sa.Row[Any]],
        question: Question,
        left_out_at: int,
        data_key: DataKey,
    ) -> dict[str, tuple[SentFile, ...]]:
        """The files that go along, by turn: the text of the newest turn that has any, pictures of
        the newest ones. For an hour; longer, and whole, of the turn that is replied to or gone on
        from. What a question has of its own counts as the newest turn."""
        since = max(left_out_at, self._clock.now_ms() - FILES_ALONG_SECONDS * 1000)
        meant = {question.replies_to, question.follows} - {""}
        # Of turns with the same files, one has them; none, where the question itself does.
        newest_by_files: dict[str, sa.Row[Any]] = {}
        for row in rows:
            is_young = row.id in meant or row.created_at > since
            if is_young and row.files_of is not None and row.files_of != question.files_of:
                newest_by_files.setdefault(row.files_of, row)
        newest = list(newest_by_files.values())[:_FILE_TURNS_MAX]
        if not newest:
            return {}
        whole = [row.files_of for row in newest if row.id in meant]
        small = [row.files_of for row in newest if row.id not in meant]
        found: dict[str, tuple[SentFile, ...]] = {}
        for asks, smaller in ((whole, False), (small, True)):
            if asks:
                found |= await self.file_repository.load_files(asks, data_key, smaller=smaller)
        return _choose_files(question, [(row.id, found.get(row.files_of, ())) for row in newest])


def _choose_files(
    question: Question, turns: Sequence[tuple[str, tuple[SentFile, ...]]]
) -> dict[str, tuple[SentFile, ...]]:
    """Of the files of turns, the newest first, those that go with a question."""
    has_text = any(isinstance(file, FileText) for file in question.files)
    picture_turns, room = int(bool(question.pictures)), PICTURES_ALONG_MAX
    chosen: dict[str, tuple[SentFile, ...]] = {}
    for id_, files in turns:
        is_meant = id_ in (question.replies_to, question.follows)
        texts = () if has_text else tuple(one for one in files if isinstance(one, FileText))
        pictures = tuple(one for one in files if isinstance(one, SentPicture))
        if not is_meant:
            pictures = pictures[:room] if picture_turns < PICTURE_TURNS_MAX else ()
        has_text, picture_turns = has_text or bool(texts), picture_turns + bool(pictures)
        room = max(0, room - len(pictures))
        taken = tuple(one for one in files if one in texts or one in pictures)
        if taken:
            chosen[id_] = taken
    return chosen


async def list_private_places(db: Database, person_ids: Sequence[str]) -> tuple[str, ...]:
    """The places where nobody but these people ever wrote to the bot."""
    table, other = schema.conversation, schema.conversation.alias()
    rows = await db.fetch(
        sa.select(table.c.place)
        .where(
            table.c.person.in_(person_ids),
            ~sa.exists().where(other.c.place == table.c.place, other.c.person.not_in(person_ids)),
        )
        .distinct()
    )
    return tuple(row.place for row in rows if row.place)


def build_ask_erasure(
    person_ids: tuple[str, ...], private_places: tuple[str, ...], now_ms: int
) -> list[Companion]:
    """The asks and conversations of people without words and places; amounts stay."""
    blank = {"place": "", "asked_in": "", "shown_in": ""}
    words = {"question": None, "answer": None, "edited": None, "way_back": None}
    whose = {"person": person_ids}
    return [
        *([Delete(schema.shown, {"place": private_places})] if private_places else ()),
        UpdateAll(schema.ask, whose, {**blank, **words, "landed_at": now_ms}),
        build_file_erasure(person_ids),
        UpdateAll(schema.conversation, whose, {"place": "", "ended_at": now_ms}),
    ]


def _choose_window(
    sizes: Sequence[int], *, all_turns: int, all_tokens: int, limit: int
) -> tuple[int, int]:
    """How many of the newest turns are sent, and the tokens that one more may have before turns are
    left out that are sent now. `sizes` are turns' tokens, the newest first.

    What is left out is counted from the conversation's beginning, in turns and in tokens, and so
    moves by whole blocks. A turn across a block's edge goes with the block, unless it is a large
    one that still fits.
    """
    block = max(1, limit // _TOKENS_BLOCK_DIVISOR)
    left_out = _find_left_out(all_tokens, limit, block)
    left_out_turns = _find_left_out(all_turns, HISTORY_TURNS_MAX, _TURNS_BLOCK)
    room = left_out + limit - all_tokens
    kept, begins_at = 0, all_tokens
    for size in sizes[: all_turns - left_out_turns]:
        if begins_at - size < left_out:
            is_large = size * _LARGE_TURN_DIVISOR > block
            if begins_at > left_out and is_large and all_tokens - begins_at + size <= limit:
                kept, room = kept + 1, limit - (all_tokens - begins_at + size)
            break
        kept, begins_at = kept + 1, begins_at - size
    if _find_left_out(all_turns + 1, HISTORY_TURNS_MAX, _TURNS_BLOCK) != left_out_turns:
        room = 0
    return kept, room


def _find_left_out(total: int, limit: int, block: int) -> int:
    """How much of a total is left out, in whole blocks, so that the rest is within the limit."""
    return max(0, -(-(total - limit) // block)) * block


def _without_earlier_attempt(
    turns: dict[str, tuple[str, str]], rows: Sequence[sa.Row[Any]], question: Question
) -> dict[str, tuple[str, str]]:
    """Turns by their asks, without the newest where it is an earlier attempt of a question that is
    asked again: the same words, of the same files."""
    newest = next(reversed(turns), "")
    if not (newest and question.is_repeat and turns[newest][0] == question.text):
        return turns
    (files_of,) = (row.files_of for row in rows if row.id == newest)
    if files_of != (question.files_of or None):
        return turns
    return {id_: turn for id_, turn in turns.items() if id_ != newest}


def _unseal_turns(rows: Sequence[sa.Row[Any]], data_key: DataKey) -> dict[str, tuple[str, str]]:
    """What was asked and answered, by its ask, the oldest first; `rows` begin with the newest."""
    turns: dict[str, tuple[str, str]] = {}
    later: tuple[str, str | None] | None = None
    for row in rows:
        turn = _unseal_turn(row, data_key)
        if turn is None:
            continue
        # Of a question asked again, the newest answer counts. The same words about other files are
        # another question: photos have no names, and are often of one size.
        if later != (turn[0], row.files_of):
            turns[row.id] = turn
        later = turn[0], row.files_of
    return dict(reversed(turns.items()))


def _unseal_turn(row: sa.Row[Any], data_key: DataKey) -> tuple[str, str] | None:
    question = unseal_part(data_key, row.id, "question", row.question)
    answer = unseal_part(data_key, row.id, "answer", row.answer)
    return (question, answer) if question and answer else None


def build_messages(question: Question, history: ConversationHistory) -> list[ChatMessage]:
    """The messages for the model: the earlier turns and the question, with files in the places of
    their marks. There is no system prompt, since it would be charged to the person."""
    turns: list[ChatMessage] = []
    along = {one.turn: one.files for one in history.along}
    for number, (asked, answered) in enumerate(history.turns):
        files = along.get(number, ())
        turns += [
            ChatMessage("user", fill_marks(asked, files), list_pictures(files)),
            ChatMessage("assistant", answered),
        ]
    return [*turns, ChatMessage("user", question.full_text, question.pictures)]
