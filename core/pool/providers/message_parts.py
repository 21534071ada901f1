"""What the messages of a tool loop are made of, and what such a call asks for beside an answer's
text: tools, a form of the answer, how much is thought about it.

Chats send texts and pictures alone (`ChatMessage`); whoever speaks a supplier's wire through us
sends these, in an order that must stay as it is: a supplier signs its thoughts where they stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from core.attachments.types import Picture


@dataclass(frozen=True, slots=True)
class TextPart:
    """A piece of text. `ends_prefix`: a supplier shall keep the prompt up to here."""

    text: str
    ends_prefix: bool = False


@dataclass(frozen=True, slots=True)
class PicturePart:
    """A picture where it stands among texts and results. `ends_prefix` as a text's."""

    picture: Picture = field(repr=False)
    ends_prefix: bool = False


@dataclass(frozen=True, slots=True)
class ToolCallPart:
    """A model's call of a tool; `arguments` is the JSON text of an object."""

    id: str
    name: str
    arguments: str
    ends_prefix: bool = False


@dataclass(frozen=True, slots=True)
class ToolResultPart:
    """What a tool gave for the call of that id."""

    call: str
    content: tuple[TextPart | PicturePart, ...]
    is_error: bool = False
    ends_prefix: bool = False

    @property
    def text(self) -> str:
        """Its texts, joined."""
        return "".join(one.text for one in self.content if isinstance(one, TextPart))


@dataclass(frozen=True, slots=True)
class ThinkingPart:
    """What a model thought, signed by its supplier for the account of one key; `redacted` in place
    of the text where the supplier hides it. Only that `key` takes it back."""

    text: str
    signature: str
    key: str
    redacted: str = ""


MessagePart = TextPart | PicturePart | ToolCallPart | ToolResultPart | ThinkingPart


def measure_part(part: MessagePart) -> int:
    """How many characters it holds, without pictures."""
    match part:
        case TextPart(text=text):
            return len(text)
        case ToolCallPart(arguments=arguments):
            return len(arguments)
        case ToolResultPart(content=content):
            return sum(len(one.text) for one in content if isinstance(one, TextPart))
        case ThinkingPart(text=text, signature=signature, redacted=redacted):
            return len(text) + len(signature) + len(redacted)
        case PicturePart():
            return 0


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call; `schema` is the JSON schema of its arguments, an object."""

    name: str
    description: str
    schema: Mapping[str, Any]
    #: None: the supplier's default.
    is_strict: bool | None = None
    ends_prefix: bool = False


@dataclass(frozen=True, slots=True)
class JsonForm:
    """The answer shall be JSON; by a schema where there is one."""

    name: str = ""
    schema: Mapping[str, Any] | None = None
    is_strict: bool | None = None
    description: str = ""


#: none, minimal … max: OpenAI's words; Anthropic knows low, medium, high, xhigh and max.
Effort = Literal["", "none", "minimal", "low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What a call asks for beside an answer to its messages."""

    tools: tuple[Tool, ...] = ()
    #: The name of the tool that must be called is in `named_tool`.
    tool_choice: Literal["", "auto", "none", "required", "named"] = ""
    named_tool: str = ""
    calls_in_parallel: bool = True
    json_form: JsonForm | None = None
    effort: Effort = ""
    #: How Anthropic's models shall think: as they like, so many tokens, not at all; empty: unsaid.
    thinking: Literal["", "adaptive", "enabled", "disabled"] = ""
    thinking_tokens: int = 0
    #: Whether thoughts are shown summarized, or left out; empty: unsaid.
    thinking_display: Literal["", "summarized", "omitted"] = ""
    stop: tuple[str, ...] = ()
    #: Sampling, for servers that take it; None: unsaid.
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    #: How long its tools and form are as JSON, where that is known.
    tools_chars: int = field(default=0, compare=False)

    def without_sampling(self) -> Self:
        """The same for a model that refuses sampling parameters, as all current ones do."""
        return replace(
            self,
            temperature=None,
            top_p=None,
            top_k=None,
            presence_penalty=None,
            frequency_penalty=None,
            seed=None,
        )
