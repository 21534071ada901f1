"""The messages of a request to the sandbox: texts, or lists of texts and pictures, in the forms of
both wires."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bots.sandbox.pictures import (
    PICTURE_FORMATS,
    PictureUnreadable,
    SeenPicture,
    SentPicture,
    look_at_picture,
)

_ROLES: Final = {"system", "developer", "user", "assistant", "tool"}
_SYSTEM_ROLES: Final = {"system", "developer"}
_CALL_ID_CHARS_MAX: Final = 40
_DETAILS: Final = {"auto", "low", "high", "original"}
_DATA_URL: Final = re.compile(r"data:([a-z]+/[a-z]+);base64,(.+)")
#: Whose pictures are an address alone, without an object around it.
_BARE_ADDRESS_SUPPLIER: Final = "mistral"
#: Who knows `image` blocks.
_BLOCK_SUPPLIER: Final = "anthropic"


class RequestRefused(Exception):
    """The request is refused, as the real supplier would refuse it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True, slots=True)
class SandboxMessage:
    """A message that was found good."""

    role: str
    text: str
    pictures: tuple[SentPicture, ...] = ()
    #: The ids of the tools' calls in an answer, or of the one that a result is of.
    calls: tuple[str, ...] = ()


def find_last_message(messages: Sequence[SandboxMessage]) -> SandboxMessage:
    """The last message that isn't the system's: some programs tell more of that at the end."""
    said = (one for one in reversed(messages) if one.role not in _SYSTEM_ROLES)
    return next(said, messages[-1])


def parse_messages(value: Any, supplier: str) -> tuple[SandboxMessage, ...]:
    """The messages of a request; raises `RequestRefused` for what this supplier doesn't take."""
    if not isinstance(value, list) or not value:
        raise _refuse("'messages' is empty.")
    messages = tuple(_parse_message(message, supplier) for message in value)
    _check_loops(messages)
    return messages


def look_at_pictures(messages: Sequence[SandboxMessage]) -> list[list[SeenPicture]]:
    """The pictures of each message, looked at, in a thread; raises `RequestRefused` where one can't
    be decoded."""
    try:
        return [[look_at_picture(one) for one in message.pictures] for message in messages]
    except PictureUnreadable:
        raise _refuse("A picture could not be decoded.", "invalid_image") from None


def _check_loops(messages: Sequence[SandboxMessage]) -> None:
    """Each call has its result right after it, and each result its call."""
    open_calls: set[str] = set()
    is_in_loop = False
    for message in messages:
        if message.role == "tool":
            if not is_in_loop:
                raise _refuse("A message of a tool must follow one with 'tool_calls'.")
            if message.calls[0] not in open_calls:
                raise _refuse("'tool_call_id' is not found in 'tool_calls' before.")
            open_calls.discard(message.calls[0])
            continue
        if open_calls:
            break
        open_calls, is_in_loop = set(message.calls), bool(message.calls)
    if open_calls:
        raise _refuse("'tool_calls' must be followed by a message for each 'tool_call_id'.")


def _parse_calls(message: Mapping[str, Any]) -> tuple[list[str], tuple[str, ...]]:
    """The texts of an answer's calls, as they count in a prompt, and their ids."""
    texts, ids = [], []
    calls = message.get("tool_calls")
    if calls is not None and (not isinstance(calls, list) or not calls):
        raise _refuse("'tool_calls' is empty.")
    for call in calls or ():
        function = call.get("function") if isinstance(call, dict) else None
        told: Mapping[str, Any] = function if isinstance(function, dict) else {}
        said = (told.get("name"), told.get("arguments"))
        id_ = call.get("id") if isinstance(call, dict) else None
        if not all(isinstance(one, str) for one in (*said, id_)):
            raise _refuse("A call needs an id, a name, and its arguments as a text.")
        if not 0 < len(str(id_)) <= _CALL_ID_CHARS_MAX:
            raise _refuse("The id of a call is empty or too long.")
        texts.append(" ".join(map(str, said)))
        ids.append(str(id_))
    return texts, tuple(ids)


def _parse_message(message: Any, supplier: str) -> SandboxMessage:
    role, content = (
        (message.get("role"), message.get("content")) if isinstance(message, dict) else ("", None)
    )
    if not isinstance(role, str) or role not in _ROLES:
        raise _refuse("A message needs a role and a content.")
    if role == "assistant" and "tool_calls" in message:
        texts, calls = _parse_calls(message)
        said = [content] if isinstance(content, str) else []
        return SandboxMessage(role, "\n".join(said + texts), calls=calls)
    calls = ()
    if role == "tool":
        if not isinstance(call := message.get("tool_call_id"), str):
            raise _refuse("A message of a tool needs a 'tool_call_id'.")
        calls = (call,)
    if isinstance(content, str):
        return SandboxMessage(role, content, calls=calls)
    if not isinstance(content, list) or not content:
        raise _refuse("A message's content is a text or a list of parts.")
    parts = [_parse_part(part, supplier) for part in content]
    pictures = tuple(part for part in parts if isinstance(part, SentPicture))
    if pictures and role != "user":
        raise _refuse("Pictures stand in messages of users alone.")
    text = "\n".join(part for part in parts if isinstance(part, str))
    return SandboxMessage(role, text, pictures, calls)


def _parse_part(part: Any, supplier: str) -> str | SentPicture:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(text := part.get("text"), str):
        return text
    if kind == "image_url":
        return _parse_address(part.get("image_url"), supplier)
    if kind == "image" and supplier == _BLOCK_SUPPLIER:
        return _parse_source(part.get("source"))
    raise _refuse("A part of a message is of no known type.")


def _parse_address(value: Any, supplier: str) -> SentPicture:
    """A picture as OpenAI's wire has it: an address that is the picture itself."""
    if isinstance(value, dict):
        is_known = value.keys() <= {"url", "detail"} and value.get("detail", "auto") in _DETAILS
        address = value.get("url") if is_known else None
    else:
        address = value if supplier == _BARE_ADDRESS_SUPPLIER else None
    found = _DATA_URL.fullmatch(address) if isinstance(address, str) else None
    if found is None:
        raise _refuse("'image_url' is not understood.")
    return _make_picture(found[1], found[2])


def _parse_source(value: Any) -> SentPicture:
    """A picture as Anthropic's wire has it: a block with its bytes."""
    source: Mapping[str, Any] = value if isinstance(value, dict) else {}
    if source.get("type") != "base64":
        raise _refuse("'source' is not understood.")
    return _make_picture(source.get("media_type"), source.get("data"))


def _make_picture(media_type: Any, data: Any) -> SentPicture:
    if media_type not in PICTURE_FORMATS or not isinstance(data, str):
        raise _refuse("This is no picture of a known format.", "invalid_image_format")
    return SentPicture(media_type, data)


def _refuse(message: str, code: str = "invalid_value") -> RequestRefused:
    return RequestRefused(400, code, message)
