"""Questions that wait for a tap: what a button keeps of one, sealed for the person whose it is.

Whichever of a card's buttons is pressed, and however often: the question has one id, that of its
message, so it is asked once.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bots.chat.callbacks import ButtonExpired
from bots.chat.command import Request
from bots.chat.reply import Choice, Phrase
from core.asks.types import QuestionSource
from core.pool.vault import Unsealable
from core.users.service import Users
from core.users.types import Person

#: The action of the buttons that ask one.
ASK_DRAFT_ACTION = "ask-draft"


@dataclass(frozen=True, slots=True)
class QuestionDraft:
    """A question as it will be asked; `model` is empty for the person's own."""

    ask: str
    text: str
    model: str = ""
    replies_to: str = ""
    sources: tuple[QuestionSource, ...] = ()


class QuestionDrafts:
    """Seals questions into buttons and opens them; nothing of them is stored in plain."""

    def __init__(self, users: Users) -> None:
        self._users = users

    async def make_choice(self, label: Phrase, draft: QuestionDraft, person: Person) -> Choice:
        """A button that asks it."""
        key = await self._users.get_data_key(person)
        plain = json.dumps(asdict(draft)).encode()
        sealed = base64.b64encode(key.seal(_context(draft.ask), plain)).decode()
        return Choice(label, ASK_DRAFT_ACTION, {"ask": draft.ask, "draft": sealed})

    async def open_draft(self, request: Request) -> QuestionDraft:
        """The question of a pressed button; raises `ButtonExpired` when it was erased."""
        key = await self._users.get_data_key(request.person)
        sealed = base64.b64decode(str(request.data["draft"]))
        try:
            found = json.loads(key.unseal(_context(str(request.data["ask"])), sealed))
        except Unsealable:
            raise ButtonExpired from None
        sources: Sequence[dict[str, str]] = found.pop("sources")
        return QuestionDraft(
            **found,
            sources=tuple(QuestionSource(**one) for one in sources),  # type: ignore[arg-type]
        )


def _context(ask: str) -> str:
    return f"draft/{ask}/question"
