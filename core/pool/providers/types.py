"""What an adapter is: a call in, events of an answer out, and faults by what the pool does about
them.

One adapter speaks one wire format; a supplier is an adapter with an address. Adapters never retry,
never keep state, and never put a key, a prompt or a supplier's raw text into an error.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import SecretStr

from core.attachments.types import Picture
from core.money import NO_TOKENS, Seconds, Tokens
from core.pool.providers.message_parts import (
    CallOptions,
    MessagePart,
    PicturePart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    measure_part,
)

NO_AUDIO = Seconds(0)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A chat message is one message of a conversation, as it is sent to a model."""

    role: Literal["system", "user", "assistant"]
    text: str
    #: Pictures that go in front of the text, in their order.
    pictures: tuple[Picture, ...] = ()
    #: Its whole content in its order, where that is more than pictures and a text: then `text` and
    #: `pictures` are empty.
    parts: tuple[MessagePart, ...] = ()

    @property
    def content(self) -> tuple[MessagePart, ...]:
        """All that it holds, in order."""
        if self.parts:
            return self.parts
        pictures = tuple(PicturePart(one) for one in self.pictures)
        return (*pictures, TextPart(self.text)) if self.text else pictures

    def list_texts(self) -> list[str]:
        """All that counts of it as text, a part each."""
        texts = []
        for part in self.content:
            match part:
                case ToolCallPart(name=name, arguments=arguments):
                    texts.append(f"{name}{arguments}")
                case PicturePart():
                    continue
                case _:
                    texts.append(part.text)
        return texts

    def list_pictures(self) -> tuple[Picture, ...]:
        """Its pictures, those in tools' results too, in their order."""
        if not self.parts:
            return self.pictures
        found: list[Picture] = []
        for part in self.parts:
            inner = part.content if isinstance(part, ToolResultPart) else (part,)
            found += [one.picture for one in inner if isinstance(one, PicturePart)]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Usage:
    """A call's usage is counted alike for every supplier: `input` is the whole prompt, with its
    cached and cache-written parts; `output` includes `reasoning`, which is 0 where its supplier
    doesn't tell it apart; `audio` is what was transcribed."""

    input: Tokens
    output: Tokens
    cached: Tokens = NO_TOKENS
    cache_written: Tokens = NO_TOKENS
    audio: Seconds = NO_AUDIO
    reasoning: Tokens = NO_TOKENS


@dataclass(frozen=True, slots=True)
class AudioClip:
    """An audio clip is to be transcribed: it has a name whose ending is its format, and its
    bytes."""

    name: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PromptCache:
    """A supplier may keep a call's prompt and read it for less at the conversation's next question;
    this says where it finds it and whether keeping it pays."""

    #: A keyed hash that is this conversation's alone: calls with the same one go to where the last
    #: prompt was kept.
    key: str
    #: Whether the supplier was asked with the conversation's last prompt so lately that it has it.
    is_warm: bool = False
    #: Whether the conversation's next prompt will begin with this one.
    is_reusable: bool = False


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A call asks a model for an answer."""

    model: str
    messages: Sequence[ChatMessage]
    answer_limit: Tokens
    #: A stable hash of the person, where the supplier asks for one.
    end_user: str = ""
    #: Audio in place of messages: then the answer is its transcript.
    clip: AudioClip | None = None
    #: None where nothing follows that could begin with the same prompt.
    cache: PromptCache | None = None
    #: None for a question of a chat, which asks for nothing but an answer.
    options: CallOptions | None = None

    def measure_size(self) -> int:
        """How large it is as JSON, roughly, in bytes: counted where counting costs nothing."""
        size = 0 if self.options is None else self.options.tools_chars
        for message in self.messages:
            size += len(message.text)
            for part in message.parts:
                size += measure_part(part)
            for picture in message.list_pictures():
                size += len(picture.content)
        return size


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A stream event that brings the next piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A stream event that says that the model reasons: tokens are used. Chats show nothing of it;
    what is told of the thoughts is for whoever asked through the API."""

    text: str = ""
    #: The supplier's signature of the thoughts that this ends, or those that it hides.
    signature: str = ""
    redacted: str = ""


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A stream event that brings a piece of a tool's call: its id and name first, then pieces of
    the JSON text of its arguments. `index` counts an answer's calls from 0."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Finish:
    """A stream event that ends the answer. `usage` is None where the supplier reported none, which
    is not zero."""

    reason: Literal["stop", "length", "filtered", "tool_calls"]
    usage: Usage | None
    #: The stop sequence that the answer met; empty: none.
    stop_sequence: str = ""


@dataclass(frozen=True, slots=True)
class RateLimitInfo:
    """A stream event that says what an answer's headers tell of rate limits. `organisation` is the
    account's id (may be empty); for `wait_seconds` nothing is left of some limit."""

    organisation: str
    wait_seconds: float
    #: Requests that are left, for so many seconds; None where the headers don't say.
    requests_left: int | None = None
    reset_seconds: float = 0.0


StreamEvent = TextDelta | ReasoningDelta | ToolCallDelta | Finish | RateLimitInfo
#: What of a stream is an answer's own.
AnswerPiece = TextDelta | ReasoningDelta | ToolCallDelta


@dataclass(frozen=True, slots=True)
class CallTarget:
    """A call goes to a target: an address, and the key to send there. `account` is Cloudflare's
    account id, else empty."""

    base_url: str
    key: SecretStr
    account_id: str = ""


class Fault(enum.Enum):
    """Faults are the reasons why a call failed, by what the pool does about them. What the asker
    wrote never harms the key."""

    #: The supplier refuses the key: it is dead after a second refusal some time later.
    INVALID_KEY = "dead"
    #: The account has no money, or reached its spend limit: the key is parked for hours.
    NO_FUNDS = "broke"
    #: Too many requests: the key cools down as long as the supplier says, else longer each time.
    RATE_LIMITED = "throttled"
    #: The supplier is overloaded or failing: a short cooldown, and it counts for the circuit.
    UNAVAILABLE = "unwell"
    #: The key may not use this model: for a while it isn't chosen for it.
    MODEL_MISSING = "model_missing"
    #: The request is larger than the key may use in a minute: another key, or a shorter answer, may
    #: do; the key is fine.
    TOO_LARGE = "too_large"
    #: The prompt is too long for the model: the asker can change that, the key is fine.
    TOO_LONG = "too_long"
    #: The supplier's rules refuse the content: the asker can change that, the key is fine.
    REFUSED_CONTENT = "refused_content"
    #: The request itself is wrong: a bug of ours, the key is fine.
    BAD_REQUEST = "bad_request"
    #: No connection, or it broke.
    NETWORK = "network"
    #: Nothing came in time.
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class MinuteExcess:
    """A request is larger than a key may use of a model in a minute, in the supplier's own count of
    tokens: prompt and answer limit together."""

    limit: Tokens
    requested: Tokens


class SupplierFault(Exception):
    """A call to a supplier failed. This isn't a `Refusal`: it never reaches a person as it is."""

    def __init__(
        self,
        kind: Fault,
        *,
        status: int = 0,
        code: str = "",
        retry_after: float | None = None,
        is_of_model: bool = False,
        parameter: str = "",
        excess: MinuteExcess | None = None,
    ) -> None:
        super().__init__(f"{kind.value} (status {status}, code {code or 'none'})")
        self.kind, self.status, self.code = kind, status, code
        #: Seconds that the supplier asks to wait, where it says.
        self.retry_after = retry_after
        #: Whether the supplier says that it is about the model alone, not about the key.
        self.is_of_model = is_of_model
        #: The field of a wrong request that the server doesn't take, where it is one that can be
        #: left out or said otherwise.
        self.parameter = parameter
        #: By how much the request was too large, where the supplier says.
        self.excess = excess


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A key lists this model, by the supplier's own id; its context is in tokens, where that is
    listed."""

    id: str
    context: Tokens | None = None


class SupplierAdapter(Protocol):
    """An adapter makes calls in one wire format."""

    def stream(self, target: CallTarget, call: ModelCall) -> AsyncGenerator[StreamEvent, None]:
        """Yields events, perhaps `RateLimitInfo` first and a `Finish` last; raises `SupplierFault`,
        also mid-stream.

        Closing it early closes the connection.
        """
        ...

    async def list_models(self, target: CallTarget) -> list[ListedModel]:
        """The supplier's own list of models for this key; raises `SupplierFault`."""
        ...
