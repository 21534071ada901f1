"""Replies as cards: in their reader's words, with the rows behind their buttons."""

from __future__ import annotations

from collections.abc import Callable

from bots.chat.callbacks import Buttons
from bots.chat.i18n import render
from bots.chat.reply import Invoice, Reply, Said
from bots.chat.types import Attachment, Bill, Button, Place, Screen
from core.users.types import Person


async def screen_of(reply: Reply, buttons: Buttons, *, person: Person, place: Place) -> Screen:
    """The card as `person` reads it and presses its buttons at `place`."""
    language = reply.language or person.language
    rows = await buttons.make(reply, person=person.id, place=place.code)

    def words(said: Said) -> str:
        return render(said, language, person.zone)

    return Screen(
        title=words(reply.title) if reply.title else "",
        lines=tuple(map(words, reply.lines)),
        table=tuple(tuple(map(words, row)) for row in reply.table),
        buttons=tuple(
            tuple(Button(id_, words(choice.label), choice.url, choice.sku) for id_, choice in row)
            for row in rows
        ),
        attachment=Attachment(reply.file.name, reply.file.content) if reply.file else None,
        bill=_bill(reply.invoice, words) if reply.invoice else None,
        private=reply.private,
        passing=reply.passing,
    )


def _bill(invoice: Invoice, words: Callable[[Said], str]) -> Bill:
    return Bill(
        invoice.payload,
        words(invoice.title),
        words(invoice.about),
        invoice.stars.units,
        words(invoice.refused),
    )
