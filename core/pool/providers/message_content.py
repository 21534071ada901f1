"""What a message holds, as each wire format writes it: a text, or parts where it has pictures.

A message without pictures stays a text: models that don't see, and older servers, take nothing
else. Pictures go in front of the text, as Anthropic asks and others don't mind. They are always
sent themselves: an address would tell a supplier where they come from, or outlive its use.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from core.attachments.types import Picture
from core.pool.providers.types import ChatMessage

#: Every supplier takes it; xAI takes nothing else but PNG.
_MEDIA_TYPE: Final = "image/jpeg"
#: Of a block of Anthropic's Messages up to whose end the prompt is kept.
CACHED: Final = {"cache_control": {"type": "ephemeral"}}


def build_openai_content(
    message: ChatMessage, *, sends_detail: bool, sends_bare_urls: bool
) -> str | list[dict[str, Any]]:
    """The content of a message of OpenAI's chat completions. `sends_detail` where the supplier
    knows that field: left out, OpenAI's newer models take a picture as it is, at five times the
    tokens. With `sends_bare_urls` a picture's URL stands alone, as Mistral writes it."""
    if not message.pictures:
        return message.text
    parts = [
        build_openai_picture(one, sends_detail=sends_detail, sends_bare_urls=sends_bare_urls)
        for one in message.pictures
    ]
    return parts + _build_text_part(message)


def build_openai_picture(
    picture: Picture, *, sends_detail: bool, sends_bare_urls: bool
) -> dict[str, Any]:
    """A picture as a part of OpenAI's chat completions."""
    url = f"data:{_MEDIA_TYPE};base64,{_encode(picture)}"
    detail = {"detail": "high"} if sends_detail else {}
    return {"type": "image_url", "image_url": url if sends_bare_urls else {"url": url, **detail}}


def build_anthropic_content(message: ChatMessage) -> str | list[dict[str, Any]]:
    """The content of a message of Anthropic's Messages."""
    if not message.pictures:
        return message.text
    return [build_anthropic_picture(one) for one in message.pictures] + _build_text_part(message)


def build_anthropic_picture(picture: Picture) -> dict[str, Any]:
    """A picture as a block of Anthropic's Messages."""
    source = {"type": "base64", "media_type": _MEDIA_TYPE, "data": _encode(picture)}
    return {"type": "image", "source": source}


def mark_cached(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content of a message of Anthropic's Messages up to whose end the prompt is kept."""
    parts = as_blocks(content)
    return [*parts[:-1], parts[-1] | CACHED]


def as_blocks(content: str | list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content of a message of Anthropic's Messages as blocks, also where it is a text."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _build_text_part(message: ChatMessage) -> list[dict[str, Any]]:
    """Neither takes a text part that is empty."""
    return [{"type": "text", "text": message.text}] if message.text else []


def _encode(picture: Picture) -> str:
    """Base64 on one line. It is built for each call: three milliseconds a megabyte cost less than
    the memory would for as long as an answer runs."""
    return base64.b64encode(picture.content).decode("ascii")
