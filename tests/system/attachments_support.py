"""What tests of attachments share."""

from __future__ import annotations

from typing import Any

from tests.system import discord_support
from tests.system.world import World

PHOTO = [{"file_id": "p", "file_unique_id": "p", "width": 90, "height": 90, "file_size": 1_000}]
FILE = {"file_id": "d", "file_unique_id": "d", "file_size": 9_000}
#: A film without a name.
FILM = {**FILE, "width": 1, "height": 1, "duration": 3}


def asked(world: World | discord_support.World) -> list[str]:
    """What went to the model, one for each question."""
    service = world.service
    return [call.body["messages"][-1]["content"] for call in service.openai.calls]


def attached(name: str, mime: str) -> dict[str, Any]:
    url = "http://127.0.0.1/x"
    told = {"id": "77", "filename": name, "size": 5_000, "content_type": mime}
    return {"attachments": [told | {"url": url, "proxy_url": url}]}


def forward_of(text: str, channel: int) -> dict[str, Any]:
    """What Discord tells of a message that was forwarded from a channel."""
    snapshot = {
        "content": text,
        "embeds": [],
        "attachments": [],
        "flags": 0,
        "timestamp": "2026-01-01T00:00:00+00:00",
        "edited_timestamp": None,
        "mentions": [],
        "mention_roles": [],
        "type": 0,
    }
    reference = {"type": 1, "message_id": "5", "channel_id": str(channel)}
    return {"message_reference": reference, "message_snapshots": [{"message": snapshot}]}
