"""Forms: who is asked for what in private, and the one answer that counts.

A row waits for the answer, so that a restart or another process loses nothing; the answer itself is
never stored here. A private chat has one reader, so whoever writes there is who was asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final
from weakref import WeakValueDictionary

import sqlalchemy as sa
from pydantic import SecretStr

from bots.chat.callbacks import Buttons
from bots.chat.command import Action, Request, Room
from bots.chat.i18n import render
from bots.chat.reply import Choice, Prompt, Reply, Said, say
from bots.chat.types import Button, Field, Filled, Form, FormCard
from core import ids
from core.clock import Clock
from core.db import schema
from core.db.database import Store
from core.db.writes import Delete, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.ledger.types import CompanionRefused

#: How long an answer is waited for.
WAIT_SECONDS: Final = 600
#: An answer that comes too late is known as one for this long.
LATE_SECONDS: Final = 86_400
#: One long word is a key that came too late, no question.
_KEY_LIKE: Final = re.compile(r"[!-~]{16,}")

#: What ended a wait, where it was no message that filled it in.
CANCELLED: Final = "cancelled"


class PromptOver(Refusal):
    """No form waits for this any more: it was answered, cancelled, came too late, or was asked
    anew."""

    code: ClassVar[str] = "prompt_over"


class NotFilledIn(Refusal):
    """What was typed isn't what the form wants; `labels` are those of its fields, in their
    order."""

    code: ClassVar[str] = "not_filled_in"

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Waiting:
    """A form as its row is kept while an answer to it is waited for."""

    place: str
    form: Form
    action: str
    data: dict[str, str | int]
    closed_by: str
    late: bool

    @property
    def over(self) -> bool:
        """Whether no answer counts any more."""
        return bool(self.closed_by) or self.late

    def typed(self, text: str) -> dict[str, SecretStr]:
        """A message as the form's values: all of it, or a line for each; raises
        `InvalidFormInput`."""
        fields = self.form.fields
        lines = [text] if len(fields) == 1 else [one for one in text.splitlines() if one.strip()]
        if len(lines) != len(fields):
            raise NotFilledIn(self._labels)
        return {field.name: SecretStr(line) for field, line in zip(fields, lines, strict=True)}

    def checked(self, values: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
        """The values without the space around them; raises `InvalidFormInput`."""
        checked = {}
        for field in self.form.fields:
            value = values[field.name].get_secret_value().strip() if field.name in values else ""
            if not field.least <= len(value) <= field.most or "\n" in value:
                raise NotFilledIn(self._labels)
            checked[field.name] = SecretStr(value)
        return checked

    @property
    def _labels(self) -> tuple[str, ...]:
        return tuple(field.label for field in self.form.fields)


class Prompts:
    """The repository of forms that wait for an answer, one in a place: a new form replaces the last
    one."""

    def __init__(self, *, store: Store, ledger: Ledger, clock: Clock, buttons: Buttons) -> None:
        self._store, self._ledger, self._clock = store, ledger, clock
        self._buttons = buttons
        #: The locks of places in which a command that opens a form is at work, or somebody waits
        #: for one.
        self._gates: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def room(self) -> Room:
        """What its button does."""
        return Room(actions=(Action("prompt-cancel", self.cancel),))

    async def cancel(self, request: Request) -> Reply:
        """The form's Cancel button was pressed."""
        if not await self.close(request.place.code, str(request.data["form"])):
            raise PromptOver
        return Reply((say("Cancelled. Nothing was changed."),), replace=True)

    @contextlib.asynccontextmanager
    async def turn(self, place: str, *, prompts: bool) -> AsyncIterator[None]:
        """What is written right behind a command that opens a form waits until the form is there:
        it may be what was about to be asked for."""
        gate = self._gates.setdefault(place, asyncio.Lock())
        async with gate:
            if prompts:
                yield
                return
        yield

    async def card(
        self, prompt: Prompt, request: Request, *, public_note: Said, unreachable_note: Said
    ) -> FormCard:
        """Asks in private, and waits for the answer from now on."""
        place, hidden = request.own_place.code, not request.place.private

        def words(said: Said) -> str:
            return render(said, request.person.language, request.person.zone)

        form = _form(ids.new("frm", self._clock.now_ms()), prompt, words)
        await self._wait(form, prompt, place)
        cancel = Choice(say("Cancel"), "prompt-cancel", {"form": form.id})
        rows = await self._buttons.make(
            Reply(choices=((cancel,),)), person=request.person.id, place=place
        )
        return FormCard(
            form=form,
            lines=tuple(map(words, prompt.lines)),
            open=words(say("Enter it")),
            by_message=words(_by_message(form)),
            cancel=Button(rows[0][0][0], words(cancel.label)),
            public_note=words(public_note) if hidden else "",
            unreachable_note=words(unreachable_note) if hidden else "",
        )

    async def _wait(self, form: Form, prompt: Prompt, place: str) -> None:
        row = {
            "id": form.id,
            "action": prompt.action,
            "data": json.dumps(dict(prompt.data)),
            "form": json.dumps(asdict(form)),
            "expires_at": self._clock.now_ms() + WAIT_SECONDS * 1000,
            "closed_by": "",
        }
        await self._ledger.record(
            Insert(schema.prompt, {"place": place, **row}, ignore=True),
            Update(schema.prompt, {"place": place}, row),
        )

    async def at(self, place: str) -> Waiting | None:
        """The newest form of a place, waiting or closed."""
        table = schema.prompt
        rows = await self._store.fetch(sa.select(table).where(table.c.place == place))
        if not rows:
            return None
        row, kept = rows[0], json.loads(rows[0].form)
        form = Form(row.id, kept["title"], tuple(Field(**one) for one in kept["fields"]))
        late = row.expires_at < self._clock.now_ms()
        return Waiting(place, form, row.action, json.loads(row.data), row.closed_by, late)

    async def answered(self, waiting: Waiting | None, text: str, message: str) -> Waiting | None:
        """The form that a message answers, if it does. Once its time is over, the next message that
        reads like a key is still known as the answer, and any other ends the matter."""
        if waiting is None or waiting.closed_by not in ("", message):
            return None
        if waiting.late and not waiting.closed_by and not _KEY_LIKE.fullmatch(text.strip()):
            await self.close(waiting.place, waiting.form.id)
            return None
        return waiting

    async def take(self, waiting: Waiting | None, filled: Filled) -> dict[str, SecretStr]:
        """The values that count; raises `InvalidFormInput`, and then the form waits on, or
        `FormClosed`."""
        if waiting is None or waiting.form.id != filled.form or waiting.over:
            raise PromptOver
        values = waiting.checked(filled.values)
        if not await self.close(waiting.place, filled.form, by=filled.message):
            raise PromptOver
        return values

    async def close(self, place: str, form: str, *, by: str = CANCELLED) -> bool:
        """Waits no more; whether it did until now."""
        key, expected = {"place": place}, {"id": form, "closed_by": ""}
        try:
            await self._ledger.record(Update(schema.prompt, key, {"closed_by": by}, expected))
        except CompanionRefused:
            return False
        return True

    async def forget_expired(self) -> None:
        """A job: deletes forms that nobody answers any more, not even too late."""
        table, before = schema.prompt, self._clock.now_ms() - LATE_SECONDS * 1000
        rows = await self._store.fetch(
            sa.select(table.c.place, table.c.id).where(table.c.expires_at < before).limit(1_000)
        )
        if rows:
            gone = (Delete(table, {"place": row.place, "id": row.id}) for row in rows)
            await self._ledger.record(*gone)


def _form(id_: str, prompt: Prompt, words: Callable[[Said], str]) -> Form:
    fields = (
        Field(
            blank.name,
            words(blank.label),
            words(blank.hint) if blank.hint else "",
            blank.least,
            blank.most,
            blank.hidden,
        )
        for blank in prompt.blanks
    )
    return Form(id_, words(prompt.title), tuple(fields))


def _by_message(form: Form) -> Said:
    minutes = WAIT_SECONDS // 60
    if len(form.fields) == 1:
        return say(
            "Send it as your next message here, within {minutes} minutes. I delete that message at"
            " once, and it goes to no model.",
            minutes=minutes,
        )
    return say(
        "Send them as your next message here, each on a line of its own, within {minutes} minutes:"
        " {fields}. I delete that message at once, and it goes to no model.",
        minutes=minutes,
        fields=", ".join(field.label for field in form.fields),
    )
