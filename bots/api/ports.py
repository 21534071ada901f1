"""What the API needs of the service, as far as it needs it: who asks, what they may spend, the ask
itself and what was answered before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from core.api_tokens.types import ApiToken
from core.asks.api_calls import AnswerFeed
from core.asks.types import AskResult, Question, Quote
from core.money import Credits
from core.pool.types import Candidate
from core.users.balances import SpendableBalance
from core.users.types import Person


class ApiTokens(Protocol):
    """Knows tokens by their secrets, and what each spent."""

    async def authenticate(self, secret: str, address: str) -> ApiToken:
        """The token of a secret; raises `InvalidToken`, `NetworkNotAllowed`."""
        ...

    async def record_use(self, token: ApiToken, address: str) -> None:
        """Remembers that and from where it was used."""
        ...

    async def measure_day(self, token: str) -> Credits:
        """What a token's asks of this UTC day were charged, and hold."""
        ...

    async def prepare_day(self, token: str, day: int) -> None:
        """Has what a token spends on a UTC day counted; to be called before it asks."""
        ...


class ApiRun(Protocol):
    """An ask by a program while it runs."""

    result: asyncio.Future[AskResult]

    @property
    def id(self) -> str:
        """The ask's id."""
        ...

    @property
    def feed(self) -> AnswerFeed | None:
        """The pieces of its answer; never None for what a program asked."""
        ...

    @property
    def candidate(self) -> Candidate:
        """The key that serves it now."""
        ...

    @property
    def quote(self) -> Quote:
        """What was held for it."""
        ...

    def stop(self, *, by_asker: bool = True) -> None:
        """Nobody reads on: by the doing of whoever asked, who pays for what came, or by ours."""
        ...


class ApiAsks(Protocol):
    """Admits what programs ask, and serves it."""

    async def start_ask(self, question: Question) -> ApiRun:
        """Admits a question and begins to serve it; raises a `Refusal`, nothing held then."""
        ...


@dataclass(frozen=True, slots=True)
class KeptReply:
    """What is kept of an ask that came with an idempotency key."""

    #: Of what was asked.
    digest: bytes = field(repr=False)
    #: How it ended; None while it runs.
    result: AskResult | None = None
    #: Its answer's pieces, as `encode_pieces` makes them; None where it has none.
    encoded: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False)
    #: The key that served it.
    key: str = ""


class ApiReplies(Protocol):
    """Keeps answers for requests that come again."""

    async def find_reply(self, ask: str) -> KeptReply | None:
        """What is kept of an ask; None where nothing is, or no longer."""
        ...


class PeopleBalances(Protocol):
    """Reads what each person can spend now."""

    async def for_user(self, person: str) -> SpendableBalance:
        """What a person can spend now."""
        ...


FindPerson = Callable[[str], Awaitable[Person]]
