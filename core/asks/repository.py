"""The repository of asks: results read back, deliveries claimed once, Stop passed on between
processes; and what people asked and were charged, for `/usage` and `/export`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from core.asks.chat_moves import is_same_place, select_former_place
from core.asks.file_repository import FileRepository, KeptFile
from core.asks.settlement import AUDIO_DOUBT, DELIVERY_LEASE_SECONDS
from core.asks.types import AskResult, Outcome
from core.db import schema
from core.db.database import Database
from core.db.writes import Insert, Update
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused, LedgerUnavailable
from core.money import Credits, Seconds, Tokens
from core.pool.vault import DataKey, Unsealable
from core.pricing.tiers import select_merged_ids
from core.processes import select_abandoned
from core.users.service import Users
from core.users.types import Person

#: Older answers are not shown any more: the chat has moved on.
DELIVERY_HORIZON_SECONDS = 86_400
_CLAIMS_MAX = 20


@dataclass(frozen=True, slots=True)
class SettledAsk:
    """A settled ask with its question and result, and where in a chat it belongs."""

    person: Person
    place: str
    asked_in: str
    shown_in: str
    question: str
    result: AskResult
    #: The question as it was edited since; empty: it wasn't.
    edited_question: str = ""
    #: The ask that brought the files whose marks the question has; empty: it has none.
    files_of: str = ""
    #: How its platform can be answered later (see `Question`); a secret, may be empty.
    way_back: str = field(default="", repr=False)


def select_doubted_recordings(since_ms: int) -> sa.Select[Any]:
    """The statement of audio since a time in which its supplier heard far more than was held: who
    sent it, at which supplier, and both lengths in seconds."""
    ask, usage = schema.ask, schema.usage
    return (
        sa.select(
            usage.c.ask,
            usage.c.person,
            usage.c.provider,
            ask.c.seconds.label("held"),
            usage.c.seconds.label("heard"),
        )
        .select_from(usage.join(ask, ask.c.id == usage.c.ask))
        .where(usage.c.at >= since_ms, usage.c.seconds > ask.c.seconds + AUDIO_DOUBT.units)
        .order_by(usage.c.at)
    )


class AskRepository:
    """Reads the table of asks and marks their progress: stops, messages, deliveries."""

    def __init__(self, *, ledger: Ledger, users: Users, process_id: str) -> None:
        self._db, self._ledger, self._users = ledger.db, ledger, users
        self._clock, self._process_id = ledger.clock, process_id

    async def has_ask(self, ask: str) -> bool:
        """Whether this ask was ever admitted."""
        return bool(await self._db.fetch(sa.select(schema.ask.c.id).where(schema.ask.c.id == ask)))

    async def has_doubted_recording(self, person: str, since_ms: int) -> bool:
        """Whether a supplier heard far more in audio of a person, or of who became a part of them,
        than was held, since a time."""
        theirs = schema.usage.c.person.in_(select_merged_ids(person))
        rows = await self._db.fetch(select_doubted_recordings(since_ms).where(theirs).limit(1))
        return bool(rows)

    async def find_running(self, person: str, place: str) -> str | None:
        """The newest open ask of a person in a place."""
        table = schema.ask
        rows = await self._db.fetch(
            sa.select(table.c.id)
            .where(table.c.person == person, table.c.place == place, table.c.state == "open")
            .order_by(table.c.id.desc())
            .limit(1)
        )
        return rows[0].id if rows else None

    async def request_stop(self, ask: str, person: str) -> bool:
        """Asks the process that serves the ask to stop it; False when it is not theirs or has
        ended."""
        return await self._ledger.try_record(
            Update(
                schema.ask,
                {"id": ask},
                {"stop_requested": True},
                {"state": "open", "person": person},
            )
        )

    async def record_edit(self, ask: str, person: Person, text: str) -> None:
        """Records the question of an ask as its person edited it; where that asked nothing, or it
        is another's, nothing is changed."""
        data_key = await self._users.get_data_key(person)
        sealed = data_key.seal(f"ask/{ask}/edited", text.encode())
        with suppress(CompanionRefused):
            await self._ledger.record(
                Update(schema.ask, {"id": ask}, {"edited": sealed}, {"person": person.id})
            )

    async def mark_started(self, ask: str, message: str) -> None:
        """Records the message that will show the answer."""
        await self._ledger.record(Update(schema.ask, {"id": ask}, {"shown_in": message}))

    async def mark_delivered(self, ask: str, place: str, messages: Sequence[str]) -> None:
        """Records that the final text is in the chat, in these messages."""
        now = self._clock.now_ms()
        change = {"shown_in": messages[-1], "landed_at": now, "way_back": None}
        await self._ledger.record(
            Update(schema.ask, {"id": ask}, change),
            *(
                Insert(schema.shown, {"place": place, "message": message, "ask": ask}, ignore=True)
                for message in messages
            ),
        )

    async def is_same_place(self, place: str, other: str) -> bool:
        """Whether `place` is `other`, or was that before its chat moved."""
        return await is_same_place(self._db, place, other)

    async def has_shown(self, place: str) -> bool:
        """Whether an answer was ever shown in a place."""
        rows = await self._db.fetch(sa.select(schema.shown.c.ask).where(_stands_in(place)).limit(1))
        return bool(rows)

    async def find_by_message(self, person: str, place: str, message: str) -> str:
        """The ask of this person whose answer that message shows; empty for any other message."""
        ask, shown = schema.ask, schema.shown
        rows = await self._db.fetch(
            sa.select(ask.c.id)
            .select_from(shown.join(ask, ask.c.id == shown.c.ask))
            .where(
                _stands_in(place),
                shown.c.message == message,
                ask.c.person == person,
                ask.c.state == "settled",
                ask.c.answer.is_not(None),
            )
            # A chat that moved counts its messages anew.
            .order_by(shown.c.place == place)
        )
        return rows[-1].id if rows else ""

    async def get_result(self, ask: str) -> AskResult:
        """How an ask ended, by its rows; raises `LedgerUnavailable` while it is still open."""
        rows = await self._fetch(schema.ask.c.id == ask, schema.ask.c.state == "settled")
        if not rows:
            raise LedgerUnavailable
        return (await self._settled_ask_from_row(rows[0])).result

    async def get(self, ask: str) -> SettledAsk | None:
        """A settled ask of which Again or Continue is wanted."""
        rows = await self._fetch(schema.ask.c.id == ask, schema.ask.c.state == "settled")
        return await self._settled_ask_from_row(rows[0]) if rows else None

    async def claim_answer(self, ask: str) -> SettledAsk | None:
        """Claims one undelivered answer; None when it was delivered or somebody is about to."""
        rows = await self._fetch(
            schema.ask.c.id == ask, *self._is_undelivered(), await self._is_abandoned()
        )
        return await self._claim_row(rows[0]) if rows else None

    async def claim_answers(self, platforms: Collection[str]) -> list[SettledAsk]:
        """Claims undelivered answers in chats of these platforms, for the delivery job; each goes
        to one claimer."""
        if not platforms:
            return []
        now = self._clock.now_ms()
        rows = await self._fetch(
            *self._is_undelivered(),
            await self._is_abandoned(),
            schema.ask.c.ended_at > now - DELIVERY_HORIZON_SECONDS * 1000,
            sa.or_(*(schema.ask.c.place.startswith(f"{name}:") for name in platforms)),
        )
        claimed = [await self._claim_row(row) for row in rows[:_CLAIMS_MAX]]
        return [saved for saved in claimed if saved is not None]

    def _is_undelivered(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (schema.ask.c.state == "settled", schema.ask.c.landed_at.is_(None))

    async def _is_abandoned(self) -> sa.ColumnElement[bool]:
        """The condition that whoever was to deliver it has had its time, or is gone."""
        return await select_abandoned(
            self._db,
            schema.ask,
            self._process_id,
            self._clock.now_ms(),
            *self._is_undelivered(),
        )

    async def _claim_row(self, row: sa.Row[tuple[object, ...]]) -> SettledAsk | None:
        until = self._clock.now_ms() + DELIVERY_LEASE_SECONDS * 1000
        if not await self._ledger.try_record(
            Update(
                schema.ask,
                {"id": row.id},
                {"lease_until": until, "owner": self._process_id},
                {"lease_until": row.lease_until, "owner": row.owner, "landed_at": None},
            )
        ):
            return None
        return await self._settled_ask_from_row(row)

    async def _fetch(self, *where: sa.ColumnElement[bool]) -> list[sa.Row[tuple[object, ...]]]:
        ask, usage = schema.ask, schema.usage
        return list(
            await self._db.fetch(
                sa.select(
                    ask,
                    usage.c.charge,
                    usage.c.input_tokens,
                    usage.c.output_tokens,
                    usage.c.seconds.label("heard"),
                )
                .select_from(ask.outerjoin(usage, usage.c.ask == ask.c.id))
                .where(*where)
                .order_by(ask.c.id)
                .limit(_CLAIMS_MAX)
            )
        )

    async def _settled_ask_from_row(self, row: sa.Row[tuple[object, ...]]) -> SettledAsk:
        person = await self._users.find(row.person)
        data_key = await self._users.get_data_key(person)
        result = AskResult(
            ask=row.id,
            outcome=Outcome(row.outcome),
            model=row.model,
            text=unseal_part(data_key, row.id, "answer", row.answer),
            prompt_tokens=Tokens(row.input_tokens or 0),
            history_tokens=Tokens(row.history_tokens),
            output_tokens=Tokens(row.output_tokens or 0),
            charge=Credits(row.charge or 0),
            audio=None if row.seconds is None else Seconds(min(row.heard or 0, row.seconds)),
        )
        return SettledAsk(
            person=person,
            place=row.place,
            asked_in=row.asked_in,
            shown_in=row.shown_in,
            question=unseal_part(data_key, row.id, "question", row.question),
            edited_question=unseal_part(data_key, row.id, "edited", row.edited),
            result=result,
            files_of=row.files_of or "",
            way_back=unseal_part(data_key, row.id, "way_back", row.way_back),
        )


_EXPORTED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class ChargedAnswer:
    """An answer that was charged, without its words."""

    ask: str
    at: int
    model: str
    charge: Credits


@dataclass(frozen=True, slots=True)
class ExportedTurn:
    """An ask with its question and answer, for export; empty where they were erased."""

    at: int
    model: str
    charge: Credits
    question: str
    answer: str
    #: The question as it was edited since; empty: it wasn't.
    edited_question: str = ""
    #: What made its price lower; empty: nothing.
    tier: str = ""
    promotion: str = ""


@dataclass(frozen=True, slots=True)
class DeliveredAnswer:
    """An answer as evidence for a disputed payment shows it: never a word of what was said."""

    ask: str
    at: int
    model: str
    input: Tokens
    output: Tokens
    #: The length of audio that was transcribed; None for a question.
    seconds: Seconds | None
    charge: Credits
    #: When its last word was in the chat; None while that isn't known.
    delivered_at: int | None


class AskHistory:
    """Reads what people asked, were answered and were charged."""

    def __init__(self, db: Database, *, file_repository: FileRepository) -> None:
        self._db, self._file_repository = db, file_repository

    async def sum_charges_between(
        self, people: Sequence[str], starts_ms: Sequence[int]
    ) -> list[Credits]:
        """What a person and those who became a part of them were charged in each of the times that
        begin at `starts_ms`, rising; the last one is still going on."""
        usage = schema.usage.c
        number = sa.case(
            *((usage.at < start, at) for at, start in enumerate(starts_ms[1:])),
            else_=len(starts_ms) - 1,
        ).label("number")
        rows = await self._db.fetch(
            sa.select(number, sa.func.sum(usage.charge).label("charge"))
            .where(usage.person.in_(people), usage.at >= starts_ms[0])
            .group_by(number)
        )
        sums = {row.number: Credits(int(row.charge)) for row in rows}
        return [sums.get(at, Credits(0)) for at in range(len(starts_ms))]

    async def count_promoted(self, promotion: str) -> int:
        """How many asks were cheaper by a promotion."""
        statement = sa.select(sa.func.count()).where(schema.ask.c.promotion == promotion)
        return int((await self._db.fetch(statement))[0][0])

    async def list_latest_charges(self, people: Sequence[str], count: int) -> list[ChargedAnswer]:
        """Their newest charges, the newest first."""
        table = schema.usage
        rows: Sequence[sa.Row[Any]] = await self._db.fetch(
            sa.select(table.c.ask, table.c.at, table.c.model, table.c.charge)
            .where(table.c.person.in_(people), table.c.charge > 0)
            .order_by(table.c.at.desc(), table.c.ask)
            .limit(count)
        )
        return [ChargedAnswer(row.ask, row.at, row.model, Credits(row.charge)) for row in rows]

    async def list_delivered(self, people: Sequence[str], since_ms: int) -> list[DeliveredAnswer]:
        """What a person and those who became a part of them were charged for since then, the oldest
        first."""
        usage = schema.usage.c
        return await self._fetch_delivered(
            usage.person.in_(people), usage.at >= since_ms, usage.charge > 0
        )

    async def find_delivered(self, people: Sequence[str], ask: str) -> DeliveredAnswer | None:
        """One answer of theirs by its ask's id, by which the API names it."""
        usage = schema.usage.c
        found = await self._fetch_delivered(usage.person.in_(people), usage.ask == ask)
        return found[0] if found else None

    async def _fetch_delivered(self, *where: sa.ColumnElement[bool]) -> list[DeliveredAnswer]:
        ask, usage = schema.ask, schema.usage
        rows = await self._db.fetch(
            sa.select(usage, ask.c.created_at, ask.c.landed_at, ask.c.seconds.label("held"))
            .select_from(usage.join(ask, ask.c.id == usage.c.ask))
            .where(*where)
            .order_by(usage.c.at, usage.c.ask)
            .limit(_EXPORTED_MAX)
        )
        return [
            DeliveredAnswer(
                row.ask,
                row.created_at,
                row.model,
                Tokens(row.input_tokens),
                Tokens(row.output_tokens),
                None if row.seconds is None else Seconds(min(row.seconds, row.held)),
                Credits(row.charge),
                row.landed_at,
            )
            for row in rows
        ]

    async def list_kept_files(self, person: str, data_key: DataKey) -> list[KeptFile]:
        """What is kept of a person's files, the oldest first."""
        return await self._file_repository.list_kept(person, data_key)

    async def list_turns(self, person: str, data_key: DataKey) -> list[ExportedTurn]:
        """Everything that a person asked and was answered, the oldest first."""
        ask, usage = schema.ask, schema.usage
        rows = await self._db.fetch(
            sa.select(
                ask.c.id,
                ask.c.created_at,
                ask.c.model,
                ask.c.question,
                ask.c.answer,
                ask.c.edited,
                ask.c.tier,
                ask.c.promotion,
                usage.c.charge,
            )
            .select_from(ask.outerjoin(usage, usage.c.ask == ask.c.id))
            .where(ask.c.person == person)
            .order_by(ask.c.id.desc())
            .limit(_EXPORTED_MAX)
        )
        return [
            ExportedTurn(
                at=row.created_at,
                model=row.model,
                charge=Credits(row.charge or 0),
                question=unseal_part(data_key, row.id, "question", row.question),
                answer=unseal_part(data_key, row.id, "answer", row.answer),
                edited_question=unseal_part(data_key, row.id, "edited", row.edited),
                tier=row.tier or "",
                promotion=row.promotion or "",
            )
            for row in reversed(rows)
        ]


def unseal_part(data_key: DataKey, ask: str, part: str, sealed: bytes | None) -> str:
    """Unseals an ask's `question`, `answer`, `edited` or `way_back`; empty when there is none or it
    was erased."""
    if sealed is None:
        return ""
    try:
        return data_key.unseal(f"ask/{ask}/{part}", sealed).decode()
    except Unsealable:
        return ""


def _stands_in(place: str) -> sa.ColumnElement[bool]:
    """The messages of a place, and of what it was before its chat moved."""
    shown, former = schema.shown, select_former_place(place)
    return sa.or_(shown.c.place == place, shown.c.place == former.scalar_subquery())
