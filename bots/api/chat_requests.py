"""Requests for chat completions, as OpenAI's clients send them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Field, JsonValue, StringConstraints, Tag

from bots.api.errors import refuse_parameter, refuse_request
from bots.api.requests import (
    ANSWER_LIMIT_MAX,
    MESSAGES_MAX,
    PARTS_MAX,
    TOOL_NAME_PATTERN,
    TOOLS_MAX,
    ApiRequest,
    FieldRules,
    MarkedModel,
    WireModel,
    as_text_parts,
    build_message,
    check_messages,
    check_tools,
    count_prefix_ends,
    end_prefix,
    parse_arguments,
    parse_data_url,
    read_fields,
    write_extra_text,
)
from core.money import Tokens
from core.pool.providers.message_parts import (
    CallOptions,
    Effort,
    JsonForm,
    MessagePart,
    PicturePart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from core.pool.providers.types import ChatMessage

_SERVED: Final = frozenset(
    (
        *("model", "messages", "max_tokens", "max_completion_tokens", "stream", "stream_options"),
        *("tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort"),
        *("stop", "temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty"),
        *("seed", "prompt_cache_key", "usage", "reasoning"),
    )
)
#: Who asks is told by us; nothing is stored here, nor at suppliers; how much is said of an answer's
#: length and of caches are wishes, which are granted to nobody.
_IGNORED: Final = frozenset(
    ("user", "safety_identifier", "metadata", "store", "verbosity", "prompt_cache_options")
)
_HARMLESS: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "service_tier": ("auto", "default", "standard"),
    "prompt_cache_retention": ("in_memory", "in-memory"),
    "modalities": (["text"],),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": (),
    "functions": (),
    "function_call": (),
    "audio": (),
    "prediction": (),
    "moderation": (),
    "web_search_options": (),
}
#: Some editors send that API's requests here, by the model's name.
_REASONS: Final = {"input": "it is of the Responses API, which isn't served; messages are"}
FIELD_RULES: Final = FieldRules(_SERVED, _IGNORED, _HARMLESS, _REASONS)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class TextContent(MarkedModel):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str
    #: Caches are the suppliers' own here.
    prompt_cache_breakpoint: JsonValue = None


class RefusalContent(WireModel):
    """A part of an answer in which the model said no."""

    type: Literal["refusal"]
    refusal: str


class ImageUrl(WireModel):
    """Where a picture is: in the URL itself."""

    url: str
    #: Pictures are seen whole.
    detail: JsonValue = None


class ImageContent(MarkedModel):
    """A part of a message that is a picture."""

    type: Literal["image_url"]
    image_url: ImageUrl
    prompt_cache_breakpoint: JsonValue = None


def _by_type(value: object) -> str:
    """The kind of a part; what isn't told apart is refused by its name."""
    type_ = value.get("type") if isinstance(value, dict) else None
    if isinstance(type_, str) and type_ in {"input_audio", "file"}:
        raise refuse_parameter(f"content of type {type_}")
    return type_ if isinstance(type_, str) else ""


_UserPart = Annotated[
    Annotated[TextContent, Tag("text")] | Annotated[ImageContent, Tag("image_url")],
    Discriminator(_by_type),
]
_AnswerPart = Annotated[
    Annotated[TextContent, Tag("text")] | Annotated[RefusalContent, Tag("refusal")],
    Discriminator(_by_type),
]
_Parts = Field(max_length=PARTS_MAX)
_TextParts = Annotated[list[TextContent], BeforeValidator(as_text_parts), _Parts]


class SystemMessage(MarkedModel):
    """What the model shall know and do, before or amid what is said."""

    role: Literal["system", "developer"]
    content: _TextParts
    name: str | None = None


class UserMessage(MarkedModel):
    """What the person says, in parts."""

    role: Literal["user"]
    content: Annotated[list[_UserPart], BeforeValidator(as_text_parts), _Parts]
    name: str | None = None


class CalledFunction(WireModel):
    """Which function was called, and with what."""

    name: Annotated[str, StringConstraints(pattern=TOOL_NAME_PATTERN)]
    arguments: str


class FunctionCall(WireModel):
    """A call of a tool by the model."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    function: CalledFunction
    type: Literal["function"] = "function"
    #: As streams number them; some clients send it back.
    index: int | None = None


class AssistantMessage(MarkedModel):
    """What the model said; what beside text and calls comes back to us of it isn't read."""

    role: Literal["assistant"]
    content: Annotated[
        Annotated[list[_AnswerPart], _Parts] | None, BeforeValidator(as_text_parts)
    ] = None
    tool_calls: Annotated[list[FunctionCall], Field(max_length=TOOLS_MAX)] | None = None
    refusal: str | None = None
    name: str | None = None
    annotations: JsonValue = None
    reasoning_content: JsonValue = None
    reasoning: JsonValue = None
    audio: None = None
    function_call: None = None


class ToolMessage(MarkedModel):
    """What a tool gave for a call."""

    role: Literal["tool"]
    tool_call_id: str
    content: Annotated[list[_UserPart], BeforeValidator(as_text_parts), _Parts]
    name: str | None = None


_Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class FunctionDefinition(WireModel):
    """What a tool is called, does and takes."""

    name: Annotated[str, StringConstraints(pattern=TOOL_NAME_PATTERN)]
    description: str | None = None
    parameters: dict[str, JsonValue] | None = None
    strict: bool | None = None


class FunctionTool(MarkedModel):
    """A tool that the model may call."""

    type: Literal["function"]
    function: FunctionDefinition


class FunctionName(WireModel):
    """The name of the function that must be called."""

    name: str


class NamedChoice(WireModel):
    """The choice of one tool, which must be called."""

    type: Literal["function"]
    function: FunctionName


class SchemaForm(WireModel):
    """The schema that the answer shall keep."""

    name: str
    description: str | None = None
    schema_: dict[str, JsonValue] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(WireModel):
    """The form of the answer: text, any JSON, or JSON by a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaForm | None = None


class StreamOptions(WireModel):
    """What a stream tells beside the answer."""

    include_usage: bool | None = None
    include_obfuscation: JsonValue = None


class UsageOptions(WireModel):
    """OpenRouter's words for a stream that tells what it used; whole answers always do."""

    include: bool | None = None


class Reasoning(WireModel):
    """OpenRouter's words for how much thought an answer is worth."""

    effort: Effort | None = None
    #: Thoughts are told.
    exclude: Literal[False] | None = None


_Share = Annotated[float, Field(ge=0, le=1)]
_Penalty = Annotated[float, Field(ge=-2, le=2)]
_Limit = Annotated[int, Field(gt=0)]


class ChatCompletion(WireModel):
    """The fields of a request for a chat completion that are served."""

    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    messages: Annotated[list[_Message], Field(min_length=1, max_length=MESSAGES_MAX)]
    max_tokens: _Limit | None = None
    max_completion_tokens: _Limit | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    usage: UsageOptions | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=TOOLS_MAX)] = Field(default=[])
    tool_choice: Literal["none", "auto", "required"] | NamedChoice = "auto"
    parallel_tool_calls: bool = True
    response_format: ResponseFormat | None = None
    reasoning_effort: Effort = ""
    reasoning: Reasoning | None = None
    stop: Annotated[
        list[Annotated[str, StringConstraints(min_length=1, max_length=1_000)]],
        BeforeValidator(_as_list),
        Field(max_length=4),
    ] = Field(default=[])
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: _Share | None = None
    top_k: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    seed: Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)] | None = None
    prompt_cache_key: Annotated[str, StringConstraints(max_length=1_024)] = ""


def parse_chat_request(body: object) -> ApiRequest:
    """A body as what it asks for; raises `ApiError` for what isn't served."""
    asked = read_fields(body, FIELD_RULES, ChatCompletion)
    options = _build_options(asked)
    check_tools(options.tools, options.named_tool)
    messages = _build_messages(asked.messages)
    check_messages(messages)
    _check_open_form(options.json_form, messages)
    count_prefix_ends(messages, options.tools)
    limits = [one for one in (asked.max_tokens, asked.max_completion_tokens) if one is not None]
    told, also = asked.stream_options, asked.usage
    return ApiRequest(
        model=asked.model,
        messages=messages,
        options=options,
        answer_limit=Tokens(min(*limits, ANSWER_LIMIT_MAX)) if limits else None,
        streams=asked.stream,
        includes_usage=bool((told and told.include_usage) or (also and also.include)),
        extra_text=write_extra_text(options.tools, options.json_form),
        prompt_cache_key=asked.prompt_cache_key,
    )


def _build_options(asked: ChatCompletion) -> CallOptions:
    tools = tuple(
        Tool(
            name=one.function.name,
            description=one.function.description or "",
            schema=one.function.parameters or {},
            is_strict=one.function.strict,
            ends_prefix=one.ends_prefix,
        )
        for one in asked.tools
    )
    effort = asked.reasoning_effort or (asked.reasoning and asked.reasoning.effort) or ""
    choice = asked.tool_choice
    named = choice.function.name if isinstance(choice, NamedChoice) else ""
    if choice == "required" and not tools:
        raise refuse_request("tool_choice needs tools.", param="tool_choice")
    return CallOptions(
        tools=tools,
        tool_choice="named" if isinstance(choice, NamedChoice) else choice if tools else "",
        named_tool=named,
        calls_in_parallel=asked.parallel_tool_calls,
        json_form=_build_form(asked.response_format),
        effort=effort,
        thinking=_choose_thinking(effort),
        stop=tuple(asked.stop),
        temperature=asked.temperature,
        top_p=asked.top_p,
        top_k=asked.top_k,
        presence_penalty=asked.presence_penalty,
        frequency_penalty=asked.frequency_penalty,
        seed=asked.seed,
    )


def _choose_thinking(effort: Effort) -> Literal["", "adaptive", "disabled"]:
    """How Anthropic's models shall think for an effort of OpenAI's words."""
    if not effort:
        return ""
    return "disabled" if effort == "none" else "adaptive"


def _build_form(told: ResponseFormat | None) -> JsonForm | None:
    if told is None or told.type == "text":
        return None
    if told.type == "json_object":
        return JsonForm()
    param = "response_format.json_schema"
    if told.json_schema is None:
        raise refuse_request(f"{param} is missing.", param=param, code="missing_parameter")
    form = told.json_schema
    return JsonForm(form.name, form.schema_ or {}, form.strict, form.description or "")


def _check_open_form(form: JsonForm | None, messages: Sequence[ChatMessage]) -> None:
    """Raises `ApiError` where JSON without a schema is asked for by the form alone: suppliers want
    it to be said, too, and models that aren't told write blanks until their limit."""
    if form is None or form.schema is not None:
        return
    texts = (text for message in messages for text in message.list_texts())
    if not any("json" in text.lower() for text in texts):
        text = "response_format json_object needs the word JSON in a message."
        raise refuse_request(text, param="response_format")


def _build_messages(told: Sequence[_Message]) -> tuple[ChatMessage, ...]:
    messages: list[ChatMessage] = []
    results: list[MessagePart] = []
    for number, one in enumerate(told):
        param = f"messages[{number}].content"
        if isinstance(one, ToolMessage):
            content = tuple(_build_part(part, param) for part in one.content)
            results.append(ToolResultPart(one.tool_call_id, content, ends_prefix=one.ends_prefix))
            continue
        if results:  # all of a turn are one message
            messages.append(build_message("user", results))
            results = []
        if isinstance(one, AssistantMessage):
            built = build_message("assistant", _build_answer_parts(one, number))
        else:
            role = "user" if isinstance(one, UserMessage) else "system"
            built = build_message(role, [_build_part(p, param) for p in one.content])
        messages.append(end_prefix(built) if one.ends_prefix else built)
    if results:
        messages.append(build_message("user", results))
    return tuple(messages)


def _build_part(part: TextContent | ImageContent, param: str) -> TextPart | PicturePart:
    if isinstance(part, TextContent):
        return TextPart(part.text, part.ends_prefix)
    picture = parse_data_url(part.image_url.url, f"{param}.image_url.url")
    return replace(picture, ends_prefix=part.ends_prefix)


def _build_answer_parts(message: AssistantMessage, number: int) -> list[MessagePart]:
    told = message.content or []
    texts = [one.text if isinstance(one, TextContent) else one.refusal for one in told]
    if message.refusal and not texts:
        texts = [message.refusal]
    parts: list[MessagePart] = [TextPart(text) for text in texts if text]
    for at, call in enumerate(message.tool_calls or ()):
        param = f"messages[{number}].tool_calls[{at}].function.arguments"
        arguments = parse_arguments(call.function.arguments, param)
        parts.append(ToolCallPart(call.id, call.function.name, arguments))
    return parts
