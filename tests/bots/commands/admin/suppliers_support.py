"""What tests of suppliers share."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from bots.chat.types import Card
from core.db import schema
from tests.support.service import Service


async def states(owner: Service) -> list[str]:
    table = schema.supplier_change.c
    rows = await owner.app.services.base.db.fetch(sa.select(table.state).order_by(table.id))
    return [row.state for row in rows]


class Told:
    """A platform that keeps what it is given."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, Card]] = []

    async def notify_person(self, person: str, card: Card, *, replace_message: str = "") -> None:
        del replace_message
        self.shown.append((person, card))


async def told(owner: Service) -> Sequence[tuple[str, Card]]:
    platform = Told()
    notifiers = owner.app.chat.redelivery._notifiers
    notifiers["telegram"] = platform  # type: ignore[assignment]
    for _ in range(2):  # one for the owners is one for each of them at the second turn
        await owner.app.chat.notifications.deliver_due()
    del notifiers["telegram"]
    return platform.shown
