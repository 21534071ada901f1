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

from bots.chat.callbacks import ButtonRepository
from bots.chat.command import Request, action
from bots.chat.i18n import render
from bots.chat.reply import Choice, FormRequest, Phrase, Reply, say
from bots.chat.types import Button, Form, FormCard, FormSubmission, InputField
from core import ids
from core.db import schema
from core.db.prepared import PreparedSelect
from core.db.writes import Delete, Insert, Update
from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.text import repair_text

#: How long an answer is waited for.
WAIT_SECONDS: Final = 600
#: An answer that comes too late is known as one for this long.
LATE_ANSWER_SECONDS: Final = 86_400
#: One long word is a key that came too late, no question.
_KEY_LIKE: Final = re.compile(r"[!-~]{16,}")

_SELECT_FORM: Final = PreparedSelect(
    sa.select(schema.prompt).where(schema.prompt.c.place == sa.bindparam("place"))
)

#: What ended a wait, where it was no message that filled it in.
CANCELLED: Final = "cancelled"


class FormClosed(Refusal):
    """No form waits for this any more: it was answered, cancelled, came too late, or was asked
    anew."""

    code: ClassVar[str] = "prompt_over"


class InvalidFormInput(Refusal):
    """What was typed isn't what the form wants; `labels` are those of its fields, in their
    order."""

    code: ClassVar[str] = "not_filled_in"

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels


@dataclass(frozen=True, slots=True)
class PendingForm:
    """A form as its row is kept while an answer to it is waited for."""

    place: str
    form: Form
    action: str
    data: dict[str, str | int]
    closed_by: str
    is_late: bool

    @property
    def is_closed(self) -> bool:
        """Whether no answer counts any more."""
        return bool(self.closed_by) or self.is_late

    def is_answered_by(self, text: str, message: str) -> bool:
        """Whether a message is the answer. Once the form's time is over, one that reads like a key
        is still known as it, and any other is not."""
        if self.closed_by:
            return self.closed_by == message
        return not self.is_late or _KEY_LIKE.fullmatch(text.strip()) is not None

    def parse_text(self, text: str) -> dict[str, SecretStr]:
        """A message as the form's values: all of it, or a line for each; raises
        `InvalidFormInput`."""
        fields = self.form.fields
        lines = [text] if len(fields) == 1 else [one for one in text.splitlines() if one.strip()]
        if len(lines) != len(fields):
            raise InvalidFormInput(self._labels)
        return {field.name: SecretStr(line) for field, line in zip(fields, lines, strict=True)}

    def validate_values(self, values: Mapping[str, SecretStr]) -> dict[str, SecretStr]:
        """The values without the space around them; raises `InvalidFormInput`."""
        checked = {}
        for field in self.form.fields:
            typed = values[field.name].get_secret_value() if field.name in values else ""
            value = repair_text(typed).strip()
            if not field.least <= len(value) <= field.most or "\n" in value:
                raise InvalidFormInput(self._labels)
            checked[field.name] = SecretStr(value)
        return checked

    @property
    def _labels(self) -> tuple[str, ...]:
        return tuple(field.label for field in self.form.fields)


class Forms:
    """The repository of forms that wait for an answer, one in a place: a new form replaces the last
    one."""

    def __init__(self, *, ledger: Ledger, buttons: ButtonRepository) -> None:
        self._db, self._ledger, self._clock = ledger.db, ledger, ledger.clock
        self._buttons = buttons
        #: The locks of places in which a command that opens a form is at work, or somebody waits
        #: for one.
        self._place_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @action("prompt-cancel")
    async def prompt_cancel(self, request: Request) -> Reply:
        """The form's Cancel button was pressed."""
        if not await self.close_form(request.place.code, str(request.data["form"])):
            raise FormClosed
        return Reply((say("Cancelled. Nothing was changed."),), replace=True)

    @contextlib.asynccontextmanager
    async def lock_place(self, place: str, *, prompts: bool) -> AsyncIterator[None]:
        """What is written right behind a command that opens a form waits until the form is there:
        it may be what was about to be asked for."""
        lock = self._place_locks.setdefault(place, asyncio.Lock())
        async with lock:
            if prompts:
                yield
                return
        yield

    async def open_form(
        self,
        form_request: FormRequest,
        request: Request,
        *,
        public_note: Phrase,
        unreachable_note: Phrase,
    ) -> FormCard:
        """Asks in private, and waits for the answer from now on."""
        place, is_elsewhere = request.private_place.code, not request.place.private

        def localize(phrase: Phrase) -> str:
            return render(phrase, request.person.language, request.person.zone)

        form = _render_form(ids.new_id("frm", self._clock.now_ms()), form_request, localize)
        await self._save_form(form, form_request, place)
        cancel = Choice(say("Cancel"), "prompt-cancel", {"form": form.id})
        rows = await self._buttons.create_buttons(
            Reply(choices=((cancel,),)), person=request.person.id, place=place
        )
        return FormCard(
            form=form,
            lines=tuple(map(localize, form_request.lines)),
            open_label=localize(say("Enter it")),
            instructions=localize(_explain_by_message(form)),
            cancel=Button(rows[0][0][0], localize(cancel.label)),
            public_note=localize(public_note) if is_elsewhere else "",
            unreachable_note=localize(unreachable_note) if is_elsewhere else "",
        )

    async def _save_form(self, form: Form, form_request: FormRequest, place: str) -> None:
        row = {
            "id": form.id,
            "action": form_request.action,
            "data": json.dumps(dict(form_request.data)),
            "form": json.dumps(asdict(form)),
            "expires_at": self._clock.now_ms() + WAIT_SECONDS * 1000,
            "closed_by": "",
        }
        await self._ledger.record(
            Insert(schema.prompt, {"place": place, **row}, ignore=True),
            Update(schema.prompt, {"place": place}, row),
        )

    async def find_form(self, place: str) -> PendingForm | None:
        """The newest form of a place, waiting or closed."""
        rows = await self._db.fetch(_SELECT_FORM, {"place": place})
        if not rows:
            return None
        row, stored = rows[0], json.loads(rows[0].form)
        form = Form(row.id, stored["title"], tuple(InputField(**one) for one in stored["fields"]))
        is_late = row.expires_at < self._clock.now_ms()
        return PendingForm(place, form, row.action, json.loads(row.data), row.closed_by, is_late)

    async def match_answer(
        self, pending: PendingForm | None, text: str, message: str
    ) -> PendingForm | None:
        """The form that a message answers, if it does; once its time is over, any other message
        ends the matter."""
        if pending is None or pending.is_answered_by(text, message):
            return pending
        if not pending.closed_by:
            await self.close_form(pending.place, pending.form.id)
        return None

    async def accept_submission(
        self, pending: PendingForm | None, submission: FormSubmission
    ) -> dict[str, SecretStr]:
        """The values that count; raises `InvalidFormInput`, and then the form waits on, or
        `FormClosed`."""
        if pending is None or pending.form.id != submission.form or pending.is_closed:
            raise FormClosed
        values = pending.validate_values(submission.values)
        if not await self.close_form(pending.place, submission.form, by=submission.message):
            raise FormClosed
        return values

    async def close_form(self, place: str, form_id: str, *, by: str = CANCELLED) -> bool:
        """Waits no more; whether it did until now."""
        key, expected = {"place": place}, {"id": form_id, "closed_by": ""}
        return await self._ledger.try_record(
            Update(schema.prompt, key, {"closed_by": by}, expected)
        )

    async def delete_expired_forms(self) -> None:
        """A job: deletes forms that nobody answers any more, not even too late."""
        table, before = schema.prompt, self._clock.now_ms() - LATE_ANSWER_SECONDS * 1000
        rows = await self._db.fetch(
            sa.select(table.c.place, table.c.id).where(table.c.expires_at < before).limit(1_000)
        )
        if rows:
            deletes = (Delete(table, {"place": row.place, "id": row.id}) for row in rows)
            await self._ledger.record(*deletes)


def _render_form(id_: str, form_request: FormRequest, localize: Callable[[Phrase], str]) -> Form:
    fields = (
        InputField(
            blank.name,
            localize(blank.label),
            localize(blank.hint) if blank.hint else "",
            blank.min_length,
            blank.max_length,
            blank.hidden,
        )
        for blank in form_request.fields
    )
    return Form(id_, localize(form_request.title), tuple(fields))


def _explain_by_message(form: Form) -> Phrase:
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
