"""A Telegram on loopback: the Bot API as the unmodified client calls it, and people who chat.

    fake = FakeTelegram()
    url = await fake.start()                       # the address before /bot<token>
    ann = fake.user(7, "zh-hans")
    fake.says(ann, "/start")                       # in private; chat=… for a group
    answer = await fake.seen(ann.id, "Credits")    # the bot's message once it shows that text
    fake.presses(ann, answer, "Top up")
    fake.fail_next("sendMessage", 429, retry_after=2)
    await fake.wait_for(lambda: …)
    await fake.stop()

It refuses what the real one refuses. What is seen in a chat now is `fake.chat(id).messages`, and
`.draft`; every call that came is in `fake.calls`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp import web

from tests.peers.server import PeerServer
from tests.peers.telegram_chats import Chat, Message, Refusal, User
from tests.peers.telegram_methods import Methods
from tests.peers.telegram_stars import Stars

TOKEN = "123456:AAFakeTokenForTestsOnly_0123456789abcd"
BOT_ID = 123456
#: Parameters that come as JSON inside a form.
_NESTED = {
    "allowed_updates",
    "commands",
    "entities",
    "link_preview_options",
    "prices",
    "reply_markup",
    "reply_parameters",
    "scope",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the bot's, with what it was answered."""

    method: str
    params: dict[str, Any]
    status: int
    at: float


class FakeTelegram(PeerServer):
    """See the module."""

    def __init__(self, token: str = TOKEN, username: str = "credit_test_bot") -> None:
        self.token = token
        self.username = username
        #: Whether private chats with the bot have topics.
        self.has_topics = False
        self.calls: list[Call] = []
        self.chats: dict[int, Chat] = {}
        self.users: dict[int, User] = {}
        self.webhook: dict[str, Any] = {}
        #: (scope, language) → commands, as set; and the same for descriptions by method.
        self.commands: dict[tuple[str, str], list[dict[str, str]]] = {}
        self.texts: dict[tuple[str, str], str] = {}
        self.updates: list[dict[str, Any]] = []
        self._next_update = 1
        self._next_message = 100
        self._said: dict[tuple[int, int], dict[str, Any]] = {}
        #: By file id.
        self.files: dict[str, bytes] = {}
        #: It hands out files of any size and doesn't tell that, as an operator's own server may.
        self.has_no_size_limit = False
        #: Invoices, and who pays them.
        self.stars = Stars(self)
        self._failures: dict[str, deque[Refusal]] = {}
        #: How many messages and edits a chat takes in so many seconds, and when it took the last.
        self.limits: dict[int, tuple[int, float]] = {}
        self._accepted: dict[int, deque[float]] = {}
        self._changed = asyncio.Event()
        self._methods = Methods(self)
        self._pump: asyncio.Task[None] | None = None
        self.closing = False

    # -- running -------------------------------------------------------------------------------

    def list_routes(self) -> list[web.RouteDef]:
        """See `PeerServer`."""
        return [
            web.route("*", "/bot{token}/{method}", self._serve),
            web.get("/file/bot{token}/files/{file}", self._download),
        ]

    async def start(self) -> str:
        """Listens on loopback and gives the address before `/bot<token>`."""
        await super().start()
        self._pump = asyncio.create_task(self._push())
        return self.url

    async def stop(self) -> None:
        """See `PeerServer`."""
        self.closing = True
        self.changed()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        await super().stop()

    # -- people --------------------------------------------------------------------------------

    def user(self, user: int, language: str = "en", *, unreachable: bool = False) -> User:
        """A person; their private chat with the bot has the same id."""
        self.users[user] = User(user, language, unreachable=unreachable)
        self.chats.setdefault(user, Chat(user, "private"))
        return self.users[user]

    def group(self, chat: int, title: str = "Group", *, forum: bool = False) -> Chat:
        """A group (negative id) that the bot is in."""
        self.chats[chat] = Chat(chat, "supergroup", title, forum=forum)
        return self.chats[chat]

    def upgrade(self, was: int, chat: int) -> Chat:
        """A group becomes a supergroup, which counts its messages from the beginning; both chats
        tell it, and the old one refuses whatever is sent to it."""
        old, new = self.chats[was], self.group(chat, self.chats[was].title)
        old.moved_to, new.own_count = chat, 0
        about = {"date": int(time.time()), "from": {"id": 1, "is_bot": False, "first_name": "A"}}
        for where, moved in ((old, "migrate_to_chat_id"), (new, "migrate_from_chat_id")):
            told = {"message_id": self.next_message(where), "chat": where.as_json(), **about}
            self.update("message", told | {moved: chat if where is old else was})
        return new

    def chat(self, chat: int) -> Chat:
        return self.chats[chat]

    def says(
        self,
        user: User,
        text: str,
        *,
        chat: int | None = None,
        thread: int | None = None,
        reply_to: Message | None = None,
        **fields: Any,
    ) -> int:
        """A person writes; gives the message's id. `fields` go into the message as they are."""
        where = self.chats[chat if chat is not None else user.id]
        message = Message(self.next_message(where), where.id, user.id, text, thread=thread)
        where.messages.append(message)
        content: dict[str, Any] = {
            **self.message_json(message),
            "entities": _mentions(text),
            **fields,
        }
        if not text:
            del content["text"]
        if thread is not None:
            content |= {"message_thread_id": thread, "is_topic_message": True}
        if reply_to is not None:
            content["reply_to_message"] = self.message_json(reply_to)
        self._said[where.id, message.id] = content
        self.update("message", content)
        return message.id

    def said(self, chat: int, message: int) -> dict[str, Any]:
        """What a person wrote or sent, as a reply to it holds it."""
        return self._said[chat, message]

    def edits(self, user: User, message: int, text: str, *, chat: int | None = None) -> None:
        """A person edits what they wrote."""
        where = self.chats[chat if chat is not None else user.id]
        said = {**self._said[where.id, message], "text": text, "entities": _mentions(text)}
        self._said[where.id, message] = said
        self.update("edited_message", said | {"edit_date": int(time.time())})

    def sends(
        self,
        user: User,
        kind: str,
        content: bytes,
        *,
        caption: str = "",
        chat: int | None = None,
        reply_to: Message | None = None,
        album: str = "",
        **about: Any,
    ) -> int:
        """A person sends a file: `voice`, `audio`, `video_note`, `photo` or `document`, and what is
        told about it (`duration`, `mime_type`, `file_name`), perhaps as a part of an album; gives
        the message's id."""
        file = f"file{len(self.files)}"
        self.files[file] = content
        told = {"file_id": file, "file_unique_id": file, "file_size": len(content), **about}
        more: dict[str, Any] = {kind: told}
        if kind == "photo":  # in its sizes: a preview, and the largest
            preview = {**told, "file_id": "preview", "width": 90, "height": 67}
            more = {kind: [preview, {"width": 1_280, "height": 960, **told}]}
        if caption:
            more |= {"caption": caption, "caption_entities": _mentions(caption)}
        if album:
            more["media_group_id"] = album
        return self.says(user, "", chat=chat, reply_to=reply_to, **more)

    def presses(self, user: User, message: Message, label: str, *, is_old: bool = False) -> str:
        """A person presses a button, found by what is written on it; gives its data. Of an old
        message only its number and its chat are told."""
        found = [data for row in message.buttons for shown, data in row if label in shown]
        assert found, f"no button {label!r} among {message.labels}"
        query = {
            "id": f"query{self._next_update}",
            "from": user.as_json(),
            "message": {
                "message_id": message.id,
                "date": 0,
                "chat": self.chats[message.chat].as_json(),
            }
            if is_old
            else self.message_json(message),
            "chat_instance": str(message.chat),
            "data": found[0],
        }
        self.update("callback_query", query)
        return found[0]

    def update(self, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        """Any update; gives it, for delivering it again with `again`."""
        update = {"update_id": self._next_update, kind: content}
        self._next_update += 1
        self.updates.append(update)
        self.changed()
        return update

    def again(self, update: dict[str, Any]) -> None:
        """Delivers an update a second time, under a new number as after a lost confirmation."""
        kind = next(key for key in update if key != "update_id")
        self.update(kind, update[kind])

    # -- trouble -------------------------------------------------------------------------------

    def fail_next(
        self,
        method: str,
        status: int,
        *,
        retry_after: int = 0,
        description: str = "",
        times: int = 1,
    ) -> None:
        """The next calls of a method are refused; "*" means any method that writes to a chat."""
        text = description or {
            400: "Bad Request: refused",
            403: "Forbidden: bot was blocked by the user",
            429: f"Too Many Requests: retry after {retry_after}",
        }.get(status, "Internal Server Error")
        parameters = {"retry_after": retry_after} if retry_after else {}
        queue = self._failures.setdefault(method, deque())
        queue.extend(Refusal(status, text, **parameters) for _ in range(times))

    # -- looking -------------------------------------------------------------------------------

    async def wait_for(self, predicate: Callable[[], Any], seconds: float = 20.0) -> None:
        """Returns once the predicate holds; looks whenever something changed."""
        try:
            async with asyncio.timeout(seconds):
                while not predicate():
                    changed = self._changed
                    await changed.wait()
        except TimeoutError:
            seen = {
                chat.id: [(each.sender, each.text[:200], each.labels) for each in chat.messages]
                for chat in self.chats.values()
            }
            raise AssertionError(
                f"never came to be; seen: {seen}, calls: {self.called()}"
            ) from None

    async def seen(self, chat: int, text: str, *, seconds: float = 20.0) -> Message:
        """The bot's newest message that shows `text`, once there is one."""

        def found() -> list[Message]:
            return [each for each in self.chats[chat].bot_messages if text in each.text]

        await self.wait_for(found, seconds)
        return found()[-1]

    def called(self, *methods: str) -> list[str]:
        """The names of the calls so far; only of these methods if named."""
        return [each.method for each in self.calls if not methods or each.method in methods]

    # -- inside --------------------------------------------------------------------------------

    def changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def until_changed(self, seconds: float) -> None:
        changed = self._changed
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            pass

    def next_message(self, chat: Chat) -> int:
        if chat.own_count is not None:
            chat.own_count += 1
            return chat.own_count
        self._next_message += 1
        return self._next_message

    def message_json(self, message: Message) -> dict[str, Any]:
        chat = self.chats[message.chat]
        bot = {"id": BOT_ID, "is_bot": True, "first_name": "Credit", "username": self.username}
        sender = bot if message.sender == 0 else self.users[message.sender].as_json()
        content = {
            "message_id": message.id,
            "date": int(time.time()),
            "chat": chat.as_json(),
            "from": sender,
            "text": message.text,
        }
        if message.entities:
            content["entities"] = message.entities
        if message.invoice:
            del content["text"]
            content["invoice"] = {k: v for k, v in message.invoice.items() if k != "payload"}
        if message.file:
            del content["text"]
            content["document"] = {"file_id": "f", "file_unique_id": "u"}
        if message.thread is not None:
            content |= {"message_thread_id": message.thread, "is_topic_message": True}
        return content

    def wanted(self, update: dict[str, Any], asked: dict[str, Any]) -> bool:
        """Whether this kind of update is among those that the bot takes."""
        allowed = asked.get("allowed_updates") or []
        return not allowed or any(kind in update for kind in allowed)

    async def _serve(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        params = await _params(request)
        try:
            self._admit(request.match_info["token"], method)
            self._check_pace(method, params)
            result = await self._methods.call(method, params)
        except Refusal as refused:
            answer = {
                "ok": False,
                "error_code": refused.status,
                "description": refused.description,
            }
            if refused.parameters:
                answer["parameters"] = refused.parameters
            return self._answered(method, params, refused.status, answer)
        return self._answered(method, params, 200, {"ok": True, "result": result})

    async def _download(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["file"])
        if request.match_info["token"] != self.token or content is None:
            raise web.HTTPNotFound
        return web.Response(body=content)

    def _answered(
        self, method: str, params: dict[str, Any], status: int, answer: dict[str, Any]
    ) -> web.Response:
        self.calls.append(Call(method, params, status, time.monotonic()))
        self.changed()
        return web.json_response(answer, status=status)

    def _admit(self, token: str, method: str) -> None:
        if token != self.token:
            raise Refusal(401, "Unauthorized")
        for name in (method, "*" if method.startswith(("send", "edit")) else method):
            queue = self._failures.get(name)
            if queue:
                raise queue.popleft()

    def _check_pace(self, method: str, params: dict[str, Any]) -> None:
        chat = int(params.get("chat_id", 0))
        if chat not in self.limits or not method.startswith(("send", "edit")):
            return
        count, seconds = self.limits[chat]
        accepted, now = self._accepted.setdefault(chat, deque(maxlen=count)), time.monotonic()
        if len(accepted) == count and now - accepted[0] < seconds:
            raise Refusal(429, "Too Many Requests: retry after 1", retry_after=1)
        accepted.append(now)

    async def _push(self) -> None:
        """Sends updates to the webhook, again until they are taken."""
        async with aiohttp.ClientSession() as session:
            while True:
                while self.webhook.get("url") and self.updates:
                    if not self.wanted(self.updates[0], self.webhook):
                        self.updates.pop(0)
                        continue
                    headers = {
                        "X-Telegram-Bot-Api-Secret-Token": self.webhook.get("secret_token", "")
                    }
                    url = self.webhook["url"]
                    async with session.post(url, json=self.updates[0], headers=headers) as taken:
                        if taken.ok:
                            self.updates.pop(0)
                        else:
                            await asyncio.sleep(0.05)
                await self.until_changed(60)


def _mentions(text: str) -> list[dict[str, Any]]:
    entities = []
    for word in text.split():
        at = text.index(word)
        offset = len(text[:at].encode("utf-16-le")) // 2
        if word.startswith("@"):
            name = word.rstrip(",.:;!?")
            entities.append({"type": "mention", "offset": offset, "length": len(name)})
        elif word.startswith("/") and at == 0:
            entities.append({"type": "bot_command", "offset": offset, "length": len(word)})
    return entities


async def _params(request: web.Request) -> dict[str, Any]:
    """The parameters, whether they came as a form, as parts or as JSON; nested ones decoded."""
    if request.content_type == "application/json":
        return dict(await request.json())
    params: dict[str, Any] = {}
    # The Bot API takes parameters from an address as well as from a body.
    for name, value in (*request.query.items(), *(await request.post()).items()):
        if isinstance(value, web.FileField):
            params[name] = (value.filename, value.file.read())
            value.file.close()
        else:
            params[name] = json.loads(value) if name in _NESTED else value
    return params
