"""A Discord on loopback: REST and gateway as the unmodified client calls them, and people.

    fake = FakeDiscord()
    await fake.start()                               # fake.api_url, fake.gateway_url
    ann = fake.user(7, "zh-CN")
    fake.slash(ann, "/ask", {"question": "why?"}, channel=fake.text)     # no channel: in private
    answer = await fake.seen(fake.text, "Credits")   # the bot's message once it shows that text
    fake.presses(ann, answer, "Again")
    fake.submits(ann, opened, key="…")               # into the dialog that a press opened
    fake.says(ann, "why?", channel=fake.text, mention=True)
    fake.fail_next("PATCH /webhooks/…", 429, retry_after=0.1)
    fake.shift(900)                                  # its clock, by which tokens expire
    await fake.drop_gateway()
    await fake.stop()

It refuses what the real one refuses. What is seen in a channel now is `fake.messages(channel)`,
with a viewer also what is for them alone; every call that came is in `fake.calls`.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.peers.discord_gateway import Gateway
from tests.peers.discord_payloads import Payloads
from tests.peers.discord_rest import Rest
from tests.peers.discord_store import Store
from tests.peers.discord_world import (
    AUTOCOMPLETE,
    COMPONENT,
    DM,
    SLASH,
    SUBMIT,
    TEXT,
    THREAD,
    Channel,
    Interaction,
    Message,
    Refusal,
    User,
)
from tests.peers.server import PeerServer

TOKEN = "MTIzNDU2.FakeTk.ForTestsOnly_0123456789abcdefgh"
BOT_ID = 4_242_000_000_000_000_042
_EPOCH_MS = 1_420_070_400_000


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the bot's, with what it was answered."""

    route: str
    body: Any
    status: int
    at: float


class FakeDiscord(Payloads, PeerServer):
    """See the module."""

    def __init__(self, *, shards: int = 1) -> None:
        self.token = TOKEN
        self.shards = shards
        self.bot = User(BOT_ID, name="credit", bot=True)
        self.users = {BOT_ID: self.bot}
        self.channels = {}
        self.guilds: list[int] = []
        self.interactions: dict[int, Interaction] = {}
        self.of_token: dict[str, list[int]] = {}
        self.commands: list[dict[str, Any]] = []
        self.calls: list[Call] = []
        #: What was attached, by its name in an address.
        self.files: dict[str, bytes] = {}
        self.pinged = False
        self.api_url = self.gateway_url = ""
        self.gateway = Gateway(self)
        self.store = Store(self)
        self._sequence = itertools.count(1)
        self._failures: dict[str, deque[Refusal]] = {}
        self._shifted = 0.0
        self._changed = asyncio.Event()
        self._events: asyncio.Queue[tuple[str, dict[str, Any], int | None]] = asyncio.Queue()
        self._telling: asyncio.Task[None] | None = None
        #: A server with the bot in it, and its first channel.
        self.guild = self.add_guild()
        self.text = self.add_channel(self.guild)

    # -- running -------------------------------------------------------------------------------

    def list_routes(self) -> list[web.AbstractRouteDef]:
        """See `PeerServer`."""
        return [
            *Rest(self).routes(),
            web.get("/cdn/{file}", self._download),
            web.get("/gw/", self.gateway.serve),
            web.get("/gw", self.gateway.serve),
        ]

    async def start(self) -> str:
        """Listens, and tells what happens from then on."""
        await super().start()
        self.api_url = f"{self.url}/api/v10"
        self.gateway_url = f"{self.url.replace('http', 'ws', 1)}/gw"
        self._telling = asyncio.create_task(self._tell_all())
        return self.url

    async def stop(self) -> None:
        """See `PeerServer`."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await self.gateway.drop(1001)
        await super().stop()

    def now(self) -> float:
        """Its own clock, in seconds."""
        return time.monotonic() + self._shifted

    def shift(self, seconds: float) -> None:
        """Its clock goes on at once."""
        self._shifted += seconds

    async def drop_gateway(self) -> None:
        await self.gateway.drop()

    # -- the world -----------------------------------------------------------------------------

    def snowflake(self) -> int:
        milliseconds = time.time_ns() // 1_000_000 - _EPOCH_MS
        return (milliseconds << 22) | (next(self._sequence) & 0x3FFFFF)

    def user(self, user: int, locale: str = "en-US", *, unreachable: bool = False) -> User:
        self.users[user] = User(user, locale, name=f"user{user}", unreachable=unreachable)
        return self.users[user]

    def add_guild(self, *, bot: bool = True) -> int:
        """A server; without the bot only its people's own app reaches it."""
        guild = self.snowflake()
        if bot:
            self.guilds.append(guild)
        return guild

    def add_channel(self, guild: int, *, parent: int | None = None, moderates: bool = False) -> int:
        """A text channel, or a thread of one."""
        channel = Channel(
            self.snowflake(),
            THREAD if parent else TEXT,
            guild,
            parent,
            bot_inside=guild in self.guilds,
            bot_moderates=moderates,
        )
        self.channels[channel.id] = channel
        return channel.id

    def dm(self, user: User) -> Channel:
        """The direct chat with a person."""
        for channel in self.channels.values():
            if channel.person == user.id:
                return channel
        channel = Channel(self.snowflake(), DM, person=user.id)
        self.channels[channel.id] = channel
        return channel

    def messages(self, channel: int | Channel, viewer: User | None = None) -> list[Message]:
        """The bot's messages that are seen there now."""
        place = channel if isinstance(channel, Channel) else self.channels[channel]
        seen = place.seen(viewer.id if viewer else None)
        return [each for each in seen if each.author is self.bot]

    # -- what people do ------------------------------------------------------------------------

    def slash(
        self,
        user: User,
        command: str,
        options: dict[str, str] | None = None,
        channel: int | None = None,
        files: dict[str, dict[str, Any]] | None = None,
    ) -> Interaction:
        """A person runs a command; `files` are attachments by their options' names."""
        given = [{"name": k, "type": 3, "value": v} for k, v in (options or {}).items()]
        data: dict[str, Any] = {"id": "1", "name": command.lstrip("/"), "type": 1}
        if files:
            given += [{"name": k, "type": 11, "value": v["id"]} for k, v in files.items()]
            data["resolved"] = {"attachments": {v["id"]: v for v in files.values()}}
        data["options"] = given
        return self._interact(SLASH, user, channel, data)

    def opens_menu(self, user: User, command: str, message: Message, **fields: Any) -> Interaction:
        """A person picks a command of a message's own menu; `fields` go into the message."""
        told = self.message_json(message) | fields
        data = {"id": "1", "name": command, "type": 3, "target_id": str(message.id)}
        data["resolved"] = {"messages": {str(message.id): told}}
        return self._interact(SLASH, user, message.channel, data)

    def autocomplete(
        self, user: User, command: str, option: str, typed: str, channel: int | None = None
    ) -> Interaction:
        focused = {"name": option, "type": 3, "value": typed, "focused": True}
        data = {"id": "1", "name": command.lstrip("/"), "type": 1, "options": [focused]}
        return self._interact(AUTOCOMPLETE, user, channel, data)

    def presses(self, user: User, message: Message, label: str) -> Interaction:
        return self._chooses(user, message, label, menu=False)

    def selects(self, user: User, message: Message, label: str) -> Interaction:
        return self._chooses(user, message, label, menu=True)

    def submits(self, user: User, opened: Interaction, **typed: str) -> Interaction:
        """A person fills in the dialog that an interaction opened, as far as their app lets them,
        and sends it off."""
        parts = []
        for number, part in enumerate(opened.inputs):
            value = typed[part["custom_id"]]
            assert (part.get("min_length") or 0) <= len(value) <= (part.get("max_length") or 4000)
            filled = {"type": 4, "id": number, "custom_id": part["custom_id"], "value": value}
            parts.append({"type": 18, "id": number, "component": filled})
        data = {"custom_id": opened.modal["custom_id"], "components": parts}
        where = opened.channel.id
        return self._interact(SUBMIT, user, where, data, pressed=opened.pressed)

    def _chooses(self, user: User, message: Message, label: str, *, menu: bool) -> Interaction:
        found = [
            (custom, value)
            for shown, custom, value in message.choices
            if label in shown and (value is not None) == menu
        ]
        assert found, f"no {label!r} among {message.labels}"
        custom, value = found[0]
        data: dict[str, Any] = {"custom_id": custom, "component_type": 3 if menu else 2}
        if value is not None:
            data["values"] = [value]
        return self._interact(COMPONENT, user, message.channel, data, pressed=message)

    def says(
        self,
        user: User,
        text: str,
        *,
        channel: int | None = None,
        mention: bool = False,
        reply_to: Message | None = None,
        **fields: Any,
    ) -> Message:
        """A person writes; `fields` go into the event as they are."""
        where = self.dm(user) if channel is None else self.channels[channel]
        words = f"<@{BOT_ID}> {text}" if mention else text
        message = Message(self.snowflake(), where.id, user, words)
        where.messages.append(message)
        content = self.message_json(message)
        if reply_to is not None:
            content["type"] = 19
            content["message_reference"] = {
                "message_id": str(reply_to.id),
                "channel_id": str(where.id),
                "guild_id": str(where.guild),
            }
            content["referenced_message"] = self.message_json(reply_to)
        if f"<@{BOT_ID}>" in words:
            content["mentions"] = [self.bot.as_json()]
        elif where.guild is not None and reply_to is None:
            content["content"] = ""  # no right to read what is said to others
        self.tell("MESSAGE_CREATE", content | fields, where.guild)
        return message

    def edits(self, message: Message, text: str, *, mention: bool = False) -> None:
        """A person edits what they wrote; without a text Discord itself added a preview to it."""
        where = self.channels[message.channel]
        if text:
            message.content = f"<@{BOT_ID}> {text}" if mention else text
        content = self.message_json(message)
        content["edited_timestamp"] = datetime.now(UTC).isoformat() if text else None
        if mention:
            content["mentions"] = [self.bot.as_json()]
        elif where.guild is not None:
            content["content"] = ""
        self.tell("MESSAGE_UPDATE", content, where.guild)

    def sends(
        self,
        user: User,
        content: bytes,
        *,
        name: str = "voice-message.ogg",
        mime: str = "audio/ogg",
        seconds: float | None = None,
        text: str = "",
        channel: int | None = None,
        mention: bool = False,
        reply_to: Message | None = None,
    ) -> Message:
        """A person sends a file; with `seconds` it is a voice message."""
        told = self.attachment_json(content, name=name, mime=mime)
        if seconds is not None:
            told |= {"duration_secs": seconds, "waveform": "AAAA"}
        where = self.dm(user) if channel is None else self.channels[channel]
        seen = where.guild is None or mention or reply_to is not None
        fields = {"attachments": [told] if seen else []}
        fields |= {"flags": 1 << 13} if seconds is not None else {}
        return self.says(user, text, channel=channel, mention=mention, reply_to=reply_to, **fields)

    def attachment_json(self, content: bytes, *, name: str, mime: str) -> dict[str, Any]:
        """An uploaded file, as Discord tells of it."""
        id_ = str(self.snowflake())
        self.files[id_] = content
        url = f"{self.api_url.removesuffix('/api/v10')}/cdn/{id_}"
        told: dict[str, Any] = {"id": id_, "filename": name, "size": len(content)}
        return told | {"content_type": mime, "url": url, "proxy_url": url}

    async def _download(self, request: web.Request) -> web.Response:
        if (content := self.files.get(request.match_info["file"])) is None:
            raise web.HTTPNotFound
        return web.Response(body=content)

    def again(self, interaction: Interaction) -> None:
        """The same interaction is delivered once more."""
        self.tell("INTERACTION_CREATE", interaction.payload, interaction.channel.guild)

    # -- trouble -------------------------------------------------------------------------------

    def fail_next(
        self, route: str, status: int, code: int = 0, *, retry_after: float = 0.0, times: int = 1
    ) -> None:
        """The next calls whose route begins so are refused."""
        more = {"retry_after": retry_after, "global": False} if status == 429 else {}
        queue = self._failures.setdefault(route, deque())
        queue.extend(Refusal(status, code, **more) for _ in range(times))

    def admit(self, name: str) -> None:
        for route, queue in self._failures.items():
            if name.startswith(route) and queue:
                raise queue.popleft()

    # -- looking -------------------------------------------------------------------------------

    async def wait_for(self, predicate: Callable[[], Any], seconds: float = 20.0) -> None:
        """Returns once the predicate holds; looks whenever something changed."""
        try:
            async with asyncio.timeout(seconds):
                while not predicate():
                    await self._changed.wait()
        except TimeoutError:
            seen = {
                channel.id: [(m.author.name, m.content[:200], m.labels) for m in channel.messages]
                for channel in self.channels.values()
            }
            raise AssertionError(f"never came to be; {seen}, {self.called()}") from None

    async def seen(
        self, channel: int | Channel, text: str, viewer: User | None = None, seconds: float = 20.0
    ) -> Message:
        """The bot's newest message that shows `text`, once there is one."""

        def found() -> list[Message]:
            return [each for each in self.messages(channel, viewer) if text in each.content]

        await self.wait_for(found, seconds)
        return found()[-1]

    def called(self, prefix: str = "") -> list[str]:
        """The routes called so far."""
        return [each.route for each in self.calls if each.route.startswith(prefix)]

    def note(self, route: str, body: Any, status: int) -> None:
        self.calls.append(Call(route, body, status, time.monotonic()))
        self.changed()

    def changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # -- inside --------------------------------------------------------------------------------

    def tell(self, kind: str, data: dict[str, Any], guild: int | None = None) -> None:
        """An event of the gateway."""
        self._events.put_nowait((kind, data, guild))

    async def _tell_all(self) -> None:
        """In order, and at one instant what happened at one instant."""
        while True:
            kind, data, guild = await self._events.get()
            await self.gateway.tell(kind, data, guild=guild)

    def _interact(
        self,
        kind: int,
        user: User,
        channel: int | None,
        data: dict[str, Any],
        pressed: Message | None = None,
    ) -> Interaction:
        where = self.dm(user) if channel is None else self.channels[channel]
        made = Interaction(
            self.snowflake(), f"tok{next(self._sequence)}", kind, user, where, self.now()
        )
        made.pressed = pressed
        made.payload = self.interaction_json(made, data)
        self.interactions[made.id] = made
        self.tell("INTERACTION_CREATE", made.payload, where.guild)
        return made


def plain(content: str) -> str:
    """What is read: Markdown's escapes taken out."""
    return re.sub(r"\\(.)", r"\1", content)
