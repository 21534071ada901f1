"""What a wire adapter is: a call in, pieces of an answer out, and each fault by what the pool does.

One adapter speaks one wire format; a supplier is an adapter with an address. Adapters never retry,
never keep state, and never put a key, a prompt or a supplier's raw text into an error.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import SecretStr

from core.money import Seconds, Tokens

NO_TOKENS, NO_AUDIO = Tokens(0), Seconds(0)


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation as sent to a model."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call used, in one meaning for every supplier: `input` is the whole prompt, the cached
    and cache-written parts included; `output` includes reasoning; `audio` was written down."""

    input: Tokens
    output: Tokens
    cached: Tokens = NO_TOKENS
    cache_written: Tokens = NO_TOKENS
    audio: Seconds = NO_AUDIO


@dataclass(frozen=True, slots=True)
class Clip:
    """Audio to be written down: a name whose ending tells suppliers its format, and its bytes."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a model. No sampling parameters: suppliers refuse them on current models."""

    model: str
    messages: Sequence[Message]
    answer_limit: Tokens
    #: A stable hash of the person, where the supplier asks for one.
    end_user: str = ""
    #: In place of messages: the answer is what is said in it.
    clip: Clip | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """The model thinks: tokens are spent, nothing is shown."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The answer's end. `usage` is None where the supplier told none, which is not zero."""

    reason: Literal["stop", "length", "filtered"]
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Limits:
    """What an answer's headers tell: the account's own id there (may be empty), and for how many
    seconds nothing is left of a limit."""

    organisation: str
    wait_seconds: float
    #: Requests that are left, for so many seconds; None where that isn't told.
    left: int | None = None
    left_seconds: float = 0.0


Piece = Text | Thinking | Finish | Limits


@dataclass(frozen=True, slots=True)
class Target:
    """Where and with which key a call goes. `account` is Cloudflare's account id, else empty."""

    base_url: str
    key: SecretStr
    account: str = ""


class Fault(enum.Enum):
    """Why a call failed, by what the pool does about it (providers.md § Pool classification)."""

    #: The key is refused: dead after a second refusal at another time.
    DEAD = "dead"
    #: No money or a spend limit behind it: parked, not retried.
    BROKE = "broke"
    #: Too many requests: cooled as long as the supplier says, else growing pauses.
    THROTTLED = "throttled"
    #: The supplier is overloaded or failing: cooled briefly, counts for its circuit.
    UNWELL = "unwell"
    #: This key may not use this model: its list is narrowed.
    MODEL_MISSING = "model_missing"
    #: The prompt is too long for the model: the asker's to mend, the key is fine.
    TOO_LONG = "too_long"
    #: The supplier's rules refuse the content: the asker's to mend, the key is fine.
    REFUSED_CONTENT = "refused_content"
    #: The request itself is wrong: ours to mend, the key is fine.
    BAD_REQUEST = "bad_request"
    #: No connection, or it broke.
    NETWORK = "network"
    #: Nothing came in time.
    TIMEOUT = "timeout"


class SupplierFault(Exception):
    """A call that failed. Not a refusal: it never reaches a person as it is."""

    def __init__(
        self, fault: Fault, *, status: int = 0, code: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(f"{fault.value} (status {status}, code {code or 'none'})")
        self.fault, self.status, self.code = fault, status, code
        #: Seconds that the supplier asks to wait, where it says.
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that a key can use, by the supplier's own id; context in tokens where it tells."""

    id: str
    context: Tokens | None = None


class Adapter(Protocol):
    """A wire format."""

    def stream(self, target: Target, call: Call) -> AsyncGenerator[Piece, None]:
        """Yields pieces, perhaps `Limits` first and a `Finish` last; raises `SupplierFault`, also
        mid-stream.

        Closing it early closes the connection.
        """
        ...

    async def models(self, target: Target) -> list[ListedModel]:
        """The supplier's own list of models for this key; raises `SupplierFault`."""
        ...
