"""What a program asked, whatever wire it spoke, and how a wire's fields are read: each is served,
harmless and left out, or refused by its name. Nothing is left out in silence that would change the
answer or its price.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from bots.api.errors import ApiError, refuse_parameter, refuse_request
from bots.api.json_values import BadJson, encode_text, load_json
from core.attachments.reader import FileReader
from core.attachments.types import (
    PICTURES_MAX,
    FileProblem,
    FileUnreadable,
    Picture,
    PictureSize,
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

MESSAGES_MAX: Final = 2_000
PARTS_MAX: Final = 1_000
TOOLS_MAX: Final = 128
#: As both makers allow.
PREFIX_ENDS_MAX: Final = 4
#: More than any model writes.
ANSWER_LIMIT_MAX: Final = 10_000_000
TOOL_NAME_PATTERN: Final = r"^[a-zA-Z0-9_-]{1,128}$"
PICTURE_TYPES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
#: When a picture may be sent again that there was no time to read.
_BUSY_SECONDS: Final = 30
#: Of a picture that nobody has looked into yet.
_UNREAD: Final = PictureSize(0, 0)
#: What says nothing, as much as a field that isn't there.
_NO_VALUE: Final[tuple[Any, ...]] = (None, "", [], {})


class WireModel(BaseModel):
    """A part of a request as its wire has it: types as they are told, and no field beside them."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


WireModelT = TypeVar("WireModelT", bound=WireModel)


class CacheControl(WireModel):
    """The mark that ends what a supplier shall keep, for its usual five minutes."""

    type: Literal["ephemeral"]
    ttl: Literal["5m"] | None = None
    scope: JsonValue = None


class MarkedModel(WireModel):
    """What can end what a supplier shall keep, where one is asked that is told so."""

    cache_control: CacheControl | None = None

    @property
    def ends_prefix(self) -> bool:
        """Whether what stands up to here shall be kept."""
        return self.cache_control is not None


def as_text_parts(content: object) -> object:
    """Content as parts, also where it is a mere text; both wires write a part of text alike."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request, read and checked; its pictures are as they came until `read_pictures`."""

    #: The model's name as it was asked for.
    model: str
    messages: tuple[ChatMessage, ...] = field(repr=False)
    options: CallOptions = field(repr=False)
    answer_limit: Tokens | None
    streams: bool
    #: Whether a stream ends with what it cost.
    includes_usage: bool
    #: What counts beside the messages: tools and the answer's form, as compact JSON.
    extra_text: str = field(repr=False)
    prompt_cache_key: str = ""


@dataclass(frozen=True, slots=True)
class FieldRules:
    """What becomes of each field of a request, by its name."""

    served: frozenset[str]
    #: They change neither the answer nor its price; what they say isn't kept.
    ignored: frozenset[str]
    #: Refused, but for these values, which say what holds anyway.
    harmless: Mapping[str, Collection[Any]]
    #: Fields of another API, by which it is known, and what to say of it.
    reasons: Mapping[str, str] = field(default_factory=dict)


def read_fields(body: object, rules: FieldRules, kind: type[WireModelT]) -> WireModelT:
    """The served fields of a request's body; raises `ApiError` naming a field that isn't served or
    isn't as it must be. What is null at the top is as if it weren't there."""
    if not isinstance(body, dict):
        raise refuse_request("The body must be a JSON object.")
    for name in rules.reasons.keys() & body.keys():
        raise refuse_parameter(name, rules.reasons[name])
    served = {}
    for name, value in body.items():
        if name in rules.served:
            if value is not None:
                served[name] = value
        elif name in rules.harmless:
            if not is_harmless(value, rules.harmless[name]):
                raise refuse_parameter(name)
        elif name not in rules.ignored:
            raise refuse_parameter(_cut(name))
    try:
        return kind.model_validate(served)
    except ValidationError as error:
        raise _describe_invalid(error, served) from None


def is_harmless(value: object, allowed: Collection[Any]) -> bool:
    """Whether a value of a refused field says nothing, or what holds anyway."""
    # True and 1 are equal, but not the same.
    return any(type(value) is type(one) and value == one for one in (*_NO_VALUE, *allowed))


def _describe_invalid(error: ValidationError, served: object) -> ApiError:
    """Pydantic's first complaint in our words, without what was sent."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = _name_path(first["loc"], served)
    if first["type"] == "extra_forbidden":
        return refuse_parameter(param)
    if first["type"] == "missing":
        return refuse_request(f"{param} is missing.", param=param, code="missing_parameter")
    if first["type"] in {"union_tag_invalid", "literal_error", "union_tag_not_found"}:
        return refuse_request(
            f"{param} is of a kind that is not supported here.",
            param=param,
            code="unsupported_value",
        )
    message = f"{param} is not as it must be: {first['msg'][:200]}."
    return refuse_request(message, param=param, code="invalid_value")


def _name_path(places: Sequence[str | int], value: object) -> str:
    """Where in a request something is, as `messages[3].content[0].text`; the names of kinds that
    stand among the places are left out."""
    path = ""
    for number, place in enumerate(places):
        is_last = number == len(places) - 1
        if isinstance(place, int):
            path += f"[{place}]"
            value = value[place] if isinstance(value, list) and place < len(value) else None
        elif isinstance(value, dict) and place in (value.get("type"), value.get("role")):
            continue
        elif isinstance(value, dict) and (place in value or (is_last and _is_field(place))):
            path += f".{_cut(place)}" if path else _cut(place)
            value = value.get(place)
        elif not path:
            path = _cut(place)
    return path or "body"


def _is_field(place: str) -> bool:
    """Whether it can be a field that is missing: kinds of alternatives are written `kind[…]`, or
    begin with a capital."""
    return "[" not in place and place not in _ROLES and place[:1].islower()


#: By which messages are told apart.
_ROLES: Final = frozenset(("user", "assistant", "system", "developer", "tool"))


def _cut(name: str) -> str:
    """A stranger's name for a field, but not at any length."""
    return name[:64]


# --- pieces of messages -------------------------------------------------------------------------


def build_message(role: str, parts: Sequence[MessagePart]) -> ChatMessage:
    """A message of these parts: as a mere text where it is nothing else."""
    assert role in {"system", "user", "assistant"}
    if not parts:
        return ChatMessage(role, "")  # type: ignore[arg-type]
    if len(parts) == 1 and isinstance(one := parts[0], TextPart) and not one.ends_prefix:
        return ChatMessage(role, one.text)  # type: ignore[arg-type]
    return ChatMessage(role, "", parts=tuple(parts))  # type: ignore[arg-type]


def parse_arguments(arguments: str, param: str) -> str:
    """A call's arguments as the JSON text of an object; raises `ApiError` for anything else."""
    try:
        value = load_json(arguments or "{}")
    except BadJson:
        value = None
    if not isinstance(value, dict):
        raise refuse_request(f"{param} must be the JSON text of an object.", param=param)
    # An escape may have been half a sign.
    return encode_text(value) if "\\u" in arguments else arguments or "{}"


def parse_data_url(url: str, param: str) -> PicturePart:
    """The picture of a `data:` URL. Addresses are never fetched."""
    head, comma, data = url.partition(",")
    type_ = head.removeprefix("data:").removesuffix(";base64")
    if not (comma and head.startswith("data:") and head.endswith(";base64")):
        message = f"{param} must be a data: URL with base64; addresses are not fetched here."
        raise refuse_request(message, param=param, code="unsupported_value")
    return parse_picture(type_.partition(";")[0].lower(), data, param)


def parse_picture(type_: str, data: str, param: str) -> PicturePart:
    """A picture of base64, undecoded; raises `ApiError` where it is of no kind that is read."""
    if type_ not in PICTURE_TYPES:
        message = f"{param} must be a JPEG, PNG, GIF or WebP picture."
        raise refuse_request(message, param=param, code="unsupported_value")
    try:
        content = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        raise refuse_request(f"{param} holds no valid base64.", param=param)
    return PicturePart(Picture(content, _UNREAD))


def check_messages(messages: Sequence[ChatMessage]) -> None:
    """Raises `ApiError` where there is nothing to answer, where a tool's call and its result don't
    belong together, or where there is too much."""
    if all(one.role == "system" for one in messages):
        raise refuse_request("messages must hold a message to answer.", param="messages")
    open_calls: set[str] = set()
    for message in messages:
        if message.role == "assistant" and open_calls:
            raise _refuse_calls(open_calls)
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                open_calls.add(part.id)
            elif isinstance(part, ToolResultPart):
                if part.call not in open_calls:
                    text = f"A tool's result belongs to no call before it: {part.call[:64]!r}."
                    raise refuse_request(text, param="messages")
                open_calls.discard(part.call)
    if open_calls:
        raise _refuse_calls(open_calls)
    if _count_pictures(messages) > PICTURES_MAX:
        text = f"A request may hold {PICTURES_MAX} pictures at most."
        raise refuse_request(text, param="messages")


def _refuse_calls(calls: Collection[str]) -> ApiError:
    text = f"A tool's call has no result after it: {min(calls)[:64]!r}."
    return refuse_request(text, param="messages")


def count_prefix_ends(messages: Sequence[ChatMessage], tools: Iterable[Tool]) -> int:
    """In how many places what stands before shall be kept; raises `ApiError` for too many."""
    parts = [part for message in messages for part in message.parts]
    within = [one for part in parts if isinstance(part, ToolResultPart) for one in part.content]
    ends = sum(not isinstance(one, ThinkingPart) and one.ends_prefix for one in (*parts, *within))
    ends += sum(one.ends_prefix for one in tools)
    if ends > PREFIX_ENDS_MAX:
        text = f"cache_control may stand in {PREFIX_ENDS_MAX} places at most."
        raise refuse_request(text, param="cache_control")
    return ends


def end_prefix(message: ChatMessage) -> ChatMessage:
    """The same message with the mark at its end."""
    parts = message.content
    if not parts or isinstance(parts[-1], ThinkingPart):
        return message
    ended = (*parts[:-1], replace(parts[-1], ends_prefix=True))
    return ChatMessage(message.role, "", parts=ended)


def check_tools(tools: Sequence[Tool], named_tool: str) -> None:
    """Raises `ApiError` where tools share a name, or one is to be called that isn't there."""
    names = [one.name for one in tools]
    if len(set(names)) < len(names):
        raise refuse_request("Two tools have the same name.", param="tools")
    if named_tool and named_tool not in names:
        raise refuse_request("tool_choice names a tool that is not there.", param="tool_choice")


def write_extra_text(tools: Iterable[Tool], form: JsonForm | None) -> str:
    """Tools and the answer's form as compact JSON, to be counted; empty where there are none."""
    told: list[Any] = [
        {"name": one.name, "description": one.description, "parameters": one.schema}
        for one in tools
    ]
    if form is not None and form.schema is not None:
        told.append({"name": form.name, "description": form.description, "schema": form.schema})
    return encode_text(told) if told else ""


# --- pictures -----------------------------------------------------------------------------------


async def read_pictures(request: ApiRequest, reader: FileReader) -> ApiRequest:
    """The request with its pictures as models get them; raises `ApiError` for one that can't be
    read. The same picture is read once: clients send it again with each turn."""
    read: dict[bytes, Picture] = {}
    for picture in (picture for one in request.messages for picture in one.list_pictures()):
        content = picture.content
        if content not in read:
            try:
                read[content] = (await reader.read_picture(content)).whole
            except FileUnreadable as unreadable:
                raise _describe_unreadable(unreadable.problem) from None
    if not read:
        return request

    def put(part: Any) -> Any:
        if isinstance(part, PicturePart):
            return replace(part, picture=read[part.picture.content])
        if isinstance(part, ToolResultPart):
            return replace(part, content=tuple(put(one) for one in part.content))
        return part

    messages = tuple(
        replace(one, parts=tuple(put(part) for part in one.parts)) for one in request.messages
    )
    return replace(request, messages=messages)


def _describe_unreadable(problem: FileProblem) -> ApiError:
    if problem is FileProblem.SLOW:
        text = "A picture took too long to read."
        return ApiError(503, text, code="overloaded", retry_seconds=_BUSY_SECONDS)
    reason = {
        FileProblem.TOO_LARGE: "it is too large",
        FileProblem.TOO_MANY_PIXELS: "it has too many pixels",
        FileProblem.UNKNOWN_PICTURE: "it is no JPEG, PNG, GIF or WebP",
    }.get(problem, "it is damaged")
    text = f"A picture can't be read: {reason}."
    return refuse_request(text, param="messages", code="invalid_image")


# --- counts -------------------------------------------------------------------------------------


def list_texts(request: ApiRequest) -> list[str]:
    """All that counts of a request as text, a message or a part each."""
    return [*(text for one in request.messages for text in one.list_texts()), request.extra_text]


def count_pictures(request: ApiRequest) -> int:
    """How many pictures a request holds."""
    return _count_pictures(request.messages)


def _count_pictures(messages: Iterable[ChatMessage]) -> int:
    return sum(len(one.list_pictures()) for one in messages)
