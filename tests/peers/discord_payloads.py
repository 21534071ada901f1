"""The fake Discord's world as JSON, as the real one tells it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.peers.discord_store import Store
from tests.peers.discord_world import (
    DM,
    EPHEMERAL,
    TEXT,
    THREAD,
    Channel,
    Interaction,
    Message,
    User,
)


class Payloads:
    """What the fake tells of what it remembers."""

    bot: User
    users: dict[int, User]
    channels: dict[int, Channel]
    store: Store

    def message_json(self, message: Message) -> dict[str, Any]:
        channel = self.channels[message.channel]
        content: dict[str, Any] = {
            "id": str(message.id),
            "channel_id": str(message.channel),
            "author": message.author.as_json(),
            "content": message.content,
            "timestamp": datetime.now(UTC).isoformat(),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [],
            "embeds": [],
            "pinned": False,
            "type": 0,
            "flags": EPHEMERAL if message.only_for is not None else 0,
            "components": message.components,
        }
        if channel.guild is not None:
            content |= {"guild_id": str(channel.guild), "member": member_json()}
        return content

    def channel_json(self, channel: Channel) -> dict[str, Any]:
        told: dict[str, Any] = {"id": str(channel.id), "type": channel.type, "name": "talk"}
        if channel.person is not None:
            return told | {"recipients": [self.users[channel.person].as_json()]}
        told |= {"guild_id": str(channel.guild), "position": 0, "permission_overwrites": []}
        if channel.parent is not None:
            metadata = {"archived": False, "auto_archive_duration": 60, "locked": False}
            metadata["archive_timestamp"] = datetime.now(UTC).isoformat()
            told |= {
                "parent_id": str(channel.parent),
                "owner_id": str(self.bot.id),
                "thread_metadata": metadata,
                "message_count": 0,
                "member_count": 1,
            }
        return told

    def guild_json(self, guild: int) -> dict[str, Any]:
        inside = [each for each in self.channels.values() if each.guild == guild]
        everyone = {"id": str(guild), "name": "@everyone", "permissions": "0", "position": 0}
        everyone |= {"color": 0, "hoist": False, "managed": False, "mentionable": False}
        return {
            "id": str(guild),
            "name": "Server",
            "owner_id": "1",
            "unavailable": False,
            "member_count": 3,
            "roles": [everyone],
            "channels": [self.channel_json(each) for each in inside if each.type == TEXT],
            "threads": [self.channel_json(each) for each in inside if each.type == THREAD],
            "members": [{**member_json(), "user": self.bot.as_json()}],
            "emojis": [], "stickers": [], "features": [], "voice_states": [], "presences": [],
        }  # fmt: skip

    def interaction_json(self, made: Interaction, data: dict[str, Any]) -> dict[str, Any]:
        where = made.channel
        installed = {"1": str(made.user.id)}
        if where.guild is not None and where.bot_inside:
            installed = {"0": str(where.guild)}
        elif where.type == DM:
            installed["0"] = "0"
        payload: dict[str, Any] = {
            "id": str(made.id),
            "application_id": str(self.bot.id),
            "type": made.kind,
            "data": data,
            "token": made.token,
            "version": 1,
            "channel_id": str(where.id),
            "channel": self.channel_json(where),
            "locale": made.user.locale,
            "app_permissions": "0",
            "entitlements": self.store.of(made.user),
            "authorizing_integration_owners": installed,
            "context": 1 if where.type == DM else 0,
            "attachment_size_limit": 10_485_760,
        }
        if where.guild is not None:
            payload["guild_id"] = str(where.guild)
            payload["guild"] = {"id": str(where.guild), "features": [], "locale": "en-US"}
            payload["member"] = {**member_json(), "user": made.user.as_json(), "permissions": "0"}
        else:
            payload["user"] = made.user.as_json()
        if made.pressed is not None:
            payload["message"] = self.message_json(made.pressed)
        return payload


def member_json() -> dict[str, Any]:
    """Anybody as a member of a server."""
    return {
        "roles": [],
        "joined_at": "2026-01-01T00:00:00+00:00",
        "deaf": False,
        "mute": False,
        "flags": 0,
        "nick": None,
        "pending": False,
    }
