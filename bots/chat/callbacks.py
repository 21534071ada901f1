"""Buttons: an opaque id for the person, a row with what it does for us; and replies as cards, in
their reader's words, with the rows behind their buttons.

An answer's own buttons (Stop, Again, Continue, Ask this) need no row of their own: the ask is their
row, and their id is a letter and the ask's id. Pressing is authorised against the row, never by the
id.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from bots.chat.i18n import render
from bots.chat.reply import Choice, Invoice, Phrase, Reply, say
from bots.chat.types import Attachment, Button, Card, Place, StarsInvoice
from core import ids
from core.asks.chat_moves import find_ask_place, is_same_place
from core.db import schema
from core.db.writes import Delete, Insert, Update, UpdateAll
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.users.types import Person

_log = logging.getLogger(__name__)

#: A card's buttons work this long.
BUTTON_LIFETIME_SECONDS = 7 * 86_400

_POSTPONED = say(
    "There is a file here for you, but too many others are on their way to this chat already."
    " Please ask for it again in a minute."
)

#: An answer's own buttons: the letter of their id → their action.
ANSWER_ACTIONS = {"s": "stop", "a": "again", "c": "continue", "q": "ask-this", "w": "without-file"}


class ButtonExpired(Refusal):
    """The button has expired, was used up, or never existed."""


class NotYourButton(Refusal):
    """The button belongs to somebody else, or to another chat."""


@dataclass(frozen=True, slots=True)
class ButtonAction:
    """A button's action: what a press does, with the arguments that its row keeps."""

    id: str
    action: str
    data: dict[str, str | int]
    #: Whether it was used up for this press.
    is_used_up: bool = False


def make_answer_button_id(action: str, ask_id: str) -> str:
    """The id of one of an answer's own buttons."""
    letter = next(letter for letter, known in ANSWER_ACTIONS.items() if known == action)
    return f"{letter}:{ask_id}"


def parse_answer_button(button_id: str) -> ButtonAction | None:
    """What one of an answer's own buttons does, or None for another's id."""
    letter, separator, ask_id = button_id.partition(":")
    if not separator or letter not in ANSWER_ACTIONS:
        return None
    return ButtonAction(button_id, ANSWER_ACTIONS[letter], {"ask": ask_id})


class ButtonRepository:
    """The repository of the rows behind the buttons of cards: it creates, authorises and deletes
    them."""

    def __init__(self, *, ledger: Ledger) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock

    async def create_buttons(
        self, reply: Reply, *, person: str, place: str
    ) -> tuple[tuple[tuple[str, Choice], ...], ...]:
        """Ids for a reply's choices, in their rows, ready to be shown."""
        now = self._clock.now_ms()
        rows = tuple(
            tuple((ids.new_id("btn", now), choice) for choice in row) for row in reply.choices
        )
        inserts = [
            Insert(
                schema.button,
                {
                    "id": id_,
                    "person": person,
                    "place": place,
                    "action": choice.action,
                    "data": json.dumps(dict(choice.data)),
                    "expires_at": now + (choice.lifetime_seconds or BUTTON_LIFETIME_SECONDS) * 1000,
                    "once": choice.once,
                },
            )
            for row in rows
            for id_, choice in row
            if not (choice.url or choice.sku or choice.copy)
        ]
        if inserts:
            await self._ledger.record(*inserts)
        return rows

    async def find_place(self, button_id: str) -> str:
        """Where a button was shown; empty for one that nobody knows."""
        answer, table = parse_answer_button(button_id), schema.button
        if answer is not None:
            return await find_ask_place(self._db, str(answer.data["ask"]))
        rows = await self._db.fetch(sa.select(table.c.place).where(table.c.id == button_id))
        return str(rows[0].place) if rows else ""

    async def authorize_press(
        self, button_id: str, *, person: str, place: str, press: str = ""
    ) -> ButtonAction:
        """What to do, authorised; raises `ButtonExpired` or `NotYourButton`.

        `press` is the platform's id of the press: a button that was used up by this very press is
        carried out again until `finish_press`, for the process that began may be gone.
        """
        table = schema.button
        found = await self._db.fetch(sa.select(table).where(table.c.id == button_id))
        if not found:
            _log.info("refused: an unknown button by %s in %s", person, place)
            raise ButtonExpired
        row = found[0]
        if row.person != person or not await is_same_place(self._db, place, row.place):
            _log.warning("refused: somebody's %s by %s in %s", row.action, person, place)
            raise NotYourButton
        if row.used_at is not None and press and row.used_by == press:
            return ButtonAction(button_id, row.action, json.loads(row.data), is_used_up=True)
        if row.used_at is not None or row.expires_at < self._clock.now_ms():
            _log.info("refused: %s again or too late by %s in %s", row.action, person, place)
            raise ButtonExpired
        if row.once:
            used = {"used_at": self._clock.now_ms(), "used_by": press or None}
            if not await self._ledger.try_record(
                Update(table, {"id": button_id}, used, {"used_at": None})
            ):
                raise ButtonExpired
        return ButtonAction(button_id, row.action, json.loads(row.data), is_used_up=row.once)

    async def finish_press(self, button_id: str) -> None:
        """What a button does that works once is done: the same press again does nothing."""
        await self._ledger.record(
            UpdateAll(schema.button, {"id": button_id}, {"used_by": None}),
        )

    async def delete_expired_buttons(self) -> None:
        """A job: deletes rows whose time is over."""
        table = schema.button
        rows = await self._db.fetch(
            sa.select(table.c.id).where(table.c.expires_at < self._clock.now_ms()).limit(1_000)
        )
        if rows:
            await self._ledger.record(*(Delete(table, {"id": row.id}) for row in rows))


async def render_card(
    reply: Reply, buttons: ButtonRepository, *, person: Person, place: Place
) -> Card:
    """The reply as a card that `person` reads, with buttons to be pressed at `place`."""
    language = reply.language or person.language
    rows = await buttons.create_buttons(reply, person=person.id, place=place.code)

    def localize(phrase: Phrase) -> str:
        return render(phrase, language, person.zone)

    return Card(
        title=localize(reply.title) if reply.title else "",
        lines=tuple(map(localize, reply.lines)),
        table=tuple(tuple(map(localize, row)) for row in reply.table),
        buttons=tuple(
            tuple(
                Button(id_, localize(choice.label), choice.url, choice.sku, choice.copy)
                for id_, choice in row
            )
            for row in rows
        ),
        attachment=Attachment(reply.file.name, reply.file.content) if reply.file else None,
        invoice=_render_invoice(reply.invoice, localize) if reply.invoice else None,
        postponed_note=localize(_POSTPONED) if reply.file else "",
        private=reply.private,
        passing=reply.passing,
    )


def _render_invoice(invoice: Invoice, localize: Callable[[Phrase], str]) -> StarsInvoice:
    return StarsInvoice(
        invoice.payload,
        localize(invoice.title),
        localize(invoice.description),
        invoice.stars.units,
        localize(invoice.refused_text),
    )
