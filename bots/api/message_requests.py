"""Requests for messages, as Anthropic's clients send them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, StringConstraints, Tag

from bots.api.errors import refuse_parameter, refuse_request
from bots.api.json_values import encode_text
from bots.api.requests import (
    ANSWER_LIMIT_MAX,
    MESSAGES_MAX,
    PARTS_MAX,
    PREFIX_ENDS_MAX,
    TOOL_NAME_PATTERN,
    TOOLS_MAX,
    ApiRequest,
    CacheControl,
    FieldRules,
    MarkedModel,
    WireModel,
    as_text_parts,
    build_message,
    check_messages,
    check_tools,
    count_prefix_ends,
    end_prefix,
    parse_picture,
    read_fields,
    write_extra_text,
)
from core.money import Tokens
from core.pool.providers.message_parts import (
    CallOptions,
    JsonForm,
    MessagePart,
    PicturePart,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from core.pool.providers.types import ChatMessage

#: Opens what stands in a thought's `signature` or `data`; None where it isn't ours.
OpenSeal = Callable[[str], ThinkingPart | None]

_SERVED: Final = frozenset(
    (
        *("model", "messages", "max_tokens", "stream", "system", "tools", "tool_choice"),
        *("stop_sequences", "thinking", "output_config", "cache_control"),
        *("temperature", "top_p", "top_k"),
    )
)
#: Who asks is told by us. What a client wants edited out of its own history stays in it, and is
#: counted.
_IGNORED: Final = frozenset(
    ("metadata", "context_management", "diagnostics", "user_profile_id", "workspace_id")
)
_HARMLESS: Final[dict[str, tuple[Any, ...]]] = {
    "service_tier": ("auto", "standard_only"),
    "speed": ("standard",),
    "container": (),
    "inference_geo": (),
    "mcp_servers": (),
    "billing_policy": (),
    "compaction": (),
    "fallback_credit_token": (),
    "fallbacks": (),
    "thread": (),
}
FIELD_RULES: Final = FieldRules(_SERVED, _IGNORED, _HARMLESS)


class TextBlock(MarkedModel):
    """A block of text; what it cites isn't read."""

    type: Literal["text"]
    text: str
    citations: JsonValue = None


class Base64Source(WireModel):
    """A picture that is in the request itself; addresses are not fetched."""

    type: Literal["base64"]
    media_type: str
    data: str


class ImageBlock(MarkedModel):
    """A block that is a picture."""

    type: Literal["image"]
    source: Base64Source
    transformations: None = None


class ToolUseBlock(MarkedModel):
    """A call of a tool by the model."""

    type: Literal["tool_use"]
    id: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,256}$")]
    name: Annotated[str, StringConstraints(pattern=TOOL_NAME_PATTERN)]
    input: dict[str, JsonValue]
    caller: JsonValue = None
    toolset_name: None = None


class ThinkingBlock(WireModel):
    """What a model thought, as we told it; only what we sealed goes back."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class RedactedBlock(WireModel):
    """What a model thought and its supplier hid."""

    type: Literal["redacted_thinking"]
    data: str


def _by_type(value: object) -> str:
    """The kind of a block; documents and what servers do are refused by name."""
    type_ = value.get("type") if isinstance(value, dict) else None
    if not isinstance(type_, str):
        return ""
    if type_ in {"document", "search_result", "container_upload"} or type_.startswith("server_"):
        raise refuse_parameter(f"content of type {type_[:64]}", "send its text")
    return type_


_ResultBlock = Annotated[
    Annotated[TextBlock, Tag("text")] | Annotated[ImageBlock, Tag("image")],
    Discriminator(_by_type),
]
_Blocks = Field(max_length=PARTS_MAX)


class ToolResultBlock(MarkedModel):
    """What a tool gave for a call."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Annotated[
        Annotated[list[_ResultBlock], _Blocks] | None, BeforeValidator(as_text_parts)
    ] = None
    is_error: bool | None = None
    toolset_name: None = None


_MessageBlock = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ToolResultBlock, Tag("tool_result")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[RedactedBlock, Tag("redacted_thinking")],
    Discriminator(_by_type),
]


class InputMessage(WireModel):
    """A message of the person, the model, or the system amid them."""

    role: Literal["user", "assistant", "system"]
    content: Annotated[list[_MessageBlock], BeforeValidator(as_text_parts), _Blocks]


class ClientTool(MarkedModel):
    """A tool that the client has; those of a supplier's servers aren't sold."""

    name: Annotated[str, StringConstraints(pattern=TOOL_NAME_PATTERN)]
    input_schema: dict[str, JsonValue]
    type: Literal["custom"] | None = None
    description: str | None = None
    strict: bool | None = None
    #: Without tools of servers everything is called by the model, and at once.
    allowed_callers: JsonValue = None
    defer_loading: Literal[False] | None = None
    eager_input_streaming: JsonValue = None
    input_examples: JsonValue = None


class ToolChoice(WireModel):
    """Whether and which tool must be called."""

    type: Literal["auto", "any", "none", "tool"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(WireModel):
    """How the model shall think, if at all."""

    type: Literal["adaptive", "enabled", "disabled"]
    budget_tokens: Annotated[int, Field(gt=0, le=ANSWER_LIMIT_MAX)] | None = None
    display: Literal["summarized", "omitted"] | None = None


class OutputFormat(WireModel):
    """The schema that the answer shall keep."""

    type: Literal["json_schema"]
    schema_: dict[str, JsonValue] = Field(alias="schema")


class OutputConfig(WireModel):
    """How much effort an answer is worth, and its form."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


_Share = Annotated[float, Field(ge=0, le=1)]


class CountedMessages(WireModel):
    """The fields of a request whose tokens are counted that are served."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    messages: Annotated[list[InputMessage], Field(min_length=1, max_length=MESSAGES_MAX)]
    system: Annotated[list[TextBlock], BeforeValidator(as_text_parts), _Blocks] = Field(default=[])
    tools: Annotated[list[ClientTool], Field(max_length=TOOLS_MAX)] = Field(default=[])
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None
    max_tokens: Annotated[int, Field(gt=0)] | None = None
    stream: bool = False
    stop_sequences: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=1_000)]],
        Field(max_length=16),
    ] = Field(default=[])
    temperature: _Share | None = None
    top_p: _Share | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None


class Messages(CountedMessages):
    """The fields of a request for a message that are served."""

    max_tokens: Annotated[int, Field(gt=0)]


def parse_messages_request(body: object, open_seal: OpenSeal) -> ApiRequest:
    """A body as what it asks for; raises `ApiError` for what isn't served."""
    return _build_request(read_fields(_refuse_server_tools(body), FIELD_RULES, Messages), open_seal)


def parse_count_request(body: object, open_seal: OpenSeal) -> ApiRequest:
    """The same where only tokens are counted: nothing says how long the answer may be."""
    checked = _refuse_server_tools(body)
    return _build_request(read_fields(checked, FIELD_RULES, CountedMessages), open_seal)


def _refuse_server_tools(body: object) -> object:
    """Names a supplier's own tools as what they are, before their fields are looked at."""
    tools = body.get("tools") if isinstance(body, dict) else None
    for number, tool in enumerate(tools if isinstance(tools, list) else ()):
        type_ = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(type_, str) and type_ != "custom":
            raise refuse_parameter(f"tools[{number}].type", f"{type_[:64]!r} runs on servers")
    return body


def _build_request(asked: CountedMessages, open_seal: OpenSeal) -> ApiRequest:
    options = _build_options(asked)
    check_tools(options.tools, options.named_tool)
    messages = _build_messages(asked, open_seal)
    check_messages(messages)
    ends = count_prefix_ends(messages, options.tools)
    if asked.cache_control is not None and ends < PREFIX_ENDS_MAX:
        messages = (*messages[:-1], end_prefix(messages[-1]))
    limit = asked.max_tokens
    return ApiRequest(
        model=asked.model,
        messages=messages,
        options=options,
        answer_limit=None if limit is None else Tokens(min(limit, ANSWER_LIMIT_MAX)),
        streams=asked.stream,
        includes_usage=True,
        extra_text=write_extra_text(options.tools, options.json_form),
    )


def _build_options(asked: CountedMessages) -> CallOptions:
    thinking, output = asked.thinking or Thinking(type="disabled"), asked.output_config
    budget = thinking.budget_tokens or 0
    if thinking.type == "enabled" and not budget:
        param = "thinking.budget_tokens"
        raise refuse_request(f"{param} is missing.", param=param, code="missing_parameter")
    if asked.max_tokens is not None and budget >= asked.max_tokens:
        text = "thinking.budget_tokens must be less than max_tokens."
        raise refuse_request(text, param="thinking.budget_tokens")
    choice = asked.tool_choice or ToolChoice(type="auto")
    if choice.type == "tool" and not choice.name:
        raise refuse_request("tool_choice.name is missing.", param="tool_choice.name")
    if choice.type == "any" and not asked.tools:
        raise refuse_request("tool_choice needs tools.", param="tool_choice")
    form = None if output is None or output.format is None else output.format
    return CallOptions(
        tools=tuple(
            Tool(one.name, one.description or "", one.input_schema, one.strict, one.ends_prefix)
            for one in asked.tools
        ),
        tool_choice=_CHOICES[choice.type] if asked.tool_choice is not None else "",
        named_tool=(choice.name or "") if choice.type == "tool" else "",
        calls_in_parallel=not choice.disable_parallel_tool_use,
        json_form=None if form is None else JsonForm(schema=form.schema_),
        effort="" if output is None else output.effort or "",
        thinking="" if asked.thinking is None else thinking.type,
        thinking_tokens=budget if thinking.type == "enabled" else 0,
        thinking_display=thinking.display or "",
        stop=tuple(asked.stop_sequences),
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
    )


_CHOICES: Final[dict[str, Literal["auto", "none", "required", "named"]]] = {
    "auto": "auto",
    "none": "none",
    "any": "required",
    "tool": "named",
}


def _build_messages(asked: CountedMessages, open_seal: OpenSeal) -> tuple[ChatMessage, ...]:
    messages = []
    if asked.system:
        messages.append(
            build_message("system", [TextPart(one.text, one.ends_prefix) for one in asked.system])
        )
    for number, one in enumerate(asked.messages):
        param = f"messages[{number}].content"
        parts = [
            built
            for at, block in enumerate(one.content)
            if (built := _build_part(block, one.role, f"{param}[{at}]", open_seal)) is not None
        ]
        messages.append(build_message(one.role, parts))
    return tuple(messages)


def _build_part(block: Any, role: str, param: str, open_seal: OpenSeal) -> MessagePart | None:
    """A block as a part; None for a thought that goes nowhere."""
    allowed: tuple[type[WireModel], ...] = {
        "assistant": (TextBlock, ToolUseBlock, ThinkingBlock, RedactedBlock),
        "user": (TextBlock, ImageBlock, ToolResultBlock),
    }.get(role, (TextBlock,))
    if not isinstance(block, allowed):
        raise refuse_request(f"{param} can't stand in a message of role {role}.", param=param)
    match block:
        case ThinkingBlock() | RedactedBlock():
            return _reopen_thought(block, open_seal)
        case ToolUseBlock():
            return ToolCallPart(block.id, block.name, encode_text(block.input), block.ends_prefix)
        case ToolResultBlock():
            content = tuple(_build_content(one, param) for one in block.content or ())
            is_error = bool(block.is_error)
            return ToolResultPart(block.tool_use_id, content, is_error, block.ends_prefix)
    assert isinstance(block, TextBlock | ImageBlock)
    return _build_content(block, param)


def _reopen_thought(
    block: ThinkingBlock | RedactedBlock, open_seal: OpenSeal
) -> ThinkingPart | None:
    is_hidden = isinstance(block, RedactedBlock)
    thought = open_seal(block.data if isinstance(block, RedactedBlock) else block.signature)
    if thought is None or bool(thought.redacted) != is_hidden:
        return None
    return replace(thought, text="" if isinstance(block, RedactedBlock) else block.thinking)


def _build_content(block: TextBlock | ImageBlock, param: str) -> TextPart | PicturePart:
    if isinstance(block, TextBlock):
        return TextPart(block.text, block.ends_prefix)
    source = block.source
    picture = parse_picture(source.media_type, source.data, f"{param}.source")
    return replace(picture, ends_prefix=block.ends_prefix)
