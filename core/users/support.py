"""What people write to the operators, and what those answer: sealed by the person's own data key,
so that nobody else reads it and erasing the person erases it.
"""

from __future__ import annotations

import base64
from typing import ClassVar, Final

from cachetools import TTLCache

from core.errors import Refusal
from core.ledger.ledger import Ledger
from core.notification import OPERATORS, Facts, notification_row
from core.pool.vault import Unsealable
from core.users.service import Users
from core.users.types import Person

#: Kinds of notifications: what a person wrote, for the operators; their answer, for the person.
SUPPORT_ASKED: Final = "support_asked"
SUPPORT_ANSWERED: Final = "support_answered"
#: The most that one message may hold, in characters.
MESSAGE_CHARS_MAX: Final = 1_000
#: How many messages a person may send in so many seconds, counted in this process.
MESSAGES_MAX: Final = 3
MESSAGES_SECONDS: Final = 600
_PEOPLE_MAX: Final = 10_000


class TooManyMessages(Refusal):
    """Somebody writes to the operators more often than those can read."""

    code: ClassVar[str] = "too_many_messages"


class MessageTooLong(Refusal):
    """A message to the operators, or theirs, is longer than one may be."""

    code: ClassVar[str] = "message_too_long"

    def __init__(self, length: int) -> None:
        self.length, self.most = length, MESSAGE_CHARS_MAX


class SupportDesk:
    """The support desk carries messages between people and operators, as notifications."""

    def __init__(self, *, users: Users, ledger: Ledger) -> None:
        self._users, self._ledger, self._clock = users, ledger, ledger.clock
        self._sent: TTLCache[str, int] = TTLCache(
            maxsize=_PEOPLE_MAX, ttl=MESSAGES_SECONDS, timer=ledger.clock.monotonic
        )

    async def send_question(self, person: Person, identity: str, text: str, *, cause: str) -> None:
        """Tells the operators what a person writes from `identity` (`telegram:7`); the same cause
        (a message) once. Raises `MessageTooLong`, `TooManyMessages`."""
        count = self._sent.get(person.id, 0)
        if count >= MESSAGES_MAX:
            raise TooManyMessages
        await self._send(OPERATORS, SUPPORT_ASKED, person, text, cause, {"identity": identity})
        self._sent[person.id] = count + 1

    async def send_answer(self, person_id: str, text: str, *, cause: str) -> None:
        """Tells a person what an operator answers. Raises `MessageTooLong`."""
        person = await self._users.find(person_id)
        await self._send(person.id, SUPPORT_ANSWERED, person, text, cause, {})

    async def open_text(self, facts: Facts) -> str:
        """What was written; empty once its person was erased."""
        person = await self._users.find(str(facts["person"]))
        key = await self._users.get_data_key(person)
        sealed = base64.b64decode(str(facts["sealed"]))
        try:
            return key.unseal(_context(str(facts["cause"])), sealed).decode()
        except Unsealable:
            return ""

    async def _send(
        self, to: str, kind: str, person: Person, text: str, cause: str, facts: dict[str, str]
    ) -> None:
        if len(text) > MESSAGE_CHARS_MAX:
            raise MessageTooLong(len(text))
        key = await self._users.get_data_key(person)
        sealed = base64.b64encode(key.seal(_context(cause), text.encode())).decode()
        row = notification_row(
            self._clock,
            cause_id=f"{kind}/{cause}",
            person=to,
            kind=kind,
            facts={**facts, "person": person.id, "cause": cause, "sealed": sealed},
        )
        await self._ledger.try_record(row)  # refused where the same message is told twice


def _context(cause: str) -> str:
    return f"support/{cause}"
