"""The fake Discord's REST: what each route does, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.peers.discord_world import (
    COMPONENT,
    DM,
    EPHEMERAL,
    SLASH,
    Channel,
    Interaction,
    Message,
    Refusal,
    checked_commands,
    checked_components,
    checked_content,
    checked_modal,
    pings,
)

if TYPE_CHECKING:
    from tests.peers.discord import FakeDiscord

ACKNOWLEDGE_SECONDS = 3.0
TOKEN_SECONDS = 900.0
#: An app that is not in the server may follow up so often.
FOLLOWUPS_MAX = 5


class Rest:
    """Routes on the fake's world."""

    def __init__(self, fake: FakeDiscord) -> None:
        self._fake = fake
        #: For as long as a test takes, as Discord keeps them for some minutes.
        self._by_nonce: dict[tuple[int, Any] | None, Message] = {}

    def routes(self) -> list[web.RouteDef]:
        hook = "/webhooks/{app}/{token}"
        table: dict[tuple[str, str], Any] = {
            ("GET", "/users/@me"): self.me,
            ("GET", "/users/{user}"): self.get_user,
            ("GET", "/oauth2/applications/@me"): self.application,
            ("GET", "/gateway/bot"): self.gateway,
            ("PUT", "/applications/{app}/commands"): self.put_commands,
            ("POST", "/interactions/{interaction}/{token}/callback"): self.callback,
            ("PATCH", hook + "/messages/@original"): self.edit_original,
            ("DELETE", hook + "/messages/@original"): self.delete_original,
            ("PATCH", hook + "/messages/{message}"): self.edit_followup,
            ("DELETE", hook + "/messages/{message}"): self.delete_followup,
            ("POST", hook): self.follow_up,
            ("POST", "/users/@me/channels"): self.open_dm,
            ("GET", "/channels/{channel}"): self.get_channel,
            ("POST", "/channels/{channel}/messages"): self.post,
            ("PATCH", "/channels/{channel}/messages/{message}"): self.edit,
            ("DELETE", "/channels/{channel}/messages/{message}"): self.delete,
            **self._fake.store.routes(),
        }
        return [
            web.route(method, "/api/v10" + path, self._serving(path, work))
            for (method, path), work in table.items()
        ]

    def _serving(self, path: str, work: Any) -> Any:
        async def serve(request: web.Request) -> web.Response:
            body, files = await _body(request)
            name = f"{request.method} {path}"
            try:
                self._fake.admit(name)
                if not path.startswith(("/webhooks", "/interactions")):
                    self._authorize(request)
                result = work(request, body, files)
            except Refusal as refused:
                self._fake.note(name, body, refused.status)
                headers = {}
                if refused.status == 429:
                    headers = {"Via": "1.1 fake", "Retry-After": str(refused.body["retry_after"])}
                return _json(refused.body, refused.status, headers)
            self._fake.note(name, body, 200)
            return web.Response(status=204) if result is None else _json(result)

        return serve

    def _authorize(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bot {self._fake.token}":
            raise Refusal(401, 0, "401: Unauthorized")

    # -- the bot itself --------------------------------------------------------------------------

    def me(self, *_: Any) -> Any:
        return self._fake.bot.as_json()

    def get_user(self, request: web.Request, *_: Any) -> Any:
        user = self._fake.users.get(int(request.match_info["user"]))
        if user is None:
            raise Refusal(404, 10013, "Unknown User")
        return user.as_json()

    def application(self, *_: Any) -> Any:
        bot = str(self._fake.bot.id)
        return {
            "id": bot, "name": "credit", "description": "", "icon": None, "flags": 0,
            "bot_public": True, "bot_require_code_grant": False, "verify_key": "0",
            "owner": self._fake.bot.as_json(), "team": None, "rpc_origins": [], "summary": "",
        }  # fmt: skip

    def gateway(self, *_: Any) -> Any:
        limit = {"total": 1000, "remaining": 999, "reset_after": 0, "max_concurrency": 1}
        return {
            "url": self._fake.gateway_url,
            "shards": self._fake.shards,
            "session_start_limit": limit,
        }

    def get_channel(self, request: web.Request, *_: Any) -> Any:
        channel = self._fake.channels.get(int(request.match_info["channel"]))
        if channel is None or not channel.bot_inside:
            raise Refusal(404, 10003, "Unknown Channel")
        return self._fake.channel_json(channel)

    def put_commands(self, request: web.Request, body: Any, _: Any) -> Any:
        self._fake.commands = checked_commands(body)
        return [
            {**each, "id": str(n + 1), "application_id": request.match_info["app"], "version": "1"}
            for n, each in enumerate(body)
        ]

    # -- interactions ----------------------------------------------------------------------------

    def callback(self, request: web.Request, body: Any, _: Any) -> Any:
        found = self._fake.interactions.get(int(request.match_info["interaction"]))
        if found is None or found.token != request.match_info["token"]:
            raise Refusal(404, 10062, "Unknown interaction")
        if found.acknowledged:
            raise Refusal(400, 40060, "Interaction has already been acknowledged.")
        if self._fake.now() - found.made_at > ACKNOWLEDGE_SECONDS:
            raise Refusal(404, 10062, "Unknown interaction")
        data = body.get("data") or {}
        kind = body["type"]
        if kind == 9 and found.kind not in (SLASH, COMPONENT):
            raise Refusal(400, 50035, "Invalid Form Body: a dialog answers no dialog")
        found.acknowledged = True
        found.callbacks.append(kind)
        if kind == 8:
            found.choices = data["choices"]
            assert len(found.choices) <= 25
            assert all(len(each["name"]) <= 100 for each in found.choices)
        elif kind == 5:
            assert set(data) <= {"flags"}, "a deferral may only say whom it is for"
            found.thinking, found.ephemeral = True, bool(data.get("flags", 0) & EPHEMERAL)
        elif kind == 6:
            found.original = found.pressed
        elif kind == 9:
            found.modal = checked_modal(data)
        else:
            raise Refusal(400, 50035, f"this fake takes no callback {kind}")
        told = {"id": str(found.id), "type": found.kind}
        return {"interaction": told, "resource": {"type": kind}}

    def _living(self, request: web.Request) -> Interaction:
        token = request.match_info["token"]
        found = next((i for i in self._fake.interactions.values() if i.token == token), None)
        if found is None or not found.acknowledged:
            raise Refusal(404, 10015, "Unknown Webhook")
        if self._fake.now() - found.made_at > TOKEN_SECONDS:
            raise Refusal(401, 50027, "Invalid Webhook Token")
        return found

    def edit_original(self, request: web.Request, body: Any, files: Any) -> Any:
        found = self._living(request)
        if found.thinking:
            found.thinking = False
            only_for = found.user.id if found.ephemeral else None
            found.original = self._new(found.channel, body, files, only_for=only_for)
        elif found.original is None or found.original.gone:
            raise Refusal(404, 10008, "Unknown Message")
        else:
            self._changed(found.original, body, files)
        return self._fake.message_json(found.original)

    def delete_original(self, request: web.Request, *_: Any) -> None:
        found = self._living(request)
        if not found.thinking and found.original is None:
            raise Refusal(404, 10008, "Unknown Message")
        found.thinking = False
        if found.original is not None:
            found.original.gone = True

    def follow_up(self, request: web.Request, body: Any, files: Any) -> Any:
        found = self._living(request)
        assert request.query.get("wait") in ("true", "1"), "it needs the message's id"
        if found.thinking:
            # As the real one: the first follow-up fills what was deferred, with its visibility.
            return self.edit_original(request, body, files)
        found.followups += 1
        if not found.channel.bot_inside and found.followups > FOLLOWUPS_MAX:
            raise Refusal(400, 40094, "follow-up limit")
        alone = bool(body.get("flags", 0) & EPHEMERAL)
        message = self._new(found.channel, body, files, only_for=found.user.id if alone else None)
        self._fake.of_token.setdefault(found.token, []).append(message.id)
        return self._fake.message_json(message)

    def _followup(self, request: web.Request) -> Message:
        found = self._living(request)
        number = int(request.match_info["message"])
        ours = [*self._fake.of_token.get(found.token, [])]
        if found.original is not None:
            ours.append(found.original.id)
        message = found.channel.find(number) if number in ours else None
        if message is None:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def edit_followup(self, request: web.Request, body: Any, files: Any) -> Any:
        message = self._followup(request)
        self._changed(message, body, files)
        return self._fake.message_json(message)

    def delete_followup(self, request: web.Request, *_: Any) -> None:
        self._followup(request).gone = True

    # -- channels --------------------------------------------------------------------------------

    def open_dm(self, _: Any, body: Any, __: Any) -> Any:
        person = self._fake.users.get(int(body["recipient_id"]))
        if person is None:
            raise Refusal(400, 50033, "Invalid Recipient(s)")
        return self._fake.channel_json(self._fake.dm(person))

    def _channel(self, request: web.Request) -> Channel:
        channel = self._fake.channels.get(int(request.match_info["channel"]))
        if channel is None:
            raise Refusal(404, 10003, "Unknown Channel")
        if not channel.bot_inside:
            raise Refusal(403, 50001, "Missing Access")
        if channel.refuses is not None:
            status, code = channel.refuses
            more = {"retry_after": 0.05, "global": False} if status == 429 else {}
            raise Refusal(status, code, **more)
        return channel

    def post(self, request: web.Request, body: Any, files: Any) -> Any:
        channel = self._channel(request)
        if channel.person is not None and self._fake.users[channel.person].unreachable:
            raise Refusal(403, 50007, "Cannot send messages to this user")
        once = (channel.id, body.get("nonce")) if body.get("enforce_nonce") else None
        if once in self._by_nonce:
            return self._fake.message_json(self._by_nonce[once])
        message = self._new(channel, body, files)
        if once is not None:
            self._by_nonce[once] = message
        reference = body.get("message_reference")
        if reference:
            message.reply_to = int(reference["message_id"])
        return self._fake.message_json(message)

    def _message(self, request: web.Request) -> Message:
        message = self._channel(request).find(int(request.match_info["message"]))
        if message is None or message.only_for is not None:
            raise Refusal(404, 10008, "Unknown Message")
        return message

    def edit(self, request: web.Request, body: Any, files: Any) -> Any:
        message = self._message(request)
        if message.author is not self._fake.bot:
            raise Refusal(403, 50005, "Cannot edit a message authored by another user")
        self._changed(message, body, files)
        return self._fake.message_json(message)

    def delete(self, request: web.Request, *_: Any) -> None:
        message, channel = self._message(request), self._channel(request)
        if message.author is not self._fake.bot:
            if channel.type == DM:
                raise Refusal(403, 50003, "Cannot execute action on a DM channel")
            if not channel.bot_moderates:
                raise Refusal(403, 50013, "Missing Permissions")
        message.gone = True

    # -- messages --------------------------------------------------------------------------------

    def _new(
        self, channel: Channel, body: Any, files: Any, *, only_for: int | None = None
    ) -> Message:
        message = Message(self._fake.snowflake(), channel.id, self._fake.bot, "", only_for=only_for)
        self._show(message, body, files)
        channel.messages.append(message)
        return message

    def _changed(self, message: Message, body: Any, files: Any) -> None:
        self._show(message, body, files)
        message.edits += 1

    def _show(self, message: Message, body: Any, files: Any) -> None:
        content = checked_content(body.get("content")) if "content" in body else message.content
        components = message.components
        if "components" in body:
            components = checked_components(body["components"], self._fake.store.skus)
        if not content and not files and not message.files:
            raise Refusal(400, 50006, "Cannot send an empty message")
        self._fake.pinged |= pings(content, body.get("allowed_mentions"))
        message.content, message.components = content, components
        message.files = files or message.files
        message.history.append(content)


async def _body(request: web.Request) -> tuple[Any, list[tuple[str, bytes]]]:
    """The JSON, and the files beside it."""
    files: list[tuple[str, bytes]] = []
    if request.content_type.startswith("multipart/"):
        body: Any = {}
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files.append((value.filename, value.file.read()))
                value.file.close()
            elif name == "payload_json":
                body = json.loads(value)
        return body, files
    raw = await request.read()
    return (json.loads(raw) if raw else {}), files


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    # The client takes a charset for another type.
    told = {"Content-Type": "application/json", **(headers or {})}
    return web.Response(body=json.dumps(body).encode(), status=status, headers=told)
